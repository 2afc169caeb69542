"""What pefile, libwrc and libfwevt read in a provider file, as JSON: the file is the argument."""

import json
import sys

import pefile
import pyfwevt
import pywrc


def resources(path, kind):
    """The languages and the bytes of the resources of a kind."""
    image = pefile.PE(path, fast_load=True)
    image.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_RESOURCE"]])
    for entry in image.DIRECTORY_ENTRY_RESOURCE.entries:
        if kind not in (entry.struct.Id, str(entry.name)):
            continue
        for name in entry.directory.entries:
            for language in name.directory.entries:
                place = language.data.struct
                yield language.struct.Id, image.get_data(place.OffsetToData, place.Size)


def tables(path):
    found = {}
    for language, data in resources(path, 11):
        table = pywrc.message_table_resource()
        table.copy_from_byte_stream(data, "cp1252")
        messages = found.setdefault(language, {})
        for i in range(table.get_number_of_messages()):
            messages[table.get_message_identifier(i) & 0xFFFFFFFF] = table.get_string(i)
    return found


def providers(path):
    found = []
    for _, data in resources(path, "WEVT_TEMPLATE"):
        manifest = pyfwevt.manifest()
        manifest.copy_from_byte_stream(data)
        for provider in manifest.providers:
            events = []
            for event in provider.events:
                fields = None
                if event.template_offset:
                    template = provider.get_template_by_offset(event.template_offset)
                    fields = [[item.name, item.input_data_type, item.output_data_type] for item in template.items]
                events.append([event.identifier, event.version, event.message_identifier, fields])
            found.append({
                "guid": provider.identifier,
                "events": events,
                "channels": [[channel.identifier, channel.name] for channel in provider.channels],
            })
    return found


json.dump({"tables": tables(sys.argv[1]), "providers": providers(sys.argv[1])}, sys.stdout)

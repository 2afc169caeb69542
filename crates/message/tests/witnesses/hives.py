"""sources FILE: the event sources of a hive as regipy reads them, as JSON.
dirty FILE HIVE LOG: the hive as Windows leaves it when it is not closed: old content, and a log with the new one."""

import json
import struct
import sys


def text(value):
    # Some texts come as bytes, in hexadecimal or not.
    if isinstance(value, bytes):
        return value.decode("utf-16le", "replace").split("\0")[0]
    return value.split("\0")[0] if isinstance(value, str) else None


def sources(path):
    from regipy.registry import RegistryHive

    hive = RegistryHive(path)
    found = []
    for log in hive.get_key("\\ControlSet001\\Services\\EventLog").iter_subkeys():
        for source in log.iter_subkeys():
            values = {value.name: text(value.value) for value in source.iter_values()}
            found.append([log.name, source.name, {name.lower(): value for name, value in values.items() if value is not None}])
    json.dump(found, sys.stdout)


def marvin32(data):
    low, high = 0x7A4E55C5, 0x82EF4D88

    def rotate(value, bits):
        return (value << bits | value >> 32 - bits) & 0xFFFFFFFF

    padded = data + b"\x80" + b"\0" * ((3 - len(data)) % 4)
    for (word,) in struct.iter_unpack("<I", padded + b"\0\0\0\0"):
        low = (low + word) & 0xFFFFFFFF
        high ^= low
        low = (rotate(low, 20) + high) & 0xFFFFFFFF
        high = rotate(high, 9) ^ low
        low = (rotate(low, 27) + high) & 0xFFFFFFFF
        high = rotate(high, 19)
    return struct.pack("<II", low, high)


def checksum(block):
    total = 0
    for (word,) in struct.iter_unpack("<I", block[:508]):
        total ^= word
    return block[:508] + struct.pack("<I", {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(total, total)) + block[512:]


def dirty(path, old, log):
    hive = bytearray(open(path, "rb").read())
    length = struct.unpack_from("<I", hive, 40)[0]
    pages = list(range(0, length, 4096))
    # Each second page is in one entry of the log, and zeroed in the hive; the others in the next.
    entries = b""
    number = 41
    for chosen in (pages[::2], pages[1::2]):
        references = b"".join(struct.pack("<II", page, 4096) for page in chosen)
        content = b"".join(bytes(hive[4096 + page : 8192 + page]) for page in chosen)
        body = references + content
        size = (40 + len(body) + 511) // 512 * 512
        body += b"\0" * (size - 40 - len(body))
        header = b"HvLE" + struct.pack("<IIIII", size, 0, number, length, len(chosen))
        header += marvin32(body)
        entries += header + marvin32(header) + body
        number += 1
    base = bytearray(hive[:512])
    struct.pack_into("<II", base, 4, 43, 43)
    struct.pack_into("<I", base, 28, 6)
    open(log, "wb").write(checksum(bytes(base)) + entries)
    for page in pages:
        hive[4096 + page : 8192 + page] = b"\0" * 4096
    struct.pack_into("<II", hive, 4, 42, 41)
    open(old, "wb").write(checksum(bytes(hive[:512])) + hive[512:])


{"sources": sources, "dirty": dirty}[sys.argv[1]](*sys.argv[2:])

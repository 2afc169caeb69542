"""Databases as SQLite itself writes and reads them.

make FILE: one like those of WELM. strings FILE: plaso's strings, with insertion marks, as JSON."""

import json
import re
import sqlite3
import sys


def make(path):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE providers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
    database.execute(
        "CREATE TABLE messages (event_id INTEGER NOT NULL, id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT, "
        "provider_id INTEGER NOT NULL, FOREIGN KEY(provider_id) REFERENCES providers(id))"
    )
    for provider in range(60):
        name = "Provider-%d" % provider
        number = database.execute("INSERT INTO providers (name) VALUES (?)", (name,)).lastrowid
        for event in range(100):
            # From nothing to what takes several overflow pages, with letters of two and three bytes.
            text = "%%1 of %s: %d é€ " % (name, event) + "x" * (event * event * 2)
            database.execute(
                "INSERT INTO messages (event_id, message, provider_id) VALUES (?, ?, ?)", (event * 655, text, number)
            )
    database.commit()


def marks(text):
    def mark(found):
        place, behind = found.groups()
        return "%" + str(int(place) + 1) + ("!s!" if behind else "")

    parts = re.split(r"(\{\d+:s\}(?=(\d?)))", text)
    # split gives text, place, what follows, text, ...
    out = []
    for i, part in enumerate(parts):
        if i % 3 == 0:
            part = part.replace("{{", "{").replace("}}", "}")
            out.append(re.sub(r"\\?%", "%%", part))
        elif i % 3 == 1:
            out.append(re.sub(r"\{(\d+):s\}()", lambda found: "%" + str(int(found.group(1)) + 1), part))
            if parts[i + 1]:
                out.append("!s!")
    return "".join(out)


def strings(path):
    database = sqlite3.connect(path)
    rows = database.execute(
        "SELECT windows_path, message_identifier, text FROM winevtrc_message_string "
        "JOIN winevtrc_message_table ON _message_table_identifier = 'winevtrc_message_table.' || winevtrc_message_table._identifier "
        "JOIN winevtrc_message_file ON _message_file_identifier = 'winevtrc_message_file.' || winevtrc_message_file._identifier "
        "WHERE winevtrc_message_table.language_identifier = 1033"
    )
    files = {}
    for path, number, text in rows:
        files.setdefault(path.lower(), {}).setdefault(number & 0xFFFFFFFF, marks(text))
    providers = []
    for name, guid, sources, paths in database.execute(
        "SELECT name, identifier, log_sources, event_message_files FROM winevtrc_eventlog_provider"
    ):
        names = json.loads(sources)
        if name and name not in names:
            names.append(name)
        for name in names:
            providers.append([name, [path.lower() for path in json.loads(paths)]])
    json.dump({"files": files, "providers": providers}, sys.stdout)


{"make": make, "strings": strings}[sys.argv[1]](sys.argv[2])

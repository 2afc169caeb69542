"""Hits of Sigma rules on .evtx files by other people's code: pySigma makes SQL of the rules, SQLite
runs it, and the package evtx reads the files. Prints RULE-ID, FILE and RECORD, tabs
between; of a file that it doesn't read to its end, `unread` and its name.

Usage: pysigma_sqlite.py RULES ROUTES.json FOLDER...

ROUTES.json says which (channel, id) each rule looks at. Rules on process creation are converted for
4688 by pySigma's own pipeline for Windows' auditing, which renames fields; those with fields that
would have to be computed first are `apart`. 4657 and 5156 are left out.
"""

import collections
import json
import pathlib
import re
import sqlite3
import sys

from evtx import PyEvtxParser
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError
from sigma.pipelines.windows import windows_audit_pipeline

COMPUTED = {("security", 4657), ("security", 5156)}
CREATED = ("security", 4688)
# Of these 4688 has the same in another form, which the pipeline doesn't make.
MADE = {"User", "IntegrityLevel", "ProcessId", "ParentProcessId"}
ERRORS = (SigmaError, NotImplementedError, KeyError, TypeError, AttributeError)


def flat(event, row, name=""):
    """An event's values by their names, as Zircolite flattens them."""
    if isinstance(event, dict):
        for key, value in event.items():
            if key == "#attributes":
                for attribute, text in value.items():
                    if attribute != "xmlns":
                        add(row, f"{name}_{attribute}", text)
            elif key == "#text":
                flat(value, row, name)
            else:
                flat(value, row, key)
    elif isinstance(event, list):
        for value in event:
            flat(value, row, name)
    else:
        add(row, name, event)


def add(row, name, value):
    if isinstance(value, bool):
        value = str(value).lower()
    elif value is not None:
        value = str(value)
    if name in row and row[name] is not None and value is not None:
        row[name] += "\n" + value
    else:
        row[name] = value


def read(folders):
    """Events by channel and id."""
    events = collections.defaultdict(list)
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*.evtx")):
            try:
                for record in PyEvtxParser(str(path)).records_json():
                    row = {}
                    event = json.loads(record["data"])["Event"]
                    flat(event, row)
                    number = row.get("EventID")
                    channel = (row.get("Channel") or "").lower()
                    if number is None or not number.isdigit():
                        continue
                    place = (path.name, record["event_record_id"])
                    events[channel, int(number)].append((place, row))
            except (RuntimeError, OSError, ValueError):
                # It stops at damage, so nothing can be said of the file.
                print("unread", path.name, 0, sep="\t")
    return events


def fields(rule):
    names = set()

    def visit(item):
        name = getattr(item, "field", None)
        if name:
            names.add(name)
        for inner in getattr(item, "detection_items", []):
            visit(inner)

    for detection in rule.detection.detections.values():
        visit(detection)
    return names


def regexp(pattern, text):
    return text is not None and re.search(pattern, str(text)) is not None


def audited(name, collection, wanted):
    """Adds a rule on process creation as one on 4688."""
    rule = collection.rules[0]
    try:
        if fields(rule) & MADE:
            raise NotImplementedError
        queries = sqliteBackend(processing_pipeline=windows_audit_pipeline()).convert(collection)
    except ERRORS:
        print("apart", name, 4688, sep="\t")
        return
    wanted[CREATED].append((name, queries, fields(rule)))


def main():
    rules_folder, routes_file, *folders = sys.argv[1:]
    routes = json.load(open(routes_file, encoding="utf-8"))
    events = read(folders)
    backend = sqliteBackend()
    wanted = collections.defaultdict(list)
    for path in sorted(pathlib.Path(rules_folder).rglob("*.yml")):
        try:
            text = path.read_text(encoding="utf-8")
            collection = SigmaCollection.from_yaml(text)
            rule = collection.rules[0]
            places = {tuple(place) for place in routes.get(str(rule.id), [])} - COMPUTED
            if rule.logsource.category == "process_creation" and CREATED in places:
                places.remove(CREATED)
                audited(str(rule.id), SigmaCollection.from_yaml(text), wanted)
            here = [key for key in events if key in places or (key[0], None) in places]
            if not here:
                continue
            queries = backend.convert(collection)
        except ERRORS as error:
            print(f"{path.name}: {error!r}", file=sys.stderr)
            continue
        for key in here:
            wanted[key].append((str(rule.id), queries, fields(rule)))
    for key, rules in wanted.items():
        names = set().union(*(names for _, _, names in rules))
        for _, row in events[key]:
            names |= set(row)
        # Columns of SQLite ignore case, so one name is kept of those that differ in it.
        names = list({name.lower(): name for name in sorted(names)}.values())
        database = sqlite3.connect(":memory:")
        database.create_function("REGEXP", 2, regexp)
        columns = ", ".join('"' + name.replace('"', "") + '" TEXT COLLATE NOCASE' for name in names)
        database.execute(f"CREATE TABLE logs (n INTEGER, {columns})")
        marks = ", ".join("?" * (len(names) + 1))
        for n, (_, row) in enumerate(events[key]):
            lowered = {name.lower(): value for name, value in row.items()}
            values = [lowered.get(name.lower()) for name in names]
            database.execute(f"INSERT INTO logs VALUES ({marks})", [n, *values])
        for rule, queries, _ in rules:
            for query in queries:
                query = query.replace("<TABLE_NAME>", "logs").replace("SELECT *", "SELECT n", 1)
                try:
                    found = database.execute(query).fetchall()
                except sqlite3.Error as error:
                    print(f"{rule}: {error}", file=sys.stderr)
                    continue
                for (n,) in found:
                    (file, record), _ = events[key][n]
                    print(rule, file, record, sep="\t")


main()

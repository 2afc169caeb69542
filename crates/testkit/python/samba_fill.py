"""samba_fill.py FOLDER LOG [clear | BELOW]: appends records to a log of the smbd that runs from
FOLDER/smb.conf, after dropping all records, or those whose number is below BELOW.

Standard input has a JSON object a line: time_generated, time_written, event_id, type, category,
source, computer, sid (text or null), strings, data (hexadecimal). They go into the log's TDB in
one transaction, in the form that Samba 4.17's eventlogadm leaves there. Needs root, python3-tdb."""
import json
import os
import struct
import subprocess
import sys

import tdb


def wide(text):
    return text.encode("utf-16-le", "surrogatepass") + b"\0\0"


def sized(part):
    return struct.pack("<I", len(part)) + part


def pack(number, r):
    names = wide(r["source"]), wide(r["computer"])
    sid = wide(r["sid"]) if r["sid"] else b""
    strings = b"".join(wide(s) for s in r["strings"])
    data = bytes.fromhex(r["data"])
    before_sid = -(len(names[0]) + len(names[1])) % 4
    at_end = -(len(strings) + len(data)) % 4
    if not sid:
        before_sid, at_end = 0, before_sid + at_end
    body = sum(map(len, names)) + before_sid + len(sid) + len(strings) + len(data) + at_end
    head = struct.pack(
        "<I4s4I4H6I", 60 + body, b"eLfL", number, r["time_generated"], r["time_written"],
        r["event_id"], r["type"], len(r["strings"]), r["category"], 0, 0, 0, len(sid), 0,
        len(data), 0)
    parts = [sized(names[0]), sized(names[1]), struct.pack("<I", before_sid), sized(sid),
             sized(strings), sized(data), struct.pack("<I", at_end)]
    return head + b"".join(parts)


def main():
    folder, log = os.path.realpath(sys.argv[1]), sys.argv[2]
    conf = folder + "/smb.conf"
    key = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\Eventlog\\" + log
    # Samba prunes by these at each open.
    limits = {"MaxSize": 0x40000000, "Retention": 0x7FFFFFFF}
    for name, value in limits.items():
        subprocess.run(["net", "-s", conf, "registry", "setvalue", key, name, "dword", str(value)],
                       check=True, stdout=subprocess.DEVNULL)
    path = f"{folder}/state/eventlog/{log.lower()}.tdb"
    if not os.path.exists(path):
        subprocess.run(["eventlogadm", "-s", conf, "-o", "write", log], check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = [json.loads(line) for line in sys.stdin]
    db = tdb.Tdb(path, 0, tdb.DEFAULT, os.O_RDWR)
    info = lambda name: b"INFO/" + name + b"\0"
    db.transaction_start()
    db[info(b"maxsize")] = struct.pack("<i", limits["MaxSize"])
    db[info(b"retention")] = struct.pack("<i", limits["Retention"])
    first = struct.unpack("<i", db[info(b"next_record")])[0]
    if len(sys.argv) > 3:
        oldest = struct.unpack("<i", db[info(b"oldest_entry")])[0]
        below = first if sys.argv[3] == "clear" else int(sys.argv[3])
        for number in range(oldest, below):
            db.delete(struct.pack("<i", number))
        # A log that was cleared counts from 1 again.
        first, oldest = (1, 1) if sys.argv[3] == "clear" else (first, below)
        db[info(b"oldest_entry")] = struct.pack("<i", oldest)
    for number, record in enumerate(records, first):
        db[struct.pack("<i", number)] = pack(number, record)
    db[info(b"next_record")] = struct.pack("<i", first + len(records))
    db.transaction_commit()
    db.close()


main()

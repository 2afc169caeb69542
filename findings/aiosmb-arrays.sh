#!/usr/bin/env bash
# The package aiosmb, version 0.4.14, its decoder of BinXml (what MS-EVEN6 sends of an event): arrays.
#
# Input: the BinXml of an event with two elements, Data with the name Disks and Data with the name Free.
# The first is substituted by an array of the strings C and D, the second by the number 7. Once the tokens
# are those of a normal substitution, once those of an optional one.
#
# Expected: the element is there once for each string, with its attributes (MS-EVEN6 3.1.4.7.5, Array Types),
# as the one of the number is:
#   <Data Name="Disks">C</Data><Data Name="Disks">D</Data><Data Name="Free">7</Data>
# Seen: each string is in an element Data without attributes. With a normal substitution these are inside of
# the one that has the name, with an optional one they take its place, and the name is nowhere in the text.
# An element Disk, without a name, becomes two of Data then as well.
#
# Who looks for a value of an event by its name doesn't find it, without an error.
#
# Succeeds as long as that is so, and fails once it changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiosmb==0.4.14
venv/bin/python - <<'PYTHON'
import struct, sys

from aiosmb.dcerpc.v5.common.even6.binxml import Fragment

# Tokens and types of MS-EVEN6 2.2.12.
END, OPEN, CLOSE, END_ELEMENT, TEXT, ATTRIBUTE, TEMPLATE = b"\0\x01\x02\x04\x05\x06\x0c"
NORMAL, OPTIONAL, MORE = 0x0D, 0x0E, 0x40
STRING, UINT32, STRINGS = 0x01, 0x08, 0x81
HEADER = bytes([0x0F, 1, 1, 0])


def utf16(text):
    return text.encode("utf-16-le")


def name(text):
    number = 0
    for character in text:
        number = (number * 65599 + ord(character)) & 0xFFFFFFFF
    return struct.pack("<HH", number & 0xFFFF, len(text)) + utf16(text) + bytes(2)


def element(tag, content, called=None, depends_on=0xFFFF):
    attributes = b""
    if called:
        text = struct.pack("<BBH", TEXT, STRING, len(called)) + utf16(called)
        one = bytes([ATTRIBUTE]) + name("Name") + text
        attributes = struct.pack("<I", len(one)) + one
    rest = name(tag) + attributes + bytes([CLOSE]) + content + bytes([END_ELEMENT])
    return struct.pack("<BHI", OPEN | MORE if called else OPEN, depends_on, len(rest)) + rest


def event(token, tag, called):
    first = element(tag, struct.pack("<BHB", token, 0, STRINGS), called, 0)
    second = element("Data", struct.pack("<BHB", token, 1, UINT32), "Free", 1)
    definition = HEADER + element("Event", first + second) + bytes([END])
    values = [(STRINGS, utf16("C\0D\0")), (UINT32, struct.pack("<I", 7))]
    instance = bytes([TEMPLATE, 0]) + bytes(range(16))
    instance += struct.pack("<I", len(definition)) + definition
    instance += struct.pack("<I", len(values))
    instance += b"".join(struct.pack("<HBB", len(value), kind, 0) for kind, value in values)
    instance += b"".join(value for _, value in values)
    return HEADER + instance + bytes([END])


def check(token, tag, called, expected):
    seen = Fragment.from_bytes(event(token, tag, called)).to_xml().replace("\r\n", "")
    print(seen)
    if seen != f'<Event>{expected}<Data Name="Free">7</Data></Event>':
        sys.exit(f"no longer {expected}")


inner = "<Data>C</Data><Data>D</Data>"
check(NORMAL, "Data", "Disks", f'<Data Name="Disks">{inner}</Data>')
check(OPTIONAL, "Data", "Disks", inner)
check(OPTIONAL, "Disk", None, inner)
PYTHON

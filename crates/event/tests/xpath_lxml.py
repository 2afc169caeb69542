#!/usr/bin/env python3
"""Compares the test of event queries with libxml2's XPath 1.0, by way of lxml.

Reads the lines of the example xpath_cases from standard input:

    cargo run -p quarry-event --features testing --example xpath_cases -- 20000 \
        | python3 crates/event/tests/xpath_lxml.py

The test pushed_xpath of quarry-eventlog gives it such lines, too, and others with a filter's XPath: the
selects that a server is asked, whether the filter passes the event, and whether the selects are exact.
Times in quotes, which XPath 1.0 can't compare, are made numbers there, of units since an hour before now.

The events and queries are of the part of both languages that means the same in both: numbers in
decimal, no namespaces, no times or GUIDs in quotes, elements with elements inside never compared.
band() and timediff(), which XPath 1.0 lacks, are defined here.
"""

import datetime
import json
import re
import sys

from lxml import etree

EPOCH = datetime.datetime(1601, 1, 1)


def filetime(text):
    """100 ns units since 1601 of a time such as 2026-08-22T10:00:00.1234567Z."""
    whole, fraction = text.removesuffix("Z").split(".")
    since = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S") - EPOCH
    return (since.days * 86400 + since.seconds) * 10_000_000 + int(fraction.ljust(7, "0"))


def texts(argument):
    """The texts that an argument of a function may stand for."""
    if isinstance(argument, list):
        return [node if isinstance(node, str) else node.text or "" for node in argument]
    return [str(int(argument)) if isinstance(argument, float) else argument]


def band(_, a, b):
    def bits(argument):
        for text in texts(argument):
            try:
                yield int(text, 0)
            except ValueError:
                pass

    return any(x >= 0 and y >= 0 and x & y for x in bits(a) for y in bits(b))


TIME = re.compile(r"(['\"])(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z)\1")


def select(case, functions):
    """Whether one of a filter's selects takes the event."""
    base = case["now"] - 36_000_000_000

    def number(text):
        return str(filetime(text) - base)

    document = etree.fromstring("<document>" + case["xml"] + "</document>")
    for created in document.iter("TimeCreated"):
        created.set("SystemTime", number(created.get("SystemTime")))
    for query in case["selects"]:
        query = TIME.sub(lambda match: number(match[2]), query)
        result = document.xpath(query, extensions=functions)
        if result if isinstance(result, bool) else len(result) > 0:
            return True
    return False


def main():
    now = None

    def timediff(_, since):
        (text,) = texts(since)
        units = now - filetime(text)
        return float(units // 10_000 if units >= 0 else -(-units // 10_000))

    functions = {(None, "band"): band, (None, "timediff"): timediff}
    count = selected = 0
    for line in sys.stdin:
        case = json.loads(line)
        now = case["now"]
        if "selects" in case:
            sent = select(case, functions)
            if (case["passes"] and not sent) or (case["exact"] and sent and not case["passes"]):
                print(f"lxml says {sent}:", line, file=sys.stderr)
                return 1
            count += 1
            selected += sent
            continue
        document = etree.fromstring("<document>" + case["xml"] + "</document>")
        result = document.xpath(case["query"], extensions=functions)
        expected = result if isinstance(result, bool) else len(result) > 0
        if expected != case["selected"]:
            print(f"lxml says {expected}:", line, file=sys.stderr)
            return 1
        count += 1
        selected += expected
    print(f"{count} queries, {selected} of which select: lxml agrees on every one")
    return 0 if 0 < selected < count else 1


if __name__ == "__main__":
    sys.exit(main())

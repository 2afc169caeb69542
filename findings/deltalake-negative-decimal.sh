#!/usr/bin/env bash
# The package deltalake, version 1.6.6: a table partitioned by a column of decimals, some below zero.
#
# Input: a table with a column of type decimal(10,2) by which it is partitioned. 1.50 is written first,
# -1.50 and -0.05 are appended.
#
# Expected: the log has the partition's value as "The string representation of the number" (Delta protocol,
# section Partition Value Serialization, numeric types): -1.50 and -0.05.
# Seen: the log has `-1.-50` and `0.-5`, the sign at the digits behind the point. The append raises an error,
# but is committed all the same, and from then on the table can't be read, 1.50 neither. Whole negative
# numbers (-2.00), and decimals in columns that are no partition's, are right.
#
# Who partitions by amounts or offsets can't read any of the table from the first one below zero on.
#
# Succeeds as long as that is so, and fails once it changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==25.0.1
venv/bin/python - <<'PYTHON'
import decimal, glob, json, sys

import pyarrow
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError


def write(folder, texts, by):
    """Whether it raises no error."""
    numbers = pyarrow.array([decimal.Decimal(text) for text in texts], pyarrow.decimal128(10, 2))
    rows = pyarrow.table({"text": texts, "number": numbers})
    try:
        write_deltalake(folder, rows, mode="append", partition_by=by)
    except DeltaError:
        return False
    return True


def read(folder):
    """The numbers, or none if the table can't be read."""
    try:
        return sorted(str(n) for n in DeltaTable(folder).to_pyarrow_table()["number"].to_pylist())
    except DeltaError:
        return None


def partitions(folder):
    lines = [line for name in glob.glob(f"{folder}/_delta_log/*.json") for line in open(name)]
    added = [json.loads(line)["add"] for line in lines if line.startswith('{"add"')]
    return sorted(file["partitionValues"]["number"] for file in added)


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"no longer {expected}")


write("plain", ["1.50", "-1.50", "-0.05"], None)
check("no partitions", read("plain"), ["-0.05", "-1.50", "1.50"])
write("whole", ["-2.00"], ["number"])
check("a whole number", read("whole"), ["-2.00"])

write("table", ["1.50"], ["number"])
check("before", read("table"), ["1.50"])
check("appended without an error", write("table", ["-1.50", "-0.05"], ["number"]), False)
check("in the log", partitions("table"), ["-1.-50", "0.-5", "1.50"])
check("after", read("table"), None)
PYTHON

"""Inserts a table's rows with DuckDB, from Arrow in memory: TABLE FOLDER ROUNDS.

Each of the table's commits is one `INSERT`, which DuckDB commits by itself, with one thread. Prints a line of
JSON: seconds of processors of the best round, and the rows.
"""

import glob
import importlib.resources
import json
import os
import pathlib
import sys
import time

import duckdb
import pyarrow.parquet

table, folder, rounds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])


def batches():
    for commit in sorted(glob.glob(f"{table}/_delta_log/*.json")):
        added = [json.loads(line).get("add") for line in open(commit)]
        files = [os.path.join(table, file["path"]) for file in added if file]
        if files:
            yield pyarrow.concat_tables(pyarrow.parquet.read_table(file) for file in files)


held = list(batches())
best = float("inf")
for number in range(rounds):
    path = folder / f"{number}.duckdb"
    for old in folder.glob(f"{path.name}*"):
        old.unlink()
    duck = duckdb.connect(str(path), config={"threads": 1, "allow_unsigned_extensions": "true"})
    batch = held[0]
    duck.execute("CREATE TABLE events AS SELECT * FROM batch LIMIT 0")
    begun = time.process_time()
    for batch in held:
        duck.execute("INSERT INTO events SELECT * FROM batch")
    best = min(best, time.process_time() - begun)
    if number + 1 < rounds:
        duck.close()
        path.unlink()

# What was inserted is what the table has, row for row.
package = pathlib.Path(str(importlib.resources.files("duckdb_extension_delta")))
duck.execute(f"LOAD '{next(package.rglob('*.duckdb_extension'))}'")
duck.execute(f"ATTACH '{table}' AS store (TYPE delta)")
same = "SELECT count(*), sum(hash(r)::HUGEINT) FROM (SELECT * FROM {}) r"
ours, theirs = (duck.execute(same.format(name)).fetchone() for name in ("store", "events"))
if ours != theirs:
    sys.exit(f"{ours} here, and {theirs} in DuckDB")
duck.close()
path.unlink()
print(json.dumps({"work": "insert", "took": best, "answer": theirs[0]}))

"""Reads a table with somebody else's reader and prints a row a line, as JSON, in order.

    python read.py deltalake URL OPTIONS      records, of a table anywhere
    python read.py duckdb FOLDER              records, times and data, of a local table
"""

import json
import os
import sys


def with_deltalake(url, options):
    from deltalake import DeltaTable

    table = DeltaTable(url, storage_options=json.loads(options))
    rows = table.to_pyarrow_table(columns=["source", "log", "log_record"]).to_pylist()
    return [[row["source"], row["log"], row["log_record"]] for row in rows]


def with_duckdb(folder):
    import pathlib

    import duckdb
    import duckdb_extension_delta

    package = pathlib.Path(duckdb_extension_delta.__file__).parent
    (extension,) = package.glob("extensions/*/delta.duckdb_extension")
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    query = """
        SELECT source, log, log_record, epoch_us(time), tick, host, event_id, keywords,
               map_entries(data), kind
        FROM delta_scan(?)
    """
    rows = connection.execute(query, [folder]).fetchall()
    return [
        [*row[:8], [[entry["key"], entry["value"]] for entry in row[8] or []], row[9]] for row in rows
    ]


rows = with_deltalake(*sys.argv[2:]) if sys.argv[1] == "deltalake" else with_duckdb(sys.argv[2])
for row in sorted(rows, key=lambda row: row[:3]):
    print(json.dumps(row))
# Arrow's threads, where they still end, can end the interpreter with an error.
sys.stdout.flush()
os._exit(0)

"""Asks DuckDB what `cargo xtask bench store` asks: a line of JSON a question, the best of some rounds."""

import importlib.resources
import json
import pathlib
import sys
import time

import duckdb

table, rounds = sys.argv[1], int(sys.argv[2])

package = pathlib.Path(str(importlib.resources.files("duckdb_extension_delta")))
extension = next(package.rglob("*.duckdb_extension"))
duck = duckdb.connect(config={"allow_unsigned_extensions": "true"})
duck.execute(f"LOAD '{extension}'")
duck.execute("SET TimeZone = 'UTC'")
# Attached once, so that the table's log isn't read for each question.
duck.execute(f"ATTACH '{table}' AS store (TYPE delta)")
duck.execute("CREATE VIEW ev AS SELECT * FROM store WHERE kind = 'event'")

NEWEST = "SELECT * FROM ev {} ORDER BY time DESC, tick DESC, source DESC, log DESC, log_record DESC LIMIT 100"
DAY = "TIMESTAMPTZ '2026-10-16 00:00:00+00'"
FACETS = ["level", "host", "channel", "event_id", "provider"]


def rows(sql):
    return duck.execute(sql).to_arrow_table().num_rows


def hour():
    sql = f"""SELECT epoch_us(time) // 60000000, level, count(*) FROM ev
        WHERE time >= {DAY} AND time < {DAY} + INTERVAL 1 HOUR GROUP BY ALL"""
    return sum(row[2] for row in duck.execute(sql).fetchall())


def facets():
    found = len({row[0] for row in duck.execute(
        "SELECT epoch_us(time) // 86400000000, level, count(*) FROM ev GROUP BY ALL").fetchall()})
    for name in FACETS:
        found += rows(f"SELECT {name}, count(*) AS n FROM ev GROUP BY ALL ORDER BY n DESC")
    return found


WORK = {
    "newest": lambda: rows(NEWEST.format("")),
    "newest of a host": lambda: rows(NEWEST.format("WHERE host = 'host07.corp.example'")),
    "newest of errors": lambda: rows(NEWEST.format("WHERE level BETWEEN 1 AND 2")),
    "an hour": hour,
    "facets": facets,
    "a word": lambda: duck.execute(
        "SELECT count(*) FROM ev WHERE text LIKE '%zebrafish%'").fetchone()[0],
}
for name, work in WORK.items():
    best, answer = float("inf"), None
    for _ in range(rounds):
        begun = time.monotonic()
        answer = work()
        best = min(best, time.monotonic() - begun)
    print(json.dumps({"work": name, "took": best, "answer": answer}))

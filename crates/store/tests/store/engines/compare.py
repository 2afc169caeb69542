"""Compares answers of DuckDB and Polars on a Delta table with those in N.arrow, for each N.sql."""

import importlib.resources
import pathlib
import sys

import duckdb
import polars
import pyarrow

table, folder = sys.argv[1], pathlib.Path(sys.argv[2])

package = pathlib.Path(str(importlib.resources.files("duckdb_extension_delta")))
extension = next(package.rglob("*.duckdb_extension"))
duck = duckdb.connect(config={"allow_unsigned_extensions": "true"})
duck.execute(f"LOAD '{extension}'")
duck.execute("SET TimeZone = 'UTC'")
duck.execute(f"CREATE VIEW events AS SELECT * FROM delta_scan('{table}') WHERE kind = 'event'")

frame = polars.scan_delta(table).filter(polars.col("kind") == "event")
lazy = polars.SQLContext(events=frame)


def rows(answer):
    """Rows of plain values: times in microseconds since 1970."""
    columns = []
    for column in answer.columns:
        if pyarrow.types.is_timestamp(column.type):
            assert column.type.unit == "us", column.type
            column = column.cast(pyarrow.int64())
        columns.append(column.to_pylist())
    return list(zip(*columns))


same = 0
for path in sorted(folder.glob("*.sql"), key=lambda path: int(path.stem)):
    sql = path.read_text()
    with pyarrow.OSFile(str(path.with_suffix(".arrow"))) as file:
        ours = pyarrow.ipc.open_stream(file).read_all()
    assert len(ours) > 0, sql
    theirs = {
        "DuckDB": duck.execute(sql).to_arrow_table(),
        "Polars": lazy.execute(sql).collect().to_arrow(),
    }
    for engine, answer in theirs.items():
        assert answer.column_names == ours.column_names, (engine, sql)
        a, b = rows(ours), rows(answer)
        assert a == b, (engine, sql, [pair for pair in zip(a, b) if pair[0] != pair[1]][:3])
        same += 1
print(same, "answers are the same")

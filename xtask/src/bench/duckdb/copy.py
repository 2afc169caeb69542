"""Copies JSON lines to Parquet with DuckDB: INPUT OUTPUT THREADS."""

import sys

import duckdb

lines, parquet, threads = sys.argv[1:]
duck = duckdb.connect(config={"threads": threads})
# As JSON of any shape: what differs from event to event is a map.
columns = (
    "{v: 'TINYINT', time: 'VARCHAR', source: 'VARCHAR', host: 'VARCHAR', log: 'VARCHAR', "
    "log_record: 'BIGINT', computer: 'VARCHAR', channel: 'VARCHAR', record_id: 'BIGINT', "
    "provider: 'VARCHAR', provider_guid: 'VARCHAR', event_id: 'INTEGER', qualifiers: 'INTEGER', "
    "version: 'SMALLINT', level: 'SMALLINT', level_name: 'VARCHAR', task: 'INTEGER', "
    "opcode: 'INTEGER', keywords: 'VARCHAR', user_sid: 'VARCHAR', process_id: 'BIGINT', "
    "thread_id: 'BIGINT', activity_id: 'VARCHAR', related_activity_id: 'VARCHAR', "
    "data: 'MAP(VARCHAR, JSON)', user_data: 'JSON', message: 'VARCHAR', message_source: 'VARCHAR'}"
)
duck.execute(
    f"COPY (SELECT * FROM read_json('{lines}', format = 'newline_delimited', columns = {columns})) "
    f"TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)"
)

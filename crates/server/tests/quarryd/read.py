"""Prints the rows of a Delta table, a JSON object a line; none where there is no table.

    python read.py URL [OPTIONS]      its storage's options, as JSON
"""

import json
import os
import sys

from deltalake import DeltaTable

COLUMNS = ["kind", "source", "host", "log", "log_record", "message", "event_id"]
options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
if DeltaTable.is_deltatable(sys.argv[1], options):
    table = DeltaTable(sys.argv[1], storage_options=options).to_pyarrow_table(columns=COLUMNS)
    for row in table.to_pylist():
        print(json.dumps(row))
# Arrow's threads, where they still end, can end the interpreter with an error.
sys.stdout.flush()
os._exit(0)

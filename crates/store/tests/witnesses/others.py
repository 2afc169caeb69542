"""Does with a table what a program that knows nothing of us may do.

    python others.py append|delete|tidy|overwrite|restore FOLDER
"""

import os
import sys

import pyarrow
from deltalake import DeltaTable, write_deltalake

work, folder = sys.argv[1:]
table = DeltaTable(folder)
if work == "append":
    write_deltalake(folder, table.to_pyarrow_table().slice(0, 1), mode="append")
elif work == "delete":
    table.delete("log_record = 3")
elif work == "tidy":
    table.optimize.compact()
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    table.create_checkpoint()
elif work == "overwrite":
    other = pyarrow.table({"name": ["somebody"], "age": [42]})
    write_deltalake(folder, other, mode="overwrite", schema_mode="overwrite")
elif work == "restore":
    table.restore(table.version() - 1)
else:
    sys.exit(__doc__)
# Arrow's threads, where they still end, can end the interpreter with an error.
sys.stdout.flush()
os._exit(0)

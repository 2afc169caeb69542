"""Makes a Delta table that isn't one of events."""

import sys

import pyarrow as pa
from deltalake import write_deltalake

write_deltalake(sys.argv[1], pa.table({"name": ["somebody"], "age": [42]}))

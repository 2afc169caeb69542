#!/usr/bin/env bash
# The package impacket, version 0.13.1: `hEvtRpcQueryNext` of `impacket.dcerpc.v5.even6`.
#
# Input: a query whose result set has the records 1 to 12, asked for by three at a time until there are no
# more. In place of a server there is an object with the method `request`, which is all that the function
# uses of a connection. It answers as the protocol says, and goes on with each request.
#
# Expected: a call is one request, and returns "the next batch of records from a query result set"
# (MS-EVEN6 3.1.4.13, EvtRpcQueryNext): four calls return 1 to 12.
# Seen: a call sends two requests and returns the answer to the second. The answer to the first is dropped,
# and so the records 1 to 3 and 7 to 9 are.
#
# Who reads a log by this function gets every other batch of it, without an error.
#
# Succeeds as long as that is so, and fails once it changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check impacket==0.13.1
venv/bin/python - <<'PYTHON'
import sys

from impacket import system_errors
from impacket.dcerpc.v5 import even6

RECORDS, BATCH = range(1, 13), 3


class Server:
    """A result set with a cursor."""

    def __init__(self):
        self.left = list(RECORDS)
        self.requests = 0

    def request(self, request):
        assert request.opnum == even6.EvtRpcQueryNext.opnum
        self.requests += 1
        count = request["NumRequestedRecords"]
        batch, self.left = self.left[:count], self.left[count:]
        if not batch:
            raise even6.DCERPCSessionError(error_code=system_errors.ERROR_NO_MORE_ITEMS)
        answer = even6.EvtRpcQueryNextResponse()
        answer["NumActualRecords"] = len(batch)
        answer["EventDataIndices"] = list(range(len(batch)))
        answer["EventDataSizes"] = [1] * len(batch)
        # A record is a byte, its number: the function doesn't look into them.
        answer["ResultBufferSize"] = len(batch)
        answer["ResultBuffer"] = bytes(batch)
        answer["ErrorCode"] = 0
        return answer


server, handle = Server(), even6.CONTEXT_HANDLE_LOG_QUERY()
calls, records = 0, []
try:
    while True:
        answer = even6.hEvtRpcQueryNext(server, handle, BATCH)
        calls += 1
        records += list(answer["ResultBuffer"])
        assert server.requests <= len(RECORDS)
except even6.DCERPCSessionError as error:
    assert error.error_code == system_errors.ERROR_NO_MORE_ITEMS

print(f"{calls} calls returned the records {records} of {list(RECORDS)}")
if records != [4, 5, 6, 10, 11, 12]:
    sys.exit("no longer every other batch")
PYTHON

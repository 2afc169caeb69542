"""Reads a log over MS-EVEN with impacket, in the largest reads that Samba takes, and does nothing
with what comes but count it. Prints how many records came, and the processor time that it took
from the first call on, without Python's start and the logon.

usage: read_classic.py SMB-PORT USER PASSWORD LOG
"""

import resource
import struct
import sys

from impacket.dcerpc.v5 import even, transport
from impacket.smbconnection import SMBConnection

LARGEST = 0x7FFFF


def processor_time():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    port, user, password, log = sys.argv[1:]
    host = "127.0.0.1"
    smb = SMBConnection(host, host, sess_port=int(port))
    smb.login(user, password, "")
    pipe = transport.SMBTransport(host, int(port), r"\eventlog", smb_connection=smb)
    rpc = pipe.get_dce_rpc()
    rpc.connect()
    rpc.bind(even.MSRPC_UUID_EVEN)
    start = processor_time()
    handle = even.hElfrOpenELW(rpc, log + "\0", "\0")["LogHandle"]
    flags = even.EVENTLOG_SEQUENTIAL_READ | even.EVENTLOG_FORWARDS_READ
    wanted = even.hElfrNumberOfRecords(rpc, handle)["NumberOfRecords"]
    records = 0
    while records < wanted:
        answer = even.hElfrReadELW(rpc, handle, flags, 0, LARGEST)
        raw = b"".join(answer["Buffer"])[: answer["NumberOfBytesRead"]]
        if not raw:
            break
        at = 0
        while at < len(raw):
            at += struct.unpack_from("<I", raw, at)[0]
            records += 1
    print(records, processor_time() - start)


main()

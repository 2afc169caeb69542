"""Reads a log over MS-EVEN6 with impacket's RPC runtime: the calls that quarry makes, with packet
privacy, and nothing done with what comes. Prints how many records came, and the processor time
that it took from the first call on, without Python's start.

usage: read_log.py MAPPER-PORT USER PASSWORD CHANNEL BATCH
"""

import resource
import struct
import sys

from impacket.dcerpc.v5 import epm, even6, transport
from impacket.dcerpc.v5.rpcrt import RPC_C_AUTHN_LEVEL_PKT_PRIVACY

REGISTER_LOG_QUERY, QUERY_NEXT = 5, 11
CHANNEL_PATH_FORWARD = 0x101
NO_MORE_ITEMS = 0x103


def wide_string(text):
    data = (text + "\0").encode("utf-16-le")
    units = len(data) // 2
    head = struct.pack("<III", units, 0, units)
    return head + data + b"\0" * (-len(data) % 4)


def processor_time():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    port, user, password, channel, batch = sys.argv[1:]
    domain, user = user.split("\\")
    mapper = transport.DCERPCTransportFactory("ncacn_ip_tcp:127.0.0.1[%s]" % port).get_dce_rpc()
    mapper.connect()
    binding = epm.hept_map("127.0.0.1", even6.MSRPC_UUID_EVEN6, protocol="ncacn_ip_tcp", dce=mapper)
    connection = transport.DCERPCTransportFactory(binding)
    connection.set_credentials(user, password, domain)
    rpc = connection.get_dce_rpc()
    rpc.set_auth_level(RPC_C_AUTHN_LEVEL_PKT_PRIVACY)
    rpc.connect()
    rpc.bind(even6.MSRPC_UUID_EVEN6)
    start = processor_time()
    path = struct.pack("<I", 0x20000) + wide_string(channel)
    query = wide_string("*")
    rpc.call(REGISTER_LOG_QUERY, path + query + struct.pack("<I", CHANNEL_PATH_FORWARD))
    handle = rpc.recv()[:20]
    records = 0
    while True:
        rpc.call(QUERY_NEXT, handle + struct.pack("<III", int(batch), 5000, 0))
        answer = rpc.recv()
        (status,) = struct.unpack("<I", answer[-4:])
        if status == NO_MORE_ITEMS:
            break
        if status != 0:
            sys.exit("QueryNext: 0x%x" % status)
        records += struct.unpack("<I", answer[:4])[0]
    print(records, processor_time() - start)


main()

"""even6_server.py SERVER.PY ARGUMENT... - the rig's server with one repair.

Scapy verifies the MIC of an NTLM AUTHENTICATE_MESSAGE over the message as it
builds it anew, and when the message's fields are not in the order that it would
choose itself, that loses the byte before them. Here the MIC is verified over
the bytes that came, which is stricter.
"""
import os
import runpy
import sys

from scapy.config import conf

conf.ipv6_enabled = False
from scapy.layers import ntlm  # noqa: E402


def verify_mic(self, key, negotiate, challenge):
    raw = bytes(self.original)
    raw = raw[:72] + bytes(16) + raw[88:]
    return self.MIC == ntlm.HMAC_MD5(key, bytes(negotiate) + bytes(challenge) + raw)


ntlm.NTLM_AUTHENTICATE.verify_mic = verify_mic
del sys.argv[0]
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")

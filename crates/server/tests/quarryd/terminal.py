"""Runs a program as on a terminal, and copies to standard output what it prints there."""

import os
import pty
import sys

master, slave = pty.openpty()
if os.fork() == 0:
    os.close(slave)
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            # Nobody has the other side any more.
            break
        if not part:
            break
        os.write(1, part)
    os._exit(0)
os.close(master)
os.dup2(slave, 1)
os.close(slave)
os.execv(sys.argv[1], sys.argv[1:])

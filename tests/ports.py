"""TCP ports for servers of the tests."""

import contextlib
import itertools
import os
import random
import socket

# Suites that run side by side have ports of their own.
FIRST, LAST = map(int, os.environ.get(
    "HOLDFAST_TEST_PORTS", "15000-32767").split("-"))

_turn = itertools.cycle(range(FIRST, LAST + 1))
for _ in range(random.randint(0, LAST - FIRST)):
    next(_turn)


def free_port(host="127.0.0.1"):
    """One that no client of ours is given meanwhile: those get ports from
    32768 on.  Nor is it given to anybody else for a long time, who might
    listen there first."""
    while True:
        port = next(_turn)
        with socket.socket(socket.AF_INET6 if ":" in host else
                           socket.AF_INET) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind((host, port))
                return port

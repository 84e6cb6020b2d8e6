"""TCP ports for servers of the tests."""

import contextlib
import os
import random
import socket

# Suites that run side by side have ports of their own.
FIRST, LAST = map(int, os.environ.get(
    "HOLDFAST_TEST_PORTS", "15000-32767").split("-"))


def free_port(host="127.0.0.1"):
    """One that no client of ours is given meanwhile: those get ports from
    32768 on."""
    while True:
        port = random.randint(FIRST, LAST)
        with socket.socket(socket.AF_INET6 if ":" in host else
                           socket.AF_INET) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind((host, port))
                return port

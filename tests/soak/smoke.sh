#!/bin/sh
# tests/soak/smoke.sh - a minute of the soak, with few clients: nothing is lost
# and everything goes away again.  Memory and latencies are not judged.
exec "${srcdir:-.}/tests/soak/run" --smoke --builddir "$PWD"

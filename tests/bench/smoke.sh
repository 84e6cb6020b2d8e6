#!/bin/sh
# tests/bench/smoke.sh - the benchmarks still run, in small; speed is not
# judged.
exec "${srcdir:-.}/tests/bench/run" --smoke --builddir "$PWD"

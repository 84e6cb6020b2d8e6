#!/bin/sh
# readme.sh BENCH.md README.md - put the report between README's marks.
set -eu
awk '
	FNR == NR { report = report $0 "\n"; next }
	/^<!-- bench -->$/ { print; printf "\n%s\n", report; inside = 1; next }
	/^<!-- \/bench -->$/ { inside = 0 }
	!inside
' "$1" "$2" >"$2.new"
mv "$2.new" "$2"

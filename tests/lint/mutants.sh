#!/bin/sh
# The planted faults (tests/fault/mutants/) still fit the code: `make
# check-mutants` takes minutes, and would say so late.
. "$(dirname "$0")/lint.sh"

if ! command -v patch >/dev/null; then
	echo '1..0 # SKIP there is no patch'
	exit
fi
for mutant in tests/fault/mutants/*.patch; do
	none "$(basename "$mutant") fits" "$(patch -p1 -F0 --dry-run \
	    -i "$mutant" >/dev/null 2>&1 || echo 'a part of it does not')"
done

echo "1..$checks"

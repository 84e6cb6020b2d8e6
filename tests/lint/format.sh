#!/bin/sh
# The C files look as .clang-format says.
. "$(dirname "$0")/lint.sh"

# Older versions do not know all of its options.
oldest=14
version=$(clang-format --version 2>/dev/null |
    sed -n 's/.*version \([0-9]*\).*/\1/p')
if [ "${version:-0}" -lt "$oldest" ]; then
	echo "1..0 # SKIP there is no clang-format $oldest or newer"
	exit 77
fi

none 'clang-format finds nothing to do' \
    "$(c_files | xargs clang-format --dry-run -Werror 2>&1 |
    grep -E '(error|warning):' | cut -d: -f1 | uniq -c)"

echo "1..$checks"

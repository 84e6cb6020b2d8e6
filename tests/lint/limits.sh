#!/bin/sh
# doc/LIMITS.md says what the code does: every limit that can be set stands
# there with its default, every constant with its value, every counter of
# base/limit.tbl has its row, and the tests that are named exist.
. "$(dirname "$0")/lint.sh"

page=doc/LIMITS.md
tab=$(printf '\t')

# Of the tables of limits.
rows=$(sed -n '/^## How much/q; /^| `/p' $page)

# row NAME: its row in a table of settings or constants.
row()
{
	printf '%s\n' "$rows" | grep "^| \`$1\`"
}

# cell N, of the row on standard input
cell()
{
	awk -F ' *[|] *' -v n=$(($1 + 1)) '{ print $n }'
}

# NAME<tab>DEFAULT lines: where the page says otherwise.
differ()
{
	while IFS=$tab read -r name default; do
		said=$(row "$name" | cell 2)
		case $default in
		NULL) case $said in
			'('*) ;;
			*) echo "$name: not set, and \"$said\"" ;;
			esac ;;
		*) case $said in
			"$default" | "$default ("*) ;;
			*) echo "$name: $default, and \"$said\"" ;;
			esac ;;
		esac
	done
}

settings=$(sed -En \
    -e 's/^CONF\(([a-z_]+), (SIZE|NUMBER|TIME), [^,]*, "([^"]*)",$/\1'"$tab"'\3/p' \
    daemon/conf.tbl
    sed -En '/^SETTING\([a-z_0-9]+, COUNT,/ {
	N
	/"0\.3\.x name of/d
	s/^SETTING\(([a-z_0-9]+), [^,]*, [^,]*, [^,]*, "?([^",]*)"?,\n.*/\1'"$tab"'\2/p
    }' api/settings.tbl)

none 'settings were found' \
    "$([ "$(printf '%s\n' "$settings" | wc -l)" -gt 20 ] || echo few)"
none 'every limit that can be set is there, with its default' \
    "$(printf '%s\n' "$settings" | differ)"

# constants: NAME FILE VALUE
constants=$(printf '%s\n' "$rows" |
    sed -En 's/^\| `([A-Z_]+)` \(([a-z_/.]+)\) \| ([0-9]+)([km]?) .*/\1 \2 \3 \4/p')
# A define's value in bytes: 512, ((size_t)64 << 20), 256 << 10.
defined()
{
	sed -En "s/^#define $1[ $tab]+(.*)/\1/p" "$2" |
	    sed -e 's,/\*.*,,' -e 's/(size_t)//g'
}
none 'constants were found' \
    "$([ "$(printf '%s\n' "$constants" | wc -l)" -gt 20 ] || echo few)"
none 'every constant has that value' \
    "$(printf '%s\n' "$constants" | while read -r name file n unit; do
	case $unit in
	k) n=$((n * 1024)) ;;
	m) n=$((n * 1024 * 1024)) ;;
	esac
	value=$(defined "$name" "$file")
	[ -n "$value" ] && [ $(($value)) -eq "$n" ] ||
	    echo "$name: $n, and in $file \"$value\""
    done)"

counters=$(sed -En 's/^LIMIT\(([a-z_]+),.*/limit_\1/p' base/limit.tbl)
known="$counters
$(sed -En 's/^STAT\(([a-z_]+),.*/\1/p' base/stats.tbl)
$(sed -En 's/^CLOSE\([A-Z_]+,[ '"$tab"']*([a-z_]+),.*/close_\1/p' \
    fcgi/conn_close.tbl)"
none 'every counter of a limit is there' \
    "$(for name in $counters; do
	grep -q "\`$name\`" $page || echo "$name"
    done)"
none 'and in holdfastctl(1)' \
    "$(for name in $counters; do
	grep -q "^\.It Cm $name\$" man/holdfastctl.1 || echo "$name"
    done)"
none 'every counter that is named exists' \
    "$(printf '%s\n' "$rows" | cell 4 | tr -d ' ' | tr ',' '\n' |
    sed -n 's/^`\(.*\)`$/\1/p' | while read -r name; do
	printf '%s\n' "$known" | grep -Fxq "$name" || echo "$name"
    done)"

tests=$(sed 's/`/\n/g' $page | grep -E '^[a-z]+/[a-z_0-9]+\.(py|c)::[a-z_0-9]+$')
none 'every row has a test' \
    "$(printf '%s\n' "$rows" | grep -v '::test_')"
none 'every test that is named exists' \
    "$(for test in $tests; do
	file=tests/${test%%::*}
	name=${test##*::}
	grep -Eq "^(def )?$name\(" "$file" || echo "$test"
    done)"

echo "1..$checks"

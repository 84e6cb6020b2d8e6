#!/bin/sh
# The manuals name every key, directive and counter there is, are well formed,
# and the shipped holdfast.conf says nothing that the daemon refuses.
build=${builddir:-$PWD}
. "$(dirname "$0")/lint.sh"

page=$build/man/holdfast.conf.5

# rows TABLE: the names in a table.
rows()
{
	sed -n 's/^[A-Z_]*(\([a-z0-9_]*\),.*/\1/p' "$1"
}

for table in daemon/conf.tbl api/settings.tbl base/stats.tbl; do
	names=$(rows $table)
	none "$table has rows" "$([ -n "$names" ] || echo none)"
	none "holdfast.conf(5) names what is in $table" \
	    "$(for name in $names; do
		grep -q "^\.It Cm $name\$" "$page" || echo "$name"
	    done)"
done

if command -v mandoc >/dev/null; then
	for page in man/holdfastd.8 man/holdfastctl.1 "$page"; do
		none "mandoc has nothing to say about ${page##*/}" \
		    "$(mandoc -Tlint -Wwarning "$page")"
	done
fi

# As shipped, and with all of its lines in force; those are the defaults, save
# for a few examples.
holdfastd=${HOLDFASTD:-$build/holdfastd}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/empty"
sed -n 's/^#\([a-z]\)/\1/p; s/^#\(	.*\)/\1/p; s/^#}/}/p' \
    systemd/holdfast.conf >"$work/all"
examples='socket_group|log_file|push_stream_max_channel_id_length'

none 'the shipped holdfast.conf is right' \
    "$("$holdfastd" -t -c systemd/holdfast.conf >"$work/said" 2>&1 ||
    cat "$work/said")"
none 'so is every line it has in comments' \
    "$("$holdfastd" -t -c "$work/all" >"$work/said" 2>&1 ||
    cat "$work/said")"

"$holdfastd" -T -c "$work/empty" | grep -Ev "^(($examples) |\$)" >"$work/defaults"
"$holdfastd" -T -c "$work/all" | sed '/^licence/,/^}/d; /^location/,$d' |
    grep -Ev "^(($examples) |\$)" >"$work/settings"
none 'and the defaults there are the defaults' \
    "$(diff "$work/defaults" "$work/settings")"

echo "1..$checks"

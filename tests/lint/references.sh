#!/bin/sh
# What the documents name by file, `api/path.c` or `api/path.c:path_parse`, is
# there: a mechanism or a test that was renamed must not be promised any more.
# Tests are named by their ring's folder, `unit/test_map.c:test_grow`.
. "$(dirname "$0")/lint.sh"

references()
{
	grep -noE '`[a-z][a-z0-9_/-]*/[A-Za-z0-9_.-]+\.(c|h|py|sh|tbl|sql|in)(:[A-Za-z0-9_]+)?`' "$1" |
	tr -d '`'
}

# missing DOCUMENT: what it names and nobody has.
missing()
{
	references "$1" | while IFS=: read -r line file word; do
		[ -e "$file" ] || file=tests/$file
		if [ ! -e "$file" ]; then
			echo "$1:$line: there is no ${file#tests/}"
		elif [ -n "$word" ] && ! grep -qw -e "$word" "$file"; then
			echo "$1:$line: $file has no $word"
		fi
	done
}

for document in ARCHITECTURE.md README.md doc/*.md; do
	none "what $document names is there" "$(missing "$document")"
done
none 'the threats name their tests' "$([ "$(references doc/THREATS.md |
    grep -c ':test_')" -ge 50 ] || echo 'hardly any')"

echo "1..$checks"

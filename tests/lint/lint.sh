# tests/lint/lint.sh - what the lints share; each sources it first.
#
# They read the source folder and print TAP.

cd "${srcdir:-$(dirname "$0")/../..}" || exit 99

floors='base store push auth api fcgi daemon ctl'
checks=0

# none NAME OFFENCES: pass if there is no offence, else show them.
none()
{
	checks=$((checks + 1))
	if [ -z "$2" ]; then
		echo "ok $checks - $1"
	else
		echo "not ok $checks - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

# Every C file of the tree; what a build in the source folder has generated is
# not ours.
c_files()
{
	find $floors man tests -name '*.[ch]' ! -name '*.pb-c.[ch]' \
	    ! -name schema_sql.h
}

# Every file of the tree, generated ones left out.
tree_files()
{
	if [ -e .git ] && git ls-files >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard
	else
		ls -d autogen.sh configure.ac Makefile.am
		find $floors man m4 systemd nginx-examples apache-examples \
		    tests doc -type f ! -path '*/.*' ! -path '*/__pycache__/*' \
		    2>/dev/null
	fi | while read -r file; do
		case $file in
		tests/fuzz/corpus/*) ;;
		*) [ ! -f "$file" ] || printf '%s\n' "$file" ;;
		esac
	done
}

# FILE:LINE:CODE of the named files, comments and strings made empty.
c_code()
{
	awk '
	FNR == 1 { comment = 0 }
	{
		rest = $0
		code = ""
		while (rest != "") {
			if (comment) {
				end = index(rest, "*/")
				if (!end)
					break
				rest = substr(rest, end + 2)
				comment = 0
			} else if (match(rest, /^"([^"\\]|\\.)*"/)) {
				code = code "\"\""
				rest = substr(rest, RLENGTH + 1)
			} else if (match(rest, /^\047([^\047\\]|\\.)+\047/)) {
				code = code "0"
				rest = substr(rest, RLENGTH + 1)
			} else if (substr(rest, 1, 2) == "/*") {
				rest = substr(rest, 3)
				comment = 1
			} else {
				code = code substr(rest, 1, 1)
				rest = substr(rest, 2)
			}
		}
		print FILENAME ":" FNR ":" code
	}' "$@"
}

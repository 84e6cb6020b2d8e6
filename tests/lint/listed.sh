#!/bin/sh
# Every file is named in Makefile.am or in an include.am, or else it would be
# neither built, nor run by `make check`, nor distributed.
. "$(dirname "$0")/lint.sh"

# What automake and make distribute by themselves.
own='Makefile.am configure.ac check README README.md m4/flags.m4'
# What is of no use without the repository.
own="$own .gitignore"

named=$(cat Makefile.am $(find . -name include.am) |
    tr -s ' \t\\=' '\n\n\n\n' | sort -u)
listed()
{
	case " $own " in
	*" $1 "*) return 0 ;;
	esac
	case $1 in
	*/include.am) return 0 ;;
	esac
	printf '%s\n' "$named" | grep -Fxq -e "$1" -e "${1%.c}"
}

none 'every file is listed' \
    "$(tree_files | sort | while read -r file; do
	listed "$file" || echo "$file"
    done)"

echo "1..$checks"

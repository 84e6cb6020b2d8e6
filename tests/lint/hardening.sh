#!/bin/sh
# What configure asked of compiler and linker is in the programs: a flag that
# is lost on its way is missed by nobody else.
build=${builddir:-$PWD}
. "$(dirname "$0")/lint.sh"

makefile=$build/Makefile
readelf --version >/dev/null 2>&1 || {
	echo "1..0 # SKIP there is no readelf"
	exit 77
}

# asked FLAG: configure found that compiler and linker take it.
asked()
{
	grep -Eq "^HF_(CPP|C|LD)FLAGS = .*$1" "$makefile"
}

# has PROGRAM WHAT PATTERN READELF-OPTIONS: readelf shows it.
has()
{
	none "${1##*/}: $2" \
	    "$(readelf -W $4 "$1" | grep -Eq "$3" || echo "no $3")"
}

for program in "${HOLDFASTD:-$build/holdfastd}" \
    "${HOLDFASTCTL:-$build/holdfastctl}"; do
	name=${program##*/}
	has "$program" 'position independent' '^ *Type: *DYN' -h
	has "$program" 'position independent, as a program' 'Flags:.* PIE' -d
	has "$program" 'relocations read-only' '^ *GNU_RELRO' -l
	has "$program" 'and bound at the start' '(FLAGS\).*BIND_NOW|Flags:.* NOW)' -d
	none "$name: no stack and no segment is written and executed" \
	    "$(readelf -W -l "$program" | grep -E ' R?WE ')"
	has "$program" 'a stack that is not executed' '^ *GNU_STACK.* RW ' -l
	none "$name: no text relocation, no path of libraries" \
	    "$(readelf -W -d "$program" | grep -E 'TEXTREL|RPATH|RUNPATH')"
	if asked -fstack-protector-strong; then
		has "$program" 'stack protector' '__stack_chk_fail' --dyn-syms
	fi
	if asked -D_FORTIFY_SOURCE; then
		has "$program" 'fortified' '__[a-z]*printf_chk' --dyn-syms
	fi
done

# The programs say so only where the system's start files do, too.
if asked -fcf-protection=full; then
	none 'shadow stacks and indirect branches (CET) in every object' \
	    "$(readelf -W -n "$build/libholdfast.a" 2>/dev/null | awk '
		/^File:/ { name = $2; want[name] = 1 }
		/x86 feature: .*IBT.*SHSTK/ { delete want[name]; n++ }
		END {
			for (name in want)
				print name
			if (!n)
				print "none has it"
		}')"
fi

# On this machine none of them may have been refused.
case $(uname -m)-$(grep -c '^HF_CFLAGS = .*-fsanitize' "$makefile") in
x86_64-0)
	for flag in -fstack-protector-strong -fstack-clash-protection \
	    -fcf-protection=full -fPIE -pie -Wl,-z,relro -Wl,-z,now; do
		none "configure asked for $flag" \
		    "$(asked "$flag" || echo "it did not")"
	done
	;;
esac

echo "1..$checks"

#!/bin/sh
# autogen.sh - make ./configure out of configure.ac.
#
# --dev also configures the folder it is called from with every developer
# flag; further arguments go to configure.
set -eu

src=$(cd "$(dirname "$0")" && pwd)
(cd "$src" && autoreconf --install --force --warnings=all)

[ "${1-}" = --dev ] || exit 0
shift
exec "$src/configure" --enable-werror --enable-asan --enable-ubsan \
	--prefix=/usr --sysconfdir=/etc --localstatedir=/var \
	CFLAGS="${CFLAGS--O1 -g3 -fno-omit-frame-pointer}" "$@"

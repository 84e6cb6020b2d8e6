#!/bin/sh
# Calls go down: no floor includes what lies above it, and each library is
# known to its own rooms only.
. "$(dirname "$0")/lint.sh"

# includes FLOOR: FILE:LINE:NAME for each include of the floor.
includes()
{
	find "$1" -name '*.[ch]' -exec grep -nH '^[[:blank:]]*#[[:blank:]]*include' {} + |
	sed 's/#[[:blank:]]*include[[:blank:]]*//; s/[[:blank:]]*\/\*.*//; s/:[[:blank:]]*/:/g'
}

# floor NAME ALLOWED: own includes are of these folders only.
floor()
{
	none "$1/ includes only $2" \
	    "$(includes "$1" | grep ':"' |
	    grep -Ev ":\"($(echo "$2" | sed 's/ /|/g'))" |
	    grep -v '^base/base.h:[0-9]*:"config.h"$')"
}

# library HEADERS PLACES: the headers are included in these places only.
library()
{
	none "$1 only in $2" \
	    "$(for f in $floors; do includes "$f"; done |
	    grep -E ":<$1" | grep -Ev "^($2)")"
}

floor base	'base/'
floor store	'store/ base/'
floor push	'push/ store/ base/'
floor auth	'auth/ base/'
floor api	'api/ push/ store/ auth/ base/'
floor fcgi	'fcgi/ api/ push/ store/ auth/ base/'
floor daemon	'daemon/ fcgi/ api/ push/ store/ auth/ base/'
# The table of settings is data: `holdfastctl convert` takes names from it.
# `holdfastctl check` signs as sites do.
floor ctl	'ctl/ base/ auth/keyring\.h" api/settings\.tbl"'

library 'event2/|event\.h'	'fcgi/|daemon/|auth/tls\.'
library 'openssl/'		'auth/'
library 'sqlite3\.h'		'store/'
library 'pcre2\.h'		'api/padding\.'
library 'jansson\.h'		'api/bitrix/'
library 'protobuf-c/'		'api/bitrix/batch\.'
library 'confuse\.h'		'daemon/'
library 'fastcgi\.h'		'fcgi/'
library 'curl/'			'ctl/check_http\.'

none 'push/ knows no sockets, files or clocks' \
    "$(includes push | grep -E ':<(sys/(socket|stat|time)|netinet/.*|fcntl|unistd|time)\.h')"

echo "1..$checks"

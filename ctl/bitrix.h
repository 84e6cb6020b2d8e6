/*
 * ctl/bitrix.h - `holdfastctl bitrix`: what a site has to be told, and what the
 * daemon lacks for it.
 */
#ifndef CTL_BITRIX_H
#define CTL_BITRIX_H

#include "base/base.h"

#define BITRIX_USAGE \
	"holdfastctl [-s SOCKET] bitrix [--version N] [--https] HOST"
#define BITRIX_WRONG 2

struct bitrix_asked {
	const char *socket_path;
	const char *version; /* NULL: 4 */
	const char *host;
	bool https; /* the site answers nothing else */
};

/* 0: the daemon runs and has what this version needs; 1: something is missing,
 * and what was said; BITRIX_WRONG: no such version, or no host name. */
int bitrix_main(const struct bitrix_asked *asked);

#endif

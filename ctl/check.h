/*
 * ctl/check.h - `holdfastctl check`: does push work through this front?
 */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include "base/base.h"

#define CHECK_USAGE \
	"holdfastctl [-s SOCKET] check [--publish URL] [--stream URL]\n" \
	"                   [--websocket URL] [--insecure] [--wait SECONDS] " \
	"URL\n" \
	"       holdfastctl [-s SOCKET] check --bitrix [--version N] " \
	"[--key-file FILE]\n" \
	"                   [--insecure] [--wait SECONDS] SITE"
#define CHECK_WRONG 2

/* argv: all of the program's, `-s` and "check" among it.  0: everything that
 * was tried works; 1: something does not, and what was said; CHECK_WRONG: no
 * such options. */
int check_main(int argc, char **argv);

#endif

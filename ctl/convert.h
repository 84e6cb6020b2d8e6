/* ctl/convert.h - `holdfastctl convert`: from the module to Holdfast. */
#ifndef CTL_CONVERT_H
#define CTL_CONVERT_H

#include "base/base.h"

#define CONVERT_USAGE \
	"holdfastctl convert [--compat VERSION] [-o DIR] NGINX.CONF"

/* argv[0] is "convert".  0: all was translated; 3: somebody has to look at
 * what was said; 1: an error, also said; 2: wrong usage. */
int convert_main(int argc, char **argv);

#endif

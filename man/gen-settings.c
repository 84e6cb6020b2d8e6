/*
 * man/gen-settings.c - the lists of holdfast.conf(5), from the tables that the
 * daemon itself is made from.
 *
 * Reads the page's text, writes it with the lines @SETTINGS@ and @COUNTERS@
 * replaced.  "_" and "." need no escaping in mdoc; a leading dot or quote in a
 * help text would, so it is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/settings.h"

struct row {
	const char *name;
	const char *where;
	const char *initial;
	const char *help;
};

static const struct row daemon_rows[] = {
#define CONF(name, type, field, initial, help) { #name, "", initial, help },
#include "daemon/conf.tbl"
#undef CONF
};

static const struct row module_rows[] = {
#define SETTING(name, type, scope, field, initial, help) \
	{ #name, #scope, initial, help },
#include "api/settings.tbl"
#undef SETTING
};

static const struct row counter_rows[] = {
#define STAT(name, help) { #name, "", NULL, help },
#include "base/stats.tbl"
#undef STAT
#define LIMIT(name, level, help) { "limit_" #name, "", NULL, help },
#include "base/limit.tbl"
#undef LIMIT
#define CLOSE(name, counter, level, text) \
	{ "close_" #counter, "", NULL, "connections ended: " text },
#include "fcgi/conn_close.tbl"
#undef CLOSE
};

/* mdoc wants each sentence to begin a line, and lines of a decent length. */
static void
print_text(const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");
		bool end = len > 1 && text[len - 1] == '.' && text[len] != '\0';

		(void)printf("%s%.*s", column != 0 ? " " : "", (int)len, text);
		column += len + 1;
		text += len;
		text += strspn(text, " ");
		if (end || (column > 68 && *text != '\0')) {
			(void)putchar('\n');
			column = 0;
		}
	}
	(void)putchar('\n');
}

static void
print_row(const struct row *r)
{
	if (r->help[0] == '.' || r->help[0] == '\'') {
		(void)fprintf(
		    stderr, "%s: help starts with '%c'\n", r->name, r->help[0]);
		exit(1);
	}
	(void)printf(".It Cm %s\n", r->name);
	print_text(r->help);
	if (r->initial != NULL && r->initial[0] != '\0' &&
	    strcmp(r->initial, " ") != 0)
		(void)printf("Default:\n.Ql %s .\n", r->initial);
}

static void
print_rows(
    const char *heading, const struct row *rows, size_t n, const char *where)
{
	if (heading != NULL)
		(void)printf(".Ss %s\n", heading);
	(void)printf(".Bl -tag -width Ds\n");
	for (size_t i = 0; i < n; i++) {
		if (strcmp(rows[i].where, where) == 0)
			print_row(&rows[i]);
	}
	(void)printf(".El\n");
}

int
main(void)
{
	char line[1024];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "@SETTINGS@\n") == 0) {
			print_rows("The daemon", daemon_rows,
			    COUNT_OF(daemon_rows), "");
			print_rows("Locations", module_rows,
			    COUNT_OF(module_rows), "LOCATION");
			print_rows("Store-wide", module_rows,
			    COUNT_OF(module_rows), "STORE");
			print_rows("Accepted without effect", module_rows,
			    COUNT_OF(module_rows), "ACCEPTED");
		} else if (strcmp(line, "@COUNTERS@\n") == 0) {
			print_rows(
			    NULL, counter_rows, COUNT_OF(counter_rows), "");
		} else {
			(void)fputs(line, stdout);
		}
	}
	return fflush(stdout) != 0;
}

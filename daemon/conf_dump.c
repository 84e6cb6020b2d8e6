/* daemon/conf_dump.c - every effective setting, as holdfastd -T prints it. */
#include "daemon/conf_priv.h"

void
conf_quote(FILE *out, const char *text, size_t len)
{
	(void)fputc('"', out);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			(void)fprintf(out, "\\%c", text[i]);
		else if (text[i] == '\n')
			(void)fputs("\\n", out);
		else if (text[i] == '\r')
			(void)fputs("\\r", out);
		else if (text[i] == '$' && i + 1 < len && text[i + 1] == '{')
			(void)fputs("\\$", out);
		else
			(void)fputc(text[i], out);
	}
	(void)fputc('"', out);
}

static void
dump_access(const char *name, const struct cidr_list *l, FILE *out)
{
	char text[CIDR_TEXT_SIZE];

	if (l->n == 0)
		return;
	(void)fprintf(out, "\t%s = {", name);
	for (size_t i = 0; i < l->n; i++) {
		cidr_format(&l->list[i], text);
		(void)fprintf(out, "%s\"%s\"", i != 0 ? ", " : "", text);
	}
	(void)fputs("}\n", out);
}

void
conf_dump(const struct conf *c, FILE *out)
{
	const struct layout *l = c->layout;
	char value[65536];
	int len;

	for (size_t i = 0; i < COUNT_OF(conf_keys); i++) {
		if (conf_keys[i].type != TYPE_LICENCE)
			conf_key_show(c, &conf_keys[i], out);
	}
	(void)fputs(c->licences_shown, out);
	(void)fputc('\n', out);
	for (size_t i = 0; settings_name(i) != NULL; i++) {
		len = settings_show(&l->settings, i, value, sizeof(value));
		if (len < 0 || (size_t)len >= sizeof(value))
			continue; /* not set */
		(void)fprintf(out, "%s = ", settings_name(i));
		conf_quote(out, value, (size_t)len);
		(void)fputc('\n', out);
	}
	for (const struct location *loc = l->locations; loc != NULL;
	     loc = loc->next) {
		(void)fputs("\nlocation ", out);
		conf_quote(out, loc->prefix, strlen(loc->prefix));
		(void)fputs(" {\n", out);
		for (const struct rule *r = loc->rules.first; r != NULL;
		     r = r->next) {
			(void)fprintf(
			    out, "\t%.*s = ", (int)r->name.len, r->name.ptr);
			conf_quote(out, r->value.ptr, r->value.len);
			(void)fputc('\n', out);
		}
		dump_access("allow", &loc->allow, out);
		dump_access("deny", &loc->deny, out);
		(void)fputs("}\n", out);
	}
}

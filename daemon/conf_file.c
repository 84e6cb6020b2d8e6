/* daemon/conf_file.c - holdfast.conf as text, before anybody parses it. */
#include "daemon/conf_priv.h"

#include <errno.h>

/*
 * libconfuse 3.3 counts a comment as several lines and takes none within a
 * list, so it gets blanks in their place.  A '#' within quotes or inside a
 * word begins no comment.
 */
static void
conf_blank_comments(struct buf *text)
{
	char c, quote = '\0', before = '\n';

	for (size_t i = 0; i < text->len; i++, before = c) {
		c = text->data[i];
		if (quote != '\0') {
			if (c == '\\')
				i++;
			else if (c == quote)
				quote = '\0';
		} else if (c == '"' || c == '\'') {
			quote = c;
		} else if (c == '#' && strchr(" \t\r\n={},\"'", before)) {
			while (text->data[i] != '\n')
				text->data[i++] = ' ';
			c = '\n';
		}
	}
}

int
conf_load(FILE *f, struct buf *text)
{
	char part[4096];
	size_t n;
	int err = 0;

	while (err == 0 && (n = fread(part, 1, sizeof(part), f)) != 0)
		err = buf_append(text, part, n);
	return err == 0 && ferror(f) != 0 ? ERR_SYSTEM : err;
}

int
conf_load_path(const char *path, struct buf *text)
{
	FILE *f = fopen(path, "re");
	int err;

	if (f == NULL)
		return ERR_SYSTEM;
	err = conf_load(f, text);
	if (err == 0)
		err = buf_text(text, "\n");
	if (err == 0)
		conf_blank_comments(text);
	else if (err != ERR_SYSTEM)
		errno = EFBIG;
	(void)fclose(f);
	return err;
}

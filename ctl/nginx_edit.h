/*
 * ctl/nginx_edit.h - change some directives of a file and leave the rest.
 *
 * Edits are kept beside the text until it is rendered; those at one offset
 * stand in the order in which they were made.  Where memory was short,
 * nginx_render() says so.  Lines end in NUL, since a value may hold line ends;
 * they get the indentation of the directive that they stand beside.
 */
#ifndef CTL_NGINX_EDIT_H
#define CTL_NGINX_EDIT_H

#include "base/buf.h"
#include "ctl/nginx_conf.h"

/* Put `text` in the place of the bytes from..to. */
void nginx_replace(
    struct nginx_file *f, size_t from, size_t to, struct slice text);
/* Make a comment of a directive; the label, if any, comes first. */
void nginx_comment(struct nginx_node *n, const char *label);
void nginx_insert_before(struct nginx_node *n, const struct buf *lines);
/* Behind its comment, if the line has one.  Before nginx_comment(n). */
void nginx_insert_after(struct nginx_node *n, const struct buf *lines);
/* At the start of a block, or of a file. */
void nginx_insert_first(struct nginx_node *block, const struct buf *lines);

int nginx_render(const struct nginx_file *f, struct buf *out) MUST_CHECK;
void nginx_edits_free(struct nginx_file *f);

#endif

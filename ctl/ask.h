/*
 * ctl/ask.h - one question to the daemon, by its control socket.
 *
 * Who asks waits for the answer.  Errors are said on standard error, with the
 * program's name before them.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include "base/buf.h"

#define ASK_SOCKET "/run/holdfast/control.sock"
#define ASK_ANSWER_MAX (1024 * 1024)

/*
 * request_body "": a GET.  0, and *body is the text of a 200, NUL-terminated;
 * it stands in `in`, which the caller has initialised and releases.  -1: there
 * is no such answer, and why was said.
 */
int ask(const char *socket_path, const char *uri, const char *request_body,
    struct buf *in, const char **body) MUST_CHECK;

#endif

/* api/reply.c - see reply.h. */
#include "api/reply.h"

static const struct {
	int status;
	const char *line;
} status_lines[] = {
	{ 101, "Status: 101 Switching Protocols\r\n" },
	{ 200, "Status: 200 OK\r\n" },
	{ 304, "Status: 304 Not Modified\r\n" },
	{ 400, "Status: 400 Bad Request\r\n" },
	{ 403, "Status: 403 Forbidden\r\n" },
	{ 404, "Status: 404 Not Found\r\n" },
	{ 405, "Status: 405 Not Allowed\r\n" },
	{ 408, "Status: 408 Request Timeout\r\n" },
	{ 413, "Status: 413 Request Entity Too Large\r\n" },
	{ 414, "Status: 414 URI Too Long\r\n" },
	{ 417, "Status: 417 Expectation Failed\r\n" },
	{ 429, "Status: 429 Too Many Requests\r\n" },
	{ 431, "Status: 431 Request Header Fields Too Large\r\n" },
	{ 500, "Status: 500 Internal Server Error\r\n" },
	{ 501, "Status: 501 Not Implemented\r\n" },
	{ 503, "Status: 503 Service Unavailable\r\n" },
	{ 505, "Status: 505 HTTP Version Not Supported\r\n" },
	{ 507, "Status: 507 Insufficient Storage\r\n" },
};

void
reply_start(struct reply *r, struct buf *scratch, int status)
{
	size_t i = 0;

	r->b = scratch;
	r->err = 0;
	buf_clear(scratch);
	while (status_lines[i].status != status) {
		i++;
		assert(i < COUNT_OF(status_lines));
	}
	reply_text(r, status_lines[i].line);
}

void
reply_number(struct reply *r, uint64_t n)
{
	if (r->err == 0)
		r->err = buf_number(r->b, n);
}

void
reply_field(struct reply *r, const char *name, struct slice value)
{
	/* A value with a line end in it would be a second header line. */
	for (size_t i = 0; i < value.len; i++) {
		if ((unsigned char)value.ptr[i] < 0x20 && value.ptr[i] != '\t')
			return;
	}
	reply_text(r, name);
	reply_bytes(r, ": ", 2);
	reply_bytes(r, value.ptr, value.len);
	reply_bytes(r, "\r\n", 2);
}

void
reply_field_text(struct reply *r, const char *name, const char *value)
{
	reply_field(r, name, (struct slice){ value, strlen(value) });
}

void
reply_no_cache(struct reply *r)
{
	reply_text(r,
	    "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n"
	    "Cache-Control: no-cache, no-store, must-revalidate\r\n");
}

void
reply_body(struct reply *r)
{
	reply_bytes(r, "\r\n", 2);
}

void
reply_header_only(struct reply *r)
{
	reply_text(r, "Content-Length: 0\r\n\r\n");
}

struct payload *
reply_take(struct reply *r)
{
	if (r->err != 0)
		return NULL;
	return payload_new(r->b->data, r->b->len);
}

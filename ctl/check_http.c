/*
 * ctl/check_http.c - requests over libcurl.
 *
 * Everything runs on one multi handle, so a poll waits for its end while other
 * trials are made, and a publish goes out while a reader waits.
 *
 * No proxy of the environment is used and no redirect followed: it is this
 * front that is tried, and this address.
 *
 * libcurl's own WebSocket calls are younger than the systems we run on.  A
 * connection that it makes and leaves to us (CURLOPT_CONNECT_ONLY) does.
 */
#include "ctl/check_http.h"

#include <curl/curl.h>
#include <poll.h>
#include <strings.h>

#include "base/clock.h"

#define HEAD_MAX ((size_t)65536)
#define BODY_MAX ((size_t)1024 * 1024)
#define CONNECT_MS 5000L
#define PIECE 4096
/* How long to sleep where there is nothing to wait for. */
#define IDLE_MS 20

struct http {
	CURLM *multi;
	int running; /* requests under way */
	bool insecure;
	uint64_t deadline_ms;
};

struct http *
http_new(bool insecure, uint64_t deadline_ms)
{
	struct http *h;

	if (curl_global_init(CURL_GLOBAL_ALL) != 0)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	h->insecure = insecure;
	h->deadline_ms = deadline_ms;
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		http_free(&h);
	return h;
}

void
http_free(struct http **h)
{
	if (*h != NULL && (*h)->multi != NULL)
		(void)curl_multi_cleanup((*h)->multi);
	free(*h);
	*h = NULL;
	curl_global_cleanup();
}

uint64_t
http_left_ms(const struct http *h)
{
	uint64_t now = clock_mono_ms();

	return h->deadline_ms > now ? h->deadline_ms - now : 0;
}

/* --- an exchange ------------------------------------------------------- */

/* An interim answer's head, and trailers, are not the answer's head. */
static size_t
on_head(char *line, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	long status = 0;

	n *= size;
	if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
		buf_clear(&x->head);
	if (x->status != 0)
		return n;
	if (buf_append(&x->head, line, n) != 0)
		return 0;
	if (n > 2)
		return n;
	(void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200)
		x->status = (int)status;
	return n;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;

	return buf_append(&x->body, data, size * n) == 0 ? size * n : 0;
}

/* What holds for every connection to the front. */
static CURL *
new_easy(const struct http *h, const char *url, char *error)
{
	CURL *e = curl_easy_init();

	if (e == NULL)
		return NULL;
	(void)curl_easy_setopt(e, CURLOPT_URL, url);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, error);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	/* 0 would mean for ever. */
	(void)curl_easy_setopt(
	    e, CURLOPT_TIMEOUT_MS, (long)http_left_ms(h) + 1);
	if (h->insecure) {
		(void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	return e;
}

static void
add_field(struct exchange *x, const char *name, const char *value)
{
	struct buf line;
	struct curl_slist *longer;

	buf_init(&line, HEAD_MAX);
	if (buf_printf(&line, "%s: %s", name, value) == 0 &&
	    buf_append(&line, "", 1) == 0 &&
	    (longer = curl_slist_append(x->fields, line.data)) != NULL)
		x->fields = longer;
	buf_release(&line);
}

static void
set_request(struct exchange *x, const struct http_ask *ask)
{
	CURL *e = x->easy;

	(void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, ask->method);
	if (ask->body != NULL)
		(void)curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, ask->body);
	/* No pause before a body, which some fronts answer late. */
	add_field(x, "Expect", "");
	if (ask->time != NULL)
		add_field(x, "If-Modified-Since", ask->time);
	if (ask->tag != NULL)
		add_field(x, "If-None-Match", ask->tag);
	if (ask->expiry != NULL)
		add_field(x, "Message-Expiry", ask->expiry);
	if (ask->compressed) /* all that libcurl can undo */
		(void)curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, (long)ask->alone);
	(void)curl_easy_setopt(e, CURLOPT_FORBID_REUSE, (long)ask->alone);
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, x->fields);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, x);
}

static enum http_fault
fault_of(CURLcode code)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return HTTP_UNTRUSTED;
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_NO_TLS;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 it would be */
	case CURLE_WEIRD_SERVER_REPLY:
		return HTTP_NO_ANSWER;
	default:
		return HTTP_CUT;
	}
}

static void
set_error(char error[HTTP_ERROR_SIZE], CURLcode code)
{
	const char *text = curl_easy_strerror(code);
	size_t len = MIN_OF(strlen(text), (size_t)HTTP_ERROR_SIZE - 1);

	if (error[0] != '\0')
		return;
	memcpy(error, text, len);
	error[len] = '\0';
}

static void
finish(struct exchange *x, CURLcode code)
{
	long made = 1;

	x->done = true;
	x->ended_ms = clock_mono_ms();
	x->failed = code != CURLE_OK;
	x->fault = fault_of(code);
	if (x->failed)
		set_error(x->error, code);
	if (x->easy != NULL)
		(void)curl_easy_getinfo(x->easy, CURLINFO_NUM_CONNECTS, &made);
	x->kept_connection = made == 0;
}

void
http_begin(struct http *h, struct exchange *x, const struct http_ask *ask)
{
	*x = (struct exchange){ .http = h, .began_ms = clock_mono_ms() };
	buf_init(&x->head, HEAD_MAX);
	buf_init(&x->body, BODY_MAX);
	x->easy = new_easy(h, ask->url, x->error);
	if (x->easy == NULL) {
		finish(x, CURLE_OUT_OF_MEMORY);
		return;
	}
	set_request(x, ask);
	if (curl_multi_add_handle(h->multi, x->easy) != CURLM_OK)
		finish(x, CURLE_FAILED_INIT);
	else
		http_pause(h, 0);
}

void
http_end(struct exchange *x)
{
	if (x->easy != NULL) {
		(void)curl_multi_remove_handle(x->http->multi, x->easy);
		curl_easy_cleanup(x->easy);
	}
	curl_slist_free_all(x->fields);
	buf_release(&x->head);
	buf_release(&x->body);
	x->easy = x->fields = NULL;
}

/* --- waiting ----------------------------------------------------------- */

static void
move(struct http *h)
{
	CURLMsg *m;
	int left;

	(void)curl_multi_perform(h->multi, &h->running);
	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		char *x = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
		finish((struct exchange *)(void *)x, m->data.result);
	}
}

/* Until something moves, at most so long. */
static void
turn(struct http *h, struct curl_waitfd *extra, uint64_t ms)
{
	/* With nothing to wait for, it would not wait at all. */
	if (h->running == 0 && extra == NULL)
		(void)poll(NULL, 0, (int)MIN_OF(ms, (uint64_t)IDLE_MS));
	else
		(void)curl_multi_wait(
		    h->multi, extra, extra != NULL ? 1 : 0, (int)ms, NULL);
	move(h);
}

static uint64_t
end_of_wait(const struct http *h, uint64_t ms)
{
	return clock_mono_ms() + MIN_OF(ms, http_left_ms(h));
}

void
http_pause(struct http *h, uint64_t ms)
{
	uint64_t now, end = end_of_wait(h, ms);

	turn(h, NULL, 0);
	while ((now = clock_mono_ms()) < end)
		turn(h, NULL, end - now);
}

bool
http_wait(struct exchange *x, uint64_t ms)
{
	uint64_t now, end = end_of_wait(x->http, ms);

	while (!x->done && (now = clock_mono_ms()) < end)
		turn(x->http, NULL, end - now);
	return x->done;
}

bool
http_wait_text(struct exchange *x, const char *text, uint64_t ms)
{
	uint64_t now, end = end_of_wait(x->http, ms);
	size_t n = strlen(text);

	for (;;) {
		if (x->body.len != 0 &&
		    memmem(x->body.data, x->body.len, text, n) != NULL)
			return true;
		if (x->done || (now = clock_mono_ms()) >= end)
			return false;
		turn(x->http, NULL, end - now);
	}
}

/* --- fields ------------------------------------------------------------ */

static struct slice
trimmed(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (p < end &&
	    (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' ||
		end[-1] == '\t'))
		end--;
	return (struct slice){ p, (size_t)(end - p) };
}

struct slice
http_field_next(const struct exchange *x, const char *name, struct slice last)
{
	const char *end = x->head.data + x->head.len;
	const char *p = last.ptr != NULL ? last.ptr + last.len : x->head.data;
	size_t n = strlen(name);

	/* The value that was last ends within its line. */
	while (p != NULL && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		const char *eol;

		p++;
		eol = memchr(p, '\n', (size_t)(end - p));
		if (eol != NULL && (size_t)(eol - p) > n && p[n] == ':' &&
		    strncasecmp(p, name, n) == 0)
			return trimmed(p + n + 1, eol);
	}
	return (struct slice){ NULL, 0 };
}

struct slice
http_field(const struct exchange *x, const char *name)
{
	/* The first line is no field. */
	return http_field_next(x, name, (struct slice){ NULL, 0 });
}

/* --- a pipe ------------------------------------------------------------ */

void
http_pipe_open(struct http *h, struct http_pipe *p, const char *url)
{
	CURLcode code = CURLE_OUT_OF_MEMORY;

	*p = (struct http_pipe){ .http = h };
	buf_init(&p->in, BODY_MAX);
	p->easy = new_easy(h, url, p->error);
	if (p->easy != NULL) {
		(void)curl_easy_setopt(p->easy, CURLOPT_CONNECT_ONLY, 1L);
		/* Or TLS would agree on HTTP/2. */
		(void)curl_easy_setopt(
		    p->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
		code = curl_easy_perform(p->easy);
	}
	if (code == CURLE_OK)
		return;
	set_error(p->error, code);
	p->fault = fault_of(code);
	curl_easy_cleanup(p->easy);
	p->easy = NULL;
}

void
http_pipe_close(struct http_pipe *p)
{
	curl_easy_cleanup(p->easy);
	p->easy = NULL;
	buf_release(&p->in);
}

static void
pipe_turn(struct http_pipe *p, short events, uint64_t ms)
{
	struct curl_waitfd fd = { .events = events };

	if (curl_easy_getinfo(p->easy, CURLINFO_ACTIVESOCKET, &fd.fd) !=
	    CURLE_OK) {
		p->at_end = true;
		return;
	}
	turn(p->http, &fd, ms);
}

bool
http_pipe_send(struct http_pipe *p, const void *data, size_t len)
{
	const char *from = data;
	uint64_t now, end = end_of_wait(p->http, (uint64_t)CONNECT_MS);

	while (len != 0) {
		size_t n = 0;
		CURLcode code = curl_easy_send(p->easy, from, len, &n);

		from += n;
		len -= n;
		if (code == CURLE_OK)
			continue;
		if (code != CURLE_AGAIN || (now = clock_mono_ms()) >= end)
			return false;
		pipe_turn(p, CURL_WAIT_POLLOUT, end - now);
	}
	return true;
}

/* What is there already; false: nothing. */
static bool
pipe_take(struct http_pipe *p)
{
	char piece[PIECE];
	size_t n = 0;
	CURLcode code = curl_easy_recv(p->easy, piece, sizeof(piece), &n);

	if (code == CURLE_AGAIN)
		return false;
	if (code != CURLE_OK || n == 0 || buf_append(&p->in, piece, n) != 0) {
		p->at_end = true;
		return false;
	}
	return true;
}

bool
http_pipe_receive(struct http_pipe *p, uint64_t ms)
{
	uint64_t now, end = end_of_wait(p->http, ms);

	for (;;) {
		if (pipe_take(p))
			return true;
		if (p->at_end || (now = clock_mono_ms()) >= end)
			return false;
		pipe_turn(p, CURL_WAIT_POLLIN, end - now);
	}
}

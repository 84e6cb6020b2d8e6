/*
 * daemon/control.c - what holdfastctl asks over the control socket.
 *
 * The protocol is SCGI, so there is no protocol of our own here:
 *   DOCUMENT_URI=/status          "name value" lines
 *   DOCUMENT_URI=/backup, a body  copy the database to the path in the body
 *   DOCUMENT_URI=/bitrix          lines of what `holdfastctl bitrix` checks
 */
#include <inttypes.h>
#include <stdio.h>

#include "api/reply.h"
#include "base/log.h"
#include "daemon/daemon.h"

#define CONTROL_MAX 65536
#define PATH_MAX_BYTES 4096

static void
control_reply(
    struct daemon *d, struct request *r, int status, const struct buf *body)
{
	struct buf out;
	struct reply reply;
	struct payload *answer;

	buf_init(&out, CONTROL_MAX * 2);
	reply_start(&reply, &out, status);
	reply_field_text(&reply, "Content-Type", "text/plain");
	reply_body(&reply);
	reply_bytes(&reply, body->data, body->len);
	answer = reply_take(&reply);
	buf_release(&out);
	if (answer != NULL)
		r->ops->reply(r, answer);
	else
		api_refuse(d->api, r, ERR_NOMEM);
	payload_unref(&answer);
}

static void
control_say(struct daemon *d, struct request *r, int status, const char *text)
{
	struct buf body;

	buf_init(&body, CONTROL_MAX);
	if (buf_printf(&body, "%s\n", text) != 0)
		buf_clear(&body);
	control_reply(d, r, status, &body);
	buf_release(&body);
}

/* The gauges and counters that others keep. */
static void
status_collect(struct daemon *d)
{
	const struct store_stats *s = store_stats(d->store);

	d->stats.store_groups = s->groups;
	d->stats.store_appends = s->appends;
	d->stats.store_reads = s->reads;
	d->stats.store_collected = s->collected;
	d->stats.store_corrupt = s->corrupt;
	gateway_bytes(
	    d->gateway, &d->stats.incoming_bytes, &d->stats.outgoing_bytes);
	d->stats.store_queue_bytes = store_queued_bytes(d->store);
}

static void
status_close(void *arg, const char *name, uint64_t count, const char *help)
{
	(void)help;
	if (buf_printf(arg, "close_%s %" PRIu64 "\n", name, count) != 0)
		log_at(LOG_ERROR, "the status does not fit");
}

static void
status_limit(void *arg, const char *name, uint64_t hits)
{
	if (buf_printf(arg, "limit_%s %" PRIu64 "\n", name, hits) != 0)
		log_at(LOG_ERROR, "the status does not fit");
}

static void
control_status(struct daemon *d, struct request *r)
{
	struct buf body;
	int err = 0;

	buf_init(&body, CONTROL_MAX);
	status_collect(d);
#define STAT(name, help) \
	if (err == 0) \
		err = buf_printf(&body, #name " %" PRIu64 "\n", d->stats.name);
#include "base/stats.tbl"
#undef STAT
	limits_walk(&d->stats.limits, status_limit, &body);
	gateway_walk_closes(d->gateway, status_close, &body);
	if (err == 0)
		control_reply(d, r, 200, &body);
	else
		api_refuse(d->api, r, err);
	buf_release(&body);
}

/* How many keys there are, and never one of them. */
static void
control_bitrix(struct daemon *d, struct request *r)
{
	const struct licences *all = &api_layout(d->api)->licences;
	const char *algo = keyring_algo(all->personal.keys);
	size_t n = 0;
	struct buf body;

	for (const struct licence *l = all->shared; l != NULL; l = l->next)
		n++;
	buf_init(&body, CONTROL_MAX);
	if (buf_printf(&body,
		"signature_keys %zu\n"
		"signature_algo %s\n"
		"licences %zu\n"
		"scgi_listeners %zu\n"
		"client_max_body_size %" PRIu64 "\n",
		keyring_count(all->personal.keys), algo != NULL ? algo : "none",
		n, listeners_count(d->listeners, LISTEN_SCGI),
		d->conf->client_max_body_size) != 0)
		control_say(d, r, 503, err_text(ERR_NOMEM));
	else
		control_reply(d, r, 200, &body);
	buf_release(&body);
}

static void
control_backup(struct daemon *d, struct request *r)
{
	char path[PATH_MAX_BYTES];
	struct store_op *op;

	if (r->body.len == 0 || r->body.len >= sizeof(path) ||
	    r->body.data[0] != '/' ||
	    memchr(r->body.data, '\0', r->body.len) != NULL) {
		control_say(d, r, 400, "the body has to be an absolute path");
		return;
	}
	if (d->backing_up) {
		control_say(d, r, 503, "a backup is under way already");
		return;
	}
	memcpy(path, r->body.data, r->body.len);
	path[r->body.len] = '\0';
	op = store_op_backup(path);
	if (op == NULL || store_submit(d->store, op) != 0) {
		store_op_free(&op);
		control_say(d, r, 503, err_text(ERR_NOMEM));
		return;
	}
	d->backing_up = true;
	d->backup = r;
}

void
control_store_done(void *arg, struct store_op *op)
{
	struct daemon *d = arg;
	struct request *r = d->backup;
	char text[128];

	if (op->kind != STORE_BACKUP) {
		hub_store_done(d->hub, op);
		return;
	}
	d->backup = NULL;
	d->backing_up = false;
	if (r != NULL && op->err == 0) {
		control_say(d, r, 200, "done");
	} else if (r != NULL) {
		(void)snprintf(text, sizeof(text),
		    "the daemon, which writes the copy, could not: %s",
		    err_text(op->err));
		control_say(d, r, 500, text);
	}
	store_op_free(&op);
}

static void
control_handle(void *arg, struct request *r)
{
	struct daemon *d = arg;
	struct slice uri = params_get(&r->params, "DOCUMENT_URI");

	if (slice_is(uri, "/status"))
		control_status(d, r);
	else if (slice_is(uri, "/backup"))
		control_backup(d, r);
	else if (slice_is(uri, "/bitrix"))
		control_bitrix(d, r);
	else
		control_say(d, r, 404, "no such command");
}

static void
control_gone(void *arg, struct request *r)
{
	struct daemon *d = arg;

	if (d->backup == r)
		d->backup = NULL;
}

const struct api_control_ops control_ops = {
	.handle = control_handle,
	.gone = control_gone,
};

/*
 * api/bitrix/bx_publish.c - what the site and its clients publish.
 *
 * One message to n channels is one row of the log with one cursor.  The answer
 * leaves when all messages of a request are on disk.  A message for those who
 * are there now, when nobody is, is over before it began.
 *
 * Source: bitrix.md sections a.5, a.6, a.8, d.2.
 */
#include "api/bitrix/bx_priv.h"

/* --- jobs -------------------------------------------------------------- */

struct bx_job *
bx_job_new(uint32_t room, bx_job_done_f *done, void *arg)
{
	struct bx_job *job =
	    calloc(1, sizeof(*job) + room * sizeof(job->parts[0]));

	if (job == NULL)
		return NULL;
	job->room = room;
	job->done = done;
	job->arg = arg;
	return job;
}

void
bx_job_forget(struct bx_job **jobp)
{
	struct bx_job *job = *jobp;

	*jobp = NULL;
	if (job == NULL)
		return;
	for (uint32_t i = 0; i < job->n; i++)
		hub_forget(&job->parts[i].wait);
	if (job->all != NULL)
		quota_give(job->all, job->answer->len + job->refusal->len);
	payload_unref(&job->answer);
	payload_unref(&job->refusal);
	free(job);
}

static void
job_over(struct bx_job *job)
{
	job->done(job, job->err);
	bx_job_forget(&job);
}

static hub_done_f part_done;

static void
part_done(void *arg, int err)
{
	struct bx_part *part = arg;
	struct bx_job *job = part->job;

	if (err != 0 && job->err == 0)
		job->err = err;
	if (--job->left == 0 && job->started)
		job_over(job);
}

bool
bx_job_start(struct bx_job *job)
{
	job->started = true;
	return job->left != 0;
}

/* --- one message ------------------------------------------------------- */

/* The channel of a receiver.  *out is NULL when nobody would get it. */
static int
receiver_channel(struct api *a, const struct licence *l,
    const struct bx_receiver *to, bool keep, struct channel **out)
{
	char text[BX_NAME_MAX];
	struct slice name = bx_name(l, to->space, to->id, text);

	if (keep)
		return hub_open(a->hub, name, out);
	*out = hub_find(a->hub, name);
	if (*out != NULL && (*out)->subscribers == 0)
		*out = NULL;
	return 0;
}

static bool
among(struct channel *const *list, uint32_t n, const struct channel *c)
{
	for (uint32_t i = 0; i < n; i++) {
		if (list[i] == c)
			return true;
	}
	return false;
}

int
bx_publish(struct api *a, const struct licence *l, struct bx_job *job,
    const struct bx_message *m)
{
	struct bx_part *part = &job->parts[job->n];
	struct msg_parts parts = { .text = m->text,
		.extra = m->extra,
		.expires = hub_now_s(a->hub) + m->ttl_s };
	bool keep = m->ttl_s != 0;
	struct msg *msg;
	uint32_t n = 0;
	int err;

	assert(job->n < job->room && m->n <= COUNT_OF(a->channels));
	for (uint32_t i = 0; i < m->n; i++) {
		struct channel *c;

		err = receiver_channel(a, l, &m->to[i], keep, &c);
		if (err != 0)
			return err;
		if (c != NULL && !among(a->channels, n, c))
			a->channels[n++] = c;
	}
	if (n == 0)
		return 0;
	msg = msg_make(&parts);
	if (msg == NULL)
		return ERR_NOMEM;
	part->job = job;
	part->wait = (struct hub_wait){ part_done, part, NULL };
	err = hub_publish(a->hub, a->channels, n, msg,
	    HUB_SHARED | (keep ? HUB_KEEP : 0), &part->wait);
	if (err == 0) {
		job->n++;
		job->left++;
	}
	return err;
}

int64_t
bx_ttl(const struct api *a, uint64_t asked)
{
	int64_t most = a->layout->settings.message_ttl_s;

	return asked < (uint64_t)most ? (int64_t)asked : most;
}

/* --- a request that publishes ------------------------------------------ */

static bx_job_done_f request_published;

static void
request_published(struct bx_job *job, int err)
{
	struct wait_state *w = job->arg;
	struct call c = wait_call(w);

	if (err != 0)
		bx_fail(&c, err);
	else
		bx_answer(&c, 200, NULL, (struct slice){ NULL, 0 });
	wait_free(&w);
}

static struct wait_state *
job_wait(const struct call *c)
{
	struct wait_state *w =
	    wait_new(c, WAIT_BITRIX_JOB, (struct slice){ NULL, 0 });

	if (w != NULL)
		w->on.job = NULL;
	return w;
}

/* All of it was handed over: the answer comes when it is stored.  Else err says
 * why not, and what was is not waited for. */
static void
job_go(struct call *c, struct wait_state *w, struct bx_job *job, int err)
{
	if (err == 0 && job != NULL && bx_job_start(job)) {
		w->on.job = job;
		request_shed(c->request);
		return;
	}
	bx_job_forget(&job);
	wait_drop(&w);
	if (err != 0)
		bx_fail(c, err);
	else
		bx_answer(c, 200, NULL, (struct slice){ NULL, 0 });
}

/* --- route pub: text --------------------------------------------------- */

/* Whole digits, or `absent`. */
static uint64_t
message_expiry(const struct call *c, uint64_t absent)
{
	struct slice v = c->query.message_expiry;
	uint64_t n = 0;

	if (v.len == 0)
		return absent;
	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] < '0' || v.ptr[i] > '9')
			return absent;
		n = MIN_OF(n * 10 + (uint64_t)(v.ptr[i] - '0'), INT32_MAX);
	}
	return n != 0 ? n : absent;
}

static void
publish_text(struct bx_call *b)
{
	struct call *c = b->c;
	struct api *a = c->api;
	struct bx_receiver to[BX_IDS_MAX];
	struct bx_message m = {
		.text = { c->request->body.data, c->request->body.len },
		.ttl_s = bx_ttl(
		    a, message_expiry(c, b->version == 3 ? INT32_MAX : 0)),
		.to = to,
		.n = b->ids.n,
	};
	struct wait_state *w = job_wait(c);
	struct bx_job *job;
	int err = ERR_NOMEM;

	if (w == NULL) {
		bx_fail(c, err);
		return;
	}
	for (uint32_t i = 0; i < b->ids.n; i++)
		to[i] = (struct bx_receiver){ BX_PRIVATE,
			{ b->ids.at[i].id, BX_ID_LEN } };
	job = bx_job_new(1, request_published, w);
	if (job != NULL)
		err = bx_publish(a, b->licence, job, &m);
	if (err == 0)
		bx_count_type(a->bitrix, (struct slice){ NULL, 0 });
	job_go(c, w, job, err);
}

static void
refuse_text(const struct call *c, const char *why)
{
	bx_answer(c, 400, NULL, (struct slice){ why, strlen(why) });
}

/* Version 4 answers 200 whatever it was, and so do we; the log says why nothing
 * was published. */
static void
publish_nothing(const struct call *c, const char *why)
{
	log_limited(&c->api->bitrix->nothing_published, LOG_NOTICE,
	    "a Bitrix publish was answered 200, but nothing published: %s",
	    why);
	bx_answer(c, 200, NULL, (struct slice){ NULL, 0 });
}

static void
pub_text(struct bx_call *b, int ids_err)
{
	const char *why = NULL;

	if (ids_err == ERR_TOOBIG)
		bx_count(b->c->api, BX_MANY_CHANNELS);
	if (ids_err == ERR_NOTFOUND)
		why = "No channel id provided.";
	else if (ids_err != 0)
		why = "Channel id is not correct.";
	else if (b->c->request->body.len == 0)
		why = "Empty post requests are not allowed.";
	if (why == NULL)
		publish_text(b);
	else if (b->version == 3)
		refuse_text(b->c, why);
	else
		publish_nothing(b->c, why);
}

/* --- routes pub and rest: batches -------------------------------------- */

static void
publish_batch(struct bx_call *b, const struct bx_asker *from)
{
	struct call *c = b->c;
	struct api *a = c->api;
	struct slice bytes = { c->request->body.data, c->request->body.len };
	struct wait_state *w = job_wait(c);
	struct bx_job *job = NULL;
	int err;

	if (w == NULL) {
		bx_fail(c, ERR_NOMEM);
		return;
	}
	buf_clear(&a->body);
	err = bx_request(a, from, bytes, request_published, w, &job, &a->body);
	if (err == 0 && job == NULL && a->body.len != 0) {
		wait_drop(&w);
		bx_answer(c, 200, "application/octet-stream",
		    (struct slice){ a->body.data, a->body.len });
	} else if (err > 0) {
		wait_drop(&w);
		bx_refuse(c, (enum bx_error)err);
	} else {
		job_go(c, w, job, err);
	}
}

/* --- who may ----------------------------------------------------------- */

/* As long as an id at least, and of the characters that make up ids and tokens?
 */
static bool
is_word(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z') &&
		    (c == '\0' || strchr(":.-_", c) == NULL))
			return false;
	}
	return s.len >= BX_ID_LEN;
}

/*
 * In a shared daemon every site signs what it sends: a body, or the list that
 * it asks about.  Ids and tokens are signed with the same key, and clients have
 * them: what looks like one is no body that the site has signed.
 */
static bool
body_signed(const struct bx_call *b)
{
	const struct call *c = b->c;
	struct slice part = { c->request->body.data, c->request->body.len };
	unsigned char mac[KEYRING_MAC_MAX];
	size_t len = 0;

	if (c->api->layout->licences.shared == NULL)
		return true;
	len = bx_hex(bx_arg(c, "signature"), mac);
	if (slice_is(c->query.method, "GET"))
		part = bx_arg(c, "CHANNEL_ID");
	else if (is_word(part))
		return false;
	return keyring_verify(b->licence->keys, KEYRING_IDS, &part, 1,
	    (struct slice){ (char *)mac, len });
}

void
bx_pub_handle(struct bx_call *b)
{
	struct call *c = b->c;
	bool get = slice_is(c->query.method, "GET");
	struct bx_asker from = { .licence = b->licence,
		.trusted = true,
		.max_connections =
		    c->endpoint->settings.bitrix_max_connections };
	int err;

	if (!body_signed(b)) {
		bx_refuse(c, BX_WRONG_SIGNATURE);
		return;
	}
	if (!get && b->version > 3 &&
	    slice_is(bx_arg_raw(c, "binaryMode"), "true")) {
		publish_batch(b, &from);
		return;
	}
	err = bx_ids_parse(bx_arg(c, "CHANNEL_ID"), (int)b->version,
	    b->licence->keys, true, &b->ids);
	if (!get)
		pub_text(b, err);
	else if (err == 0)
		bx_infos(b);
	else if (b->version == 3)
		refuse_text(c,
		    err == ERR_NOTFOUND ? "No channel id provided."
					: "Channel id is not correct.");
	else
		bx_refuse(
		    c, err == ERR_TOOBIG ? BX_MANY_CHANNELS : BX_NO_CHANNELS);
}

bool
bx_rest_asker(struct bx_call *b, struct bx_asker *from)
{
	*from = (struct bx_asker){ .licence = b->licence };
	if (bx_ids_parse(bx_arg(b->c, "CHANNEL_ID"), (int)b->version,
		b->licence->keys, false, &b->ids) == 0) {
		for (uint32_t i = 0; i < b->ids.n && from->pub == NULL; i++) {
			if (b->ids.at[i].has_pub)
				from->pub = b->ids.at[i].pub;
		}
	}
	if (from->pub == NULL)
		bx_refuse(b->c, BX_PUBLIC_WANTED);
	return from->pub != NULL;
}

void
bx_rest_handle(struct bx_call *b)
{
	const struct buf *body = &b->c->request->body;
	struct bx_asker from;

	/* A client of version 5 that polls says here what it has got. */
	if (b->version == 5 &&
	    bx_rpc_is_receipt((struct slice){ body->data, body->len }))
		bx_answer(b->c, 200, NULL, (struct slice){ NULL, 0 });
	else if (bx_rest_asker(b, &from))
		publish_batch(b, &from);
}

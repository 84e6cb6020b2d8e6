/*
 * daemon/main.c - options, then the house from the bottom up.
 *
 * Order of start: sockets while we may be root, then the user, then the
 * database (so that its files are the user's), then who uses it; accepting
 * comes last.  Everything blocking happens before the loop.
 */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/accept.h"
#include "auth/tls.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/inherit.h"
#include "daemon/priv.h"
#include "store/store_verify.h"

#define DESCRIPTORS_KEPT 64	       /* for files, listeners, the log */
#define RELOAD_BYTES ((size_t)4 << 20) /* that reading the file may take */
#define FEW_CONNECTIONS 4096
#define DEFAULT_CONF SYSCONFDIR "/holdfast/holdfast.conf"

static const char usage_text[] =
    "usage: holdfastd [-c FILE] [-t | -T | -C]\n"
    "  -c FILE  read this configuration (default " DEFAULT_CONF ")\n"
    "  -t       check the configuration and exit\n"
    "  -T       check it, print the effective settings and exit\n"
    "  -C       check every byte of the database, and exit\n"
    "  -V       print the version and exit\n"
    "  -h       print this help and exit\n";

static struct gateway_limits
gateway_limits_of(const struct daemon *d, const struct conf *c)
{
	size_t most = d->descriptors > DESCRIPTORS_KEPT * 2
	    ? d->descriptors - DESCRIPTORS_KEPT
	    : DESCRIPTORS_KEPT;

	if (c->max_connections != 0)
		most = MIN_OF(most, c->max_connections);
	return (struct gateway_limits){
		.max_params = c->max_params_size,
		.max_body = c->client_max_body_size,
		.max_incoming = c->max_incoming_size,
		.max_outgoing = c->max_outgoing_size,
		.request_timeout_ms = c->request_timeout_ms,
		.max_unsent = c->subscriber_buffer_size,
		.max_unsent_ms = c->subscriber_buffer_time_ms,
		.max_connections = (unsigned)most,
		.head_timeout_ms = c->http_header_timeout_ms,
		.idle_timeout_ms = c->http_keepalive_timeout_ms,
		.max_per_address =
		    (unsigned)c->http_max_connections_per_address,
		.trusted = &c->trusted_cidr,
	};
}

void
daemon_apply_limits(
    struct daemon *d, const struct conf *c, const struct settings *s)
{
	struct hub_limits limits = {
		.message_ttl_s = s->message_ttl_s,
		.channel_inactivity_ms = s->channel_inactivity_ms,
		.max_channels = s->max_number_of_channels,
		.max_wildcard_channels = s->max_number_of_wildcard_channels != 0
		    ? s->max_number_of_wildcard_channels
		    : s->max_number_of_channels,
		.max_stored = s->max_messages_stored,
		.max_subscriptions = c->max_subscriptions,
		.wildcard_prefix = { s->wildcard_channel_prefix,
		    strlen(s->wildcard_channel_prefix) },
		.events_channel = { s->events_channel_id,
		    strlen(s->events_channel_id) },
		.replay_messages = (uint32_t)c->replay_messages,
		.replay_bytes = c->replay_size,
	};

	hub_set_limits(d->hub, &limits);
}

static bool
strings_equal(const struct strings *a, const struct strings *b)
{
	bool equal = a->n == b->n;

	for (size_t i = 0; i < a->n && equal; i++)
		equal = strcmp(a->list[i], b->list[i]) == 0;
	return equal;
}

static void
reload_log(const struct conf *old, const struct conf *new)
{
	log_set_level(new->log_level);
	if (new->log_file[0] != '\0' &&
	    strcmp(old->log_file, new->log_file) != 0 &&
	    log_open(new->log_file) != 0)
		log_at(LOG_ERROR,
		    "cannot open log file %s; the old one stays "
		    "in use",
		    new->log_file);
}

/* Who is connected keeps the certificate he has seen. */
static void
reload_certs(struct daemon *d, const struct conf *c)
{
	struct tls_certs *certs;

	if (conf_certs(c, &certs) != 0)
		log_at(LOG_ERROR, "the old certificates stay in use");
	else if (certs != NULL)
		gateway_set_certs(d->gateway, certs);
	else if (listeners_count(d->listeners, LISTEN_HTTPS) != 0)
		log_at(LOG_ERROR,
		    "there is no tls_certificate any more; the old "
		    "certificates stay in use");
	tls_certs_unref(&certs);
}

/*
 * Without memory libconfuse does not fail but ends the process.  A file that
 * cannot be read at the start is no harm done; at a reload better look first.
 */
static bool
memory_is_there(void)
{
	void *volatile some = malloc(RELOAD_BYTES); /* really */

	free(some);
	return some != NULL;
}

void
daemon_reload(struct daemon *d)
{
	struct gateway_limits limits;
	struct conf *new, *old = d->conf;

	if (!memory_is_there() || conf_read(d->conf_path, &new) != 0) {
		log_at(LOG_ERROR,
		    "%s was not reloaded; the old settings stay "
		    "in force",
		    d->conf_path);
		return;
	}
	reload_log(old, new);
	if (!strings_equal(&old->fastcgi, &new->fastcgi) ||
	    !strings_equal(&old->scgi, &new->scgi) ||
	    !strings_equal(&old->http, &new->http) ||
	    !strings_equal(&old->https, &new->https) ||
	    !strings_equal(&old->control, &new->control) ||
	    strcmp(old->database, new->database) != 0 ||
	    old->sync != new->sync ||
	    old->max_database_size != new->max_database_size)
		log_at(LOG_WARN,
		    "listeners and database settings take effect "
		    "after a restart");
	limits = gateway_limits_of(d, new);
	gateway_set_limits(d->gateway, &limits);
	listeners_set_fronts(d->listeners, &new->fronts_cidr);
	reload_certs(d, new);
	daemon_apply_limits(d, new, &new->layout->settings);
	api_set_layout(d->api, conf_take_layout(new));
	d->conf = new;
	conf_free(&old);
	log_at(LOG_NOTICE, "%s reloaded", d->conf_path);
}

static int
open_listeners(struct daemon *d)
{
	const struct conf *c = d->conf;
	const struct {
		enum listen_as as;
		const struct strings *s;
	} kinds[] = {
		{ LISTEN_FASTCGI, &c->fastcgi },
		{ LISTEN_SCGI, &c->scgi },
		{ LISTEN_HTTP, &c->http },
		{ LISTEN_HTTPS, &c->https },
		{ LISTEN_CONTROL, &c->control },
	};
	struct listen_conf lc = { .mode = (mode_t)c->socket_mode,
		.uid = geteuid(),
		.fronts = &c->fronts_cidr };
	struct listen_addr *addrs;
	const char *group = c->socket_group[0] != '\0' || geteuid() != 0
	    ? c->socket_group
	    : c->group;
	int err = priv_group(group, &lc.gid);

	if (err == 0 && lc.uid == 0)
		err = priv_user(c->user, &lc.uid);
	if (err != 0)
		return err;
	addrs = calloc(c->fastcgi.n + c->scgi.n + c->http.n + c->https.n +
		c->control.n + 1,
	    sizeof(*addrs));
	if (addrs == NULL)
		return ERR_NOMEM;
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		for (size_t i = 0; i < kinds[k].s->n; i++)
			addrs[lc.n++] = (struct listen_addr){ kinds[k].as,
				kinds[k].s->list[i] };
	}
	lc.addrs = addrs;
	err = listeners_open(&d->listeners, d->base, &d->stats, &lc);
	free(addrs);
	return err;
}

/* While we may be root, whose files the keys may be. */
static int
open_certs(struct daemon *d, struct tls_certs **certs)
{
	int err = conf_certs(d->conf, certs);

	if (err == 0 && *certs == NULL &&
	    listeners_count(d->listeners, LISTEN_HTTPS) != 0) {
		log_at(LOG_ERROR,
		    "the inherited socket named https needs a "
		    "tls_certificate");
		err = ERR_CONFIG;
	}
	return err;
}

/* As the user that will have to open it again, after a rotation. */
static int
open_log(const struct conf *c)
{
	if (log_open(c->log_file[0] != '\0' ? c->log_file : NULL) == 0)
		return 0;
	log_at(LOG_ERROR, "cannot open log file %s: %s", c->log_file,
	    strerror(errno));
	return ERR_SYSTEM;
}

static int
open_store(struct daemon *d)
{
	struct store_config sc = {
		.path = d->conf->database,
		.sync = d->conf->sync,
		.max_bytes = d->conf->max_database_size,
		.queue_bytes = d->conf->store_queue_size,
		.wall = clock_log_s,
		.wall_arg = &d->clock,
	};

	/* A new log reserves its first positions while it is loaded. */
	clock_log_begin(&d->clock, 0);
	return store_open(&sc, &d->store);
}

/* Once the log is known, and before its thread runs. */
static void
open_clock(struct daemon *d)
{
	int64_t wall_s = clock_wall_s(NULL), log_s;

	clock_log_begin(&d->clock, (int64_t)cursor_time(hub_newest(d->hub)));
	log_s = clock_log_s(&d->clock);
	if (log_s > wall_s + 1)
		log_at(LOG_WARN,
		    "the clock is %" PRId64 " s behind the newest message: "
		    "messages get the time that follows on it",
		    log_s - wall_s);
	hub_set_time(d->hub, log_s, clock_mono_ms());
}

static bool
keep_connection(void *arg, int fd, const char *kind)
{
	struct daemon *d = arg;
	char name[32];

	(void)snprintf(name, sizeof(name), INHERIT_KEPT "%s", kind);
	return notify_keep(&d->notify, fd, name);
}

static int
open_gateway(struct daemon *d, struct tls_certs *certs)
{
	struct gateway_limits limits = gateway_limits_of(d, d->conf);

	d->gateway = gateway_new(d->base, d->api, &d->stats, &limits);
	if (d->gateway == NULL)
		return ERR_NOMEM;
	if (certs != NULL)
		gateway_set_certs(d->gateway, certs);
	if (d->notify.room != 0)
		gateway_set_keeper(d->gateway, keep_connection, d);
	return 0;
}

/* Bottom up; what fails has said why. */
static int
daemon_start_with(struct daemon *d, struct tls_certs **certs)
{
	struct gateway_limits limits = gateway_limits_of(d, d->conf);
	int err;

	if (limits.max_connections < FEW_CONNECTIONS)
		log_at(LOG_NOTICE,
		    "there is room for %u connections, and "
		    "each waiting poll holds one; more descriptors "
		    "(LimitNOFILE, ulimit -n) make more room",
		    limits.max_connections);
	if (!accept_begin())
		log_at(LOG_WARN,
		    "OpenSSL gives no SHA-1: no WebSocket can be opened");
	d->base = event_base_new();
	if (d->base == NULL)
		return ERR_NOMEM;
	err = open_listeners(d);
	if (err == 0)
		err = open_certs(d, certs);
	if (err == 0)
		err = priv_drop(d->conf->user, d->conf->group);
	if (err == 0)
		err = open_log(d->conf);
	if (err == 0)
		err = open_store(d);
	if (err == 0)
		err = hub_new(d->store, &d->stats, &d->hub);
	if (err != 0)
		return err;
	open_clock(d);
	daemon_apply_limits(d, d->conf, &d->conf->layout->settings);
	err = api_new(d->hub, &d->stats, d->conf->layout, &d->api);
	if (err != 0)
		return err;
	(void)conf_take_layout(d->conf); /* it is the api's now */
	api_set_clock(d->api, &d->clock);
	api_set_control(d->api, &control_ops, d);
	err = open_gateway(d, *certs);
	if (err == 0)
		err = store_start(d->store, control_store_done, d);
	if (err == 0)
		err = listeners_start(d->listeners, d->gateway);
	return err;
}

static int
daemon_start(struct daemon *d)
{
	struct tls_certs *certs = NULL;
	int err = daemon_start_with(d, &certs);

	tls_certs_unref(&certs);
	return err;
}

/*
 * Top down.  The store commits what is queued before it closes; readers of
 * its results are still there then, the connections are not.
 */
static int
daemon_stop(struct daemon *d)
{
	int err;

	listeners_close(&d->listeners);
	gateway_free(&d->gateway);
	err = store_close(&d->store);
	api_free(&d->api);
	hub_free(&d->hub);
	if (d->base != NULL)
		event_base_free(d->base);
	notify_close(&d->notify);
	conf_free(&d->conf);
	return err;
}

static int
daemon_main(const char *conf_path)
{
	struct daemon d = { .conf_path = conf_path };
	sigset_t later;
	int err, end;

	(void)umask(027);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Kept until the loop takes them: a reload or a log rotation that is
	 * asked for while the database opens neither ends us nor is lost. */
	(void)sigemptyset(&later);
	(void)sigaddset(&later, SIGHUP);
	(void)sigaddset(&later, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &later, NULL);
	d.descriptors = priv_raise_descriptors();
	notify_open(&d.notify);
	err = conf_read(conf_path, &d.conf);
	if (err == 0) {
		log_set_level(d.conf->log_level);
		err = daemon_start(&d);
	}
	if (err != 0)
		log_at(LOG_ERROR, "not started: %s", err_text(err));
	else
		err = loop_run(&d);
	end = daemon_stop(&d);
	if (end != 0 && err == 0)
		log_at(LOG_ERROR, "ended badly: %s", err_text(end));
	return err != 0 || end != 0;
}

static int
daemon_check(const char *conf_path, bool dump)
{
	struct tls_certs *certs = NULL;
	struct conf *c = NULL;
	int err = conf_read(conf_path, &c);

	if (err == 0)
		err = conf_certs(c, &certs);
	tls_certs_unref(&certs);
	if (err != 0) {
		conf_free(&c);
		(void)fprintf(stderr, "%s: not a configuration to start with\n",
		    conf_path);
		return 1;
	}
	if (dump)
		conf_dump(c, stdout);
	else
		(void)fprintf(
		    stderr, "%s: the configuration is right\n", conf_path);
	conf_free(&c);
	return 0;
}

/* As the daemon's user, or it could not open afterwards what is made here. */
static int
daemon_verify(const char *conf_path)
{
	struct conf *c = NULL;
	int err = conf_read(conf_path, &c);

	(void)umask(027);
	if (err == 0 && strcmp(c->database, "memory") == 0) {
		log_at(LOG_ERROR, "there is no database to check: it is %s",
		    c->database);
		err = ERR_CONFIG;
	}
	if (err == 0)
		err = priv_drop(c->user, c->group);
	if (err == 0)
		err = store_verify(c->database);
	conf_free(&c);
	return err != 0;
}

int
main(int argc, char **argv)
{
	const char *conf_path = DEFAULT_CONF;
	bool check = false, dump = false, verify = false;
	int c;

	while ((c = getopt(argc, argv, "c:tTCVh")) != -1) {
		switch (c) {
		case 'c':
			conf_path = optarg;
			break;
		case 't':
			check = true;
			break;
		case 'T':
			dump = true;
			break;
		case 'C':
			verify = true;
			break;
		case 'V':
			(void)printf("holdfastd %s\n", PACKAGE_VERSION);
			return 0;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 0;
		default:
			(void)fputs(usage_text, stderr);
			return 2;
		}
	}
	if (optind != argc) {
		(void)fputs(usage_text, stderr);
		return 2;
	}
	if (verify)
		return daemon_verify(conf_path);
	if (check || dump)
		return daemon_check(conf_path, dump);
	return daemon_main(conf_path);
}

/*
 * daemon/conf.h - holdfast.conf, read and checked.
 *
 * Owner: daemon.  Keys, defaults and help stand in daemon/conf.tbl and
 * api/settings.tbl.  A wrong file leaves nothing behind but its errors, each
 * with file and line.
 */
#ifndef DAEMON_CONF_H
#define DAEMON_CONF_H

#include "base/base.h"

#include <stdio.h>

#include "api/layout.h"
#include "base/cidr.h"
#include "base/log.h"
#include "store/store.h"

struct strings {
	char **list;
	size_t n;
};

struct conf {
	struct strings fastcgi;
	struct strings scgi;
	struct strings http;
	struct strings https;
	struct strings tls_certificate;
	struct strings tls_certificate_key;
	int tls_certificate_line; /* where it stands; 0: nowhere */
	int tls_certificate_key_line;
	struct strings control;
	struct strings fronts;
	struct strings trusted_proxies;
	struct strings publish_from;
	struct cidr_list fronts_cidr;
	struct cidr_list trusted_cidr;
	char *database;
	enum store_sync sync;
	uint64_t max_database_size;
	uint64_t store_queue_size;
	uint64_t replay_messages;
	uint64_t replay_size;
	char *user;
	char *group;
	uint64_t socket_mode;
	char *socket_group;
	uint64_t client_max_body_size;
	uint64_t max_params_size;
	uint64_t max_incoming_size;
	uint64_t max_outgoing_size;
	uint64_t max_subscriptions;
	uint64_t max_connections;
	uint64_t request_timeout_ms;
	uint64_t http_header_timeout_ms;
	uint64_t http_keepalive_timeout_ms;
	uint64_t http_max_connections_per_address;
	uint64_t subscriber_buffer_size;
	uint64_t subscriber_buffer_time_ms;
	enum log_level log_level;
	char *log_file;
	char *path;	       /* of the file itself */
	char *licences_shown;  /* what -T prints of keys: never the keys */
	struct layout *layout; /* the api takes it: conf_take_layout */
};

/* Errors go to the log, or to stderr while there is none.  ERR_CONFIG. */
int conf_read(const char *path, struct conf **out) MUST_CHECK;
void conf_free(struct conf **c);
struct tls_certs;
/* conf_tls.c: the certificates, their files read; NULL where there are none
 * and none are needed.  ERR_CONFIG after a line for each that is wrong; one
 * that has expired is worth a warning. */
int conf_certs(const struct conf *c, struct tls_certs **out) MUST_CHECK;

struct layout *conf_take_layout(struct conf *c);

/* Every effective setting, as a file that would say the same. */
void conf_dump(const struct conf *c, FILE *out);

#endif

/*
 * auth/licence.c - which licence a request belongs to.
 *
 * There are few of them, so they stand in a list.
 */
#include "auth/licence.h"

#include <strings.h>

#define LICENCE_ID_MIN 32

static void
licence_init(struct licence *l)
{
	*l = (struct licence){ .valid_until = INT64_MAX };
}

static void
licence_release(struct licence *l)
{
	keyring_free(&l->keys);
	for (size_t i = 0; i < l->n_hosts; i++)
		free(l->hosts[i]);
	free(l->hosts);
	free(l->client_id);
	free(l->host_id);
}

const char *
licence_id(const struct licence *l)
{
	return l->client_id != NULL ? l->client_id : "";
}

void
licences_init(struct licences *l)
{
	licence_init(&l->personal);
	l->shared = NULL;
}

/* A shared one cannot do without. */
bool
licences_have_keys(const struct licences *l)
{
	return l->shared != NULL || !keyring_empty(l->personal.keys);
}

void
licences_release(struct licences *l)
{
	struct licence *one;

	while ((one = l->shared) != NULL) {
		l->shared = one->next;
		licence_release(one);
		free(one);
	}
	licence_release(&l->personal);
	licences_init(l);
}

static bool
is_letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

static bool
client_id_ok(struct slice id)
{
	for (size_t i = 0; i < id.len; i++) {
		if (!is_letter_or_digit(id.ptr[i]))
			return false;
	}
	return id.len >= LICENCE_ID_MIN && id.len <= LICENCE_ID_MAX;
}

static bool
same_nocase(const char *text, struct slice s)
{
	return strlen(text) == s.len && strncasecmp(text, s.ptr, s.len) == 0;
}

int
licences_add(struct licences *l, struct slice client_id, struct licence **out)
{
	struct licence *one, **end;

	if (!client_id_ok(client_id))
		return ERR_CONFIG;
	for (end = &l->shared; *end != NULL; end = &(*end)->next) {
		if (same_nocase((*end)->client_id, client_id))
			return ERR_EXISTS;
	}
	one = malloc(sizeof(*one));
	if (one == NULL)
		return ERR_NOMEM;
	licence_init(one);
	one->client_id = strndup(client_id.ptr, client_id.len);
	if (one->client_id == NULL) {
		free(one);
		return ERR_NOMEM;
	}
	*end = *out = one;
	return 0;
}

/* Without its port.  The colons of an IPv6 address stand in brackets. */
static struct slice
host_name(struct slice host)
{
	for (size_t i = host.len; i > 0 && host.ptr[i - 1] != ']'; i--) {
		if (host.ptr[i - 1] == ':')
			return (struct slice){ host.ptr, i - 1 };
	}
	return host;
}

bool
licence_host_ok(struct slice host)
{
	for (size_t i = 0; i < host.len; i++) {
		if (!is_letter_or_digit(host.ptr[i]) &&
		    (host.ptr[i] == '\0' ||
			strchr(".-_[:]", host.ptr[i]) == NULL))
			return false;
	}
	return host.len != 0 && host_name(host).len == host.len;
}

int
licence_add_host(struct licence *l, struct slice host)
{
	char **hosts;

	if (!licence_host_ok(host))
		return ERR_CONFIG;
	hosts = realloc(l->hosts, (l->n_hosts + 1) * sizeof(*hosts));
	if (hosts == NULL)
		return ERR_NOMEM;
	l->hosts = hosts;
	hosts[l->n_hosts] = strndup(host.ptr, host.len);
	if (hosts[l->n_hosts] == NULL)
		return ERR_NOMEM;
	l->n_hosts++;
	return 0;
}

static bool
licence_serves(const struct licence *l, struct slice host, int64_t now_s)
{
	if (now_s >= l->valid_until)
		return false;
	if (l->n_hosts == 0)
		return true;
	host = host_name(host);
	for (size_t i = 0; i < l->n_hosts; i++) {
		if (same_nocase(l->hosts[i], host))
			return true;
	}
	return false;
}

static const struct licence *
licence_named(const struct licences *l, struct slice client_id)
{
	const struct licence *one = l->shared;

	while (one != NULL && !same_nocase(one->client_id, client_id))
		one = one->next;
	return one;
}

const struct licence *
licences_find(const struct licences *l, struct slice client_id,
    struct slice host, int64_t now_s)
{
	const struct licence *one;

	if (l->shared == NULL)
		return &l->personal;
	if (client_id.len == 0)
		return keyring_empty(l->personal.keys) ? NULL : &l->personal;
	one = licence_named(l, client_id);
	return one != NULL && licence_serves(one, host, now_s) ? one : NULL;
}

const struct licence *
licences_by_id(const struct licences *l, struct slice client_id, int64_t now_s)
{
	const struct licence *one = licence_named(l, client_id);

	return one != NULL && now_s < one->valid_until ? one : NULL;
}

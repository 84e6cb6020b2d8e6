/*
 * daemon/conf_tls.c - the certificates that holdfast.conf names, in pairs.
 *
 * They are read apart from the file itself: a reload whose certificates are
 * wrong, or not readable any more since we are not root, keeps the old ones
 * and takes all the rest.
 */
#include "auth/tls.h"
#include "base/log.h"
#include "daemon/conf.h"

static void
complain(const struct conf *c, enum log_level level, bool key, const char *file,
    const char *what)
{
	int line = key ? c->tls_certificate_key_line : c->tls_certificate_line;

	log_at(level, "%s:%d: tls_certificate%s: %s: %s", c->path, line,
	    key ? "_key" : "", file, what);
}

static int
check_pairs(const struct conf *c)
{
	size_t certs = c->tls_certificate.n, keys = c->tls_certificate_key.n;

	if (certs != keys) {
		log_at(LOG_ERROR,
		    "%s:%d: tls_certificate and tls_certificate_key make "
		    "pairs, and here are %zu and %zu",
		    c->path,
		    certs > keys ? c->tls_certificate_line
				 : c->tls_certificate_key_line,
		    certs, keys);
		return ERR_CONFIG;
	}
	if (certs == 0 && c->https.n != 0) {
		log_at(LOG_ERROR, "%s: https needs a tls_certificate", c->path);
		return ERR_CONFIG;
	}
	return 0;
}

static int
add_pair(const struct conf *c, size_t i, struct tls_certs *certs)
{
	const char *cert = c->tls_certificate.list[i];
	const char *key = c->tls_certificate_key.list[i];
	struct tls_wrong wrong;
	int err = tls_certs_add(certs, cert, key, &wrong);

	if (wrong.text[0] != '\0')
		complain(c, err != 0 ? LOG_ERROR : LOG_WARN, wrong.key,
		    wrong.key ? key : cert, wrong.text);
	return err;
}

int
conf_certs(const struct conf *c, struct tls_certs **out)
{
	int err = check_pairs(c);

	*out = NULL;
	if (err != 0 || c->tls_certificate.n == 0)
		return err;
	err = tls_certs_new(out);
	/* Each is tried, so that one run tells of all. */
	for (size_t i = 0; *out != NULL && i < c->tls_certificate.n; i++) {
		int wrong = add_pair(c, i, *out);

		if (err == 0)
			err = wrong;
	}
	if (err != 0)
		tls_certs_unref(out);
	return err;
}

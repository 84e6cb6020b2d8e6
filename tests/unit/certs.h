/*
 * tests/unit/certs.h - certificates that openssl(1) makes, as files that have
 * no name in any folder: nothing of them stays, however a test ends.
 */
#ifndef TESTS_UNIT_CERTS_H
#define TESTS_UNIT_CERTS_H

#include "base/base.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CERT_EC "ec -pkeyopt ec_paramgen_curve:P-256"
#define CERT_RSA "rsa:2048"

struct cert_file {
	int fd;
	char path[32];
};

struct cert_files {
	struct cert_file pem, key;
};

static inline int
cert_file_open(struct cert_file *f)
{
	f->fd = memfd_create("cert", 0); /* openssl(1) inherits it */
	if (f->fd < 0)
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
	return fchmod(f->fd, 0600);
}

/* names as of subjectAltName; NULL: none. */
static inline int
cert_files_make(struct cert_files *f, const char *key, const char *subject,
    const char *names)
{
	char command[8192];

	if (cert_file_open(&f->pem) != 0 || cert_file_open(&f->key) != 0)
		return -1;
	(void)snprintf(command, sizeof(command),
	    "openssl req -x509 -newkey %s -nodes -days 9 -subj /CN=%s "
	    "-keyout %s -out %s %s%s 2>/dev/null",
	    key, subject, f->key.path, f->pem.path,
	    names != NULL ? "-addext subjectAltName=" : "",
	    names != NULL ? names : "");
	return system(command);
}

static inline void
cert_files_close(struct cert_files *f)
{
	(void)close(f->pem.fd);
	(void)close(f->key.fd);
}

#endif

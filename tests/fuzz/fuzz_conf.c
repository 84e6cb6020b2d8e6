/*
 * tests/fuzz/fuzz_conf.c - any bytes as holdfast.conf, and as a file of keys.
 *
 * A file that is refused leaves a complaint; one that is taken can be shown,
 * and what is shown is taken and shows the same.  Whose channels a request asks
 * for is then decided by what the file said.
 *
 * The input is texts that end with a NUL: the configuration, what the file of
 * keys holds, a client id and a host.
 */
#include "tests/fuzz/check.h"

#include <stdio.h>

static FILE *fuzz_open(const char *path, const char *mode);

/* The daemon's files are in no library. */
#define fopen fuzz_open
#include "daemon/conf.c"
#include "daemon/conf_dump.c"
#include "daemon/conf_file.c"
#include "daemon/conf_key.c"
#include "daemon/conf_licence.c"
#undef fopen

#define NOW_S INT64_C(1795375000)
#define CONF_PATH "holdfast.conf"

/* Read by the library, which would open what the fuzzer thinks of. */
#define FILE_SETTING "push_stream_header_template_file"

static struct slice conf_text, key_text;

/* No file but these two. */
static FILE *
fuzz_open(const char *path, const char *mode)
{
	struct slice text = strcmp(path, CONF_PATH) == 0 ? conf_text : key_text;
	FILE *f = fmemopen((void *)(uintptr_t)text.ptr, text.len, mode);

	CHECK(f != NULL);
	return f;
}

static char *
dump(const struct conf *c, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	CHECK(out != NULL);
	conf_dump(c, out);
	CHECK(fclose(out) == 0);
	return text;
}

/* Keys are not shown, so a file that has some does not come out whole. */
static bool
has_keys(const struct conf *c)
{
	const struct licences *l = &c->layout->licences;

	return l->personal.keys != NULL || l->shared != NULL ||
	    strstr(c->licences_shown, "signature_key_file = \"\"") == NULL;
}

static void
check_dump(const struct conf *c)
{
	size_t len, len_again;
	char *text = dump(c, &len), *again;
	struct conf *other = NULL;

	if (!has_keys(c)) {
		conf_text = (struct slice){ text, len };
		CHECK(conf_read(CONF_PATH, &other) == 0);
		again = dump(other, &len_again);
		CHECK(len == len_again && memcmp(text, again, len) == 0);
		free(again);
		conf_free(&other);
	}
	free(text);
}

static void
check_licences(const struct licences *l, struct slice id, struct slice host)
{
	const struct licence *found = licences_find(l, id, host, NOW_S);
	struct slice its;

	if (l->shared == NULL)
		CHECK(found == &l->personal);
	if (found == NULL || found == &l->personal)
		return;
	CHECK(found->valid_until > NOW_S && !keyring_empty(found->keys));
	its = (struct slice){ licence_id(found), strlen(licence_id(found)) };
	CHECK(its.len == id.len && licences_by_id(l, its, NOW_S) == found);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool quiet;
	struct slice id, host;
	struct conf *c = NULL;
	int err;

	if (!quiet)
		quiet = log_open("/dev/null") == 0;
	conf_text = take_text(&data, &size);
	key_text = take_text(&data, &size);
	id = take_text(&data, &size);
	host = take_text(&data, &size);
	if (memmem(conf_text.ptr, conf_text.len, FILE_SETTING,
		strlen(FILE_SETTING)) != NULL)
		return 0;
	err = conf_read(CONF_PATH, &c);
	CHECK(err == 0 || err == ERR_CONFIG);
	CHECK((c != NULL) == (err == 0));
	if (err == 0) {
		check_licences(&c->layout->licences, id, host);
		check_dump(c);
	}
	conf_free(&c);
	return 0;
}

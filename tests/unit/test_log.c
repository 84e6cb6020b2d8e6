/*
 * tests/unit/test_log.c - whoever can put a name into the log must not be able
 * to write a line of it, nor to drive the terminal that shows it.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/utf8.h"

#define SAID_MAX 4096

static char path[] = "/tmp/holdfast-log-XXXXXX";

/* The one line that came of it, behind date and level. */
static size_t
said(const char *text, char out[SAID_MAX])
{
	int fd = open(path, O_RDWR);
	ssize_t n;
	char *at;

	assert_int_equal(ftruncate(fd, 0), 0);
	log_at(LOG_ERROR, "%s", text);
	n = pread(fd, out, SAID_MAX - 1, 0);
	(void)close(fd);
	assert_true(n > 0);
	out[n] = '\0';
	assert_int_equal(out[n - 1], '\n');
	out[n - 1] = '\0';
	at = strstr(out, "[error] ");
	assert_non_null(at);
	at += strlen("[error] ");
	memmove(out, at, strlen(at) + 1);
	return strlen(out);
}

static void
assert_said(const char *text, const char *want)
{
	char out[SAID_MAX];

	(void)said(text, out);
	assert_string_equal(out, want);
}

static void
test_harmless(void **state)
{
	(void)state;
	assert_said("a /path?with=\"quotes\" and \\",
	    "a /path?with=\"quotes\" "
	    "and \\");
	assert_said("\xd0\xba\xd0\xb0\xd0\xbd\xd0\xb0\xd0\xbb \xe2\x82\xac "
		    "\xf0\x9f\x98\x80",
	    "\xd0\xba\xd0\xb0\xd0\xbd\xd0\xb0\xd0\xbb \xe2\x82\xac "
	    "\xf0\x9f\x98\x80");
}

static void
test_harmful(void **state)
{
	(void)state;
	assert_said("a\nb\r\t\x1b[2J\x7f", "a\\x0ab\\x0d\\x09\\x1b[2J\\x7f");
	/* C1: an escape sequence in one character */
	assert_said("\xc2\x9b"
		    "2J",
	    "\\xc2\\x9b"
	    "2J");
	/* a line's end, a right-to-left override, an isolate */
	assert_said("\xe2\x80\xa8\xe2\x80\xae\xe2\x81\xa6",
	    "\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xe2\\x81\\xa6");
	assert_said("\xff\xc3(\xed\xa0\x80", "\\xff\\xc3(\\xed\\xa0\\x80");
}

/* All bytes in all pairs, and no length breaks anything. */
static void
test_anything(void **state)
{
	char text[3] = { 0 }, out[SAID_MAX];
	char *long_text = calloc(1, 3001);

	(void)state;
	for (int a = 1; a < 256; a++) {
		for (int b = 1; b < 256; b++) {
			size_t n;

			text[0] = (char)a;
			text[1] = (char)b;
			n = said(text, out);
			assert_int_equal(
			    utf8_good((struct slice){ out, n }), n);
			for (size_t i = 0; i < n; i++)
				assert_false((unsigned char)out[i] < ' ' ||
				    out[i] == '\x7f' ||
				    ((unsigned char)out[i] == 0xc2 &&
					(unsigned char)out[i + 1] < 0xa0));
		}
	}
	assert_non_null(long_text);
	for (size_t len = 1000; len <= 3000; len++) {
		size_t n;

		memset(long_text, len % 2 != 0 ? '\n' : '\xe4', len);
		n = said(long_text, out);
		assert_true(n > 900 && n < SAID_MAX - 1);
		assert_int_equal(utf8_good((struct slice){ out, n }), n);
	}
	free(long_text);
}

static int
open_log(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	(void)close(fd);
	return log_open(path);
}

static int
remove_log(void **state)
{
	(void)state;
	return unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_harmful),
		cmocka_unit_test(test_anything),
	};

	return cmocka_run_group_tests(tests, open_log, remove_log);
}

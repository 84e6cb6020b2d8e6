/*
 * ctl/main.c - holdfastctl: which command it is.
 *
 * `status`, `backup` and `bitrix` ask a running daemon (ctl/ask.c); `check` asks
 * the front before it; `convert` asks nobody.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "ctl/bitrix.h"
#include "ctl/check.h"
#include "ctl/convert.h"

static const char usage_text[] =
    "usage: holdfastctl [-s SOCKET] status\n"
    "       holdfastctl [-s SOCKET] backup FILE\n"
    "       " BITRIX_USAGE "\n"
    "       " CHECK_USAGE "\n"
    "       " CONVERT_USAGE "\n"
    "  -s SOCKET  the daemon's control socket (default " ASK_SOCKET ")\n"
    "  -V         print the version and exit\n"
    "  -h         print this help and exit\n";

static int
print_answer(const char *socket_path, const char *uri, const char *request_body)
{
	struct buf in;
	const char *body;
	int rc = 1;

	buf_init(&in, ASK_ANSWER_MAX);
	if (ask(socket_path, uri, request_body, &in, &body) == 0) {
		(void)fputs(body, stdout);
		rc = fflush(stdout) != 0;
	}
	buf_release(&in);
	return rc;
}

/* The daemon has a working directory of its own. */
static int
backup(const char *socket_path, const char *file)
{
	char cwd[PATH_MAX], path[PATH_MAX];
	int len;

	if (file[0] == '/')
		return print_answer(socket_path, "/backup", file);
	if (getcwd(cwd, sizeof(cwd)) == NULL) {
		(void)fprintf(stderr, "holdfastctl: %s\n", strerror(errno));
		return 1;
	}
	len = snprintf(path, sizeof(path), "%s/%s", cwd, file);
	if (len < 0 || (size_t)len >= sizeof(path)) {
		(void)fprintf(
		    stderr, "holdfastctl: %s: path is too long\n", file);
		return 1;
	}
	return print_answer(socket_path, "/backup", path);
}

static int
wrong_usage(void)
{
	(void)fputs(usage_text, stderr);
	return 2;
}

static int
command(char **words, int n, const char *socket_path)
{
	if (n == 1 && strcmp(words[0], "status") == 0)
		return print_answer(socket_path, "/status", "");
	if (n == 2 && strcmp(words[0], "backup") == 0 && words[1][0] != '\0')
		return backup(socket_path, words[1]);
	return wrong_usage();
}

/* Past the options; those before a command have an argument or none. */
static const char *
first_word(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-s") == 0)
			i++;
		else if (argv[i][0] != '-')
			return argv[i];
	}
	return "";
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "version", required_argument, NULL, 'v' },
		{ "https", no_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	struct bitrix_asked asked = { .socket_path = ASK_SOCKET };
	bool bitrix_only = false;
	int c, left;

	/* No daemon is asked, and the options are others. */
	if (argc > 1 && strcmp(argv[1], "convert") == 0)
		return convert_main(argc - 1, argv + 1);
	if (strcmp(first_word(argc, argv), "check") == 0) {
		c = check_main(argc, argv);
		return c != CHECK_WRONG ? c : wrong_usage();
	}
	while ((c = getopt_long(argc, argv, "s:Vh", options, NULL)) != -1) {
		switch (c) {
		case 's':
			asked.socket_path = optarg;
			break;
		case 'v':
			asked.version = optarg;
			bitrix_only = true;
			break;
		case 't':
			asked.https = true;
			bitrix_only = true;
			break;
		case 'V':
			(void)printf("holdfastctl %s\n", PACKAGE_VERSION);
			return 0;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 0;
		default:
			return wrong_usage();
		}
	}
	left = argc - optind;
	if (left == 2 && strcmp(argv[optind], "bitrix") == 0) {
		asked.host = argv[optind + 1];
		c = bitrix_main(&asked);
		return c != BITRIX_WRONG ? c : wrong_usage();
	}
	return bitrix_only ? wrong_usage()
			   : command(argv + optind, left, asked.socket_path);
}

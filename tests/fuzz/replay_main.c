/*
 * tests/fuzz/replay_main.c - run a fuzz target on files instead of a fuzzer.
 *
 * Arguments are files and folders; without any, fuzz_x takes the corpus of
 * its name.  Prints TAP, one line a file: whoever reaches the end has not
 * crashed.
 */
#include "base/base.h"

#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <sys/stat.h>

#define INPUT_MAX (1 << 20)
#define PATH_SIZE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned tests;

static void
replay_file(const char *path)
{
	uint8_t *data;
	size_t len;
	FILE *f = fopen(path, "rb");

	if (f == NULL)
		err(1, "%s", path);
	/* To the byte, so that a sanitizer sees what is read beyond it. */
	data = malloc(INPUT_MAX);
	if (data == NULL)
		err(1, NULL);
	len = fread(data, 1, INPUT_MAX, f);
	(void)fclose(f);
	data = realloc(data, len != 0 ? len : 1);
	if (data == NULL)
		err(1, NULL);
	(void)LLVMFuzzerTestOneInput(data, len);
	free(data);
	printf("ok %u - %s\n", ++tests, path);
	(void)fflush(stdout);
}

static void
replay(const char *path)
{
	struct dirent **names;
	struct stat st;
	int i, n;

	if (stat(path, &st) != 0)
		err(1, "%s", path);
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	n = scandir(path, &names, NULL, alphasort);
	if (n < 0)
		err(1, "%s", path);
	for (i = 0; i < n; i++) {
		char inside[PATH_SIZE];

		(void)snprintf(
		    inside, sizeof(inside), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			replay(inside);
		free(names[i]);
	}
	free(names);
}

/* tests/fuzz/fuzz_x -> $srcdir/tests/fuzz/corpus/x */
static void
replay_own(const char *program)
{
	const char *srcdir = getenv("srcdir");
	const char *slash = strrchr(program, '/');
	const char *name = strstr(slash != NULL ? slash : program, "fuzz_");
	char path[PATH_SIZE];

	if (name == NULL)
		errx(1, "give it files or folders");
	(void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s",
	    srcdir != NULL ? srcdir : ".", name + strlen("fuzz_"));
	replay(path);
}

int
main(int argc, char **argv)
{
	int i;

	if (argc < 2)
		replay_own(argv[0]);
	for (i = 1; i < argc; i++)
		replay(argv[i]);
	if (tests == 0)
		errx(1, "there was nothing to replay");
	printf("1..%u\n", tests);
	return 0;
}

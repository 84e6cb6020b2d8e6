/*
 * ctl/check_sign.c - channels signed as a site signs them, for Bitrix's
 * versions 3 to 5: HMAC-SHA1 of the id, in hex, behind a dot.
 */
#include "auth/keyring.h"
#include "ctl/check_priv.h"

#include <errno.h>
#include <stdio.h>

#define KEY_MAX 4096

/* The first line; NULL: it cannot be read, and errno says why. */
static char *
first_line(const char *path, char line[KEY_MAX])
{
	FILE *f = fopen(path, "re");
	char *text;

	if (f == NULL)
		return NULL;
	line[0] = '\0';
	text = fgets(line, KEY_MAX, f) != NULL || !ferror(f) ? line : NULL;
	line[strcspn(line, "\r\n")] = '\0';
	(void)fclose(f);
	return text;
}

static int
put_signature(struct channel *ch, const char *key)
{
	struct slice id = { ch->id, strlen(ch->id) };
	unsigned char mac[KEYRING_MAC_MAX];
	struct keyring *k;
	size_t n = 0;
	int err;

	err = keyring_new("sha1", &k);
	if (err != 0)
		return err;
	err = keyring_add(k, (struct slice){ key, strlen(key) });
	if (err == 0)
		n = keyring_sign(k, KEYRING_IDS, &id, 1, mac);
	keyring_free(&k);
	if (n == 0)
		return ERR_CONFIG;
	ch->reader[id.len] = '.';
	for (size_t i = 0; i < n; i++)
		(void)snprintf(
		    ch->reader + id.len + 1 + 2 * i, 3, "%02x", mac[i]);
	return 0;
}

int
sign_channel(struct channel *ch, const char *key_file)
{
	char line[KEY_MAX];
	int err = 0;

	memcpy(ch->reader, ch->id, sizeof(ch->id));
	if (key_file == NULL)
		return 0;
	if (first_line(key_file, line) == NULL)
		err = ERR_SYSTEM;
	else
		err = put_signature(ch, line);
	if (err != 0)
		(void)fprintf(stderr, "holdfastctl: %s: %s\n", key_file,
		    err == ERR_SYSTEM ? strerror(errno) : "it has no key");
	explicit_bzero(line, sizeof(line));
	return err;
}

/* base/err.c - the error table, read by value. */
#include "base/base.h"

static const struct {
	int value;
	int status;
	const char *text;
} err_table[] = {
#define ERR(name, value, status, text) { value, status, text },
#include "base/err.tbl"
#undef ERR
};

const char *
err_text(int err)
{
	if (err == ERR_OK)
		return "no error";
	for (size_t i = 0; i < COUNT_OF(err_table); i++) {
		if (err_table[i].value == err)
			return err_table[i].text;
	}
	return "unknown error";
}

int
err_status(int err)
{
	if (err == ERR_OK)
		return 200;
	for (size_t i = 0; i < COUNT_OF(err_table); i++) {
		if (err_table[i].value == err)
			return err_table[i].status;
	}
	return 500;
}

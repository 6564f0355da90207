/*-------------------------------------------------------------------------
 *
 * pem_key_test.c
 *	  Tests of pem_key.c on its own: "make unit".
 *
 * The first key is that of RFC 8410, section 10.3.  Prints what fails and a
 * closing line with the counts; exits 1 on failure.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "pem_key.h"

#define BEGIN "-----BEGIN PRIVATE KEY-----"
#define END "-----END PRIVATE KEY-----"
#define RFC_8410 "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC"

static const uint8_t rfc_8410_key[PEM_KEY_LENGTH] =
{
	0xd4, 0xee, 0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69, 0xf8, 0xad,
	0x3a, 0xfe, 0x7c, 0x28, 0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f, 0x44, 0x75, 0x58, 0x42
};

/* A text, and what is found in it one after the other. */
typedef struct Case
{
	const char *name;
	const char *text;
	PemKeyFound found[3];
} Case;

static const Case cases[] =
{
	{"nothing", "", {PEM_KEY_END}},
	{"a key", BEGIN "\n" RFC_8410 "\n" END "\n", {PEM_KEY_FOUND, PEM_KEY_END}},
	{"without a last line feed", BEGIN "\n" RFC_8410 "\n" END, {PEM_KEY_FOUND, PEM_KEY_END}},
	{"with CRLF", BEGIN "\r\n" RFC_8410 "\r\n" END "\r\n", {PEM_KEY_FOUND, PEM_KEY_END}},
	{"explanations", "a key:\n" BEGIN "\n" RFC_8410 "\n" END "\nno more\n", {PEM_KEY_FOUND, PEM_KEY_END}},
	{"two keys", BEGIN "\n" RFC_8410 "\n" END "\n" BEGIN RFC_8410 END, {PEM_KEY_FOUND, PEM_KEY_FOUND, PEM_KEY_END}},
	{"a key and something else", BEGIN "\n" RFC_8410 "\n" END "\n-----BEGIN CERTIFICATE-----", {PEM_KEY_FOUND, PEM_KEY_SOMETHING_ELSE}},
	{"with a passphrase", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIG\n-----END ENCRYPTED PRIVATE KEY-----\n", {PEM_KEY_SOMETHING_ELSE}},
	{"of a curve", "-----BEGIN EC PRIVATE KEY-----\nMIG\n-----END EC PRIVATE KEY-----\n", {PEM_KEY_SOMETHING_ELSE}},
	{"without an end", BEGIN "\n" RFC_8410 "\n", {PEM_KEY_SOMETHING_ELSE}},
	{"an end cut off", BEGIN "\n" RFC_8410 "\n-----END PRIVATE KEY----", {PEM_KEY_SOMETHING_ELSE}},
	{"a beginning cut off", "-----BEGIN PRIVATE KEY----", {PEM_KEY_SOMETHING_ELSE}},
	{"another beginning before the end", BEGIN "\n" BEGIN "\n" RFC_8410 "\n" END "\n", {PEM_KEY_OF_OTHER_KIND}},
	{"empty", BEGIN "\n" END "\n", {PEM_KEY_OF_OTHER_KIND}},
	{"a digit too few", BEGIN "\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVh\n" END "\n", {PEM_KEY_OF_OTHER_KIND}},
	{"a digit too many", BEGIN "\n" RFC_8410 "A\n" END "\n", {PEM_KEY_OF_OTHER_KIND}},
	{"not base64", BEGIN "\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp*K06/nwoy/HU++CXqI9EdVhC\n" END "\n", {PEM_KEY_OF_OTHER_KIND}},
	{"X25519", BEGIN "\nMC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n" END "\n", {PEM_KEY_OF_OTHER_KIND}},
};

int
main(void)
{
	int			passed = 0;
	int			failed = 0;

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		size_t		length = strlen(cases[c].text);
		size_t		at = 0;
		bool		holds = true;
		PemKeyFound found = PEM_KEY_FOUND;

		for (int i = 0; holds && found == PEM_KEY_FOUND; i++)
		{
			uint8_t		key[PEM_KEY_LENGTH] = {0};

			found = pem_key_next(cases[c].text, length, &at, key);
			holds = i < 3 && found == cases[c].found[i] && at <= length &&
				(found != PEM_KEY_FOUND || memcmp(key, rfc_8410_key, PEM_KEY_LENGTH) == 0);
		}
		if (!holds)
			printf("failed: %s\n", cases[c].name);
		passed += holds;
		failed += !holds;
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}

/*-------------------------------------------------------------------------
 *
 * pem_key.c
 *	  Ed25519 private keys in PEM, as plain C.
 *
 * PEM is RFC 7468; what is in it is a PrivateKeyInfo (RFC 5208) as RFC 8410,
 * section 7, has it for Ed25519 without a public key: always the same sixteen
 * bytes, and then the key.  That is what openssl genpkey writes.
 *
 * OpenSSL reads these files too, but leaves the key in memory that it frees
 * without overwriting.  Here it is nowhere but in the text, which is the
 * caller's, in local variables, which are overwritten, and in the answer.
 *
 * Lines outside a key are explanations.  The text may be anything.
 *
 *-------------------------------------------------------------------------
 */
#include "pem_key.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>

#include "signed_note.h"

#define BEGIN_ANYTHING "-----BEGIN "
#define BEGIN_KEY "-----BEGIN PRIVATE KEY-----"
#define END_KEY "-----END PRIVATE KEY-----"

/* Bytes of a PrivateKeyInfo, and of its base64. */
#define HEADER_LENGTH 16
#define INFO_LENGTH (HEADER_LENGTH + PEM_KEY_LENGTH)
#define BASE64_LENGTH (INFO_LENGTH / 3 * 4)

/*
 * A sequence of version 0, algorithm 1.3.101.112, and a string of a string of 32
 * bytes.
 */
static const uint8_t header[HEADER_LENGTH] =
{
	0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
	0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20
};

static bool
begins_with(const char *text, size_t length, size_t at, const char *string)
{
	size_t		n = strlen(string);

	return n <= length - at && memcmp(text + at, string, n) == 0;
}

/*
 * Where a string begins in a text, from "at" on; "length" where it does not.
 */
static size_t
find(const char *text, size_t length, size_t at, const char *string)
{
	while (at < length && !begins_with(text, length, at, string))
		at++;
	return at;
}

/*
 * Read the key that is in base64 in this part of the text, white space aside.
 */
static PemKeyFound
read_key(const char *text, size_t length, uint8_t *key)
{
	char		base64[BASE64_LENGTH];
	uint8_t		info[INFO_LENGTH];
	size_t		n = 0;
	PemKeyFound result = PEM_KEY_OF_OTHER_KIND;

	for (size_t i = 0; i < length && n <= BASE64_LENGTH; i++)
	{
		if (text[i] == '\n' || text[i] == '\r' || text[i] == ' ' || text[i] == '\t')
			continue;
		if (n < BASE64_LENGTH)
			base64[n] = text[i];
		n++;
	}
	if (n == BASE64_LENGTH && base64_parse(base64, n, info, INFO_LENGTH) &&
		memcmp(info, header, HEADER_LENGTH) == 0)
	{
		memcpy(key, info + HEADER_LENGTH, PEM_KEY_LENGTH);
		result = PEM_KEY_FOUND;
	}
	OPENSSL_cleanse(base64, sizeof(base64));
	OPENSSL_cleanse(info, sizeof(info));
	return result;
}

/*
 * Find the next key of a text from *at on, which is set behind it.
 */
PemKeyFound
pem_key_next(const char *text, size_t length, size_t *at, uint8_t *key)
{
	size_t		begin = find(text, length, *at, BEGIN_ANYTHING);
	size_t		end;

	*at = length;
	if (begin == length)
		return PEM_KEY_END;
	if (!begins_with(text, length, begin, BEGIN_KEY))
		return PEM_KEY_SOMETHING_ELSE;
	begin += strlen(BEGIN_KEY);
	end = find(text, length, begin, END_KEY);
	if (end == length)
		return PEM_KEY_SOMETHING_ELSE;
	*at = end + strlen(END_KEY);
	return read_key(text + begin, end - begin, key);
}

/*-------------------------------------------------------------------------
 *
 * signed_note_test.c
 *	  Tests of signed_note.c on its own: "make unit".
 *
 * The notes and keys of others are those that the specifications and the first
 * implementation, of Go's module mirror, show.  Prints what fails and a closing
 * line with the counts; exits 1 on failure.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "signed_note.h"

#define DASH "\342\200\224"

static const char foreign_key[] =
"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char foreign_note[] =
"If you think cryptography is the answer to your problem,\n"
"then you don't know what your problem is.\n"
"\n"
DASH " PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
static const char other_key[] =
"sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
static const char checkpoint_text[] =
"example.com/behind-the-sofa\n"
"20852163\n"
"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

static int	passed = 0;
static int	failed = 0;
static Sha256 *sha256;

static void
ok(bool good, const char *what, const char *example)
{
	if (good)
	{
		passed++;
		return;
	}
	failed++;
	printf("failed: %s: \"%s\"\n", what, example);
}

/* A text in memory of exactly its length, so that nothing is read beyond it. */
static char *
exactly(const char *text, size_t length)
{
	char	   *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, text, length);
	return copy;
}

static NoteKey
key_of(const char *text)
{
	NoteKey		key = {0};

	ok(note_key_parse(sha256, text, strlen(text), &key), "key", text);
	return key;
}

static void
verdict_is(const char *note, size_t length, const NoteKey *key,
		   NoteVerdict expected, const char *what)
{
	char	   *copy = exactly(note, length);

	ok(note_verify(copy, length, key) == expected, what, note);
	free(copy);
}

static void
test_base64(void)
{
	static const struct
	{
		const char *bytes;
		const char *text;
	}			vectors[] =		/* RFC 4648, section 10 */
	{
		{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
	};
	static const char *const wrong[] =
	{"Zh==", "Zm9", "Zg=", "Zg", "Z===", "====", "Zg==\n", " Zg==", "Zm8=", "Zg=A", "Z-==", "Zm9v"};
	uint8_t		bytes[8];
	char		text[16];

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		size_t		length = strlen(vectors[i].bytes);

		base64_print((const uint8_t *) vectors[i].bytes, length, text);
		ok(strcmp(text, vectors[i].text) == 0, "base64 print", vectors[i].text);
		ok(base64_parse(text, strlen(text), bytes, length) &&
		   memcmp(bytes, vectors[i].bytes, length) == 0, "base64 parse", text);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(!base64_parse(wrong[i], strlen(wrong[i]), bytes, 1), "not one byte in base64", wrong[i]);
	ok(!base64_parse("Z\0==", 4, bytes, 1), "a zero byte is no digit", "Z");
}

static void
test_keys(void)
{
	static const char *const wrong[] =
	{
		"", "+", "++", "PeterNeumann", "PeterNeumann+c74f20a3", "PeterNeumann+c74f20a3+",
		/* another id, another name, in capitals, another type */
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		/* too short, too long, a space */
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
		"Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	};
	static const char *const names[] =
	{
		"", " ", "a b", "a+b", "a\nb", "a\tb", "a\302\240b", "a\302\205b", "a\341\232\200b",
		"a\342\200\203b", "a\342\200\250b", "a\342\200\257b", "a\342\201\237b", "a\343\200\200b",
	};
	char		text[NOTE_VERIFIER_KEY_SIZE];
	char		name[NOTE_KEY_NAME_LENGTH + 2];
	NoteKey		key = key_of(foreign_key);

	note_key_print(&key, text);
	ok(strcmp(text, foreign_key) == 0, "a key prints as it was", text);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		char	   *copy = exactly(wrong[i], strlen(wrong[i]));

		ok(!note_key_parse(sha256, copy, strlen(wrong[i]), &key), "not a key", wrong[i]);
		free(copy);
	}

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ok(!note_key_name_is_valid(names[i]), "no name for a key", names[i]);
	ok(note_key_name_is_valid("example.com/b\303\244r"), "a name for a key", "example.com/b\303\244r");
	memset(name, 'a', sizeof(name));
	name[NOTE_KEY_NAME_LENGTH + 1] = '\0';
	ok(!note_key_name_is_valid(name), "name too long", name);
	name[NOTE_KEY_NAME_LENGTH] = '\0';
	ok(note_key_make(sha256, name, key.public_key, &key), "longest name", name);
	note_key_print(&key, text);
	ok(strlen(text) == NOTE_VERIFIER_KEY_SIZE - 1, "room for the longest key", text);
	key = key_of(text);
	ok(strcmp(key.name, name) == 0, "the longest key is read", text);
}

static void
test_foreign_note(void)
{
	NoteKey		key = key_of(foreign_key);
	NoteKey		other = key_of(other_key);
	size_t		length = strlen(foreign_note);
	static const char *const not_signatures[] =
	{"A", "AAAA", "AAAAAA==", "AAAAAAA", "AAAAAAB=", "AAAAA===", "====", "AAAA====", "AAA=AAAA", "AAAAAAA.", "AAAA AAAA"};
	char		note[2048];
	size_t		text_length;

	ok(note_split(foreign_note, length, &text_length) &&
	   strncmp(foreign_note + text_length - 4, "is.\n", 4) == 0, "text of a note", foreign_note);
	verdict_is(foreign_note, length, &key, NOTE_VERIFIED, "a note of others verifies");
	verdict_is(foreign_note, length, &other, NOTE_UNKNOWN_KEY, "not signed by that key");

	/* Each byte of the text and of the signature counts. */
	for (size_t i = 0; i < length; i++)
	{
		char	   *copy = exactly(foreign_note, length);

		copy[i] ^= 1;
		ok(note_verify(copy, length, &key) != NOTE_VERIFIED, "one bit of a note changed", copy);
		free(copy);
		if (i > 0)
			verdict_is(foreign_note, i, &key, NOTE_MALFORMED, "the end of a note cut off");
	}

	/* Signatures of others beside it, known or not, do not matter. */
	snprintf(note, sizeof(note), "%s" DASH " a.example AAAAAAA=\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_VERIFIED, "a signature of somebody else's");
	snprintf(note, sizeof(note), "%s" DASH " PeterNeumann AAAAAAAA\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_VERIFIED, "another key of that name");
	snprintf(note, sizeof(note), "%s" DASH " a.example %0800dAAAA\n", foreign_note, 0);
	verdict_is(note, strlen(note), &key, NOTE_VERIFIED, "a longer signature of another kind");
	for (size_t i = 0; i < sizeof(not_signatures) / sizeof(not_signatures[0]); i++)
	{
		snprintf(note, sizeof(note), "%s" DASH " a.example %s\n", foreign_note, not_signatures[i]);
		verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "not an id and a signature in base64");
	}
	snprintf(note, sizeof(note), "%s" DASH " PeterNeumann x08gowA=\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_BAD_SIGNATURE, "of this key, and no signature");
	snprintf(note, sizeof(note), "%s\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "no signature after the last empty line");
	snprintf(note, sizeof(note), "%s- a.example AAAAAAA=\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "no em dash");
	snprintf(note, sizeof(note), "%s" DASH " a.example\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "no signature in the line");
	snprintf(note, sizeof(note), "%s" DASH " a+b AAAAAAA=\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "no name for a key");
	snprintf(note, sizeof(note), "%s" DASH " a%0250d+b AAAAAAA=\n", foreign_note, 0);
	verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "no name for a key, and a long one");
	snprintf(note, sizeof(note), "%s" DASH " a%0250d AAAAAAA=\n", foreign_note, 0);
	verdict_is(note, strlen(note), &key, NOTE_VERIFIED, "somebody else's name is longer");
	snprintf(note, sizeof(note), "%s" DASH " a\177b AAAAAAA=\n", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_VERIFIED, "or has U+007F");
	snprintf(note, sizeof(note), "\a%s", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "control character");
	snprintf(note, sizeof(note), "\355\240\200%s", foreign_note);
	verdict_is(note, strlen(note), &key, NOTE_MALFORMED, "not UTF-8");
}

/*
 * Sign with a key of our own, as checkpoints are.
 */
static void
test_own_note(void)
{
	EVP_PKEY   *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t		public_key[ED25519_KEY_LENGTH];
	uint8_t		signature[ED25519_SIGNATURE_LENGTH];
	size_t		length = sizeof(public_key);
	char		name[NOTE_KEY_NAME_LENGTH + 1];
	char		line[NOTE_SIGNATURE_LINE_SIZE];
	char		note[2 * sizeof(line) + 1024];
	NoteKey		key;

	memset(name, 'n', NOTE_KEY_NAME_LENGTH);
	name[NOTE_KEY_NAME_LENGTH] = '\0';
	EVP_PKEY_get_raw_public_key(pair, public_key, &length);
	ok(note_key_make(sha256, name, public_key, &key), "own key", name);
	length = sizeof(signature);
	EVP_DigestSignInit(context, NULL, NULL, NULL, pair);
	EVP_DigestSign(context, signature, &length, (const unsigned char *) checkpoint_text,
				   strlen(checkpoint_text));

	note_signature_print(&key, signature, line);
	ok(strlen(line) == NOTE_SIGNATURE_LINE_SIZE - 1, "room for the longest line", line);
	snprintf(note, sizeof(note), "%s\n%s", checkpoint_text, line);
	verdict_is(note, strlen(note), &key, NOTE_VERIFIED, "a note of our own verifies");

	signature[5] ^= 1;
	note_signature_print(&key, signature, line);
	snprintf(note + strlen(note), sizeof(note) - strlen(note), "%s", line);
	verdict_is(note, strlen(note), &key, NOTE_BAD_SIGNATURE, "one signature holds, one does not");
	snprintf(note, sizeof(note), "%s\n%s", checkpoint_text, line);
	verdict_is(note, strlen(note), &key, NOTE_BAD_SIGNATURE, "the signature does not hold");
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pair);
}

static void
test_checkpoints(void)
{
#define ROOT "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	static const char *const wrong[] =
	{
		"", "\n", "a\n", "a\n1\n", "a\n1\n\n", "a\n1\nAAAA\n", "\n1\n" ROOT, "a\n\n" ROOT,
		"a\n01\n" ROOT, "a\n-1\n" ROOT, "a\n+1\n" ROOT, "a\n 1\n" ROOT, "a\n1 \n" ROOT, "a\n0x1\n" ROOT,
		"a\n9223372036854775808\n" ROOT, "a\n18446744073709551617\n" ROOT,
		"a\n1\n" ROOT "\n", "a\n1\n" ROOT "x\n\n", "a\n1\n" ROOT "\nx\n", "a\n1\n" ROOT "x", "a\r\n1\r\n" ROOT,
	};
	static const char *const right[] =
	{"go.sum database tree\n1\n" ROOT, "a+b\n1\n" ROOT, "a\n0\n" ROOT, "a\n9223372036854775807\n" ROOT, "a\n1\n" ROOT "x\n", "a\n1\n" ROOT "x y\nz\n"};
	Checkpoint	checkpoint = {0};
	char		out[CHECKPOINT_TEXT_SIZE];
	char		origin[NOTE_KEY_NAME_LENGTH];

	ok(checkpoint_parse(checkpoint_text, strlen(checkpoint_text), &checkpoint) &&
	   checkpoint.size == 20852163 && checkpoint.origin == checkpoint_text && checkpoint.origin_length == strlen("example.com/behind-the-sofa"),
	   "checkpoint", checkpoint_text);
	checkpoint_print(&checkpoint, out);
	ok(strcmp(out, checkpoint_text) == 0, "a checkpoint prints as it was", out);

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
	{
		char	   *copy = exactly(right[i], strlen(right[i]));

		ok(checkpoint_parse(copy, strlen(right[i]), &checkpoint), "checkpoint", right[i]);
		free(copy);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		char	   *copy = exactly(wrong[i], strlen(wrong[i]));

		ok(!checkpoint_parse(copy, strlen(wrong[i]), &checkpoint), "not a checkpoint", wrong[i]);
		free(copy);
	}
	ok(!checkpoint_parse("a\0b\n1\n" ROOT, 6 + strlen(ROOT), &checkpoint), "a zero in the origin", "a");

	memset(origin, 'o', NOTE_KEY_NAME_LENGTH);
	checkpoint.origin = origin;
	checkpoint.origin_length = NOTE_KEY_NAME_LENGTH;
	checkpoint.size = MERKLE_SIZE_MOST;
	checkpoint_print(&checkpoint, out);
	ok(strlen(out) < sizeof(out), "room for the longest checkpoint", out);
}

int
main(void)
{
	sha256 = sha256_open();
	if (sha256 == NULL)
	{
		printf("no SHA-256\n");
		return 1;
	}
	test_base64();
	test_keys();
	test_foreign_note();
	test_own_note();
	test_checkpoints();
	sha256_close(sha256);

	printf("signed_note: %d checks passed, %d failed\n", passed, failed);
	return failed != 0;
}

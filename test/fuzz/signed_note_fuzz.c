/*
 * Fuzzer of src/signed_note.c: nothing is read beyond the input, what is
 * accepted has one form only, and no input is signed by a key that has signed
 * nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "signed_note.h"

static const char public_key[ED25519_KEY_LENGTH + 1] = "this key has never signed a note";
static Sha256 *sha256;
static NoteKey key;

static void
require(bool holds)
{
	if (!holds)
		abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	sha256 = sha256_open();
	require(note_key_make(sha256, "a", (const uint8_t *) public_key, &key));
	return 0;
}

static void
fuzz_checkpoint(const char *text, size_t length)
{
	Checkpoint	checkpoint;
	char		printed[CHECKPOINT_TEXT_SIZE];

	if (!checkpoint_parse(text, length, &checkpoint) ||
		checkpoint.origin_length > NOTE_KEY_NAME_LENGTH)
		return;
	checkpoint_print(&checkpoint, printed);
	require(strlen(printed) < sizeof(printed) && strlen(printed) <= length &&
			memcmp(text, printed, strlen(printed)) == 0);
}

static void
fuzz_key(const char *text, size_t length)
{
	NoteKey		parsed;
	char		printed[NOTE_VERIFIER_KEY_SIZE];

	if (!note_key_parse(sha256, text, length, &parsed))
		return;
	note_key_print(&parsed, printed);
	require(strlen(printed) == length && memcmp(text, printed, length) == 0);
}

static void
fuzz_base64(const char *text, size_t length)
{
	uint8_t		bytes[64];
	char		printed[100];

	for (size_t n = length / 4 * 3; n > 0 && n <= sizeof(bytes) && n + 3 > length / 4 * 3; n--)
	{
		if (!base64_parse(text, length, bytes, n))
			continue;
		base64_print(bytes, n, printed);
		require(strlen(printed) == length && memcmp(text, printed, length) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	char	   *text = malloc(length > 0 ? length : 1);
	size_t		text_length;

	memcpy(text, data, length);
	require(note_verify(text, length, &key) != NOTE_VERIFIED);
	fuzz_checkpoint(text, length);
	if (note_split(text, length, &text_length))
	{
		require(text_length < length && text[text_length - 1] == '\n' && text[text_length] == '\n');
		fuzz_checkpoint(text, text_length);
	}
	fuzz_key(text, length);
	fuzz_base64(text, length);
	free(text);
	return 0;
}

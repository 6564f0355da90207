/*-------------------------------------------------------------------------
 *
 * signed_note.c
 *	  Signed notes, checkpoints and their keys as plain C.
 *
 * A signed note (C2SP signed-note) is a text that ends in a line feed, an empty
 * line, and one line for each signature: em dash, space, name of the key,
 * space, base64 of four bytes that identify the key and of the signature.  Keys
 * are Ed25519, signature type 1; a verifier key is "name+id+key", the id in
 * hexadecimal, the key in base64 with the type before it.
 *
 * A checkpoint (C2SP tlog-checkpoint) is a note whose text is three lines:
 * origin, tree size, base64 of the root.  Others' origins may be anything that
 * is not empty.  Extension lines, which the specification allows and
 * discourages, are accepted and ignored.
 *
 * Base64 is RFC 4648, section 4, in its one canonical form.
 *
 * Everything read comes from elsewhere and may be anything; it is looked at
 * within its length, and a zero byte ends nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "signed_note.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

/* U+2014 and a space. */
#define SIGNATURE_MARK "\342\200\224 "
#define SIGNATURE_MARK_LENGTH 4

#define SIGNATURE_TYPE_ED25519 0x01

/* What a signature line has in base64. */
#define SIGNED_LENGTH (4 + ED25519_SIGNATURE_LENGTH)

#define BASE64_LENGTH(n) (((n) + 2) / 3 * 4)

static const char base64_digits[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/*
 * Print bytes in base64, with a zero after it.
 */
void
base64_print(const uint8_t *bytes, size_t length, char *out)
{
	for (size_t i = 0; i < length; i += 3)
	{
		size_t		left = length - i;
		uint32_t	group = bytes[i] << 16;

		if (left > 1)
			group |= bytes[i + 1] << 8;
		if (left > 2)
			group |= bytes[i + 2];
		*out++ = base64_digits[group >> 18];
		*out++ = base64_digits[group >> 12 & 63];
		*out++ = left > 1 ? base64_digits[group >> 6 & 63] : '=';
		*out++ = left > 2 ? base64_digits[group & 63] : '=';
	}
	*out = '\0';
}

/*
 * How many bytes it would be, if it is base64.
 */
static size_t
base64_bytes(const char *text, size_t length)
{
	size_t		padding = 0;

	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	return length / 4 * 3 - (length < 4 ? 0 : padding);
}

/*
 * Read exactly so many bytes from their base64, and keep the first of them, as
 * many as there is room for; false where it is anything else than what
 * base64_print() makes of them.
 */
static bool
base64_parse_first(const char *text, size_t length, uint8_t *bytes, size_t room,
				   size_t expected)
{
	size_t		padding = (3 - expected % 3) % 3;
	uint32_t	group = 0;
	size_t		n = 0;

	if (length != BASE64_LENGTH(expected))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		const char *digit = NULL;

		if (i >= length - padding)
		{
			if (text[i] != '=')
				return false;
			group <<= 6;
		}
		else
		{
			digit = text[i] == '\0' ? NULL : strchr(base64_digits, text[i]);
			if (digit == NULL)
				return false;
			group = group << 6 | (uint32_t) (digit - base64_digits);
		}
		if (i % 4 != 3)
			continue;
		for (int shift = 16; shift >= 0; shift -= 8)
		{
			if (n < room)
				bytes[n] = group >> shift & 0xff;
			if (n < expected)
				n++;
			else if ((group >> shift & 0xff) != 0)
				return false;	/* bits that belong to no byte */
		}
		group = 0;
	}
	return true;
}

/*
 * Read exactly so many bytes from their base64; false where it is anything else
 * than what base64_print() makes of them.
 */
bool
base64_parse(const char *text, size_t length, uint8_t *bytes, size_t expected)
{
	return base64_parse_first(text, length, bytes, expected, expected);
}

/*
 * Does UTF-8 text begin with a Unicode space?
 */
static bool
begins_with_space(const unsigned char *c, size_t left)
{
	if ((c[0] >= 0x09 && c[0] <= 0x0d) || c[0] == 0x20)
		return true;
	if (left >= 2 && c[0] == 0xc2)
		return c[1] == 0x85 || c[1] == 0xa0;
	if (left < 3)
		return false;
	return (c[0] == 0xe1 && c[1] == 0x9a && c[2] == 0x80) ||
		(c[0] == 0xe2 && c[1] == 0x80 && ((c[2] >= 0x80 && c[2] <= 0x8a) ||
										  c[2] == 0xa8 || c[2] == 0xa9 || c[2] == 0xaf)) ||
		(c[0] == 0xe2 && c[1] == 0x81 && c[2] == 0x9f) ||
		(c[0] == 0xe3 && c[1] == 0x80 && c[2] == 0x80);
}

/*
 * May a key have this name, of any length?  Not empty, no space, no plus, no
 * ASCII control character below U+0020.
 */
static bool
is_key_name(const char *name, size_t length)
{
	const unsigned char *c = (const unsigned char *) name;

	for (size_t i = 0; i < length; i++)
	{
		if (c[i] < 0x20 || c[i] == '+' || begins_with_space(c + i, length - i))
			return false;
	}
	return length > 0;
}

/*
 * The same, and is it not too long for keys here?
 */
bool
note_key_name_is_valid(const char *name)
{
	size_t		length = strlen(name);

	return length <= NOTE_KEY_NAME_LENGTH && is_key_name(name, length);
}

/*
 * Copy a name that ends at "length"; false where no key here may have it.
 */
static bool
take_name(const char *text, size_t length, char *name)
{
	if (length > NOTE_KEY_NAME_LENGTH || !is_key_name(text, length))
		return false;
	memcpy(name, text, length);
	name[length] = '\0';
	return true;
}

/*
 * A key by its name and its 32 bytes (RFC 8032); false where the name will not
 * do or SHA-256 failed.
 */
bool
note_key_make(Sha256 *sha256, const char *name, const uint8_t *public_key,
			  NoteKey *key)
{
	const Sha256Part parts[] =
	{
		{name, strlen(name)},
		{"\n\001", 2},			/* SIGNATURE_TYPE_ED25519 */
		{public_key, ED25519_KEY_LENGTH},
	};
	uint8_t		digest[SHA256_LENGTH];

	if (!take_name(name, strlen(name), key->name) ||
		!sha256_parts(sha256, parts, 3, digest))
		return false;
	memcpy(key->public_key, public_key, ED25519_KEY_LENGTH);
	key->id = (uint32_t) digest[0] << 24 | (uint32_t) digest[1] << 16 |
		(uint32_t) digest[2] << 8 | digest[3];
	return true;
}

/*
 * Print a verifier key into NOTE_VERIFIER_KEY_SIZE bytes.
 */
void
note_key_print(const NoteKey *key, char *out)
{
	uint8_t		typed[1 + ED25519_KEY_LENGTH];

	typed[0] = SIGNATURE_TYPE_ED25519;
	memcpy(typed + 1, key->public_key, ED25519_KEY_LENGTH);
	out += sprintf(out, "%s+%08" PRIx32 "+", key->name, key->id);
	base64_print(typed, sizeof(typed), out);
}

/*
 * Read a verifier key; false where it is none, or its id is not its own.
 */
bool
note_key_parse(Sha256 *sha256, const char *text, size_t length, NoteKey *key)
{
	const char *id = memchr(text, '+', length);
	char		name[NOTE_KEY_NAME_LENGTH + 1];
	char		printed[NOTE_VERIFIER_KEY_SIZE];
	uint8_t		typed[1 + ED25519_KEY_LENGTH];
	size_t		left;

	/* After the plus: eight digits, a plus, and base64. */
	if (id == NULL || !take_name(text, id - text, name))
		return false;
	left = length - (id - text) - 1;
	if (left < 9 || id[9] != '+' ||
		!base64_parse(id + 10, left - 9, typed, sizeof(typed)) ||
		typed[0] != SIGNATURE_TYPE_ED25519 ||
		!note_key_make(sha256, name, typed + 1, key))
		return false;

	note_key_print(key, printed);
	return strlen(printed) == length && memcmp(printed, text, length) == 0;
}

static void
put_id(uint32_t id, uint8_t *out)
{
	for (int i = 0; i < 4; i++)
		out[i] = id >> (24 - 8 * i) & 0xff;
}

/*
 * Print a signature's line, line feed and zero included, into
 * NOTE_SIGNATURE_LINE_SIZE bytes.
 */
void
note_signature_print(const NoteKey *key, const uint8_t *signature, char *out)
{
	uint8_t		signed_by[SIGNED_LENGTH];

	put_id(key->id, signed_by);
	memcpy(signed_by + 4, signature, ED25519_SIGNATURE_LENGTH);
	out += sprintf(out, SIGNATURE_MARK "%s ", key->name);
	base64_print(signed_by, sizeof(signed_by), out);
	strcat(out, "\n");
}

/*
 * How many bytes the UTF-8 character has that begins here; 0 where it is none.
 * RFC 3629, section 4.
 */
static size_t
utf8_length(const unsigned char *c, size_t left)
{
	size_t		length;

	if (c[0] < 0x80)
		return 1;
	if (c[0] < 0xc2 || c[0] > 0xf4)
		return 0;
	length = c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
	if (left < length)
		return 0;
	for (size_t i = 1; i < length; i++)
	{
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Longer than need be, a surrogate, or beyond U+10FFFF. */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
		(c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return length;
}

static bool
is_note_text(const char *text, size_t length)
{
	const unsigned char *c = (const unsigned char *) text;

	for (size_t i = 0; i < length;)
	{
		size_t		n = utf8_length(c + i, length - i);

		if (n == 0 || (c[i] < 0x20 && c[i] != '\n'))
			return false;
		i += n;
	}
	return true;
}

/*
 * Where the text of a note ends, its last line feed included; false where the
 * note has not the form of one.  Signatures are after the last empty line.
 */
bool
note_split(const char *note, size_t length, size_t *text_length)
{
	if (length < 3 || note[length - 1] != '\n' || !is_note_text(note, length))
		return false;
	for (size_t i = length - 1; i >= 2; i--)
	{
		if (note[i - 1] == '\n' && note[i - 2] == '\n')
		{
			*text_length = i - 1;
			return i < length;
		}
	}
	return false;
}

/*
 * Does the line, without its line feed, have the form of a signature?  Then
 * where its name and its base64 are.
 */
static bool
split_signature(const char *line, size_t length, size_t *name_length,
				size_t *base64_at)
{
	const char *space;

	if (length < SIGNATURE_MARK_LENGTH ||
		memcmp(line, SIGNATURE_MARK, SIGNATURE_MARK_LENGTH) != 0)
		return false;
	space = memchr(line + SIGNATURE_MARK_LENGTH, ' ', length - SIGNATURE_MARK_LENGTH);
	if (space == NULL)
		return false;
	*name_length = space - line - SIGNATURE_MARK_LENGTH;
	*base64_at = space - line + 1;
	return *base64_at < length && is_key_name(line + SIGNATURE_MARK_LENGTH, *name_length);
}

static bool
signature_holds(const NoteKey *key, const char *text, size_t length,
				const uint8_t *signature)
{
	EVP_PKEY   *public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
														  key->public_key,
														  ED25519_KEY_LENGTH);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		holds;

	holds = public_key != NULL && context != NULL &&
		EVP_DigestVerifyInit(context, NULL, NULL, NULL, public_key) == 1 &&
		EVP_DigestVerify(context, signature, ED25519_SIGNATURE_LENGTH,
						 (const unsigned char *) text, length) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(public_key);
	return holds;
}

/*
 * Is the line a signature of the key over the text?
 */
static NoteVerdict
verify_line(const char *line, size_t length, const NoteKey *key,
			const char *text, size_t text_length)
{
	uint8_t		signed_by[SIGNED_LENGTH];
	uint8_t		id[4];
	size_t		name_length;
	size_t		base64_at;
	size_t		n;

	if (!split_signature(line, length, &name_length, &base64_at))
		return NOTE_MALFORMED;
	n = base64_bytes(line + base64_at, length - base64_at);
	if (n <= sizeof(id) ||
		!base64_parse_first(line + base64_at, length - base64_at, signed_by, sizeof(signed_by), n))
		return NOTE_MALFORMED;

	/* Of other algorithms, signatures have other lengths; of this key, none has. */
	put_id(key->id, id);
	if (name_length != strlen(key->name) ||
		memcmp(line + SIGNATURE_MARK_LENGTH, key->name, name_length) != 0 ||
		memcmp(signed_by, id, sizeof(id)) != 0)
		return NOTE_UNKNOWN_KEY;
	if (n != sizeof(signed_by))
		return NOTE_BAD_SIGNATURE;
	return signature_holds(key, text, text_length, signed_by + sizeof(id)) ?
		NOTE_VERIFIED : NOTE_BAD_SIGNATURE;
}

/*
 * Is the note signed with the key?  Signatures of other keys do not matter.
 */
NoteVerdict
note_verify(const char *note, size_t length, const NoteKey *key)
{
	NoteVerdict verdict = NOTE_UNKNOWN_KEY;
	size_t		text_length;
	const char *line;
	int			nsignatures = 0;

	if (!note_split(note, length, &text_length))
		return NOTE_MALFORMED;
	for (line = note + text_length + 1; line < note + length; nsignatures++)
	{
		const char *end = memchr(line, '\n', note + length - line);
		NoteVerdict this_one;

		if (nsignatures == NOTE_SIGNATURES_MOST)
			return NOTE_MALFORMED;
		this_one = verify_line(line, end - line, key, note, text_length);
		if (this_one == NOTE_MALFORMED)
			return NOTE_MALFORMED;
		/* One that does not hold outweighs one that does. */
		if (verdict != NOTE_BAD_SIGNATURE && this_one != NOTE_UNKNOWN_KEY)
			verdict = this_one;
		line = end + 1;
	}
	return verdict;
}

/*
 * Print the text of a checkpoint whose origin is the name of a key into
 * CHECKPOINT_TEXT_SIZE bytes.
 */
void
checkpoint_print(const Checkpoint *checkpoint, char *out)
{
	memcpy(out, checkpoint->origin, checkpoint->origin_length);
	out += checkpoint->origin_length;
	out += sprintf(out, "\n%" PRIu64 "\n", checkpoint->size);
	base64_print(checkpoint->root.bytes, sizeof(checkpoint->root.bytes), out);
	strcat(out, "\n");
}

/*
 * Read a decimal number as checkpoints write it, up to MERKLE_SIZE_MOST.
 */
static bool
parse_size(const char *digits, size_t length, uint64_t *size)
{
	*size = 0;
	if (length == 0 || (length > 1 && digits[0] == '0'))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		unsigned	digit = (unsigned char) digits[i] - '0';

		if (digit > 9 || *size > (MERKLE_SIZE_MOST - digit) / 10)
			return false;
		*size = *size * 10 + digit;
	}
	return true;
}

/*
 * Read the text of a checkpoint, as note_split() finds it, or unsigned; false
 * where it is none.  The origin stays where it is.
 */
bool
checkpoint_parse(const char *text, size_t length, Checkpoint *checkpoint)
{
	const char *end = text + length;
	const char *size;
	const char *root;
	const char *extensions;

	if (length == 0 || end[-1] != '\n' || !is_note_text(text, length))
		return false;
	size = (const char *) memchr(text, '\n', length) + 1;
	root = size < end ? (const char *) memchr(size, '\n', end - size) + 1 : end;
	extensions = root < end ? (const char *) memchr(root, '\n', end - root) + 1 : NULL;
	if (extensions == NULL)
		return false;
	/* Lines are not empty: neither the first extension nor any after it. */
	for (const char *c = extensions; c < end; c++)
	{
		if (c[0] == '\n' && c[-1] == '\n')
			return false;
	}
	checkpoint->origin = text;
	checkpoint->origin_length = size - 1 - text;
	return checkpoint->origin_length > 0 &&
		parse_size(size, root - 1 - size, &checkpoint->size) &&
		base64_parse(root, extensions - 1 - root, checkpoint->root.bytes,
					 sizeof(checkpoint->root.bytes));
}

/*-------------------------------------------------------------------------
 *
 * signed_note.h
 *	  Signed notes, checkpoints and their keys as plain C.
 *
 * Pure C: no PostgreSQL header, no allocation but OpenSSL's.  See
 * signed_note.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SIGNED_NOTE_H
#define CPIS_SIGNED_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "merkle.h"
#include "sha256.h"

/* Limits, in bytes. */
#define NOTE_KEY_NAME_LENGTH 200
#define NOTE_SIGNATURES_MOST 64

#define ED25519_KEY_LENGTH 32
#define ED25519_SIGNATURE_LENGTH 64

/* Room for a line with a signature, and for a verifier key; with the zero. */
#define NOTE_SIGNATURE_LINE_SIZE (NOTE_KEY_NAME_LENGTH + 99)
#define NOTE_VERIFIER_KEY_SIZE (NOTE_KEY_NAME_LENGTH + 55)

/* Room for the text of a checkpoint whose origin is the name of a key, with the zero. */
#define CHECKPOINT_TEXT_SIZE (NOTE_KEY_NAME_LENGTH + 67)

/* The public half of a key, and what signatures call it. */
typedef struct NoteKey
{
	char		name[NOTE_KEY_NAME_LENGTH + 1];
	uint32_t	id;
	uint8_t		public_key[ED25519_KEY_LENGTH];
} NoteKey;

/* A tree head. */
typedef struct Checkpoint
{
	const char *origin;			/* in the text that was read: no zero after it */
	size_t		origin_length;
	uint64_t	size;
	MerkleHash	root;
} Checkpoint;

typedef enum NoteVerdict
{
	NOTE_VERIFIED,				/* by a signature of the key */
	NOTE_UNKNOWN_KEY,			/* no signature is of the key */
	NOTE_BAD_SIGNATURE,			/* one is, and does not hold */
	NOTE_MALFORMED				/* not a signed note */
} NoteVerdict;

extern bool note_key_name_is_valid(const char *name);
extern bool note_key_make(Sha256 *sha256, const char *name,
						  const uint8_t *public_key, NoteKey *key);
extern bool note_key_parse(Sha256 *sha256, const char *text, size_t length,
						   NoteKey *key);
extern void note_key_print(const NoteKey *key, char *out);

extern void note_signature_print(const NoteKey *key, const uint8_t *signature,
								 char *out);
extern bool note_split(const char *note, size_t length, size_t *text_length);
extern NoteVerdict note_verify(const char *note, size_t length,
							   const NoteKey *key);

extern void checkpoint_print(const Checkpoint *checkpoint, char *out);
extern bool checkpoint_parse(const char *text, size_t length,
							 Checkpoint *checkpoint);

extern void base64_print(const uint8_t *bytes, size_t length, char *out);
extern bool base64_parse(const char *text, size_t length, uint8_t *bytes,
						 size_t expected);

#endif							/* CPIS_SIGNED_NOTE_H */

/*-------------------------------------------------------------------------
 *
 * signing_key.h
 *	  The private keys that sign checkpoints.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SIGNING_KEY_H
#define CPIS_SIGNING_KEY_H

#include "signed_note.h"

/* The most keys in the file: one, and during a rotation two. */
#define SIGNING_KEYS_MOST 4

#define SIGNING_KEY_PROBLEM_SIZE 200

/* The keys of the file, for one checkpoint. */
typedef struct SigningKeys
{
	int			n;				/* 0: nothing can be signed */
	int			npublic;		/* stays when the private ones are given up */
	NoteKey		public_keys[SIGNING_KEYS_MOST];
	void	   *private_keys[SIGNING_KEYS_MOST];	/* EVP_PKEY */
	char		problem[SIGNING_KEY_PROBLEM_SIZE];	/* why n is 0 */
	bool		failed;			/* why is not to be known now */
} SigningKeys;

extern char *cpis_signing_key_file;

extern bool SigningKeysAreNamed(void);
extern void SigningKeysRead(const char *name, SigningKeys *keys);
extern bool SigningKeySign(const SigningKeys *keys, int i, const char *text,
						   size_t length, uint8_t *signature);
extern void SigningKeysFree(SigningKeys *keys);
extern void SigningKeysRefuse(SigningKeys *keys, const char *problem);

#endif							/* CPIS_SIGNING_KEY_H */

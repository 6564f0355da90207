/*-------------------------------------------------------------------------
 *
 * signing_key.c
 *	  The private keys that sign checkpoints.
 *
 * They stand in the file cpis.signing_key_file: Ed25519 keys in PEM, as openssl
 * genpkey makes them.  One is usual; during a rotation the new one comes first
 * and the old one after it, and both sign.  The file must be a plain one of the
 * server's user that nobody else may read.
 *
 * It is read whenever somebody wants a checkpoint, or looks at the status: so a
 * new key needs no restart, and between two checkpoints the process has no
 * private key in its memory.  What was read is overwritten before it is freed.
 *
 * Without a key, checkpoints are made unsigned, and everybody is told why.  What
 * only hinders for now - no memory, too many open files, a device that fails - is
 * an error instead, which SigningKeysRead() raises when it has no keys: it would
 * be recorded that they are gone.  Between SigningKeysRead() and
 * SigningKeysFree() an error would leave keys in memory that no context frees:
 * callers must see to that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "ledger.h"
#include "pem_key.h"
#include "signing_key.h"
#include "storage/fd.h"

/* No file with a few keys is longer. */
#define KEY_FILE_MOST 16384

StaticAssertDecl(KEY_FILE_MOST == 16384 && SIGNING_KEYS_MOST == 4,
				 "messages name these limits");

char	   *cpis_signing_key_file = NULL;

static void
set_problem(SigningKeys *keys, const char *problem)
{
	/* Not its name: only superusers may read that setting. */
	snprintf(keys->problem, sizeof(keys->problem),
			 "The file that cpis.signing_key_file names %s", problem);
}

/*
 * Is it a file that only the server's user can read?  Who could replace it could
 * sign.
 */
static bool
is_private(int file, SigningKeys *keys)
{
	struct stat st;

	if (fstat(file, &st) != 0)
		keys->failed = true;
	else if (!S_ISREG(st.st_mode))
		set_problem(keys, "is not a plain file");
	else if (st.st_uid != geteuid())
		set_problem(keys, "does not belong to the server's user");
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		set_problem(keys, "has group or world access: its permissions should be u=rw (0600) or less");
	else
		return true;
	return false;
}

/*
 * Open the file, or say why it cannot be; raises an error where that may pass.
 */
static int
open_file(SigningKeys *keys)
{
	int			file = OpenTransientFile(cpis_signing_key_file, O_RDONLY | O_NONBLOCK | PG_BINARY);

	if (file >= 0)
		return file;
	if (errno != ENOENT && errno != EACCES && errno != ENOTDIR && errno != ELOOP &&
		errno != ENAMETOOLONG)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open the file that cpis.signing_key_file names: %m")));
	set_problem(keys, errno == ENOENT ? "does not exist" :
				errno == EACCES ? "cannot be opened by the server's user" : "cannot be opened");
	return -1;
}

/*
 * Read the file; the number of bytes, or -1.
 */
static int
read_file(char *buffer, SigningKeys *keys)
{
	int			file = open_file(keys);
	int			length = 0;
	int			n = 0;

	if (file < 0)
		return -1;
	if (!is_private(file, keys))
	{
		CloseTransientFile(file);
		return -1;
	}
	while (length < KEY_FILE_MOST &&
		   (n = read(file, buffer + length, KEY_FILE_MOST - length)) > 0)
		length += n;
	if (n < 0)
		keys->failed = true;
	CloseTransientFile(file);
	if (length == KEY_FILE_MOST)
		set_problem(keys, "is longer than 16 kB");
	return keys->failed || length == KEY_FILE_MOST ? -1 : length;
}

/*
 * Is it one of the keys that have been taken?
 */
static bool
is_there(const SigningKeys *keys, const uint8_t *public_key)
{
	for (int i = 0; i < keys->n; i++)
	{
		if (memcmp(keys->public_keys[i].public_key, public_key, ED25519_KEY_LENGTH) == 0)
			return true;
	}
	return false;
}

/*
 * Take one key; false where it will not do.
 */
static bool
take_key(const uint8_t *bytes, const char *name, SigningKeys *keys)
{
	EVP_PKEY   *private_key = keys->n == SIGNING_KEYS_MOST ? NULL :
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, PEM_KEY_LENGTH);
	uint8_t		public_key[ED25519_KEY_LENGTH];
	size_t		length = sizeof(public_key);

	/* Every 32 bytes are a key. */
	if (keys->n == SIGNING_KEYS_MOST)
		set_problem(keys, "has more than four keys");
	else if (private_key == NULL ||
			 EVP_PKEY_get_raw_public_key(private_key, public_key, &length) != 1 ||
			 !note_key_make(LedgerSha256(), name, public_key, &keys->public_keys[keys->n]))
		keys->failed = true;
	else if (is_there(keys, public_key))
		set_problem(keys, "has the same key twice");
	else
	{
		keys->private_keys[keys->n++] = private_key;
		return true;
	}
	EVP_PKEY_free(private_key);
	return false;
}

/*
 * Take all keys of the file's contents, or none.
 */
static void
take_keys(const char *contents, int length, const char *name, SigningKeys *keys)
{
	uint8_t		key[PEM_KEY_LENGTH];
	size_t		at = 0;
	PemKeyFound found;

	while ((found = pem_key_next(contents, length, &at, key)) == PEM_KEY_FOUND)
	{
		if (!take_key(key, name, keys))
			break;
	}
	OPENSSL_cleanse(key, sizeof(key));
	ERR_clear_error();
	if (found == PEM_KEY_OF_OTHER_KIND)
		set_problem(keys, "has a key that is not Ed25519");
	else if (found == PEM_KEY_SOMETHING_ELSE)
		set_problem(keys, "has something else than private keys in PEM without passphrase");
	else if (found == PEM_KEY_END && keys->n == 0)
		set_problem(keys, "has no private key in PEM");
	if (keys->failed || keys->problem[0] != '\0')
		SigningKeysFree(keys);
	keys->npublic = keys->n;
}

/*
 * Is there a setting that names a file?
 */
bool
SigningKeysAreNamed(void)
{
	return cpis_signing_key_file != NULL && cpis_signing_key_file[0] != '\0';
}

/*
 * Read the keys, which get this name, or say why there are none.
 */
void
SigningKeysRead(const char *name, SigningKeys *keys)
{
	char		contents[KEY_FILE_MOST];
	int			length;

	/* May raise an error, and so must have been called before. */
	(void) LedgerSha256();

	memset(keys, 0, sizeof(SigningKeys));
	if (!SigningKeysAreNamed())
	{
		strlcpy(keys->problem, "No file is named by cpis.signing_key_file", sizeof(keys->problem));
		return;
	}
	length = read_file(contents, keys);
	if (length >= 0)
		take_keys(contents, length, name, keys);
	OPENSSL_cleanse(contents, sizeof(contents));
	if (keys->failed)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not read the file that cpis.signing_key_file names")));
}

/*
 * Sign a text with one of the keys.
 */
bool
SigningKeySign(const SigningKeys *keys, int i, const char *text, size_t length,
			   uint8_t *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t		signature_length = ED25519_SIGNATURE_LENGTH;
	bool		done;

	done = context != NULL &&
		EVP_DigestSignInit(context, NULL, NULL, NULL, keys->private_keys[i]) == 1 &&
		EVP_DigestSign(context, signature, &signature_length,
					   (const unsigned char *) text, length) == 1;
	EVP_MD_CTX_free(context);
	return done;
}

/*
 * Give the private keys up; OpenSSL overwrites them.
 */
void
SigningKeysFree(SigningKeys *keys)
{
	for (int i = 0; i < keys->n; i++)
		EVP_PKEY_free(keys->private_keys[i]);
	keys->n = 0;
}

/*
 * None of the keys will do, for this reason.
 */
void
SigningKeysRefuse(SigningKeys *keys, const char *problem)
{
	SigningKeysFree(keys);
	keys->npublic = 0;
	strlcpy(keys->problem, problem, sizeof(keys->problem));
}

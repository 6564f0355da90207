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
 * It is read for each checkpoint, at most once in cpis.checkpoint_interval: so a
 * new key needs no restart, and between two checkpoints the process has no
 * private key in its memory.  What was read is overwritten before it is freed.
 *
 * Nothing here raises an error: without a key, checkpoints are made unsigned,
 * and everybody is told why.  Between SigningKeysRead() and SigningKeysFree() an
 * error leaves keys in memory that no context frees: callers must see to that.
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
#include <openssl/pem.h>

#include "ledger.h"
#include "signing_key.h"

/* No file with a few keys is longer. */
#define KEY_FILE_MOST 16384

char	   *cpis_signing_key_file = NULL;

static void
set_problem(SigningKeys *keys, const char *problem)
{
	/* Not its name: only superusers may read that setting. */
	snprintf(keys->problem, sizeof(keys->problem),
			 "the file that cpis.signing_key_file names %s", problem);
}

/*
 * Is it a file that only the server's user can read?  Who could replace it could
 * sign.
 */
static bool
is_private(int file, SigningKeys *keys)
{
	struct stat st;

	if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode))
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
 * Read the file; the number of bytes, or -1.
 */
static int
read_file(char *buffer, SigningKeys *keys)
{
	int			file = open(cpis_signing_key_file, O_RDONLY | O_NONBLOCK | PG_BINARY);
	int			length = 0;
	int			n = 0;

	if (file < 0)
	{
		set_problem(keys, errno == ENOENT ? "does not exist" : "cannot be opened");
		return -1;
	}
	if (!is_private(file, keys))
	{
		close(file);
		return -1;
	}
	while (length < KEY_FILE_MOST &&
		   (n = read(file, buffer + length, KEY_FILE_MOST - length)) > 0)
		length += n;
	close(file);
	if (n < 0 || length == KEY_FILE_MOST)
	{
		set_problem(keys, n < 0 ? "cannot be read" : "is too long");
		return -1;
	}
	return length;
}

/*
 * No passphrase: the server could not be told it without keeping it.
 */
static int
no_passphrase(char *buffer, int size, int writing, void *context)
{
	return -1;
}

/*
 * Take one key; false where it will not do.
 */
static bool
take_key(EVP_PKEY *private_key, const char *name, SigningKeys *keys)
{
	uint8_t		bytes[ED25519_KEY_LENGTH];
	size_t		length = sizeof(bytes);

	if (keys->n == SIGNING_KEYS_MOST)
		set_problem(keys, "has too many keys");
	else if (EVP_PKEY_get_base_id(private_key) != EVP_PKEY_ED25519 ||
			 EVP_PKEY_get_raw_public_key(private_key, bytes, &length) != 1)
		set_problem(keys, "has a key that is not Ed25519");
	else if (!note_key_make(LedgerSha256(), name, bytes, &keys->public_keys[keys->n]))
		set_problem(keys, "has a key that cannot be named");
	else
	{
		keys->private_keys[keys->n++] = private_key;
		return true;
	}
	EVP_PKEY_free(private_key);
	return false;
}

/*
 * How many things in PEM the file's contents have.
 */
static int
count_pem(const char *contents)
{
	int			n = 0;

	while ((contents = strstr(contents, "-----BEGIN ")) != NULL)
	{
		n++;
		contents++;
	}
	return n;
}

/*
 * Take all keys of the file's contents, or none.
 */
static void
take_keys(const char *contents, const char *name, SigningKeys *keys)
{
	BIO		   *bio = BIO_new_mem_buf(contents, -1);
	EVP_PKEY   *private_key;

	if (bio == NULL)
	{
		set_problem(keys, "cannot be read");
		return;
	}
	while ((private_key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)) != NULL)
	{
		if (!take_key(private_key, name, keys))
			break;
	}
	ERR_clear_error();
	BIO_free(bio);
	if (keys->problem[0] == '\0' && (keys->n == 0 || keys->n != count_pem(contents)))
		set_problem(keys, "has something else than Ed25519 keys in PEM without passphrase");
	if (keys->problem[0] != '\0')
		SigningKeysFree(keys);
}

/*
 * Read the keys, which get this name, or say why there are none.
 */
void
SigningKeysRead(const char *name, SigningKeys *keys)
{
	char		contents[KEY_FILE_MOST + 1];
	int			length;

	memset(keys, 0, sizeof(SigningKeys));
	if (cpis_signing_key_file == NULL || cpis_signing_key_file[0] == '\0')
	{
		strlcpy(keys->problem, "cpis.signing_key_file is not set", sizeof(keys->problem));
		return;
	}
	length = read_file(contents, keys);
	if (length >= 0)
	{
		contents[length] = '\0';
		take_keys(contents, name, keys);
	}
	OPENSSL_cleanse(contents, sizeof(contents));
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
 * Give the keys up; OpenSSL overwrites them.
 */
void
SigningKeysFree(SigningKeys *keys)
{
	for (int i = 0; i < keys->n; i++)
		EVP_PKEY_free(keys->private_keys[i]);
	keys->n = 0;
}

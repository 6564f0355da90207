/*-------------------------------------------------------------------------
 *
 * checkpoint.c
 *	  The checkpoints that the writer makes.
 *
 * A checkpoint says how many events the ledger has and what its root is, signed
 * where there is a key (C2SP tlog-checkpoint).  Only the writer makes them, in a
 * transaction of its own: when somebody asks, if the ledger has grown and
 * cpis.checkpoint_interval has passed since the last; a minute after the ledger
 * began to grow beyond the last; and before the writer leaves.  Each is kept in
 * cpis.checkpoint.
 *
 * Keys.  When a key signs for the first time, or signs no more, that is an event
 * (action "key"), which the checkpoint covers that the new keys sign - both, the
 * new one and the old, while both are in the file.  To have no key at all is no
 * event.
 *
 * What is known of the newest checkpoint is kept in the writer's memory, and to
 * be forgotten with the rest of the trail when a transaction fails.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bulk_insert.h"
#include "catalog/pg_type.h"
#include "checkpoint.h"
#include "ledger_edge.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "trail.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* How long events may be without a checkpoint while the writer stays. */
#define CHECKPOINT_WITHIN_MS 60000

/* The newest checkpoint. */
typedef struct Newest
{
	bool		known;
	int64		tree_size;		/* -1: there is none */
	TimestampTz at;
	bool		is_signed;
	char		note[CHECKPOINT_NOTE_SIZE]; /* empty: none that will do */
	int			nsigners;		/* of the newest that is signed */
	char		signers[SIGNING_KEYS_MOST][NOTE_VERIFIER_KEY_SIZE];
} Newest;

StaticAssertDecl(ORIGIN_LENGTH + 54 + sizeof("removed ") <= AUDIT_DETAIL_LENGTH,
				 "an event must have room for a verifier key");

int			cpis_checkpoint_interval = 1000;

static Newest newest;
static TimestampTz behind_since = 0;	/* 0: the newest covers everything */

/*
 * Read the newest checkpoint again when it is next needed.
 */
void
CheckpointForget(void)
{
	newest.known = false;
}

/*
 * Take, for this transaction, the lock that CheckpointMake() needs.
 */
void
CheckpointLock(void)
{
	LockRelationOid(CpisRelationOid(CPIS_CHECKPOINT), RowExclusiveLock);
}

static void
read_newest(void)
{
	LedgerReading *reading;
	LedgerCheckpoint checkpoint;

	if (newest.known)
		return;

	memset(&newest, 0, sizeof(newest));
	newest.tree_size = -1;
	reading = LedgerReadingBegin(GetLatestSnapshot(), true);
	if (LedgerNewestCheckpoint(reading, false, &checkpoint))
	{
		newest.tree_size = checkpoint.tree_size;
		newest.at = checkpoint.at;
		newest.is_signed = (checkpoint.verifier_keys != NIL);
		if (checkpoint.note != NULL && strlen(checkpoint.note) < sizeof(newest.note))
			strcpy(newest.note, checkpoint.note);
	}
	if (LedgerNewestCheckpoint(reading, true, &checkpoint))
	{
		ListCell   *cell;

		foreach(cell, checkpoint.verifier_keys)
		{
			if (newest.nsigners < SIGNING_KEYS_MOST)
				strlcpy(newest.signers[newest.nsigners++], lfirst(cell),
						NOTE_VERIFIER_KEY_SIZE);
		}
	}
	LedgerReadingEnd(reading);
	newest.known = true;
}

/*
 * Note that there are events without a checkpoint.  Takes no lock: who locks the
 * checkpoints must not stop a look-up.
 */
void
CheckpointNoteGrowth(TimestampTz now)
{
	if (behind_since == 0 || behind_since > now)
		behind_since = now;
}

/*
 * Are there events without a checkpoint?
 */
bool
CheckpointIsBehind(void)
{
	return behind_since != 0;
}

/*
 * In how many milliseconds must there be a checkpoint that nobody asked for?
 * -1: not as long as nothing happens.
 */
long
CheckpointDueIn(TimestampTz now)
{
	if (!CheckpointIsBehind())
		return -1;
	return TimestampDifferenceMilliseconds(now,
										   TimestampTzPlusMilliseconds(behind_since, CHECKPOINT_WITHIN_MS));
}

/*
 * Put the checkpoint that nobody asked for off until there are more events: this
 * one has failed.
 */
void
CheckpointPutOff(void)
{
	behind_since = 0;
}

/*
 * How long the next one has to wait, in milliseconds.  A clock that was set back
 * does not count.
 */
static int
too_early_by(TimestampTz now)
{
	TimestampTz earliest = TimestampTzPlusMilliseconds(newest.at, cpis_checkpoint_interval);

	if (newest.tree_size < 0 || now < newest.at || now >= earliest)
		return 0;
	return TimestampDifferenceMilliseconds(now, earliest) + 1;
}

static bool
is_signer(const char *key)
{
	for (int i = 0; i < newest.nsigners; i++)
	{
		if (strcmp(newest.signers[i], key) == 0)
			return true;
	}
	return false;
}

static AuditEvent *
key_event(const char *what, const char *key)
{
	AuditEvent *event = palloc(sizeof(AuditEvent));

	AuditEventInit(event, "key");
	strlcpy(event->outcome, "done", sizeof(event->outcome));
	snprintf(event->detail, sizeof(event->detail), "%s %s", what, key);
	return event;
}

/*
 * Compare the keys with those that signed last; an event for each that is new or
 * gone.  Answers how many.
 */
static int
key_events(char (*keys)[NOTE_VERIFIER_KEY_SIZE], int nkeys, AuditEvent **events)
{
	int			n = 0;

	if (nkeys == 0)
		return 0;
	for (int i = 0; i < nkeys; i++)
	{
		if (!is_signer(keys[i]))
			events[n++] = key_event("added", keys[i]);
	}
	for (int i = 0; i < newest.nsigners; i++)
	{
		bool		still = false;

		for (int k = 0; k < nkeys; k++)
			still = still || strcmp(newest.signers[i], keys[k]) == 0;
		if (!still)
			events[n++] = key_event("removed", newest.signers[i]);
	}
	return n;
}

/*
 * Append the signatures to a note; false where one cannot be made.
 */
static bool
sign(const SigningKeys *keys, char *note)
{
	size_t		text_length = strlen(note);
	char	   *out = note + text_length;

	*out++ = '\n';
	for (int i = 0; i < keys->n; i++)
	{
		uint8_t		signature[ED25519_SIGNATURE_LENGTH];

		if (!SigningKeySign(keys, i, note, text_length, signature))
		{
			note[text_length] = '\0';
			return false;
		}
		note_signature_print(&keys->public_keys[i], signature, out);
		out += strlen(out);
	}
	return true;
}

static Datum
keys_datum(char (*keys)[NOTE_VERIFIER_KEY_SIZE], int nkeys)
{
	Datum		elements[SIGNING_KEYS_MOST];

	for (int i = 0; i < nkeys; i++)
		elements[i] = CStringGetTextDatum(keys[i]);
	return PointerGetDatum(construct_array(elements, nkeys, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
store(const Checkpoint *checkpoint, const char *note,
	  char (*keys)[NOTE_VERIFIER_KEY_SIZE], int nkeys, TimestampTz now)
{
	BulkInsert *insert = BulkInsertBegin(CpisRelationOid(CPIS_CHECKPOINT),
										 CHECKPOINT_NCOLUMNS, 1);
	TupleTableSlot *slot = insert->slots[0];

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, CHECKPOINT_NCOLUMNS * sizeof(bool));
	slot->tts_values[CHECKPOINT_TREE_SIZE - 1] = Int64GetDatum(checkpoint->size);
	slot->tts_values[CHECKPOINT_ROOT - 1] =
		PointerGetDatum(cstring_to_text_with_len((char *) checkpoint->root.bytes, SHA256_LENGTH));
	slot->tts_values[CHECKPOINT_NOTE - 1] = CStringGetTextDatum(note);
	slot->tts_values[CHECKPOINT_VERIFIER_KEYS - 1] = keys_datum(keys, nkeys);
	slot->tts_values[CHECKPOINT_AT - 1] = TimestampTzGetDatum(now);
	ExecStoreVirtualTuple(slot);
	BulkInsertEnd(insert);
}

/*
 * Make and store a checkpoint, signed with these keys.
 */
static void
make(TimestampTz now, const SigningKeys *keys,
	 char (*verifier_keys)[NOTE_VERIFIER_KEY_SIZE], CheckpointReply *reply)
{
	Checkpoint	checkpoint;
	int			nsigners = keys->n;

	strlcpy(checkpoint.origin, LedgerName(now), sizeof(checkpoint.origin));
	checkpoint.size = LedgerSize();
	LedgerRoot(&checkpoint.root);
	checkpoint_print(&checkpoint, reply->note);
	if (nsigners > 0 && !sign(keys, reply->note))
	{
		strlcpy(reply->problem, "a signature could not be made", sizeof(reply->problem));
		nsigners = 0;
	}
	store(&checkpoint, reply->note, verifier_keys, nsigners, now);

	newest.tree_size = checkpoint.size;
	newest.at = now;
	newest.is_signed = (nsigners > 0);
	strcpy(newest.note, reply->note);
	if (nsigners > 0)
	{
		newest.nsigners = nsigners;
		memcpy(newest.signers, verifier_keys, nsigners * sizeof(newest.signers[0]));
	}
	behind_since = 0;
}

/*
 * Make a checkpoint with these keys, if there is cause to, and reply.
 */
static void
make_if_due(TimestampTz now, bool wanted, const SigningKeys *keys,
			CheckpointReply *reply)
{
	char		verifier_keys[SIGNING_KEYS_MOST][NOTE_VERIFIER_KEY_SIZE];
	AuditEvent *events[2 * SIGNING_KEYS_MOST];
	int			nevents;

	for (int i = 0; i < keys->n; i++)
		note_key_print(&keys->public_keys[i], verifier_keys[i]);
	nevents = key_events(verifier_keys, keys->n, events);

	if (nevents == 0 && newest.tree_size == LedgerSize() &&
		newest.note[0] != '\0' && (newest.is_signed || keys->n == 0))
	{
		strcpy(reply->note, newest.note);
		behind_since = 0;
		return;
	}
	if (wanted && (reply->retry_after_ms = too_early_by(now)) > 0)
		return;
	if (nevents > 0)
		TrailAppend(events, nevents, now);
	make(now, keys, verifier_keys, reply);
}

/*
 * Reply with a checkpoint that covers all events so far: the newest one, or one
 * that is made now.  Where somebody wants one before its time, reply when to ask
 * again.  Runs in a transaction of the writer's, which holds the locks of the
 * trail and that of CheckpointLock(); nothing of it counts before it is durable.
 */
void
CheckpointMake(TimestampTz now, bool wanted, CheckpointReply *reply)
{
	SigningKeys keys;

	memset(reply, 0, sizeof(CheckpointReply));
	read_newest();
	SigningKeysRead(LedgerName(now), &keys);
	PG_TRY();
	{
		strlcpy(reply->problem, keys.problem, sizeof(reply->problem));
		make_if_due(now, wanted, &keys, reply);
	}
	PG_FINALLY();
	{
		SigningKeysFree(&keys);
	}
	PG_END_TRY();
}

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
 * Who asks too early, or while somebody has locked the checkpoints, is told when
 * to ask again, and how many events there are: any checkpoint of so many will do
 * then, so that he waits for one alone, however much is recorded meanwhile.  The
 * keys that sign are looked at each time, for the newest will not do when others
 * than its own would sign now.
 *
 * A ledger that is not the one of its newest signed checkpoint - somebody has
 * changed an event before the writer came - gets checkpoints that nobody signs.
 *
 * Keys.  When a key signs for the first time, or signs no more, that is an event
 * (action "key"), which the checkpoint covers that the new keys sign - both, the
 * new one and the old, while both are in the file.  checkpoint_row.c has the
 * rule, by which verification checks it.
 *
 * What is known of the newest checkpoint is kept in the writer's memory, and to
 * be forgotten with the rest of the trail when a transaction fails.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bulk_insert.h"
#include "checkpoint.h"
#include "checkpoint_row.h"
#include "ledger_edge.h"
#include "month.h"
#include "relation.h"
#include "storage/lmgr.h"
#include "trail.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* How long events may be without a checkpoint while the writer stays. */
#define CHECKPOINT_WITHIN_MS 60000

/* When to ask again while somebody has locked the checkpoints. */
#define LOCKED_RETRY_MS 100

/* The newest checkpoint. */
typedef struct Newest
{
	bool		known;
	int64		tree_size;		/* -1: there is none */
	TimestampTz at;
	MerkleHash	seal;
	char		note[CHECKPOINT_NOTE_SIZE]; /* empty: none that will do */
	char		problem[SIGNING_KEY_PROBLEM_SIZE];	/* why nothing signs now */
	bool		compared;		/* is it known whether ... */
	bool		contradicted;	/* ... the ledger is not that of a signed one? */
	int			nsigners;
	char		signers[SIGNING_KEYS_MOST][NOTE_VERIFIER_KEY_SIZE];
} Newest;

StaticAssertDecl(ORIGIN_LENGTH + 54 + sizeof("removed ") <= AUDIT_DETAIL_LENGTH,
				 "an event must have room for a verifier key");

int			cpis_checkpoint_interval = 1000;

static Newest newest;
static TimestampTz behind_since = 0;	/* 0: the newest covers everything */
static bool put_off = false;	/* has the last one failed? */

/*
 * Read the newest checkpoint again when it is next needed.
 */
void
CheckpointForget(void)
{
	newest.known = false;
	newest.compared = false;
}

/*
 * Take, for this transaction, the locks that CheckpointMake() needs besides those
 * of the trail; false where somebody else has one that conflicts.  Look-ups must
 * not wait for them.
 */
bool
CheckpointLock(void)
{
	bool		compares = !newest.compared && SigningKeysAreNamed();

	return (!compares || MonthTryLockPartitions()) &&
		ConditionalLockRelationOid(CpisRelationOid(CPIS_CHECKPOINT), RowExclusiveLock);
}

/*
 * Take one of the keys that a row says signed it.  What is none, or has a name
 * that no ledger has, is somebody's who changed the row: it must not get into an
 * event.
 */
static void
take_signer(const char *verifier_key)
{
	NoteKey		key;

	if (newest.nsigners < SIGNING_KEYS_MOST &&
		note_key_parse(LedgerSha256(), verifier_key, strlen(verifier_key), &key) &&
		LedgerOriginIsValid(key.name))
		note_key_print(&key, newest.signers[newest.nsigners++]);
}

static void
read_newest(void)
{
	int64		size = LedgerSize();
	LedgerReading *reading;
	CheckpointRow row;

	if (newest.known)
		return;

	memset(&newest, 0, sizeof(newest));
	newest.tree_size = -1;
	reading = LedgerReadingBegin(GetLatestSnapshot(), true);
	/* One of a tree that the ledger has not is nobody's. */
	if (CheckpointRowNewest(reading, size, false, &row))
	{
		ListCell   *cell;

		newest.tree_size = row.tree_size;
		newest.at = row.at;
		newest.seal = row.seal;
		if (row.note != NULL && strlen(row.note) < sizeof(newest.note))
			strcpy(newest.note, row.note);
		foreach(cell, row.verifier_keys)
			take_signer(lfirst(cell));
	}
	LedgerReadingEnd(reading);
	newest.known = true;
}

/*
 * CheckpointIsContradicted(), looked at once: later, the tree only grows.
 */
static bool
is_contradicted(void)
{
	if (!newest.compared)
	{
		LedgerReading *reading = LedgerReadingBegin(GetLatestSnapshot(), true);

		newest.contradicted = CheckpointIsContradicted(reading, LedgerSize());
		newest.compared = true;
		LedgerReadingEnd(reading);
	}
	return newest.contradicted;
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
	put_off = false;
}

/*
 * Are there events without a checkpoint that should have one before the writer
 * leaves?
 */
bool
CheckpointIsBehind(void)
{
	return behind_since != 0 && !put_off;
}

/*
 * In how many milliseconds must there be a checkpoint that nobody asked for?
 * -1: not as long as nothing happens.
 */
long
CheckpointDueIn(TimestampTz now)
{
	if (behind_since == 0)
		return -1;
	return TimestampDifferenceMilliseconds(now,
										   TimestampTzPlusMilliseconds(behind_since, CHECKPOINT_WITHIN_MS));
}

/*
 * The checkpoint that nobody asked for has failed: try again as if the ledger
 * had only now begun to grow, and, as long as it does not, without keeping the
 * writer from leaving.
 */
void
CheckpointPutOff(TimestampTz now)
{
	behind_since = now;
	put_off = true;
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

/*
 * May the newest checkpoint be handed out to who wants so many events covered?
 */
static bool
newest_covers(int64 size)
{
	return newest.known && newest.tree_size >= size && newest.note[0] != '\0';
}

/*
 * The verifier keys of those that signed the newest checkpoint.
 */
static List *
newest_signers(void)
{
	List	   *result = NIL;

	for (int i = 0; i < newest.nsigners; i++)
		result = lappend(result, newest.signers[i]);
	return result;
}

/*
 * Append an event for each change of keys.
 */
static void
append_key_events(const List *changes, TimestampTz now)
{
	AuditEvent **events = palloc(list_length(changes) * sizeof(AuditEvent *));
	ListCell   *cell;

	foreach(cell, changes)
	{
		AuditEvent *event = palloc(sizeof(AuditEvent));

		AuditEventInit(event, KEY_EVENT_ACTION);
		strlcpy(event->outcome, "done", sizeof(event->outcome));
		strlcpy(event->detail, lfirst(cell), sizeof(event->detail));
		events[foreach_current_index(cell)] = event;
	}
	TrailAppend(events, list_length(changes), now);
}

/*
 * Append the signatures to a note.
 */
static void
sign(const SigningKeys *keys, char *note)
{
	size_t		text_length = strlen(note);
	char	   *out = note + text_length;

	*out++ = '\n';
	for (int i = 0; i < keys->n; i++)
	{
		uint8_t		signature[ED25519_SIGNATURE_LENGTH];

		if (!SigningKeySign(keys, i, note, text_length, signature))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not sign the checkpoint")));
		note_signature_print(&keys->public_keys[i], signature, out);
		out += strlen(out);
	}
}

static Datum
bytea_datum(const MerkleHash *hash)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) hash->bytes, SHA256_LENGTH));
}

/*
 * Store a checkpoint of this root as the newest, signed with these keys.
 */
static void
store(const MerkleHash *root, const List *verifier_keys)
{
	BulkInsert *insert = BulkInsertBegin(CpisRelationOid(CPIS_CHECKPOINT),
										 CHECKPOINT_NCOLUMNS, 1);
	TupleTableSlot *slot = insert->slots[0];

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, CHECKPOINT_NCOLUMNS * sizeof(bool));
	slot->tts_values[CHECKPOINT_TREE_SIZE - 1] = Int64GetDatum(newest.tree_size);
	slot->tts_values[CHECKPOINT_ROOT - 1] = bytea_datum(root);
	slot->tts_values[CHECKPOINT_NOTE - 1] = CStringGetTextDatum(newest.note);
	slot->tts_values[CHECKPOINT_VERIFIER_KEYS - 1] = CheckpointTexts(verifier_keys);
	slot->tts_values[CHECKPOINT_AT - 1] = TimestampTzGetDatum(newest.at);
	slot->tts_values[CHECKPOINT_SEAL - 1] = bytea_datum(&newest.seal);
	ExecStoreVirtualTuple(slot);
	BulkInsertEnd(insert);
}

/*
 * Make and store a checkpoint, signed with these keys.
 */
static void
make(TimestampTz now, const SigningKeys *keys, const List *verifier_keys)
{
	Checkpoint	checkpoint;
	MerkleHash	before = newest.seal;
	TimestampTz named_at;
	const char *name = LedgerName(now, &named_at);
	ListCell   *cell;

	checkpoint.origin = name;
	checkpoint.origin_length = strlen(name);
	checkpoint.size = LedgerSize();
	LedgerRoot(&checkpoint.root);
	if (newest.tree_size < 0)
		CheckpointFirstSeal(name, named_at, &before);

	newest.tree_size = checkpoint.size;
	newest.at = now;
	checkpoint_print(&checkpoint, newest.note);
	if (keys->n > 0)
		sign(keys, newest.note);
	CheckpointNextSeal(&before, now, newest.note, &newest.seal);
	newest.nsigners = keys->n;
	foreach(cell, verifier_keys)
		strlcpy(newest.signers[foreach_current_index(cell)], lfirst(cell), NOTE_VERIFIER_KEY_SIZE);
	store(&checkpoint.root, verifier_keys);
}

/*
 * The verifier keys of those that sign now.
 */
static List *
present_signers(const SigningKeys *keys)
{
	List	   *result = NIL;

	for (int i = 0; i < keys->n; i++)
	{
		char		key[NOTE_VERIFIER_KEY_SIZE];

		note_key_print(&keys->public_keys[i], key);
		result = lappend(result, pstrdup(key));
	}
	return result;
}

/*
 * Make a checkpoint with these keys, unless the newest still tells everything or
 * it is too early for another.
 */
static void
make_if_needed(TimestampTz now, const SigningKeys *keys, CheckpointReply *reply)
{
	List	   *verifier_keys = present_signers(keys);
	List	   *changes = CheckpointKeyChanges(newest_signers(), verifier_keys);

	strlcpy(newest.problem, keys->problem, sizeof(newest.problem));
	reply->newest_will_do = (changes == NIL);
	if (reply->retry_after_ms > 0 || (changes == NIL && newest_covers(LedgerSize())))
		return;

	if (changes != NIL)
		append_key_events(changes, now);
	make(now, keys, verifier_keys);
	reply->newest_will_do = true;
}

/*
 * Have a checkpoint that covers all events so far: the newest one, or one that is
 * made now; where somebody wants one before its time, reply when to ask again.
 * Runs in a transaction of the writer's, which holds the locks of the trail and
 * that of CheckpointLock(); when it is durable, CheckpointMade() and
 * CheckpointAnswer() follow, and nothing counts before.
 */
void
CheckpointMake(TimestampTz now, bool wanted, CheckpointReply *reply)
{
	SigningKeys keys;
	TimestampTz named_at;

	memset(reply, 0, sizeof(CheckpointReply));
	read_newest();
	reply->wanted = LedgerSize();
	if (wanted)
		reply->retry_after_ms = too_early_by(now);

	/* Also if it is too early: who has just put a key there wants its signature. */
	SigningKeysRead(LedgerName(now, &named_at), &keys);
	PG_TRY();
	{
		if (keys.n > 0 && is_contradicted())
			SigningKeysRefuse(&keys, CHECKPOINT_CONTRADICTION);
		make_if_needed(now, &keys, reply);
	}
	PG_FINALLY();
	{
		SigningKeysFree(&keys);
	}
	PG_END_TRY();
}

/*
 * Reply, where the lock could not be had, when to ask again.
 */
void
CheckpointReplyLocked(CheckpointReply *reply)
{
	memset(reply, 0, sizeof(CheckpointReply));
	reply->wanted = LedgerSize();
	reply->retry_after_ms = LOCKED_RETRY_MS;
	reply->locked = true;
}

/*
 * What CheckpointMake() replied is durable.
 */
void
CheckpointMade(const CheckpointReply *reply)
{
	if (reply->retry_after_ms > 0)
		return;
	behind_since = 0;
	put_off = false;
}

/*
 * Make that reply the answer to one of those who asked: who asks again, as he was
 * told, may find what he wants in the newest checkpoint.
 */
void
CheckpointAnswer(const CheckpointReply *reply, CheckpointReply *own)
{
	int64		wanted = own->wanted;

	*own = *reply;
	if (wanted >= 0)
		own->wanted = wanted;
	if (reply->retry_after_ms > 0 &&
		(!reply->newest_will_do || !newest_covers(own->wanted)))
		return;
	own->retry_after_ms = 0;
	strcpy(own->note, newest.note);
	strcpy(own->problem, newest.problem);
}

/*-------------------------------------------------------------------------
 *
 * checkpoint_sql.c
 *	  Checkpoints for who asks in SQL.
 *
 * cpis_checkpoint() has the writer make one; cpis_checkpoint_verify() and
 * cpis_checkpoint_compare() look at one that was kept elsewhere; what is behind
 * view cpis_ledger_status tells about the newest.  All but the first only read,
 * the ledger under the newest snapshot, and work on a standby.
 *
 * A note that has lost its last line feed, or has one too many, as texts do in
 * shells, is taken as if it had one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "checkpoint_row.h"
#include "checkpoint_sql.h"
#include "fmgr.h"
#include "funcapi.h"
#include "ledger.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "request.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "writer.h"

PG_FUNCTION_INFO_V1(cpis_checkpoint);
PG_FUNCTION_INFO_V1(cpis_checkpoint_verify);
PG_FUNCTION_INFO_V1(cpis_checkpoint_compare);
PG_FUNCTION_INFO_V1(cpis_ledger_status);

/*
 * Sleep for so long, whatever wakes the process, unless it is to be interrupted.
 */
static void
sleep_for(int ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	long		left = ms;

	while (left > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		/* No longer than was asked for, if the clock is set back. */
		left = Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until), left);
	}
}

/*
 * Ask the writer until it has a checkpoint; raise an error where somebody has
 * locked what it needs for as long as a look-up would wait.
 */
static void
request_until_made(CheckpointReply *reply)
{
	TimestampTz locked_until = 0;

	for (;;)
	{
		RequestLedgerCheckpoint(reply);
		if (reply->retry_after_ms == 0)
			return;
		if (!reply->locked)
			locked_until = 0;
		else if (locked_until == 0)
			locked_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), cpis_record_timeout);
		else if (GetCurrentTimestamp() >= locked_until)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("checkpoint could not be made within %d ms", cpis_record_timeout),
					 errhint("See who holds a lock on cpis.checkpoint or on a month of cpis.audit_event.")));
		sleep_for(reply->retry_after_ms);
	}
}

/*
 * A checkpoint that covers every event recorded so far; where the newest one
 * does not, and is too young, this waits until the writer makes another, or has
 * made one for somebody else.
 */
char *
CheckpointObtain(void)
{
	CheckpointReply reply = {.wanted = -1};

	request_until_made(&reply);
	if (reply.problem[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("checkpoint has not been signed"),
				 errdetail_internal("%s.", reply.problem),
				 errhint("See the view cpis_ledger_status when that has been mended.")));
	return pstrdup(reply.note);
}

/*
 * cpis_checkpoint() -> text: a checkpoint that covers every event recorded
 * before the call.
 */
Datum
cpis_checkpoint(PG_FUNCTION_ARGS)
{
	RequestCheckCallable("cpis_checkpoint()");
	PG_RETURN_TEXT_P(cstring_to_text(CheckpointObtain()));
}

/*
 * A note as it was made, with one line feed at its end.
 */
static char *
whole_note(const text *note)
{
	char	   *result = text_to_cstring(note);
	size_t		length = strlen(result);

	while (length > 0 && result[length - 1] == '\n')
		result[--length] = '\0';
	return psprintf("%s\n", result);
}

static bool
is_origin(const Checkpoint *checkpoint, const char *name)
{
	return checkpoint->origin_length == strlen(name) &&
		memcmp(checkpoint->origin, name, checkpoint->origin_length) == 0;
}

/*
 * cpis_checkpoint_verify(note, verifier_key) -> boolean: is it a checkpoint, and
 * signed with a key of its own origin, this one?  22023 where the key is none.
 */
Datum
cpis_checkpoint_verify(PG_FUNCTION_ARGS)
{
	char	   *note = whole_note(PG_GETARG_TEXT_PP(0));
	text	   *key_text = PG_GETARG_TEXT_PP(1);
	NoteKey		key;
	Checkpoint	checkpoint;
	size_t		text_length;

	if (!note_key_parse(LedgerSha256(), VARDATA_ANY(key_text),
						VARSIZE_ANY_EXHDR(key_text), &key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not a verifier key"),
				 errhint("A verifier key is name, plus sign, id in hexadecimal, plus sign, key in base64.")));

	PG_RETURN_BOOL(note_verify(note, strlen(note), &key) == NOTE_VERIFIED &&
				   note_split(note, strlen(note), &text_length) &&
				   checkpoint_parse(note, text_length, &checkpoint) &&
				   is_origin(&checkpoint, key.name));
}

/*
 * The origin of a checkpoint for a message, cut where it is long.
 */
static char *
foreign_origin(const Checkpoint *checkpoint)
{
	return pnstrdup(checkpoint->origin,
					pg_mbcliplen(checkpoint->origin, checkpoint->origin_length, NOTE_KEY_NAME_LENGTH));
}

/*
 * Read a checkpoint that somebody kept, signed or not.
 */
static void
parse_kept(const text *kept, Checkpoint *checkpoint)
{
	char	   *note = whole_note(kept);
	size_t		length = strlen(note);
	size_t		text_length;

	if (!note_split(note, length, &text_length))
		text_length = length;
	if (!checkpoint_parse(note, text_length, checkpoint))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not a checkpoint"),
				 errhint("A checkpoint is what cpis_checkpoint() gave, line by line.")));
}

/*
 * cpis_checkpoint_compare(note) -> text: a checkpoint that was kept elsewhere
 * against the ledger as it is now.  22023 where it is none, or another ledger's.
 */
Datum
cpis_checkpoint_compare(PG_FUNCTION_ARGS)
{
	LedgerReading *reading;
	Checkpoint	checkpoint;
	MerkleHash	root;
	TimestampTz created_at;
	char	   *origin;
	int			rows;
	const char *result;

	LedgerLockToRead();
	reading = LedgerReadingBegin(GetLatestSnapshot(), false);
	parse_kept(PG_GETARG_TEXT_PP(0), &checkpoint);
	origin = LedgerOrigin(reading, &created_at, &rows);
	if (origin == NULL || !is_origin(&checkpoint, origin))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("checkpoint is of another ledger"),
				 origin == NULL ?
				 errdetail("The checkpoint is of \"%s\", and here no event has been recorded yet.",
						   foreign_origin(&checkpoint)) :
				 errdetail("The checkpoint is of \"%s\", this ledger is \"%s\".",
						   foreign_origin(&checkpoint), origin)));

	if (!LedgerHasTree(reading, checkpoint.size))
		result = "behind";
	else if (merkle_root(&reading->source, checkpoint.size, &root) &&
			 merkle_equal(&root, &checkpoint.root))
		result = "consistent";
	else
		result = "forked";
	LedgerReadingEnd(reading);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/*
 * The verifier keys of those that would sign now.
 */
static List *
present_keys(LedgerReading *reading, const char *origin, int64 size,
			 const char **problem)
{
	SigningKeys keys;
	List	   *result = NIL;

	/* Only the public halves are wanted; nothing may fail while the others are there. */
	SigningKeysRead(origin, &keys);
	SigningKeysFree(&keys);
	for (int i = 0; i < keys.npublic; i++)
	{
		char		key[NOTE_VERIFIER_KEY_SIZE];

		note_key_print(&keys.public_keys[i], key);
		result = lappend(result, pstrdup(key));
	}
	*problem = keys.problem[0] == '\0' ? NULL : pstrdup(keys.problem);
	if (result != NIL && CheckpointIsContradicted(reading, size))
	{
		result = NIL;
		*problem = CHECKPOINT_CONTRADICTION;
	}
	return result;
}

/*
 * One row: origin, tree_size, checkpoint_tree_size, checkpoint_at,
 * checkpoint_verifier_keys, verifier_keys, key_problem.
 */
Datum
cpis_ledger_status(PG_FUNCTION_ARGS)
{
	LedgerReading *reading;
	CheckpointRow checkpoint;
	TimestampTz created_at;
	TupleDesc	descriptor;
	Datum		values[7] = {0};
	bool		isnull[7] = {false};
	char	   *origin;
	const char *problem;
	int64		size;
	int			rows;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	LedgerLockToRead();
	reading = LedgerReadingBegin(GetLatestSnapshot(), true);
	origin = LedgerOrigin(reading, &created_at, &rows);
	isnull[0] = (origin == NULL);
	if (!isnull[0])
		values[0] = CStringGetTextDatum(origin);
	size = LedgerTreeSize(reading);
	values[1] = Int64GetDatum(size);
	isnull[2] = isnull[3] = isnull[4] =
		!CheckpointRowNewest(reading, size, false, &checkpoint);
	if (!isnull[2])
	{
		values[2] = Int64GetDatum(checkpoint.tree_size);
		values[3] = TimestampTzGetDatum(checkpoint.at);
		values[4] = CheckpointTexts(checkpoint.verifier_keys);
	}
	/* A key has the name of the ledger, whatever that will be. */
	values[5] = CheckpointTexts(present_keys(reading, origin == NULL ? "unnamed" : origin, size, &problem));
	isnull[5] = isnull[0];
	isnull[6] = (problem == NULL);
	if (!isnull[6])
		values[6] = CStringGetTextDatum(problem);
	LedgerReadingEnd(reading);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, isnull)));
}

/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  Holds: what is not to be removed though its term has ended.
 *
 * A hold is on one NHS number, on one authority, or on everything.  It is in
 * force from when the transaction that placed it has committed until another
 * that released it has.  It stops removal only: what is held no more is hidden
 * all the same.
 *
 * Placing and releasing are recorded in the trail, and durable there, before they
 * count.  The purge reads the holds under ShareLock on cpis.hold, which waits for
 * those who are just placing one: a hold in force is never overlooked.  Who places or
 * releases takes his lock before he records it, so that events tell, by their order,
 * which holds were in force when something was removed.
 *
 * The event of a removal has a digest of them: SHA-256 over, for each by its number,
 * hold_id as i64, the ten digits of its NHS number as i64 or 0, the length of its
 * authority as i32, that authority, and the salt of the hold, without which who reads
 * events could guess numbers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "argument.h"
#include "audit_event.h"
#include "canonical.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "hold.h"
#include "ledger.h"
#include "own_change.h"
#include "register.h"
#include "relation.h"
#include "request.h"
#include "retention.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cpis_hold_place);
PG_FUNCTION_INFO_V1(cpis_hold_release);

/* Columns of cpis.hold. */
#define HOLD_HOLD_ID 1
#define HOLD_NHS_NUMBER 2
#define HOLD_LOCAL_AUTHORITY 3
#define HOLD_RELEASED_AT 7
#define HOLD_SALT 10

/* What the digest is made of. */
typedef struct HoldBytes
{
	int64		hold_id;
	StringInfoData bytes;
} HoldBytes;

typedef struct NumberHold
{
	int32		nhs_number;		/* key */
	int64		hold_id;
} NumberHold;

typedef struct AuthorityHold
{
	char		local_authority[LOCAL_AUTHORITY_LENGTH + 1];	/* key */
	int64		hold_id;
} AuthorityHold;

static void
add_number(Holds *holds, int32 nhs_number, int64 hold_id)
{
	NumberHold *entry;
	bool		found;

	if (holds->on_numbers == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(int32), .entrysize = sizeof(NumberHold),
		.hcxt = CurrentMemoryContext};

		holds->on_numbers = hash_create("cpis holds on numbers", 64, &control,
										HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(holds->on_numbers, &nhs_number, HASH_ENTER, &found);
	entry->hold_id = hold_id;
}

static void
add_authority(Holds *holds, const char *local_authority, int64 hold_id)
{
	AuthorityHold *entry;
	bool		found;

	if (holds->on_authorities == NULL)
	{
		HASHCTL		control = {.keysize = LOCAL_AUTHORITY_LENGTH + 1,
			.entrysize = sizeof(AuthorityHold),
		.hcxt = CurrentMemoryContext};

		holds->on_authorities = hash_create("cpis holds on authorities", 16, &control,
											HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	entry = hash_search(holds->on_authorities, local_authority, HASH_ENTER, &found);
	entry->hold_id = hold_id;
}

/*
 * The part of the digest that is about this row.
 */
static HoldBytes *
hold_bytes(HeapTuple tuple, TupleDesc descriptor, int64 hold_id)
{
	HoldBytes  *part = palloc(sizeof(HoldBytes));
	char	   *local_authority = CpisTextAttribute(tuple, descriptor, HOLD_LOCAL_AUTHORITY);
	int			length = local_authority == NULL ? 0 : strlen(local_authority);
	bool		isnull;
	Datum		value;

	part->hold_id = hold_id;
	initStringInfo(&part->bytes);
	canonical_uint64(&part->bytes, hold_id);
	value = heap_getattr(tuple, HOLD_NHS_NUMBER, descriptor, &isnull);
	canonical_uint64(&part->bytes, isnull ? 0 : mod11_to_integer(DatumGetInt32(value)));
	canonical_uint32(&part->bytes, length);
	if (length > 0)
		canonical_put(&part->bytes, local_authority, length);
	value = heap_getattr(tuple, HOLD_SALT, descriptor, &isnull);
	if (!isnull)
	{
		bytea	   *salt = DatumGetByteaPP(value);

		canonical_put(&part->bytes, VARDATA_ANY(salt), VARSIZE_ANY_EXHDR(salt));
	}
	return part;
}

static int
compare_parts(const ListCell *a, const ListCell *b)
{
	int64		one = ((HoldBytes *) lfirst(a))->hold_id;
	int64		other = ((HoldBytes *) lfirst(b))->hold_id;

	return (one > other) - (one < other);
}

/*
 * The digest of all parts, in hexadecimal digits, or "none".
 */
static const char *
digest_of(List *parts)
{
	char	   *text = palloc0(2 * SHA256_LENGTH + 1);
	uint8		digest[SHA256_LENGTH];
	StringInfoData bytes;
	Sha256Part	all;
	ListCell   *cell;

	if (parts == NIL)
		return "none";
	initStringInfo(&bytes);
	list_sort(parts, compare_parts);
	foreach(cell, parts)
	{
		const StringInfoData *part = &((HoldBytes *) lfirst(cell))->bytes;

		canonical_put(&bytes, part->data, part->len);
	}
	all.bytes = bytes.data;
	all.length = bytes.len;
	if (!sha256_parts(LedgerSha256(), &all, 1, digest))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of holds")));
	(void) hex_encode((char *) digest, SHA256_LENGTH, text);
	return text;
}

/*
 * Add a hold that is in force.
 */
static void
add_hold(Holds *holds, HeapTuple tuple, TupleDesc descriptor, int64 hold_id)
{
	bool		isnull;
	Datum		value;

	value = heap_getattr(tuple, HOLD_NHS_NUMBER, descriptor, &isnull);
	if (!isnull)
	{
		add_number(holds, DatumGetInt32(value), hold_id);
		return;
	}
	value = heap_getattr(tuple, HOLD_LOCAL_AUTHORITY, descriptor, &isnull);
	if (!isnull)
		add_authority(holds, TextDatumGetCString(value), hold_id);
	else
		holds->on_everything = hold_id;
}

/*
 * Read the holds in force.  Who must not overlook one has ShareLock on cpis.hold,
 * and the snapshot from afterwards.
 */
void
HoldsRead(Holds *holds, Snapshot snapshot)
{
	Relation	table = CpisTableOpen(CPIS_HOLD, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	TupleDesc	descriptor = RelationGetDescr(table);
	List	   *parts = NIL;
	HeapTuple	tuple;

	memset(holds, 0, sizeof(Holds));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int64		hold_id = DatumGetInt64(heap_getattr(tuple, HOLD_HOLD_ID, descriptor, &isnull));

		(void) heap_getattr(tuple, HOLD_RELEASED_AT, descriptor, &isnull);
		if (!isnull)
			continue;
		add_hold(holds, tuple, descriptor, hold_id);
		parts = lappend(parts, hold_bytes(tuple, descriptor, hold_id));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	holds->digest = digest_of(parts);
}

/*
 * The hold on a record of this number, -1 where it has none, and authority, or 0.
 */
int64
HoldsFind(const Holds *holds, int32 nhs_number, const char *local_authority)
{
	if (holds->on_everything != 0)
		return holds->on_everything;
	if (holds->on_numbers != NULL)
	{
		NumberHold *entry = hash_search(holds->on_numbers, &nhs_number, HASH_FIND, NULL);

		if (entry != NULL)
			return entry->hold_id;
	}
	if (holds->on_authorities != NULL)
	{
		AuthorityHold *entry = hash_search(holds->on_authorities, local_authority, HASH_FIND, NULL);

		if (entry != NULL)
			return entry->hold_id;
	}
	return 0;
}

/*
 * Lock the table of holds for who is going to change it, in the order in which the
 * purge locks: the policy first, for he may go on to set that in the same transaction.
 */
static Oid
lock_to_change(void)
{
	Oid			table = CpisRelationOid(CPIS_HOLD);

	LockRelationOid(CpisRelationOid(CPIS_RETENTION_POLICY), RowExclusiveLock);
	LockRelationOid(table, RowExclusiveLock);
	return table;
}

static void
record(AuditEvent *event, const char *what, const char *reason)
{
	snprintf(event->detail, sizeof(event->detail), "%s; %s", what, reason);
	RecordChange(event);
}

/*
 * On what the arguments place a hold, in words, and in the event; 22023 unless it
 * is one thing, 42704 for an unknown authority.
 */
static const char *
scope_of(FunctionCallInfo fcinfo, const char *local_authority, AuditEvent *event)
{
	bool		on_everything = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);

	if ((PG_ARGISNULL(1) ? 0 : 1) + (local_authority == NULL ? 0 : 1) + (on_everything ? 1 : 0) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exactly one of nhs_number, local_authority and everything must be given")));
	if (on_everything)
		return "placed on everything";
	if (local_authority != NULL)
	{
		RegisterRequireAuthority(local_authority);
		return psprintf("placed on local authority %s", local_authority);
	}
	if (mod11_is_placeholder(PG_GETARG_INT32(1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the NHS number is a placeholder"),
				 errdetail("One digit ten times is nobody's number.")));
	event->has_nhs_number = true;
	event->nhs_number = PG_GETARG_INT32(1);
	return "placed on this NHS number";
}

/*
 * cpis_hold_place(reason, nhs_number, local_authority, everything) -> bigint: the
 * number of the hold.
 */
Datum
cpis_hold_place(PG_FUNCTION_ARGS)
{
	Oid			types[] = {InvalidOid, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID};
	OwnChange	change = {0};
	Datum		values[5];
	char		nulls[5] = {' ', ' ', ' ', ' ', ' '};
	AuditEvent	event;
	char	   *reason;
	char	   *local_authority;
	const char *scope;
	int64		hold_id = 0;

	ChangeCheckCallable("cpis_hold_place()");
	reason = ArgumentText(fcinfo, 0, "reason", true, REASON_LENGTH);
	local_authority = ArgumentText(fcinfo, 2, "local_authority", false, LOCAL_AUTHORITY_LENGTH);
	AuditEventInit(&event, HOLD_ACTION);
	scope = scope_of(fcinfo, local_authority, &event);
	change.table = lock_to_change();
	record(&event, scope, reason);

	types[0] = get_atttype(change.table, HOLD_NHS_NUMBER);
	values[0] = PG_ARGISNULL(1) ? (Datum) 0 : Int32GetDatum(PG_GETARG_INT32(1));
	nulls[0] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[1] = local_authority == NULL ? (Datum) 0 : CStringGetTextDatum(local_authority);
	nulls[1] = local_authority == NULL ? 'n' : ' ';
	values[2] = CStringGetTextDatum(reason);
	values[3] = TimestampTzGetDatum(event.recorded_at);
	values[4] = Int64GetDatum(event.event_id);
	OwnChangeOne(&change,
							"INSERT INTO cpis.hold (nhs_number, local_authority, reason, placed_at, placed_event)"
							" VALUES ($1, $2, $3, $4, $5) RETURNING hold_id",
							lengthof(types), types, values, nulls, &hold_id);
	PG_RETURN_INT64(hold_id);
}

/*
 * cpis_hold_release(hold_id, reason).  22023 where there is no such hold in force.
 */
Datum
cpis_hold_release(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, TEXTOID, INT8OID};
	OwnChange	change = {0};
	Datum		values[4];
	AuditEvent	event;
	char	   *reason;
	char		what[64];

	ChangeCheckCallable("cpis_hold_release()");
	reason = ArgumentText(fcinfo, 1, "reason", true, REASON_LENGTH);
	if (PG_ARGISNULL(0))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "hold_id", "must not be null");

	change.table = lock_to_change();
	/* Of two who release it, the second waits here, and then finds it released. */
	values[0] = Int64GetDatum(PG_GETARG_INT64(0));
	if (OwnChangeExecute(&change, "SELECT hold_id FROM cpis.hold WHERE hold_id = $1 AND released_at IS NULL FOR UPDATE",
						 1, types, values, NULL, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no hold " INT64_FORMAT " in force", PG_GETARG_INT64(0))));

	AuditEventInit(&event, HOLD_ACTION);
	snprintf(what, sizeof(what), "released hold " INT64_FORMAT, PG_GETARG_INT64(0));
	record(&event, what, reason);
	values[1] = TimestampTzGetDatum(event.recorded_at);
	values[2] = CStringGetTextDatum(reason);
	values[3] = Int64GetDatum(event.event_id);
	OwnChangeOne(&change,
							"UPDATE cpis.hold SET released_at = $2, release_reason = $3, released_event = $4"
							" WHERE hold_id = $1", lengthof(types), types, values, NULL, NULL);
	PG_RETURN_VOID();
}

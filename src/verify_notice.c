/*-------------------------------------------------------------------------
 *
 * verify_notice.c
 *	  Verification of the notices to local authorities.
 *
 * The notices that are there must be those that the events tell of, which are
 * part of the leaves of the ledger, and the numbers of each authority must begin
 * at 1 and have no gap.  Both are compared by fingerprints: in constant memory,
 * in whatever order the notices are read.  Where a fingerprint differs, the
 * culprit is then searched for, which takes longer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "audit_row.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "notification.h"
#include "relation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/rel.h"
#include "verify.h"

static const Oid columns[NOTIFICATION_NCOLUMNS] = {TEXTOID, INT8OID, INT8OID};

/* How many notices an authority, known by its fingerprint, has. */
typedef struct AuthorityCount
{
	uint64		authority;		/* key */
	int64		notices;
} AuthorityCount;

/* What is made of the notices that are there. */
typedef struct NoticeReading
{
	uint64		in_range;		/* fingerprint with events, of the events verified */
	uint64		numbers;		/* fingerprint of authorities and numbers */
	HTAB	   *counts;
} NoticeReading;

static HTAB *
make_counts(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(AuthorityCount);
	control.hcxt = CurrentMemoryContext;
	return hash_create("cpis notices by authority", 256, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Is a notice of this event one to verify?  One of an event that has been removed is
 * not, but for its number.
 */
static bool
is_verified(const VerifyShared *shared, int64 event_id)
{
	if (shared->whole)
		return event_id < 0 || event_id >= shared->floor;
	return event_id >= shared->first && event_id < shared->end;
}

/*
 * Take one notice into account.
 */
static void
read_notice(const Verifier *verifier, const TupleTableSlot *slot,
			NoticeReading *notices)
{
	const VerifyShared *shared = verifier->shared;
	text	   *authority = DatumGetTextPP(slot->tts_values[NOTIFICATION_LOCAL_AUTHORITY - 1]);
	int64		number = DatumGetInt64(slot->tts_values[NOTIFICATION_NOTIFICATION_NO - 1]);
	int64		event_id = DatumGetInt64(slot->tts_values[NOTIFICATION_EVENT_ID - 1]);
	uint64		of_authority = fingerprint_text(&shared->key, VARDATA_ANY(authority),
												VARSIZE_ANY_EXHDR(authority));
	uint64		item = fingerprint_number(&shared->key, of_authority, number);

	if (shared->whole)
	{
		AuthorityCount *count;
		bool		found;

		count = hash_search(notices->counts, &of_authority, HASH_ENTER, &found);
		count->notices = found ? count->notices + 1 : 1;
		notices->numbers = fingerprint_add(&shared->key, notices->numbers, item);
	}
	if (is_verified(shared, event_id))
		notices->in_range = fingerprint_add(&shared->key, notices->in_range,
											fingerprint_number(&shared->key, item, event_id));
}

/*
 * Have authorities the numbers from 1 up to how many notices each has?
 */
static bool
numbers_have_no_gap(const Verifier *verifier, const NoticeReading *notices)
{
	const FingerprintKey *key = &verifier->shared->key;
	uint64		expected = FINGERPRINT_EMPTY;
	HASH_SEQ_STATUS status;
	AuthorityCount *count;

	hash_seq_init(&status, notices->counts);
	while ((count = hash_seq_search(&status)) != NULL)
	{
		for (int64 number = 1; number <= count->notices; number++)
			expected = fingerprint_add(key, expected,
									   fingerprint_number(key, count->authority, number));
	}
	return expected == notices->numbers;
}

/*
 * Read all notices; the fingerprint of those of the events under verification.
 * Where the whole trail is, a gap in the numbers makes it another one.
 */
uint64
VerifyNoticesRead(Verifier *verifier)
{
	Relation	table = CpisTableOpen(CPIS_NOTIFICATION, AccessShareLock);
	TableScanDesc scan = table_beginscan(table, verifier->reading->snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	NoticeReading notices = {FINGERPRINT_EMPTY, FINGERPRINT_EMPTY, make_counts()};

	CpisCheckColumns(table, columns, NOTIFICATION_NCOLUMNS);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext context = MemoryContextSwitchTo(verifier->row_context);

		slot_getallattrs(slot);
		if (slot->tts_isnull[NOTIFICATION_LOCAL_AUTHORITY - 1] ||
			slot->tts_isnull[NOTIFICATION_NOTIFICATION_NO - 1] ||
			slot->tts_isnull[NOTIFICATION_EVENT_ID - 1])
			VerifyProblem(verifier, verifier->shared->first,
						  "a notice has no authority, number or event");
		else
			read_notice(verifier, slot, &notices);
		MemoryContextSwitchTo(context);
		VerifyProgress(verifier, 0);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(table, AccessShareLock);

	if (verifier->shared->whole && !numbers_have_no_gap(verifier, &notices))
		notices.in_range = 0;	/* which no product is */
	hash_destroy(notices.counts);
	return notices.in_range;
}

/*
 * How many notices have this number, and the event of the last of them.
 */
static int
find_notice(Verifier *verifier, Relation table, const AuditNotice *notice,
			int64 *event_id)
{
	Relation	index = NotificationIndexOpen(table);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;
	int			n = 0;

	ScanKeyEntryInitialize(&keys[0], 0, NOTIFICATION_LOCAL_AUTHORITY,
						   BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(cstring_to_text_with_len(notice->local_authority, notice->length)));
	ScanKeyInit(&keys[1], NOTIFICATION_NOTIFICATION_NO, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(notice->notification_no));
	scan = systable_beginscan(table, RelationGetRelid(index), true,
							  verifier->reading->snapshot, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		n++;
		*event_id = DatumGetInt64(heap_getattr(tuple, NOTIFICATION_EVENT_ID,
											   RelationGetDescr(table), &isnull));
	}
	systable_endscan(scan);
	index_close(index, AccessShareLock);
	return n;
}

/*
 * Are the notices there that an event tells of?
 */
static bool
event_has_notices(Verifier *verifier, Relation table, int64 event_id,
				  const TupleTableSlot *slot)
{
	AuditNotice notices[PLANS_PER_LOOKUP];
	int			n = AuditRowNotices(slot->tts_values, slot->tts_isnull, notices);

	for (int i = 0; i < n; i++)
	{
		int64		of_event = -1;
		int			rows = find_notice(verifier, table, &notices[i], &of_event);

		if (rows == 1 && of_event == event_id)
			continue;
		VerifyProblem(verifier, event_id, rows == 0 ?
					  "notice " INT64_FORMAT " of authority %.*s is missing" : rows == 1 ?
					  "notice " INT64_FORMAT " of authority %.*s is of another event" :
					  "notice " INT64_FORMAT " of authority %.*s is there more than once",
					  notices[i].notification_no, notices[i].length, notices[i].local_authority);
		return false;
	}
	return true;
}

/*
 * Does an event tell of this notice?
 */
static bool
event_tells_of(Verifier *verifier, int64 event_id, const AuditNotice *notice)
{
	AuditNotice notices[PLANS_PER_LOOKUP];
	TupleTableSlot *slot;
	int64		found_id;
	bool		tells = false;

	if (event_id < 0)
		return false;
	EventScanBegin(verifier->trail, event_id, event_id + 1);
	while (!tells && (slot = EventScanNext(verifier->trail, &found_id)) != NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(verifier->row_context);
		int			n = AuditRowNotices(slot->tts_values, slot->tts_isnull, notices);

		MemoryContextSwitchTo(context);
		for (int i = 0; i < n; i++)
			tells = tells ||
				(notices[i].notification_no == notice->notification_no &&
				 notices[i].length == notice->length &&
				 memcmp(notices[i].local_authority, notice->local_authority, notice->length) == 0);
	}
	EventScanEnd(verifier->trail);
	return tells;
}

/*
 * Find the notices that no event tells of.
 */
static void
find_extra(Verifier *verifier, Relation table)
{
	TableScanDesc scan = table_beginscan(table, verifier->reading->snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(table, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext context = MemoryContextSwitchTo(verifier->row_context);
		text	   *authority;
		AuditNotice notice;
		int64		event_id;

		slot_getallattrs(slot);
		authority = DatumGetTextPP(slot->tts_values[NOTIFICATION_LOCAL_AUTHORITY - 1]);
		notice.local_authority = VARDATA_ANY(authority);
		notice.length = VARSIZE_ANY_EXHDR(authority);
		notice.notification_no = DatumGetInt64(slot->tts_values[NOTIFICATION_NOTIFICATION_NO - 1]);
		event_id = DatumGetInt64(slot->tts_values[NOTIFICATION_EVENT_ID - 1]);
		MemoryContextSwitchTo(context);

		if (is_verified(verifier->shared, event_id) &&
			!event_tells_of(verifier, event_id, &notice))
			VerifyProblem(verifier, Max(event_id, 0),
						  "notice " INT64_FORMAT " of authority %.*s is of no event",
						  notice.notification_no,
						  pg_mbcliplen(notice.local_authority, notice.length, LOCAL_AUTHORITY_LENGTH),
						  notice.local_authority);
		VerifyProgress(verifier, 0);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
}

/*
 * Find out why the notices are not those that events tell of, and report it.
 */
void
VerifyNoticesFind(Verifier *verifier)
{
	Relation	table = CpisTableOpen(CPIS_NOTIFICATION, AccessShareLock);
	TupleTableSlot *slot;
	int64		event_id;
	bool		there = true;

	EventScanBegin(verifier->trail, verifier->shared->first, verifier->shared->end);
	while (there && (slot = EventScanNext(verifier->trail, &event_id)) != NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(verifier->row_context);

		there = event_has_notices(verifier, table, event_id, slot);
		MemoryContextSwitchTo(context);
		VerifyProgress(verifier, 0);
	}
	EventScanEnd(verifier->trail);
	if (there)
		find_extra(verifier, table);
	table_close(table, AccessShareLock);
	if (!VerifyHasProblem(verifier))
		VerifyProblem(verifier, verifier->shared->first,
					  "the notices of an authority have a gap in their numbers");
}

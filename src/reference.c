/*-------------------------------------------------------------------------
 *
 * reference.c
 *	  Rows of the reference tables, kept from one look-up to the next.
 *
 * Authorities, organisations, care settings, those of providers, kinds of plan and policies
 * are read by each look-up, keys of pseudonyms for each row that an analyst sees, and they
 * hardly ever change.  A process keeps the rows that it has read until the relation cache
 * says that one of the tables has changed.  Plain
 * INSERT, UPDATE and DELETE would not say so: the trigger function
 * cpis.reference_changed(), ENABLE ALWAYS on these tables, makes them.  As with
 * the system catalogs, whoever begins to read after a change was committed
 * sees it, and a transaction sees its own changes once the statement that made
 * them has ended.
 *
 * A row is kept only if
 * - no such message has come since its snapshot was taken: it could otherwise
 *	 outlive a change that the snapshot did not see;
 * - another transaction has written it: one's own change may be rolled back, and
 *	 be seen before the trigger has told of it;
 * - the table has the trigger, and it fires always: ALTER TABLE tells everybody
 *	 when that changes.
 * That a row is not there is kept on the same conditions, in place of the second one if the
 * transaction has changed nothing at all.
 *
 * All in memory of the process; nothing is locked.  An error while a row is
 * read leaves what is kept as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "audit_event.h"
#include "catalog/pg_collation.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "reference.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(cpis_reference_changed);

/* The longest code of a reference table, in bytes. */
#define CODE_LENGTH (ORGANISATION_LENGTH + 1 + CARE_SETTING_LENGTH)

/* A generation that never comes. */
#define NOT_KEPT PG_UINT64_MAX

/* Rows kept; a process that meets more begins again. */
#define ROWS_KEPT 1000

typedef struct KeptKey
{
	CpisRelation table;
	char		code[CODE_LENGTH + 1];	/* padded with zeros */
} KeptKey;

typedef struct KeptRow
{
	KeptKey		key;
	HeapTuple	tuple;			/* NULL: there is none */
} KeptRow;

static MemoryContext kept_context = NULL;
static HTAB *kept_rows = NULL;
static TupleDesc kept_descriptors[CPIS_NRELATIONS];
static uint64 kept_generation;

/*
 * Trigger: tell all processes, when the transaction commits, that the table
 * has changed.  For each row, because the apply worker of logical replication
 * fires no triggers for statements.
 */
Datum
cpis_reference_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as trigger",
						"cpis.reference_changed")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * Begin to read, with the newest snapshot.  In a parallel operation nobody may take one: then
 * with that of the query, and nothing that is read is kept, for it may have changed since.
 */
Reading
ReadingBegin(void)
{
	Reading		reading;

	if (IsInParallelMode())
	{
		reading.generation = NOT_KEPT;
		reading.snapshot = RegisterSnapshot(GetActiveSnapshot());
		return reading;
	}

	/* Locking a table that is locked already would not do it. */
	AcceptInvalidationMessages();
	reading.generation = CpisGeneration();
	reading.snapshot = RegisterSnapshot(GetLatestSnapshot());
	return reading;
}

void
ReadingEnd(const Reading *reading)
{
	UnregisterSnapshot(reading->snapshot);
}

/*
 * Throw away what is kept, and begin again with this generation.
 */
static void
begin_generation(uint64 generation)
{
	HASHCTL		control = {0};

	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(TopMemoryContext,
											 "cpis reference rows",
											 ALLOCSET_DEFAULT_SIZES);
	kept_rows = NULL;
	MemoryContextReset(kept_context);
	memset(kept_descriptors, 0, sizeof(kept_descriptors));
	kept_generation = generation;

	control.keysize = sizeof(KeptKey);
	control.entrysize = sizeof(KeptRow);
	control.hcxt = kept_context;
	kept_rows = hash_create("cpis reference rows", 64, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Keep a copy of the row, or that there is none, and answer it.
 */
static HeapTuple
keep(const KeptKey *key, HeapTuple tuple, TupleDesc descriptor)
{
	MemoryContext context = MemoryContextSwitchTo(kept_context);
	HeapTuple	copy = tuple == NULL ? NULL : heap_copytuple(tuple);
	KeptRow    *row;
	bool		found;

	if (kept_descriptors[key->table] == NULL)
		kept_descriptors[key->table] = CreateTupleDescCopy(descriptor);
	row = hash_search(kept_rows, key, HASH_ENTER, &found);
	row->tuple = copy;
	MemoryContextSwitchTo(context);

	return copy;
}

static CpisRelation
primary_key(CpisRelation table)
{
	switch (table)
	{
		case CPIS_LOCAL_AUTHORITY:
			return CPIS_LOCAL_AUTHORITY_PKEY;
		case CPIS_ORGANISATION:
			return CPIS_ORGANISATION_PKEY;
		case CPIS_CARE_SETTING:
			return CPIS_CARE_SETTING_PKEY;
		case CPIS_PLAN_TYPE:
			return CPIS_PLAN_TYPE_PKEY;
		case CPIS_RETENTION_POLICY:
			return CPIS_RETENTION_POLICY_PKEY;
		case CPIS_PSEUDONYM_KEY:
			return CPIS_PSEUDONYM_KEY_PKEY;
		case CPIS_PROVIDER_SETTING:
			return CPIS_PROVIDER_SETTING_PKEY;
		default:
			elog(ERROR, "relation %d is not a reference table", table);
	}
}

/*
 * Does the table tell of its changes?
 */
bool
ReferenceChangesAreTold(Relation relation)
{
	TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (strcmp(triggers->triggers[i].tgname, "reference_changed") == 0)
			return triggers->triggers[i].tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	return false;
}

/*
 * May the row be kept, or, where that is NULL, that there is none?
 */
static bool
may_keep(const Reading *reading, Relation relation, HeapTuple tuple)
{
	return reading->generation == CpisGeneration() &&
		reading->generation == kept_generation &&
		(tuple == NULL ? !TransactionIdIsValid(GetTopTransactionIdIfAny()) :
		 !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data))) &&
		ReferenceChangesAreTold(relation);
}

/*
 * Read the row from the table, and keep it if that is safe; else it is
 * allocated in the current memory context.
 */
static HeapTuple
read_row(const Reading *reading, const KeptKey *key, TupleDesc *descriptor)
{
	Relation	relation = CpisTableOpen(key->table, AccessShareLock);
	ScanKeyData scan_key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyEntryInitialize(&scan_key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(key->code));
	scan = systable_beginscan(relation,
							  CpisRelationOid(primary_key(key->table)), true,
							  reading->snapshot, 1, &scan_key);
	tuple = systable_getnext(scan);
	if (may_keep(reading, relation, tuple))
	{
		tuple = keep(key, tuple, RelationGetDescr(relation));
		*descriptor = kept_descriptors[key->table];
	}
	else if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		*descriptor = CreateTupleDescCopy(RelationGetDescr(relation));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	return tuple;
}

/*
 * The row of a reference table with this code in its first column, or NULL,
 * and the table's descriptor.  Both are good until the next call.
 */
HeapTuple
ReferenceFind(const Reading *reading, CpisRelation table, const char *code,
			  TupleDesc *descriptor)
{
	KeptKey		key;
	KeptRow    *row;

	if (strlen(code) > CODE_LENGTH)
		return NULL;
	memset(&key, 0, sizeof(key));	/* it is hashed as bytes */
	key.table = table;
	strlcpy(key.code, code, sizeof(key.code));

	if (kept_rows == NULL || kept_generation != CpisGeneration() ||
		hash_get_num_entries(kept_rows) >= ROWS_KEPT)
		begin_generation(CpisGeneration());
	row = hash_search(kept_rows, &key, HASH_FIND, NULL);
	if (row != NULL)
	{
		*descriptor = kept_descriptors[table];
		return row->tuple;
	}
	return read_row(reading, &key, descriptor);
}

/*-------------------------------------------------------------------------
 *
 * relation.c
 *	  The tables and indexes of schema cpis, by what they are.
 *
 * Look-up and writer name relations by a symbol; this file finds their OIDs
 * and keeps them until the relation cache says that one of them, or schema
 * cpis, has changed.  An index must be resolved while a lock on its table is
 * held: REINDEX CONCURRENTLY gives the name to another index, and drops the
 * old one only when it has seen all lock holders leave.
 *
 * In the transaction that made the extension nothing resolves: the writer could
 * not see the tables, and the caller would wait in vain.  The same holds after
 * an update, for what that has touched.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "relation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static const char *const names[CPIS_NRELATIONS] =
{
	[CPIS_LOCAL_AUTHORITY] = "local_authority",
	[CPIS_ORGANISATION] = "organisation",
	[CPIS_CARE_SETTING] = "care_setting",
	[CPIS_PLAN_TYPE] = "plan_type",
	[CPIS_RETENTION_POLICY] = "retention_policy",
	[CPIS_PLAN] = "plan",
	[CPIS_PLAN_TALLY] = "plan_tally",
	[CPIS_AUDIT_EVENT] = "audit_event",
	[CPIS_NOTIFICATION] = "notification",
	[CPIS_LEDGER] = "ledger",
	[CPIS_LEDGER_TILE] = "ledger_tile",
	[CPIS_CHECKPOINT] = "checkpoint",
	[CPIS_ROLE_SCOPE] = "role_scope",
	[CPIS_PROVIDER] = "provider",
	[CPIS_PROVIDER_SETTING] = "provider_setting",
	[CPIS_INACTIVE_NUMBER] = "inactive_number",
	[CPIS_ACKNOWLEDGEMENT] = "acknowledgement",
	[CPIS_SUBMISSION] = "submission",
	[CPIS_SUBMISSION_RECORD] = "submission_record",
	[CPIS_HOLD] = "hold",
	[CPIS_REMOVAL] = "removal",
	[CPIS_REMOVED_MONTH] = "removed_month",
	[CPIS_EVENT_COUNT] = "event_count",
	[CPIS_KEPT_EVENT] = "kept_event",
	[CPIS_CORRECTION] = "correction",
	[CPIS_PURGE_FAILURE] = "purge_failure",
	[CPIS_PURGE_SWITCH] = "purge_switch",
	[CPIS_PSEUDONYM_KEY] = "pseudonym_key",
	[CPIS_DIRECT_READ_SWITCH] = "direct_read_switch",
	[CPIS_SUMMARY] = "summary",
	[CPIS_ACCESS_SUMMARY] = "access_summary",
	[CPIS_ACCESS_MONTH_SUMMARY] = "access_month_summary",
	[CPIS_NOTICE_SUMMARY] = "notice_summary",
	[CPIS_ATTENDANCE_SUMMARY] = "attendance_summary",
	[CPIS_ACKNOWLEDGEMENT_SUMMARY] = "acknowledgement_summary",
	[CPIS_ANSWER_SUMMARY] = "answer_summary",
	[CPIS_UNUSUAL_SUMMARY] = "unusual_summary",
	[CPIS_LOCAL_AUTHORITY_PKEY] = "local_authority_pkey",
	[CPIS_ORGANISATION_PKEY] = "organisation_pkey",
	[CPIS_CARE_SETTING_PKEY] = "care_setting_pkey",
	[CPIS_PLAN_TYPE_PKEY] = "plan_type_pkey",
	[CPIS_RETENTION_POLICY_PKEY] = "retention_policy_pkey",
	[CPIS_PSEUDONYM_KEY_PKEY] = "pseudonym_key_pkey",
	[CPIS_PROVIDER_SETTING_PKEY] = "provider_setting_pkey",
	[CPIS_PLAN_PKEY] = "plan_pkey",
	[CPIS_PLAN_NHS_NUMBER_IDX] = "plan_nhs_number_idx",
	[CPIS_NOTIFICATION_NO_IDX] = "notification_no_idx",
	[CPIS_LEDGER_TILE_IDX] = "ledger_tile_idx",
	[CPIS_CHECKPOINT_TREE_SIZE_IDX] = "checkpoint_tree_size_idx",
	[CPIS_CHECKPOINT_SIGNED_IDX] = "checkpoint_signed_idx",
};

static Oid	oids[CPIS_NRELATIONS];
static Oid	schema_oid = InvalidOid;	/* valid: this cache may be used */
static uint64 generation = 0;

/*
 * The name of a relation in schema cpis.
 */
const char *
CpisRelationName(CpisRelation relation)
{
	return names[relation];
}

static void
forget(void)
{
	generation++;
	schema_oid = InvalidOid;
	memset(oids, 0, sizeof(oids));
}

static void
on_relation_change(Datum arg, Oid relation)
{
	for (int i = 0; i < CPIS_NRELATIONS; i++)
	{
		if (relation == InvalidOid || oids[i] == relation)
		{
			forget();
			return;
		}
	}
}

static void
on_schema_change(Datum arg, int cache, uint32 hash)
{
	forget();
}

/*
 * Which transaction wrote the extension's row in pg_extension; raises an error
 * where there is none.
 */
static TransactionId
extension_xmin(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	TransactionId xmin = InvalidTransactionId;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("cpis"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true,
							  NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);

	if (xmin == InvalidTransactionId)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", "cpis")));
	return xmin;
}

/*
 * Has the extension been made or updated since this was first asked in this
 * process?
 */
bool
CpisExtensionChanged(void)
{
	static TransactionId first = InvalidTransactionId;
	TransactionId now = extension_xmin();

	if (first == InvalidTransactionId)
		first = now;
	return now != first;
}

/*
 * The OID of schema cpis.
 */
Oid
CpisSchemaOid(void)
{
	static bool registered = false;

	if (OidIsValid(schema_oid))
		return schema_oid;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, on_schema_change, (Datum) 0);
		registered = true;
	}

	if (TransactionIdIsCurrentTransactionId(extension_xmin()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot record access events in the transaction that created or updated extension \"%s\"",
						"cpis"),
				 errhint("Commit first.")));
	schema_oid = get_namespace_oid("cpis", false);
	return schema_oid;
}

/*
 * A number that rises whenever a relation of the cache may have changed.
 */
uint64
CpisGeneration(void)
{
	return generation;
}

static void
raise_undefined(CpisRelation relation)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation \"cpis.%s\" does not exist",
					names[relation])));
}

/*
 * The OID of a table, or of an index whose table the caller has locked.
 */
Oid
CpisRelationOid(CpisRelation relation)
{
	Oid			schema = CpisSchemaOid();
	Oid			oid = oids[relation];

	if (OidIsValid(oid))
		return oid;

	oid = get_relname_relid(names[relation], schema);
	if (!OidIsValid(oid))
		raise_undefined(relation);

	/*
	 * A message about this relation may have come before it was known to be
	 * one of these.
	 */
	generation++;
	oids[relation] = oid;
	return oid;
}

/*
 * Lock and open a table.  While this waits for the lock, somebody may drop it.
 */
Relation
CpisTableOpen(CpisRelation table, LOCKMODE lockmode)
{
	Relation	relation = try_table_open(CpisRelationOid(table), lockmode);

	if (relation == NULL)
		raise_undefined(table);
	return relation;
}

/*
 * See that this is a table with columns of these types, and no others: else
 * nothing in it could be read.  InvalidOid stands for the extension's own, of
 * four bytes.
 */
void
CpisCheckColumns(Relation table, const Oid *types, int n)
{
	TupleDesc	descriptor = RelationGetDescr(table);
	bool		same = table->rd_rel->relkind == RELKIND_RELATION && descriptor->natts == n;

	for (int i = 0; same && i < n; i++)
	{
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		same = OidIsValid(types[i]) ? column->atttypid == types[i] :
			!column->attisdropped && column->attbyval && column->attlen == sizeof(int32);
	}
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table \"%s.%s\" does not have the columns that extension \"%s\" gave it",
						"cpis", RelationGetRelationName(table), "cpis")));
}

/*
 * Open an index of a table that is locked, to be closed with AccessShareLock, and
 * see that it is a btree on these columns first of all, ascending, and on every
 * row or, a partial one, on some: who made another of that name would have rows
 * overlooked, or the index misread.
 */
Relation
CpisIndexOpen(Relation table, Oid oid, const AttrNumber *columns, int n,
			  bool partial)
{
	Relation	index = index_open(oid, AccessShareLock);
	Form_pg_index form = index->rd_index;
	bool		same = index->rd_rel->relkind == RELKIND_INDEX &&
		form->indrelid == RelationGetRelid(table) && form->indisvalid &&
		index->rd_rel->relam == BTREE_AM_OID && form->indnatts >= n &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) == !partial;

	for (int i = 0; same && i < n; i++)
		same = form->indkey.values[i] == columns[i] &&
			(i >= form->indnkeyatts || index->rd_indoption[i] == 0);
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("index \"%s.%s\" is not the one that extension \"%s\" made",
						"cpis", RelationGetRelationName(index), "cpis")));
	return index;
}

/*
 * A text attribute as a C string, or NULL.
 */
char *
CpisTextAttribute(HeapTuple tuple, TupleDesc descriptor, int attribute)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attribute, descriptor, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

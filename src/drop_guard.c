/*-------------------------------------------------------------------------
 *
 * drop_guard.c
 *	  A trail is not dropped by accident.
 *
 * Where the trail has an event, the extension, its schema, its tables, the months of the trail
 * with their indexes, and the columns and append-only triggers of trail tables are not
 * dropped, neither by name nor by CASCADE from whatever they depend on, unless cpis.allow_drop
 * is on; nor are the tables of the trail renamed or moved to another schema, after which nothing
 * would find them.  What pg_restore --clean does first is stopped there.
 *
 * The server calls object_access_hook for each object that a statement drops or alters, with
 * its OID, whatever the statement looks like.  The event trigger cpis_load_library sees to it
 * that the library is loaded where a statement might do so, and does nothing else.  DROP DATABASE
 * is not seen: it runs in another database.
 *
 * The extension's own removal of months (removed_month.c) passes.  Errors: 55000.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "drop_guard.h"
#include "fmgr.h"
#include "own_change.h"
#include "relation.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "watched.h"

PG_FUNCTION_INFO_V1(cpis_load_library);

/* Names of append-only triggers begin so. */
#define GUARD_PREFIX "append_only"

bool		cpis_allow_drop = false;

static object_access_hook_type previous_hook = NULL;

/*
 * Event trigger: that this function was called has loaded the library.
 */
Datum
cpis_load_library(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as event trigger", "cpis.load_library")));
	PG_RETURN_NULL();
}

/*
 * Does a table have a row?
 */
static bool
has_row(Oid oid, Snapshot snapshot)
{
	Relation	table = try_table_open(oid, AccessShareLock);
	SysScanDesc scan;
	bool		result;

	if (table == NULL)
		return false;
	scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	result = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return result;
}

/*
 * Is there anything in the trail?  With its first event the ledger has a row, which stays
 * when all events have gone.  Tables are found by name: the extension may be on its way out.
 */
static bool
trail_has_begun(void)
{
	Oid			schema = get_namespace_oid("cpis", true);
	Snapshot	snapshot;
	Oid			ledger;
	Oid			parent;
	bool		result;

	if (!OidIsValid(schema))
		return false;
	ledger = get_relname_relid(CpisRelationName(CPIS_LEDGER), schema);
	parent = get_relname_relid(CpisRelationName(CPIS_AUDIT_EVENT), schema);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	result = OidIsValid(ledger) && has_row(ledger, snapshot);
	if (!result && OidIsValid(parent))
	{
		ListCell   *cell;

		foreach(cell, find_inheritance_children(parent, AccessShareLock))
			result = result || has_row(lfirst_oid(cell), snapshot);
	}
	UnregisterSnapshot(snapshot);
	return result;
}

static void
refuse(Oid classid, Oid object, const char *done, const char *name)
{
	const char *kind = classid == ExtensionRelationId ? "extension" :
		classid == NamespaceRelationId ? "schema" :
		classid == RelationRelationId && get_rel_relkind(object) == RELKIND_INDEX ? "index" : "table";

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s %s \"%s\" of the audit trail", done, kind, name),
			 errdetail("The audit trail has events."),
			 strncmp(done, "drop", 4) == 0 ?
			 errhint("A superuser may set cpis.allow_drop to drop the whole trail for good.") : 0));
}

/*
 * The table whose append-only trigger this is, or InvalidOid.
 */
static Oid
table_of_guard(Oid trigger)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			table = InvalidOid;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (strncmp(NameStr(form->tgname), GUARD_PREFIX, strlen(GUARD_PREFIX)) == 0)
			table = form->tgrelid;
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return table;
}

/*
 * A trigger is about to be dropped.
 */
static void
check_drop_trigger(Oid trigger)
{
	Oid			table = table_of_guard(trigger);
	char		name[NAMEDATALEN];

	if (OidIsValid(table) && (Watched(RelationRelationId, table, name) & WATCHED_TRAIL) != 0 && trail_has_begun())
		refuse(TriggerRelationId, trigger, "drop a trigger of", name);
}

/*
 * Something is about to be dropped; by the server for its own purposes, as REINDEX CONCURRENTLY
 * does with what it has replaced, or not.
 */
static void
check_drop(Oid classid, Oid object, int column, int flags)
{
	char		name[NAMEDATALEN];
	int			what;

	if (cpis_allow_drop || OwnChangeIsUnderWay() || (flags & PERFORM_DELETION_INTERNAL) != 0)
		return;
	if (classid == TriggerRelationId)
		check_drop_trigger(object);
	if (classid != ExtensionRelationId && classid != NamespaceRelationId && classid != RelationRelationId)
		return;
	what = Watched(classid, object, name);
	if ((what & WATCHED_DROP) == 0 || (column != 0 && (what & WATCHED_TRAIL) == 0))
		return;
	if (trail_has_begun())
		refuse(classid, object, "drop", name);
}

/*
 * Has the statement under way left the object its name, and a table its schema?
 */
static bool
goes_by(Oid classid, Oid object, const char *name, Oid schema)
{
	bool		is_table = classid == RelationRelationId;
	Relation	catalog = table_open(classid, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, is_table ? Anum_pg_class_oid : Anum_pg_namespace_oid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(catalog, is_table ? ClassOidIndexId : NamespaceOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = is_table ?
			strcmp(NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname), name) == 0 &&
			((Form_pg_class) GETSTRUCT(tuple))->relnamespace == schema :
			strcmp(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname), name) == 0;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/*
 * A table, or the schema, has just been altered: it must not have another name.
 */
static void
check_name(Oid classid, Oid object, int column)
{
	char		name[NAMEDATALEN];
	int			what;

	if (column != 0 || cpis_allow_drop || (classid != RelationRelationId && classid != NamespaceRelationId))
		return;
	what = Watched(classid, object, name);
	if ((what & WATCHED_DROP) == 0 ||
		(classid == RelationRelationId && (what & (WATCHED_READ | WATCHED_TRAIL)) == 0))
		return;
	if (!goes_by(classid, object, name, get_namespace_oid("cpis", true)) && trail_has_begun())
		refuse(classid, object, "rename or move", name);
}

static void
drop_guard(ObjectAccessType access, Oid classid, Oid object, int column, void *arg)
{
	if (previous_hook != NULL)
		previous_hook(access, classid, object, column, arg);
	if (access == OAT_DROP)
		check_drop(classid, object, column, ((ObjectAccessDrop *) arg)->dropflags);
	else if (access == OAT_POST_ALTER)
		check_name(classid, object, column);
}

/*
 * Install the hook, behind any other.
 */
void
DropGuardInstall(void)
{
	previous_hook = object_access_hook;
	object_access_hook = drop_guard;
}

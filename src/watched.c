/*-------------------------------------------------------------------------
 *
 * watched.c
 *	  The objects of the extension that hooks of the server look out for.
 *
 * Hooks (drop_guard.c, direct_read.c, own_function.c) run for whatever a session does, in
 * databases with and without the extension, so they ask this file, which remembers the
 * OIDs: of the extension, its tables with their TOAST tables and months, some views, and its
 * definer functions in language SQL.  Nothing here raises an error because something is not there.
 *
 * What is remembered is read again when the system caches say that a schema, a function or
 * one of the relations has changed.  As long as a table is missing, which is so while the
 * extension is being made, nothing is remembered.
 *
 * A table of schema cpis whose name begins with "audit_event" counts as a month of the trail
 * also where somebody has detached it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "relation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "watched.h"

/* Names of months begin so. */
#define MONTH_PREFIX "audit_event"
#define AFTER_MONTHS "audit_evenu"

/* Views that record who reads them, or show nobody. */
static const char *const views[] =
{
	"analyst_event", "analyst_access_day", "analyst_access_month", "analyst_notice", "analyst_acknowledgement", "analyst_attendance", "analyst_answer", "analyst_register",
	"steward_event", "steward_hold", "unusual_bulk", "unusual_misses", "unusual_hours", "unusual_distance",
};

/* Views that are behind some of them, and show people, or events, who names them. */
static const char *const inner_views[] =
{
	"worker_access", "bulk_case", "misses_case", "hours_case", "distance_case", "access_of_event", "notice_of_event", "lag_of_acknowledgement", "answer_of_submission",
};

/* The view that shows people and records nobody, for superusers. */
#define UNRECORDED_VIEW "access_event"

/*
 * Several times as many as there are objects, so that most others are told from them by this
 * alone, and few cache lines.
 */
#define FILTER_BITS 8192

typedef struct WatchedKey
{
	Oid			classid;
	Oid			object;
} WatchedKey;

typedef struct WatchedObject
{
	WatchedKey	key;
	int			what;
	char		name[NAMEDATALEN];
} WatchedObject;

static HTAB *watched = NULL;	/* NULL: nothing is remembered */
static uint8 filter[FILTER_BITS / 8];	/* a bit for each OID in it, modulo FILTER_BITS */
static bool valid = false;
static bool reading = false;	/* being read just now */

static void
on_relation_change(Datum arg, Oid relation)
{
	WatchedKey	key = {RelationRelationId, relation};

	if (valid && (!OidIsValid(relation) ||
				  (watched != NULL && hash_search(watched, &key, HASH_FIND, NULL) != NULL)))
		valid = false;
}

static void
on_catalog_change(Datum arg, int cache, uint32 hash)
{
	valid = false;
}

static void
begin(void)
{
	static bool registered = false;
	HASHCTL		control = {.keysize = sizeof(WatchedKey), .entrysize = sizeof(WatchedObject)};

	if (!registered)
	{
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, on_catalog_change, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, on_catalog_change, (Datum) 0);
		registered = true;
	}
	if (watched != NULL)
		hash_destroy(watched);
	watched = NULL;
	memset(filter, 0, sizeof(filter));
	watched = hash_create("cpis watched objects", 256, &control, HASH_ELEM | HASH_BLOBS);
}

static void
add(Oid classid, Oid object, int what, const char *name)
{
	WatchedKey	key = {classid, object};
	WatchedObject *entry;

	if (!OidIsValid(object))
		return;
	entry = hash_search(watched, &key, HASH_ENTER, NULL);
	entry->what = what;
	strlcpy(entry->name, name, NAMEDATALEN);
	filter[object % FILTER_BITS / 8] |= 1 << object % 8;
}

/*
 * A table, and what stands beside it.
 */
static void
add_table(Oid table, Oid toast, int what, const char *name)
{
	add(RelationRelationId, table, what, name);
	add(RelationRelationId, toast, what & WATCHED_READ, name);
}

/*
 * What a table is watched for.
 */
static int
purpose(CpisRelation table)
{
	switch (table)
	{
		case CPIS_PLAN:
		case CPIS_SUBMISSION_RECORD:
			return WATCHED_DROP | WATCHED_READ;
		case CPIS_NOTIFICATION:
			return WATCHED_DROP | WATCHED_READ | WATCHED_TRAIL;
		case CPIS_LEDGER:
		case CPIS_LEDGER_TILE:
		case CPIS_CHECKPOINT:
		case CPIS_REMOVED_MONTH:
		case CPIS_EVENT_COUNT:
		case CPIS_KEPT_EVENT:
			return WATCHED_DROP | WATCHED_TRAIL;
		default:
			return WATCHED_DROP;
	}
}

static Oid
toast_of(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			toast = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		toast = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
		ReleaseSysCache(tuple);
	}
	return toast;
}

/*
 * Read the tables; false where one is missing.
 */
static bool
read_tables(Oid schema)
{
	bool		all = true;

	for (CpisRelation i = 0; i < CPIS_NTABLES; i++)
	{
		Oid			table = get_relname_relid(CpisRelationName(i), schema);

		all = all && OidIsValid(table);
		if (OidIsValid(table))
			add_table(table, toast_of(table), purpose(i), CpisRelationName(i));
	}
	return all;
}

/*
 * Read the months of the trail, with their indexes, and their parent.
 */
static void
read_months(Oid schema)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyEntryInitialize(&keys[0], 0, Anum_pg_class_relname, BTGreaterEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_NAMEGE, CStringGetDatum(MONTH_PREFIX));
	ScanKeyEntryInitialize(&keys[1], 0, Anum_pg_class_relname, BTLessStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_NAMELT, CStringGetDatum(AFTER_MONTHS));
	scan = systable_beginscan(classes, ClassNameNspIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (form->relnamespace != schema)
			continue;
		if (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE)
			add_table(form->oid, form->reltoastrelid, WATCHED_DROP | WATCHED_READ | WATCHED_TRAIL, NameStr(form->relname));
		else if (form->relkind == RELKIND_INDEX)
			add(RelationRelationId, form->oid, WATCHED_DROP, NameStr(form->relname));
	}
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
}

/*
 * Others run as their caller, and what he has them read he reads.
 */
static bool
is_definer_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == SQLlanguageId &&
		((Form_pg_proc) GETSTRUCT(tuple))->prosecdef;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Read the definer functions of the extension in language SQL, and its views but one.
 */
static void
read_members(Oid extension, Oid unrecorded)
{
	Relation	depends = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(depends, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype != DEPENDENCY_EXTENSION)
			continue;
		if (form->classid == ProcedureRelationId && is_definer_function(form->objid))
			add(ProcedureRelationId, form->objid, WATCHED_FUNCTION, "");
		else if (form->classid == RelationRelationId && form->objid != unrecorded &&
				 get_rel_relkind(form->objid) == RELKIND_VIEW)
			add(RelationRelationId, form->objid, WATCHED_OTHER_VIEW, "");
	}
	systable_endscan(scan);
	table_close(depends, AccessShareLock);
}

/*
 * Read what is to be watched in this database.
 */
static void
read_objects(void)
{
	Oid			extension = get_extension_oid("cpis", true);
	Oid			schema = get_namespace_oid("cpis", true);
	bool		all = true;

	begin();
	/* What changes while this reads will make it read again. */
	valid = true;
	if (OidIsValid(extension))
	{
		add(ExtensionRelationId, extension, WATCHED_DROP, "cpis");
		add(NamespaceRelationId, schema, WATCHED_DROP, "cpis");
		read_members(extension, get_relname_relid(UNRECORDED_VIEW, schema));
	}
	if (OidIsValid(extension) && OidIsValid(schema))
	{
		all = read_tables(schema);
		read_months(schema);
		for (int i = 0; i < lengthof(views); i++)
			add(RelationRelationId, get_relname_relid(views[i], schema), WATCHED_VIEW, views[i]);
		for (int i = 0; i < lengthof(inner_views); i++)
			add(RelationRelationId, get_relname_relid(inner_views[i], schema), WATCHED_INNER_VIEW, inner_views[i]);
	}
	if (!all)
		valid = false;
}

/*
 * May this object be watched?  False is certain, and costs next to nothing: hooks see every
 * statement and function.
 */
bool
MayBeWatched(Oid object)
{
	return !valid || (filter[object % FILTER_BITS / 8] >> object % 8 & 1) != 0;
}

/*
 * What is this object watched for?  Where it is watched, "name", of NAMEDATALEN bytes or NULL, gets
 * its name.
 */
int
Watched(Oid classid, Oid object, char *name)
{
	WatchedKey	key = {classid, object};
	WatchedObject *found;

	if (!MayBeWatched(object) || reading || !IsTransactionState() || !OidIsValid(MyDatabaseId))
		return 0;
	if (!valid)
	{
		reading = true;
		PG_TRY();
		{
			read_objects();
		}
		PG_CATCH();
		{
			reading = false;
			valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
		reading = false;
	}
	found = hash_search(watched, &key, HASH_FIND, NULL);
	if (found == NULL)
		return 0;
	if (name != NULL)
		strlcpy(name, found->name, NAMEDATALEN);
	return found->what;
}

/*-------------------------------------------------------------------------
 *
 * trusted_code.c
 *	  Whose code a change of a table would run.
 *
 * The extension changes its tables as their owner (own_change.c), and triggers run as
 * whoever changes the table.  So a trigger of somebody else's would run as the owner:
 * one on the table itself, for which he was granted TRIGGER, or, where he was granted
 * REFERENCES, one on a table of his to which a foreign key passes the change on.
 * RequireTrustedCode() refuses before anything is changed.  The owner himself and
 * superusers are trusted, and so is a function that belongs to one of them; a WHEN
 * clause is not, for nobody knows who has written it, and what it may call.
 *
 * Who has TRIGGER can still choose a function of a superuser's, and its arguments: where
 * there is one that runs what they say, he is as good as the owner.  README warns.
 *
 * Takes RowExclusiveLock, to the end of the transaction, on the table and on those that
 * foreign keys pass the change on to, before it looks at their triggers: nobody makes or
 * enables one until the change is done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "trusted_code.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* What is being looked at. */
typedef struct Search
{
	Oid			table;			/* that is to be changed */
	Oid			owner;			/* of it */
	List	   *seen;			/* tables that have been looked at */
} Search;

static void
refuse(const Search *search, const char *what, const char *name, Oid role)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot change table \"%s\" by a function of the extension", get_rel_name(search->table)),
			 errdetail("A change would run %s \"%s\" of role \"%s\" as the owner of the table.",
					   what, name, GetUserNameFromId(role, true)),
			 errhint("Drop the trigger or foreign key, and revoke TRIGGER and REFERENCES on the table from the role.")));
}

static void
refuse_condition(const Search *search, const char *trigger)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot change table \"%s\" by a function of the extension", get_rel_name(search->table)),
			 errdetail("A change would evaluate the WHEN clause of trigger \"%s\" as the owner of the table.", trigger),
			 errhint("Drop the trigger, or put the condition into its function.")));
}

static bool
is_trusted(const Search *search, Oid role)
{
	return role == search->owner || superuser_arg(role);
}

static void
check_function(const Search *search, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	if (!is_trusted(search, owner))
		refuse(search, "function", get_func_name(function), owner);
}

/*
 * Does the trigger pass a change on to the table that refers to this one?
 */
static bool
passes_on(const Trigger *trigger)
{
	switch (trigger->tgfoid)
	{
		case F_RI_FKEY_CASCADE_DEL:
		case F_RI_FKEY_CASCADE_UPD:
		case F_RI_FKEY_SETNULL_DEL:
		case F_RI_FKEY_SETNULL_UPD:
		case F_RI_FKEY_SETDEFAULT_DEL:
		case F_RI_FKEY_SETDEFAULT_UPD:
			return true;
		default:
			return false;
	}
}

static void check_table(Search *search, Oid oid);

/*
 * Check one trigger, and the table that it passes the change on to.
 */
static void
check_trigger(Search *search, const Trigger *trigger)
{
	if (trigger->tgenabled == TRIGGER_DISABLED)
		return;
	check_function(search, trigger->tgfoid);
	if (trigger->tgqual != NULL)
		refuse_condition(search, trigger->tgname);
	if (passes_on(trigger))
		check_table(search, trigger->tgconstrrelid);
}

/*
 * Check a table, those that a change of it is passed on to, and partitions, which may
 * have triggers of their own.
 */
static void
check_table(Search *search, Oid oid)
{
	Relation	table;
	ListCell   *cell;

	if (list_member_oid(search->seen, oid))
		return;
	search->seen = lappend_oid(search->seen, oid);
	table = table_open(oid, RowExclusiveLock);
	if (!is_trusted(search, table->rd_rel->relowner))
		refuse(search, "triggers of table", RelationGetRelationName(table), table->rd_rel->relowner);
	if (table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		foreach(cell, find_inheritance_children(oid, RowExclusiveLock))
			check_table(search, lfirst_oid(cell));
	}
	for (int i = 0; table->trigdesc != NULL && i < table->trigdesc->numtriggers; i++)
		check_trigger(search, &table->trigdesc->triggers[i]);
	table_close(table, NoLock);
}

/*
 * Refuse, 55000, where a change of the table would run code of who is neither its
 * owner nor a superuser.
 */
void
RequireTrustedCode(Oid table)
{
	Search		search = {.table = table};
	Relation	relation = table_open(table, RowExclusiveLock);

	search.owner = relation->rd_rel->relowner;
	table_close(relation, NoLock);
	check_table(&search, table);
	list_free(search.seen);
}

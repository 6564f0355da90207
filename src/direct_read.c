/*-------------------------------------------------------------------------
 *
 * direct_read.c
 *	  Who reads the tables directly is recorded.
 *
 * Where the library is preloaded, a statement that reads cpis.plan, cpis.audit_event (a
 * month of it, too), cpis.notification or cpis.submission_record, or a TOAST table of theirs,
 * other than through the extension is an event of its own, action direct_read, which is
 * durable before the statement gets its first row: whoever it is, superusers, pg_dump and
 * what runs inside functions included.  Where it cannot be recorded, as on a standby, the
 * statement fails.
 *
 * Two hooks see all such statements: ExecutorStart sees SELECT, cursors, COPY (query), CREATE
 * TABLE AS and what changes rows, which is to have read them too, bar a plain INSERT;
 * ProcessUtility sees COPY table TO.  Through the extension comes what its functions read
 * (own_change.c, own_function.c), and what is read through its views alone that record it
 * themselves (trail_read.c) or show nobody.  A materialized view, and a rewrite rule of a table or a view,
 * keep what they read for others, and read as their owner like a view, so what they read is always
 * recorded.  EXPLAIN reads nothing.  Parallel workers read what
 * their leader has recorded; a function in one that reads by itself fails.  A transaction that
 * has made the extension reads its own rows.
 *
 * The event is recorded after the server has seen to privileges: who has none gets its error.
 *
 * That they are not recorded any more is recorded (direct_read_switch.c).  Besides, with
 * cpis.record_direct_reads off, the first such statement in a database is recorded, with
 * that it is off, and no further ones until it is on again.  The queue keeps in mind whether
 * that was recorded, until the server ends, or the database's place there goes to another.
 *
 * Nothing is locked but the table of a COPY, as COPY itself does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "audit_event.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "compat.h"
#include "direct_read.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "own_change.h"
#include "own_function.h"
#include "parser/parsetree.h"
#include "relation.h"
#include "request.h"
#include "rewrite/prs2lock.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "watched.h"

bool		cpis_record_direct_reads = true;

static bool installed = false;
static ExecutorStart_hook_type previous_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static int	storing = 0;		/* how deep in statements that fill a materialized view */

/* What a statement reads. */
typedef struct Reads
{
	int			ntables;
	char		tables[8][NAMEDATALEN]; /* different ones; no more are named */
	bool		directly;		/* not through views of the extension alone */
	bool		views;			/* through one of these */
} Reads;

static void
note_table(Reads *reads, const char *name)
{
	for (int i = 0; i < reads->ntables; i++)
	{
		if (strcmp(reads->tables[i], name) == 0)
			return;
	}
	if (reads->ntables < lengthof(reads->tables))
		strlcpy(reads->tables[reads->ntables++], name, NAMEDATALEN);
}

/*
 * Does the extension itself do this, or its script?
 */
static bool
is_exempt(void)
{
	return OwnActs() || OwnFunctionRuns() ||
		(creating_extension && CurrentExtensionObject == get_extension_oid("cpis", true));
}

/*
 * Is this the leader's query, of which a parallel worker executes a part?  What a function does
 * in there is not: it is a statement of its own, and nobody has recorded it.
 */
static bool
is_recorded_by_leader(const QueryDesc *query)
{
	return IsParallelWorker() && query->sourceText == debug_query_string;
}

/*
 * Was this relation made in the present transaction?  Then so are its rows, but for those of a TOAST
 * table, which a rewrite of an older one makes, too.
 */
static bool
is_new(Oid oid)
{
	Relation	relation = RelationIdGetRelation(oid);
	bool		result;

	if (!RelationIsValid(relation))
		return false;
	result = relation->rd_createSubid != InvalidSubTransactionId &&
		relation->rd_rel->relkind != RELKIND_TOASTVALUE;
	RelationClose(relation);
	return result;
}

/*
 * Does a relation of a plan come with a parent that is watched itself, as a month does with
 * the trail?  Somebody may have put it under a parent of his own.
 */
static bool
has_watched_parent(PlannedStmt *statement, int index)
{
	ListCell   *cell;

	foreach(cell, statement->appendRelations)
	{
		AppendRelInfo *child = lfirst(cell);

		if (child->child_relid == index)
		{
			RangeTblEntry *parent = rt_fetch(child->parent_relid, statement->rtable);

			return parent->rtekind == RTE_RELATION &&
				(Watched(RelationRelationId, parent->relid, NULL) & WATCHED_READ) != 0;
		}
	}
	return false;
}

/*
 * May a rewrite rule of this relation, other than that of a view's SELECT, have added to the
 * statement?  What it reads is read as the relation's owner, like what a view reads.
 */
static bool
has_rules(Oid oid)
{
	Relation	relation = RelationIdGetRelation(oid);
	char		relkind;
	bool		result;

	if (!RelationIsValid(relation))
		return false;
	relkind = relation->rd_rel->relkind;
	result = relation->rd_rules != NULL &&
		relation->rd_rules->numLocks > (relkind == RELKIND_VIEW || relkind == RELKIND_MATVIEW ? 1 : 0);
	RelationClose(relation);
	return result;
}

/*
 * Note a relation of a plan.
 */
static void
note_entry(Reads *reads, PlannedStmt *statement, RangeTblEntry *entry, int index)
{
	char		name[NAMEDATALEN] = "";
	int			what = Watched(RelationRelationId, entry->relid, name);
	Oid			whose = InvalidOid;

	if (has_rules(entry->relid))
		reads->directly = true;
	if ((what & WATCHED_VIEW) != 0)
		reads->views = true;
	else if ((what & WATCHED_READ) != 0)
	{
		if ((!CPIS_PRIVILEGE_NEEDED(statement, entry, &whose) && has_watched_parent(statement, index)) ||
			is_new(entry->relid))
			return;
		note_table(reads, name);
		if (!OidIsValid(whose))
			reads->directly = true;
	}
	else if ((what & WATCHED_INNER_VIEW) != 0)
	{
		/* Named by the statement itself, it stands for the table. */
		if (CPIS_PRIVILEGE_NEEDED(statement, entry, &whose) && !OidIsValid(whose))
			reads->directly = true;
	}
	else if (entry->relkind == RELKIND_VIEW && (what & WATCHED_OTHER_VIEW) == 0)
		reads->directly = true; /* another view, which may read the table itself */
}

/*
 * What does a statement read?
 */
static void
find_reads(PlannedStmt *statement, Reads *reads)
{
	ListCell   *cell;
	int			index = 0;
	bool		inserts;

	/* A plain INSERT does not read the table that it inserts into. */
	inserts = statement->commandType == CMD_INSERT && !statement->hasModifyingCTE &&
		IsA(statement->planTree, ModifyTable) &&
		((ModifyTable *) statement->planTree)->onConflictAction != ONCONFLICT_UPDATE;
	foreach(cell, statement->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);

		index++;
		if (!CPIS_IS_RELATION_ENTRY(entry))
			continue;
		if (inserts && list_member_int(statement->resultRelations, index))
			continue;
		note_entry(reads, statement, entry, index);
	}
}

/*
 * Is it worth while to look closer?
 */
static bool
may_read(const PlannedStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->rtable)
	{
		if (MayBeWatched(((RangeTblEntry *) lfirst(cell))->relid))
			return true;
	}
	return false;
}

/*
 * Raise an error where nothing can be recorded.
 */
static void
require_recording(void)
{
	if (IsParallelWorker())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot read tables of extension \"%s\" directly in a parallel worker", "cpis"),
				 errdetail("It cannot be recorded there."),
				 errhint("Mark the function that does so PARALLEL UNSAFE.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot read tables of extension \"%s\" directly during recovery", "cpis"),
				 errdetail("It cannot be recorded here."),
				 errhint("Read them on the primary server.")));
}

/*
 * Record the read before its first row.
 */
static void
record(const Reads *reads, const char *how)
{
	AuditEvent	event;
	size_t		length;

	if (!cpis_record_direct_reads && (RecoveryInProgress() || !QueueDirectReadsSwitch(false)))
		return;
	require_recording();
	AuditEventInit(&event, DIRECT_READ_ACTION);
	strlcpy(event.outcome, "done", sizeof(event.outcome));
	length = snprintf(event.detail, sizeof(event.detail), "%s%s", cpis_record_direct_reads ? "" :
					  "cpis.record_direct_reads is off, and what is read from now on is not recorded; ", how);
	for (int i = 0; i < reads->ntables && length < sizeof(event.detail); i++)
		length += snprintf(event.detail + length, sizeof(event.detail) - length, "%s cpis.%s",
						   i == 0 ? "" : ",", reads->tables[i]);
	event.transaction_id = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	PG_TRY();
	{
		RecordEvent(&event, QUEUE_DIRECT_READS);
	}
	PG_CATCH();
	{
		if (!cpis_record_direct_reads)
			(void) QueueDirectReadsSwitch(true);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (cpis_record_direct_reads)
		(void) QueueDirectReadsSwitch(true);
}

/*
 * Record what a statement reads, if it is to be.
 */
static void
record_reads(QueryDesc *query)
{
	Reads		reads = {0};

	if (is_exempt() || is_recorded_by_leader(query))
		return;
	find_reads(query->plannedstmt, &reads);
	if (reads.ntables > 0 && (reads.directly || !reads.views || storing > 0))
		record(&reads, "read");
}

static void
start_executor(QueryDesc *query, int flags)
{
	if (previous_start != NULL)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);

	if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0 && may_read(query->plannedstmt))
		record_reads(query);
}

/*
 * See whether a COPY reads a table that is watched.
 */
static void
check_copy(CopyStmt *copy)
{
	Reads		reads = {0};
	char		name[NAMEDATALEN];
	Oid			table;

	if (copy->is_from || copy->relation == NULL || is_exempt())
		return;
	table = RangeVarGetRelid(copy->relation, AccessShareLock, true);
	if (!OidIsValid(table) || (Watched(RelationRelationId, table, name) & WATCHED_READ) == 0 || is_new(table))
		return;
	if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(table, GetUserId(), ACL_SELECT, copy->attlist == NIL ? ACLMASK_ALL : ACLMASK_ANY) != ACLCHECK_OK)
		return;					/* COPY will say so */
	note_table(&reads, name);
	record(&reads, "copied");
}

/*
 * Does it fill a materialized view?  EXPLAIN ANALYZE of what makes one does.
 */
static bool
stores(const Node *statement)
{
	if (IsA(statement, ExplainStmt))
	{
		const Query *query = (const Query *) ((const ExplainStmt *) statement)->query;

		statement = IsA(query, Query) && query->utilityStmt != NULL ? query->utilityStmt : statement;
	}
	return IsA(statement, RefreshMatViewStmt) ||
		(IsA(statement, CreateTableAsStmt) && ((const CreateTableAsStmt *) statement)->objtype == OBJECT_MATVIEW);
}

static void
run_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *environment, DestReceiver *receiver, QueryCompletion *completion)
{
	if (previous_utility != NULL)
		previous_utility(statement, text, read_only_tree, context, params, environment, receiver, completion);
	else
		standard_ProcessUtility(statement, text, read_only_tree, context, params, environment, receiver, completion);
}

static void
process_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *receiver, QueryCompletion *completion)
{
	if (IsA(statement->utilityStmt, CopyStmt))
		check_copy((CopyStmt *) statement->utilityStmt);
	if (!stores(statement->utilityStmt))
	{
		run_utility(statement, text, read_only_tree, context, params, environment, receiver, completion);
		return;
	}
	storing++;
	PG_TRY();
	{
		run_utility(statement, text, read_only_tree, context, params, environment, receiver, completion);
	}
	PG_FINALLY();
	{
		storing--;
	}
	PG_END_TRY();
}

/*
 * Install the hooks, around any others.
 */
void
DirectReadInstall(void)
{
	installed = true;
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/*
 * Are direct reads recorded?
 */
bool
DirectReadIsOn(void)
{
	return installed && cpis_record_direct_reads;
}

/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between PostgreSQL 15 and 18, and between C libraries.
 *
 * Every test of PG_VERSION_NUM in the project stands here.  Include it after
 * postgres.h; it brings the headers that its own macros need.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_COMPAT_H
#define CPIS_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "cpis needs PostgreSQL 15 or newer"
#endif

#include <semaphore.h>
#include <time.h>

#include "executor/executor.h"
#include "replication/walsender_private.h"
#include "storage/proc.h"
#include "utils/wait_event.h"

/*
 * Of a relation in a plan: does the statement itself need a privilege on it - a partition
 * that comes with its parent does not - and whose, InvalidOid being the role in force?
 */
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
static inline bool
cpis_privilege_needed(PlannedStmt *statement, RangeTblEntry *entry, Oid *whose)
{
	if (entry->perminfoindex == 0)
		return false;
	*whose = getRTEPermissionInfo(statement->permInfos, entry)->checkAsUser;
	return true;
}
#define CPIS_PRIVILEGE_NEEDED(statement, entry, whose) cpis_privilege_needed(statement, entry, whose)
#else
#define CPIS_PRIVILEGE_NEEDED(statement, entry, whose) \
	((entry)->requiredPerms != 0 && (*(whose) = (entry)->checkAsUser, true))
#endif

/* 16 leaves a view in the plan as the subquery that stands for it. */
#if PG_VERSION_NUM >= 160000
#define CPIS_IS_RELATION_ENTRY(entry) \
	((entry)->rtekind == RTE_RELATION || ((entry)->rtekind == RTE_SUBQUERY && OidIsValid((entry)->relid)))
#else
#define CPIS_IS_RELATION_ENTRY(entry) ((entry)->rtekind == RTE_RELATION)
#endif

/* 16 brought errors that a caller may ask to have saved instead of thrown. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define CPIS_SOFT_ERROR(fcinfo, ...) \
	ereturn((fcinfo)->context, (Datum) 0, __VA_ARGS__)
#else
#define CPIS_SOFT_ERROR(fcinfo, ...) \
	do { \
		ereport(ERROR, __VA_ARGS__); \
		PG_RETURN_NULL(); \
	} while (0)
#endif

/* 16 can restrict index insertion to summarizing indexes; cpis never does. */
#if PG_VERSION_NUM >= 160000
#define CPIS_EXEC_INSERT_INDEX_TUPLES(info, slot, estate) \
	ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false)
#else
#define CPIS_EXEC_INSERT_INDEX_TUPLES(info, slot, estate) \
	ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL)
#endif

/* 16 answers why a row was not deleted, 18 asks whether it is MERGE that deletes. */
#if PG_VERSION_NUM >= 180000
#define CPIS_EXEC_BR_DELETE_TRIGGERS(estate, recheck, info, tid) \
	ExecBRDeleteTriggers(estate, recheck, info, tid, NULL, NULL, NULL, NULL, false)
#elif PG_VERSION_NUM >= 160000
#define CPIS_EXEC_BR_DELETE_TRIGGERS(estate, recheck, info, tid) \
	ExecBRDeleteTriggers(estate, recheck, info, tid, NULL, NULL, NULL, NULL)
#else
#define CPIS_EXEC_BR_DELETE_TRIGGERS(estate, recheck, info, tid) \
	ExecBRDeleteTriggers(estate, recheck, info, tid, NULL, NULL)
#endif

/* 16 asks which of the result relations are looked at again; none are. */
#if PG_VERSION_NUM >= 160000
#define CPIS_EVAL_PLAN_QUAL_INIT(recheck, estate) \
	EvalPlanQualInit(recheck, estate, NULL, NIL, -1, NIL)
#else
#define CPIS_EVAL_PLAN_QUAL_INIT(recheck, estate) \
	EvalPlanQualInit(recheck, estate, NULL, NIL, -1)
#endif

/*
 * Has the checkpointer seen synchronous standbys configured?  Minor releases of
 * 2025 turned a boolean into a set of flags.
 */
#ifdef SYNC_STANDBY_DEFINED
#define CPIS_SYNC_STANDBYS_DEFINED() \
	((WalSndCtl->sync_standbys_status & SYNC_STANDBY_DEFINED) != 0)
#else
#define CPIS_SYNC_STANDBYS_DEFINED() (WalSndCtl->sync_standbys_defined)
#endif

/* 18 can be told where to count what a scan does. */
#if PG_VERSION_NUM >= 180000
#define CPIS_INDEX_BEGINSCAN(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define CPIS_INDEX_BEGINSCAN(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* 16 can be told where to save an error in a name. */
#if PG_VERSION_NUM >= 160000
#define CPIS_QUALIFIED_NAME_LIST(name) stringToQualifiedNameList(name, NULL)
#else
#define CPIS_QUALIFIED_NAME_LIST(name) stringToQualifiedNameList(name)
#endif

/* 17 has a registry of DSM segments; 15 and 16 need a block of main memory. */
#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
#define CPIS_HAVE_NAMED_DSM 1
#endif

/* 17 names the wait events of extensions. */
#if PG_VERSION_NUM >= 170000
#define CPIS_WAIT_EVENT(name) WaitEventExtensionNew(name)
#else
#define CPIS_WAIT_EVENT(name) PG_WAIT_EXTENSION
#endif

/* 17 renamed the number by which a process is found in ProcGlobal. */
#if PG_VERSION_NUM >= 170000
#define CPIS_MY_PROC_NUMBER MyProcNumber
#else
#define CPIS_MY_PROC_NUMBER (MyProc->pgprocno)
#endif

/* 17 added these settings, which a background worker must not inherit. */
#if PG_VERSION_NUM >= 170000
#define CPIS_HAVE_TRANSACTION_TIMEOUT 1
#define CPIS_HAVE_EVENT_TRIGGERS 1
#endif

/* 18 lets a module name itself and its version. */
#if PG_VERSION_NUM >= 180000
#define CPIS_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "cpis", .version = CPIS_VERSION)
#else
#define CPIS_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/*
 * A semaphore waits by a clock that nobody sets where the C library can do so.
 * Elsewhere, if the clock on the wall is set back, a wait is longer by as much.
 */
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 30)
#define CPIS_HAVE_SEM_CLOCKWAIT 1
#endif
#endif
#ifdef CPIS_HAVE_SEM_CLOCKWAIT
#define CPIS_SEM_CLOCK CLOCK_MONOTONIC
#define CPIS_SEM_WAIT(semaphore, until) \
	sem_clockwait(semaphore, CLOCK_MONOTONIC, until)
#else
#define CPIS_SEM_CLOCK CLOCK_REALTIME
#define CPIS_SEM_WAIT(semaphore, until) sem_timedwait(semaphore, until)
#endif

#endif							/* CPIS_COMPAT_H */

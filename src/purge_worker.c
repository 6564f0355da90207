/*-------------------------------------------------------------------------
 *
 * purge_worker.c
 *	  The purge by itself.
 *
 * Where the library is preloaded, the postmaster starts a launcher, which is
 * connected to no database, so that it stands in nobody's way.  When the server has
 * started and then every cpis.purge_interval, it starts a worker in each database
 * that accepts connections, one after the other.  The worker leaves at once unless
 * the extension is there and cpis_purge_automatic() has switched the purge on; else
 * it purges (purge.c) and leaves.
 *
 * Both end at once when they are told to; a database with a worker in it can be
 * dropped WITH (FORCE), or when the purge has ended or is paused.  An error ends a
 * worker and is in the log; the launcher goes on.  Where all slots for background
 * workers are taken, the database is left to the next round.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "compat.h"
#include "miscadmin.h"
#include "own_settings.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "purge.h"
#include "purge_switch.h"
#include "purge_worker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* A launcher that has failed is started again after so many seconds. */
#define LAUNCHER_RESTART_S 60

/* The longest sleep. */
#define WAKEUP_MOST_MS 60000

/*
 * How long a worker waits for a lock, such as that of who is just placing a hold: then
 * the database is left to the next round, and does not keep the others waiting.
 */
#define LOCK_TIMEOUT "10s"

int			cpis_purge_interval = 3600;

static bool registered = false;

static void
fill_worker(BackgroundWorker *worker, const char *function, const char *type)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "$libdir/cpis", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
}

/*
 * Have the postmaster start the launcher.  While it preloads the library.
 */
void
PurgeWorkerRegister(void)
{
	BackgroundWorker worker;

	fill_worker(&worker, "cpis_purge_launcher_main", "cpis purge launcher");
	worker.bgw_restart_time = LAUNCHER_RESTART_S;
	RegisterBackgroundWorker(&worker);
	registered = true;
}

/*
 * Does this server have a launcher?
 */
bool
PurgeWorkerIsRegistered(void)
{
	return registered;
}

/*
 * The databases to look at, a list of OIDs, in this memory context.
 */
static List *
list_databases(MemoryContext context)
{
	List	   *databases = NIL;
	Relation	table;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	table = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(table, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext outer;

		if (!database->datallowconn || database->datistemplate)
			continue;
		outer = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(outer);
	}
	table_endscan(scan);
	table_close(table, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/*
 * Have a worker look at one database, and wait until it has left.
 */
static void
look_at(Oid database)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	fill_worker(&worker, "cpis_purge_worker_main", "cpis purge worker");
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start a worker to purge database %u", database),
				 errhint("Consider increasing max_worker_processes.")));
		return;
	}
	(void) WaitForBackgroundWorkerShutdown(handle);
	pfree(handle);
}

/*
 * Wait until the next round.  The interval may change meanwhile; 0 is for ever.
 */
static void
wait_for_round(TimestampTz last_round)
{
	for (;;)
	{
		long		left = WAKEUP_MOST_MS;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (cpis_purge_interval > 0)
		{
			left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												   TimestampTzPlusMilliseconds(last_round, cpis_purge_interval * INT64CONST(1000)));
			if (left <= 0)
				return;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, WAKEUP_MOST_MS), CPIS_WAIT_EVENT("CpisPurgeLauncherIdle"));
		ResetLatch(MyLatch);
	}
}

/*
 * Entry point of the launcher.
 */
void
cpis_purge_launcher_main(Datum unused)
{
	MemoryContext context;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	context = AllocSetContextCreate(TopMemoryContext, "cpis purge launcher", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		TimestampTz round = GetCurrentTimestamp();

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		if (cpis_purge_interval > 0)
		{
			List	   *databases = list_databases(context);
			ListCell   *cell;

			foreach(cell, databases)
			{
				CHECK_FOR_INTERRUPTS();
				look_at(lfirst_oid(cell));
			}
		}
		wait_for_round(round);
	}
}

/*
 * Is the purge switched on in this database?
 */
static bool
is_wanted(void)
{
	bool		result;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	result = OidIsValid(get_extension_oid("cpis", true)) && PurgeIsAutomatic() && !PurgeIsPaused();
	PopActiveSnapshot();
	CommitTransactionCommand();
	return result;
}

/*
 * Entry point of the worker.
 */
void
cpis_purge_worker_main(Datum database)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	OwnSettings();
	SetConfigOption("application_name", "cpis purge worker", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	if (!is_wanted())
		proc_exit(0);
	StartTransactionCommand();
	PurgeRun(PURGE_BATCH_SIZE, 0);
	CommitTransactionCommand();
	pgstat_report_stat(true);
	proc_exit(0);
}

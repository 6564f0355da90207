/*-------------------------------------------------------------------------
 *
 * cpis.c
 *	  Loading the library: settings and hooks.
 *
 * The library may come with shared_preload_libraries or late, with the first
 * function that a session calls; no setting is of kind POSTMASTER, and nothing
 * here raises an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "checkpoint.h"
#include "compat.h"
#include "demographics.h"
#include "direct_read.h"
#include "drop_guard.h"
#include "fmgr.h"
#include "ledger_edge.h"
#include "log_guard.h"
#include "miscadmin.h"
#include "own_function.h"
#include "provider_setting.h"
#include "purge_worker.h"
#include "queue.h"
#include "storage/ipc.h"
#include "submission_apply.h"
#include "utils/guc.h"
#include "writer.h"

CPIS_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request_hook = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook != NULL)
		previous_shmem_request_hook();
	QueueRequestSharedMemory();
}

static bool
check_log_origin(char **value, void **extra, GucSource source)
{
	if (**value == '\0' || LedgerOriginIsValid(*value))
		return true;
	GUC_check_errdetail("A name has up to %d characters of ASCII, no space, no plus sign and no control character.",
						ORIGIN_LENGTH);
	return false;
}

/*
 * Nothing that an ordinary role may set: all of these could weaken or delay
 * the recording.
 */
static void
define_settings(void)
{
	DefineCustomIntVariable("cpis.record_timeout",
							"Time within which an access event must be recorded.",
							"A look-up whose event is not durable by then fails and discloses nothing.",
							&cpis_record_timeout,
							5000, 10, 600000,
							PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("cpis.writer_idle_timeout",
							"Time after which an idle writer of the audit trail leaves.",
							"DROP DATABASE waits five seconds for it.",
							&cpis_writer_idle_timeout,
							3000, 0, 3600000,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomStringVariable("cpis.signing_key_file",
							   "File of the Ed25519 keys, in PEM, that sign checkpoints of the ledger.",
							   "Without it, checkpoints are not signed.",
							   &cpis_signing_key_file,
							   "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("cpis.checkpoint_interval",
							"Time that must pass between two checkpoints of the ledger.",
							"A call of cpis_checkpoint() waits for it.",
							&cpis_checkpoint_interval,
							1000, 0, 60000,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomStringVariable("cpis.log_origin",
							   "Name that a new ledger gets in its checkpoints.",
							   "A ledger keeps its name.  Without this, it gets one at random.",
							   &cpis_log_origin,
							   "",
							   PGC_SUSET, 0,
							   check_log_origin, NULL, NULL);
	DefineCustomIntVariable("cpis.purge_interval",
							"Time between two purges that run by themselves.",
							"0 switches them off.",
							&cpis_purge_interval,
							3600, 0, 604800,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomStringVariable("cpis.demographics_function",
							   "Function that is asked about the NHS numbers of submissions.",
							   "Without it, nothing is asked.",
							   &cpis_demographics_function,
							   "",
							   PGC_SUSET, 0,
							   NULL, NULL, NULL);
	DefineCustomRealVariable("cpis.full_submission_share",
							 "Share of the running plans of a local authority that a full submission may end.",
							 "One that would end more is refused.",
							 &cpis_full_submission_share,
							 0.1, 0, 1,
							 PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("cpis.minimum_client_version",
							"Lowest version of clients from which submissions are taken.",
							"Others are answered CPF06.",
							&cpis_minimum_client_version,
							1, 0, INT_MAX,
							PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("cpis.allow_drop",
							 "May an audit trail that has events be dropped?",
							 "It is gone for good then, with the extension or by itself.",
							 &cpis_allow_drop,
							 false,
							 PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("cpis.record_direct_reads",
							 "Is it recorded who reads the tables of the extension directly?",
							 "Where the library is preloaded.  That it is switched off is recorded.",
							 &cpis_record_direct_reads,
							 true,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("cpis.require_go_live",
							 "Are look-ups refused from care settings that have no record of going live?",
							 "Those whose record says that they are not live are refused anyhow.",
							 &cpis_require_go_live,
							 false,
							 PGC_SUSET, 0,
							 NULL, NULL, NULL);
	MarkGUCPrefixReserved("cpis");
}

void
_PG_init(void)
{
	/* pg_upgrade only needs the functions to be found. */
	if (IsBinaryUpgrade)
		return;

	define_settings();
	LogGuardInstall();
	DropGuardInstall();
	if (process_shared_preload_libraries_in_progress)
	{
		previous_shmem_request_hook = shmem_request_hook;
		shmem_request_hook = request_shared_memory;
		PurgeWorkerRegister();
		OwnFunctionInstall();
		DirectReadInstall();
	}
}

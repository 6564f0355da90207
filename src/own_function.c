/*-------------------------------------------------------------------------
 *
 * own_function.c
 *	  Does a definer function of the extension in language SQL run?
 *
 * direct_read.c asks, for what such a function reads is read through the extension.  Functions
 * in C say so themselves (own_change.c).  The server's fmgr_hook tells when one begins and
 * ends; a set-returning one does so for each row, and what it calls meanwhile is its own.
 *
 * Which functions are the extension's may change while one runs, so counting begins anew with
 * each transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "own_function.h"
#include "utils/memutils.h"
#include "watched.h"

static needs_fmgr_hook_type previous_needs = NULL;
static fmgr_hook_type previous_hook = NULL;
static int	running = 0;

/* What is kept with a function from its beginning to its end. */
typedef struct Call
{
	bool		own;			/* asked when it begins: an end may come with an error */
	Datum		previous;		/* of the hook that was there before */
} Call;

static bool
is_own(Oid function)
{
	return (Watched(ProcedureRelationId, function, NULL) & WATCHED_FUNCTION) != 0;
}

static bool
needs_hook(Oid function)
{
	return is_own(function) || (previous_needs != NULL && previous_needs(function));
}

static void
on_function(FmgrHookEventType event, FmgrInfo *function, Datum *arg)
{
	Call	   *call = (Call *) DatumGetPointer(*arg);

	if (call == NULL)
	{
		call = MemoryContextAllocZero(function->fn_mcxt, sizeof(Call));
		*arg = PointerGetDatum(call);
	}
	if (event == FHET_START)
		call->own = is_own(function->fn_oid);
	if (call->own)
		running += event == FHET_START ? 1 : -1;
	if (previous_hook != NULL)
		previous_hook(event, function, &call->previous);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
		running = 0;
}

bool
OwnFunctionRuns(void)
{
	return running > 0;
}

/*
 * Install the hooks, behind any other.
 */
void
OwnFunctionInstall(void)
{
	previous_needs = needs_fmgr_hook;
	previous_hook = fmgr_hook;
	needs_fmgr_hook = needs_hook;
	fmgr_hook = on_function;
	RegisterXactCallback(at_transaction_end, NULL);
}

/*-------------------------------------------------------------------------
 *
 * notice.c
 *	  cpis_notifications() and cpis_notifications_acknowledge(): how an authority
 *	  collects its notices.
 *
 * At least once, in order, without a gap: an authority gets its notices from the first that
 * it has not acknowledged on, however often it asks, until it acknowledges them in a
 * transaction that commits.  No row means that there are none.  That a number or an event
 * is missing is an error (XX001), and so is whatever else keeps the answer from being
 * whole: nothing is passed over.
 *
 * The writer numbers and stores notices in the order in which it commits, so what is seen
 * has no gap that would be filled later.  Neither function locks anything that the other,
 * the writer or another consumer waits for; of two who acknowledge at a time, the higher number
 * counts.  cpis_notifications() works on a standby too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "argument.h"
#include "audit_event.h"
#include "authority.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "own_change.h"
#include "relation.h"
#include "request.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(cpis_notifications);
PG_FUNCTION_INFO_V1(cpis_notifications_acknowledge);

/* The most notices of one call. */
#define NOTICES_MOST 10000

/* Columns of type cpis.notice that are looked at here. */
#define NOTICE_NOTIFICATION_NO 1
#define NOTICE_RECORDED_AT 3

/* How far an authority is. */
typedef struct Progress
{
	int64		newest;
	int64		acknowledged;
} Progress;

/* What is being answered. */
typedef struct Answer
{
	ReturnSetInfo *rsinfo;
	int64		next;			/* number of the next notice */
} Answer;

static void
take_progress(SPITupleTable *rows, void *context)
{
	Progress   *progress = context;
	bool		isnull;

	progress->newest = DatumGetInt64(SPI_getbinval(rows->vals[0], rows->tupdesc, 1, &isnull));
	progress->acknowledged = DatumGetInt64(SPI_getbinval(rows->vals[0], rows->tupdesc, 2, &isnull));
}

/*
 * Find the newest notice of the authority, and the last that it has acknowledged.
 */
static Progress
find_progress(Datum local_authority)
{
	static const Oid types[] = {TEXTOID};
	Progress	progress;

	(void) OwnRead(CpisRelationOid(CPIS_NOTIFICATION),
				   "SELECT COALESCE((SELECT notification_no FROM cpis.notification WHERE local_authority = $1"
				   " ORDER BY notification_no DESC LIMIT 1), 0),"
				   " COALESCE((SELECT acknowledged FROM cpis.acknowledgement WHERE local_authority = $1"
				   " ORDER BY acknowledged DESC LIMIT 1), 0)",
				   lengthof(types), types, &local_authority, NULL, take_progress, &progress);
	return progress;
}

static void
raise_missing(int64 number)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("notice " INT64_FORMAT " of the local authority, or its event, is missing", number),
			 errhint("See what cpis_audit_verify() says.")));
}

/*
 * See that what was acknowledged is there: else notices are gone, and those to come
 * would have their numbers, and never be given.
 */
static void
require_acknowledged(const Progress *progress)
{
	if (progress->acknowledged > progress->newest)
		raise_missing(progress->newest + 1);
}

/*
 * Put the notices into the answer, none of which may be missing.
 */
static void
take_notices(SPITupleTable *rows, void *context)
{
	Answer	   *answer = context;
	int			ncolumns = answer->rsinfo->setDesc->natts;
	Datum	   *values = palloc(ncolumns * sizeof(Datum));
	bool	   *isnull = palloc(ncolumns * sizeof(bool));

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		heap_deform_tuple(rows->vals[i], rows->tupdesc, values, isnull);
		if (DatumGetInt64(values[NOTICE_NOTIFICATION_NO - 1]) != answer->next || isnull[NOTICE_RECORDED_AT - 1])
			raise_missing(answer->next);
		answer->next++;
		tuplestore_putvalues(answer->rsinfo->setResult, answer->rsinfo->setDesc, values, isnull);
	}
}

/*
 * cpis_notifications(local_authority, max) -> setof cpis.notice.
 */
Datum
cpis_notifications(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, INT8OID, INT4OID};
	char	   *local_authority = ArgumentText(fcinfo, 0, "local_authority", true, LOCAL_AUTHORITY_LENGTH);
	Answer		answer;
	Progress	progress;
	Datum		values[3];
	int64		end;

	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > NOTICES_MOST)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, "max", psprintf("must be from 1 to %d", NOTICES_MOST));
	AuthorityRequire(local_authority, NOTICES_ACTION);

	InitMaterializedSRF(fcinfo, 0);
	values[0] = CStringGetTextDatum(local_authority);
	progress = find_progress(values[0]);
	require_acknowledged(&progress);
	values[1] = Int64GetDatum(progress.acknowledged);
	values[2] = PG_GETARG_DATUM(1);
	answer.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	answer.next = progress.acknowledged + 1;
	end = Min(progress.newest, progress.acknowledged + PG_GETARG_INT32(1));
	(void) OwnRead(CpisRelationOid(CPIS_NOTIFICATION), "SELECT n.* FROM cpis.notices($1, $2, $3) AS n",
				   lengthof(types), types, values, NULL, take_notices, &answer);
	if (answer.next <= end)
		raise_missing(answer.next);
	return (Datum) 0;
}

/*
 * cpis_notifications_acknowledge(local_authority, up_to) -> bigint: up to which notice the
 * authority has acknowledged them.  What it has acknowledged stays so, whatever lower number
 * is given.  22023 for a number that it does not have.
 */
Datum
cpis_notifications_acknowledge(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, INT8OID, TIMESTAMPTZOID};
	OwnChange	change = {0};
	char	   *local_authority;
	Progress	progress;
	Datum		values[3];
	int64		up_to;

	ChangeCheckCallable("cpis_notifications_acknowledge()");
	local_authority = ArgumentText(fcinfo, 0, "local_authority", true, LOCAL_AUTHORITY_LENGTH);
	if (PG_ARGISNULL(1))
		ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, "up_to", "must not be null");
	up_to = PG_GETARG_INT64(1);
	AuthorityRequire(local_authority, NOTICES_ACTION);

	values[0] = CStringGetTextDatum(local_authority);
	progress = find_progress(values[0]);
	require_acknowledged(&progress);
	if (up_to > progress.newest || up_to < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the local authority has no notice " INT64_FORMAT, up_to)));
	if (up_to <= progress.acknowledged)
		PG_RETURN_INT64(progress.acknowledged);
	change.table = CpisRelationOid(CPIS_ACKNOWLEDGEMENT);
	values[1] = Int64GetDatum(up_to);
	values[2] = TimestampTzGetDatum(GetCurrentTimestamp());
	OwnChangeOne(&change, "INSERT INTO cpis.acknowledgement (local_authority, acknowledged, acknowledged_at) VALUES ($1, $2, $3)",
				 lengthof(types), types, values, NULL, NULL);
	PG_RETURN_INT64(up_to);
}

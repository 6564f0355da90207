/*-------------------------------------------------------------------------
 *
 * audit_event.c
 *	  An event of the audit trail: as a C struct, and as a row.
 *
 * Whoever asks for an event fills the struct in its own process, request.c
 * carries it through the queue, and the writer gives it a number and a time,
 * seals it and stores it.
 *
 * The leaf hash is that of a leaf of a Merkle tree (merkle.c), over the
 * canonical bytes of the row (audit_row.c).  It is computed here, once, and
 * never by a trigger, which would sign anew whatever a restore brings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/xact.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "relation.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inet.h"
#include "utils/timestamp.h"

static const Oid columns[AUDIT_NCOLUMNS] =
{
	[AUDIT_EVENT_ID - 1] = INT8OID,
	[AUDIT_RECORDED_AT - 1] = TIMESTAMPTZOID,
	[AUDIT_ACTION - 1] = TEXTOID,
	[AUDIT_OUTCOME - 1] = TEXTOID,
	[AUDIT_NHS_NUMBER - 1] = InvalidOid,
	[AUDIT_WORKER_NAME - 1] = TEXTOID,
	[AUDIT_WORKER_ID - 1] = TEXTOID,
	[AUDIT_JOB_ROLE - 1] = TEXTOID,
	[AUDIT_SYSTEM_ID - 1] = TEXTOID,
	[AUDIT_LOCATION - 1] = TEXTOID,
	[AUDIT_REQUEST_ID - 1] = TEXTOID,
	[AUDIT_ORGANISATION - 1] = TEXTOID,
	[AUDIT_CARE_SETTING - 1] = TEXTOID,
	[AUDIT_NOTIFY - 1] = BOOLOID,
	[AUDIT_NOTIFIED_AUTHORITY - 1] = TEXTARRAYOID,
	[AUDIT_NOTIFICATION_NO - 1] = INT8ARRAYOID,
	[AUDIT_PLAN_IDS - 1] = INT8ARRAYOID,
	[AUDIT_SESSION_ROLE - 1] = TEXTOID,
	[AUDIT_EFFECTIVE_ROLE - 1] = TEXTOID,
	[AUDIT_CLIENT_ADDR - 1] = INETOID,
	[AUDIT_APPLICATION_NAME - 1] = TEXTOID,
	[AUDIT_BACKEND_PID - 1] = INT4OID,
	[AUDIT_TRANSACTION_ID - 1] = XID8OID,
	[AUDIT_DETAIL - 1] = TEXTOID,
	[AUDIT_SALT - 1] = BYTEAOID,
	[AUDIT_LEAF_HASH - 1] = BYTEAOID
};

/*
 * See that a partition of the trail has the columns that events have; XX001 where
 * it does not.
 */
void
AuditCheckColumns(Relation table)
{
	CpisCheckColumns(table, columns, AUDIT_NCOLUMNS);
}

/* Where the struct has the columns that are plain texts; 0 for the others. */
static const uint16 text_offsets[AUDIT_NCOLUMNS + 1] =
{
	[AUDIT_ACTION] = offsetof(AuditEvent, action),
	[AUDIT_OUTCOME] = offsetof(AuditEvent, outcome),
	[AUDIT_WORKER_NAME] = offsetof(AuditEvent, worker_name),
	[AUDIT_WORKER_ID] = offsetof(AuditEvent, worker_id),
	[AUDIT_JOB_ROLE] = offsetof(AuditEvent, job_role),
	[AUDIT_SYSTEM_ID] = offsetof(AuditEvent, system_id),
	[AUDIT_LOCATION] = offsetof(AuditEvent, location),
	[AUDIT_REQUEST_ID] = offsetof(AuditEvent, request_id),
	[AUDIT_ORGANISATION] = offsetof(AuditEvent, organisation),
	[AUDIT_CARE_SETTING] = offsetof(AuditEvent, care_setting),
	[AUDIT_SESSION_ROLE] = offsetof(AuditEvent, session_role),
	[AUDIT_EFFECTIVE_ROLE] = offsetof(AuditEvent, effective_role),
	[AUDIT_APPLICATION_NAME] = offsetof(AuditEvent, application_name),
	[AUDIT_DETAIL] = offsetof(AuditEvent, detail),
};

/*
 * The text of a column, or NULL where the column is not a text.
 */
static const char *
text_of(const AuditEvent *event, AuditColumn column)
{
	uint16		offset = text_offsets[column];

	return offset == 0 ? NULL : (const char *) event + offset;
}

static int
client_addr_length(const AuditEvent *event)
{
	return event->client_addr_family == 4 ? 4 : 16;
}

/*
 * Note the address of the client, where it came over a network.  A background
 * worker has no client at all.  It stays the same while the process lives, and
 * costs a call of getnameinfo() to find.
 */
static void
note_client_address(AuditEvent *event)
{
	static bool known = false;
	static uint8 family = 0;
	static uint8 address[16];

	if (!known)
	{
		LOCAL_FCINFO(fcinfo, 0);
		Datum		client;

		InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
		client = inet_client_addr(fcinfo);
		if (!fcinfo->isnull)
		{
			inet	   *addr = DatumGetInetPP(client);

			family = (ip_family(addr) == PGSQL_AF_INET) ? 4 : 6;
			memcpy(address, ip_addr(addr), ip_addrsize(addr));
		}
		/* A local socket costs nothing, and what failed may work next time. */
		known = !fcinfo->isnull;
	}
	event->client_addr_family = family;
	memcpy(event->client_addr, address, sizeof(address));
}

static void
note_role(char *field, Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	/* A role can be dropped while it is logged in. */
	if (name == NULL)
		snprintf(field, NAMEDATALEN, "%u", role);
	else
		strlcpy(field, name, NAMEDATALEN);
}

/*
 * Begin an event: nothing but the action and what the session itself says.
 */
void
AuditEventInit(AuditEvent *event, const char *action)
{
	memset(event, 0, offsetof(AuditEvent, plan_ids));
	strlcpy(event->action, action, sizeof(event->action));
	note_role(event->session_role, GetAuthenticatedUserId());
	note_role(event->effective_role, GetUserId());
	note_client_address(event);
	if (application_name != NULL)
		strlcpy(event->application_name, application_name, NAMEDATALEN);
	event->backend_pid = MyProcPid;
	event->transaction_id =
		U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
}

/*
 * Copy what an event says, and no more, for most of the struct is empty.
 */
void
AuditEventCopy(AuditEvent *to, const AuditEvent *from)
{
	memcpy(to, from, offsetof(AuditEvent, plan_ids));
	memcpy(to->plan_ids, from->plan_ids, from->nplans * sizeof(int64));
	memcpy(to->notified_authority, from->notified_authority,
		   from->nnotified * sizeof(from->notified_authority[0]));
}

static Datum
bytea_datum(const uint8 *bytes, int length)
{
	bytea	   *result = palloc(VARHDRSZ + length);

	SET_VARSIZE(result, VARHDRSZ + length);
	memcpy(VARDATA(result), bytes, length);
	return PointerGetDatum(result);
}

static Datum
inet_datum(const AuditEvent *event)
{
	inet	   *result = palloc0(sizeof(inet));

	ip_family(result) =
		event->client_addr_family == 4 ? PGSQL_AF_INET : PGSQL_AF_INET6;
	ip_bits(result) = ip_maxbits(result);
	memcpy(ip_addr(result), event->client_addr, client_addr_length(event));
	SET_INET_VARSIZE(result);
	return PointerGetDatum(result);
}

static Datum
int64_array_datum(const int64 *values, int n)
{
	Datum		elements[PLANS_PER_LOOKUP];

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
authorities_datum(const AuditEvent *event)
{
	Datum		elements[PLANS_PER_LOOKUP];

	for (int i = 0; i < event->nnotified; i++)
		elements[i] = CStringGetTextDatum(event->notified_authority[i]);
	return PointerGetDatum(construct_array(elements, event->nnotified, TEXTOID,
										   -1, false, TYPALIGN_INT));
}

/*
 * Store the event, with this salt, in a slot of cpis.audit_event or of one of
 * its partitions; all columns but the leaf hash, which is of all the others.
 * Values are allocated in the current memory context and must outlive the
 * insertion.
 */
void
AuditEventStore(const AuditEvent *event, const uint8 *salt,
				TupleTableSlot *slot)
{
	Datum	   *values = slot->tts_values - 1;	/* indexed by column, from 1 */
	bool	   *isnull = slot->tts_isnull - 1;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, AUDIT_NCOLUMNS * sizeof(bool));

	for (int column = AUDIT_EVENT_ID; column <= AUDIT_NCOLUMNS; column++)
	{
		const char *value = text_of(event, column);

		if (value == NULL)
			continue;
		isnull[column] = (value[0] == '\0');
		if (value[0] != '\0')
			values[column] = CStringGetTextDatum(value);
	}

	values[AUDIT_EVENT_ID] = Int64GetDatum(event->event_id);
	values[AUDIT_RECORDED_AT] = TimestampTzGetDatum(event->recorded_at);
	values[AUDIT_NHS_NUMBER] = Int32GetDatum(event->nhs_number);
	isnull[AUDIT_NHS_NUMBER] = !event->has_nhs_number;
	values[AUDIT_NOTIFY] = BoolGetDatum(event->notify);
	isnull[AUDIT_NOTIFY] = !event->has_notify;
	isnull[AUDIT_NOTIFIED_AUTHORITY] = (event->nnotified == 0);
	isnull[AUDIT_NOTIFICATION_NO] = (event->nnotified == 0);
	if (event->nnotified > 0)
	{
		values[AUDIT_NOTIFIED_AUTHORITY] = authorities_datum(event);
		values[AUDIT_NOTIFICATION_NO] =
			int64_array_datum(event->notification_no, event->nnotified);
	}
	isnull[AUDIT_PLAN_IDS] = (event->nplans == 0);
	if (event->nplans > 0)
		values[AUDIT_PLAN_IDS] =
			int64_array_datum(event->plan_ids, event->nplans);
	isnull[AUDIT_CLIENT_ADDR] = (event->client_addr_family == 0);
	if (event->client_addr_family != 0)
		values[AUDIT_CLIENT_ADDR] = inet_datum(event);
	values[AUDIT_BACKEND_PID] = Int32GetDatum(event->backend_pid);
	values[AUDIT_TRANSACTION_ID] =
		UInt64GetDatum(event->transaction_id);
	isnull[AUDIT_TRANSACTION_ID] = (event->transaction_id == 0);
	values[AUDIT_SALT] = bytea_datum(salt, AUDIT_SALT_LENGTH);
	isnull[AUDIT_LEAF_HASH] = true;

	ExecStoreVirtualTuple(slot);
}

/*
 * Complete a slot that AuditEventStore() has filled by the leaf hash.
 */
void
AuditEventSeal(TupleTableSlot *slot, const MerkleHash *leaf)
{
	slot->tts_values[AUDIT_LEAF_HASH - 1] =
		bytea_datum(leaf->bytes, sizeof(leaf->bytes));
	slot->tts_isnull[AUDIT_LEAF_HASH - 1] = false;
}

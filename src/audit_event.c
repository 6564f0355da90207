/*-------------------------------------------------------------------------
 *
 * audit_event.c
 *	  An event of the audit trail: as a C struct, as canonical bytes, as a row.
 *
 * Whoever asks for an event fills the struct in its own process, record.c
 * carries it through the queue, and the writer gives it a number and a time,
 * seals it and stores it.
 *
 * Canonical bytes, of which the leaf hash is taken, are ASCII "cpis/event/1"
 * and a line feed, then the fields that are not NULL in ascending order of
 * their tags: tag u8, length u32, bytes.  Integers are big-endian, times are
 * microseconds since 1970-01-01 UTC, an NHS number is its ten digits as u64.
 * The tag of a field is the number of its column.  Text forms of PostgreSQL
 * are not hashed: they depend on settings.
 *
 * The leaf hash is SHA-256 over a zero byte and the canonical bytes (RFC 9162,
 * section 2.1.1).  It is computed here, once, and never by a trigger, which
 * would sign anew whatever a restore brings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/xact.h"
#include "audit_event.h"
#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "mod11.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inet.h"
#include "utils/timestamp.h"

#define CANONICAL_HEADER "cpis/event/1\n"

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

static void
append_bytes(StringInfo out, AuditColumn tag, const void *bytes, int length)
{
	pq_sendbyte(out, tag);
	pq_sendint32(out, length);
	appendBinaryStringInfo(out, bytes, length);
}

static void
append_int64(StringInfo out, AuditColumn tag, int64 value)
{
	pq_sendbyte(out, tag);
	pq_sendint32(out, sizeof(int64));
	pq_sendint64(out, value);
}

static void
append_int64s(StringInfo out, AuditColumn tag, const int64 *values, int n)
{
	if (n == 0)
		return;
	pq_sendbyte(out, tag);
	pq_sendint32(out, n * sizeof(int64));
	for (int i = 0; i < n; i++)
		pq_sendint64(out, values[i]);
}

static void
append_authorities(StringInfo out, const AuditEvent *event)
{
	uint32		length = 0;

	if (event->nnotified == 0)
		return;
	for (int i = 0; i < event->nnotified; i++)
		length += sizeof(uint32) + strlen(event->notified_authority[i]);

	pq_sendbyte(out, AUDIT_NOTIFIED_AUTHORITY);
	pq_sendint32(out, length);
	for (int i = 0; i < event->nnotified; i++)
	{
		const char *code = event->notified_authority[i];

		pq_sendint32(out, strlen(code));
		appendBinaryStringInfo(out, code, strlen(code));
	}
}

/*
 * Append one field that is not a text, unless it is NULL.
 */
static void
append_field(StringInfo out, const AuditEvent *event, AuditColumn column)
{
	switch (column)
	{
		case AUDIT_EVENT_ID:
			append_int64(out, column, event->event_id);
			break;
		case AUDIT_RECORDED_AT:
			append_int64(out, column, event->recorded_at +
						 (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
			break;
		case AUDIT_NHS_NUMBER:
			if (event->has_nhs_number)
				append_int64(out, column, mod11_to_integer(event->nhs_number));
			break;
		case AUDIT_NOTIFY:
			if (event->has_notify)
				append_bytes(out, column, event->notify ? "\1" : "\0", 1);
			break;
		case AUDIT_NOTIFIED_AUTHORITY:
			append_authorities(out, event);
			break;
		case AUDIT_NOTIFICATION_NO:
			append_int64s(out, column, event->notification_no, event->nnotified);
			break;
		case AUDIT_PLAN_IDS:
			append_int64s(out, column, event->plan_ids, event->nplans);
			break;
		case AUDIT_CLIENT_ADDR:
			if (event->client_addr_family == 0)
				break;
			pq_sendbyte(out, column);
			pq_sendint32(out, 1 + client_addr_length(event));
			pq_sendbyte(out, event->client_addr_family);
			appendBinaryStringInfo(out, (const char *) event->client_addr,
								   client_addr_length(event));
			break;
		case AUDIT_BACKEND_PID:
			pq_sendbyte(out, column);
			pq_sendint32(out, sizeof(int32));
			pq_sendint32(out, event->backend_pid);
			break;
		case AUDIT_TRANSACTION_ID:
			if (event->transaction_id != 0)
				append_int64(out, column, event->transaction_id);
			break;
		case AUDIT_SALT:
			append_bytes(out, column, event->salt, AUDIT_SALT_LENGTH);
			break;
		default:
			elog(ERROR, "audit column %d has no canonical bytes", column);
	}
}

/*
 * Replace the contents of "out" by the canonical bytes of the event.
 */
void
AuditEventBytes(const AuditEvent *event, StringInfo out)
{
	resetStringInfo(out);
	appendBinaryStringInfo(out, CANONICAL_HEADER, strlen(CANONICAL_HEADER));

	for (int column = AUDIT_EVENT_ID; column <= AUDIT_SALT; column++)
	{
		const char *value = text_of(event, column);

		if (value == NULL)
			append_field(out, event, column);
		else if (value[0] != '\0')
			append_bytes(out, column, value, strlen(value));
	}
}

/*
 * Give the event, complete but for these, its salt and its leaf hash.
 * "sha256" is a context for PG_SHA256 and "buffer" scratch space, both reused.
 */
void
AuditEventSeal(AuditEvent *event, const uint8 *salt, pg_cryptohash_ctx *sha256,
			   StringInfo buffer)
{
	static const uint8 leaf_prefix = 0x00;

	memcpy(event->salt, salt, AUDIT_SALT_LENGTH);
	AuditEventBytes(event, buffer);
	if (pg_cryptohash_init(sha256) < 0 ||
		pg_cryptohash_update(sha256, &leaf_prefix, 1) < 0 ||
		pg_cryptohash_update(sha256, (uint8 *) buffer->data, buffer->len) < 0 ||
		pg_cryptohash_final(sha256, event->leaf_hash,
							sizeof(event->leaf_hash)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of audit event: %s",
						pg_cryptohash_error(sha256))));
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
 * Store the event, sealed, in a slot of cpis.audit_event or of one of its
 * partitions.  Values are allocated in the current memory context and must
 * outlive the insertion.
 */
void
AuditEventStore(const AuditEvent *event, TupleTableSlot *slot)
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
	values[AUDIT_SALT] = bytea_datum(event->salt, AUDIT_SALT_LENGTH);
	values[AUDIT_LEAF_HASH] =
		bytea_datum(event->leaf_hash, PG_SHA256_DIGEST_LENGTH);

	ExecStoreVirtualTuple(slot);
}

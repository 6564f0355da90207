/*-------------------------------------------------------------------------
 *
 * audit_event.h
 *	  An event of the audit trail: as a C struct, and as a row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_AUDIT_EVENT_H
#define CPIS_AUDIT_EVENT_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "merkle.h"
#include "utils/relcache.h"

/* Limits, in bytes without the terminating zero. */
#define WORKER_NAME_LENGTH 200
#define LOCATION_LENGTH 200
#define REQUEST_ID_LENGTH 128
#define JOB_ROLE_LENGTH 100
#define WORKER_ID_LENGTH 64
#define SYSTEM_ID_LENGTH 64
#define CARE_SETTING_LENGTH 32
#define ORGANISATION_LENGTH 12
#define LOCAL_AUTHORITY_LENGTH 12
#define AUDIT_DETAIL_LENGTH 400
#define PLANS_PER_LOOKUP 64

#define AUDIT_SALT_LENGTH 16

/*
 * Columns of cpis.audit_event, in order.  All but the last are also the tags
 * of the canonical bytes.
 */
typedef enum AuditColumn
{
	AUDIT_EVENT_ID = 1,
	AUDIT_RECORDED_AT,
	AUDIT_ACTION,
	AUDIT_OUTCOME,
	AUDIT_NHS_NUMBER,
	AUDIT_WORKER_NAME,
	AUDIT_WORKER_ID,
	AUDIT_JOB_ROLE,
	AUDIT_SYSTEM_ID,
	AUDIT_LOCATION,
	AUDIT_REQUEST_ID,
	AUDIT_ORGANISATION,
	AUDIT_CARE_SETTING,
	AUDIT_NOTIFY,
	AUDIT_NOTIFIED_AUTHORITY,
	AUDIT_NOTIFICATION_NO,
	AUDIT_PLAN_IDS,
	AUDIT_SESSION_ROLE,
	AUDIT_EFFECTIVE_ROLE,
	AUDIT_CLIENT_ADDR,
	AUDIT_APPLICATION_NAME,
	AUDIT_BACKEND_PID,
	AUDIT_TRANSACTION_ID,
	AUDIT_DETAIL,
	AUDIT_SALT,
	AUDIT_LEAF_HASH
} AuditColumn;

#define AUDIT_NCOLUMNS AUDIT_LEAF_HASH

/* The detail, or its end, of a look-up whose author is a device. */
#define DEVICE_DETAIL "author: device"

/*
 * An event.  A text that is empty is NULL.  Fields marked "writer" are filled
 * by the writer, the others by who asks for the event.  It goes through shared
 * memory: what is seldom used stands last.
 */
typedef struct AuditEvent
{
	int64		event_id;		/* writer */
	TimestampTz recorded_at;	/* writer */
	char		action[16];
	char		outcome[16];
	bool		has_nhs_number;
	int32		nhs_number;		/* first nine digits */
	char		worker_name[WORKER_NAME_LENGTH + 1];
	char		worker_id[WORKER_ID_LENGTH + 1];
	char		job_role[JOB_ROLE_LENGTH + 1];
	char		system_id[SYSTEM_ID_LENGTH + 1];
	char		location[LOCATION_LENGTH + 1];
	char		request_id[REQUEST_ID_LENGTH + 1];
	char		organisation[ORGANISATION_LENGTH + 1];
	char		care_setting[CARE_SETTING_LENGTH + 1];
	bool		has_notify;
	bool		notify;
	int			nnotified;		/* 0 is NULL */
	int			nplans;			/* 0 is NULL */
	char		session_role[NAMEDATALEN];
	char		effective_role[NAMEDATALEN];
	uint8		client_addr_family; /* 4, 6, or 0 for NULL */
	uint8		client_addr[16];
	char		application_name[NAMEDATALEN];
	int32		backend_pid;
	uint64		transaction_id; /* 0 is NULL */
	char		detail[AUDIT_DETAIL_LENGTH + 1];

	/* Only as many as there are have a value. */
	int64		plan_ids[PLANS_PER_LOOKUP];
	int64		notification_no[PLANS_PER_LOOKUP];	/* writer */
	char		notified_authority[PLANS_PER_LOOKUP][LOCAL_AUTHORITY_LENGTH + 1];
} AuditEvent;

extern void AuditCheckColumns(Relation table);
extern void AuditEventInit(AuditEvent *event, const char *action);
extern void AuditEventCopy(AuditEvent *to, const AuditEvent *from);
extern void AuditEventStore(const AuditEvent *event, const uint8 *salt,
							TupleTableSlot *slot);
extern void AuditEventSeal(TupleTableSlot *slot, const MerkleHash *leaf);

#endif							/* CPIS_AUDIT_EVENT_H */

/*-------------------------------------------------------------------------
 *
 * request.h
 *	  Ask the writer for something, and wait for its answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_REQUEST_H
#define CPIS_REQUEST_H

#include "audit_event.h"
#include "checkpoint.h"
#include "queue.h"

typedef enum RequestKind
{
	REQUEST_EVENT,
	REQUEST_CHECKPOINT
} RequestKind;

/* What is in a slot of the queue. */
typedef struct Request
{
	RequestKind kind;
	union
	{
		AuditEvent	event;		/* completed by the writer */
		CheckpointReply checkpoint; /* the writer's */
	};
} Request;

extern void RequestCheckCallable(const char *function);
extern void ChangeCheckCallable(const char *function);
extern void RecordEvent(AuditEvent *event, QueueCounter counter);
extern void RecordChange(AuditEvent *event);
extern void RequestLedgerCheckpoint(CheckpointReply *reply);

#endif							/* CPIS_REQUEST_H */

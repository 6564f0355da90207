/*-------------------------------------------------------------------------
 *
 * retention.h
 *	  Names that the parts of retention share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_RETENTION_H
#define CPIS_RETENTION_H

/* The kinds, in cpis.retention_policy and cpis.removal, that are none of plan. */
#define RETENTION_OF_EVENTS "audit_event"
#define RETENTION_OF_SUBMISSION_RECORDS "submission_record"

/* What events of these acts have as action. */
#define REMOVAL_ACTION "removal"
#define CORRECTION_ACTION "correction"
#define HOLD_ACTION "hold"

#endif							/* CPIS_RETENTION_H */

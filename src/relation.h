/*-------------------------------------------------------------------------
 *
 * relation.h
 *	  The tables and indexes of schema cpis, by what they are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_RELATION_H
#define CPIS_RELATION_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

typedef enum CpisRelation
{
	CPIS_LOCAL_AUTHORITY,
	CPIS_ORGANISATION,
	CPIS_CARE_SETTING,
	CPIS_PLAN_TYPE,
	CPIS_RETENTION_POLICY,
	CPIS_PLAN,
	CPIS_PLAN_TALLY,
	CPIS_AUDIT_EVENT,
	CPIS_NOTIFICATION,
	CPIS_LEDGER,
	CPIS_LEDGER_TILE,
	CPIS_CHECKPOINT,
	CPIS_ROLE_SCOPE,
	CPIS_PROVIDER,
	CPIS_PROVIDER_SETTING,
	CPIS_INACTIVE_NUMBER,
	CPIS_ACKNOWLEDGEMENT,
	CPIS_SUBMISSION,
	CPIS_SUBMISSION_RECORD,
	CPIS_HOLD,
	CPIS_REMOVAL,
	CPIS_REMOVED_MONTH,
	CPIS_EVENT_COUNT,
	CPIS_KEPT_EVENT,
	CPIS_CORRECTION,
	CPIS_PURGE_FAILURE,
	CPIS_PURGE_SWITCH,
	CPIS_PSEUDONYM_KEY,
	CPIS_DIRECT_READ_SWITCH,
	CPIS_SUMMARY,
	CPIS_ACCESS_SUMMARY,
	CPIS_ACCESS_MONTH_SUMMARY,
	CPIS_NOTICE_SUMMARY,
	CPIS_ATTENDANCE_SUMMARY,
	CPIS_ACKNOWLEDGEMENT_SUMMARY,
	CPIS_ANSWER_SUMMARY,
	CPIS_UNUSUAL_SUMMARY,
	CPIS_LOCAL_AUTHORITY_PKEY,
	CPIS_ORGANISATION_PKEY,
	CPIS_CARE_SETTING_PKEY,
	CPIS_PLAN_TYPE_PKEY,
	CPIS_RETENTION_POLICY_PKEY,
	CPIS_PSEUDONYM_KEY_PKEY,
	CPIS_PROVIDER_SETTING_PKEY,
	CPIS_PLAN_PKEY,
	CPIS_PLAN_NHS_NUMBER_IDX,
	CPIS_NOTIFICATION_NO_IDX,
	CPIS_LEDGER_TILE_IDX,
	CPIS_CHECKPOINT_TREE_SIZE_IDX,
	CPIS_CHECKPOINT_SIGNED_IDX,
	CPIS_NRELATIONS
} CpisRelation;

/* Tables come before indexes. */
#define CPIS_NTABLES CPIS_LOCAL_AUTHORITY_PKEY

extern const char *CpisRelationName(CpisRelation relation);
extern bool CpisExtensionChanged(void);
extern uint64 CpisGeneration(void);
extern Oid	CpisSchemaOid(void);
extern Oid	CpisRelationOid(CpisRelation relation);
extern Relation CpisTableOpen(CpisRelation table, LOCKMODE lockmode);
extern void CpisCheckColumns(Relation table, const Oid *types, int n);
extern Relation CpisIndexOpen(Relation table, Oid oid, const AttrNumber *columns,
							  int n, bool partial);
extern char *CpisTextAttribute(HeapTuple tuple, TupleDesc descriptor,
							   int attribute);

#endif							/* CPIS_RELATION_H */

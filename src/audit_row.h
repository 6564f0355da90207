/*-------------------------------------------------------------------------
 *
 * audit_row.h
 *	  The canonical bytes of an event, and their hash, from its row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_AUDIT_ROW_H
#define CPIS_AUDIT_ROW_H

#include "audit_event.h"
#include "lib/stringinfo.h"

#define AUDIT_ROW_SOUND ((AuditColumn) 0)

/* A notice that a row tells of. */
typedef struct AuditNotice
{
	const char *local_authority;	/* in the row, without a zero */
	int			length;
	int64		notification_no;
} AuditNotice;

extern AuditColumn AuditRowBytes(const Datum *values, const bool *isnull,
								 StringInfo out);
extern AuditColumn AuditRowLeaf(const Datum *values, const bool *isnull,
								Sha256 *sha256, StringInfo buffer,
								MerkleHash *leaf);

extern int	AuditRowNotices(const Datum *values, const bool *isnull,
							AuditNotice *notices);

#endif							/* CPIS_AUDIT_ROW_H */

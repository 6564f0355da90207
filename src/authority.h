/*-------------------------------------------------------------------------
 *
 * authority.h
 *	  Acting for a local authority.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_AUTHORITY_H
#define CPIS_AUTHORITY_H

/* What events of these acts have as action. */
#define SUBMISSION_ACTION "submission"
#define REJECTION_ACTION "rejection"
#define NOTICES_ACTION "notices"

extern void AuthorityRequire(const char *local_authority, const char *action);

#endif							/* CPIS_AUTHORITY_H */

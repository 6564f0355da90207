/*-------------------------------------------------------------------------
 *
 * watched.h
 *	  The objects of the extension that hooks of the server look out for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_WATCHED_H
#define CPIS_WATCHED_H

/* What an object is watched for: a set of these. */
#define WATCHED_DROP 1			/* must not be dropped while there is a trail */
#define WATCHED_READ 2			/* who reads it directly is recorded */
#define WATCHED_TRAIL 4			/* part of the trail */
#define WATCHED_VIEW 8			/* view of the extension, which records who reads it, or shows nobody */
#define WATCHED_INNER_VIEW 16	/* what is behind some of these, and for nobody by itself */
#define WATCHED_FUNCTION 32		/* definer function of the extension in SQL */
#define WATCHED_OTHER_VIEW 64	/* view of the extension that reads nothing that is watched */

extern bool MayBeWatched(Oid object);
extern int	Watched(Oid classid, Oid object, char *name);

#endif							/* CPIS_WATCHED_H */

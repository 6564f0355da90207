/*-------------------------------------------------------------------------
 *
 * trail_read.h
 *	  Who reads through views of the extension is recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_TRAIL_READ_H
#define CPIS_TRAIL_READ_H

extern void TrailReadRecord(const char *view, const char *whose);
extern void TrailReadRefuse(const char *view);
extern void TrailReadPerson(const char *function, int32 nhs_number);

#endif							/* CPIS_TRAIL_READ_H */

/*-------------------------------------------------------------------------
 *
 * writer.h
 *	  The background worker that writes the audit trail of one database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_WRITER_H
#define CPIS_WRITER_H

#include "postmaster/bgworker.h"

extern int	cpis_record_timeout;
extern int	cpis_writer_idle_timeout;

extern bool WriterStart(BackgroundWorkerHandle **handle);
extern PGDLLEXPORT void cpis_writer_main(Datum database);

#endif							/* CPIS_WRITER_H */

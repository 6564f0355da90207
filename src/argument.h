/*-------------------------------------------------------------------------
 *
 * argument.h
 *	  Text arguments of functions that record what somebody says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_ARGUMENT_H
#define CPIS_ARGUMENT_H

#include "fmgr.h"

/* The longest reason that somebody may give, in bytes. */
#define REASON_LENGTH 200

extern void ArgumentRaise(int sqlerrcode, const char *name, const char *what);
extern char *ArgumentText(FunctionCallInfo fcinfo, int position, const char *name,
						  bool required, int limit);

#endif							/* CPIS_ARGUMENT_H */

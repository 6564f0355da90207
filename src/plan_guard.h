/*-------------------------------------------------------------------------
 *
 * plan_guard.h
 *	  The trigger function cpis.guard_plan(), by its address.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PLAN_GUARD_H
#define CPIS_PLAN_GUARD_H

#include "fmgr.h"

extern PGDLLEXPORT Datum cpis_guard_plan(PG_FUNCTION_ARGS);

#endif							/* CPIS_PLAN_GUARD_H */

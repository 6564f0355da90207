/*-------------------------------------------------------------------------
 *
 * demographics.h
 *	  What a demographics service knows of NHS numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_DEMOGRAPHICS_H
#define CPIS_DEMOGRAPHICS_H

#include "own_change.h"

extern char *cpis_demographics_function;

/* Columns of what is known: a number, and the RecordRule that it breaks. */
#define DEMOGRAPHICS_NHS_NUMBER 1
#define DEMOGRAPHICS_RULE 2

extern bool DemographicsAsk(const OwnGiven *sent, Oid number_type, OwnGiven *known);

#endif							/* CPIS_DEMOGRAPHICS_H */

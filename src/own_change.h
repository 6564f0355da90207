/*-------------------------------------------------------------------------
 *
 * own_change.h
 *	  Changes of guarded tables by the extension's own functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_OWN_CHANGE_H
#define CPIS_OWN_CHANGE_H

#include "executor/spi.h"
#include "utils/tuplestore.h"

/* Rows that a command may read like a table. */
typedef struct OwnGiven
{
	const char *name;
	TupleDesc	descriptor;
	Tuplestorestate *rows;
	int64		n;
} OwnGiven;

/* A change of rows of one table, or of two by one command. */
typedef struct OwnChange
{
	Oid			table;
	Oid			inserts_into;	/* the other one, which only grows; InvalidOid: none */
	const OwnGiven *given;		/* NULL: none */
	int			ngiven;
	/* For a table that asks for them: */
	CmdType		operation;
	const int64 *ids;			/* of the rows, ascending */
	int			nids;
} OwnChange;

/* What is to be done with the rows that a query answers. */
typedef void (*OwnChangeTake) (SPITupleTable *rows, void *context);

/* What is to be done, other than to run a command. */
typedef void (*OwnChangeAct) (void *context);

extern int	OwnPlannerWithout(const char *method,...);
extern void OwnAct(Oid table, OwnChangeAct act, void *context);
extern void OwnChangeRun(const OwnChange *change, OwnChangeAct act, void *context);
extern uint64 OwnChangeQuery(const OwnChange *change, const char *command,
							 int nargs, const Oid *types, const Datum *values,
							 const char *nulls, OwnChangeTake take, void *context);
extern uint64 OwnChangeExecute(const OwnChange *change, const char *command,
							   int nargs, const Oid *types, const Datum *values,
							   const char *nulls, int64 *returned);
extern void OwnChangeOne(const OwnChange *change, const char *command,
						 int nargs, const Oid *types, const Datum *values,
						 const char *nulls, int64 *returned);
extern uint64 OwnRead(Oid table, const char *command, int nargs,
					  const Oid *types, const Datum *values, const char *nulls,
					  OwnChangeTake take, void *context);
extern uint64 OwnReadEach(Oid table, const OwnGiven *given, int ngiven,
						  const char *command, int nargs, const Oid *types,
						  const Datum *values, OwnChangeTake take, void *context);
extern void OwnChangeRethrow(ErrorData *error, const char *message);
extern bool OwnActs(void);
extern bool OwnChangeIsUnderWay(void);
extern bool OwnChangeIsOf(Oid table);
extern bool OwnChangeHas(Oid table, CmdType operation, int64 id);

#endif							/* CPIS_OWN_CHANGE_H */

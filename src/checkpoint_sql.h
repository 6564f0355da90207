/*-------------------------------------------------------------------------
 *
 * checkpoint_sql.h
 *	  Checkpoints for who asks in SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_CHECKPOINT_SQL_H
#define CPIS_CHECKPOINT_SQL_H

extern char *CheckpointObtain(void);

#endif							/* CPIS_CHECKPOINT_SQL_H */

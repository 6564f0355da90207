/*-------------------------------------------------------------------------
 *
 * trusted_code.h
 *	  Whose code a change of a table would run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_TRUSTED_CODE_H
#define CPIS_TRUSTED_CODE_H

extern void RequireTrustedCode(Oid table);

#endif							/* CPIS_TRUSTED_CODE_H */

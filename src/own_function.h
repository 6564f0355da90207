/*-------------------------------------------------------------------------
 *
 * own_function.h
 *	  Does a definer function of the extension in language SQL run?
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_OWN_FUNCTION_H
#define CPIS_OWN_FUNCTION_H

extern void OwnFunctionInstall(void);
extern bool OwnFunctionRuns(void);

#endif							/* CPIS_OWN_FUNCTION_H */

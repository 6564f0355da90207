/*-------------------------------------------------------------------------
 *
 * own_settings.h
 *	  Settings of the extension's background workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_OWN_SETTINGS_H
#define CPIS_OWN_SETTINGS_H

extern void OwnSettings(void);

#endif							/* CPIS_OWN_SETTINGS_H */

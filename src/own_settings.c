/*-------------------------------------------------------------------------
 *
 * own_settings.c
 *	  Settings of the extension's background workers.
 *
 * Whatever a role, a database or the cluster has set that could weaken or stop
 * what a worker does is overridden, once, when it has connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "compat.h"
#include "miscadmin.h"
#include "own_settings.h"
#include "utils/guc.h"

static const char *const settings[][2] =
{
	/* ALTER DATABASE can set a role, or another session user. */
	{"role", "none"},
	{"search_path", "pg_catalog, pg_temp"},
	{"session_replication_role", "origin"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_deferrable", "off"},
	{"default_tablespace", ""},
	{"default_table_access_method", "heap"},
	{"statement_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"row_security", "off"},
	{"TimeZone", "UTC"},
	{"DateStyle", "ISO, YMD"},
#ifdef CPIS_HAVE_TRANSACTION_TIMEOUT
	{"transaction_timeout", "0"},
#endif
#ifdef CPIS_HAVE_EVENT_TRIGGERS
	{"event_triggers", "off"},
#endif
};

/*
 * Set them, and be the bootstrap superuser.
 */
void
OwnSettings(void)
{
	for (int i = 0; i < lengthof(settings); i++)
	{
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
		if (i == 0)
			SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, 0);
	}
}

/*-------------------------------------------------------------------------
 *
 * log_guard.c
 *	  Keep NHS numbers out of the server log.
 *
 * The errors of this extension never repeat a number, but core's do: a
 * cancelled statement is logged with its text, a violated constraint with the
 * row, a slow statement with its parameters.  While the library is loaded in a
 * session, this hook hides the statement and the context of a log entry that
 * hold a valid NHS number, and masks numbers in the rest of the entry.
 *
 * What an authority sends may be no valid number by a slip of the pen, and names somebody
 * all the same: of errors about cpis.submission_record, the lines of COPY, the statement, its
 * parameters and the row that fails are hidden whatever they hold.
 *
 * A message, hint or internal query that goes to the log as well as to the
 * client is masked for both: core has one copy.  The client's DETAIL stays.
 *
 * Called by core for each message on its way to the log.  It must not raise an
 * error and allocates only a copy of a DETAIL that it masks, or what stands for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "log_guard.h"
#include "mod11.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

static emit_log_hook_type previous_hook = NULL;

static bool
holds_number(const char *text)
{
	size_t		start;
	size_t		end;

	return text != NULL && mod11_find(text, 0, &start, &end);
}

/*
 * Overwrite every number in the text, where there is one.
 */
static void
mask(char *text)
{
	size_t		start;
	size_t		end = 0;

	if (text == NULL)
		return;
	while (mod11_find(text, end, &start, &end))
		memset(text + start, 'x', end - start);
}

static bool
is_about_records(const char *text)
{
	return text != NULL && strstr(text, "submission_record") != NULL;
}

static void
log_guard(ErrorData *error)
{
	if (holds_number(debug_query_string) || is_about_records(debug_query_string))
		error->hide_stmt = true;
	if (holds_number(error->context) || is_about_records(error->context) || is_about_records(debug_query_string))
		error->hide_ctx = true;
	if (error->detail != NULL && is_about_records(error->table_name))
		error->detail_log = MemoryContextStrdup(ErrorContext, "The row is not shown.");
	mask(error->message);
	mask(error->hint);
	mask(error->internalquery);

	/* The log can have a DETAIL of its own. */
	if (error->detail_log == NULL && holds_number(error->detail))
		error->detail_log = MemoryContextStrdup(ErrorContext, error->detail);
	mask(error->detail_log);

	if (previous_hook != NULL)
		previous_hook(error);
}

/*
 * Install the hook, in front of any other.
 */
void
LogGuardInstall(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = log_guard;
}

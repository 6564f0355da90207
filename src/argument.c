/*-------------------------------------------------------------------------
 *
 * argument.c
 *	  Text arguments of functions that record what somebody says.
 *
 * What goes into the trail is somebody's words: never empty, of a bounded
 * length, on one line.  What is malformed is an error of the caller's program,
 * raised before anything is read or recorded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "argument.h"
#include "utils/builtins.h"

/*
 * Does UTF-8 text have a control character: C0, DEL or C1?
 */
static bool
has_control_character(const char *text)
{
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c == 0x7f ||
			(c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
			return true;
	}
	return false;
}

/*
 * Is UTF-8 text made of nothing but white space?  Control characters are
 * another matter.
 */
static bool
is_blank(const char *text)
{
	static const char *const spaces[] =
	{
		" ", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
		"\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
		"\u200b", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff",
	};

	/* Most texts begin with an ASCII letter. */
	if (*text > ' ' && !IS_HIGHBIT_SET(*text))
		return false;
	while (*text != '\0')
	{
		int			i = 0;

		while (i < lengthof(spaces) &&
			   strncmp(text, spaces[i], strlen(spaces[i])) != 0)
			i++;
		if (i == lengthof(spaces))
			return false;
		text += strlen(spaces[i]);
	}
	return true;
}

/*
 * Raise the error of a malformed argument.  The value is not repeated: callers
 * mix arguments up, and it may be the number.
 */
void
ArgumentRaise(int sqlerrcode, const char *name, const char *what)
{
	ereport(ERROR,
			(errcode(sqlerrcode),
			 errmsg("argument \"%s\" %s", name, what),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * A text argument, or NULL.  22004 where it is NULL and required, 22023 where it
 * is empty, longer than so many bytes, or has control characters.
 */
char *
ArgumentText(FunctionCallInfo fcinfo, int position, const char *name,
			 bool required, int limit)
{
	char	   *value;

	if (PG_ARGISNULL(position))
	{
		if (required)
			ArgumentRaise(ERRCODE_NULL_VALUE_NOT_ALLOWED, name, "must not be null");
		return NULL;
	}

	value = text_to_cstring(PG_GETARG_TEXT_PP(position));
	if (is_blank(value))
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, name, "must not be empty");
	if (strlen(value) > limit)
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, name,
					  psprintf("must not be longer than %d bytes", limit));
	if (has_control_character(value))
		ArgumentRaise(ERRCODE_INVALID_PARAMETER_VALUE, name,
					  "must not have control characters");
	return value;
}

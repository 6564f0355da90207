/*-------------------------------------------------------------------------
 *
 * day.c
 *	  The date in England.
 *
 * Plans begin, end and are held by days, and a day is one of Europe/London for
 * everybody, whatever the session's TimeZone: who looks a child up from
 * elsewhere must see what is seen here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "day.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/*
 * The date in England at this time, which is finite.
 */
DateADT
DayAt(TimestampTz at)
{
	pg_tz	   *london = pg_tzset("Europe/London");
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (london == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("time zone \"%s\" is not available", "Europe/London")));
	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, london) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));

	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
}

/*
 * The date in England now, whatever the session's TimeZone and however long
 * the transaction has been running.  It changes on the hour, in summer time as
 * in winter time, so it is computed once an hour.
 */
DateADT
DayToday(void)
{
	static int64 hour = -1;
	static DateADT today;
	TimestampTz now = GetCurrentTimestamp();

	if (now / USECS_PER_HOUR != hour)
	{
		today = DayAt(now);
		hour = now / USECS_PER_HOUR;
	}
	return today;
}

/*
 * The day, which is finite, as year, month, day, whatever the session's DateStyle.
 */
char *
DayText(DateADT day)
{
	char	   *text = palloc(MAXDATELEN + 1);
	struct pg_tm tm;

	j2date(day + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	EncodeDateOnly(&tm, USE_ISO_DATES, text);
	return text;
}

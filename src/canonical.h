/*-------------------------------------------------------------------------
 *
 * canonical.h
 *	  The pieces of canonical bytes: what hashes of rows are taken of.
 *
 * A header line, then fields in ascending order of their tags: tag u8, length
 * u32, bytes; integers are big-endian.  audit_row.c, plan_record.c and
 * removal.c say which fields there are.  Text forms of PostgreSQL are not
 * hashed: they depend on settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_CANONICAL_H
#define CPIS_CANONICAL_H

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mod11.h"
#include "port/pg_bswap.h"
#include "utils/date.h"

/*
 * Append bytes.  There are some sixty fields and lengths in an event, and
 * millions of events to verify: this stays inline, and ends nothing with a zero.
 */
static inline void
canonical_put(StringInfo out, const void *bytes, int length)
{
	if (out->len + length >= out->maxlen)
		enlargeStringInfo(out, length);
	memcpy(out->data + out->len, bytes, length);
	out->len += length;
}

static inline void
canonical_uint8(StringInfo out, uint8 value)
{
	canonical_put(out, &value, sizeof(value));
}

static inline void
canonical_uint32(StringInfo out, uint32 value)
{
	uint32		bytes = pg_hton32(value);

	canonical_put(out, &bytes, sizeof(bytes));
}

static inline void
canonical_uint64(StringInfo out, uint64 value)
{
	uint64		bytes = pg_hton64(value);

	canonical_put(out, &bytes, sizeof(bytes));
}

static inline void
canonical_tag(StringInfo out, uint8 tag, uint32 length)
{
	canonical_uint8(out, tag);
	canonical_uint32(out, length);
}

/*
 * A text or bytea, as it is.
 */
static inline void
canonical_bytes(StringInfo out, uint8 tag, Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	canonical_tag(out, tag, VARSIZE_ANY_EXHDR(bytes));
	canonical_put(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

/*
 * A date as days since 1970-01-01.
 */
static inline void
canonical_date(StringInfo out, uint8 tag, DateADT date)
{
	canonical_tag(out, tag, sizeof(uint32));
	canonical_uint32(out, date + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE));
}

/*
 * An NHS number as its ten digits; false where it cannot be one.
 */
static inline bool
canonical_nhs_number(StringInfo out, uint8 tag, int32 nine_digits)
{
	int			check_digit;

	if (nine_digits < 0 || nine_digits > NINE_DIGITS_MAX)
		return false;
	check_digit = mod11_check_digit(nine_digits);
	if (check_digit == CHECK_DIGIT_NONE)
		return false;
	canonical_tag(out, tag, sizeof(uint64));
	canonical_uint64(out, (int64) nine_digits * 10 + check_digit);
	return true;
}

#endif							/* CPIS_CANONICAL_H */

/*
 * Fuzzer of src/audit_row.c and src/canonical.h: nothing is read beyond a value, and canonical bytes
 * can be read in one way only, which gives back the row that they were made of.  So no two rows have the
 * same.
 *
 * Needs PostgreSQL's headers and nothing of the server: what it calls of that is below.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "audit_row.h"
#include "catalog/pg_type.h"
#include "mod11.h"
#include "utils/array.h"
#include "utils/inet.h"
#include "utils/timestamp.h"

#define HEADER "cpis/event/1\n"
#define ELEMENTS 5				/* at most, in an array */

static void
require(bool holds)
{
	if (!holds)
		abort();
}

void
enlargeStringInfo(StringInfo out, int needed)
{
	while (out->maxlen <= out->len + needed)
		out->maxlen *= 2;
	out->data = realloc(out->data, out->maxlen);
}

void
resetStringInfo(StringInfo out)
{
	out->len = 0;
}

struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

struct varlena *
pg_detoast_datum_packed(struct varlena *datum)
{
	return datum;
}

bool
errstart(int level, const char *domain)
{
	abort();
}

bool
errstart_cold(int level, const char *domain)
{
	abort();
}

int
errcode(int code)
{
	abort();
}

int
errmsg(const char *format,...)
{
	abort();
}

int
errmsg_internal(const char *format,...)
{
	abort();
}

void
errfinish(const char *file, int line, const char *function)
{
	abort();
}

/* What is left of the fuzzer's bytes; zeros afterwards. */
typedef struct Source
{
	const uint8 *bytes;
	size_t		left;
} Source;

static void
take(Source *source, void *to, size_t n)
{
	size_t		have = Min(n, source->left);

	memset(to, 0, n);
	memcpy(to, source->bytes, have);
	source->bytes += have;
	source->left -= have;
}

static uint8
take_byte(Source *source)
{
	uint8		byte;

	take(source, &byte, 1);
	return byte;
}

/*
 * A text or bytea in memory of its own, with a header of one byte or of four.
 */
static Datum
make_bytes(Source *source)
{
	uint8		length = take_byte(source);
	bool		is_short = length < 100 && (length & 1);
	int			header = is_short ? VARHDRSZ_SHORT : VARHDRSZ;
	char	   *datum = malloc(header + length);

	if (is_short)
		SET_VARSIZE_SHORT(datum, header + length);
	else
		SET_VARSIZE(datum, header + length);
	take(source, datum + header, length);
	return PointerGetDatum(datum);
}

/* An array is as the type makes it, but not always a plain list. */
static ArrayType *
make_array(Source *source, Oid element, int size)
{
	uint8		kind = take_byte(source);
	int			ndim = kind % 8 == 7 ? 2 : kind % 8 == 6 ? 0 : 1;
	int			bytes = ARR_OVERHEAD_NONULLS(ndim) + size;
	ArrayType  *array = calloc(1, bytes);

	SET_VARSIZE(array, bytes);
	array->ndim = ndim;
	array->elemtype = kind == 255 ? BOOLOID : element;
	/* Where something is missing there is a bitmap; nobody looks at what follows. */
	array->dataoffset = kind == 254 ? bytes : 0;
	for (int i = 0; i < ndim; i++)
	{
		ARR_DIMS(array)[i] = 1;
		ARR_LBOUND(array)[i] = kind % 8 == 5 ? 2 : 1;
	}
	return array;
}

static Datum
make_int8s(Source *source)
{
	int			n = take_byte(source) % (ELEMENTS + 1);
	ArrayType  *array = make_array(source, INT8OID, n * sizeof(int64));

	if (array->ndim > 0)
	{
		ARR_DIMS(array)[0] = n;
		take(source, ARR_DATA_PTR(array), array->dataoffset ? 0 : n * sizeof(int64));
	}
	return PointerGetDatum(array);
}

static Datum
make_texts(Source *source)
{
	int			n = take_byte(source) % (ELEMENTS + 1);
	Datum		texts[ELEMENTS];
	ArrayType  *array;
	char	   *to;
	int			size = 0;

	for (int i = 0; i < n; i++)
	{
		texts[i] = make_bytes(source);
		size += VARSIZE_ANY(DatumGetPointer(texts[i]));
		if (i < n - 1)
			size = INTALIGN(size + 3);
	}
	array = make_array(source, TEXTOID, size + 4 * n);
	if (array->ndim > 0)
		ARR_DIMS(array)[0] = n;
	to = ARR_DATA_PTR(array);
	for (int i = 0; i < n; i++)
	{
		int			length = VARSIZE_ANY_EXHDR(DatumGetPointer(texts[i]));

		if (array->ndim > 0 && !array->dataoffset)
		{
			/* Elements of an array are not packed. */
			SET_VARSIZE(to, VARHDRSZ + length);
			memcpy(to + VARHDRSZ, VARDATA_ANY(DatumGetPointer(texts[i])), length);
			to = (char *) att_align_nominal(to + VARHDRSZ + length, TYPALIGN_INT);
		}
		free(DatumGetPointer(texts[i]));
	}
	return PointerGetDatum(array);
}

static Datum
make_address(Source *source)
{
	inet	   *address = calloc(1, sizeof(inet));
	uint8		kind = take_byte(source);

	ip_family(address) = kind == 255 ? 9 : kind & 1 ? PGSQL_AF_INET6 : PGSQL_AF_INET;
	ip_bits(address) = ip_maxbits(address) - (kind & 2 ? 1 : 0);
	take(source, ip_addr(address), ip_addrsize(address));
	SET_INET_VARSIZE(address);
	return PointerGetDatum(address);
}

static bool
is_pointer(int column)
{
	switch (column)
	{
		case AUDIT_EVENT_ID:
		case AUDIT_RECORDED_AT:
		case AUDIT_NHS_NUMBER:
		case AUDIT_NOTIFY:
		case AUDIT_BACKEND_PID:
		case AUDIT_TRANSACTION_ID:
			return false;
		default:
			return true;
	}
}

static Datum
make_value(Source *source, int column)
{
	int64		number;

	switch (column)
	{
		case AUDIT_NOTIFIED_AUTHORITY:
			return make_texts(source);
		case AUDIT_NOTIFICATION_NO:
		case AUDIT_PLAN_IDS:
			return make_int8s(source);
		case AUDIT_CLIENT_ADDR:
			return make_address(source);
	}
	if (is_pointer(column))
		return make_bytes(source);
	take(source, &number, sizeof(number));
	if (column == AUDIT_NHS_NUMBER || column == AUDIT_BACKEND_PID)
		return Int32GetDatum((int32) number);
	return column == AUDIT_NOTIFY ? BoolGetDatum(number & 1) : Int64GetDatum(number);
}

/* The canonical bytes, as a reader goes through them. */
typedef struct Reader
{
	const uint8 *at;
	const uint8 *end;
} Reader;

static uint64
read_number(Reader *reader, int n)
{
	uint64		number = 0;

	require(reader->end - reader->at >= n);
	for (int i = 0; i < n; i++)
		number = number << 8 | *reader->at++;
	return number;
}

static void
read_same(Reader *reader, const void *bytes, size_t n)
{
	require((size_t) (reader->end - reader->at) >= n && memcmp(reader->at, bytes, n) == 0);
	reader->at += n;
}

/*
 * What stands there is this value, and nothing but that.
 */
static void
read_value(Reader *field, int column, Datum value)
{
	ArrayType  *array;
	char	   *element;
	int			n;

	switch (column)
	{
		case AUDIT_NOTIFIED_AUTHORITY:
		case AUDIT_NOTIFICATION_NO:
		case AUDIT_PLAN_IDS:
			array = (ArrayType *) DatumGetPointer(value);
			element = ARR_DATA_PTR(array);
			/* Another array with these elements would have the same bytes. */
			require(!ARR_HASNULL(array) && ARR_ELEMTYPE(array) == (column == AUDIT_NOTIFIED_AUTHORITY ? TEXTOID : INT8OID));
			require(ARR_NDIM(array) == 0 || (ARR_NDIM(array) == 1 && ARR_LBOUND(array)[0] == 1));
			n = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
			for (int i = 0; i < n; i++)
			{
				if (column != AUDIT_NOTIFIED_AUTHORITY)
				{
					require(read_number(field, 8) == (uint64) ((int64 *) ARR_DATA_PTR(array))[i]);
					continue;
				}
				require(read_number(field, 4) == VARSIZE_ANY_EXHDR(element));
				read_same(field, VARDATA_ANY(element), VARSIZE_ANY_EXHDR(element));
				element = (char *) att_align_nominal(element + VARSIZE_ANY(element), TYPALIGN_INT);
			}
			break;
		case AUDIT_CLIENT_ADDR:
			{
				inet	   *address = (inet *) DatumGetPointer(value);

				require(ip_bits(address) == ip_maxbits(address));
				require(read_number(field, 1) == (ip_family(address) == PGSQL_AF_INET ? 4 : 6));
				read_same(field, ip_addr(address), ip_addrsize(address));
				break;
			}
		case AUDIT_RECORDED_AT:
			require((int64) (read_number(field, 8) - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) == DatumGetInt64(value));
			break;
		case AUDIT_NHS_NUMBER:
			require(read_number(field, 8) / 10 == (uint64) DatumGetInt32(value));
			break;
		case AUDIT_NOTIFY:
			require(read_number(field, 1) == (uint64) DatumGetBool(value));
			break;
		case AUDIT_BACKEND_PID:
			require((int32) read_number(field, 4) == DatumGetInt32(value));
			break;
		case AUDIT_EVENT_ID:
		case AUDIT_TRANSACTION_ID:
			require((int64) read_number(field, 8) == DatumGetInt64(value));
			break;
		default:
			read_same(field, VARDATA_ANY(DatumGetPointer(value)), VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
	}
	require(field->at == field->end);
}

/*
 * Canonical bytes are this row's.
 */
static void
read_row(const StringInfoData *out, const Datum *values, const bool *isnull)
{
	Reader		reader = {(uint8 *) out->data, (uint8 *) out->data + out->len};

	read_same(&reader, HEADER, strlen(HEADER));
	for (int column = AUDIT_EVENT_ID; column <= AUDIT_SALT; column++)
	{
		Reader		field;
		uint64		length;

		if (isnull[column - 1])
			continue;
		require(read_number(&reader, 1) == (uint64) column);
		length = read_number(&reader, 4);
		require((uint64) (reader.end - reader.at) >= length);
		field.at = reader.at;
		field.end = reader.at += length;
		read_value(&field, column, values[column - 1]);
	}
	require(reader.at == reader.end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	Source		source = {data, length};
	Datum		values[AUDIT_NCOLUMNS];
	bool		isnull[AUDIT_NCOLUMNS];
	AuditNotice notices[PLANS_PER_LOOKUP];
	StringInfoData out = {.data = malloc(64), .maxlen = 64};
	uint32		nulls;
	int			n;

	take(&source, &nulls, sizeof(nulls));
	for (int column = AUDIT_EVENT_ID; column <= AUDIT_SALT; column++)
	{
		isnull[column - 1] = (nulls >> column & 1) != 0;
		values[column - 1] = isnull[column - 1] ? (Datum) 0 : make_value(&source, column);
	}
	if (AuditRowBytes(values, isnull, &out) == AUDIT_ROW_SOUND)
		read_row(&out, values, isnull);

	n = AuditRowNotices(values, isnull, notices);
	for (int i = 0; i < n; i++)
		require(notices[i].length >= 0 && memcmp(notices[i].local_authority, notices[i].local_authority, notices[i].length) == 0);
	for (int column = AUDIT_EVENT_ID; column <= AUDIT_SALT; column++)
	{
		if (!isnull[column - 1] && is_pointer(column))
			free(DatumGetPointer(values[column - 1]));
	}
	free(out.data);
	return 0;
}

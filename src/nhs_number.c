/*-------------------------------------------------------------------------
 *
 * nhs_number.c
 *	  The SQL type nhs_number over mod11.c.
 *
 * A value is the first nine digits as an int4, passed by value.  The tenth
 * digit follows from them, so a stored value cannot be invalid as long as
 * every way in - text, binary, cast - refuses nine digits that have no check
 * digit; mod11.c judges all of them.  Comparison, hashing and the operator
 * classes are PostgreSQL's own for int4, declared in sql/nhs_number.sql.
 *
 * Errors never repeat the value and keep statement and context out of the
 * server log: what was mistyped is nearly somebody's number.  On 16 and newer
 * the input function reports softly where the caller asks for that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "mod11.h"
#include "utils/builtins.h"

#define DatumGetNhsNumber(d) DatumGetInt32(d)
#define PG_GETARG_NHS_NUMBER(n) DatumGetNhsNumber(PG_GETARG_DATUM(n))
#define PG_RETURN_NHS_NUMBER(x) PG_RETURN_INT32(x)

PG_FUNCTION_INFO_V1(nhs_number_in);
PG_FUNCTION_INFO_V1(nhs_number_out);
PG_FUNCTION_INFO_V1(nhs_number_recv);
PG_FUNCTION_INFO_V1(nhs_number_send);
PG_FUNCTION_INFO_V1(nhs_number_is_valid);
PG_FUNCTION_INFO_V1(nhs_number_problem);
PG_FUNCTION_INFO_V1(nhs_number_try);
PG_FUNCTION_INFO_V1(nhs_number_format);
PG_FUNCTION_INFO_V1(nhs_number_region);
PG_FUNCTION_INFO_V1(nhs_number_is_placeholder);
PG_FUNCTION_INFO_V1(nhs_number_synthetic);
PG_FUNCTION_INFO_V1(nhs_number_from_bigint);
PG_FUNCTION_INFO_V1(nhs_number_to_bigint);

/*
 * Judge a text argument; *nine_digits is set when it is valid.
 */
static NhsNumberProblem
parse_text(text *value, int32 *nine_digits)
{
	return mod11_parse(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
					   nine_digits);
}

/*
 * Text in: 22P02 with the broken rule as DETAIL.
 */
Datum
nhs_number_in(PG_FUNCTION_ARGS)
{
	char	   *value = PG_GETARG_CSTRING(0);
	int32		nine_digits = 0;
	NhsNumberProblem problem;

	problem = mod11_parse(value, strlen(value), &nine_digits);
	if (problem != NHS_NUMBER_VALID)
		CPIS_SOFT_ERROR(fcinfo,
						(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						 errmsg("invalid input syntax for type %s", "nhs_number"),
						 errdetail_internal("%s", mod11_problem_text(problem)),
						 errhidestmt(true),
						 errhidecontext(true)));

	PG_RETURN_NHS_NUMBER(nine_digits);
}

/*
 * Text out: ten digits, leading zeros kept.
 */
Datum
nhs_number_out(PG_FUNCTION_ARGS)
{
	char	   *result = palloc(NHS_NUMBER_DIGITS + 1);

	mod11_print(PG_GETARG_NHS_NUMBER(0), result);
	PG_RETURN_CSTRING(result);
}

/*
 * Binary in: the ten-digit number as int8, judged like text, for binary COPY
 * and binary parameters do not pass nhs_number_in().
 */
Datum
nhs_number_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		nine_digits = 0;
	NhsNumberProblem problem;

	problem = mod11_from_integer(pq_getmsgint64(buf), &nine_digits);
	if (problem != NHS_NUMBER_VALID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value for type %s", "nhs_number"),
				 errdetail_internal("%s", mod11_problem_text(problem)),
				 errhidestmt(true),
				 errhidecontext(true)));

	PG_RETURN_NHS_NUMBER(nine_digits);
}

/*
 * Binary out: the ten-digit number as int8.
 */
Datum
nhs_number_send(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint64(&buf, mod11_to_integer(PG_GETARG_NHS_NUMBER(0)));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * Would nhs_number_in() take this text?
 */
Datum
nhs_number_is_valid(PG_FUNCTION_ARGS)
{
	int32		nine_digits;

	PG_RETURN_BOOL(parse_text(PG_GETARG_TEXT_PP(0), &nine_digits) ==
				   NHS_NUMBER_VALID);
}

/*
 * Why nhs_number_in() would not take this text; NULL if it would.
 */
Datum
nhs_number_problem(PG_FUNCTION_ARGS)
{
	int32		nine_digits;
	NhsNumberProblem problem = parse_text(PG_GETARG_TEXT_PP(0), &nine_digits);

	if (problem == NHS_NUMBER_VALID)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(mod11_problem_text(problem)));
}

/*
 * The number in this text, or NULL where nhs_number_in() would raise an error.
 */
Datum
nhs_number_try(PG_FUNCTION_ARGS)
{
	int32		nine_digits = 0;

	if (parse_text(PG_GETARG_TEXT_PP(0), &nine_digits) != NHS_NUMBER_VALID)
		PG_RETURN_NULL();
	PG_RETURN_NHS_NUMBER(nine_digits);
}

/*
 * 3-3-4 with spaces, as ISB 0149 asks for display and print.
 */
Datum
nhs_number_format(PG_FUNCTION_ARGS)
{
	char		formatted[NHS_NUMBER_FORMATTED + 1];

	mod11_print_formatted(PG_GETARG_NHS_NUMBER(0), formatted);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(formatted,
											  NHS_NUMBER_FORMATTED));
}

/*
 * The name of the range the number lies in; mod11.c has the ranges.
 */
Datum
nhs_number_region(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(mod11_region(PG_GETARG_NHS_NUMBER(0))));
}

/*
 * Is it one digit ten times, as sent to mean "missing"?
 */
Datum
nhs_number_is_placeholder(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(mod11_is_placeholder(PG_GETARG_NHS_NUMBER(0)));
}

/*
 * The n-th valid number, from 1, of the never-issued block 999: 22023 outside
 * the block.
 */
Datum
nhs_number_synthetic(PG_FUNCTION_ARGS)
{
	int32		n = PG_GETARG_INT32(0);
	int32		count = mod11_synthetic_count();

	if (n < 1 || n > count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no synthetic NHS number %d", n),
				 errdetail("The block 999 has %d valid numbers, counted from 1.",
						   count)));

	PG_RETURN_NHS_NUMBER(mod11_synthetic(n));
}

/*
 * Explicit cast: the integer must have ten digits, for one with fewer has lost
 * its leading zeros or was never an NHS number, and only its owner knows
 * which.  22003 for the number of digits, 22023 for the check digit.
 */
Datum
nhs_number_from_bigint(PG_FUNCTION_ARGS)
{
	int64		number = PG_GETARG_INT64(0);
	int32		nine_digits = 0;
	NhsNumberProblem problem;

	if (number < INT64CONST(1000000000) || number > INT64CONST(9999999999))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("integer is not an NHS number"),
				 errdetail("An NHS number has ten digits."),
				 errhint("Leading zeros are not guessed: cast from text a number that begins with zero."),
				 errhidestmt(true),
				 errhidecontext(true)));

	problem = mod11_from_integer(number, &nine_digits);
	if (problem != NHS_NUMBER_VALID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("integer is not an NHS number"),
				 errdetail_internal("%s", mod11_problem_text(problem)),
				 errhidestmt(true),
				 errhidecontext(true)));

	PG_RETURN_NHS_NUMBER(nine_digits);
}

/*
 * Explicit cast: the ten-digit number as an integer.
 */
Datum
nhs_number_to_bigint(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(mod11_to_integer(PG_GETARG_NHS_NUMBER(0)));
}

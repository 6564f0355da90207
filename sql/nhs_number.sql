/*
 * nhs_number: the type, its operators and operator classes, its casts, its
 * domains, and the functions over it.
 *
 * Four bytes, passed by value, and compared, sorted and hashed by PostgreSQL's
 * own functions for int4: the order of the first nine digits is the order of
 * the numbers.  The comparisons are LEAKPROOF, so that an index scan stays
 * possible underneath a security barrier.
 */

CREATE TYPE nhs_number;

CREATE FUNCTION nhs_number_in(cstring) RETURNS nhs_number
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION nhs_number_out(nhs_number) RETURNS cstring
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION nhs_number_recv(internal) RETURNS nhs_number
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION nhs_number_send(nhs_number) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE TYPE nhs_number (
	INPUT = nhs_number_in,
	OUTPUT = nhs_number_out,
	RECEIVE = nhs_number_recv,
	SEND = nhs_number_send,
	LIKE = pg_catalog.int4
);

COMMENT ON TYPE nhs_number IS 'NHS number, always valid (ISB 0149): ten digits, the last a modulus 11 check digit';
COMMENT ON FUNCTION nhs_number_in(cstring) IS 'text input of nhs_number: ten digits, or 3-3-4 with single spaces or hyphens';
COMMENT ON FUNCTION nhs_number_out(nhs_number) IS 'text output of nhs_number: ten digits';
COMMENT ON FUNCTION nhs_number_recv(internal) IS 'binary input of nhs_number: the ten-digit number as int8';
COMMENT ON FUNCTION nhs_number_send(nhs_number) IS 'binary output of nhs_number: the ten-digit number as int8';

CREATE FUNCTION nhs_number_eq(nhs_number, nhs_number) RETURNS boolean
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4eq';
CREATE FUNCTION nhs_number_ne(nhs_number, nhs_number) RETURNS boolean
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4ne';
CREATE FUNCTION nhs_number_lt(nhs_number, nhs_number) RETURNS boolean
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4lt';
CREATE FUNCTION nhs_number_le(nhs_number, nhs_number) RETURNS boolean
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4le';
CREATE FUNCTION nhs_number_gt(nhs_number, nhs_number) RETURNS boolean
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4gt';
CREATE FUNCTION nhs_number_ge(nhs_number, nhs_number) RETURNS boolean
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4ge';
CREATE FUNCTION nhs_number_cmp(nhs_number, nhs_number) RETURNS integer
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'btint4cmp';
CREATE FUNCTION nhs_number_hash(nhs_number) RETURNS integer
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'hashint4';
CREATE FUNCTION nhs_number_hash_extended(nhs_number, bigint) RETURNS bigint
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'hashint4extended';
CREATE FUNCTION nhs_number_smaller(nhs_number, nhs_number) RETURNS nhs_number
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4smaller';
CREATE FUNCTION nhs_number_larger(nhs_number, nhs_number) RETURNS nhs_number
	LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'int4larger';

COMMENT ON FUNCTION nhs_number_eq(nhs_number, nhs_number) IS 'implementation of = operator';
COMMENT ON FUNCTION nhs_number_ne(nhs_number, nhs_number) IS 'implementation of <> operator';
COMMENT ON FUNCTION nhs_number_lt(nhs_number, nhs_number) IS 'implementation of < operator';
COMMENT ON FUNCTION nhs_number_le(nhs_number, nhs_number) IS 'implementation of <= operator';
COMMENT ON FUNCTION nhs_number_gt(nhs_number, nhs_number) IS 'implementation of > operator';
COMMENT ON FUNCTION nhs_number_ge(nhs_number, nhs_number) IS 'implementation of >= operator';
COMMENT ON FUNCTION nhs_number_cmp(nhs_number, nhs_number) IS 'less-equal-greater, for btree';
COMMENT ON FUNCTION nhs_number_hash(nhs_number) IS 'hash';
COMMENT ON FUNCTION nhs_number_hash_extended(nhs_number, bigint) IS 'hash with a seed';
COMMENT ON FUNCTION nhs_number_smaller(nhs_number, nhs_number) IS 'smaller of two';
COMMENT ON FUNCTION nhs_number_larger(nhs_number, nhs_number) IS 'larger of two';

CREATE OPERATOR = (
	LEFTARG = nhs_number, RIGHTARG = nhs_number, FUNCTION = nhs_number_eq,
	COMMUTATOR = =, NEGATOR = <>, RESTRICT = eqsel, JOIN = eqjoinsel,
	HASHES, MERGES
);
COMMENT ON OPERATOR = (nhs_number, nhs_number) IS 'equal';
CREATE OPERATOR <> (
	LEFTARG = nhs_number, RIGHTARG = nhs_number, FUNCTION = nhs_number_ne,
	COMMUTATOR = <>, NEGATOR = =, RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (nhs_number, nhs_number) IS 'not equal';
CREATE OPERATOR < (
	LEFTARG = nhs_number, RIGHTARG = nhs_number, FUNCTION = nhs_number_lt,
	COMMUTATOR = >, NEGATOR = >=, RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (nhs_number, nhs_number) IS 'less than';
CREATE OPERATOR <= (
	LEFTARG = nhs_number, RIGHTARG = nhs_number, FUNCTION = nhs_number_le,
	COMMUTATOR = >=, NEGATOR = >, RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (nhs_number, nhs_number) IS 'less than or equal';
CREATE OPERATOR > (
	LEFTARG = nhs_number, RIGHTARG = nhs_number, FUNCTION = nhs_number_gt,
	COMMUTATOR = <, NEGATOR = <=, RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (nhs_number, nhs_number) IS 'greater than';
CREATE OPERATOR >= (
	LEFTARG = nhs_number, RIGHTARG = nhs_number, FUNCTION = nhs_number_ge,
	COMMUTATOR = <=, NEGATOR = <, RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (nhs_number, nhs_number) IS 'greater than or equal';

CREATE OPERATOR CLASS nhs_number_ops DEFAULT FOR TYPE nhs_number USING btree AS
	OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
	FUNCTION 1 nhs_number_cmp(nhs_number, nhs_number),
	FUNCTION 2 pg_catalog.btint4sortsupport(internal),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS nhs_number_ops USING btree IS 'order of nhs_number';

CREATE OPERATOR CLASS nhs_number_ops DEFAULT FOR TYPE nhs_number USING hash AS
	OPERATOR 1 =,
	FUNCTION 1 nhs_number_hash(nhs_number),
	FUNCTION 2 nhs_number_hash_extended(nhs_number, bigint);
COMMENT ON OPERATOR CLASS nhs_number_ops USING hash IS 'equality of nhs_number';

CREATE OPERATOR CLASS nhs_number_minmax_ops DEFAULT FOR TYPE nhs_number USING brin AS
	OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
	FUNCTION 1 pg_catalog.brin_minmax_opcinfo(internal),
	FUNCTION 2 pg_catalog.brin_minmax_add_value(internal, internal, internal, internal),
	FUNCTION 3 pg_catalog.brin_minmax_consistent(internal, internal, internal),
	FUNCTION 4 pg_catalog.brin_minmax_union(internal, internal, internal);
COMMENT ON OPERATOR CLASS nhs_number_minmax_ops USING brin IS 'smallest and largest nhs_number of a block range';

CREATE AGGREGATE min(nhs_number) (
	SFUNC = nhs_number_smaller, STYPE = nhs_number, COMBINEFUNC = nhs_number_smaller,
	SORTOP = <, PARALLEL = SAFE
);
COMMENT ON AGGREGATE min(nhs_number) IS 'smallest NHS number';
CREATE AGGREGATE max(nhs_number) (
	SFUNC = nhs_number_larger, STYPE = nhs_number, COMBINEFUNC = nhs_number_larger,
	SORTOP = >, PARALLEL = SAFE
);
COMMENT ON AGGREGATE max(nhs_number) IS 'largest NHS number';

CREATE FUNCTION nhs_number_is_valid(value text) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_is_valid(text) IS 'would this text be taken as an NHS number?';
CREATE FUNCTION nhs_number_problem(value text) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_problem(text) IS 'why this text is not an NHS number, as a sentence that does not repeat it; NULL if it is one';
CREATE FUNCTION nhs_number_try(value text) RETURNS nhs_number
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_try(text) IS 'the NHS number in this text, or NULL where a cast would raise an error';
CREATE FUNCTION nhs_number_format(value nhs_number) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_format(nhs_number) IS 'the number as 3-3-4 with spaces, for display and print (ISB 0149)';
CREATE FUNCTION nhs_number_region(value nhs_number) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_region(nhs_number) IS 'range of the number: scotland, northern_ireland, england_wales_isle_of_man, republic_of_ireland, test, synthetic, unallocated';
CREATE FUNCTION nhs_number_is_placeholder(value nhs_number) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_is_placeholder(nhs_number) IS 'is it one digit ten times, as sent to mean missing?';
CREATE FUNCTION nhs_number_synthetic(n integer) RETURNS nhs_number
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_synthetic(integer) IS 'the n-th valid number, from 1, of the never-issued block 999';
CREATE FUNCTION nhs_number_from_bigint(value bigint) RETURNS nhs_number
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_from_bigint(bigint) IS 'cast from a ten-digit integer; leading zeros are not guessed';
CREATE FUNCTION nhs_number_to_bigint(value nhs_number) RETURNS bigint
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION nhs_number_to_bigint(nhs_number) IS 'cast to the ten-digit integer';

CREATE CAST (bigint AS nhs_number) WITH FUNCTION nhs_number_from_bigint(bigint);
COMMENT ON CAST (bigint AS nhs_number) IS 'ten-digit integer to NHS number';
CREATE CAST (nhs_number AS bigint) WITH FUNCTION nhs_number_to_bigint(nhs_number);
COMMENT ON CAST (nhs_number AS bigint) IS 'NHS number to ten-digit integer';

CREATE DOMAIN nhs_number_issued AS nhs_number
	CONSTRAINT nhs_number_issued_range
		CHECK (nhs_number_region(VALUE) = 'england_wales_isle_of_man')
	CONSTRAINT nhs_number_issued_not_placeholder
		CHECK (NOT nhs_number_is_placeholder(VALUE));
COMMENT ON DOMAIN nhs_number_issued IS 'NHS number of the ranges issued in England, Wales and the Isle of Man, no placeholder';

CREATE DOMAIN nhs_number_test AS nhs_number
	CONSTRAINT nhs_number_test_range
		CHECK (nhs_number_region(VALUE) = 'synthetic' AND NOT nhs_number_is_placeholder(VALUE));
COMMENT ON DOMAIN nhs_number_test IS 'NHS number of the never-issued block 999, for tests and demonstrations';

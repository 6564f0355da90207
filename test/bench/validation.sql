-- Is this text ten digits with the right check digit?  In PL/pgSQL, in two shapes,
-- and as an SQL expression; and what to ask about: :strings strings of ten digits, half of
-- them valid, and malformed ones.  Not among these are what cpis also takes and the
-- others do not: groups of 3, 3 and 4, and outer white space.

\set ON_ERROR_STOP on

CREATE FUNCTION bench.valid_in_a_loop(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	digits bigint;
	sum integer = 0;
BEGIN
	IF octet_length(value) <> 10 OR translate(value, '0123456789', '') <> '' THEN
		RETURN false;
	END IF;
	digits = value;
	FOR weight IN 1..10 LOOP
		sum = sum + weight * (digits % 10);
		digits = digits / 10;
	END LOOP;
	RETURN sum % 11 = 0;
END $$;

-- The sum without a loop: as in bench.weighted_sum(), the factors modulo 11 being
-- 1, 3, 5, -4, -2, 0, 2, 4, -5, -3.
CREATE FUNCTION bench.valid_without_loop(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	n bigint;
BEGIN
	IF octet_length(value) <> 10 OR translate(value, '0123456789', '') <> '' THEN
		RETURN false;
	END IF;
	n = value;
	RETURN (n + 3 * (n / 10 - n / 1000000000) + 5 * (n / 100 - n / 100000000)
		+ 4 * (n / 10000000 - n / 1000) + 2 * (n / 1000000 - n / 10000)) % 11 = 0;
END $$;

-- Not STRICT, so that it is inlined: what is measured is the expression.
CREATE FUNCTION bench.valid_expression(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN octet_length(value) = 10 AND translate(value, '0123456789', '') = '' THEN
		(CAST(value AS bigint)
			+ 3 * (CAST(value AS bigint) / 10 - CAST(value AS bigint) / 1000000000)
			+ 5 * (CAST(value AS bigint) / 100 - CAST(value AS bigint) / 100000000)
			+ 4 * (CAST(value AS bigint) / 10000000 - CAST(value AS bigint) / 1000)
			+ 2 * (CAST(value AS bigint) / 1000000 - CAST(value AS bigint) / 10000)) % 11 = 0
		ELSE false END
$$;

-- Every other one with a check digit that is wrong by 1 to 9.
CREATE TABLE bench.string (value text COLLATE "C" NOT NULL) WITH (autovacuum_enabled = off);
INSERT INTO bench.string
	SELECT CASE WHEN n % 2 = 0 THEN ten ELSE ten / 10 * 10 + (ten % 10 + 1 + n / 2 % 9) % 10 END
	FROM (SELECT n, bench.ten_digits(n) AS ten FROM generate_series(1, :strings) AS n) AS made
	ORDER BY hashint8(n);

CREATE TABLE bench.malformed (value text COLLATE "C" NOT NULL);
INSERT INTO bench.malformed
	SELECT spoilt
	FROM generate_series(1, 1000) AS n,
		CAST(bench.ten_digits(n) AS text) AS ten,
		unnest(ARRAY['a', 'Z', ' ', '-', '+', '.', '/', ':', 'é', U&'\0661', U&'\FF11', E'\n', '']) AS stray,
		unnest(ARRAY[overlay(ten PLACING stray FROM 1 + n % 9 FOR 1), overlay(ten PLACING stray || '5' FROM 1 + n % 9 FOR 0),
			left(ten, 9), ten || n % 10]) AS spoilt;
INSERT INTO bench.malformed VALUES (''), (' '), ('-'), ('x'), ('0'), ('abcdefghij'), ('-999123456'), ('99912345.0');

VACUUM ANALYZE bench.string, bench.malformed;

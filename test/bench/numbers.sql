-- Valid NHS numbers beyond the block 999, which has fewer than a million: made up
-- in the range 900 to 998, which is for tests.

\set ON_ERROR_STOP on

CREATE SCHEMA IF NOT EXISTS bench;

-- The weighted sum, modulo 11, of nine digits (weights 10 to 2).  A digit is the
-- number without its last digits less ten times the number without one more, so
-- that each division needs one factor: 2, 5, 7, 9, 11, 13, 15, 17, 19.
CREATE FUNCTION bench.weighted_sum(nine bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT (2 * nine + 5 * (nine / 10) + 7 * (nine / 100) + 9 * (nine / 1000)
		+ 2 * (nine / 100000) + 4 * (nine / 1000000) + 6 * (nine / 10000000) + 8 * (nine / 100000000)) % 11
$$;

-- The n-th number, n up to 49,499,999.  Of nine digits that end evenly and the next
-- nine, one has a check digit: the sums differ by 2, and only a sum of 1 has none.
-- The array has what to add, by the sum; 18 makes the next nine, check digit 8.
CREATE FUNCTION bench.ten_digits(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT 10 * (900000000 + 2 * n)
		+ (ARRAY[0, 18, 9, 8, 7, 6, 5, 4, 3, 2, 1])[1 + bench.weighted_sum(900000000 + 2 * n)]
$$;

-- Run a command and commit; the milliseconds it took, the library being loaded.
CREATE PROCEDURE bench.timed(command text, INOUT milliseconds double precision = NULL) LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
BEGIN
	PERFORM nhs_number_is_valid('');
	began = clock_timestamp();
	EXECUTE command;
	COMMIT;
	milliseconds = extract(epoch FROM clock_timestamp() - began) * 1000;
END $$;

-- The same persons as nhs_number, bigint (ten digits), integer (the first nine) and
-- text that is checked: tables to load, and shuffled copies to join them with.
-- :persons is how many, :ten_digits and :nine_digits are the files to make.

\set ON_ERROR_STOP on

-- In memory, by the plan that is to be compared, in one process.
SELECT format('ALTER DATABASE %I SET %s', current_database(), setting)
	FROM unnest(ARRAY['work_mem = ''768MB''', 'maintenance_work_mem = ''768MB''', 'jit = off',
		'max_parallel_workers_per_gather = 0', 'max_parallel_maintenance_workers = 0',
		'enable_indexscan = off', 'enable_indexonlyscan = off', 'enable_bitmapscan = off',
		'enable_mergejoin = off', 'enable_nestloop = off']) AS setting \gexec
SET work_mem = '768MB';

CREATE TABLE bench.as_nhs_number (number nhs_number NOT NULL) WITH (autovacuum_enabled = off);
CREATE TABLE bench.as_bigint (number bigint NOT NULL) WITH (autovacuum_enabled = off);
CREATE TABLE bench.as_integer (number integer NOT NULL) WITH (autovacuum_enabled = off);
CREATE TABLE bench.as_text (
	number text COLLATE "C" NOT NULL
		CHECK (CASE WHEN octet_length(number) = 10 AND translate(number, '0123456789', '') = '' THEN
			(CAST(number AS bigint)
				+ 3 * (CAST(number AS bigint) / 10 - CAST(number AS bigint) / 1000000000)
				+ 5 * (CAST(number AS bigint) / 100 - CAST(number AS bigint) / 100000000)
				+ 4 * (CAST(number AS bigint) / 10000000 - CAST(number AS bigint) / 1000)
				+ 2 * (CAST(number AS bigint) / 1000000 - CAST(number AS bigint) / 10000)) % 11 = 0
			ELSE false END)
) WITH (autovacuum_enabled = off);

-- In random order, spread over the range.
CREATE TABLE bench.person AS
	SELECT bench.ten_digits(9 * n) AS number FROM generate_series(1, :persons) AS n ORDER BY hashint8(n);
SELECT format('COPY (SELECT number FROM bench.person) TO %L', :'ten_digits') \gexec
SELECT format('COPY (SELECT number / 10 FROM bench.person) TO %L', :'nine_digits') \gexec

CREATE TABLE bench.shuffled_bigint AS SELECT number FROM bench.person ORDER BY hashint8extended(number, 1);
CREATE TABLE bench.shuffled_nhs_number AS SELECT CAST(number AS nhs_number) AS number FROM bench.shuffled_bigint;
CREATE TABLE bench.shuffled_integer AS SELECT CAST(number / 10 AS integer) AS number FROM bench.shuffled_bigint;
CREATE TABLE bench.shuffled_text AS SELECT CAST(number AS text) COLLATE "C" AS number FROM bench.shuffled_bigint;
DROP TABLE bench.person;
VACUUM ANALYZE bench.shuffled_nhs_number, bench.shuffled_bigint, bench.shuffled_integer, bench.shuffled_text;
SELECT pg_stat_reset();

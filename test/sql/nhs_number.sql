--
-- The type nhs_number as SQL shows it: what goes in and out, what is refused
-- and how, and that indexes, joins and sorts use it.
--
-- Messages without the lines of COPY or of a function around them.
\set SHOW_CONTEXT never

-- What a statement's error looks like to a program.
CREATE FUNCTION pg_temp.error_of(statement text,
	OUT state text, OUT message text, OUT detail text, OUT hint text, OUT violated text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, violated = CONSTRAINT_NAME;
END $$;

--
-- Text in and out
--
SELECT value::nhs_number, nhs_number_format(value::nhs_number), nhs_number_region(value::nhs_number)
FROM unnest(ARRAY['9990000018', '999 000 0026', '999-000-0034', E' \t\n\x0B\f\r9990000042 ',
	'0607230002', '3200000015', '4000000632', '5000000005', '8000000008', '9000000009']) value;

-- An error says which rule broke and does not repeat the value.
SELECT '999 000 0019'::nhs_number;
SELECT nhs_number '9990000000';
SELECT quote_literal(value) AS value, state, message, detail
FROM unnest(ARRAY['', '  ', 'nine', '999.000.0018', '999000001', '99900000180',
	'999 0000018', '999-000 0018', '9990000000', '9990000019']) value,
	pg_temp.error_of(format('SELECT %L::nhs_number', value));

-- Every problem, as text instead of an error; NULL is none of them.
SELECT quote_literal(value) AS value, nhs_number_is_valid(value), nhs_number_try(value),
	nhs_number_problem(value)
FROM unnest(ARRAY['999 000 0018', '', 'nine', '999000001', '999 0000018', '9990000000',
	'9990000019', NULL]) value;

--
-- Casts
--
SELECT '9990000018'::text::nhs_number, '9990000018'::varchar::nhs_number,
	nhs_number '9990000018'::text AS text;
SELECT 9990000018::nhs_number, nhs_number '9990000018'::bigint AS bigint,
	nhs_number '0607230002'::bigint AS leading_zero, 1112223304::bigint::nhs_number;
-- Zeros are not guessed: not in front of an integer, whatever it would make.
SELECT value, state, message, detail, hint
FROM unnest(ARRAY[0, 607230002, 999999999, 10000000000, -9990000018,
	9223372036854775807, 9990000000, 9990000019]) value,
	pg_temp.error_of(format('SELECT %L::bigint::nhs_number', value));
-- Nothing is converted unasked, either way.
CREATE TEMP TABLE plain (number nhs_number, big bigint);
SELECT statement, state, message
FROM unnest(ARRAY[
	'INSERT INTO plain (number) VALUES (9990000018)',
	'INSERT INTO plain (number) SELECT text ''9990000018''',
	'INSERT INTO plain (big) SELECT nhs_number ''9990000018''',
	'SELECT FROM plain WHERE number = 9990000018',
	'SELECT FROM plain WHERE number = text ''9990000018''',
	'SELECT 999000001::integer::nhs_number',
	'SELECT nhs_number ''9990000018''::integer',
	'SELECT nhs_number ''9990000018'' + 1',
	'INSERT INTO plain (number) VALUES (''999-000-0018'')']) statement,
	pg_temp.error_of(statement);
TABLE plain;
SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod FROM pg_cast
WHERE 'nhs_number'::regtype IN (castsource, casttarget) ORDER BY 1;

--
-- Placeholders, synthetic numbers, domains
--
SELECT n AS digit, nhs_number_is_valid(repeat(n::text, 10)),
	nhs_number_is_placeholder(repeat(n::text, 10)::nhs_number)
FROM generate_series(0, 9) n;
SELECT nhs_number_is_placeholder('9990000018'), nhs_number_is_placeholder('9876543210');

SELECT n, nhs_number_synthetic(n), nhs_number_region(nhs_number_synthetic(n))
FROM unnest(ARRAY[1, 2, 3, 909090, 909091, NULL]) n;
SELECT n, state, message, detail
FROM unnest(ARRAY[0, -1, -2147483648, 909092, 2147483647]) n,
	pg_temp.error_of(format('SELECT nhs_number_synthetic(%s)', n));
SELECT count(DISTINCT s), bool_and(nhs_number_try(s::text) = s) AS valid,
	bool_and(s > previous IS NOT FALSE) AS ascending
FROM (SELECT s, lag(s) OVER (ORDER BY n) AS previous
	FROM generate_series(1, 909091, 101) n, nhs_number_synthetic(n) s) x;

SELECT value, i.state AS issued, i.violated, t.state AS test, t.violated
FROM unnest(ARRAY['4000000004', '4999999994', '6000000006', '7999999997', '3999999993',
	'5000000005', '5999999995', '8000000008', '4444444444', '7777777777', '9990000018',
	'9999999980', '9989999996', '9999999999', '0607230002', NULL]) value,
	pg_temp.error_of(format('SELECT %L::nhs_number_issued', value)) i,
	pg_temp.error_of(format('SELECT %L::nhs_number_test', value)) t;
CREATE TEMP TABLE of_domain (number nhs_number_test);
INSERT INTO of_domain VALUES ('9990000018'), (9990000026::nhs_number);
SELECT state, message, violated
FROM pg_temp.error_of('INSERT INTO of_domain SELECT nhs_number ''4000000632''');
TABLE of_domain ORDER BY number;

--
-- COPY, as text and in binary
--
CREATE TEMP TABLE number (number nhs_number);
COPY number FROM stdin;
9990000018
999 000 0026
999-000-0034
\N
\.
COPY number FROM stdin;
9990000042
9990000043
\.
COPY number TO stdout;
COPY number TO stdout (FORMAT csv, FORCE_QUOTE *);

SELECT value, nhs_number_send(value::nhs_number),
	nhs_number_send(value::nhs_number) = int8send(value::bigint) AS as_int8
FROM unnest(ARRAY['0000000000', '0607230002', '9990000018', '9999999999']) value;

\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/nhs_number.bin'
COPY number TO :'file' (FORMAT binary);
CREATE TEMP TABLE number_back (LIKE number);
COPY number_back FROM :'file' (FORMAT binary);
SELECT number, count(*) FILTER (WHERE original) AS original, count(*) FILTER (WHERE NOT original) AS back
FROM (SELECT *, true AS original FROM number UNION ALL SELECT *, false FROM number_back) x
GROUP BY number ORDER BY number;

-- Binary input is judged too: wrong values, then a wrong width.
CREATE PROCEDURE pg_temp.copy_binary(file text, value text, type text,
	INOUT state text = NULL, INOUT message text = NULL, INOUT detail text = NULL)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('COPY (SELECT %L::%s) TO %L (FORMAT binary)', value, type, file);
	TRUNCATE number_back;
	SELECT e.state, e.message, e.detail INTO state, message, detail
	FROM pg_temp.error_of(format('COPY number_back FROM %L (FORMAT binary)', file)) e;
END $$;
CALL pg_temp.copy_binary(:'file', '9990000018', 'bigint');
TABLE number_back;
CALL pg_temp.copy_binary(:'file', '9990000019', 'bigint');
CALL pg_temp.copy_binary(:'file', '9990000000', 'bigint');
CALL pg_temp.copy_binary(:'file', '10000000000', 'bigint');
CALL pg_temp.copy_binary(:'file', '-1', 'bigint');
CALL pg_temp.copy_binary(:'file', '999000001', 'integer');
CALL pg_temp.copy_binary(:'file', '\x0000000253734d9200', 'bytea');
TABLE number_back;

--
-- In the catalogue
--
SELECT typlen, typbyval, typalign, typstorage, pg_column_size(nhs_number '9990000018')
FROM pg_type WHERE oid = 'nhs_number'::regtype;

-- Comparisons are leakproof, and nothing that could tell of a value by an error is.
SELECT p.oid::regprocedure, proleakproof AS leakproof, provolatile AS volatile,
	proparallel AS parallel, proisstrict AS strict
FROM pg_proc p JOIN pg_depend d ON classid = 'pg_proc'::regclass AND objid = p.oid
	AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis')
WHERE proname ~ '^nhs_number' ORDER BY proleakproof DESC, proname;

SELECT oprname, oprcode, proleakproof, oprcanmerge, oprcanhash, c.commutator, oprrest, oprjoin
FROM pg_operator o JOIN pg_proc p ON p.oid = oprcode,
	LATERAL (SELECT oprname AS commutator FROM pg_operator WHERE oid = o.oprcom) c
WHERE oprleft = 'nhs_number'::regtype ORDER BY oprname;

SELECT opcname, amname, opcdefault, amvalidate(o.oid)
FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod
WHERE opcintype = 'nhs_number'::regtype ORDER BY amname;

--
-- Comparing and sorting
--
SELECT l < r AS lt, l <= r AS le, l = r AS eq, l <> r AS ne, l >= r AS ge, l > r AS gt,
	nhs_number_cmp(l, r)
FROM (VALUES (nhs_number '9990000018', nhs_number '9990000026'),
	('9990000026', '9990000018'), ('999 000 0018', '999-000-0018'),
	('0607230002', '9999999999')) x (l, r);
SELECT nhs_number_hash(l) = nhs_number_hash(r) AS hash,
	nhs_number_hash_extended(l, 42) = nhs_number_hash_extended(r, 42) AS hash_extended
FROM (VALUES (nhs_number '9990000018', nhs_number '999-000-0018'),
	('9990000018', '9990000026')) x (l, r);

CREATE TEMP TABLE child (number nhs_number, n integer);
INSERT INTO child SELECT nhs_number_synthetic(n), n FROM generate_series(1, 5000) n;
INSERT INTO child VALUES ('0607230002', 0), ('4000000632', 0), (NULL, 0), ('999 000 0018', 1);
ANALYZE child;
SELECT min(number), max(number), count(number), count(DISTINCT number) FROM child;
SELECT min(number), max(number) FROM child WHERE false;
SELECT DISTINCT number FROM child WHERE n <= 3 ORDER BY number DESC NULLS LAST;
SELECT array_agg(number ORDER BY number) = array_agg(number ORDER BY number::text COLLATE "C")
	AS in_order_of_digits FROM child;

--
-- Plans
--
SET enable_seqscan = off;
SET enable_bitmapscan = off;
CREATE INDEX child_btree ON child (number);
VACUUM ANALYZE child;
EXPLAIN (COSTS OFF) SELECT number FROM child WHERE number = '999 000 0026';
SELECT number FROM child WHERE number = '999 000 0026';
EXPLAIN (COSTS OFF) SELECT number FROM child WHERE number BETWEEN '9990000018' AND '9990000042';
SELECT number FROM child WHERE number BETWEEN '9990000018' AND '9990000042';
EXPLAIN (COSTS OFF) SELECT number FROM child ORDER BY number DESC LIMIT 1;
EXPLAIN (COSTS OFF) SELECT number FROM child WHERE number = ANY ('{9990000018,9990000026}');

-- Beneath a security barrier the index serves only a leakproof operator.
CREATE TEMP VIEW child_barrier WITH (security_barrier) AS SELECT * FROM child WHERE n % 2 = 0;
EXPLAIN (COSTS OFF) SELECT * FROM child_barrier WHERE number = '9990000026';
SELECT * FROM child_barrier WHERE number = '9990000026';
SELECT * FROM child_barrier WHERE number = '9990000034';
DROP INDEX child_btree;

CREATE INDEX child_hash ON child USING hash (number);
EXPLAIN (COSTS OFF) SELECT * FROM child WHERE number = '9990000026';
SELECT * FROM child WHERE number = '9990000026';
DROP INDEX child_hash;

SET enable_bitmapscan = on;
CREATE INDEX child_brin ON child USING brin (number) WITH (pages_per_range = 1);
EXPLAIN (COSTS OFF) SELECT * FROM child WHERE number > '9990050007' AND number <= '9990050031';
SELECT * FROM child WHERE number > '9990050007' AND number <= '9990050031';
SELECT * FROM child WHERE number = '4000000632';
DROP INDEX child_brin;
RESET enable_seqscan;

SET enable_hashjoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM child a JOIN child b USING (number);
SELECT count(*) FROM child a JOIN child b USING (number);
SET enable_hashjoin = on;
SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM child a JOIN child b USING (number);
SELECT count(*) FROM child a JOIN child b USING (number);
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_nestloop;

-- A unique index, and partitions by hash (hash_extended) and by range.
CREATE TEMP TABLE one_each (number nhs_number PRIMARY KEY);
INSERT INTO one_each VALUES ('9990000018');
SELECT state, violated FROM pg_temp.error_of('INSERT INTO one_each VALUES (''999-000-0018'')');
CREATE TEMP TABLE hashed (number nhs_number) PARTITION BY HASH (number);
CREATE TEMP TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TEMP TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT number FROM child;
SELECT count(*) = 5004 AS all_there, count(DISTINCT tableoid) AS partitions FROM hashed;
CREATE TEMP TABLE ranged (number nhs_number) PARTITION BY RANGE (number);
CREATE TEMP TABLE ranged_999 PARTITION OF ranged FOR VALUES FROM ('9990000018') TO (MAXVALUE);
INSERT INTO ranged VALUES ('9990000018');
SELECT state FROM pg_temp.error_of('INSERT INTO ranged VALUES (''4000000632'')');

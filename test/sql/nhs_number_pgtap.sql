--
-- Which texts are NHS numbers: one line a case, for every way in that takes
-- text.
--
\set QUIET on
\pset format unaligned
\pset tuples_only on

-- Rolled back at the end, pgTAP too.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;

-- The number that a cast from text makes, or the first words of why it is not.
CREATE FUNCTION outcome(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN value::nhs_number;
EXCEPTION WHEN invalid_text_representation THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN detail;
END $$;

-- Short names for the sentences of the errors.
CREATE TABLE problem (name text PRIMARY KEY, detail text);
INSERT INTO problem VALUES
	('empty', 'The value is empty.'),
	('character', 'An NHS number has only digits, single spaces and single hyphens.'),
	('length', 'An NHS number has ten digits.'),
	('grouping', 'The digits of an NHS number stand together or in groups of 3, 3 and 4, separated alike.'),
	('never issued', 'The first nine digits have no valid check digit, so this number is never issued.'),
	('check digit', 'The tenth digit is not the check digit of the first nine.');

CREATE TABLE example (
	id integer GENERATED ALWAYS AS IDENTITY,
	value text,
	expected text,		-- ten digits, or a name of problem
	why text
);

INSERT INTO example (value, expected, why)
SELECT value, value, 'published as valid'
FROM unnest(ARRAY['9434765919', '9990000018', '9990000026', '9990000034', '9990000042',
	'9990000050', '9990000069', '9876543210', '4000000632', '0607230002', '1112223304',
	'2983396363', '9000000009', '9449305552', '9449310378', '9730675929', '4010232137']) value;

INSERT INTO example (value, expected, why)
SELECT repeat(digit::text, 10), repeat(digit::text, 10), 'placeholder, passes the check'
FROM generate_series(0, 9) digit;

INSERT INTO example (value, expected, why) VALUES
	('1234567890', 'never issued', 'published as an example, invalid'),
	('9876544321', 'check digit', 'published as an example, invalid'),
	('9991234560', 'never issued', 'published as an example, invalid'),
	('9912003899', 'check digit', 'published as an example, invalid');

INSERT INTO example (value, expected, why)
SELECT nine || tenth, 'never issued', 'no tenth digit fits'
FROM unnest(ARRAY['400000008', '400000011', '400000025', '400000087', '999000000']) nine,
	unnest(ARRAY[0, 1, 9]) tenth;

INSERT INTO example (value, expected, why)
SELECT '999000001' || tenth, CASE tenth WHEN 8 THEN '9990000018' ELSE 'check digit' END,
	'only one tenth digit fits'
FROM generate_series(0, 9) tenth;

INSERT INTO example (value, expected, why) VALUES
	('999 000 0018', '9990000018', 'single spaces'),
	('999-000-0018', '9990000018', 'single hyphens'),
	('060 723 0002', '0607230002', 'leading zero, grouped'),
	('000-000-0019', '0000000019', 'leading zeros, grouped'),
	('999 000-0018', 'grouping', 'two kinds of separator'),
	('999-000 0018', 'grouping', 'two kinds of separator'),
	('999 0000018', 'grouping', 'one separator'),
	('999000 0018', 'grouping', 'one separator'),
	('999-0000018', 'grouping', 'one separator'),
	('999000-0018', 'grouping', 'one separator'),
	('99900 00018', 'grouping', 'one separator, in the middle'),
	('999  000 0018', 'grouping', 'double space'),
	('999--000--0018', 'grouping', 'double hyphens'),
	('999 - 000 - 0018', 'grouping', 'hyphens with spaces'),
	('999000  0018', 'grouping', 'both separators in one place'),
	('99 9000 0018', 'grouping', '2-4-4'),
	('9990 000 018', 'grouping', '4-3-3'),
	('999 0000 018', 'grouping', '3-4-3'),
	('999 00 00018', 'grouping', '3-2-5'),
	('99 90 00 00 18', 'grouping', 'pairs'),
	('9 9 9 0 0 0 0 0 1 8', 'grouping', 'digit by digit'),
	('999 000 001 8', 'grouping', 'a separator too many'),
	('-9990000018', 'grouping', 'hyphen in front'),
	('9990000018-', 'grouping', 'hyphen behind'),
	('-999-000-0018', 'grouping', 'hyphen in front of groups'),
	('999-000-0018-', 'grouping', 'hyphen behind groups'),
	('- 9990000018', 'grouping', 'hyphen and space in front'),
	('999 000 0019', 'check digit', 'grouped, wrong'),
	('999-000-0000', 'never issued', 'grouped, never issued'),

	(' 9990000018', '9990000018', 'space in front'),
	('9990000018 ', '9990000018', 'space behind'),
	('   9990000018   ', '9990000018', 'spaces around'),
	(E'\t9990000018', '9990000018', 'tab'),
	(E'9990000018\n', '9990000018', 'line feed'),
	(E'9990000018\r\n', '9990000018', 'carriage return, line feed'),
	(E'\x0B9990000018', '9990000018', 'vertical tab'),
	(E'9990000018\f', '9990000018', 'form feed'),
	(E' \t\n\x0B\f\r999-000-0018\r\f\x0B\n\t ', '9990000018', 'all white space around groups'),
	(E' \t9990000019\n', 'check digit', 'white space around a wrong one'),
	(E'999\t000\t0018', 'character', 'tabs between groups'),
	(E'999\n000\n0018', 'character', 'line feeds between groups'),
	(E'99900\t00018', 'character', 'tab inside'),
	(E'\b9990000018', 'character', 'backspace in front'),
	(E'9990000018\x1b', 'character', 'escape behind'),
	(E'9990000018\x7f', 'character', 'delete behind'),
	(U&'\00A09990000018', 'character', 'no-break space in front'),
	(U&'9990000018\2003', 'character', 'em space behind'),
	(U&'9990000018\200B', 'character', 'zero-width space behind'),
	(U&'\FEFF9990000018', 'character', 'byte order mark in front'),
	(U&'999\00A0000\00A00018', 'character', 'no-break spaces between groups'),
	(U&'\00859990000018', 'character', 'next line in front'),

	('', 'empty', 'empty'),
	(' ', 'empty', 'a space'),
	(E' \t\n\x0B\f\r', 'empty', 'all white space'),
	('-', 'length', 'a hyphen'),
	('0', 'length', '1 digit'),
	('999000001', 'length', '9 digits'),
	('99900000180', 'length', '11 digits'),
	('09990000018', 'length', 'zero in front'),
	('999 000 001', 'length', '9 digits, grouped'),
	('999 000 00018', 'length', '11 digits, grouped'),
	('99-000-0018', 'length', '9 digits, grouped'),
	('607230002', 'length', 'leading zero lost'),
	('----------', 'length', 'ten hyphens'),
	('--- --- ----', 'length', 'groups of hyphens'),
	(repeat('9990000018', 2), 'length', 'two numbers'),
	('9990000018 9990000026', 'length', 'two numbers with a space'),
	(repeat('9', 100000), 'length', '100,000 digits'),
	(repeat(' ', 100000) || '9990000018', '9990000018', '100,000 spaces in front'),

	('x', 'character', 'a letter'),
	('none', 'character', 'letters'),
	('NULL', 'character', 'NULL spelt out'),
	('999000001x', 'character', 'letter for the tenth digit'),
	('999000001X', 'character', 'X as check digit ten'),
	('99900000l8', 'character', 'l for 1'),
	('999OOOOO18', 'character', 'O for 0'),
	('x9990000018', 'character', 'letter in front'),
	('9990000018x', 'character', 'letter behind'),
	('NHS 999 000 0018', 'character', 'name in front'),
	('+9990000018', 'character', 'plus'),
	('+990000018', 'character', 'plus for the first digit'),
	('9.99000002e9', 'character', 'floating point'),
	('0x253740D52', 'character', 'hexadecimal'),
	('9_990_000_018', 'character', 'underscores'),
	('9,990,000,018', 'character', 'commas'),
	('999.000.0018', 'character', 'full stops'),
	('999/000/0018', 'character', 'slashes'),
	('999:000:0018', 'character', 'colons'),
	('"9990000018"', 'character', 'in quotes'),
	('''9990000018''', 'character', 'in apostrophes'),
	('9990000018;', 'character', 'semicolon behind'),
	(U&'999\2010000\20100018', 'character', 'typographic hyphens'),
	(U&'999\2013000\20130018', 'character', 'en dashes'),
	(U&'999\2212000\22120018', 'character', 'minus signs'),
	(U&'999\00AD000\00AD0018', 'character', 'soft hyphens'),
	(U&'\FF19\FF19\FF19\FF10\FF10\FF10\FF10\FF10\FF11\FF18', 'character', 'fullwidth digits'),
	(U&'\0669\0669\0669\0660\0660\0660\0660\0660\0661\0668', 'character', 'Arabic-Indic digits'),
	(U&'\0669\0669\0669\0660\0660', 'character', 'Arabic-Indic digits of ten bytes'),
	(U&'99900000\00B98', 'character', 'superscript digit'),
	(U&'99900000\+01D7CF8', 'character', 'mathematical digit'),

	('9990000108', 'check digit', 'neighbours swapped'),
	('9909000018', 'check digit', 'neighbours swapped'),
	('9990000081', 'check digit', 'last two swapped'),
	('0607230020', 'check digit', 'last two swapped'),
	('9434756919', 'never issued', 'neighbours swapped'),
	('9434765991', 'check digit', 'last two swapped'),
	('4434765919', 'check digit', 'one digit changed'),
	('9434765910', 'check digit', 'tenth digit changed');

SELECT plan(count(*)::integer + 10) FROM example;

SELECT is(outcome(value), coalesce(detail, expected),
	format('%s: %s', why, CASE WHEN value ~ '^[!-~]([ -~]{0,38}[!-~])?$' THEN value ELSE '...' END))
FROM example LEFT JOIN problem ON name = expected ORDER BY id;

-- The other ways to ask say the same of each.
SELECT is_empty('SELECT why, value FROM example LEFT JOIN problem ON name = expected
	WHERE nhs_number_is_valid(value) <> (detail IS NULL)',
	'nhs_number_is_valid says the same');
SELECT is_empty('SELECT why, value FROM example LEFT JOIN problem ON name = expected
	WHERE nhs_number_problem(value) IS DISTINCT FROM detail',
	'nhs_number_problem says the same');
SELECT is_empty('SELECT why, value FROM example LEFT JOIN problem ON name = expected
	WHERE nhs_number_try(value)::text IS DISTINCT FROM CASE WHEN detail IS NULL THEN expected END',
	'nhs_number_try says the same');
SELECT set_eq('SELECT DISTINCT nhs_number_problem(value) FROM example
	WHERE NOT nhs_number_is_valid(value)', 'SELECT detail FROM problem',
	'every problem has an example');
SELECT results_eq('SELECT nhs_number_is_valid(NULL), nhs_number_problem(NULL), nhs_number_try(NULL)',
	'VALUES (NULL::boolean, NULL::text, NULL::nhs_number)', 'NULL is NULL');

-- What went in comes out of every form again.
SELECT is_empty('SELECT value FROM example, nhs_number_try(value) n
	WHERE (nhs_number_format(n)::nhs_number, n::text::nhs_number) <> (n, n)',
	'the printed forms are valid and mean the same number');
SELECT is_empty('SELECT value FROM example, nhs_number_try(value) n
	WHERE CASE WHEN n::text !~ ''^0'' THEN n::bigint::nhs_number <> n END',
	'the integer means the same number');

SELECT throws_ok('SELECT ''9990000019''::nhs_number', '22P02',
	'invalid input syntax for type nhs_number', 'the error does not repeat the value');

-- 16 brought errors that are returned; before that there is nothing to test.
CREATE FUNCTION returns_error(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	IF pg_version_num() < 160000 THEN
		RETURN outcome(value);
	END IF;
	EXECUTE 'SELECT detail FROM pg_input_error_info($1, ''nhs_number'')' INTO answer USING value;
	RETURN coalesce(answer, value::nhs_number::text);
END $$;
SELECT is_empty('SELECT value FROM example LEFT JOIN problem ON name = expected
	WHERE returns_error(value) IS DISTINCT FROM coalesce(detail, expected)',
	'an error asked for is returned, not raised');
SELECT is_empty('SELECT detail FROM problem WHERE detail ~ ''\d{3}''',
	'no problem text holds digits of a number');

SELECT * FROM finish();
ROLLBACK;

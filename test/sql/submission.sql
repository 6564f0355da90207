-- What authorities send: each rule, and what becomes of the register.
CREATE EXTENSION pgtap;
SELECT plan(187);
SET client_min_messages = warning;

INSERT INTO cpis.local_authority VALUES
	('E06000071', 'Sends One', NULL, '01632 960071'), ('E06000072', 'Sends Two', NULL, '01632 960072');
INSERT INTO cpis.organisation VALUES ('RSUB', 'SUBMISSION TRUST');
CREATE ROLE sends_one IN ROLE cpis_local_authority;
CREATE ROLE sends_two IN ROLE cpis_local_authority;
CREATE ROLE sends_none IN ROLE cpis_local_authority;
CREATE ROLE sends_heir IN ROLE sends_one;
CREATE ROLE sends_outsider;
GRANT ALL ON SCHEMA public TO sends_one, sends_two, sends_none, sends_outsider;
SELECT count(cpis_scope_grant(role, local_authority => authority)) FROM (VALUES ('sends_one', 'E06000071'), ('sends_two', 'E06000072')) AS v (role, authority);
CREATE FUNCTION today(days integer = 0) RETURNS text LANGUAGE sql VOLATILE AS $$SELECT to_char((clock_timestamp() AT TIME ZONE 'Europe/London')::date + days, 'YYYY-MM-DD')$$;
CREATE FUNCTION number(n integer) RETURNS text LANGUAGE sql AS $$SELECT nhs_number_synthetic(71000 + n)::text$$;

-- Send records, fields separated by commas, and show the answer: to the file, and to each record.
CREATE FUNCTION send(kind text, VARIADIC records text[] = '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	id bigint := cpis_submission_open(CASE WHEN pg_has_role('sends_two', 'MEMBER') AND NOT pg_has_role('sends_one', 'MEMBER') THEN 'E06000072' ELSE 'E06000071' END, kind);
	file record;
BEGIN
	INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, local_reference)
		SELECT f[1], f[2], f[3], f[4], f[5], f[6], f[7] FROM unnest(records) WITH ORDINALITY AS r (line, n), string_to_array(line, ',') f ORDER BY n;
	SELECT * INTO file FROM cpis_submission_apply();
	RETURN format('%s %s %s %s%s:', file.file_code, file.accepted, file.rejected, file.ended, COALESCE(' ' || file.detail_code, ''))
		|| (SELECT COALESCE(string_agg(' ' || concat_ws('/', a.record_code, a.detail_code, a.field), '' ORDER BY a.line_no), '') FROM cpis_submission_answer(id) a);
END $$;
-- What becomes of a statement.
CREATE FUNCTION becomes_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION
	WHEN OTHERS THEN RETURN sqlstate;
END $$;
-- The plans of a number, as the register has them.
CREATE FUNCTION plans(n integer) RETURNS text LANGUAGE sql SECURITY DEFINER SET datestyle = 'ISO' AS $$
	SELECT COALESCE(string_agg(concat_ws(' ', right(local_authority, 1), plan_type, start_date, COALESCE(end_date::text, '-'), COALESCE(delete_date::text, '-'), local_reference), '; ' ORDER BY local_authority, plan_type, start_date), '')
	FROM cpis.plan WHERE nhs_number = nhs_number_synthetic(71000 + n)
$$;
-- What becomes of a file while the demographics function has this search_path.
CREATE FUNCTION path_is(path text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN ': ' || send('delta', number(63) || ',lac,2026-01-01');
EXCEPTION
	WHEN OTHERS THEN RETURN ': ' || sqlstate;
END $$;
-- How many plans a look-up finds.
CREATE FUNCTION found(n integer) RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(71000 + n), 'A Nurse', 'RSUB', 'ambulance')
$$;
GRANT pg_read_all_settings TO sends_one;

-- Each rule of a record by itself: what is answered.
SET ROLE sends_one;
SELECT is(send('delta', record), answer, regexp_replace(record, '\d{4}-\d\d-\d\d', 'day', 'g')) FROM (VALUES
	(number(1) || ',child_protection,2026-03-01', 'CPF02 1 0 0: CPR06'),
	(nhs_number_format(number(1)::nhs_number) || ',CPP,20260301', 'CPF02 1 0 0: CPR06'),
	(' ' || number(2) || ' , lac , 2026-03-01 ,,,, R 2 ', 'CPF02 1 0 0: CPR06'),
	('', 'CPF04 0 1 0: CPR04/nhs_number_missing/nhs_number'),
	('12345,child_protection,2026-03-01', 'CPF04 0 1 0: CPR04/nhs_number_format/nhs_number'),
	('9990000019,child_protection,2026-03-01', 'CPF04 0 1 0: CPR04/nhs_number_check_digit/nhs_number'),
	('9999999999,child_protection,2026-03-01', 'CPF04 0 1 0: CPR04/nhs_number_placeholder/nhs_number'),
	(number(3) || ',,2026-03-01', 'CPF04 0 1 0: CPR07/plan_type_missing/plan_type'),
	(number(3) || ',plan,2026-03-01', 'CPF04 0 1 0: CPR07/plan_type_unknown/plan_type'),
	(number(3) || ',lac', 'CPF04 0 1 0: CPR07/start_date_missing/start_date'),
	(number(3) || ',lac,1/3/2026', 'CPF04 0 1 0: CPR07/start_date_format/start_date'),
	(number(3) || ',lac,2026-02-30', 'CPF04 0 1 0: CPR07/start_date_format/start_date'),
	(number(3) || ',lac,1901-01-01', 'CPF04 0 1 0: CPR07/start_date_range/start_date'),
	(number(3) || ',lac,2026-03-01,x', 'CPF04 0 1 0: CPR07/end_date_format/end_date'),
	(number(3) || ',lac,2026-03-01,9999-12-31', 'CPF04 0 1 0: CPR07/end_date_range/end_date'),
	(number(3) || ',lac,2026-03-01,2026-02-28', 'CPF04 0 1 0: CPR07/end_before_start/end_date'),
	(number(3) || ',lac,2026-03-01,,x', 'CPF04 0 1 0: CPR07/delete_date_format/delete_date'),
	(number(3) || ',lac,2026-03-01,,1900-01-01', 'CPF04 0 1 0: CPR07/delete_date_range/delete_date'),
	(number(3) || ',lac,2026-03-01,,,x', 'CPF04 0 1 0: CPR07/date_of_birth_format/date_of_birth'),
	(number(3) || ',lac,2026-03-01,,,1850-01-01', 'CPF04 0 1 0: CPR07/date_of_birth_range/date_of_birth'),
	(number(3) || ',lac,2026-03-01,,,' || today(1), 'CPF04 0 1 0: CPR07/date_of_birth_range/date_of_birth'),
	(number(3) || ',lac,2026-03-01,,,2026-03-02', 'CPF04 0 1 0: CPR07/start_before_birth/start_date'),
	(number(3) || ',lac,2026-03-01,,,2001-01-01', 'CPF04 0 1 0: CPR07/over_eighteen/date_of_birth'),
	(number(3) || ',ucpp,2026-03-01,,,2001-01-01', 'CPF02 1 0 0: CPR06'),
	(number(4) || ',lac,2026-03-01,,,,' || repeat('x', 65), 'CPF04 0 1 0: CPR07/local_reference_length/local_reference'),
	(number(4) || ',lac,2026-03-01,,,,a' || chr(9) || 'b', 'CPF04 0 1 0: CPR07/local_reference_text/local_reference'),
	(number(4) || ',lac,2026-03-01,,,,' || repeat('x', 64), 'CPF02 1 0 0: CPR06'),
	(number(5) || ',lac,2020-03-01,2021-01-01', 'CPF04 0 1 0: CPR07/not_held/end_date'),
	(number(5) || ',lac,2020-03-01,' || today(-366), 'CPF04 0 1 0: CPR07/not_held/end_date'),
	(number(5) || ',lac,2020-03-01,' || today(-365), 'CPF02 1 0 0: CPR06'),
	(number(6) || ',lac,2026-03-01,,' || today(), 'CPF04 0 1 0: CPR07/not_held/delete_date'),
	(number(6) || ',lac,2026-03-01,,' || today(1), 'CPF02 1 0 0: CPR06'),
	(number(7) || ',lac,2027-03-01', 'CPF02 1 0 0: CPR06')) AS v (record, answer);
-- Over eighteen on the day, not on the day before; what ends is let by.
SELECT is(send('delta', number(8) || ',lac,2010-01-01,,,' || to_char(today(1)::date - interval '18 years', 'YYYY-MM-DD')), 'CPF02 1 0 0: CPR06', 'seventeen');
SELECT is(send('delta', number(8) || ',lac,2010-01-01,,,' || to_char(today()::date - interval '18 years', 'YYYY-MM-DD')), 'CPF04 0 1 0: CPR07/over_eighteen/date_of_birth', 'eighteen');
SELECT is(send('delta', number(8) || ',lac,2010-01-01,' || today() || ',,' || to_char(today()::date - interval '18 years', 'YYYY-MM-DD')), 'CPF02 1 0 0: CPR06', 'eighteen, and it ends');

-- One bad record never stops the file; of two for one plan the first counts.
SELECT is(send('delta', number(10) || ',lac,2026-01-01,,,,A', 'x', number(10) || ',cpp,2026-01-01,,,,B', number(10) || ',LAC,20260101,,,,C', number(10) || ',lac,2026-01-02,,,,D'),
	'CPF03 3 2 0: CPR06 CPR04/nhs_number_format/nhs_number CPR06 CPR07/duplicate/start_date CPR06', 'some loaded, some rejected');
SELECT is(plans(10), '1 child_protection 2026-01-01 - - B; 1 looked_after 2026-01-01 - - A; 1 looked_after 2026-01-02 - - D', 'and which');
SELECT is(send('delta', number(10) || ',lac,2026-01-03,2020-01-01', number(10) || ',lac,2026-01-03,,,,E'), 'CPF03 1 1 0: CPR07/end_before_start/end_date CPR06', 'one that is wrong is no double');
-- The value is kept as it was sent.
SELECT is((SELECT string_agg(concat_ws('|', line_no, value, local_reference), ' ') FROM cpis_submission_answer((SELECT max(submission_id) FROM cpis_submission_open('E06000071') AS o (submission_id)) - 1, true)), '1|2020-01-01', 'line and value as sent');

-- The plan becomes what was sent; the same again changes nothing.
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,,,,A'), 'CPF02 1 0 0: CPR06', 'new');
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,,,,A'), 'CPF02 1 0 0: CPR06', 'the same again');
RESET ROLE;
SELECT is(split_part(split_part(detail, 'ended: 0, ', 2), ', root', 1), 'added: 0, changed: 0, shortened: 0, unchanged: 1', 'changes nothing') FROM cpis.audit_event WHERE action = 'submission' ORDER BY event_id DESC LIMIT 1;
SELECT is(found(11), 1::bigint, 'it is found');
SET ROLE sends_one;
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,' || today() || ',,,A'), 'CPF02 1 0 0: CPR06', 'ends');
SELECT is(plans(11), '1 child_protection 2026-01-01 ' || today() || ' - A', 'has ended');
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,' || today(-3) || ',,,B'), 'CPF02 1 0 0: CPR06', 'ended earlier, another reference');
SELECT is(plans(11), '1 child_protection 2026-01-01 ' || today(-3) || ' - B', 'is so');
RESET ROLE;
SELECT is(split_part(split_part(detail, 'ended: 0, ', 2), ', root', 1), 'added: 0, changed: 1, shortened: 1, unchanged: 0', 'recorded as shortened') FROM cpis.audit_event WHERE action = 'submission' ORDER BY event_id DESC LIMIT 1;
SET ROLE sends_one;
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,,,,B'), 'CPF02 1 0 0: CPR06', 'it runs after all');
SELECT is(plans(11), '1 child_protection 2026-01-01 - - B', 'and does');
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,2021-01-01,,,B'), 'CPF04 0 1 0: CPR07/end_before_start/end_date', 'a year mistyped');
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,,' || today() || ',,B'), 'CPF02 1 0 0: CPR06', 'added in error: a delete date');
RESET ROLE;
SELECT is(found(11), 0::bigint, 'hides it at once');
SET ROLE sends_one;
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,,' || today() || ',,B'), 'CPF02 1 0 0: CPR06', 'again, while it is there');
SELECT is(send('delta', number(11) || ',cpp,2026-01-01,,,,B'), 'CPF02 1 0 0: CPR06', 'not in error after all');
RESET ROLE;
SELECT is(found(11), 1::bigint, 'shows it again');
-- An end that would hide at once is refused, however the plan came; with a delete date it is meant.
SET ROLE sends_one;
SELECT is(send('delta', number(12) || ',cpp,2020-01-01'), 'CPF02 1 0 0: CPR06', 'runs since long ago');
SELECT is(send('delta', number(12) || ',cpp,2020-01-01,' || today(-366)), 'CPF04 0 1 0: CPR07/not_held/end_date', 'ended too long ago');
SELECT is(send('delta', number(12) || ',cpp,2020-01-01,' || today(-366) || ',' || today()), 'CPF02 1 0 0: CPR06', 'with a delete date');
SELECT is(send('delta', number(12) || ',cpp,2020-01-01,' || today(-366) || ',' || today()), 'CPF02 1 0 0: CPR06', 'again');

-- Only the owner's records: two authorities for one child, and a child that moves.
SELECT is(send('delta', number(13) || ',cpp,2026-01-01,,,,ONE'), 'CPF02 1 0 0: CPR06', 'one authority');
SET ROLE sends_two;
SELECT is(send('delta', number(13) || ',cpp,2026-01-01,2026-06-01,,,TWO'), 'CPF02 1 0 0: CPR06', 'another, same child, kind and start');
SELECT is(plans(13), '1 child_protection 2026-01-01 - - ONE; 2 child_protection 2026-01-01 2026-06-01 - TWO', 'each has its own');
SELECT is(send('full', number(99) || ',cpp,2026-01-01'), 'CPF02 1 0 0: CPR06', 'a full file of the one');
SELECT is(plans(13), '1 child_protection 2026-01-01 - - ONE; 2 child_protection 2026-01-01 2026-06-01 - TWO', 'ends nothing of the other''s');
SET ROLE sends_one;
SELECT is(send('delta', number(13) || ',cpp,2026-01-01,' || today() || ',,,ONE'), 'CPF02 1 0 0: CPR06', 'the child moves: it ends here');
SET ROLE sends_two;
SELECT is(send('delta', number(13) || ',cpp,' || today() || ',,,,TWO'), 'CPF02 1 0 0: CPR06', 'and begins there');
RESET ROLE;
SELECT is(found(13), 3::bigint, 'all are found');
-- An unborn child's plan, on the mother's number, ends at birth; the child's own begins.
SET ROLE sends_one;
SELECT is(send('delta', number(14) || ',ucpp,2026-01-01,,,1990-05-05'), 'CPF02 1 0 0: CPR06', 'unborn: the mother''s number and age');
SELECT is(send('delta', number(14) || ',ucpp,2026-01-01,' || today() || ',,1990-05-05', number(15) || ',cpp,' || today() || ',,,' || today()), 'CPF02 2 0 0: CPR06 CPR06', 'born');
RESET ROLE;
SELECT is(plans(14) || ' | ' || plans(15), format('1 unborn 2026-01-01 %s - | 1 child_protection %s - -', today(), today()), 'nothing leads from one to the other');

-- Full files.
SET ROLE sends_two;
SELECT is(send('delta', number(20) || ',lac,2026-01-01,,,,F20', number(21) || ',lac,2026-01-01,,,,F21', number(22) || ',lac,2026-01-01,,,,F22', number(23) || ',lac,2027-01-01,,,,F23',
	number(24) || ',lac,2026-01-01,' || today(-1) || ',,,F24', number(25) || ',lac,2026-01-01,,,,F25'), 'CPF02 6 0 0: CPR06 CPR06 CPR06 CPR06 CPR06 CPR06', 'what there is');
RESET ROLE;
SET cpis.full_submission_share = 0.2;
SET ROLE sends_two;
-- Running are 99, one of 13, 20 to 23 and 25: seven.
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(20) || ',lac,2026-01-01,,,,F20', number(21) || ',lac,2026-01-01,,,,F21'),
	'CPF01 0 4 0 would_end_too_many: CPR07/file_refused CPR07/file_refused CPR07/file_refused CPR07/file_refused', 'a file that would end too much');
SELECT is(send('full', number(98) || ',cpp,2026-01-01', number(99) || ',cpp,x'), 'CPF01 0 2 0 would_end_too_many: CPR07/file_refused CPR07/start_date_format/start_date', 'what is wrong is told all the same');
SELECT is(plans(22) || plans(98), '2 looked_after 2026-01-01 - - F22', 'changes nothing');
RESET ROLE;
SET cpis.full_submission_share = 0.3;
SET ROLE sends_two;
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(20) || ',lac,2026-01-01,,,,F20', number(21) || ',lac,2026-01-01,,,,F21', number(25) || ',lac,2026-01-01,,,,F25'),
	'CPF02 5 0 2: CPR06 CPR06 CPR06 CPR06 CPR06', 'one that may');
SELECT is(plans(22) || '; ' || plans(23), format('2 looked_after 2026-01-01 %s - F22; 2 looked_after 2027-01-01 2027-01-01 - F23', today()), 'what is absent has ended, none before its start');
SELECT is(plans(24), format('2 looked_after 2026-01-01 %s - F24', today(-1)), 'and what had ended is as it was');
-- A record that is wrong keeps plans from being ended: of its number, of its reference, and else all.
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(20) || ',lac,2026-01-99', 'x,lac,2026-01-01,,,,F21', number(25) || ',lac,2026-01-01,,,,F25'),
	'CPF03 3 2 0: CPR06 CPR06 CPR07/start_date_format/start_date CPR04/nhs_number_format/nhs_number CPR06', 'wrong ones');
SELECT is(plans(20) || '; ' || plans(21), '2 looked_after 2026-01-01 - - F20; 2 looked_after 2026-01-01 - - F21', 'run on');
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(20) || ',lac,2026-01-01,,,,F20', 'x,lac,2026-01-01,,,,F29', number(25) || ',lac,2026-01-01,,,,F25'),
	'CPF03 4 1 0 nothing_ended: CPR06 CPR06 CPR06 CPR04/nhs_number_format/nhs_number CPR06', 'one of which nobody knows whom it means ends nothing');
SELECT is(plans(21), '2 looked_after 2026-01-01 - - F21', 'not even what is absent');
-- Whatever it is rejected for: a number that is inactive, a year mistyped, a number that is another's beside a wrong kind.
RESET ROLE;
SELECT cpis_nhs_number_inactivate(number(26)::nhs_number) > 0 AS inactive;
SET ROLE sends_two;
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(26) || ',lac,2026-01-01,,,,F20', number(21) || ',lac,2016-01-01,2016-03-01', number(25) || ',lac,2026-01-01,,,,F25'),
	'CPF03 3 2 0: CPR06 CPR06 CPR05/nhs_number_inactive/nhs_number CPR07/not_held/end_date CPR06', 'rejected for what the register knows');
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(20) || ',lac,2026-01-01,,,,F20', number(21) || ',lac,2026-01-01,,,,F21', number(25) || ',lac,2026-01-01,,,,F25', number(26) || ',lac,2025-01-01,' || today()),
	'CPF03 5 1 0: CPR06 CPR06 CPR06 CPR06 CPR06 CPR05/nhs_number_inactive/nhs_number', 'an inactive number whose plan has ended is no riddle');
SELECT is(plans(20) || '; ' || plans(21), '2 looked_after 2026-01-01 - - F20; 2 looked_after 2026-01-01 - - F21', 'they run on, by reference and by number');
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(27) || ',cpx,2026-01-01', number(21) || ',lac,2026-01-01,,,,F21', number(25) || ',lac,2026-01-01,,,,F25'),
	'CPF03 4 1 0 nothing_ended: CPR06 CPR06 CPR07/plan_type_unknown/plan_type CPR06 CPR06', 'a number that is nobody''s here');
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', 'x,lac,2026-01-01,,,,F24', number(21) || ',lac,2026-01-01,,,,F21', number(25) || ',lac,2026-01-01,,,,F25'),
	'CPF03 4 1 0 nothing_ended: CPR06 CPR06 CPR04/nhs_number_format/nhs_number CPR06 CPR06', 'the reference of a plan that has ended');
SELECT is(plans(20), '2 looked_after 2026-01-01 - - F20', 'ends nothing');
SELECT is(send('full', number(99) || ',cpp,2026-01-01', number(13) || ',cpp,' || today() || ',,,,TWO', number(28) || ',lac,2016-01-01,2016-03-01', number(20) || ',lac,2026-01-01,,,,F20', number(21) || ',lac,2026-01-01,,,,F21', number(21) || ',lac,2026-01-01,,,,F21', number(25) || ',lac,2026-01-01,,,,F25'),
	'CPF03 5 2 0: CPR06 CPR06 CPR07/not_held/end_date CPR06 CPR06 CPR07/duplicate/start_date CPR06', 'what ended long ago, and doubles, are no riddle');
-- A reference that another plan has, too, and a double that is another child's: the plan that each means runs on.
SELECT is(send('delta', number(32) || ',cpp,2026-01-01', number(32) || ',lac,2026-02-01,,,,R32', number(33) || ',cpp,2026-01-01,,,2020-01-01'), 'CPF02 3 0 0: CPR06 CPR06 CPR06', 'more plans');
RESET ROLE;
SET cpis.full_submission_share = 1;
SET ROLE sends_two;
SELECT is(send('full', number(32) || ',lac,2026-02-01,,,,R32', 'x,cpp,2026-01-01,,,,R32', number(33) || ',cpp,2026-01-01,,,2020-01-01'),
	'CPF03 2 1 0 nothing_ended: CPR06 CPR04/nhs_number_format/nhs_number CPR06', 'a reference that leads to a plan which has a record of its own');
SELECT is(send('full', number(32) || ',lac,2026-02-01,,,,R32', number(33) || ',cpp,2026-01-01,,,2020-01-01', number(33) || ',cpp,2026-01-01,,,2022-02-02'),
	'CPF03 2 1 0 nothing_ended: CPR06 CPR06 CPR07/duplicate/start_date', 'a double that says something else');
SELECT is(plans(32), '2 child_protection 2026-01-01 - -; 2 looked_after 2026-02-01 - - R32', 'run on');
-- What was sent after a full file was opened is newer than it.
SELECT cpis_submission_open('E06000072', 'full') AS older \gset
INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date, local_reference) VALUES (number(32), 'lac', '2026-02-01', 'R32');
SELECT is((cpis_plan_put('E06000072', number(34)::nhs_number, 'cpp', '2026-03-03')).record_code, 'CPR06', 'an urgent one, meanwhile');
SELECT is(file_code || ' ' || (ended > 0), 'CPF02 true', 'the full file ends others') FROM cpis_submission_apply(:older);
SELECT is(plans(34), '2 child_protection 2026-03-03 - -', 'but not that');
RESET ROLE;
RESET cpis.full_submission_share;
SET ROLE sends_two;
SELECT is(send('full'), 'CPF01 0 0 0 no_records:', 'an empty full file');
SELECT is(send('delta'), 'CPF01 0 0 0 no_records:', 'an empty one');
RESET ROLE;
SET cpis.full_submission_share = 1;
SET ROLE sends_two;
SELECT is(send('full', 'x'), 'CPF04 0 1 0 nothing_ended: CPR04/nhs_number_format/nhs_number', 'one that nobody can read');
RESET ROLE;
RESET cpis.full_submission_share;

-- Clients that are too old; a count that is not right.
SET cpis.minimum_client_version = 2;
SET ROLE sends_one;
SELECT is(send('delta', number(30) || ',lac,2026-01-01'), 'CPF06 0 1 0 client_version: CPR07/file_refused', 'a client that is too old');
SELECT is((cpis_plan_put('E06000071', number(30)::nhs_number, 'lac', '2026-01-01')).record_code, 'CPR06', 'one record is of no client version');
RESET ROLE;
RESET cpis.minimum_client_version;
SET ROLE sends_one;
SELECT cpis_submission_open('E06000071') AS counted \gset
INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date) VALUES (number(31), 'lac', '2026-01-01');
SELECT is((file_code, accepted, rejected, detail_code)::text, '(CPF01,0,1,record_count)', 'fewer than were sent') FROM cpis_submission_apply(records => 2);
SELECT is((file_code, accepted, rejected, detail_code)::text, '(CPF01,0,1,record_count)', 'applied again, the same answer') FROM cpis_submission_apply(:counted);
SELECT is(plans(31), '', 'nothing loaded');
SELECT is(becomes_of('INSERT INTO cpis.submission_record (nhs_number) VALUES (''x'')'), '55000', 'what was answered gets no more');
SELECT cpis_submission_open('E06000071') AS midway \gset
SELECT is(becomes_of(format('INSERT INTO cpis.submission_record (submission_id, nhs_number) SELECT %1$s, CASE WHEN g = 2 THEN (SELECT ''x'' FROM cpis_submission_apply(%1$s) WHERE g = g) END FROM generate_series(1, 3) g', :midway)), '55000', 'not even in the middle of a statement');
-- The lock that a part of the transaction took is gone with it, and so is what it began.
CREATE FUNCTION add_and_undo(id bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO cpis.submission_record (submission_id, nhs_number) VALUES (id, 'inner');
	RAISE EXCEPTION USING errcode = 'UX000';
EXCEPTION
	WHEN SQLSTATE 'UX000' THEN
		PERFORM cpis_submission_apply(id);
		RETURN 'outer';
END $$;
SELECT is(becomes_of(format('INSERT INTO cpis.submission_record (submission_id, nhs_number) SELECT %1$s, add_and_undo(%1$s)', :midway)), '55000', 'nor after an inner one was undone');
DROP FUNCTION add_and_undo;
-- Row by row in one transaction, the row of the submission is not made anew each time.
RESET ROLE;
SELECT pg_relation_size('cpis.submission') AS size \gset
SET ROLE sends_one;
DO $$ BEGIN
	FOR i IN 1..2000 LOOP
		INSERT INTO cpis.submission_record (nhs_number) VALUES ('row ' || i);
	END LOOP;
END $$;
RESET ROLE;
SELECT cmp_ok(pg_relation_size('cpis.submission') - :size, '<=', 16384::bigint, 'however many statements add to it');
SET ROLE sends_one;
SELECT cpis_submission_open('E06000071') AS midway \gset
INSERT INTO cpis.submission_record (line_no, nhs_number) VALUES (5, 'x'), (NULL, 'y'), (2147483647, 'z');
SELECT is(becomes_of('INSERT INTO cpis.submission_record (nhs_number) VALUES (''x'')'), '22003', 'lines have an end');
SELECT is(string_agg(line_no::text, ' '), '5 6 2147483647', 'a line that is left out is the next') FROM (SELECT cpis_submission_apply(:midway)) AS a, cpis_submission_answer(:midway);

-- One record.
SELECT is(((a).record_code, (a).detail_code, (a).field)::text, answer, name) FROM (VALUES
	('put', cpis_plan_put('E06000071', number(40)::nhs_number, 'looked_after', '2026-01-01', local_reference => 'P'), '(CPR06,,)'),
	('again', cpis_plan_put('E06000071', number(40)::nhs_number, 'LAC', '2026-01-01', local_reference => 'P'), '(CPR06,,)'),
	('over eighteen', cpis_plan_put('E06000071', number(41)::nhs_number, 'LAC', '2026-01-01', date_of_birth => '2000-01-01'), '(CPR07,over_eighteen,date_of_birth)'),
	('no kind', cpis_plan_put('E06000071', number(41)::nhs_number, NULL, '2026-01-01'), '(CPR07,plan_type_missing,plan_type)'),
	('ended', cpis_plan_end('E06000071', number(40)::nhs_number, 'lac', '2026-01-01'), '(CPR06,,)'),
	('of another kind', cpis_plan_end('E06000071', number(40)::nhs_number, 'unborn', '2026-01-01'), '(CPR07,no_such_plan,start_date)'),
	('none there', cpis_plan_end('E06000071', number(40)::nhs_number, 'looked_after', '2026-01-02'), '(CPR07,no_such_plan,start_date)'),
	('nor before its start', cpis_plan_end('E06000071', number(40)::nhs_number, 'looked_after', '2026-01-01', '2025-12-31'), '(CPR07,end_before_start,end_date)')) AS v (name, a, answer);
SELECT is(plans(40), format('1 looked_after 2026-01-01 %s - P', today()), 'its reference stays');
RESET ROLE;
SELECT is(count(*), 2::bigint, 'events of one record name it') FROM cpis.audit_event e JOIN cpis.plan p ON e.plan_ids = ARRAY[p.plan_id]
	WHERE e.action = 'submission' AND e.detail LIKE '% put: CPF02%' AND p.nhs_number = nhs_number_synthetic(71040) AND e.nhs_number = p.nhs_number;

-- Demographics.
CREATE FUNCTION public.trace(numbers nhs_number[], births date[]) RETURNS TABLE (nhs_number nhs_number, status text) LANGUAGE sql SET search_path = public, pg_temp AS $$
	SELECT n, CASE n::text WHEN number(50) THEN 'not_found' WHEN number(51) THEN 'sensitive' WHEN number(52) THEN 'not_verified'
		WHEN number(53) THEN 'superseded' WHEN number(54) THEN 'unavailable' WHEN number(55) THEN (1 / (length(n::text) - 10))::text WHEN number(56) THEN 'dead' ELSE 'verified' END
	FROM unnest(numbers, births) AS u (n, b)
	WHERE n::text <> number(57) AND (n::text <> number(59) OR b = '2020-02-02')
	UNION ALL SELECT n, 'sensitive' FROM unnest(numbers) AS u (n) WHERE n::text = number(58)
$$;
SET cpis.demographics_function = 'public.trace';
GRANT EXECUTE ON FUNCTION public.trace TO PUBLIC;
SET ROLE sends_one;
SELECT is(send('delta', number(50) || ',lac,2026-01-01', number(51) || ',lac,2026-01-01', number(52) || ',lac,2026-01-01', number(53) || ',lac,2026-01-01', number(60) || ',lac,2026-01-01', 'x', number(59) || ',lac,2026-01-01,,,2020-02-02'),
	'CPF03 2 5 0: CPR01/nhs_number_not_found/nhs_number CPR02/nhs_number_sensitive/nhs_number CPR03/nhs_number_not_verified/nhs_number CPR05/nhs_number_superseded/nhs_number CPR06 CPR04/nhs_number_format/nhs_number CPR06', 'what the service knows');
SET client_min_messages = error;
SELECT is(send('delta', number(61) || ',lac,2026-01-01', number(bad) || ',lac,2026-01-01', 'x'), 'CPF05 0 3 0 demographics_unavailable: CPR07/file_refused CPR07/file_refused CPR04/nhs_number_format/nhs_number', what) FROM (VALUES
	(54, 'unavailable'), (55, 'fails'), (56, 'a status that there is not'), (57, 'a number left out'), (58, 'two answers'), (59, 'nothing without a date of birth')) AS v (bad, what);
SET client_min_messages = warning;
SELECT is(plans(61), '', 'nothing loaded');
RESET ROLE;
-- Whose function it is, and whether there is one.
ALTER FUNCTION public.trace OWNER TO sends_outsider;
SET ROLE sends_one;
SELECT is(becomes_of('SELECT send(''delta'', number(62) || '',lac,2026-01-01'')'), '55000', 'a function that would run as another');
RESET ROLE;
ALTER FUNCTION public.trace OWNER TO CURRENT_USER;
-- A temporary table of the caller's must not stand in for one that it reads.
SELECT is(becomes_of('ALTER FUNCTION public.trace SET search_path = ' || path), 'done', path) || COALESCE(path_is(path), '') AS path
	FROM (VALUES ('public'), ('pg_temp, public'), ('pg_temp, public, pg_temp'), ('"$user"'), ('public, pg_temp')) AS v (path);
SET cpis.demographics_function = 'trace';
SET ROLE sends_one;
SELECT is(becomes_of('SELECT send(''delta'', number(62) || '',lac,2026-01-01'')'), '42883', 'one without a schema');
RESET ROLE;
SET cpis.demographics_function = 'public.no_such';
SET ROLE sends_one;
SELECT is(becomes_of('SELECT send(''delta'', number(62) || '',lac,2026-01-01'')'), '42883', 'one that there is not');
SELECT is(becomes_of('SET cpis.demographics_function = '''''), '42501', 'nobody but a superuser names it');
SELECT is(becomes_of('SET cpis.full_submission_share = 1'), '42501', 'nor sets the share');
SELECT is(becomes_of('SET cpis.minimum_client_version = 0'), '42501', 'nor the version');
RESET ROLE;
RESET cpis.demographics_function;
DROP FUNCTION public.trace;

-- Who may do what.
SET ROLE sends_two;
SELECT cpis_submission_open('E06000072') AS theirs \gset
SET ROLE sends_one;
SELECT is(becomes_of(format(statement, :theirs)), state, 'another''s: ' || statement) FROM (VALUES
	('SELECT cpis_submission_open(''E06000072'')', '42501'), ('SELECT cpis_submission_open(''E06000079'')', '42501'),
	('INSERT INTO cpis.submission_record (submission_id, nhs_number) VALUES (%s, ''x'')', '42501'),
	('SELECT cpis_submission_apply(%s)', '42501'), ('SELECT cpis_submission_answer(%s)', '42501'),
	('SELECT cpis_plan_put(''E06000072'', number(70)::nhs_number, ''lac'', ''2026-01-01'')', '42501'),
	('SELECT cpis_plan_end(''E06000072'', number(13)::nhs_number, ''child_protection'', ''2026-01-01'')', '42501'),
	('SELECT cpis_submission_apply(0)', '22023'), ('SELECT cpis_submission_answer(0)', '22023'),
	('INSERT INTO cpis.submission_record (submission_id, nhs_number) VALUES (0, ''x'')', '22023'),
	('INSERT INTO cpis.submission_record (nhs_number, record_code) VALUES (''x'', ''CPR06'')', '42501'),
	('INSERT INTO cpis.submission_record (nhs_number, commitment_salt) VALUES (''x'', '''')', '42501'),
	('TABLE cpis.submission_record', '42501'), ('TABLE cpis.submission', '42501'), ('TABLE cpis.plan', '42501'),
	('UPDATE cpis.submission_record SET nhs_number = ''x''', '42501'), ('DELETE FROM cpis.submission_record', '42501'),
	('SELECT cpis_scope_grant(''sends_one'', local_authority => ''E06000072'')', '42501'), ('SELECT cpis_nhs_number_inactivate(number(1)::nhs_number)', '42501')) AS v (statement, state);
RESET ROLE;
SELECT is(count(*), 4::bigint, 'refusals are recorded') FROM (SELECT * FROM cpis.audit_event ORDER BY event_id DESC LIMIT 4) AS e
	WHERE e.outcome = 'refused' AND e.action = 'submission' AND e.detail = 'not entitled to act for local authority E06000072' AND e.effective_role = 'sends_one';
SET ROLE sends_none;
SELECT is(becomes_of('SELECT cpis_submission_open(''E06000071'')'), '42501', 'a member without a scope');
RESET ROLE;
SET ROLE sends_outsider;
SELECT is(becomes_of('SELECT cpis_submission_open(''E06000071'')'), '42501', 'a role outside');
RESET ROLE;
SET ROLE sends_heir;
SELECT is(send('delta', number(71) || ',lac,2026-01-01'), 'CPF02 1 0 0: CPR06', 'who has the privileges of a role has its scope');
RESET ROLE;
SELECT is(becomes_of(statement), state, statement) FROM (VALUES
	('SELECT cpis_scope_grant(''sends_one'', local_authority => ''E06000071'')', '22023'), ('SELECT cpis_scope_grant(''nobody'', local_authority => ''E06000071'')', '42704'),
	('SELECT cpis_scope_grant(''sends_one'', local_authority => ''E06000079'')', '42704'), ('SELECT cpis_scope_grant(NULL, local_authority => ''E06000071'')', '22004'),
	('SELECT cpis_scope_revoke(''sends_one'', local_authority => ''E06000072'')', '22023'), ('SELECT cpis_submission_open(''E06000079'')', '42704'),
	('SELECT cpis_submission_open(''E06000071'', ''both'')', '22023'), ('SELECT cpis_submission_open(''E06000071'', NULL)', '22004'),
	('SELECT cpis_submission_open(NULL)', '22004'), ('SELECT cpis_submission_open(''E06000071'', client_version => NULL)', '22023'),
	('SELECT cpis_plan_put(''E06000071'', number(1)::nhs_number, ''lac'', ''infinity'')', '22008'),
	('SELECT cpis_scope_revoke(''sends_one'', local_authority => ''E06000071'')', 'done')) AS v (statement, state);
SET ROLE sends_one;
SELECT is(becomes_of('SELECT cpis_submission_open(''E06000071'')'), '42501', 'and then not any more');
RESET ROLE;
-- What is never applied is refused by the purge after 30 days, and its records have a term from then on.
INSERT INTO cpis.submission (local_authority, kind, opened_at) SELECT 'E06000072', 'full', clock_timestamp() - d * interval '1 hour' FROM (VALUES (719), (721), (9999)) AS v (d);
INSERT INTO cpis.submission_record (submission_id, nhs_number, plan_type, start_date) SELECT submission_id, number(90), 'lac', '2026-01-01' FROM cpis.submission WHERE opened_at < clock_timestamp() - interval '1 day';
CALL cpis_purge();
SELECT is(string_agg((file_code, accepted, rejected, ended, detail_code)::text, ' ' ORDER BY opened_at DESC), '(,,,,) (CPF01,0,1,0,abandoned) (CPF01,0,1,0,abandoned)', 'abandoned')
	FROM cpis.submission WHERE opened_at < clock_timestamp() - interval '1 day';
SELECT is(plans(90), '', 'nothing loaded');
SELECT is_empty('SELECT * FROM cpis_retention_reconcile() WHERE NOT uncommitted AND problem !~ ''^the register has|^\d+ records of submissions''', 'all agrees');

-- What a superuser does behind the guards.
CREATE FUNCTION found_out(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	EXECUTE statement;
	SELECT string_agg(DISTINCT regexp_replace(problem, '\d+', 'n', 'g'), '; ') INTO found FROM cpis_retention_reconcile() WHERE NOT uncommitted AND problem !~ '^the register has';
	RAISE EXCEPTION USING errcode = 'UX000', message = found;
EXCEPTION
	WHEN SQLSTATE 'UX000' THEN RETURN sqlerrm;
END $$;
SELECT ok(found_out(statement) LIKE problem, statement) FROM (VALUES
	('ALTER TABLE cpis.submission_record DISABLE TRIGGER own_change; UPDATE cpis.submission_record SET local_reference = ''x'' WHERE submission_id = (SELECT min(submission_id) FROM cpis.submission WHERE answered_at IS NOT NULL); ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change', '%the records of submission n, or their answers, are not those that were recorded%'),
	('ALTER TABLE cpis.submission_record DISABLE TRIGGER own_change; UPDATE cpis.submission_record SET record_code = ''CPR06'' WHERE record_code = ''CPR04''; ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change', '%the records of submission n, or their answers, are not those that were recorded%'),
	('ALTER TABLE cpis.submission_record DISABLE TRIGGER own_change; DELETE FROM cpis.submission_record WHERE record_code = ''CPR04''; ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change', '%n records of submissions were answered, and n are there or certified as removed%'),
	('ALTER TABLE cpis.submission DISABLE TRIGGER own_change; UPDATE cpis.submission SET accepted = accepted + 1 WHERE accepted > 0; ALTER TABLE cpis.submission ENABLE ALWAYS TRIGGER own_change', '%nothing has recorded that submission n was answered so%'),
	('INSERT INTO cpis.role_scope (role_name, local_authority, granted_at, event_id) VALUES (''sends_none'', ''E06000071'', now(), 0)', '%nothing has recorded that role "sends_none" acts so for local authority En%'),
	('INSERT INTO cpis.inactive_number VALUES (number(1)::nhs_number, NULL, now(), 0)', '%nothing has recorded that an NHS number is inactive%'),
	('INSERT INTO cpis.acknowledgement VALUES (''E06000071'', 1000000, now())', '%local authority En has acknowledged a notice that there is not%'),
	('ALTER TABLE cpis.submission_record DISABLE TRIGGER guard_row', '%trigger "guard_row" of table "submission_record" is missing%')) AS v (statement, problem);
SELECT * FROM finish();

DROP FUNCTION found_out, path_is, found, plans, becomes_of, send, number, today;
ALTER TABLE cpis.submission_record DISABLE TRIGGER own_change;
ALTER TABLE cpis.submission DISABLE TRIGGER own_change;
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
ALTER TABLE cpis.role_scope DISABLE TRIGGER own_change;
DELETE FROM cpis.submission_record;
DELETE FROM cpis.submission;
DELETE FROM cpis.role_scope;
DELETE FROM cpis.plan WHERE local_authority IN ('E06000071', 'E06000072');
ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change;
ALTER TABLE cpis.submission ENABLE ALWAYS TRIGGER own_change;
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
ALTER TABLE cpis.role_scope ENABLE ALWAYS TRIGGER own_change;
DELETE FROM cpis.local_authority WHERE code IN ('E06000071', 'E06000072');
DELETE FROM cpis.organisation WHERE code = 'RSUB';
REVOKE ALL ON SCHEMA public FROM sends_one, sends_two, sends_none, sends_outsider;
DROP ROLE sends_heir, sends_one, sends_two, sends_none, sends_outsider;
DROP EXTENSION pgtap;

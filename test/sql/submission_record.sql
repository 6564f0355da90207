-- What authorities have sent is held for its term after the answer, and then removed with certificates.
CREATE EXTENSION pgtap;
SELECT plan(56);
SET client_min_messages = warning;

INSERT INTO cpis.local_authority VALUES
	('E06000061', 'Submission One', NULL, '01632 960061'), ('E06000062', 'Submission Two', NULL, '01632 960062');
CREATE FUNCTION today() RETURNS date LANGUAGE sql VOLATILE AS $$SELECT (clock_timestamp() AT TIME ZONE 'Europe/London')::date$$;
-- A submission that was answered so many days ago, at this time of the day in England, and never where that is NULL.
CREATE FUNCTION send(records integer, answered integer, authority text = 'E06000061', at time = '00:00') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	id bigint;
BEGIN
	INSERT INTO cpis.submission (local_authority, kind, opened_at, answered_at, file_code, accepted, rejected, ended, event_id)
		SELECT authority, 'delta', (today() - COALESCE(answered, 0) + at) AT TIME ZONE 'Europe/London' - interval '1 minute', a.answered_at,
			CASE WHEN a.answered_at IS NOT NULL THEN 'CPF03' END, CASE WHEN a.answered_at IS NOT NULL THEN records END, CASE WHEN a.answered_at IS NOT NULL THEN 0 END,
			CASE WHEN a.answered_at IS NOT NULL THEN 0 END, CASE WHEN a.answered_at IS NOT NULL THEN -1 END
		FROM (SELECT (today() - answered + at) AT TIME ZONE 'Europe/London') AS a (answered_at) RETURNING submission_id INTO id;
	INSERT INTO cpis.submission_record (submission_id, line_no, nhs_number, plan_type, start_date, record_code, detail_code, field)
		SELECT id, n, CASE WHEN n = 2 THEN 'none' ELSE nhs_number_format(nhs_number_synthetic(61000 + n)) END, 'child_protection', '01/02/2026',
			CASE WHEN n = 2 THEN 'CPR04' ELSE 'CPR06' END, CASE WHEN n = 2 THEN 'shape' END, CASE WHEN n = 2 THEN 'nhs_number' END
		FROM generate_series(1, records) n;
	RETURN id;
END $$;
-- What becomes of a statement; it is taken back.
CREATE FUNCTION becomes_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION USING errcode = 'UX000';
EXCEPTION
	WHEN SQLSTATE 'UX000' THEN RETURN 'done';
	WHEN OTHERS THEN RETURN sqlstate;
END $$;
CREATE FUNCTION lines(id bigint) RETURNS text LANGUAGE sql AS $$
	SELECT COALESCE(string_agg(line_no::text, ' ' ORDER BY line_no), '') FROM cpis.submission_record WHERE submission_id = id
$$;

SELECT send(3, NULL) AS open, send(3, 365, at => '00:00') AS held, send(5, 366, at => '23:59:59.999') AS due, send(3, 0) AS fresh \gset

-- Nobody changes it.
SELECT is(becomes_of(statement), answer, statement) FROM (VALUES
	('UPDATE cpis.submission_record SET nhs_number = NULL', '55000'),
	('UPDATE cpis.submission_record SET record_code = NULL', '55000'),
	('DELETE FROM cpis.submission_record', '55000'),
	('TRUNCATE cpis.submission_record', '55000'),
	('SET LOCAL session_replication_role = replica; DELETE FROM cpis.submission_record', '55000'),
	('SET LOCAL session_replication_role = replica; TRUNCATE cpis.submission_record', '55000'),
	('UPDATE cpis.submission SET answered_at = ''2020-01-01''', '55000'),
	('DELETE FROM cpis.submission', '55000'),
	('TRUNCATE cpis.submission CASCADE', '55000'),
	('TRUNCATE cpis.local_authority CASCADE', '55000'),
	-- Constraints.
	('INSERT INTO cpis.submission (local_authority, kind) VALUES (''E06000061'', ''both'')', '23514'),
	('INSERT INTO cpis.submission (local_authority, kind) VALUES (''E06000069'', ''full'')', '23503'),
	('INSERT INTO cpis.submission (local_authority, kind, answered_at) VALUES (''E06000061'', ''full'', ''2099-01-01'')', '23514'),
	('INSERT INTO cpis.submission (local_authority, kind, answered_at, file_code, accepted, rejected) VALUES (''E06000061'', ''full'', ''2099-01-01'', ''CPF02'', 1, 1)', '23514'),
	('INSERT INTO cpis.submission (local_authority, kind, answered_at, file_code, accepted, rejected, ended, event_id) VALUES (''E06000061'', ''full'', ''2099-01-01'', ''CPF07'', 1, 1, 0, 0)', '23514'),
	('INSERT INTO cpis.submission (local_authority, kind, answered_at, file_code, accepted, rejected, ended, event_id) VALUES (''E06000061'', ''full'', ''infinity'', ''CPF02'', 1, 1, 0, 0)', '23514'),
	('INSERT INTO cpis.submission (local_authority, kind, answered_at, file_code, accepted, rejected, ended, event_id) VALUES (''E06000061'', ''full'', ''2099-01-01'', ''CPF02'', -1, 1, 0, 0)', '23514'),
	('INSERT INTO cpis.submission (local_authority, kind, answered_at, file_code, accepted, rejected, ended, event_id) VALUES (''E06000061'', ''full'', ''2099-01-01'', ''CPF02'', 1, -1, 0, 0)', '23514'),
	('INSERT INTO cpis.submission (local_authority, kind, answered_at, file_code, accepted, rejected, ended, event_id) VALUES (''E06000061'', ''full'', ''2099-01-01'', ''CPF02'', 1, 1, 0, 0)', 'done'),
	('INSERT INTO cpis.submission (local_authority, kind, opened_at) VALUES (''E06000061'', ''full'', ''-infinity'')', '23514'),
	('INSERT INTO cpis.submission_record (submission_id, line_no) VALUES (-1, 1)', 'done'),
	('INSERT INTO cpis.submission_record (submission_id, line_no) SELECT max(submission_id), 0 FROM cpis.submission', '23514'),
	('INSERT INTO cpis.submission_record (submission_id, line_no) SELECT max(submission_id), 1 FROM cpis.submission', '23505'),
	('INSERT INTO cpis.submission_record (submission_id, line_no, record_code) SELECT max(submission_id), 9, ''CPR08'' FROM cpis.submission', '23514'),
	('INSERT INTO cpis.submission_record (submission_id, line_no, commitment_salt) SELECT max(submission_id), 9, '''' FROM cpis.submission', '23514'),
	('INSERT INTO cpis.submission_record (submission_id, line_no) SELECT max(submission_id), 9 FROM cpis.submission', 'done')
	) AS v (statement, answer);
DELETE FROM cpis.submission_record;

-- The preview: on day 366 after the answer in England, and not before it.
SELECT is(array_agg((submission_id, local_authority, records, due_on, retention_days, held_back, hold_id)::text),
	ARRAY[(:due, 'E06000061', 5, today(), 365, 0, NULL)::text], 'one is due')
	FROM cpis_purge_preview_submissions(clock_timestamp());
SELECT is(array_agg(submission_id ORDER BY submission_id), ARRAY[:held, :due]::bigint[], 'tomorrow, another')
	FROM cpis_purge_preview_submissions(((today() + 1)::timestamp AT TIME ZONE 'Europe/London'));
SELECT is_empty('SELECT * FROM cpis_purge_preview_submissions(NULL)', 'as of never, none');
SELECT is((SELECT due FROM cpis_stat_retention), 5 + (SELECT count(*) FROM cpis_purge_preview() WHERE hold_id IS NULL), 'counted with the plans');

-- Terms.
SELECT throws_ok($$SELECT cpis_retention_set('submission_record', 364)$$, '22004', 'to hold "submission_record" for less long needs a reason');
SELECT lives_ok($$SELECT cpis_retention_set('submission_record', 366)$$, 'longer');
SELECT is_empty('SELECT * FROM cpis_purge_preview_submissions(clock_timestamp())', 'none is due');
SELECT lives_ok($$SELECT cpis_retention_set('submission_record', NULL)$$, 'without end');
SELECT is_empty($$SELECT * FROM cpis_purge_preview_submissions('2999-01-01')$$, 'none ever is');
SELECT lives_ok($$SELECT cpis_retention_set('submission_record', 0, 'for the test')$$, 'shorter');
SELECT is(count(*), 2::bigint, 'more are due') FROM cpis_purge_preview_submissions(clock_timestamp());
SELECT lives_ok($$SELECT cpis_retention_set('submission_record', 365, 'as before')$$, 'as before');

-- Holds: on a number, however it was written; on the authority; on everything.
SELECT send(3, 400, 'E06000062') AS theirs \gset
SELECT cpis_hold_place('inquiry', nhs_number_synthetic(61003)) AS number_hold, cpis_hold_place('court order', local_authority => 'E06000062') AS authority_hold \gset
SELECT results_eq('SELECT submission_id, records, held_back, hold_id FROM cpis_purge_preview_submissions()',
	format('VALUES (%s::bigint, 5::bigint, 1::bigint, %s::bigint), (%s, 3, 3, %s)', :due, :number_hold, :theirs, LEAST(:number_hold, :authority_hold)), 'shown in the preview');
CREATE TABLE copy (LIKE cpis.submission_record);
INSERT INTO copy TABLE cpis.submission_record;
CALL cpis_purge(2);
SELECT is(lines(:due), '3', 'a hold on a number keeps its record');
SELECT is(lines(:theirs), '1 2 3', 'one on the authority all of its');
SELECT is(lines(id), '1 2 3', 'what is not due stays') FROM unnest(ARRAY[:open, :held, :fresh]) AS id;
SELECT cpis_hold_place('everything', everything => true) AS general_hold \gset
SELECT cpis_hold_release(:number_hold, 'over'), cpis_hold_release(:authority_hold, 'over');
CALL cpis_purge();
SELECT is(lines(:due), '3', 'and one on everything keeps all');
SELECT cpis_hold_release(:general_hold, 'over');

-- A record that fails is passed over and reported; the others go.
CREATE TABLE refers (submission_id bigint, line_no integer, FOREIGN KEY (submission_id, line_no) REFERENCES cpis.submission_record);
INSERT INTO refers VALUES (:theirs, 2);
SET client_min_messages = error;
CALL cpis_purge();
SET client_min_messages = warning;
SELECT is(lines(:theirs) || '|' || lines(:due), '2|', 'the others go');
SELECT results_eq('SELECT plan_id, submission_id, line_no, sqlstate FROM cpis.purge_failure', format($$VALUES (NULL::bigint, %s::bigint, 2, '23503')$$, :theirs), 'and it is reported');
SELECT is(failed, 1::bigint, 'and counted') FROM cpis_stat_retention;
DROP TABLE refers;
CALL cpis_purge();
SELECT is(lines(:theirs), '', 'the next one removes it');
SELECT is_empty('TABLE cpis.purge_failure', 'and forgets that it failed');
SELECT is(count(*), 2::bigint, 'the submissions stay') FROM cpis.submission WHERE submission_id IN (:due, :theirs);

-- Each removal is proved, and that of no other record.
SELECT is(count(*), 8::bigint, 'each record that is gone has its certificate')
	FROM copy, cpis_removal_prove(ROW(copy.*)::cpis.submission_record) AS p, cpis.audit_event e
	WHERE e.event_id = p.event_id AND cpis_verify_inclusion(certificate, leaf_index, tree_size, proof, root) AND e.action = 'removal'
		AND starts_with(e.detail, format('submission records: %s, root: %s, holds: ', tree_size, encode(root, 'hex')));
SELECT is(string_agg(DISTINCT (kind, local_authority, due_on, retention_days)::text, ' '), format('(submission_record,E06000061,%s,365) (submission_record,E06000062,%s,365)', today(), today() - 34), 'what they say')
	FROM cpis.removal WHERE kind = 'submission_record';
SELECT is((SELECT count(*) FROM cpis_removal_prove(another)), 0::bigint, what)
	FROM copy, LATERAL (VALUES
		(ROW(submission_id, line_no, nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, 'x', record_code, detail_code, field, commitment_salt)::cpis.submission_record, 'not of one with another reference'),
		(ROW(submission_id, line_no, nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, local_reference, record_code, detail_code, field, cpis.random_salt())::cpis.submission_record, 'nor another salt')) AS v (another, what)
	WHERE submission_id = :due AND line_no = 1;
SELECT is_empty('SELECT * FROM cpis_retention_reconcile() WHERE NOT uncommitted AND problem !~ ''^the register has|^nothing has recorded that submission''', 'all agrees, but that the answers were made up');
SELECT * FROM finish();

DROP TABLE copy;
DROP FUNCTION send, becomes_of, lines, today;
ALTER TABLE cpis.submission_record DISABLE TRIGGER own_change;
ALTER TABLE cpis.submission DISABLE TRIGGER own_change;
DELETE FROM cpis.submission_record;
DELETE FROM cpis.submission;
ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change;
ALTER TABLE cpis.submission ENABLE ALWAYS TRIGGER own_change;
DELETE FROM cpis.local_authority WHERE code IN ('E06000061', 'E06000062');
DROP EXTENSION pgtap;

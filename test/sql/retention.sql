-- Plans: what the guard refuses, corrections, holds, policies, purge, certificates.
CREATE EXTENSION pgtap;
SELECT plan(131);
SET client_min_messages = warning;

INSERT INTO cpis.local_authority VALUES
	('E06000051', 'Retention One', NULL, '01632 960051'), ('E06000052', 'Retention Two', NULL, '01632 960052');
INSERT INTO cpis.organisation VALUES ('RRET', 'RETENTION TRUST');
-- The date in England.
CREATE FUNCTION today() RETURNS date LANGUAGE sql VOLATILE AS $$SELECT (clock_timestamp() AT TIME ZONE 'Europe/London')::date$$;
CREATE FUNCTION make(n integer, type text, ended integer, deleted integer = NULL, authority text = 'E06000051') RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date, delete_date)
	VALUES (nhs_number_synthetic(51000 + n), type, authority, '2020-01-01', today() - ended, today() - deleted) RETURNING plan_id
$$;
-- What becomes of statements on plan ID; they are taken back.  DAY(n) is n days ago.
CREATE FUNCTION becomes_of(template text, id bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE regexp_replace(replace(template, 'ID', id::text), 'DAY\((-?\d+)\)', '(today() - (\1))', 'g');
	RAISE EXCEPTION USING errcode = 'UX000';
EXCEPTION
	WHEN SQLSTATE 'UX000' THEN RETURN 'done';
	WHEN OTHERS THEN RETURN sqlstate;
END
$$;
CREATE FUNCTION shown(n integer) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(51000 + n), 'A', 'RRET', 'camhs')
$$;

-- What may be done to a plan.
CREATE TABLE tried AS SELECT *, make(row_number::integer, 'child_protection', ended, deleted) AS id
	FROM (SELECT *, row_number() OVER () FROM (VALUES
	(NULL, NULL, 'DELETE FROM cpis.plan WHERE plan_id = ID', '55000'),
	(0, NULL, 'DELETE FROM cpis.plan WHERE plan_id = ID', '55000'),
	(365, NULL, 'DELETE FROM cpis.plan WHERE plan_id = ID', '55000'),
	-- Its removal would leave no certificate.
	(366, NULL, 'DELETE FROM cpis.plan WHERE plan_id = ID', '55000'),
	(NULL, 10, 'DELETE FROM cpis.plan WHERE plan_id = ID', '55000'),
	(366, NULL, 'SET LOCAL session_replication_role = replica; DELETE FROM cpis.plan WHERE plan_id = ID', '55000'),
	(366, NULL, 'TRUNCATE cpis.plan', '55000'),
	(366, NULL, 'TRUNCATE cpis.local_authority CASCADE', '55000'),
	(366, NULL, 'MERGE INTO cpis.plan p USING (VALUES (ID)) v (id) ON p.plan_id = v.id WHEN MATCHED THEN DELETE', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET end_date = DAY(0) WHERE plan_id = ID', 'done'),
	(NULL, NULL, 'UPDATE cpis.plan SET end_date = DAY(365) WHERE plan_id = ID', 'done'),
	(NULL, NULL, 'UPDATE cpis.plan SET end_date = DAY(366) WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET delete_date = DAY(-1) WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET delete_date = DAY(0) WHERE plan_id = ID', '55000'),
	(10, NULL, 'UPDATE cpis.plan SET end_date = DAY(9) WHERE plan_id = ID', 'done'),
	(10, NULL, 'UPDATE cpis.plan SET end_date = NULL WHERE plan_id = ID', '55000'),
	(366, NULL, 'UPDATE cpis.plan SET end_date = NULL WHERE plan_id = ID', '55000'),
	(10, NULL, 'UPDATE cpis.plan SET end_date = DAY(11) WHERE plan_id = ID', '55000'),
	(10, NULL, 'UPDATE cpis.plan SET delete_date = DAY(-1) WHERE plan_id = ID', '55000'),
	(10, NULL, 'UPDATE cpis.plan SET delete_date = DAY(-356) WHERE plan_id = ID', 'done'),
	(10, -5, 'UPDATE cpis.plan SET delete_date = DAY(-6) WHERE plan_id = ID', 'done'),
	(10, -5, 'UPDATE cpis.plan SET delete_date = DAY(-4) WHERE plan_id = ID', '55000'),
	(366, NULL, 'UPDATE cpis.plan SET end_date = DAY(0) WHERE plan_id = ID', 'done'),
	(366, NULL, 'UPDATE cpis.plan SET end_date = DAY(400) WHERE plan_id = ID', '55000'),
	(366, NULL, 'UPDATE cpis.plan SET delete_date = DAY(400) WHERE plan_id = ID', '55000'),
	(10, -5, 'UPDATE cpis.plan SET delete_date = NULL WHERE plan_id = ID', 'done'),
	(NULL, NULL, 'UPDATE cpis.plan SET local_authority = ''E06000052'' WHERE plan_id = ID', '55000'),
	(400, NULL, 'UPDATE cpis.plan SET local_authority = ''E06000052'' WHERE plan_id = ID', '55000'),
	-- Whatever the policy says for the moment.
	(NULL, NULL, 'SELECT cpis_retention_set(''child_protection'', NULL); UPDATE cpis.plan SET end_date = DAY(366) WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'SELECT cpis_retention_set(''child_protection'', NULL); UPDATE cpis.plan SET end_date = DAY(365) WHERE plan_id = ID', 'done'),
	-- The constraints do not fire.
	(NULL, NULL, 'SET LOCAL session_replication_role = replica; UPDATE cpis.plan SET plan_type = ''none'', delete_date = DAY(9) WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'SET LOCAL session_replication_role = replica; UPDATE cpis.plan SET plan_type = ''audit_event'' WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET nhs_number = nhs_number_synthetic(51999) WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET commitment_salt = cpis.random_salt() WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET plan_id = DEFAULT WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET local_reference = ''x'', start_date = ''2020-01-02'' WHERE plan_id = ID', 'done'),
	(NULL, NULL, 'UPDATE cpis.plan SET plan_type = ''unborn'' WHERE plan_id = ID', '55000'),
	(NULL, NULL, 'UPDATE cpis.plan SET plan_type = ''none'' WHERE plan_id = ID', '23503'),
	(NULL, NULL, 'UPDATE cpis.plan SET plan_type = NULL WHERE plan_id = ID', '23502'),
	(NULL, NULL, 'UPDATE cpis.plan SET commitment_salt = NULL WHERE plan_id = ID', '23502'),
	(NULL, NULL, 'SET LOCAL session_replication_role = replica; UPDATE cpis.plan SET end_date = DAY(366) WHERE plan_id = ID', '55000'),
	(10, NULL, 'WITH x AS (UPDATE cpis.plan SET end_date = DAY(11) WHERE plan_id = ID RETURNING 1) TABLE x', '55000'),
	(10, NULL, 'INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) SELECT nhs_number, plan_type, local_authority, start_date FROM cpis.plan WHERE plan_id = ID ON CONFLICT ON CONSTRAINT plan_one_record DO UPDATE SET end_date = DAY(11)', '55000'),
	-- Other tables.
	(10, NULL, 'DELETE FROM cpis.retention_policy', 'done'),
	(10, NULL, 'INSERT INTO cpis.retention_policy VALUES (''unborn'', 1, NULL, now(), 0); UPDATE cpis.retention_policy SET retention_days = 2', '55000'),
	(10, NULL, 'INSERT INTO cpis.retention_policy VALUES (''unborn'', 1, NULL, now(), 0); DELETE FROM cpis.retention_policy', '55000'),
	(10, NULL, 'TRUNCATE cpis.retention_policy', '55000'),
	(10, NULL, 'TRUNCATE cpis.hold', '55000'),
	(10, NULL, 'TRUNCATE cpis.removal', '55000'),
	(10, NULL, 'TRUNCATE cpis.plan_tally', '55000'),
	(10, NULL, 'UPDATE cpis.plan_tally SET plans = 0', '55000'),
	(10, NULL, 'SET LOCAL session_replication_role = replica; DELETE FROM cpis.plan_tally', '55000')
	) AS v (ended, deleted, template, answer)) AS n;
SELECT is(becomes_of(template, id), answer, format('ended %s, deleted %s: %s', ended, deleted, template)) FROM tried ORDER BY row_number;
-- What is said.
DELETE FROM cpis.plan WHERE plan_id = (SELECT id FROM tried WHERE row_number = 1);
UPDATE cpis.plan SET end_date = '2020-02-01' WHERE plan_id = (SELECT id FROM tried WHERE row_number = 1);
UPDATE cpis.plan SET nhs_number = nhs_number_synthetic(51999) WHERE plan_id = (SELECT id FROM tried WHERE row_number = 1);
TRUNCATE cpis.plan;

-- The look-up and the preview agree.
CREATE TABLE made AS SELECT *, make(n, 'looked_after', ended, deleted) AS id FROM (VALUES
	(101, NULL::integer, NULL::integer, true), (102, 0, NULL, true), (103, 365, NULL, true), (104, 366, NULL, false), (105, 0, 0, false),
	(106, 0, -1, true), (107, NULL, 0, false), (108, -10, NULL, true), (109, 400, -10, false)) AS v (n, ended, deleted, held);
SELECT is(shown(n) = 1, held, format('ended %s days ago, deleted %s days ago: shown', ended, deleted)),
	is(EXISTS (SELECT FROM cpis_purge_preview(clock_timestamp()) WHERE plan_id = id), NOT held, 'and not in the preview, or the other way round')
	FROM made ORDER BY n;
SELECT is(count(*), 0::bigint, 'as of never, nothing is due') FROM cpis_purge_preview(NULL);
SELECT throws_ok($$SELECT * FROM cpis_purge_preview('infinity')$$, '22008');

-- Policies: by kind, longer freely, shorter with a reason; recorded.
SELECT make(201, 'unborn', 400) AS ended \gset
SELECT is(shown(201), 0::bigint, 'not held after 365 days');
SELECT throws_ok($$SELECT cpis_retention_set('unborn', 28)$$, '22004', 'to hold "unborn" for less long needs a reason');
SELECT throws_ok($$SELECT cpis_retention_set('born', 28, 'x')$$, '42704');
SELECT throws_ok($$SELECT cpis_retention_set(NULL, 28, 'x')$$, '22004');
SELECT throws_ok($$SELECT cpis_retention_set('unborn', -1, 'x')$$, '22023');
SELECT throws_ok($$SELECT cpis_retention_set('unborn', 36526, 'x')$$, '22023');
SELECT throws_ok($$SELECT cpis_retention_set('unborn', 28, repeat('x', 201))$$, '22023');
SELECT lives_ok($$SELECT cpis_retention_set('unborn', 400)$$, 'longer needs none');
SELECT is(shown(201), 1::bigint, 'held for 400 days');
SELECT is(shown(104), 0::bigint, 'another kind is not');
SELECT lives_ok($$SELECT cpis_retention_set('unborn', NULL)$$, 'without end');
SELECT is(shown(201), 1::bigint, 'held without end');
SELECT throws_ok($$SELECT cpis_retention_set('unborn', 365)$$, '22004');
SELECT lives_ok($$SELECT cpis_retention_set('unborn', 365, 'as in the guidance')$$, 'shorter, with a reason');
SELECT is(shown(201), 0::bigint, 'not held any more');
SELECT is(detail, due, 'recorded') FROM (SELECT row_number() OVER (ORDER BY event_id), detail FROM cpis.audit_event WHERE action = 'retention' AND detail LIKE 'unborn: %' AND outcome = 'done' AND transaction_id IS NOT NULL) AS e
	FULL JOIN (VALUES (1, 'unborn: 400 days instead of 365 days'), (2, 'unborn: without end instead of 400 days'),
		(3, 'unborn: 365 days instead of without end; as in the guidance')) AS v (row_number, due) USING (row_number) ORDER BY row_number;

-- Corrections.
SELECT make(301, 'child_protection', NULL) AS wrong \gset
SELECT throws_ok($$SELECT cpis_plan_correct($$ || :wrong || $$, NULL, delete_date => today())$$, '22004');
SELECT throws_ok($$SELECT cpis_plan_correct($$ || :wrong || $$, ' ', delete_date => today())$$, '22023');
SELECT throws_ok($$SELECT cpis_plan_correct(-1, 'x', delete_date => today())$$, '22023', 'there is no plan -1');
SELECT throws_ok($$SELECT cpis_plan_correct($$ || :wrong || $$, 'x')$$, '22023', 'the plan has these dates already');
SELECT throws_ok($$SELECT cpis_plan_correct($$ || :wrong || $$, 'x', end_date => '2019-01-01')$$, '23514');
SELECT is(count(*), 0::bigint, 'nothing of these is recorded') FROM cpis.audit_event WHERE action = 'correction';
SELECT is(shown(301), 1::bigint, 'shown before');
SET DateStyle = 'German';
SELECT cpis_plan_correct(:wrong, 'wrong child', end_date => '2026-02-01') AS first \gset
RESET DateStyle;
SELECT cpis_plan_correct(:wrong, 'wrong child', end_date => 'infinity', delete_date => today()) AS second \gset
SELECT is(shown(301), 0::bigint, 'not shown afterwards');
SELECT is(detail, 'end_date 2026-02-01 was none; wrong child', 'recorded') FROM cpis.audit_event WHERE event_id = :first;
SELECT is(detail, format('end_date none was 2026-02-01, delete_date %s was none; wrong child', to_char(today(), 'YYYY-MM-DD')), 'recorded')
	FROM cpis.audit_event WHERE event_id = :second;
SELECT is(row(action, outcome, nhs_number, plan_ids, notified_authority, transaction_id IS NOT NULL)::text,
	row('correction', 'done', nhs_number_synthetic(51301), ARRAY[:wrong], ARRAY['E06000051'], true)::text, 'with all that belongs to it')
	FROM cpis.audit_event WHERE event_id = :second;
SELECT is(count(*), 2::bigint, 'the authority is told') FROM cpis.notification WHERE event_id IN (:first, :second) AND local_authority = 'E06000051';

-- Holds.
SELECT make(401, 'child_protection', 500) AS held, make(402, 'child_protection', 500, NULL, 'E06000052') AS theirs \gset
SELECT throws_ok($$SELECT cpis_hold_place('x')$$, '22023', 'exactly one of nhs_number, local_authority and everything must be given');
SELECT throws_ok($$SELECT cpis_hold_place('x', nhs_number => '9999999999')$$, '22023', 'the NHS number is a placeholder');
SELECT throws_ok($$SELECT cpis_hold_place('x', nhs_number_synthetic(51401), 'E06000052')$$, '22023');
SELECT throws_ok($$SELECT cpis_hold_place('x', local_authority => 'E06000059')$$, '42704');
SELECT throws_ok($$SELECT cpis_hold_place(NULL, everything => true)$$, '22004');
SELECT cpis_hold_place('inquiry', nhs_number_synthetic(51401)) AS number_hold, cpis_hold_place('court order', local_authority => 'E06000052') AS authority_hold \gset
SELECT results_eq(format('SELECT plan_id, hold_id FROM cpis_purge_preview() WHERE plan_id IN (%s, %s) ORDER BY 1', :held, :theirs),
	format('VALUES (%s::bigint, %s::bigint), (%s, %s)', :held, :number_hold, :theirs, :authority_hold), 'shown in the preview');
SELECT is(shown(401), 0::bigint, 'a hold does not show what is not held');
SELECT throws_ok($$UPDATE cpis.hold SET released_at = now(), release_reason = 'x', released_event = 1$$, '55000');
SELECT throws_ok($$DELETE FROM cpis.hold$$, '55000');

-- The purge.
CREATE TABLE copy (LIKE cpis.plan);
INSERT INTO copy TABLE cpis.plan;
SELECT due > 0 AS due, held_back, failed, removed > 0 AS removed FROM cpis_stat_retention;
CALL cpis_purge(3);
SELECT due, held_back, failed, automatic, paused FROM cpis_stat_retention;
SELECT set_eq('SELECT plan_id FROM copy EXCEPT SELECT plan_id FROM cpis.plan',
	'SELECT id FROM tried WHERE ended >= 366 UNION SELECT id FROM tried WHERE deleted = 10
	 UNION SELECT plan_id FROM copy WHERE nhs_number IN (nhs_number_synthetic(51104), nhs_number_synthetic(51105), nhs_number_synthetic(51107), nhs_number_synthetic(51109), nhs_number_synthetic(51201), nhs_number_synthetic(51301))', 'what was due is gone, and nothing else');
SELECT is(count(*), 2::bigint, 'what is held back is there') FROM cpis.plan WHERE plan_id IN (:held, :theirs);
-- Each removal is proved, as is that of no other record.
SELECT is(count(*), (SELECT count(*) FROM copy) - (SELECT count(*) FROM cpis.plan JOIN copy USING (plan_id)), 'each has its certificate')
	FROM copy, cpis_removal_prove(ROW(copy.*)::cpis.plan) AS p, cpis.audit_event e
	WHERE e.event_id = p.event_id AND cpis_verify_inclusion(certificate, leaf_index, tree_size, proof, root)
		AND starts_with(e.detail, format('plans: %s, root: %s, holds: ', tree_size, encode(root, 'hex'))) AND e.action = 'removal';
SELECT is((SELECT count(*) FROM cpis_removal_prove(another)), 0::bigint, what)
	FROM copy, LATERAL (VALUES
		(ROW(plan_id, nhs_number, plan_type, local_authority, start_date, end_date - 1, delete_date, local_reference, submission_id, commitment_salt)::cpis.plan, 'another end'),
		(ROW(plan_id, nhs_number, plan_type, local_authority, start_date, end_date, delete_date, local_reference, submission_id, cpis.random_salt())::cpis.plan, 'another salt'),
		(ROW(plan_id, nhs_number, plan_type, local_authority, start_date, end_date, delete_date, 'x', submission_id, commitment_salt)::cpis.plan, 'another reference')) AS v (another, what)
	WHERE nhs_number = nhs_number_synthetic(51104);
SELECT is((kind, local_authority, due_on, retention_days)::text, ('looked_after', 'E06000051', today(), 365)::text, 'what a certificate says')
	FROM cpis.removal WHERE commitment = (SELECT cpis.plan_commitment(ROW(copy.*)::cpis.plan) FROM copy WHERE nhs_number = nhs_number_synthetic(51104));
SELECT is(retention_days, NULL, 'the delete date decided')
	FROM cpis.removal WHERE commitment = (SELECT cpis.plan_commitment(ROW(copy.*)::cpis.plan) FROM copy WHERE nhs_number = nhs_number_synthetic(51107));
SELECT throws_ok(statement, '55000') FROM (VALUES ('DELETE FROM cpis.removal'), ('UPDATE cpis.removal SET due_on = due_on')) AS v (statement);

-- Released, it goes.
SELECT throws_ok(format('SELECT cpis_hold_release(%s, NULL)', :number_hold), '22004');
SELECT lives_ok(format('SELECT cpis_hold_release(%s, ''over'')', :number_hold), 'released');
SELECT throws_ok(format('SELECT cpis_hold_release(%s, ''over'')', :number_hold), '22023', format('there is no hold %s in force', :number_hold));
SELECT cpis_hold_place('everything stays', everything => true) AS general_hold \gset
CALL cpis_purge();
SELECT is(count(*), 1::bigint, 'a hold on everything') FROM cpis.plan WHERE plan_id = :held;
SELECT lives_ok(format('SELECT cpis_hold_release(%s, ''over'')', :general_hold), 'released');
CALL cpis_purge();
SELECT is(array_agg(plan_id), ARRAY[:theirs]::bigint[], 'only what is still held back is left') FROM cpis.plan WHERE plan_id IN (:held, :theirs);

-- Paused.
SELECT cpis_hold_release(:authority_hold, 'over'), cpis_purge_pause(true);
CALL cpis_purge();
SELECT is(count(*), 1::bigint, 'the purge is paused') FROM cpis.plan WHERE plan_id = :theirs;
SELECT cpis_purge_pause(false);

-- A row that fails is passed over and reported; the others go.
CREATE TABLE refers (plan_id bigint REFERENCES cpis.plan DEFERRABLE INITIALLY DEFERRED);
INSERT INTO refers SELECT plan_id FROM (SELECT make(500 + n, 'child_protection', 400) AS plan_id, n FROM generate_series(1, 20) n) AS made WHERE n IN (7, 8, 15);
\set VERBOSITY terse
SET client_min_messages = error;
CALL cpis_purge(8);
RESET client_min_messages;
SET client_min_messages = warning;
\set VERBOSITY default
SELECT is(count(*), 3::bigint, 'three of 20 are left') FROM cpis.plan WHERE nhs_number BETWEEN nhs_number_synthetic(51501) AND nhs_number_synthetic(51520);
SELECT set_eq('SELECT plan_id, sqlstate FROM cpis.purge_failure', $$SELECT plan_id, '23503' FROM refers$$, 'and reported');
SELECT due, failed FROM cpis_stat_retention;
DROP TABLE refers;
CALL cpis_purge(8);
SELECT is_empty('TABLE cpis.purge_failure', 'the next one removes them');

-- Wrong calls.
CALL cpis_purge(0);
CALL cpis_purge(10001);
CALL cpis_purge(NULL);
CALL cpis_purge(1, 0);
BEGIN;
CALL cpis_purge();
ROLLBACK;
SELECT * FROM finish();

DROP TABLE tried, made, copy;
DROP FUNCTION make, becomes_of, shown, today;
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE local_authority IN ('E06000051', 'E06000052');
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DELETE FROM cpis.local_authority WHERE code IN ('E06000051', 'E06000052');
DELETE FROM cpis.organisation WHERE code = 'RRET';
DROP EXTENSION pgtap;

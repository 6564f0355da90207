-- Looking up: what is disclosed, what is recorded, what is refused.
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE ROLE lookup_app IN ROLE cpis_clinical;
INSERT INTO cpis.local_authority VALUES
	('E06000011', 'First', '01632 960011', '01632 960012'),
	('E06000012', 'Second', NULL, '01632 960013');
INSERT INTO cpis.organisation VALUES ('RLK', 'LOOK-UP TRUST'), ('RLKTWELVECHA', 'TWELVE');
SELECT count(cpis_scope_grant('lookup_app', organisation => code)) AS granted FROM (VALUES ('RLK'), ('RLKTWELVECHA')) AS o (code);

-- Today, as England has it.
SELECT clock_timestamp() AS start, (now() AT TIME ZONE 'Europe/London')::date AS today \gset

CREATE FUNCTION plan(child integer, type text, authority text, start date, ended date = NULL, deleted date = NULL)
	RETURNS void LANGUAGE sql AS $$
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date, delete_date)
		VALUES (nhs_number_synthetic(child), type, authority, start, ended, deleted)
$$;
SELECT plan(1001, 'child_protection', 'E06000011', '2026-01-01'),
	plan(1001, 'looked_after', 'E06000011', '2026-02-01'),
	plan(1001, 'looked_after', 'E06000012', '2026-03-01', '2999-12-31');

-- Everything that is disclosed, newest start first.
SET ROLE lookup_app;
SELECT nhs_number, plan_type, start_date, end_date, local_authority AS la, local_authority_name AS name,
	office_hours_phone, emergency_duty_phone, event_id = max(event_id) OVER () AS event
	FROM cpis_lookup(nhs_number_synthetic(1001), 'Ann', 'RLK', 'nhs_111', request_id => 'found');
-- A miss is an empty result.
SELECT * FROM cpis_lookup(nhs_number_synthetic(1002), 'Ann', 'RLK', 'nhs_111', request_id => 'miss');
-- The flag.
SELECT cpis_flag(nhs_number_synthetic(1001), 'Ann', 'RLK', 'nhs_111', request_id => 'flag') AS flag,
	cpis_flag(nhs_number_synthetic(1002), 'Ann', 'RLK', 'nhs_111', request_id => 'flag miss') AS miss;
-- All arguments by name, at their limits, in bytes.
SELECT count(*) FROM cpis_lookup(nhs_number => '999 001 1028', worker_name => repeat('é', 100),
	organisation => 'RLKTWELVECHA', care_setting => 'sexual_assault_referral_centre',
	worker_id => repeat('w', 64), job_role => repeat('j', 100), system_id => repeat('s', 64),
	location => repeat('l', 200), request_id => repeat('r', 128), notify => true);
RESET ROLE;

SELECT action, outcome, nhs_number = nhs_number_synthetic(1001) AS child, worker_name, organisation, care_setting,
	notify, notified_authority, array_length(notification_no, 1) AS numbers, array_length(plan_ids, 1) AS plans,
	session_role = session_user AS session, effective_role, application_name, backend_pid = pg_backend_pid() AS pid,
	transaction_id IS NULL AS no_xid, detail, octet_length(salt) AS salt, octet_length(leaf_hash) AS hash,
	recorded_at BETWEEN :'start' AND clock_timestamp() AS now
	FROM cpis.audit_event WHERE request_id IN ('found', 'miss', 'flag', 'flag miss') ORDER BY event_id;
SELECT octet_length(worker_name) AS name, octet_length(worker_id) AS id, octet_length(job_role) AS role,
	octet_length(system_id) AS system, octet_length(location) AS location, octet_length(organisation) AS org
	FROM cpis.audit_event WHERE request_id = repeat('r', 128);
-- The event names the plans disclosed, and each authority's newest notice then is its.
SELECT plan_ids = (SELECT array_agg(plan_id ORDER BY start_date DESC) FROM cpis.plan WHERE nhs_number = e.nhs_number) AS plans,
	(SELECT array_agg(n.local_authority || ' ' || (n.notification_no = e.notification_no[u.n]) ORDER BY u.n)
		FROM cpis.notification n JOIN unnest(e.notified_authority) WITH ORDINALITY AS u (code, n) ON code = local_authority
		WHERE n.event_id = e.event_id) AS notices
	FROM cpis.audit_event e WHERE request_id = 'found';
-- One notice for each authority, though one has two plans; none for a flag.
SELECT local_authority, count(*), count(*) = max(notification_no) AND min(notification_no) = 1 AS no_gap
	FROM cpis.notification WHERE local_authority IN ('E06000011', 'E06000012')
	GROUP BY local_authority ORDER BY local_authority;

-- Held today: through day 365 after the end, and not from the delete date on,
-- whatever the session's time zone.
SELECT plan(1010, 'child_protection', 'E06000011', '2020-01-01', :'today'),
	plan(1011, 'child_protection', 'E06000011', '2020-01-01', :'today'::date - 365),
	plan(1012, 'child_protection', 'E06000011', '2020-01-01', :'today'::date - 366),
	plan(1013, 'child_protection', 'E06000011', '2020-01-01', NULL, :'today'::date + 1),
	plan(1014, 'child_protection', 'E06000011', '2020-01-01', NULL, :'today'),
	plan(1015, 'child_protection', 'E06000011', '2020-01-01', :'today'::date - 1, :'today'::date - 1),
	plan(1016, 'child_protection', 'E06000011', :'today'::date + 30);
SET TimeZone = 'Pacific/Kiritimati';
SELECT string_agg(n || ' ' || cpis_flag(nhs_number_synthetic(n), 'Ann', 'RLK', 'nhs_111'), ', ' ORDER BY n) FROM generate_series(1010, 1016) n;
SET TimeZone = 'Etc/GMT+12';
SELECT string_agg(n || ' ' || cpis_flag(nhs_number_synthetic(n), 'Ann', 'RLK', 'nhs_111'), ', ' ORDER BY n) FROM generate_series(1010, 1016) n;
RESET TimeZone;

-- Each malformed argument has its own error, and leaves no event.
SELECT count(*) AS events FROM cpis.audit_event \gset
CREATE FUNCTION outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || call INTO answer;
	RETURN 'rows: ' || answer;
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ' ' || sqlerrm;
END $$;
CREATE FUNCTION outcomes(argument text, length integer) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT what || ': ' || outcome(format(
		'cpis_%s(nhs_number_synthetic(1001), worker_name => %s, organisation => %s, care_setting => %s%s)', function,
		CASE argument WHEN 'worker_name' THEN value ELSE '''Ann''' END,
		CASE argument WHEN 'organisation' THEN value ELSE '''RLK''' END,
		CASE argument WHEN 'care_setting' THEN value ELSE '''nhs_111''' END,
		CASE WHEN argument NOT IN ('worker_name', 'organisation', 'care_setting')
			THEN format(', %s => %s', argument, value) ELSE '' END))
	FROM (VALUES
		('lookup', 'null', 'NULL'),
		('lookup', 'empty', ''''''),
		('flag', 'spaces', '''   '''),
		('lookup', 'other spaces', 'U&'' \00A0\2003\200B\3000'''),
		('lookup', 'a byte too long', format('repeat(''x'', %s) || ''é''', length - 1)),
		('flag', '10,000 characters', 'repeat(''é'', 10000)'),
		('lookup', 'tab', 'E''a\tb'''),
		('lookup', 'line feed', 'E''a\nb'''),
		('flag', 'delete', 'E''a\x7f'''),
		('lookup', 'next line (C1)', 'U&''a\0085''')) AS v (function, what, value)
	WHERE NOT (what = 'null' AND argument NOT IN ('worker_name', 'organisation', 'care_setting'))
$$;
SELECT outcomes('worker_name', 200);
SELECT outcomes('organisation', 12);
SELECT outcomes('care_setting', 32);
SELECT outcomes('worker_id', 64);
SELECT outcomes('job_role', 100);
SELECT outcomes('system_id', 64);
SELECT outcomes('location', 200);
SELECT outcomes('request_id', 128);
SELECT outcome($$cpis_lookup(NULL, 'Ann', 'RLK', 'nhs_111')$$);
SELECT outcome($$cpis_flag(NULL, 'Ann', 'RLK', 'nhs_111')$$);
SELECT outcome($$cpis_lookup(nhs_number_synthetic(1001), 'Ann', 'RLK', 'nhs_111', notify => NULL)$$);
SELECT outcome($$cpis_lookup('9990000019', 'Ann', 'RLK', 'nhs_111')$$);
SELECT count(*) - :events AS recorded FROM cpis.audit_event;

-- What is no control character is taken.
SELECT outcome($$cpis_flag(nhs_number_synthetic(1002), U&'~ \00A0Zo\00EB', 'RLK', 'nhs_111')$$);

-- More plans than a look-up discloses.
SELECT count(*) FROM (SELECT plan(1020, 'child_protection', 'E06000011', '2020-01-01'::date + n) FROM generate_series(1, 65) n) made;
SELECT outcome($$cpis_lookup(nhs_number_synthetic(1020), 'Ann', 'RLK', 'nhs_111')$$);
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE nhs_number = nhs_number_synthetic(1020) AND start_date = '2020-01-02';
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
SELECT outcome($$cpis_lookup(nhs_number_synthetic(1020), 'Ann', 'RLK', 'nhs_111')$$);

SELECT outcome, detail, plan_ids FROM cpis.audit_event
	WHERE nhs_number = nhs_number_synthetic(1020) ORDER BY event_id LIMIT 1;

-- What is refused is recorded, and not disclosed.
SET ROLE lookup_app;
SELECT outcome($$cpis_lookup(nhs_number_synthetic(1001), 'Ann', 'RZZ', 'nhs_111', request_id => 'refused')$$);
SELECT outcome($$cpis_lookup(nhs_number_synthetic(1001), 'Ann', 'RLK', 'pub', request_id => 'refused')$$);
SELECT outcome($$cpis_flag('0000000000', 'Ann', 'RLK', 'nhs_111', request_id => 'refused')$$);
SELECT outcome($$cpis_lookup(nhs_number_synthetic(1001), 'Ann', 'RLK', 'nhs_111', request_id => 'refused', notify => false)$$);
RESET ROLE;
SELECT action, outcome, detail, organisation, care_setting, notify, notified_authority, plan_ids, effective_role
	FROM cpis.audit_event WHERE request_id = 'refused' ORDER BY event_id;

-- A superuser may look up silently: recorded, not notified.
SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(1001), 'Ann', 'RLK', 'nhs_111', request_id => 'silent', notify => false);
SELECT outcome, notify, notified_authority, notification_no, array_length(plan_ids, 1) AS plans
	FROM cpis.audit_event WHERE request_id = 'silent';
-- What is not to be notified, is not.
SELECT count(*) FROM cpis.notification JOIN cpis.audit_event USING (event_id)
	WHERE action <> 'lookup' OR outcome <> 'found' OR NOT notify;

-- The counters agree with the trail.
SELECT lookups = (SELECT count(*) FROM cpis.audit_event WHERE action = 'lookup' AND outcome <> 'refused') AS lookups,
	flags = (SELECT count(*) FROM cpis.audit_event WHERE action = 'flag' AND outcome <> 'refused') AS flags,
	refusals = (SELECT count(*) FROM cpis.audit_event WHERE outcome = 'refused') AS refusals,
	events = (SELECT count(*) FROM cpis.audit_event) AS events, batches <= events AS batches,
	events_per_batch >= 1 AS per_batch, wait_time > 0 AS waited, mean_wait_time > 0 AS mean,
	failures, queue_depth, writer_starts > 0 AS started, counted_since < now() AS since
	FROM cpis_stat;

DROP FUNCTION plan, outcome, outcomes;
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE local_authority IN ('E06000011', 'E06000012');
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DELETE FROM cpis.local_authority WHERE code IN ('E06000011', 'E06000012');
DELETE FROM cpis.organisation WHERE code LIKE 'RLK%';
DROP ROLE lookup_app;

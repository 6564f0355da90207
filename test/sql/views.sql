-- What each role sees in the views of the extension, and that reading people's data leaves its event.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION pgtap;
SELECT no_plan();
INSERT INTO cpis.local_authority VALUES ('E06000061', 'View one', NULL, '01632 960061'), ('E06000062', 'View two', NULL, '01632 960062');
INSERT INTO cpis.organisation VALUES ('RVA', 'VIEW TRUST A'), ('RVB', 'VIEW TRUST B');
CREATE FUNCTION child(n integer) RETURNS nhs_number LANGUAGE sql AS 'SELECT nhs_number_synthetic(61000 + n)';
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, local_reference) VALUES
	(child(1), 'child_protection', 'E06000061', '2026-01-01', 'one'), (child(1), 'looked_after', 'E06000062', '2026-01-01', 'two'), (child(2), 'unborn', 'E06000062', '2026-01-01', 'three');
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date) VALUES
	(child(3), 'child_protection', 'E06000061', '2020-01-01', (now() AT TIME ZONE 'Europe/London')::date - 365), (child(4), 'child_protection', 'E06000061', '2020-01-01', (now() AT TIME ZONE 'Europe/London')::date - 366);
CREATE ROLE views_app IN ROLE cpis_clinical;
CREATE ROLE views_one IN ROLE cpis_local_authority;
CREATE ROLE views_both IN ROLE cpis_local_authority;
CREATE ROLE views_none IN ROLE cpis_local_authority;
CREATE ROLE views_analyst IN ROLE cpis_analyst;
CREATE ROLE views_steward IN ROLE cpis_steward;
SELECT count(cpis_scope_grant('views_app', code, may_read_silently => true)) = 2 AS granted FROM (VALUES ('RVA'), ('RVB')) AS o (code) \gset
SELECT cpis_scope_grant('views_one', local_authority => 'E06000061') < cpis_scope_grant('views_both', local_authority => 'E06000061') AS granted, cpis_scope_grant('views_both', local_authority => 'E06000062') > 0 AS granted_both \gset

-- The answer to a query as this role, or its SQLSTATE, and what was recorded of it.
CREATE FUNCTION sees(role text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	-- Those that are made up have higher numbers.
	before bigint := (SELECT max(event_id) FROM cpis.audit_event WHERE event_id < 900000000);
	answer text;
BEGIN
	BEGIN
		PERFORM set_config('role', role, true);
		EXECUTE query INTO answer;
	EXCEPTION WHEN OTHERS THEN
		answer := sqlstate;
	END;
	PERFORM set_config('role', 'none', true);
	RETURN COALESCE(answer, 'null') || ' | ' || (SELECT COALESCE(string_agg(concat_ws(' ', e.action, e.outcome, e.detail), '; ' ORDER BY e.event_id), '')
		FROM cpis.audit_event e WHERE e.event_id > before AND e.event_id < 900000000 AND e.action <> 'direct_read');
END $$;

SET ROLE views_app;
SELECT count(*) AS n FROM cpis_lookup(child(1), 'Ann', 'RVA', 'camhs', worker_id => 'W1') \gset
SELECT count(*) AS n FROM cpis_lookup(child(2), 'Ann', 'RVA', 'camhs', notify => false, worker_id => 'W1') \gset
SELECT count(*) AS n FROM cpis_lookup(child(9), 'Ann', 'RVA', 'camhs', worker_id => 'W1') \gset
SELECT cpis_flag(child(1), 'Ben', 'RVB', 'camhs') AS flag \gset
RESET ROLE;

-- Authorities.
SELECT is(sees('views_one', query), expected, query) FROM (VALUES
	('SELECT string_agg(concat_ws('' '', plan_type, local_reference), '', '' ORDER BY plan_id) FROM cpis.authority_plan', 'child_protection one, child_protection | read done cpis.authority_plan of E06000061'),
	('SELECT count(*) FROM cpis.authority_plan WHERE nhs_number = child(4)', '0 | read done cpis.authority_plan of E06000061'),
	('SELECT string_agg(concat_ws('' '', action, worker_name, organisation_name, notify), '', '' ORDER BY event_id) FROM cpis.authority_access', 'lookup Ann VIEW TRUST A t, flag Ben VIEW TRUST B f | read done cpis.authority_access of E06000061'),
	('SELECT string_agg(concat_ws('' '', notification_no, action, worker_name, acknowledged), '', '' ORDER BY notification_no) FROM cpis.authority_notification', '1 lookup Ann f | read done cpis.authority_notification of E06000061'),
	('SELECT cpis_notifications_acknowledge(''E06000061'', 1)', '1 | '),
	('SELECT string_agg(concat_ws('' '', notification_no, acknowledged), '', '') FROM cpis.authority_notification', '1 t | read done cpis.authority_notification of E06000061'),
	('SELECT count(*) FROM cpis.authority_submission', '0 | read done cpis.authority_submission of E06000061'),
	('SELECT a.n + b.n FROM (SELECT count(*) AS n FROM cpis.authority_plan) a, (SELECT count(*) AS n FROM cpis.authority_access) b', '4 | read done cpis.authority_plan of E06000061; read done cpis.authority_access of E06000061'),
	('SELECT 1 FROM cpis.steward_event', '42501 | '), ('SELECT 1 FROM cpis.analyst_event', '42501 | '), ('SELECT 1 FROM cpis.plan', '42501 | ')) AS v (query, expected);
SELECT is(sees('views_one', 'SELECT (cpis_plan_put(''E06000061'', child(5), ''looked_after'', ''2026-02-01'', local_reference => ''five'')).record_code') LIKE 'CPR06 |%', true, 'it sends');
SELECT is(sees('views_one', query), expected, query) FROM (VALUES
	('SELECT string_agg(concat_ws('' '', kind, file_code, accepted), '', '') FROM cpis.authority_submission', 'put CPF02 1 | read done cpis.authority_submission of E06000061'),
	('SELECT string_agg(concat_ws('' '', local_authority, plan_type, local_reference, record_code), '', '') FROM cpis.authority_submission_record', 'E06000061 looked_after five CPR06 | read done cpis.authority_submission_record of E06000061')) AS v (query, expected);
SELECT is(sees('views_both', query), expected, query) FROM (VALUES
	('SELECT string_agg(local_reference, '', '' ORDER BY local_reference) FROM cpis.authority_plan', 'five, one, three, two | read done cpis.authority_plan of E06000061, E06000062'),
	('SELECT string_agg(concat_ws('' '', local_authority, action, notify), '', '' ORDER BY event_id, local_authority) FROM cpis.authority_access',
	 'E06000061 lookup t, E06000062 lookup t, E06000062 lookup f, E06000061 flag f, E06000062 flag f | read done cpis.authority_access of E06000061, E06000062')) AS v (query, expected);
SELECT is(sees('views_none', 'SELECT count(*) FROM cpis.' || view), '42501 | read refused not entitled to read cpis.' || view, view) FROM unnest(ARRAY['authority_plan', 'authority_access', 'authority_notification', 'authority_submission', 'authority_submission_record']) AS view;
SELECT is(sees(current_user, 'SELECT count(*) FROM cpis.authority_plan WHERE local_authority LIKE ''E0600006_'''), '5 | read done cpis.authority_plan of all local authorities', 'a superuser sees all, recorded');

-- Analysts.
SELECT is(sees('views_analyst', query), expected, query) FROM (VALUES
	('SELECT count(DISTINCT person) FROM cpis.analyst_event WHERE organisation LIKE ''RV_''', '3 | '),
	('SELECT string_agg(concat_ws('' '', action, outcome, organisation, plans, length(person), length(worker)), '', '' ORDER BY event_id) FROM cpis.analyst_event WHERE organisation LIKE ''RV_''',
	 'lookup found RVA 2 32 32, lookup found RVA 1 32 32, lookup not_found RVA 32 32, flag found RVB 2 32 32 | '),
	('SELECT count(DISTINCT person) || '' '' || count(DISTINCT worker) FROM cpis.analyst_event WHERE organisation LIKE ''RV_'' AND plans = 2', '1 2 | '),
	('SELECT count(*) FROM cpis.analyst_event e WHERE e::text ~ (''Ann|Ben|W1|'' || child(1)::text)', '0 | '),
	('SELECT count(*) FROM cpis.pseudonym_key', '42501 | '), ('SELECT cpis.event_person(''cpis.plan''::regclass, ''(0,1)'')', 'null | '), ('SELECT cpis.event_person(''cpis.notification''::regclass, ''(0,1)'')', 'null | '),
	('SELECT cpis.event_person(''cpis.audit_event''::regclass, ''(0,1)'')', 'null | '), ('SELECT cpis.event_person(0, ''(0,1)'')', 'null | '),
	('SELECT count(cpis.event_person(c.oid, ''(4000000,1)'')) || '' '' || count(cpis.event_worker(c.oid, ''(0,0)'')) FROM pg_class c WHERE relname LIKE ''audit_event%''', '0 0 | ')) AS v (query, expected);
-- Whose pseudonym that is, a steward may ask, and is recorded; an analyst may not.
SELECT is(sees('views_steward', 'SELECT cpis_pseudonym(child(1))'), (SELECT DISTINCT cpis.event_person(e.tableoid, e.ctid) FROM cpis.audit_event e WHERE e.organisation LIKE 'RV_' AND e.nhs_number = child(1)) || ' | read done cpis_pseudonym()', 'the pseudonym of a number');
SELECT is((SELECT nhs_number FROM cpis.audit_event WHERE detail = 'cpis_pseudonym()' ORDER BY event_id DESC LIMIT 1), child(1), 'of whom it was asked is recorded');
SELECT is(sees(role, query), expected, role || ' ' || query) FROM (VALUES
	('views_steward', 'SELECT cpis_pseudonym(child(1), extract(year FROM now() AT TIME ZONE ''UTC'')::integer) = cpis_pseudonym(child(1))', 'true | read done cpis_pseudonym(); read done cpis_pseudonym()'),
	('views_steward', 'SELECT cpis_pseudonym(child(1), 1999)', 'null | read done cpis_pseudonym()'), ('views_steward', 'SELECT cpis_pseudonym(child(1), -2147483648)', 'null | read done cpis_pseudonym()'),
	('views_steward', 'SELECT cpis_pseudonym(NULL)', '22004 | '), ('views_analyst', 'SELECT cpis_pseudonym(child(1))', '42501 | '),
	('views_app', 'SELECT cpis_pseudonym(child(1))', '42501 | '), ('views_one', 'SELECT cpis_pseudonym(child(1))', '42501 | ')) AS v (role, query, expected);
GRANT EXECUTE ON FUNCTION cpis_pseudonym TO views_app;
SELECT is(sees('views_app', 'SELECT cpis_pseudonym(child(1))'), '42501 | read refused cpis_pseudonym()', 'who was granted it and is no steward is refused, recorded');
REVOKE EXECUTE ON FUNCTION cpis_pseudonym FROM views_app;
BEGIN;
DELETE FROM cpis.pseudonym_key;
SELECT is(sees('views_analyst', 'SELECT count(*) > 0 AND count(person) + count(worker) = 0 FROM cpis.analyst_event'), 'true | ', 'without the year''s key there are no pseudonyms');
ROLLBACK;
SELECT is(sees('views_analyst', 'SELECT count(person) > 0 FROM cpis.analyst_event'), 'true | ', 'with it there are');

-- Stewards.
SELECT is(sees('views_steward', query), expected, query) FROM (VALUES
	('SELECT count(*) FROM cpis.steward_event WHERE worker_name = ''Ben'' AND organisation = ''RVB''', '1 | read done cpis.steward_event'), ('SELECT 1 FROM cpis.steward_event LIMIT 1', '1 | read done cpis.steward_event'),
	('SELECT count(*) > 0 FROM cpis.steward_event a JOIN cpis.steward_event b USING (event_id)', 'true | read done cpis.steward_event; read done cpis.steward_event'),
	('SELECT (SELECT count(*) > 0 FROM cpis.steward_event WHERE event_id >= n) FROM generate_series(0, 3) n ORDER BY n LIMIT 1', 'true | read done cpis.steward_event'),
	('SELECT cpis_hold_place(''x'', nhs_number => child(1)) > 0', 'true | hold done placed on this NHS number; x'), ('SELECT count(*) FROM cpis.steward_hold WHERE nhs_number = child(1)', '1 | read done cpis.steward_hold'),
	('SELECT cpis.record_read(''analyst'')', '22023 | '), ('SELECT count(*) FROM cpis.audit_event', '42501 | '), ('SELECT count(*) FROM cpis.authority_plan', '42501 | ')) AS v (query, expected);
CREATE FUNCTION explained(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP plan := plan || line || E'\n'; END LOOP;
	RETURN plan;
END $$;
SELECT is(sees('views_steward', 'SELECT (SELECT explained(''SELECT * FROM cpis.steward_event'') ~ ''One-Time Filter'')'), 'true | ', 'EXPLAIN alone leaves nothing');
SELECT set_eq('SELECT attname::text FROM pg_attribute WHERE attrelid = ''cpis.steward_event''::regclass AND attnum > 0', 'SELECT attname::text FROM pg_attribute WHERE attrelid = ''cpis.audit_event''::regclass AND attnum > 0', 'all columns of the trail');
GRANT SELECT ON cpis.steward_event TO views_analyst; GRANT EXECUTE ON FUNCTION cpis.record_read TO views_analyst;
SELECT is(sees('views_analyst', 'SELECT count(*) FROM cpis.steward_event'), '42501 | read refused not entitled to read cpis.steward_event', 'who was granted it, and is no steward');
REVOKE SELECT ON cpis.steward_event FROM views_analyst; REVOKE EXECUTE ON FUNCTION cpis.record_read FROM views_analyst;

-- What is unusual: made up, in months of their own, and taken back.  Days ago, hour in England, worker, found or the authority's plan.
CREATE FUNCTION made_up() RETURNS void LANGUAGE plpgsql SET TimeZone = 'UTC' AS $$
DECLARE
	m timestamptz;
	name text;
BEGIN
	FOR m IN SELECT generate_series(date_trunc('month', now() - interval '125 days', 'UTC'), date_trunc('month', now(), 'UTC'), interval '1 month') LOOP
		name := to_char(m AT TIME ZONE 'UTC', '"audit_event_"YYYY_MM');
		IF to_regclass('cpis.' || name) IS NULL THEN
			EXECUTE format('CREATE TABLE cpis.%I PARTITION OF cpis.audit_event FOR VALUES FROM (%L) TO (%L)', name, m, m + interval '1 month');
		END IF;
	END LOOP;
END $$;
CREATE FUNCTION access(first bigint, n integer, at timestamptz, step interval, worker text, outcome text, authority text = NULL, person integer = 0, device text = NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO cpis.audit_event (event_id, recorded_at, action, outcome, nhs_number, worker_name, organisation, care_setting, notify, notified_authority, session_role, effective_role, backend_pid, salt, leaf_hash, system_id, detail)
	SELECT first + i, at + step * i, 'lookup', outcome, child(100 + person + i), worker, 'RUN', 'camhs', true, CASE WHEN authority IS NOT NULL THEN ARRAY[authority] END, 'app', 'app', 1, '', '', device, CASE WHEN device IS NOT NULL THEN 'author: device' END
	FROM generate_series(0, n - 1) i
$$;
SELECT date_trunc('day', now() - interval '2 days', 'Europe/London') AS day \gset
BEGIN;
SELECT made_up();
-- 31 people within an hour, and 30; 31 look-ups of fewer; the hour of another month is not recent.
SELECT access(900000000, 31, :'day'::timestamptz + interval '10 hours', '1 minute', 'many', 'found'), access(900000100, 30, :'day'::timestamptz + interval '10 hours', '1 minute', 'thirty', 'found'),
	access(900000200, 31, now() - interval '40 days', '1 second', 'before', 'found');
SELECT is(sees('views_steward', 'SELECT string_agg(concat_ws('' '', worker, lookups, people, found, last_event - first_event), '', '') FROM cpis.unusual_bulk WHERE organisation = ''RUN'''), 'many 31 31 31 30 | read done cpis.unusual_bulk', 'bulk');
-- Over the turn of the hour, and over an hour but for a second; an hour apart; one of the 31 is a person again; in part a device, and a device.
SELECT access(900000300, 31, :'day'::timestamptz + interval '10 hours 45 minutes', '1 minute', 'turn', 'found'), access(900000400, 31, :'day'::timestamptz + interval '10 hours 20 minutes', '119.9 seconds', 'within', 'found'),
	access(900000500, 31, :'day'::timestamptz + interval '10 hours', '2 minutes', 'apart', 'found'), access(900000600, 30, :'day'::timestamptz + interval '10 hours', '1 minute', 'again', 'found'),
	access(900000650, 1, :'day'::timestamptz + interval '10 hours 40 minutes', '1 minute', 'again', 'found'), access(900000700, 16, :'day'::timestamptz + interval '10 hours', '1 minute', 'both', 'found'),
	access(900000720, 15, :'day'::timestamptz + interval '10 hours', '1 minute', 'both', 'found', person => 16, device => 'both'), access(900000750, 31, :'day'::timestamptz + interval '10 hours', '1 minute', 'thirty', 'found', device => 'kiosk');
SELECT is(sees('views_steward', 'SELECT string_agg(concat_ws('' '', worker, worker_name, device, lookups, people, found, last_event - first_event, extract(epoch FROM ended_at - began_at)::integer), '', '' ORDER BY worker) FROM cpis.unusual_bulk WHERE organisation = ''RUN'''),
	'kiosk thirty t 31 31 31 30 1800, many many f 31 31 31 30 1800, turn turn f 31 31 31 30 1800, within within f 31 31 31 30 3597 | read done cpis.unusual_bulk', 'of 60 minutes, devices apart');
-- 70 people at 1 minute are one case, with 60 in an hour at most; those of the next day are another.
SELECT access(900000800, 70, :'day'::timestamptz + interval '12 hours', '1 minute', 'long', 'not_found'), access(900000900, 31, :'day'::timestamptz + interval '20 hours', '1 minute', 'long', 'not_found');
SELECT is(sees('views_steward', 'SELECT string_agg(concat_ws('' '', lookups, people, found), '', '' ORDER BY began_at) FROM cpis.unusual_bulk WHERE worker = ''long'''), '70 60 0, 31 31 0 | read done cpis.unusual_bulk', 'cases');
-- 20 misses in a row within ten minutes; over a day; 19; interrupted.
SELECT access(900001000, 20, :'day'::timestamptz + interval '12 hours', '20 seconds', 'guesses', 'not_found'), access(900001100, 20, :'day'::timestamptz, '1 hour', 'works', 'not_found'),
	access(900001200, 19, :'day'::timestamptz + interval '12 hours', '20 seconds', 'nineteen', 'not_found'), access(900001300, 10, :'day'::timestamptz + interval '12 hours', '20 seconds', 'finds', 'not_found'),
	access(900001350, 1, :'day'::timestamptz + interval '12 hours 4 minutes', '1 second', 'finds', 'found'), access(900001360, 15, :'day'::timestamptz + interval '12 hours 5 minutes', '20 seconds', 'finds', 'not_found');
SELECT is(sees('views_steward', 'SELECT string_agg(concat_ws('' '', worker, misses, people, extract(epoch FROM ended_at - began_at)::integer), '', '') FROM cpis.unusual_misses WHERE organisation = ''RUN'''), 'guesses 20 20 380 | read done cpis.unusual_misses', 'misses');
-- 20 look-ups of 19 numbers, and another number later.
SELECT access(900001400, 19, :'day'::timestamptz + interval '12 hours', '20 seconds', 'repeats', 'not_found'), access(900001420, 1, :'day'::timestamptz + interval '12 hours 7 minutes', '1 second', 'repeats', 'not_found'),
	access(900001430, 1, :'day'::timestamptz + interval '15 hours', '1 second', 'repeats', 'not_found', person => 20);
SELECT is(sees('views_steward', 'SELECT count(*) FROM cpis.unusual_misses WHERE worker = ''repeats'''), '0 | read done cpis.unusual_misses', 'numbers again are not different');
-- 60 accesses about 10 h, and one at 3 h; who works at 23 h is not unusual at 0 h; 40 are too few to tell.
SELECT access(900002000 + d * 10, 1, :'day'::timestamptz - d * interval '1 day' + interval '10 hours', '1 second', w, 'not_found') FROM generate_series(1, 60) d, unnest(ARRAY['early']) w;
SELECT access(900003000 + d * 10, 1, :'day'::timestamptz - d * interval '1 day' + interval '23 hours', '1 second', 'late', 'not_found') FROM generate_series(1, 60) d;
SELECT access(900004000 + d * 10, 1, :'day'::timestamptz - d * interval '1 day' + interval '10 hours', '1 second', 'new', 'not_found') FROM generate_series(1, 40) d;
SELECT access(900005000, 1, :'day'::timestamptz + interval '3 hours', '1 second', 'early', 'not_found'), access(900005001, 1, :'day'::timestamptz + interval '30 minutes', '1 second', 'late', 'not_found'),
	access(900005002, 1, :'day'::timestamptz + interval '3 hours', '1 second', 'new', 'not_found');
SELECT is(sees('views_steward', 'SELECT string_agg(concat_ws('' '', worker, extract(hour FROM local_time), accesses, about_this_hour, event_id), '', '') FROM cpis.unusual_hours WHERE organisation = ''RUN'''), 'early 3 61 1 900005000 | read done cpis.unusual_hours', 'hours');
ROLLBACK;
BEGIN;
SELECT made_up();
-- 150 of one authority, and one of another; an organisation with 50 is too small to tell.
SELECT access(900006000, 150, :'day'::timestamptz - interval '10 days', '1 hour', 'near', 'found', 'E06000061'), access(900006500, 1, :'day'::timestamptz, '1 hour', 'far', 'found', 'E06000062');
SELECT is(sees('views_steward', 'SELECT string_agg(concat_ws('' '', worker, local_authority, accesses, of_authority, event_id), '', '') FROM cpis.unusual_distance WHERE organisation = ''RUN'''), 'far E06000062 151 1 900006500 | read done cpis.unusual_distance', 'distance');
SELECT access(900007000, 1, :'day'::timestamptz, '1 hour', 'again', 'found', 'E06000062');
SELECT is(sees('views_steward', 'SELECT count(*) FROM cpis.unusual_distance WHERE organisation = ''RUN'''), '0 | read done cpis.unusual_distance', 'one in a hundred is not');
ROLLBACK;
BEGIN;
SELECT made_up();
SELECT access(900008000, 50, :'day'::timestamptz - interval '10 days', '1 hour', 'near', 'found', 'E06000061'), access(900008500, 1, :'day'::timestamptz, '1 hour', 'far', 'found', 'E06000062');
SELECT is(sees('views_steward', 'SELECT count(*) FROM cpis.unusual_distance WHERE organisation = ''RUN'''), '0 | read done cpis.unusual_distance', 'too few to tell');
ROLLBACK;
SELECT is_empty('SELECT problem FROM cpis_audit_verify() WHERE problem IS NOT NULL', 'the trail is whole');
SELECT * FROM finish();

SELECT cpis_hold_release(hold_id, 'x') FROM cpis.hold WHERE nhs_number = child(1) AND released_at IS NULL \g /dev/null
DROP FUNCTION access, made_up, explained, sees;
SELECT count(cpis_scope_revoke(role_name, organisation, local_authority)) AS revoked FROM cpis.role_scope WHERE role_name LIKE 'views%';
ALTER TABLE cpis.submission_record DISABLE TRIGGER own_change;
ALTER TABLE cpis.submission DISABLE TRIGGER own_change;
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.submission_record WHERE submission_id IN (SELECT submission_id FROM cpis.submission WHERE local_authority LIKE 'E0600006_');
DELETE FROM cpis.submission WHERE local_authority LIKE 'E0600006_';
DELETE FROM cpis.plan WHERE local_authority LIKE 'E0600006_';
ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change;
ALTER TABLE cpis.submission ENABLE ALWAYS TRIGGER own_change;
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DROP FUNCTION child;
DELETE FROM cpis.local_authority WHERE code LIKE 'E0600006_';
DELETE FROM cpis.organisation WHERE code LIKE 'RV_';
DROP ROLE views_app, views_one, views_both, views_none, views_analyst, views_steward;
DROP EXTENSION pgtap;

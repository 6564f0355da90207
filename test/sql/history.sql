-- The access history: what is shown, to whom, for how long.  Accesses of the
-- past are put into the trail by hand, which an INSERT may, far below the
-- numbers that the writer gives, and taken out again at the end.
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE ROLE history_app IN ROLE cpis_clinical;
CREATE ROLE history_other IN ROLE cpis_clinical;
INSERT INTO cpis.local_authority VALUES ('E06000041', 'History', NULL, '01632 960041');
INSERT INTO cpis.organisation VALUES ('RHA', 'TRUST A'), ('RHB', 'TRUST B');
SELECT count(cpis_scope_grant(role, organisation => code)) AS granted FROM (VALUES ('history_app'), ('history_other')) AS r (role), (VALUES ('RHA'), ('RHB')) AS o (code);
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
	SELECT nhs_number_synthetic(n), 'unborn', 'E06000041', '2026-01-01' FROM generate_series(4001, 4004) n;

-- The month before this one, so that the past has a place.
SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month', 'YYYY-MM-DD 00:00:00+00') AS first,
	to_char(date_trunc('month', now() AT TIME ZONE 'UTC'), 'YYYY-MM-DD 00:00:00+00') AS after \gset
CREATE TABLE cpis.audit_event_past (LIKE cpis.audit_event);
CREATE INDEX audit_event_past_event_id_idx ON cpis.audit_event_past (event_id);
CREATE INDEX audit_event_past_nhs_number_idx ON cpis.audit_event_past (nhs_number, event_id);
ALTER TABLE cpis.audit_event ATTACH PARTITION cpis.audit_event_past
	FOR VALUES FROM (:'first') TO (:'after');

-- An access to child n, so many hours after the last month began.
CREATE SEQUENCE number MINVALUE -1000000 START -1000000;
CREATE FUNCTION access(child integer, hours numeric, worker text, org text = 'RHA', id text = NULL,
	act text = 'lookup', result text = 'found', told boolean = true, role text = 'history_app', made timestamptz = NULL)
	RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO cpis.audit_event (event_id, recorded_at, action, outcome, nhs_number, worker_name, worker_id, organisation,
			care_setting, notify, session_role, effective_role, backend_pid, salt, leaf_hash)
		VALUES (nextval('number'),
			coalesce(made, (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month' + hours * interval '1 hour') AT TIME ZONE 'UTC'),
			act, result, nhs_number_synthetic(child), worker, id, org, 'nhs_111', told, session_user, role, 1, '', '')
		RETURNING event_id
$$;
-- The history as it is shown now: a look-up by worker "now" asks.
CREATE FUNCTION shown(child integer) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(worker_name || ' ' || organisation, ', ' ORDER BY n)
	FROM (SELECT DISTINCT event_id FROM cpis_lookup(nhs_number_synthetic(child), 'now', 'RHB', 'camhs')) AS asking,
		cpis_access_history(event_id) WITH ORDINALITY AS h (accessed_at, worker_name, job_role, organisation, organisation_name, care_setting, n)
$$;

-- Of one worker in one organisation the first within 24 hours, rolling from
-- the last that is shown; a worker known by an identifier is one whatever the name.
SELECT count(access(4001, h, w, o, i)) FROM (VALUES
	(0, 'a1 shown', 'RHA', 'i'), (1, 'a2 hidden', 'RHA', 'i'), (2, 'b shown', 'RHA', NULL), (3, 'a3 elsewhere shown', 'RHB', 'i'),
	(20, 'a4 hidden', 'RHA', 'i'), (23.99, 'a5 hidden', 'RHA', 'i'), (24, 'a6 shown', 'RHA', 'i'), (40, 'a7 hidden', 'RHA', 'i'),
	(50, 'a8 shown', 'RHA', 'i'), (51, 'i', 'RHA', NULL)) AS v (h, w, o, i);
-- Neither silent, nor flagged, nor refused, nor missed; nor another child.
SELECT count(access(4001, 60, 'no', told => false)), count(access(4001, 60, 'no', act => 'flag')),
	count(access(4001, 60, 'no', result => 'refused')), count(access(4001, 60, 'no', result => 'not_found')),
	count(access(4002, 60, 'no'));
SET ROLE history_app;
SELECT shown(4001);
-- The look-up that asks is shown though it repeats.
SELECT shown(4001);
-- A look-up that found nothing has no history, though there was one.
SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(4009), 'x', 'RHA', 'camhs');
RESET ROLE;
SELECT access(4009, 1, 'was here') IS NOT NULL AS past;
SELECT max(event_id) AS missed FROM cpis.audit_event WHERE outcome = 'not_found' AND worker_name = 'x' \gset
SET ROLE history_app;
SELECT count(*) FROM cpis_access_history(:missed);
-- Nor has one that was refused.
SELECT cpis_lookup(nhs_number_synthetic(4001), 'refused', 'RZZ', 'camhs');
RESET ROLE;
SELECT max(event_id) AS refused FROM cpis.audit_event WHERE outcome = 'refused' AND worker_name = 'refused' \gset
SET ROLE history_app;
SELECT count(*) FROM cpis_access_history(:refused);
RESET ROLE;

-- The 25 newest, newest first, the one that asks among them even if 30 came after it.
SELECT count(access(4003, n, 'w' || n)) FROM generate_series(1, 30) n;
SET ROLE history_app;
SELECT event_id AS asking FROM cpis_lookup(nhs_number_synthetic(4003), 'asking', 'RHA', 'camhs') \gset
SELECT count(*), min(worker_name) FILTER (WHERE accessed_at < now() - interval '1 hour') AS smallest,
	bool_and(accessed_at <= before) AS newest_first
	FROM (SELECT *, lag(accessed_at, 1, 'infinity') OVER () AS before FROM cpis_access_history(:asking)) h;
SELECT count(*) FROM (SELECT cpis_lookup(nhs_number_synthetic(4003), 'later ' || n, 'RHA', 'camhs') FROM generate_series(1, 30) n) later;
SELECT count(*), count(*) FILTER (WHERE worker_name = 'asking') AS asking, count(*) FILTER (WHERE worker_name LIKE 'later%') AS later
	FROM cpis_access_history(:asking);
-- What is told of an access.
SELECT worker_name, job_role, organisation, organisation_name, care_setting, accessed_at > now() - interval '1 minute' AS now
	FROM cpis_access_history((SELECT event_id FROM cpis_lookup(nhs_number_synthetic(4004), 'who', 'RHB', 'camhs', job_role => 'Midwife')));
RESET ROLE;
-- A silent look-up sees the history and is not in it.
SELECT worker_name FROM cpis_access_history((SELECT event_id FROM cpis_lookup(nhs_number_synthetic(4004), 'silent', 'RHB', 'camhs', notify => false)));

-- Only for the role that made the look-up, and only for an hour.
SET ROLE history_other;
SELECT * FROM cpis_access_history(:asking);
RESET ROLE;
SELECT * FROM cpis_access_history(:asking);
-- Also inside the present month where it has an hour to look back on.
SELECT access(4004, 0, 'hour', made => now() - interval '59 minutes') AS open, access(4004, 0, 'old', made => now() - interval '61 minutes') AS closed \gset
SET ROLE history_app;
SELECT count(*) > 0 AS open FROM cpis_access_history(:open);
SELECT count(*) FROM cpis_access_history(:closed);
SELECT count(*) FROM cpis_access_history(987654321);
SELECT count(*) FROM cpis_access_history(NULL);
SELECT cpis_flag(nhs_number_synthetic(4004), 'flag', 'RHA', 'camhs');
RESET ROLE;
SELECT max(event_id) AS flag FROM cpis.audit_event WHERE action = 'flag' \gset
SET ROLE history_app;
SELECT count(*) FROM cpis_access_history(:flag);
RESET ROLE;

-- Take out what was put in.
ALTER TABLE cpis.audit_event DETACH PARTITION cpis.audit_event_past;
SET cpis.allow_drop = on;
DROP TABLE cpis.audit_event_past;
RESET cpis.allow_drop;
SELECT relid::regclass AS month FROM pg_partition_tree('cpis.audit_event') WHERE isleaf ORDER BY relid::regclass::text LIMIT 1 \gset
ALTER TABLE :month DISABLE TRIGGER append_only;
DELETE FROM :month WHERE event_id < 0;
ALTER TABLE :month ENABLE ALWAYS TRIGGER append_only;
DROP FUNCTION access, shown;
DROP SEQUENCE number;
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE local_authority = 'E06000041';
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DELETE FROM cpis.local_authority WHERE code = 'E06000041';
DELETE FROM cpis.organisation WHERE code LIKE 'RH_';
DROP ROLE history_app, history_other;

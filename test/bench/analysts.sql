-- A year of England for analysts, in a database with growth.sql: events that differ as those of a
-- year do, what authorities acknowledged, and what they sent.  Hashes of the event's number decide,
-- so that each run has the same.

\set ON_ERROR_STOP on

-- Organisations and care settings, with numbers from 0.
CREATE TABLE bench.place_of_work AS
	SELECT row_number() OVER (ORDER BY code) - 1 AS n, code FROM cpis.organisation;
CREATE TABLE bench.setting AS
	SELECT row_number() OVER (ORDER BY unscheduled DESC, code) - 1 AS n, code FROM cpis.care_setting;
ANALYZE bench.place_of_work, bench.setting;

-- A number from 0 to below "most" that goes with an event, another one for each seed.
CREATE FUNCTION bench.draw(event_id bigint, seed bigint, most bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT (hashint8extended(event_id, seed) & 9223372036854775807) % most
$$;

-- Make a month with the events from "first" to before "last": 20 of 100 find a plan, 1 of 200 is
-- refused; 10 are flags, 5 silent.  An organisation, some more often than others, looks in three
-- settings, and has 40 workers.
CREATE FUNCTION bench.fill_varied_month(month timestamptz, first bigint, last bigint) RETURNS void LANGUAGE plpgsql
	SET timezone = 'UTC' SET jit = off SET work_mem = '64MB' AS $$
DECLARE
	begins double precision = extract(epoch FROM month);
	ends double precision = extract(epoch FROM least(month + interval '1 month', now()));
	places bigint = (SELECT count(*) FROM bench.turn);
	organisations bigint = (SELECT count(*) FROM bench.place_of_work);
BEGIN
	PERFORM bench.make_month(month);
	EXECUTE format($insert$
		INSERT INTO cpis.%I (event_id, recorded_at, action, outcome, nhs_number, worker_name, worker_id, job_role,
			organisation, care_setting, notify, notified_authority, notification_no, plan_ids,
			session_role, effective_role, application_name, backend_pid, detail, salt, leaf_hash)
		SELECT m.event_id, to_timestamp($3 + ($4 - $3) * (m.event_id - $1) / ($2 - $1)), m.action, m.outcome,
			CASE m.outcome WHEN 'found' THEN t.nhs_number ELSE CAST(bench.ten_digits(200000 + bench.draw(m.event_id, 5, 3000000)) AS nhs_number) END,
			'Dr A Shah', o.code || '-' || bench.draw(m.event_id, 6, 40), 'Consultant',
			o.code, s.code, m.action = 'lookup' AND NOT m.silent,
			CASE WHEN m.outcome = 'found' AND m.action = 'lookup' AND NOT m.silent THEN ARRAY[t.local_authority] END,
			-- Not without gaps, as the writer's are.
			CASE WHEN m.outcome = 'found' AND m.action = 'lookup' AND NOT m.silent THEN ARRAY[m.event_id + 1] END,
			CASE WHEN m.outcome = 'found' THEN ARRAY[t.plan_id] END,
			'ed_app', 'ed_app', 'pgbench', 1000000, CASE m.outcome WHEN 'refused' THEN 'not entitled' END,
			int8send(hashint8extended(m.event_id, 1)) || int8send(hashint8extended(m.event_id, 2)), sha256(int8send(m.event_id))
		FROM (
			SELECT event_id, CASE WHEN bench.draw(event_id, 3, 10) = 0 THEN 'flag' ELSE 'lookup' END AS action,
				CASE WHEN bench.draw(event_id, 4, 200) < 40 THEN 'found' WHEN bench.draw(event_id, 4, 200) = 40 THEN 'refused' ELSE 'not_found' END AS outcome,
				bench.draw(event_id, 7, 20) = 0 AS silent, bench.draw(event_id, 8, $5) AS place,
				-- The product of two draws: a few organisations have most.
				bench.draw(event_id, 9, $6) * bench.draw(event_id, 10, $6) / $6 AS work, bench.draw(event_id, 11, 3) AS setting
			FROM (SELECT generate_series($1, $2 - 1) AS event_id) AS made) AS m
			JOIN bench.turn t ON t.place = m.place
			JOIN bench.place_of_work o ON o.n = m.work
			JOIN bench.setting s ON s.n = (m.work + m.setting * 5) %% 16
		ORDER BY m.event_id
		$insert$, bench.month_name(month)) USING first, last, begins, ends, places, organisations;
	PERFORM bench.finish_month(month);
END $$;

-- The notices of these events, what authorities acknowledged, each once a day, after 1 to 40
-- hours, and what they sent: each a file a day, and of the last 30 days the records.
CREATE FUNCTION bench.fill_authorities() RETURNS void LANGUAGE plpgsql
	SET timezone = 'UTC' SET jit = off SET work_mem = '64MB' AS $$
BEGIN
	INSERT INTO cpis.notification (local_authority, notification_no, event_id)
		SELECT e.notified_authority[1], e.notification_no[1], e.event_id FROM cpis.audit_event e WHERE e.notified_authority IS NOT NULL;
	INSERT INTO cpis.acknowledgement (local_authority, acknowledged, acknowledged_at)
		SELECT e.notified_authority[1], max(e.notification_no[1]), max(e.recorded_at) + (1 + bench.draw(max(e.event_id), 12, 40)) * interval '1 hour'
		FROM cpis.audit_event e WHERE e.notified_authority IS NOT NULL AND e.recorded_at < now() - interval '2 days'
		GROUP BY e.notified_authority[1], date_trunc('day', e.recorded_at);
	INSERT INTO cpis.submission (local_authority, kind, opened_at, answered_at, file_code, accepted, rejected, ended, event_id)
		SELECT a.code, 'delta', d.at, d.at + interval '1 minute', CASE WHEN n.rejected = 0 THEN 'CPF02' ELSE 'CPF03' END, 10 - n.rejected, n.rejected, 0, 0
		FROM cpis.local_authority a CROSS JOIN generate_series(now() - interval '1 year', now() - interval '1 day', interval '1 day') AS d (at)
			CROSS JOIN LATERAL (SELECT bench.draw(hashtext(a.code) + extract(epoch FROM d.at)::bigint, 13, 3)) AS n (rejected);
	INSERT INTO cpis.submission_record (submission_id, line_no, record_code, detail_code, field, commitment_salt)
		SELECT s.submission_id, line, CASE WHEN line > s.rejected THEN 'CPR06' ELSE 'CPR07' END, CASE WHEN line <= s.rejected THEN 'plan_type_unknown' END,
			CASE WHEN line <= s.rejected THEN 'plan_type' END, int8send(s.submission_id) || int8send(line)
		FROM cpis.submission s CROSS JOIN generate_series(1, 10) AS line WHERE s.answered_at > now() - interval '30 days';
END $$;

-- Milliseconds that it takes to read all columns and rows of a view, and how many rows there are.
CREATE FUNCTION bench.read_view(view text, OUT milliseconds double precision, OUT n bigint) LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz = clock_timestamp();
BEGIN
	EXECUTE format('SELECT count(*) FROM (SELECT v::text FROM %s v OFFSET 0) AS v (line)', view) INTO n;
	milliseconds = extract(epoch FROM clock_timestamp() - began) * 1000;
END $$;
GRANT USAGE ON SCHEMA bench TO PUBLIC;

/*
 * Accesses that a privacy officer should look at.  None of them is proof of anything; each
 * names the events.  They show names: who reads them is recorded (src/trail_read.c).
 *
 * A worker is known by the identifier that the application gave, else by the name, within an
 * organisation; a device that is the author by its own, whoever it says it acts for.  Hours of the day are those of England.
 *
 * Each has a view of its own behind it, which is read to count them (sql/summary.sql); that
 * has the same columns.
 */
CREATE VIEW cpis.worker_access AS
	SELECT e.event_id, e.recorded_at, e.recorded_at AT TIME ZONE 'Europe/London' AS local_time, e.outcome, e.nhs_number, e.organisation,
		CASE WHEN cpis.is_device(e.detail) THEN e.system_id ELSE COALESCE(e.worker_id, e.worker_name) END AS worker, cpis.is_device(e.detail) AS device,
		e.worker_name, e.session_role, e.care_setting, e.notified_authority, e.plan_ids
	FROM cpis.audit_event e
	WHERE e.action IN ('lookup', 'flag') AND e.outcome <> 'refused';
REVOKE ALL ON TABLE cpis.worker_access FROM PUBLIC;
COMMENT ON VIEW cpis.worker_access IS 'what is behind the views of unusual access: look-ups that were answered, and the worker who asked';
COMMENT ON COLUMN cpis.worker_access.event_id IS 'number of the event';
COMMENT ON COLUMN cpis.worker_access.recorded_at IS 'when it was recorded';
COMMENT ON COLUMN cpis.worker_access.local_time IS 'the same, in England';
COMMENT ON COLUMN cpis.worker_access.outcome IS 'found or not_found';
COMMENT ON COLUMN cpis.worker_access.nhs_number IS 'person asked about';
COMMENT ON COLUMN cpis.worker_access.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.worker_access.worker IS 'identifier of the healthcare worker, else the name; of a device, system_id';
COMMENT ON COLUMN cpis.worker_access.device IS 'was the author a device?';
COMMENT ON COLUMN cpis.worker_access.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.worker_access.session_role IS 'role that logged in';
COMMENT ON COLUMN cpis.worker_access.care_setting IS 'care setting';
COMMENT ON COLUMN cpis.worker_access.notified_authority IS 'authorities notified';
COMMENT ON COLUMN cpis.worker_access.plan_ids IS 'plans disclosed, or whose presence was disclosed';

/*
 * More than 30 different people within some 60 minutes, by one worker, in the last 31 days.  A person
 * counts from an access until the next one by the same worker, or for an hour: so, at any
 * time, as many count as were looked up in the hour before.  That is only added up for who has
 * looked up 31 times within an hour.  Hours that touch are one case.
 */
CREATE VIEW cpis.bulk_case AS
	WITH access AS MATERIALIZED (
		SELECT a.organisation, a.worker, a.device, a.session_role, a.worker_name, a.recorded_at, a.outcome, a.event_id, a.nhs_number::bigint AS person,
			a.recorded_at - lag(a.recorded_at, 30) OVER (PARTITION BY a.organisation, a.worker, a.device, a.session_role ORDER BY a.recorded_at) < interval '1 hour' AS quick
		FROM cpis.worker_access a
		WHERE a.recorded_at >= now() - interval '31 days'
	), many AS (
		SELECT a.*, least(lead(a.recorded_at) OVER (PARTITION BY a.organisation, a.worker, a.device, a.session_role, a.person ORDER BY a.recorded_at), a.recorded_at + interval '1 hour') AS until
		FROM access a
		WHERE (a.organisation, a.worker, a.device, a.session_role) IN (SELECT q.organisation, q.worker, q.device, q.session_role FROM access q WHERE q.quick)
	), level AS (
		SELECT c.organisation, c.worker, c.device, c.session_role, c.at, sum(c.n) OVER (PARTITION BY c.organisation, c.worker, c.device, c.session_role ORDER BY c.at) AS people
		FROM (SELECT m.organisation, m.worker, m.device, m.session_role, m.recorded_at AS at, 1 AS n FROM many m
			  UNION ALL SELECT m.organisation, m.worker, m.device, m.session_role, m.until, -1 FROM many m) AS c
	), peak AS (
		SELECT l.*, COALESCE(l.at - lag(l.at) OVER (PARTITION BY l.organisation, l.worker, l.device, l.session_role ORDER BY l.at) >= interval '1 hour', true) AS apart
		FROM level l
		WHERE l.people > 30
	), together AS (
		SELECT p.organisation, p.worker, p.device, p.session_role, min(p.at) AS first_at, max(p.at) AS last_at, max(p.people) AS people
		FROM (SELECT k.*, count(*) FILTER (WHERE k.apart) OVER (PARTITION BY k.organisation, k.worker, k.device, k.session_role ORDER BY k.at) AS place FROM peak k) AS p
		GROUP BY p.organisation, p.worker, p.device, p.session_role, p.place
	)
	SELECT t.organisation, t.worker, max(m.worker_name) AS worker_name, t.session_role, t.device, min(m.recorded_at) AS began_at, max(m.recorded_at) AS ended_at,
		count(*) AS lookups, t.people::bigint AS people, count(*) FILTER (WHERE m.outcome = 'found') AS found, min(m.event_id) AS first_event, max(m.event_id) AS last_event
	FROM together t
		JOIN many m ON m.organisation = t.organisation AND m.worker = t.worker AND m.device = t.device AND m.session_role = t.session_role
			AND m.recorded_at > t.first_at - interval '1 hour' AND m.recorded_at <= t.last_at
	GROUP BY t.organisation, t.worker, t.device, t.session_role, t.first_at, t.people;
CREATE VIEW cpis.unusual_bulk WITH (security_barrier) AS
	SELECT u.organisation, u.worker, u.worker_name, u.session_role, u.device, u.began_at, u.ended_at, u.lookups, u.people, u.found, u.first_event, u.last_event
	FROM cpis.bulk_case AS u
	WHERE (SELECT cpis.record_read('unusual_bulk'));
REVOKE ALL ON TABLE cpis.unusual_bulk FROM PUBLIC;
GRANT SELECT ON TABLE cpis.unusual_bulk TO cpis_steward;
COMMENT ON VIEW cpis.unusual_bulk IS 'workers who looked up more than 30 different people within some 60 minutes, of the last 31 days; who reads it is recorded; for cpis_steward';
COMMENT ON COLUMN cpis.unusual_bulk.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.unusual_bulk.worker IS 'identifier of the healthcare worker, else the name; of a device, system_id';
COMMENT ON COLUMN cpis.unusual_bulk.device IS 'was the author a device?';
COMMENT ON COLUMN cpis.unusual_bulk.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.unusual_bulk.session_role IS 'role that logged in';
COMMENT ON COLUMN cpis.unusual_bulk.began_at IS 'when the first of these look-ups was recorded';
COMMENT ON COLUMN cpis.unusual_bulk.ended_at IS 'when the last was';
COMMENT ON COLUMN cpis.unusual_bulk.lookups IS 'how many look-ups';
COMMENT ON COLUMN cpis.unusual_bulk.people IS 'of how many different people, within 60 minutes, at most';
COMMENT ON COLUMN cpis.unusual_bulk.found IS 'how many found a plan';
COMMENT ON COLUMN cpis.unusual_bulk.first_event IS 'the first of these events';
COMMENT ON COLUMN cpis.unusual_bulk.last_event IS 'the last';

/*
 * Most people have no plan, so misses in a row are what honest work looks like.  Whoever guesses
 * numbers is quick: 20 different numbers or more in a row without a plan, within ten minutes; counted as
 * above, in the series of those between two look-ups that found a plan.
 */
CREATE VIEW cpis.misses_case AS
	WITH miss AS MATERIALIZED (
		SELECT i.*, i.recorded_at - lag(i.recorded_at, 19) OVER (PARTITION BY i.organisation, i.worker, i.device, i.session_role, i.run ORDER BY i.event_id) < interval '10 minutes' AS quick
		FROM (
			SELECT a.organisation, a.worker, a.device, a.session_role, a.worker_name, a.recorded_at, a.outcome, a.event_id, a.nhs_number::bigint AS person,
				count(*) FILTER (WHERE a.outcome = 'found') OVER (PARTITION BY a.organisation, a.worker, a.device, a.session_role ORDER BY a.event_id) AS run
			FROM cpis.worker_access a
			WHERE a.recorded_at >= now() - interval '31 days') AS i
		WHERE i.outcome = 'not_found'
	), many AS (
		SELECT m.*, least(lead(m.recorded_at) OVER (PARTITION BY m.organisation, m.worker, m.device, m.session_role, m.run, m.person ORDER BY m.recorded_at), m.recorded_at + interval '10 minutes') AS until
		FROM miss m
		WHERE (m.organisation, m.worker, m.device, m.session_role, m.run) IN (SELECT q.organisation, q.worker, q.device, q.session_role, q.run FROM miss q WHERE q.quick)
	), level AS (
		SELECT c.organisation, c.worker, c.device, c.session_role, c.run, sum(c.n) OVER (PARTITION BY c.organisation, c.worker, c.device, c.session_role, c.run ORDER BY c.at) AS people
		FROM (SELECT m.organisation, m.worker, m.device, m.session_role, m.run, m.recorded_at AS at, 1 AS n FROM many m
			  UNION ALL SELECT m.organisation, m.worker, m.device, m.session_role, m.run, m.until, -1 FROM many m) AS c
	), most AS (
		SELECT l.organisation, l.worker, l.device, l.session_role, l.run, max(l.people)::bigint AS people
		FROM level l
		GROUP BY l.organisation, l.worker, l.device, l.session_role, l.run
		HAVING max(l.people) >= 20
	)
	SELECT t.organisation, t.worker, max(m.worker_name) AS worker_name, t.session_role, t.device, count(*) AS misses, t.people,
		min(m.recorded_at) AS began_at, max(m.recorded_at) AS ended_at, min(m.event_id) AS first_event, max(m.event_id) AS last_event
	FROM most t
		JOIN many m ON m.organisation = t.organisation AND m.worker = t.worker AND m.device = t.device AND m.session_role = t.session_role AND m.run = t.run
	GROUP BY t.organisation, t.worker, t.device, t.session_role, t.run, t.people;
CREATE VIEW cpis.unusual_misses WITH (security_barrier) AS
	SELECT u.organisation, u.worker, u.worker_name, u.session_role, u.device, u.misses, u.people, u.began_at, u.ended_at, u.first_event, u.last_event
	FROM cpis.misses_case AS u
	WHERE (SELECT cpis.record_read('unusual_misses'));
REVOKE ALL ON TABLE cpis.unusual_misses FROM PUBLIC;
GRANT SELECT ON TABLE cpis.unusual_misses TO cpis_steward;
COMMENT ON VIEW cpis.unusual_misses IS 'workers who have asked for 20 different numbers or more within ten minutes, and found nothing: perhaps guessing numbers; of the last 31 days; who reads it is recorded; for cpis_steward';
COMMENT ON COLUMN cpis.unusual_misses.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.unusual_misses.worker IS 'identifier of the healthcare worker, else the name; of a device, system_id';
COMMENT ON COLUMN cpis.unusual_misses.device IS 'was the author a device?';
COMMENT ON COLUMN cpis.unusual_misses.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.unusual_misses.session_role IS 'role that logged in';
COMMENT ON COLUMN cpis.unusual_misses.misses IS 'how many look-ups in a row found nothing';
COMMENT ON COLUMN cpis.unusual_misses.people IS 'for how many different numbers, within ten minutes, at most';
COMMENT ON COLUMN cpis.unusual_misses.began_at IS 'when the first was recorded';
COMMENT ON COLUMN cpis.unusual_misses.ended_at IS 'when the last was';
COMMENT ON COLUMN cpis.unusual_misses.first_event IS 'the first of these events';
COMMENT ON COLUMN cpis.unusual_misses.last_event IS 'the last';

/*
 * Against the worker's own pattern: of his accesses of the last 122 days, 50 or more, fewer than
 * 2 in 100 fall into this hour of the day, the one before or the one after.
 */
CREATE VIEW cpis.hours_case AS
	WITH by_hour AS (
		SELECT a.organisation, a.worker, a.device, extract(hour FROM a.local_time)::integer AS hour, count(*) AS accesses
		FROM cpis.worker_access a
		WHERE a.recorded_at >= now() - interval '122 days'
		GROUP BY a.organisation, a.worker, a.device, extract(hour FROM a.local_time)
	), pattern AS (
		SELECT h.organisation, h.worker, h.device, h.hour, sum(o.accesses)::bigint AS accesses,
			-- One hour before and after: from 23 to 0, too.
			(sum(o.accesses) FILTER (WHERE (o.hour - h.hour + 25) % 24 <= 2))::bigint AS about_this_hour
		FROM by_hour h JOIN by_hour o ON o.organisation = h.organisation AND o.worker = h.worker AND o.device = h.device
		GROUP BY h.organisation, h.worker, h.device, h.hour
	)
	SELECT a.organisation, a.worker, a.worker_name, a.session_role, a.device, a.local_time, a.care_setting, p.accesses, p.about_this_hour, a.event_id
	FROM cpis.worker_access a
		JOIN pattern p ON p.organisation = a.organisation AND p.worker = a.worker AND p.device = a.device AND p.hour = extract(hour FROM a.local_time)::integer
	WHERE a.recorded_at >= now() - interval '31 days' AND p.accesses >= 50 AND p.about_this_hour * 50 < p.accesses;
CREATE VIEW cpis.unusual_hours WITH (security_barrier) AS
	SELECT u.organisation, u.worker, u.worker_name, u.session_role, u.device, u.local_time, u.care_setting, u.accesses, u.about_this_hour, u.event_id
	FROM cpis.hours_case AS u
	WHERE (SELECT cpis.record_read('unusual_hours'));
REVOKE ALL ON TABLE cpis.unusual_hours FROM PUBLIC;
GRANT SELECT ON TABLE cpis.unusual_hours TO cpis_steward;
COMMENT ON VIEW cpis.unusual_hours IS 'accesses of the last 31 days at an hour about which the worker hardly ever looks up; who reads it is recorded; for cpis_steward';
COMMENT ON COLUMN cpis.unusual_hours.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.unusual_hours.worker IS 'identifier of the healthcare worker, else the name; of a device, system_id';
COMMENT ON COLUMN cpis.unusual_hours.device IS 'was the author a device?';
COMMENT ON COLUMN cpis.unusual_hours.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.unusual_hours.session_role IS 'role that logged in';
COMMENT ON COLUMN cpis.unusual_hours.local_time IS 'time of the access, in England';
COMMENT ON COLUMN cpis.unusual_hours.care_setting IS 'care setting';
COMMENT ON COLUMN cpis.unusual_hours.accesses IS 'accesses of this worker in 122 days, 50 or more';
COMMENT ON COLUMN cpis.unusual_hours.about_this_hour IS 'how many of them were in this hour of the day, the one before or the one after: fewer than 2 in 100';
COMMENT ON COLUMN cpis.unusual_hours.event_id IS 'number of the event';

/*
 * Far is where an organisation hardly ever looks: of what it found in 122 days, 100 accesses or
 * more, fewer than 1 in 100 were of this authority.  Flags and silent look-ups count while their plans are held.
 */
CREATE VIEW cpis.distance_case AS
	WITH led AS (
		SELECT a.organisation, a.worker, a.worker_name, a.session_role, a.device, a.recorded_at, a.care_setting, a.event_id, t.local_authority
		FROM cpis.worker_access a
			-- Whom a look-up notified; of a flag or a silent look-up, whose plans they are.
			CROSS JOIN LATERAL unnest(COALESCE(a.notified_authority,
				ARRAY(SELECT DISTINCT p.local_authority FROM cpis.plan p WHERE p.plan_id = ANY (a.plan_ids)))) AS t (local_authority)
		WHERE a.outcome = 'found' AND a.recorded_at >= now() - interval '122 days'
	), share AS (
		SELECT l.organisation, l.local_authority, count(*) AS of_authority, (sum(count(*)) OVER (PARTITION BY l.organisation))::bigint AS accesses
		FROM led l
		GROUP BY l.organisation, l.local_authority
	)
	SELECT l.organisation, l.worker, l.worker_name, l.session_role, l.device, l.recorded_at, l.care_setting, l.local_authority, s.accesses, s.of_authority, l.event_id
	FROM led l JOIN share s ON s.organisation = l.organisation AND s.local_authority = l.local_authority
	WHERE l.recorded_at >= now() - interval '31 days' AND s.accesses >= 100 AND s.of_authority * 100 < s.accesses;
CREATE VIEW cpis.unusual_distance WITH (security_barrier) AS
	SELECT u.organisation, u.worker, u.worker_name, u.session_role, u.device, u.recorded_at, u.care_setting, u.local_authority, u.accesses, u.of_authority, u.event_id
	FROM cpis.distance_case AS u
	WHERE (SELECT cpis.record_read('unusual_distance'));
REVOKE ALL ON TABLE cpis.unusual_distance FROM PUBLIC;
GRANT SELECT ON TABLE cpis.unusual_distance TO cpis_steward;
COMMENT ON VIEW cpis.unusual_distance IS 'accesses of the last 31 days to children of an authority whose children the organisation hardly ever looks up; who reads it is recorded; for cpis_steward';
COMMENT ON COLUMN cpis.unusual_distance.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.unusual_distance.worker IS 'identifier of the healthcare worker, else the name; of a device, system_id';
COMMENT ON COLUMN cpis.unusual_distance.device IS 'was the author a device?';
COMMENT ON COLUMN cpis.unusual_distance.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.unusual_distance.session_role IS 'role that logged in';
COMMENT ON COLUMN cpis.unusual_distance.recorded_at IS 'when the access was recorded';
COMMENT ON COLUMN cpis.unusual_distance.care_setting IS 'care setting';
COMMENT ON COLUMN cpis.unusual_distance.local_authority IS 'authority of the plan';
COMMENT ON COLUMN cpis.unusual_distance.accesses IS 'accesses of the organisation in 122 days that found a plan, 100 or more; those with plans of several authorities count for each';
COMMENT ON COLUMN cpis.unusual_distance.of_authority IS 'how many of them were of this authority: fewer than 1 in 100';
COMMENT ON COLUMN cpis.unusual_distance.event_id IS 'number of the event';

DO $$
DECLARE
	inner_column record;
	inner_view text;
BEGIN
	FOREACH inner_view IN ARRAY ARRAY['bulk', 'misses', 'hours', 'distance']
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON TABLE cpis.%I FROM PUBLIC', inner_view || '_case');
		EXECUTE pg_catalog.format('COMMENT ON VIEW cpis.%I IS %L', inner_view || '_case', 'what is behind cpis.unusual_' || inner_view);
		FOR inner_column IN
			SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) AS comment
			FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = ('cpis.unusual_' || inner_view)::pg_catalog.regclass AND a.attnum > 0
		LOOP
			EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.%I IS %L', inner_view || '_case', inner_column.attname, inner_column.comment);
		END LOOP;
	END LOOP;
END
$$;

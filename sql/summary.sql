/*
 * Summaries for analysts: how many accesses, notices, acknowledgements and rejections there
 * were, by day or month, without anybody in them.  They stay when the events have aged out.
 *
 * Each run of cpis_summarise() (src/summary.c) takes the events that have come since the last
 * one, up to the end of yesterday.  It appends their numbers by day, and adds them to those of the
 * month.  What asks for a number adds those of the events that are not summarised yet: so its
 * answer is that of the events themselves, whenever the last run was.  Days and months are those
 * of England.
 */
CREATE TABLE cpis.summary (
	first_event bigint NOT NULL,
	last_event bigint NOT NULL,
	completed_month date
		CONSTRAINT summary_completed_month_key UNIQUE,
	summarised_at timestamptz NOT NULL,
	-- A run of events, or the end of a month and none.
	CONSTRAINT summary_events CHECK (CASE WHEN completed_month IS NULL THEN last_event >= first_event ELSE last_event = first_event - 1 END)
);
-- No event is counted twice.
CREATE UNIQUE INDEX summary_first_event_key ON cpis.summary (first_event) WHERE completed_month IS NULL;
REVOKE ALL ON TABLE cpis.summary FROM PUBLIC;
COMMENT ON TABLE cpis.summary IS 'which events have been summarised, and which months are complete, append-only';
COMMENT ON COLUMN cpis.summary.first_event IS 'number of the first event of a run; where a month was completed, of the first that was not summarised then';
COMMENT ON COLUMN cpis.summary.last_event IS 'number of its last event; where a month was completed, the one before';
COMMENT ON COLUMN cpis.summary.completed_month IS 'first day of the month of which nothing is to come any more; NULL: a run of events';
COMMENT ON COLUMN cpis.summary.summarised_at IS 'when that was';

CREATE TABLE cpis.access_summary (
	day date NOT NULL,
	action text NOT NULL,
	outcome text NOT NULL,
	organisation text,
	care_setting text,
	notify boolean,
	accesses bigint NOT NULL
);
REVOKE ALL ON TABLE cpis.access_summary FROM PUBLIC;
-- Days come in order.
CREATE INDEX access_summary_day_idx ON cpis.access_summary USING brin (day);
COMMENT ON TABLE cpis.access_summary IS 'how many accesses there were, of events that have been summarised, append-only';
COMMENT ON COLUMN cpis.access_summary.day IS 'day of the accesses, in England';
COMMENT ON COLUMN cpis.access_summary.action IS 'lookup or flag';
COMMENT ON COLUMN cpis.access_summary.outcome IS 'found, not_found or refused';
COMMENT ON COLUMN cpis.access_summary.organisation IS 'ODS code of the NHS organisation; NULL: not found in the register when the look-up was asked for';
COMMENT ON COLUMN cpis.access_summary.care_setting IS 'care setting; NULL: likewise';
COMMENT ON COLUMN cpis.access_summary.notify IS 'were they to be notified?';
COMMENT ON COLUMN cpis.access_summary.accesses IS 'how many; rows that agree in everything else add up';

CREATE TABLE cpis.access_month_summary (
	month date NOT NULL,
	action text NOT NULL,
	outcome text NOT NULL,
	organisation text,
	care_setting text,
	notify boolean,
	accesses bigint NOT NULL,
	CONSTRAINT access_month_summary_one_number UNIQUE NULLS NOT DISTINCT (month, organisation, care_setting, action, outcome, notify)
);
REVOKE ALL ON TABLE cpis.access_month_summary FROM PUBLIC;
COMMENT ON TABLE cpis.access_month_summary IS 'cpis.access_summary by month, which grows with each run';
COMMENT ON COLUMN cpis.access_month_summary.month IS 'first day of the month of the accesses, in England';
COMMENT ON COLUMN cpis.access_month_summary.action IS 'lookup or flag';
COMMENT ON COLUMN cpis.access_month_summary.outcome IS 'found, not_found or refused';
COMMENT ON COLUMN cpis.access_month_summary.organisation IS 'ODS code of the NHS organisation; NULL: not found in the register when the look-up was asked for';
COMMENT ON COLUMN cpis.access_month_summary.care_setting IS 'care setting; NULL: likewise';
COMMENT ON COLUMN cpis.access_month_summary.notify IS 'were they to be notified?';
COMMENT ON COLUMN cpis.access_month_summary.accesses IS 'how many';

CREATE TABLE cpis.notice_summary (
	month date NOT NULL,
	local_authority text COLLATE "C" NOT NULL,
	action text NOT NULL,
	care_setting text,
	notices bigint NOT NULL,
	CONSTRAINT notice_summary_one_number UNIQUE NULLS NOT DISTINCT (month, local_authority, action, care_setting)
);
REVOKE ALL ON TABLE cpis.notice_summary FROM PUBLIC;
COMMENT ON TABLE cpis.notice_summary IS 'how many notices there were, of events that have been summarised; grows with each run';
COMMENT ON COLUMN cpis.notice_summary.month IS 'first day of the month of the events, in England';
COMMENT ON COLUMN cpis.notice_summary.local_authority IS 'authority notified';
COMMENT ON COLUMN cpis.notice_summary.action IS 'of what it was notified: lookup, or what was done to a plan or a number of its own';
COMMENT ON COLUMN cpis.notice_summary.care_setting IS 'care setting of the access';
COMMENT ON COLUMN cpis.notice_summary.notices IS 'how many';

CREATE TABLE cpis.attendance_summary (
	month date NOT NULL,
	care_settings integer NOT NULL,
	organisations integer NOT NULL,
	local_authorities integer NOT NULL,
	children bigint NOT NULL,
	CONSTRAINT attendance_summary_pkey PRIMARY KEY (month, care_settings, organisations, local_authorities)
);
REVOKE ALL ON TABLE cpis.attendance_summary FROM PUBLIC;
COMMENT ON TABLE cpis.attendance_summary IS 'in how many places people with a plan were seen, in months that have been summarised, append-only';
COMMENT ON COLUMN cpis.attendance_summary.month IS 'first day of the month, in England';
COMMENT ON COLUMN cpis.attendance_summary.care_settings IS 'in how many care settings';
COMMENT ON COLUMN cpis.attendance_summary.organisations IS 'by how many organisations';
COMMENT ON COLUMN cpis.attendance_summary.local_authorities IS 'of how many authorities that were notified';
COMMENT ON COLUMN cpis.attendance_summary.children IS 'so many people were looked up and found';

CREATE TABLE cpis.acknowledgement_summary (
	local_authority text COLLATE "C" NOT NULL,
	acknowledged bigint NOT NULL,
	acknowledged_at timestamptz NOT NULL,
	notices bigint NOT NULL,
	total_lag interval NOT NULL,
	longest_lag interval NOT NULL,
	within_hour bigint NOT NULL,
	within_day bigint NOT NULL,
	CONSTRAINT acknowledgement_summary_pkey PRIMARY KEY (local_authority, acknowledged)
);
REVOKE ALL ON TABLE cpis.acknowledgement_summary FROM PUBLIC;
COMMENT ON TABLE cpis.acknowledgement_summary IS 'how long notices waited, of acknowledgements that have been summarised, append-only';
COMMENT ON COLUMN cpis.acknowledgement_summary.local_authority IS 'the authority';
COMMENT ON COLUMN cpis.acknowledgement_summary.acknowledged IS 'number of the last notice acknowledged';
COMMENT ON COLUMN cpis.acknowledgement_summary.acknowledged_at IS 'when that was';
COMMENT ON COLUMN cpis.acknowledgement_summary.notices IS 'how many notices were acknowledged with it';
COMMENT ON COLUMN cpis.acknowledgement_summary.total_lag IS 'time from their events to their acknowledgement, summed';
COMMENT ON COLUMN cpis.acknowledgement_summary.longest_lag IS 'the longest of them';
COMMENT ON COLUMN cpis.acknowledgement_summary.within_hour IS 'how many waited up to an hour';
COMMENT ON COLUMN cpis.acknowledgement_summary.within_day IS 'how many waited up to 24 hours, these included';

CREATE TABLE cpis.answer_summary (
	submission_id bigint NOT NULL,
	record_code text COLLATE "C" NOT NULL,
	detail_code text COLLATE "C",
	field text COLLATE "C",
	records bigint NOT NULL,
	CONSTRAINT answer_summary_one_answer UNIQUE NULLS NOT DISTINCT (submission_id, record_code, detail_code, field)
);
REVOKE ALL ON TABLE cpis.answer_summary FROM PUBLIC;
COMMENT ON TABLE cpis.answer_summary IS 'how records of submissions were answered, of submissions that have been summarised, append-only';
COMMENT ON COLUMN cpis.answer_summary.submission_id IS 'the submission';
COMMENT ON COLUMN cpis.answer_summary.record_code IS 'answer to the records, CPR01 to CPR07';
COMMENT ON COLUMN cpis.answer_summary.detail_code IS 'which rule was broken';
COMMENT ON COLUMN cpis.answer_summary.field IS 'in which column';
COMMENT ON COLUMN cpis.answer_summary.records IS 'how many records';

CREATE TABLE cpis.unusual_summary (
	day date NOT NULL,
	kind text COLLATE "C" NOT NULL,
	cases bigint NOT NULL,
	workers bigint NOT NULL,
	CONSTRAINT unusual_summary_pkey PRIMARY KEY (day, kind)
);
REVOKE ALL ON TABLE cpis.unusual_summary FROM PUBLIC;
COMMENT ON TABLE cpis.unusual_summary IS 'how many unusual accesses of workers, devices left out, there were, counted once a week, append-only';
COMMENT ON COLUMN cpis.unusual_summary.day IS 'day on which they were counted, in England';
COMMENT ON COLUMN cpis.unusual_summary.kind IS 'bulk, misses, hours or distance, as in the views cpis.unusual_bulk and so on';
COMMENT ON COLUMN cpis.unusual_summary.cases IS 'rows that the view had then, of the 31 days before';
COMMENT ON COLUMN cpis.unusual_summary.workers IS 'how many healthcare workers they were of';

DO $$
DECLARE
	summary text;
BEGIN
	FOREACH summary IN ARRAY ARRAY['summary', 'access_summary', 'attendance_summary', 'acknowledgement_summary', 'answer_summary', 'unusual_summary']
	LOOP
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('cpis.%I', summary)::pg_catalog.regclass, '');
		EXECUTE pg_catalog.format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.%I'
			' FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change(''What was summarised stays so.'')', summary);
		EXECUTE pg_catalog.format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change(''What was summarised stays so.'')', summary);
		EXECUTE pg_catalog.format('CREATE TRIGGER own_insert BEFORE INSERT ON cpis.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others(''Use cpis_summarise().'')', summary);
		EXECUTE pg_catalog.format('ALTER TABLE cpis.%I ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate,'
			' ENABLE ALWAYS TRIGGER own_insert', summary);
	END LOOP;
	FOREACH summary IN ARRAY ARRAY['access_month_summary', 'notice_summary']
	LOOP
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('cpis.%I', summary)::pg_catalog.regclass, '');
		EXECUTE pg_catalog.format('CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.%I'
			' FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change(''Use cpis_summarise().'')', summary);
		EXECUTE pg_catalog.format('CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change(''Use cpis_summarise().'')', summary);
		EXECUTE pg_catalog.format('CREATE TRIGGER own_insert BEFORE INSERT ON cpis.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others(''Use cpis_summarise().'')', summary);
		EXECUTE pg_catalog.format('ALTER TABLE cpis.%I ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate,'
			' ENABLE ALWAYS TRIGGER own_insert', summary);
	END LOOP;
END
$$;

CREATE FUNCTION cpis_summarise() RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_summarise';
REVOKE ALL ON FUNCTION cpis_summarise() FROM PUBLIC;
COMMENT ON FUNCTION cpis_summarise() IS
	'summarise the events up to the end of yesterday, acknowledgements and answered submissions, which the purge does, too; answers how many events';

/*
 * What is to be summarised, one definition for cpis_summarise() and for what it has not seen yet.
 */
CREATE FUNCTION cpis.next_summary(OUT first_event bigint, OUT last_event bigint, OUT completed_month date) RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH missing AS MATERIALIZED (
		SELECT COALESCE(max(s.last_event) + 1, 0) AS event_id, (clock_timestamp() AT TIME ZONE 'Europe/London')::date AS today FROM cpis.summary s
	), first AS MATERIALIZED (
		SELECT e.event_id, e.recorded_at AT TIME ZONE 'Europe/London' AS at
		FROM cpis.audit_event e
		WHERE e.event_id >= (SELECT m.event_id FROM missing m)
		ORDER BY e.event_id LIMIT 1
	), complete AS MATERIALIZED (
		-- Each month in its turn once it is over and has no event that is not summarised, whether one has come since or not.
		SELECT period.month
		FROM missing
			CROSS JOIN LATERAL (SELECT COALESCE((SELECT max(s.completed_month) + interval '1 month' FROM cpis.summary s),
					(SELECT date_trunc('month', e.recorded_at AT TIME ZONE 'Europe/London') FROM cpis.audit_event e ORDER BY e.event_id LIMIT 1))::date) AS period (month)
		WHERE (period.month + interval '1 month')::date <= missing.today
			AND NOT EXISTS (SELECT FROM first WHERE first.at < period.month + interval '1 month')
	)
	SELECT missing.event_id, missing.event_id - 1, complete.month FROM missing CROSS JOIN complete
	UNION ALL
	-- To the end of the month of the first event, or of yesterday; nobody can tell what today will bring.  Where the clock was
	-- ahead, to the end of the first event's own day.
	SELECT first.event_id, COALESCE(next.event_id, newest.event_id + 1) - 1, NULL
	FROM missing CROSS JOIN first
		CROSS JOIN LATERAL (SELECT CASE WHEN first.at::date > missing.today THEN first.at::date + 1
				ELSE least((date_trunc('month', first.at) + interval '1 month')::date, missing.today) END) AS period (ends)
		CROSS JOIN LATERAL (SELECT min(e.event_id) FROM cpis.audit_event e
							WHERE e.event_id >= first.event_id
								AND e.recorded_at >= period.ends::timestamp AT TIME ZONE 'Europe/London') AS next (event_id)
		CROSS JOIN LATERAL (SELECT max(e.event_id) FROM cpis.audit_event e WHERE e.event_id >= first.event_id) AS newest (event_id)
	WHERE next.event_id IS DISTINCT FROM first.event_id AND NOT EXISTS (SELECT FROM complete);
END;
REVOKE ALL ON FUNCTION cpis.next_summary() FROM PUBLIC;
COMMENT ON FUNCTION cpis.next_summary() IS 'a month that is complete, or else events that are to be summarised next; no row where there are none';

CREATE VIEW cpis.access_of_event AS
	SELECT e.event_id, (e.recorded_at AT TIME ZONE 'Europe/London')::date AS day, e.action, e.outcome,
		CASE WHEN cpis.organisation_is_known(e.outcome, e.detail) THEN e.organisation END AS organisation,
		CASE WHEN cpis.care_setting_is_known(e.outcome, e.detail) THEN e.care_setting END AS care_setting, e.notify
	FROM cpis.audit_event e
	WHERE e.action IN ('lookup', 'flag');
REVOKE ALL ON TABLE cpis.access_of_event FROM PUBLIC;
COMMENT ON VIEW cpis.access_of_event IS 'accesses, as cpis.access_summary counts them';
COMMENT ON COLUMN cpis.access_of_event.event_id IS 'number of the event';
COMMENT ON COLUMN cpis.access_of_event.day IS 'day of the access, in England';
COMMENT ON COLUMN cpis.access_of_event.action IS 'lookup or flag';
COMMENT ON COLUMN cpis.access_of_event.outcome IS 'found, not_found or refused';
COMMENT ON COLUMN cpis.access_of_event.organisation IS 'ODS code of the NHS organisation; NULL: not found in the register when the look-up was asked for';
COMMENT ON COLUMN cpis.access_of_event.care_setting IS 'care setting; NULL: likewise';
COMMENT ON COLUMN cpis.access_of_event.notify IS 'was it to be notified?';

CREATE VIEW cpis.notice_of_event AS
	SELECT e.event_id, date_trunc('month', e.recorded_at AT TIME ZONE 'Europe/London')::date AS month, n.local_authority, e.action, e.care_setting
	FROM cpis.audit_event e CROSS JOIN LATERAL unnest(e.notified_authority) AS n (local_authority)
	WHERE e.notified_authority IS NOT NULL;
REVOKE ALL ON TABLE cpis.notice_of_event FROM PUBLIC;
COMMENT ON VIEW cpis.notice_of_event IS 'notices, as cpis.notice_summary counts them';
COMMENT ON COLUMN cpis.notice_of_event.event_id IS 'number of the event';
COMMENT ON COLUMN cpis.notice_of_event.month IS 'first day of the month of the event, in England';
COMMENT ON COLUMN cpis.notice_of_event.local_authority IS 'authority notified';
COMMENT ON COLUMN cpis.notice_of_event.action IS 'of what';
COMMENT ON COLUMN cpis.notice_of_event.care_setting IS 'care setting of the access';

CREATE FUNCTION cpis.attendance_of_month(
	month date,
	OUT care_settings integer,
	OUT organisations integer,
	OUT local_authorities integer,
	OUT children bigint)
	RETURNS SETOF record
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT person.care_settings::integer, person.organisations::integer, person.local_authorities::integer, count(*)
	FROM (
		SELECT seen.person, count(DISTINCT seen.care_setting), count(DISTINCT seen.organisation), count(DISTINCT n.local_authority)
		FROM (
			-- As bigint, for pg_upgrade makes functions before operator classes, without which nhs_number has no DISTINCT.
			SELECT DISTINCT e.nhs_number::bigint, e.care_setting, e.organisation, e.notified_authority
			FROM cpis.audit_event e
			WHERE e.action IN ('lookup', 'flag') AND e.outcome = 'found'
				AND e.recorded_at >= month::timestamp AT TIME ZONE 'Europe/London'
				AND e.recorded_at < (month + interval '1 month') AT TIME ZONE 'Europe/London') AS seen (person, care_setting, organisation, notified_authority)
			LEFT JOIN LATERAL unnest(seen.notified_authority) AS n (local_authority) ON true
		GROUP BY seen.person) AS person (person, care_settings, organisations, local_authorities)
	GROUP BY person.care_settings, person.organisations, person.local_authorities;
END;
REVOKE ALL ON FUNCTION cpis.attendance_of_month(date) FROM PUBLIC;
COMMENT ON FUNCTION cpis.attendance_of_month(date) IS 'in how many places people with a plan were seen in the month that begins with this day, as cpis.attendance_summary counts them';

CREATE VIEW cpis.lag_of_acknowledgement AS
	SELECT k.local_authority, k.acknowledged, k.acknowledged_at, count(*) AS notices, sum(k.acknowledged_at - e.recorded_at) AS total_lag,
		max(k.acknowledged_at - e.recorded_at) AS longest_lag, count(*) FILTER (WHERE k.acknowledged_at - e.recorded_at <= interval '1 hour') AS within_hour,
		count(*) FILTER (WHERE k.acknowledged_at - e.recorded_at <= interval '24 hours') AS within_day
	FROM (
		SELECT a.local_authority, a.acknowledged, min(a.acknowledged_at),
			COALESCE(lag(a.acknowledged) OVER (PARTITION BY a.local_authority ORDER BY a.acknowledged), 0)
		FROM cpis.acknowledgement a
		GROUP BY a.local_authority, a.acknowledged) AS k (local_authority, acknowledged, acknowledged_at, before)
		JOIN cpis.notification n ON n.local_authority = k.local_authority AND n.notification_no > k.before AND n.notification_no <= k.acknowledged
		JOIN cpis.audit_event e ON e.event_id = n.event_id
	WHERE NOT EXISTS (SELECT FROM cpis.acknowledgement_summary s WHERE s.local_authority = k.local_authority AND s.acknowledged = k.acknowledged)
	GROUP BY k.local_authority, k.acknowledged, k.acknowledged_at;
REVOKE ALL ON TABLE cpis.lag_of_acknowledgement FROM PUBLIC;
COMMENT ON VIEW cpis.lag_of_acknowledgement IS 'acknowledgements that are not summarised yet, as cpis.acknowledgement_summary has them';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.local_authority IS 'the authority';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.acknowledged IS 'number of the last notice acknowledged';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.acknowledged_at IS 'when that was';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.notices IS 'how many notices were acknowledged with it';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.total_lag IS 'time from their events to their acknowledgement, summed';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.longest_lag IS 'the longest of them';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.within_hour IS 'how many waited up to an hour';
COMMENT ON COLUMN cpis.lag_of_acknowledgement.within_day IS 'how many waited up to 24 hours, these included';

CREATE VIEW cpis.answer_of_submission AS
	SELECT r.submission_id, r.record_code, r.detail_code, r.field, count(*) AS records
	FROM cpis.submission_record r
	WHERE r.record_code IS NOT NULL
		AND r.submission_id IN (
			SELECT s.submission_id FROM cpis.submission s
			WHERE s.answered_at IS NOT NULL AND NOT EXISTS (SELECT FROM cpis.answer_summary a WHERE a.submission_id = s.submission_id))
	GROUP BY r.submission_id, r.record_code, r.detail_code, r.field;
REVOKE ALL ON TABLE cpis.answer_of_submission FROM PUBLIC;
COMMENT ON VIEW cpis.answer_of_submission IS 'answers of submissions that are not summarised yet, as cpis.answer_summary has them';
COMMENT ON COLUMN cpis.answer_of_submission.submission_id IS 'the submission';
COMMENT ON COLUMN cpis.answer_of_submission.record_code IS 'answer to the records, CPR01 to CPR07';
COMMENT ON COLUMN cpis.answer_of_submission.detail_code IS 'which rule was broken';
COMMENT ON COLUMN cpis.answer_of_submission.field IS 'in which column';
COMMENT ON COLUMN cpis.answer_of_submission.records IS 'how many records';

/*
 * Numbers for analysts: how many, by day or month; nobody is in them.  Each adds up what was
 * summarised (sql/summary.sql) and what was not yet, so that it answers as the events
 * would, those that have aged out included.
 *
 * Days and months are those of England.
 */
CREATE VIEW cpis.analyst_access_day WITH (security_barrier) AS
	SELECT s.day, s.action, s.outcome, s.organisation, s.care_setting, s.notify, s.accesses FROM cpis.access_summary s
	UNION ALL
	SELECT e.day, e.action, e.outcome, e.organisation, e.care_setting, e.notify, count(*)
	FROM cpis.access_of_event e
	WHERE e.event_id > (SELECT COALESCE(max(s.last_event), -1) FROM cpis.summary s)
	GROUP BY e.day, e.action, e.outcome, e.organisation, e.care_setting, e.notify;
REVOKE ALL ON TABLE cpis.analyst_access_day FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_access_day TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_access_day IS 'how many accesses there were, by day; where the clock was set back, a day may have several rows of a kind, which add up; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_access_day.day IS 'day of the accesses, in England';
COMMENT ON COLUMN cpis.analyst_access_day.action IS 'lookup (plans disclosed) or flag (presence disclosed)';
COMMENT ON COLUMN cpis.analyst_access_day.outcome IS 'found, not_found or refused';
COMMENT ON COLUMN cpis.analyst_access_day.organisation IS 'ODS code of the NHS organisation; NULL: not found in the register when the look-up was asked for';
COMMENT ON COLUMN cpis.analyst_access_day.care_setting IS 'care setting; NULL: likewise';
COMMENT ON COLUMN cpis.analyst_access_day.notify IS 'were they to be notified and shown in the shared history?';
COMMENT ON COLUMN cpis.analyst_access_day.accesses IS 'how many there were';

CREATE VIEW cpis.analyst_access_month WITH (security_barrier) AS
	SELECT a.month, a.action, a.outcome, a.organisation, o.name AS organisation_name, a.care_setting, a.notify, a.accesses
	FROM (
		SELECT u.month, u.action, u.outcome, u.organisation, u.care_setting, u.notify, sum(u.accesses)::bigint AS accesses
		FROM (
			SELECT s.month, s.action, s.outcome, s.organisation, s.care_setting, s.notify, s.accesses FROM cpis.access_month_summary s
			UNION ALL
			SELECT date_trunc('month', e.day::timestamp)::date, e.action, e.outcome, e.organisation, e.care_setting, e.notify, count(*)
			FROM cpis.access_of_event e
			WHERE e.event_id > (SELECT COALESCE(max(s.last_event), -1) FROM cpis.summary s)
			GROUP BY e.day, e.action, e.outcome, e.organisation, e.care_setting, e.notify) AS u
		GROUP BY u.month, u.action, u.outcome, u.organisation, u.care_setting, u.notify) AS a
		LEFT JOIN cpis.organisation o ON o.code = a.organisation;
REVOKE ALL ON TABLE cpis.analyst_access_month FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_access_month TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_access_month IS 'how many accesses there were, by month; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_access_month.month IS 'first day of the month, in England';
COMMENT ON COLUMN cpis.analyst_access_month.action IS 'lookup (plans disclosed) or flag (presence disclosed)';
COMMENT ON COLUMN cpis.analyst_access_month.outcome IS 'found, not_found or refused';
COMMENT ON COLUMN cpis.analyst_access_month.organisation IS 'ODS code of the NHS organisation; NULL: not found in the register when the look-up was asked for';
COMMENT ON COLUMN cpis.analyst_access_month.organisation_name IS 'its name; NULL where it is not in the register, or not any more';
COMMENT ON COLUMN cpis.analyst_access_month.care_setting IS 'care setting; NULL: likewise';
COMMENT ON COLUMN cpis.analyst_access_month.notify IS 'were they to be notified and shown in the shared history?';
COMMENT ON COLUMN cpis.analyst_access_month.accesses IS 'how many there were';

CREATE VIEW cpis.analyst_notice WITH (security_barrier) AS
	SELECT n.month, n.local_authority, a.name AS local_authority_name, n.action, n.care_setting, n.notices
	FROM (
		SELECT u.month, u.local_authority, u.action, u.care_setting, sum(u.notices)::bigint AS notices
		FROM (
			SELECT s.month, s.local_authority, s.action, s.care_setting, s.notices FROM cpis.notice_summary s
			UNION ALL
			SELECT e.month, e.local_authority, e.action, e.care_setting, count(*)
			FROM cpis.notice_of_event e
			WHERE e.event_id > (SELECT COALESCE(max(s.last_event), -1) FROM cpis.summary s)
			GROUP BY e.month, e.local_authority, e.action, e.care_setting) AS u
		GROUP BY u.month, u.local_authority, u.action, u.care_setting) AS n
		LEFT JOIN cpis.local_authority a ON a.code = n.local_authority;
REVOKE ALL ON TABLE cpis.analyst_notice FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_notice TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_notice IS 'how many notices local authorities were sent, by month: of action lookup, the accesses to their children; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_notice.month IS 'first day of the month of the events, in England';
COMMENT ON COLUMN cpis.analyst_notice.local_authority IS 'code of the authority';
COMMENT ON COLUMN cpis.analyst_notice.local_authority_name IS 'its name; NULL where it is not in the register';
COMMENT ON COLUMN cpis.analyst_notice.action IS 'of what: lookup, or what was done to a plan or a number of its own';
COMMENT ON COLUMN cpis.analyst_notice.care_setting IS 'care setting of the accesses; NULL: none';
COMMENT ON COLUMN cpis.analyst_notice.notices IS 'how many; an access to plans of several authorities is one for each';

CREATE VIEW cpis.analyst_acknowledgement WITH (security_barrier) AS
	SELECT date_trunc('month', k.acknowledged_at AT TIME ZONE 'Europe/London')::date AS month, k.local_authority, a.name AS local_authority_name,
		count(*) AS acknowledgements, sum(k.notices)::bigint AS notices, sum(k.total_lag) / sum(k.notices)::double precision AS mean_lag, max(k.longest_lag) AS longest_lag,
		sum(k.within_hour)::bigint AS within_hour, sum(k.within_day)::bigint AS within_day
	FROM (
		SELECT s.local_authority, s.acknowledged_at, s.notices, s.total_lag, s.longest_lag, s.within_hour, s.within_day FROM cpis.acknowledgement_summary s
		UNION ALL
		SELECT l.local_authority, l.acknowledged_at, l.notices, l.total_lag, l.longest_lag, l.within_hour, l.within_day FROM cpis.lag_of_acknowledgement l) AS k
		LEFT JOIN cpis.local_authority a ON a.code = k.local_authority
	GROUP BY date_trunc('month', k.acknowledged_at AT TIME ZONE 'Europe/London'), k.local_authority, a.name;
REVOKE ALL ON TABLE cpis.analyst_acknowledgement FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_acknowledgement TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_acknowledgement IS 'how many notices local authorities acknowledged, by month, and how long those had waited; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_acknowledgement.month IS 'first day of the month of the acknowledgements, in England';
COMMENT ON COLUMN cpis.analyst_acknowledgement.local_authority IS 'code of the authority';
COMMENT ON COLUMN cpis.analyst_acknowledgement.local_authority_name IS 'its name';
COMMENT ON COLUMN cpis.analyst_acknowledgement.acknowledgements IS 'how often it acknowledged';
COMMENT ON COLUMN cpis.analyst_acknowledgement.notices IS 'how many notices together';
COMMENT ON COLUMN cpis.analyst_acknowledgement.mean_lag IS 'time from the event to the acknowledgement of its notice, on average';
COMMENT ON COLUMN cpis.analyst_acknowledgement.longest_lag IS 'the longest such time';
COMMENT ON COLUMN cpis.analyst_acknowledgement.within_hour IS 'how many notices had waited up to an hour';
COMMENT ON COLUMN cpis.analyst_acknowledgement.within_day IS 'how many up to 24 hours, these included';

/*
 * Small numbers would tell who somebody is to whoever knows a little: 1 to 7 is not said, and the
 * rest is rounded to 5.  Other numbers of accesses are exact, and events are there under pseudonyms: this keeps
 * what is told of children from those who see no more than that.  The page of cpis_report() (sql/report.sql) tells
 * accesses and notices so, too.
 */
CREATE FUNCTION cpis.told(children bigint) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN children = 0 OR children > 7 THEN (children + 2) / 5 * 5 END;
REVOKE ALL ON FUNCTION cpis.told(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.told(bigint) TO cpis_analyst;
COMMENT ON FUNCTION cpis.told(bigint) IS 'what is told of so many children, in a report of so many accesses or notices, too: rounded to 5; NULL: 1 to 7';

/*
 * SECURITY DEFINER, for only what may be told leaves it.
 */
CREATE FUNCTION cpis.attendance_open(
	OUT month date,
	OUT care_settings integer,
	OUT organisations integer,
	OUT local_authorities integer,
	OUT children bigint)
	RETURNS SETOF record
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT open.month, least(o.care_settings, 3), least(o.organisations, 3), least(o.local_authorities, 2), cpis.told(sum(o.children)::bigint)
	FROM (SELECT generate_series(
			COALESCE((SELECT max(s.completed_month) + interval '1 month' FROM cpis.summary s),
				(SELECT date_trunc('month', min(e.recorded_at) AT TIME ZONE 'Europe/London') FROM cpis.audit_event e)),
			now() AT TIME ZONE 'Europe/London', interval '1 month')::date) AS open (month)
		CROSS JOIN LATERAL cpis.attendance_of_month(open.month) AS o
	GROUP BY open.month, least(o.care_settings, 3), least(o.organisations, 3), least(o.local_authorities, 2);
END;
REVOKE ALL ON FUNCTION cpis.attendance_open() FROM PUBLIC;
COMMENT ON FUNCTION cpis.attendance_open() IS 'what is behind view cpis.analyst_attendance of months that are not summarised yet';

CREATE VIEW cpis.analyst_attendance WITH (security_barrier) AS
	SELECT m.month, m.care_settings, m.organisations, m.local_authorities, cpis.told(m.children) AS children
	FROM (
		SELECT s.month, least(s.care_settings, 3), least(s.organisations, 3), least(s.local_authorities, 2), sum(s.children)::bigint
		FROM cpis.attendance_summary s
		GROUP BY s.month, least(s.care_settings, 3), least(s.organisations, 3), least(s.local_authorities, 2)) AS m (month, care_settings, organisations, local_authorities, children)
	UNION ALL
	SELECT o.month, o.care_settings, o.organisations, o.local_authorities, o.children FROM cpis.attendance_open() o;
REVOKE ALL ON TABLE cpis.analyst_attendance FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_attendance TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_attendance IS 'in how many places children with a plan were seen, by month: a picture of attendances across settings and boundaries; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_attendance.month IS 'first day of the month, in England';
COMMENT ON COLUMN cpis.analyst_attendance.care_settings IS 'in how many care settings; 3 is 3 or more';
COMMENT ON COLUMN cpis.analyst_attendance.organisations IS 'by how many organisations; 3 is 3 or more';
COMMENT ON COLUMN cpis.analyst_attendance.local_authorities IS 'of how many authorities that were notified; 0: silent look-ups and flags alone; 2 is 2 or more';
COMMENT ON COLUMN cpis.analyst_attendance.children IS 'so many people were looked up and found, rounded to 5; NULL: 1 to 7';

CREATE VIEW cpis.analyst_submission WITH (security_barrier) AS
	SELECT date_trunc('month', s.answered_at AT TIME ZONE 'Europe/London')::date AS month, s.local_authority, a.name AS local_authority_name, s.kind, s.file_code, s.detail_code,
		count(*) AS submissions, sum(s.accepted) AS accepted, sum(s.rejected) AS rejected, sum(s.ended) AS ended
	FROM cpis.submission s LEFT JOIN cpis.local_authority a ON a.code = s.local_authority
	WHERE s.answered_at IS NOT NULL
	GROUP BY date_trunc('month', s.answered_at AT TIME ZONE 'Europe/London'), s.local_authority, a.name, s.kind, s.file_code, s.detail_code;
REVOKE ALL ON TABLE cpis.analyst_submission FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_submission TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_submission IS 'how many submissions local authorities sent, and how they were answered, by month; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_submission.month IS 'first day of the month of the answers, in England';
COMMENT ON COLUMN cpis.analyst_submission.local_authority IS 'code of the authority';
COMMENT ON COLUMN cpis.analyst_submission.local_authority_name IS 'its name';
COMMENT ON COLUMN cpis.analyst_submission.kind IS 'delta, full; put, end: one record by cpis_plan_put() or cpis_plan_end()';
COMMENT ON COLUMN cpis.analyst_submission.file_code IS 'answer to the file, CPF01 to CPF06';
COMMENT ON COLUMN cpis.analyst_submission.detail_code IS 'why the file as a whole was refused, or ended nothing';
COMMENT ON COLUMN cpis.analyst_submission.submissions IS 'how many';
COMMENT ON COLUMN cpis.analyst_submission.accepted IS 'how many records were loaded';
COMMENT ON COLUMN cpis.analyst_submission.rejected IS 'how many were not';
COMMENT ON COLUMN cpis.analyst_submission.ended IS 'how many plans were ended because a full file does not have them';

CREATE VIEW cpis.analyst_answer WITH (security_barrier) AS
	SELECT date_trunc('month', s.answered_at AT TIME ZONE 'Europe/London')::date AS month, s.local_authority, a.name AS local_authority_name, r.record_code, r.detail_code, r.field,
		sum(r.records)::bigint AS records
	FROM (
		SELECT t.submission_id, t.record_code, t.detail_code, t.field, t.records FROM cpis.answer_summary t
		UNION ALL
		SELECT o.submission_id, o.record_code, o.detail_code, o.field, o.records FROM cpis.answer_of_submission o) AS r
		JOIN cpis.submission s ON s.submission_id = r.submission_id
		LEFT JOIN cpis.local_authority a ON a.code = s.local_authority
	GROUP BY date_trunc('month', s.answered_at AT TIME ZONE 'Europe/London'), s.local_authority, a.name, r.record_code, r.detail_code, r.field;
REVOKE ALL ON TABLE cpis.analyst_answer FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_answer TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_answer IS 'how the records that local authorities sent were answered, by month; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_answer.month IS 'first day of the month of the answers, in England';
COMMENT ON COLUMN cpis.analyst_answer.local_authority IS 'code of the authority';
COMMENT ON COLUMN cpis.analyst_answer.local_authority_name IS 'its name';
COMMENT ON COLUMN cpis.analyst_answer.record_code IS 'answer to the records, CPR01 to CPR07; CPR06: loaded';
COMMENT ON COLUMN cpis.analyst_answer.detail_code IS 'which rule was broken';
COMMENT ON COLUMN cpis.analyst_answer.field IS 'in which column';
COMMENT ON COLUMN cpis.analyst_answer.records IS 'how many records';

CREATE VIEW cpis.analyst_removal WITH (security_barrier) AS
	SELECT date_trunc('month', r.removed_at AT TIME ZONE 'Europe/London')::date AS month, r.kind, r.local_authority, a.name AS local_authority_name, count(*) AS removed,
		max((r.removed_at AT TIME ZONE 'Europe/London')::date - r.due_on) AS latest_days
	FROM cpis.removal r LEFT JOIN cpis.local_authority a ON a.code = r.local_authority
	GROUP BY date_trunc('month', r.removed_at AT TIME ZONE 'Europe/London'), r.kind, r.local_authority, a.name;
REVOKE ALL ON TABLE cpis.analyst_removal FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_removal TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_removal IS 'how many records were removed when their term had ended, by month; what is due now is in cpis_stat_retention; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_removal.month IS 'first day of the month of the removals, in England';
COMMENT ON COLUMN cpis.analyst_removal.kind IS 'kind of plan, or submission_record';
COMMENT ON COLUMN cpis.analyst_removal.local_authority IS 'code of the authority that owned the records';
COMMENT ON COLUMN cpis.analyst_removal.local_authority_name IS 'its name; NULL where it is not in the register';
COMMENT ON COLUMN cpis.analyst_removal.removed IS 'how many';
COMMENT ON COLUMN cpis.analyst_removal.latest_days IS 'how many days after it was due the latest of them went; 0: on the day';

/*
 * SECURITY DEFINER, for analysts read no plans.
 */
CREATE FUNCTION cpis.register_count(OUT plan_type text, OUT plan_type_name text, OUT children bigint) RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	-- As bigint, for pg_upgrade makes functions before operator classes, without which nhs_number has no DISTINCT.
	SELECT t.code, t.name, cpis.told(count(DISTINCT p.nhs_number::bigint))
	FROM cpis.plan_type t
		CROSS JOIN (SELECT (clock_timestamp() AT TIME ZONE 'Europe/London')::date) AS today (day)
		LEFT JOIN cpis.plan p ON p.plan_type = t.code AND p.start_date <= today.day AND COALESCE(p.end_date >= today.day, true) AND COALESCE(p.delete_date > today.day, true)
	GROUP BY t.code, t.name;
END;
REVOKE ALL ON FUNCTION cpis.register_count() FROM PUBLIC;
COMMENT ON FUNCTION cpis.register_count() IS 'what is behind view cpis.analyst_register';

CREATE VIEW cpis.analyst_register WITH (security_barrier) AS
	SELECT r.plan_type, r.plan_type_name, r.children FROM cpis.register_count() r;
REVOKE ALL ON TABLE cpis.analyst_register FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_register TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_register IS 'of how many children a plan runs today, by kind of plan; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_register.plan_type IS 'kind of plan';
COMMENT ON COLUMN cpis.analyst_register.plan_type_name IS 'its name';
COMMENT ON COLUMN cpis.analyst_register.children IS 'so many children, of unborn ones mothers, have such a plan that has begun and not ended, rounded to 5; NULL: 1 to 7';

CREATE VIEW cpis.analyst_unusual WITH (security_barrier) AS
	SELECT u.day, u.kind, u.cases, u.workers FROM cpis.unusual_summary u;
REVOKE ALL ON TABLE cpis.analyst_unusual FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_unusual TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_unusual IS 'how many unusual accesses stewards had to look at, counted once a week; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_unusual.day IS 'day on which they were counted, in England';
COMMENT ON COLUMN cpis.analyst_unusual.kind IS 'bulk, misses, hours or distance, as in the views cpis.unusual_bulk and so on';
COMMENT ON COLUMN cpis.analyst_unusual.cases IS 'rows that the view had then, of the 31 days before';
COMMENT ON COLUMN cpis.analyst_unusual.workers IS 'how many healthcare workers they were of';

-- What shows how things are now, and nobody.
GRANT SELECT ON TABLE cpis_stat_retention, cpis_stat_notification, cpis_notification_escalation, cpis_ledger_status TO cpis_analyst;
GRANT EXECUTE ON FUNCTION cpis.stat_retention(), cpis.stat_notification(), cpis.notification_escalation(), cpis.ledger_status(),
	cpis.attendance_open(), cpis.register_count() TO cpis_analyst;

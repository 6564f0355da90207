/*
 * Notices as authorities collect them (src/notice.c), and what is still to be collected.
 */
CREATE TYPE cpis.notice AS (
	notification_no bigint,
	event_id bigint,
	recorded_at timestamptz,
	action text,
	nhs_number @extschema@.nhs_number,
	superseded_by @extschema@.nhs_number,
	worker_name text,
	job_role text,
	organisation text,
	organisation_name text,
	care_setting text,
	detail text,
	leaf_hash bytea
);
COMMENT ON TYPE cpis.notice IS 'a notice to a local authority';
COMMENT ON COLUMN cpis.notice.notification_no IS 'its number, from 1 without gaps for each authority; argument of cpis_notifications_acknowledge()';
COMMENT ON COLUMN cpis.notice.event_id IS 'the event that it is about';
COMMENT ON COLUMN cpis.notice.recorded_at IS 'when that was recorded';
COMMENT ON COLUMN cpis.notice.action IS 'lookup: an NHS user has seen a plan; correction: a plan was corrected; number: an NHS number has become inactive, or active again';
COMMENT ON COLUMN cpis.notice.nhs_number IS 'whom it is about';
COMMENT ON COLUMN cpis.notice.superseded_by IS 'of an inactive number: that which replaces it, where that may be told';
COMMENT ON COLUMN cpis.notice.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.notice.job_role IS 'job role of the healthcare worker';
COMMENT ON COLUMN cpis.notice.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.notice.organisation_name IS 'its name';
COMMENT ON COLUMN cpis.notice.care_setting IS 'care setting';
COMMENT ON COLUMN cpis.notice.detail IS 'what was corrected, and why; what has become of the number; that a device has asked';
COMMENT ON COLUMN cpis.notice.leaf_hash IS 'leaf of the event in the ledger: evidence that it was as it is told here';

CREATE FUNCTION cpis.notices(local_authority text, after bigint, max integer) RETURNS SETOF cpis.notice
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- One event at a time, by its index: the trail may be large, and these are few.
	SELECT n.notification_no, n.event_id, e.recorded_at, e.action, e.nhs_number, i.superseded_by,
		e.worker_name, e.job_role, e.organisation, o.name, e.care_setting, e.detail, e.leaf_hash
	FROM cpis.notification n
		LEFT JOIN LATERAL (
			SELECT a.recorded_at, a.action, a.nhs_number, a.worker_name, a.job_role, a.organisation, a.care_setting, a.detail, a.leaf_hash
			FROM cpis.audit_event a WHERE a.event_id = n.event_id LIMIT 1) e ON true
		LEFT JOIN cpis.organisation o ON o.code = e.organisation
		LEFT JOIN cpis.inactive_number i ON e.action = 'number' AND e.detail = 'superseded' AND i.nhs_number = e.nhs_number
	WHERE n.local_authority = notices.local_authority AND n.notification_no > after AND n.notification_no <= after + max
	ORDER BY n.notification_no;
END;
REVOKE ALL ON FUNCTION cpis.notices(text, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION cpis.notices(text, bigint, integer) IS 'what is behind cpis_notifications()';

CREATE FUNCTION cpis_notifications(local_authority text, max integer = 100) RETURNS SETOF cpis.notice
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_notifications';
REVOKE ALL ON FUNCTION cpis_notifications(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_notifications(text, integer) TO cpis_local_authority;
COMMENT ON FUNCTION cpis_notifications(text, integer) IS
	'the next notices that a local authority has not acknowledged, in order; no row: there are none; whatever else keeps it from knowing is an error';

CREATE FUNCTION cpis_notifications_acknowledge(local_authority text, up_to bigint) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_notifications_acknowledge';
REVOKE ALL ON FUNCTION cpis_notifications_acknowledge(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_notifications_acknowledge(text, bigint) TO cpis_local_authority;
COMMENT ON FUNCTION cpis_notifications_acknowledge(text, bigint) IS
	'a local authority has its notices up to this number, and need not get them again; answers up to which it has acknowledged them now';

CREATE FUNCTION cpis.stat_notification(
	OUT local_authority text,
	OUT newest bigint,
	OUT acknowledged bigint,
	OUT unacknowledged bigint,
	OUT oldest_unacknowledged_at timestamptz,
	OUT lag interval,
	OUT last_acknowledged_at timestamptz)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	-- Authorities with notices count also where they have left the register; each costs one step along the index.
	WITH RECURSIVE noticed (code) AS (
		(SELECT n.local_authority FROM cpis.notification n ORDER BY n.local_authority LIMIT 1)
		UNION ALL
		SELECT (SELECT n.local_authority FROM cpis.notification n WHERE n.local_authority > p.code ORDER BY n.local_authority LIMIT 1)
		FROM noticed p WHERE p.code IS NOT NULL
	), authority (code) AS (
		SELECT a.code FROM cpis.local_authority a
		UNION
		SELECT p.code FROM noticed p WHERE p.code IS NOT NULL
	)
	SELECT a.code, COALESCE(newest.notification_no, 0), COALESCE(done.acknowledged, 0),
		COALESCE(newest.notification_no, 0) - COALESCE(done.acknowledged, 0),
		event.recorded_at, clock_timestamp() - event.recorded_at, done.acknowledged_at
	FROM authority a
		LEFT JOIN LATERAL (SELECT n.notification_no FROM cpis.notification n
						   WHERE n.local_authority = a.code ORDER BY n.notification_no DESC LIMIT 1) AS newest ON true
		LEFT JOIN LATERAL (SELECT k.acknowledged, k.acknowledged_at FROM cpis.acknowledgement k
						   WHERE k.local_authority = a.code ORDER BY k.acknowledged DESC LIMIT 1) AS done ON true
		LEFT JOIN LATERAL (SELECT n.event_id FROM cpis.notification n
						   WHERE n.local_authority = a.code AND n.notification_no = COALESCE(done.acknowledged, 0) + 1 LIMIT 1) AS next ON true
		LEFT JOIN LATERAL (SELECT e.recorded_at FROM cpis.audit_event e WHERE e.event_id = next.event_id LIMIT 1) AS event ON true
	ORDER BY a.code;
END;
REVOKE ALL ON FUNCTION cpis.stat_notification() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.stat_notification() TO pg_monitor;
COMMENT ON FUNCTION cpis.stat_notification() IS 'what is behind view cpis_stat_notification';

CREATE VIEW cpis_stat_notification AS
	SELECT local_authority, newest, acknowledged, unacknowledged, oldest_unacknowledged_at, lag, last_acknowledged_at
	FROM cpis.stat_notification();
REVOKE ALL ON TABLE cpis_stat_notification FROM PUBLIC;
GRANT SELECT ON TABLE cpis_stat_notification TO pg_monitor;
COMMENT ON VIEW cpis_stat_notification IS 'notices of each local authority that it has not acknowledged';
COMMENT ON COLUMN cpis_stat_notification.local_authority IS 'code of the authority';
COMMENT ON COLUMN cpis_stat_notification.newest IS 'number of its newest notice; 0: it has none';
COMMENT ON COLUMN cpis_stat_notification.acknowledged IS 'number of the last one that it has acknowledged; 0: none';
COMMENT ON COLUMN cpis_stat_notification.unacknowledged IS 'how many it has not';
COMMENT ON COLUMN cpis_stat_notification.oldest_unacknowledged_at IS 'when the event of the oldest of these was recorded';
COMMENT ON COLUMN cpis_stat_notification.lag IS 'how long ago that was';
COMMENT ON COLUMN cpis_stat_notification.last_acknowledged_at IS 'when it last acknowledged any';

CREATE FUNCTION cpis.notification_escalation(
	OUT local_authority text,
	OUT local_authority_name text,
	OUT office_hours_phone text,
	OUT emergency_duty_phone text,
	OUT unacknowledged bigint,
	OUT oldest_unacknowledged_at timestamptz,
	OUT lag interval)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- As a string, so that it does not keep an administrator from altering the columns of the register.
AS $$
	SELECT s.local_authority, a.name, a.office_hours_phone, a.emergency_duty_phone, s.unacknowledged, s.oldest_unacknowledged_at, s.lag
	FROM cpis.stat_notification() s LEFT JOIN cpis.local_authority a ON a.code = s.local_authority
	-- An event that is missing is no reason to overlook its authority.
	WHERE s.lag > interval '1 day' OR (s.unacknowledged <> 0 AND s.lag IS NULL)
	ORDER BY s.oldest_unacknowledged_at NULLS FIRST
$$;
REVOKE ALL ON FUNCTION cpis.notification_escalation() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.notification_escalation() TO pg_monitor;
COMMENT ON FUNCTION cpis.notification_escalation() IS 'what is behind view cpis_notification_escalation';

CREATE VIEW cpis_notification_escalation AS
	SELECT local_authority, local_authority_name, office_hours_phone, emergency_duty_phone, unacknowledged, oldest_unacknowledged_at, lag
	FROM cpis.notification_escalation();
REVOKE ALL ON TABLE cpis_notification_escalation FROM PUBLIC;
GRANT SELECT ON TABLE cpis_notification_escalation TO pg_monitor;
COMMENT ON VIEW cpis_notification_escalation IS 'local authorities that have not acknowledged a notice for more than a day, the longest first: somebody should call them';
COMMENT ON COLUMN cpis_notification_escalation.local_authority IS 'code of the authority';
COMMENT ON COLUMN cpis_notification_escalation.local_authority_name IS 'its name';
COMMENT ON COLUMN cpis_notification_escalation.office_hours_phone IS 'its telephone in office hours';
COMMENT ON COLUMN cpis_notification_escalation.emergency_duty_phone IS 'telephone of its emergency duty team';
COMMENT ON COLUMN cpis_notification_escalation.unacknowledged IS 'how many notices it has not acknowledged';
COMMENT ON COLUMN cpis_notification_escalation.oldest_unacknowledged_at IS 'when the event of the oldest of these was recorded';
COMMENT ON COLUMN cpis_notification_escalation.lag IS 'how long ago that was';

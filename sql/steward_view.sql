/*
 * What stewards see: all of the trail, and the holds.  Who reads it is recorded first
 * (src/trail_read.c).
 */
CREATE FUNCTION cpis.record_read(view text) RETURNS boolean
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_record_read';
REVOKE ALL ON FUNCTION cpis.record_read(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.record_read(text) TO cpis_steward;
COMMENT ON FUNCTION cpis.record_read(text) IS 'true, once it is recorded that this view of the extension is read';

CREATE VIEW cpis.steward_event WITH (security_barrier) AS
	SELECT event_id, recorded_at, action, outcome, nhs_number, worker_name, worker_id, job_role, system_id, location, request_id,
		organisation, care_setting, notify, notified_authority, notification_no, plan_ids, session_role, effective_role, client_addr,
		application_name, backend_pid, transaction_id, detail, salt, leaf_hash
	FROM cpis.audit_event
	-- In a sub-select of its own: evaluated once, before the first row is read.
	WHERE (SELECT cpis.record_read('steward_event'));
REVOKE ALL ON TABLE cpis.steward_event FROM PUBLIC;
GRANT SELECT ON TABLE cpis.steward_event TO cpis_steward;

CREATE VIEW cpis.steward_hold WITH (security_barrier) AS
	SELECT hold_id, nhs_number, local_authority, reason, placed_at, placed_event, released_at, release_reason, released_event
	FROM cpis.hold
	WHERE (SELECT cpis.record_read('steward_hold'));
REVOKE ALL ON TABLE cpis.steward_hold FROM PUBLIC;
GRANT SELECT ON TABLE cpis.steward_hold TO cpis_steward;

GRANT EXECUTE ON FUNCTION cpis_hold_place(text, @extschema@.nhs_number, text, boolean), cpis_hold_release(bigint, text) TO cpis_steward;

COMMENT ON VIEW cpis.steward_event IS 'the whole audit trail; who reads it is recorded; for cpis_steward';
COMMENT ON VIEW cpis.steward_hold IS 'holds, in force and released; who reads them is recorded; for cpis_steward';
-- Their columns are those of the tables, and so is what is said of them.
DO $$
DECLARE
	a record;
BEGIN
	FOR a IN
		SELECT v.oid::pg_catalog.regclass AS view, t.attname, pg_catalog.col_description(c.oid, t.attnum) AS said
		FROM (VALUES ('cpis.steward_event'::pg_catalog.regclass, 'cpis.audit_event'::pg_catalog.regclass),
				('cpis.steward_hold', 'cpis.hold')) AS v (oid, of)
			JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) v.of
			JOIN pg_catalog.pg_attribute t ON t.attrelid OPERATOR(pg_catalog.=) c.oid
			JOIN pg_catalog.pg_attribute o ON o.attrelid OPERATOR(pg_catalog.=) v.oid AND o.attname OPERATOR(pg_catalog.=) t.attname
		WHERE t.attnum OPERATOR(pg_catalog.>) 0
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', a.view, a.attname, a.said);
	END LOOP;
END
$$;

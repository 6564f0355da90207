/*
 * What analysts see of the trail: nobody's name or number (src/pseudonym.c).
 */
CREATE TABLE cpis.pseudonym_key (
	year text COLLATE "C"
		CONSTRAINT pseudonym_key_pkey PRIMARY KEY,
	key bytea NOT NULL
		CONSTRAINT pseudonym_key_key_length CHECK (octet_length(key) = 32),
	made_at timestamptz NOT NULL
);
REVOKE ALL ON TABLE cpis.pseudonym_key FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.pseudonym_key', '');
COMMENT ON TABLE cpis.pseudonym_key IS 'keys of pseudonyms, one a year; who has a key can find out whom its pseudonyms stand for';
COMMENT ON COLUMN cpis.pseudonym_key.year IS 'year of the events (UTC), four digits';
COMMENT ON COLUMN cpis.pseudonym_key.key IS '32 random bytes, key of HMAC-SHA256';
COMMENT ON COLUMN cpis.pseudonym_key.made_at IS 'when it was made';
CREATE TRIGGER own_change BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON cpis.pseudonym_key
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('The writer of the audit trail makes keys.');
CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.pseudonym_key
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.pseudonym_key ENABLE ALWAYS TRIGGER own_change,
	ENABLE ALWAYS TRIGGER reference_changed;

CREATE FUNCTION cpis.event_person(month oid, "row" tid) RETURNS text
	LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
	AS 'MODULE_PATHNAME', 'cpis_event_person';
REVOKE ALL ON FUNCTION cpis.event_person(oid, tid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.event_person(oid, tid) TO cpis_analyst;
COMMENT ON FUNCTION cpis.event_person(oid, tid) IS 'pseudonym of the person in the event that is this row of this month of the trail; NULL where it names nobody';

CREATE FUNCTION cpis.event_worker(month oid, "row" tid) RETURNS text
	LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
	AS 'MODULE_PATHNAME', 'cpis_event_worker';
REVOKE ALL ON FUNCTION cpis.event_worker(oid, tid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.event_worker(oid, tid) TO cpis_analyst;
COMMENT ON FUNCTION cpis.event_worker(oid, tid) IS 'pseudonym of the healthcare worker in it';

CREATE FUNCTION cpis_pseudonym(nhs_number @extschema@.nhs_number, year integer = NULL) RETURNS text
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'cpis_pseudonym';
REVOKE ALL ON FUNCTION cpis_pseudonym(@extschema@.nhs_number, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_pseudonym(@extschema@.nhs_number, integer) TO cpis_steward;
COMMENT ON FUNCTION cpis_pseudonym(@extschema@.nhs_number, integer) IS
	'under which pseudonym analysts see a person in the events of a year (UTC), by default this one; for cpis_steward, recorded; NULL where the year has no key';

/*
 * A look-up that is refused is recorded as the application asked for it, and may have anything in the
 * place of an organisation or a care setting, if it was refused before that was looked for in the register;
 * the reason says so, for entitle() in src/lookup.c checks in this order.  Stewards see what was given.
 * Analysts, and whoever reads what is kept of events that have aged out, see what was found.
 */
CREATE FUNCTION cpis.organisation_is_known(outcome text, detail text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN outcome <> 'refused' OR COALESCE(split_part(detail, ';', 1), '') NOT IN ('not entitled', 'unknown organisation');
REVOKE ALL ON FUNCTION cpis.organisation_is_known(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.organisation_is_known(text, text) TO cpis_analyst;
COMMENT ON FUNCTION cpis.organisation_is_known(text, text) IS 'had the organisation of an event with this outcome and detail been found in the register?';

CREATE FUNCTION cpis.care_setting_is_known(outcome text, detail text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN outcome <> 'refused' OR COALESCE(split_part(detail, ';', 1), '') NOT IN ('not entitled', 'unknown organisation',
		'not entitled for the organisation', 'not entitled to read silently', 'not entitled to act as device', 'unknown care setting');
REVOKE ALL ON FUNCTION cpis.care_setting_is_known(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.care_setting_is_known(text, text) TO cpis_analyst;
COMMENT ON FUNCTION cpis.care_setting_is_known(text, text) IS 'had its care setting been found there, too?';

CREATE VIEW cpis.analyst_event WITH (security_barrier) AS
	SELECT e.event_id, e.recorded_at, e.action, e.outcome,
		cpis.event_person(e.tableoid, e.ctid) AS person, cpis.event_worker(e.tableoid, e.ctid) AS worker,
		CASE WHEN cpis.care_setting_is_known(e.outcome, e.detail) THEN e.job_role END AS job_role,
		CASE WHEN cpis.organisation_is_known(e.outcome, e.detail) THEN e.organisation END AS organisation,
		CASE WHEN cpis.care_setting_is_known(e.outcome, e.detail) THEN e.care_setting END AS care_setting, e.notify, e.notified_authority, cardinality(e.plan_ids) AS plans
	FROM cpis.audit_event e;
REVOKE ALL ON TABLE cpis.analyst_event FROM PUBLIC;
GRANT SELECT ON TABLE cpis.analyst_event TO cpis_analyst;
COMMENT ON VIEW cpis.analyst_event IS 'the audit trail for analysts, without anybody''s name or number; for cpis_analyst';
COMMENT ON COLUMN cpis.analyst_event.event_id IS 'number of the event';
COMMENT ON COLUMN cpis.analyst_event.recorded_at IS 'when it was recorded';
COMMENT ON COLUMN cpis.analyst_event.action IS 'what was done, as in cpis.audit_event';
COMMENT ON COLUMN cpis.analyst_event.outcome IS 'found, not_found, refused or done';
COMMENT ON COLUMN cpis.analyst_event.person IS 'pseudonym of the person, the same throughout a year (UTC)';
COMMENT ON COLUMN cpis.analyst_event.worker IS 'pseudonym of the healthcare worker, the same throughout a year (UTC)';
COMMENT ON COLUMN cpis.analyst_event.job_role IS 'job role of the healthcare worker, as the application gave it; NULL: none, or the care setting is not told';
COMMENT ON COLUMN cpis.analyst_event.organisation IS 'ODS code of the NHS organisation; NULL: none, or not found in the register when the look-up was asked for';
COMMENT ON COLUMN cpis.analyst_event.care_setting IS 'care setting; NULL: likewise';
COMMENT ON COLUMN cpis.analyst_event.notify IS 'was the access to be notified and shown in the shared history?';
COMMENT ON COLUMN cpis.analyst_event.notified_authority IS 'authorities notified';
COMMENT ON COLUMN cpis.analyst_event.plans IS 'how many plans were disclosed, or their presence; NULL: none';

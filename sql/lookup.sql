/*
 * Looking a child up.  src/lookup.c has the order in which things happen.
 *
 * SECURITY INVOKER: the role in force, after any SET ROLE, is the one that must
 * be entitled.  PARALLEL UNSAFE: the event carries what only the session knows.
 */

CREATE TYPE cpis.lookup_result AS (
	nhs_number @extschema@.nhs_number,
	plan_type text,
	start_date date,
	end_date date,
	local_authority text,
	local_authority_name text,
	office_hours_phone text,
	emergency_duty_phone text,
	event_id bigint
);
COMMENT ON TYPE cpis.lookup_result IS 'what cpis_lookup() discloses: a row for each plan held (guidance section 5.2)';
COMMENT ON COLUMN cpis.lookup_result.nhs_number IS 'number looked up';
COMMENT ON COLUMN cpis.lookup_result.plan_type IS 'child_protection, looked_after or unborn';
COMMENT ON COLUMN cpis.lookup_result.start_date IS 'day on which the plan starts';
COMMENT ON COLUMN cpis.lookup_result.end_date IS 'day on which the plan ended; NULL while it runs';
COMMENT ON COLUMN cpis.lookup_result.local_authority IS 'code of the authority responsible';
COMMENT ON COLUMN cpis.lookup_result.local_authority_name IS 'its name';
COMMENT ON COLUMN cpis.lookup_result.office_hours_phone IS 'its telephone in office hours, where it has given one';
COMMENT ON COLUMN cpis.lookup_result.emergency_duty_phone IS 'telephone of its emergency duty team';
COMMENT ON COLUMN cpis.lookup_result.event_id IS 'the access event, already durable; argument of cpis_access_history()';

CREATE FUNCTION cpis_lookup(
	nhs_number @extschema@.nhs_number,
	worker_name text,
	organisation text,
	care_setting text,
	worker_id text = NULL,
	job_role text = NULL,
	system_id text = NULL,
	location text = NULL,
	request_id text = NULL,
	notify boolean = true,
	device boolean = false)
	RETURNS SETOF cpis.lookup_result
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1 COST 10000
	AS 'MODULE_PATHNAME', 'cpis_lookup';
REVOKE ALL ON FUNCTION cpis_lookup(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_lookup(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean, boolean) TO cpis_clinical;
COMMENT ON FUNCTION cpis_lookup(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean, boolean) IS
	'plans held for an NHS number; the access event is durable, and the authorities have their notices, before the first row';

CREATE FUNCTION cpis_flag(
	nhs_number @extschema@.nhs_number,
	worker_name text,
	organisation text,
	care_setting text,
	worker_id text = NULL,
	job_role text = NULL,
	system_id text = NULL,
	location text = NULL,
	request_id text = NULL,
	device boolean = false)
	RETURNS boolean
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'cpis_flag';
REVOKE ALL ON FUNCTION cpis_flag(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_flag(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean) TO cpis_clinical;
COMMENT ON FUNCTION cpis_flag(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean) IS
	'is any plan held for an NHS number? recorded like a look-up, but no authority is notified';

CREATE FUNCTION cpis_access_history(
	event_id bigint,
	OUT accessed_at timestamptz,
	OUT worker_name text,
	OUT job_role text,
	OUT organisation text,
	OUT organisation_name text,
	OUT care_setting text,
	OUT device boolean)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 25 COST 10000
	AS 'MODULE_PATHNAME', 'cpis_access_history';
REVOKE ALL ON FUNCTION cpis_access_history(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_access_history(bigint) TO cpis_clinical;
COMMENT ON FUNCTION cpis_access_history(bigint) IS
	'the 25 newest notified accesses to the person of a look-up, newest first; for an hour, for the role that made it';

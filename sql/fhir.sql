/*
 * FHIR R4 (4.0.1): a look-up as the consumer API of CP-IS at NHS England answers it, and events of
 * the trail as AuditEvent.
 *
 * The look-up follows the API's data mapping: type of plan in CareTeam.category, its days in
 * CareTeam.period, the authority in CareTeam.name, its telephones in CareTeam.telecom, "mobile" of the
 * emergency duty team and "work" in office hours; of accesses AuditEvent.recorded, with who, role and
 * organisation in a PractitionerRole.  AuditEvents of look-ups are PatientQuery of IHE's Basic Audit
 * Log Patterns (BALP).
 *
 * SECURITY INVOKER: both functions do no more than what the caller may do himself, with
 * cpis_lookup() and with cpis.steward_event.
 */
CREATE FUNCTION cpis.fhir_time(at timestamptz) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE STRICT
	RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
COMMENT ON FUNCTION cpis.fhir_time(timestamptz) IS 'a time as a FHIR instant, in UTC';

CREATE FUNCTION cpis.fhir_concept(system text, code text, display text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_build_object('coding', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('system', system, 'code', code, 'display', display))));
COMMENT ON FUNCTION cpis.fhir_concept(text, text, text) IS 'a FHIR CodeableConcept of one code';

CREATE FUNCTION cpis.fhir_identified(system text, value text, display text, type text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_strip_nulls(jsonb_build_object('type', type, 'display', display,
		'identifier', CASE WHEN value IS NOT NULL THEN jsonb_build_object('system', system, 'value', value) END));
COMMENT ON FUNCTION cpis.fhir_identified(text, text, text, text) IS 'a FHIR Reference by identifier';

CREATE FUNCTION cpis.fhir_patient(nhs_number @extschema@.nhs_number) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
	RETURN cpis.fhir_identified('https://fhir.nhs.uk/Id/nhs-number', nhs_number::text, NULL, 'Patient');
COMMENT ON FUNCTION cpis.fhir_patient(@extschema@.nhs_number) IS 'a FHIR Reference to a person, by NHS number';

CREATE FUNCTION cpis.fhir_organisation(code text, name text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Codes of the Office for National Statistics are a letter and eight digits; the others are ODS codes.
	RETURN cpis.fhir_identified(CASE WHEN code ~ '^E[0-9]{8}$' THEN 'http://statistics.data.gov.uk/id/statistical-geography' ELSE 'https://fhir.nhs.uk/Id/ods-organization-code' END,
		code, name, 'Organization');
COMMENT ON FUNCTION cpis.fhir_organisation(text, text) IS 'a FHIR Reference to an organisation or a local authority, by code';

/*
 * SECURITY DEFINER, for the codes of kinds of plan, which are no secret; everything else is the
 * caller's own.
 */
CREATE FUNCTION cpis.fhir_plan_type(code text) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT cpis.fhir_concept('http://snomed.info/sct', t.snomed_ct_code, t.name) FROM cpis.plan_type t WHERE t.code = fhir_plan_type.code;
END;
COMMENT ON FUNCTION cpis.fhir_plan_type(text) IS 'a kind of plan as SNOMED CT concept';

CREATE FUNCTION cpis.fhir_care_team(plan cpis.lookup_result) RETURNS jsonb
	LANGUAGE sql VOLATILE PARALLEL SAFE
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'resourceType', 'CareTeam',
		-- As the look-up reads the clock, not as of the beginning of the transaction.
		'status', CASE WHEN (plan).end_date < (clock_timestamp() AT TIME ZONE 'Europe/London')::date THEN 'inactive'
			WHEN (plan).start_date > (clock_timestamp() AT TIME ZONE 'Europe/London')::date THEN 'proposed' ELSE 'active' END,
		'category', jsonb_build_array(cpis.fhir_plan_type((plan).plan_type)),
		'name', (plan).local_authority_name,
		'subject', cpis.fhir_patient((plan).nhs_number),
		'period', jsonb_build_object('start', to_char((plan).start_date, 'YYYY-MM-DD'), 'end', to_char((plan).end_date, 'YYYY-MM-DD')),
		'managingOrganization', jsonb_build_array(cpis.fhir_organisation((plan).local_authority, (plan).local_authority_name)),
		'telecom', jsonb_build_array(jsonb_build_object('system', 'phone', 'value', (plan).emergency_duty_phone, 'use', 'mobile'))
			|| CASE WHEN (plan).office_hours_phone IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object('system', 'phone', 'value', (plan).office_hours_phone, 'use', 'work')) END));
COMMENT ON FUNCTION cpis.fhir_care_team(cpis.lookup_result) IS 'a plan held as FHIR CareTeam';

CREATE FUNCTION cpis.fhir_practitioner_role(worker_name text, job_role text, organisation text, organisation_name text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'resourceType', 'PractitionerRole',
		'practitioner', jsonb_build_object('type', 'Practitioner', 'display', worker_name),
		'organization', cpis.fhir_organisation(organisation, COALESCE(organisation_name, organisation)),
		'code', CASE WHEN job_role IS NOT NULL THEN jsonb_build_array(cpis.fhir_concept(NULL, NULL, job_role)) END));
COMMENT ON FUNCTION cpis.fhir_practitioner_role(text, text, text, text) IS 'who has looked, as FHIR PractitionerRole';

CREATE FUNCTION cpis.fhir_access(accessed_at timestamptz, nhs_number @extschema@.nhs_number, who jsonb, device jsonb) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN jsonb_build_object(
		'resourceType', 'AuditEvent',
		'type', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/audit-event-type', 'code', 'rest', 'display', 'Restful Operation'),
		'subtype', jsonb_build_array(jsonb_build_object('system', 'http://hl7.org/fhir/restful-interaction', 'code', 'search-type', 'display', 'search-type')),
		'action', 'E', 'outcome', '0',
		'recorded', cpis.fhir_time(accessed_at),
		'agent', CASE WHEN device IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object('who', device, 'requestor', true)) END
			|| jsonb_build_array(jsonb_build_object('who', who, 'requestor', device IS NULL)),
		'source', jsonb_build_object('observer', jsonb_build_object('display', 'cpis')),
		'entity', jsonb_build_array(
			jsonb_build_object('what', who, 'type', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/v3-RoleClass', 'code', 'ASSIGNED', 'display', 'assigned entity')),
			jsonb_build_object('what', cpis.fhir_patient(nhs_number),
				'type', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/audit-entity-type', 'code', '1', 'display', 'Person'),
				'role', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/object-role', 'code', '1', 'display', 'Patient'))));
COMMENT ON FUNCTION cpis.fhir_access(timestamptz, @extschema@.nhs_number, jsonb, jsonb) IS 'an access of the shared history as FHIR AuditEvent, by who is referred to or, if not NULL, by a device for that worker';

CREATE FUNCTION cpis.fhir_entry(id text, resource jsonb, mode text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_build_object('fullUrl', 'urn:uuid:' || id, 'resource', resource, 'search', jsonb_build_object('mode', mode));
COMMENT ON FUNCTION cpis.fhir_entry(text, jsonb, text) IS 'an entry of a FHIR searchset Bundle';

CREATE FUNCTION cpis_lookup_fhir(
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
	RETURNS jsonb
	LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 10000
BEGIN ATOMIC
	-- Materialized, so that there is one look-up.  Without a plan there is no history.
	WITH plan AS MATERIALIZED (
		SELECT p.event_id, row_number() OVER () AS place, gen_random_uuid()::text AS id, cpis.fhir_care_team(p) AS resource
		FROM cpis_lookup(nhs_number, worker_name, organisation, care_setting, worker_id, job_role, system_id, location, request_id, notify, device) AS p
	), access AS MATERIALIZED (
		SELECT row_number() OVER () AS place, gen_random_uuid()::text AS id, gen_random_uuid()::text AS role_id, h.accessed_at,
			cpis.fhir_practitioner_role(h.worker_name, h.job_role, h.organisation, h.organisation_name) AS role,
			CASE WHEN h.device THEN jsonb_build_object('type', 'Device', 'display', 'device of ' || COALESCE(h.organisation_name, h.organisation)) END AS device
		FROM (SELECT p.event_id FROM plan p WHERE p.place = 1) AS asking CROSS JOIN LATERAL cpis_access_history(asking.event_id) AS h
	), entry AS (
		SELECT 1 AS part, p.place, cpis.fhir_entry(p.id, p.resource, 'match') AS entry FROM plan p
		UNION ALL
		SELECT 2, a.place, cpis.fhir_entry(a.id, cpis.fhir_access(a.accessed_at, lookup.number, jsonb_build_object('reference', 'urn:uuid:' || a.role_id, 'type', 'PractitionerRole'), a.device), 'include')
		FROM access a CROSS JOIN (SELECT cpis_lookup_fhir.nhs_number) AS lookup (number)
		UNION ALL
		SELECT 3, a.place, cpis.fhir_entry(a.role_id, a.role, 'include') FROM access a
	)
	SELECT jsonb_strip_nulls(jsonb_build_object(
		'resourceType', 'Bundle',
		'type', 'searchset',
		'timestamp', cpis.fhir_time(clock_timestamp()),
		'total', (SELECT count(*) FROM plan),
		'link', jsonb_build_array(jsonb_build_object('relation', 'self',
			'url', 'CareTeam?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|' || cpis_lookup_fhir.nhs_number::text)),
		'entry', (SELECT jsonb_agg(e.entry ORDER BY e.part, e.place) FROM entry e)));
END;
REVOKE ALL ON FUNCTION cpis_lookup_fhir(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_lookup_fhir(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean, boolean) TO cpis_clinical;
COMMENT ON FUNCTION cpis_lookup_fhir(@extschema@.nhs_number, text, text, text, text, text, text, text, text, boolean, boolean) IS
	'cpis_lookup() and the access history, one look-up and one event, as FHIR R4 searchset Bundle: a CareTeam for each plan held, an AuditEvent and a PractitionerRole for each access';

CREATE FUNCTION cpis.fhir_agent(code text, display text, system text, who jsonb, requestor boolean, more jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_build_object('type', cpis.fhir_concept(system, code, display), 'who', who, 'requestor', requestor) || more;
COMMENT ON FUNCTION cpis.fhir_agent(text, text, text, jsonb, boolean, jsonb) IS 'an agent of a FHIR AuditEvent, with more elements';

CREATE FUNCTION cpis.fhir_agents(event cpis.steward_event) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_build_array(
			cpis.fhir_agent('110153', 'Source Role ID', 'http://dicom.nema.org/resources/ontology/DCM',
				cpis.fhir_identified('urn:cpis:system', (event).system_id, COALESCE(NULLIF((event).application_name, ''), (event).session_role), 'Device'),
				(event).worker_name IS NULL OR cpis.is_device((event).detail),
				jsonb_build_object('altId', (event).session_role, 'name', (event).effective_role, 'network',
					jsonb_build_object('address', COALESCE(host((event).client_addr), 'localhost'), 'type', CASE WHEN (event).client_addr IS NULL THEN '1' ELSE '2' END))),
			cpis.fhir_agent('110152', 'Destination Role ID', 'http://dicom.nema.org/resources/ontology/DCM',
				jsonb_build_object('type', 'Device', 'display', 'cpis'), false,
				-- The server's own address is not recorded, and who reads may have come by another.
				jsonb_build_object('network', jsonb_build_object('address', 'urn:cpis', 'type', '5'))))
		-- A person who asks receives what is told (BALP), and is the author of what is refused; one who is
		-- named by a device is responsible for it.
		|| CASE WHEN (event).worker_name IS NULL THEN '[]' ELSE jsonb_build_array(
			cpis.fhir_agent(CASE WHEN cpis.is_device((event).detail) THEN 'RESP' WHEN (event).outcome = 'refused' THEN 'AUT' ELSE 'IRCP' END,
				CASE WHEN cpis.is_device((event).detail) THEN 'responsible party' WHEN (event).outcome = 'refused' THEN 'author (originator)' ELSE 'information recipient' END,
				'http://terminology.hl7.org/CodeSystem/v3-ParticipationType',
				cpis.fhir_identified('urn:cpis:worker', (event).worker_id, (event).worker_name, 'Practitioner'), NOT cpis.is_device((event).detail),
				jsonb_strip_nulls(jsonb_build_object('name', (event).worker_name,
					'role', CASE WHEN (event).job_role IS NOT NULL THEN jsonb_build_array(jsonb_build_object('text', (event).job_role)) END)))) END
		|| CASE WHEN (event).organisation IS NULL THEN '[]' ELSE jsonb_build_array(
			cpis.fhir_agent('PROV', 'healthcare provider', 'http://terminology.hl7.org/CodeSystem/v3-RoleClass', cpis.fhir_organisation((event).organisation, NULL), false, '{}')) END;
COMMENT ON FUNCTION cpis.fhir_agents(cpis.steward_event) IS 'agents of an event: client, server, healthcare worker and organisation';

CREATE FUNCTION cpis.fhir_details(event cpis.steward_event) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT COALESCE(jsonb_agg(jsonb_build_object('type', d.name, 'valueString', d.value) ORDER BY d.name), '[]')
	FROM (VALUES ('action', (event).action), ('care_setting', (event).care_setting), ('location', (event).location), ('notify', (event).notify::text),
		('notified_authority', array_to_string((event).notified_authority, ' ')), ('notification_no', array_to_string((event).notification_no, ' ')),
		('plan_ids', array_to_string((event).plan_ids, ' ')), ('transaction_id', (event).transaction_id::text), ('backend_pid', (event).backend_pid::text),
		('detail', (event).detail), ('leaf_hash', encode((event).leaf_hash, 'hex'))) AS d (name, value)
	WHERE d.value <> '';
END;
COMMENT ON FUNCTION cpis.fhir_details(cpis.steward_event) IS 'what else an event has, as details of an entity of a FHIR AuditEvent';

CREATE FUNCTION cpis.fhir_entities(event cpis.steward_event) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_build_array(jsonb_build_object(
			'type', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/audit-entity-type', 'code', '4', 'display', 'Other'),
			'name', 'event ' || (event).event_id, 'detail', cpis.fhir_details(event)))
		|| CASE WHEN (event).nhs_number IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
			'what', cpis.fhir_patient((event).nhs_number),
			'type', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/audit-entity-type', 'code', '1', 'display', 'Person'),
			'role', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/object-role', 'code', '1', 'display', 'Patient'))) END
		|| CASE WHEN (event).action NOT IN ('lookup', 'flag') THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
			'type', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/audit-entity-type', 'code', '2', 'display', 'System Object'),
			'role', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/object-role', 'code', '24', 'display', 'Query'),
			-- What was asked, as the consumer API would have been asked.
			'query', replace(encode(convert_to('CareTeam?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|' || (event).nhs_number::text
				|| CASE (event).action WHEN 'flag' THEN '&_summary=count' ELSE '' END, 'UTF8'), 'base64'), E'\n', ''))) END
		|| CASE WHEN (event).request_id IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
			'type', jsonb_build_object('system', 'https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType', 'code', 'XrequestId'),
			'what', jsonb_build_object('identifier', jsonb_build_object('value', (event).request_id)))) END;
COMMENT ON FUNCTION cpis.fhir_entities(cpis.steward_event) IS 'entities of an event: what else it has, the person, the query and the caller''s identifier of the request';

CREATE FUNCTION cpis.fhir_kind(event cpis.steward_event) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN (event).action IN ('lookup', 'flag') THEN jsonb_build_object('action', 'E',
			'type', jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/audit-event-type', 'code', 'rest', 'display', 'Restful Operation'),
			'subtype', jsonb_build_array(jsonb_build_object('system', 'http://hl7.org/fhir/restful-interaction', 'code', 'search-type', 'display', 'search-type')))
		ELSE jsonb_build_object(
			'action', CASE WHEN (event).action IN ('read', 'direct_read', 'notices') THEN 'R' WHEN (event).action = 'removal' OR ((event).action = 'purge' AND (event).detail ~ '^month: ') THEN 'D' ELSE 'U' END,
			'type', CASE WHEN (event).action IN ('read', 'direct_read') THEN jsonb_build_object('system', 'http://dicom.nema.org/resources/ontology/DCM', 'code', '110112', 'display', 'Query')
				WHEN (event).action IN ('submission', 'rejection') THEN jsonb_build_object('system', 'http://dicom.nema.org/resources/ontology/DCM', 'code', '110107', 'display', 'Import')
				ELSE jsonb_build_object('system', 'http://dicom.nema.org/resources/ontology/DCM', 'code', '110100', 'display', 'Application Activity') END,
			'subtype', jsonb_build_array(jsonb_build_object('system', 'urn:cpis:action', 'code', (event).action)))
		END
		-- BALP has a pattern for a query that succeeded; one that was refused follows FHIR's Access Denied.
		|| CASE WHEN (event).action IN ('lookup', 'flag') AND (event).outcome <> 'refused'
			THEN jsonb_build_object('meta', jsonb_build_object('profile', jsonb_build_array('https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientQuery'))) ELSE '{}' END;
COMMENT ON FUNCTION cpis.fhir_kind(cpis.steward_event) IS 'type, subtype, action and profile of an event';

CREATE FUNCTION cpis_fhir_audit_event(event_id bigint) RETURNS jsonb
	LANGUAGE sql VOLATILE PARALLEL UNSAFE STRICT COST 10000
BEGIN ATOMIC
	SELECT cpis.fhir_kind(e) || jsonb_build_object(
		'resourceType', 'AuditEvent',
		'id', e.event_id::text,
		'recorded', cpis.fhir_time(e.recorded_at),
		'outcome', CASE e.outcome WHEN 'refused' THEN '8' ELSE '0' END,
		'outcomeDesc', e.outcome,
		'agent', cpis.fhir_agents(e),
		'source', jsonb_build_object('observer', jsonb_build_object('type', 'Device', 'display', 'cpis'),
			'type', jsonb_build_array(jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/security-source-type', 'code', '5', 'display', 'Database Server'))),
		'entity', cpis.fhir_entities(e))
	FROM cpis.steward_event e WHERE e.event_id = cpis_fhir_audit_event.event_id;
END;
REVOKE ALL ON FUNCTION cpis_fhir_audit_event(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_fhir_audit_event(bigint) TO cpis_steward;
COMMENT ON FUNCTION cpis_fhir_audit_event(bigint) IS
	'an event of the trail as FHIR R4 AuditEvent, a look-up as PatientQuery of IHE BALP; NULL where there is none; for cpis_steward, recorded as a read of cpis.steward_event';

DO $$
DECLARE
	helper pg_catalog.regprocedure;
BEGIN
	FOR helper IN SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'cpis'::pg_catalog.regnamespace AND p.proname LIKE 'fhir\_%'
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', helper);
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO cpis_clinical, cpis_steward', helper);
	END LOOP;
END
$$;

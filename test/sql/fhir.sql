-- FHIR: a look-up as the consumer API answers it, and events as AuditEvent.  Whether they are FHIR at all
-- is t/030_fhir's.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION pgtap;
SELECT no_plan();
INSERT INTO cpis.local_authority VALUES ('E06000091', 'Fhir county', '01632 960191', '01632 960091'), ('FH2', 'Fhir city', NULL, '01632 960092');
INSERT INTO cpis.organisation VALUES ('RFA', 'FHIR TRUST A'), ('RFB', 'FHIR TRUST B');
CREATE FUNCTION child(n integer) RETURNS nhs_number LANGUAGE sql AS 'SELECT nhs_number_synthetic(91000 + n)';
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date) VALUES
	(child(1), 'child_protection', 'E06000091', '2026-02-01', NULL), (child(1), 'looked_after', 'FH2', '2026-01-01', (now() AT TIME ZONE 'Europe/London')::date), (child(1), 'unborn', 'FH2', '2025-12-01', (now() AT TIME ZONE 'Europe/London')::date - 1);
CREATE ROLE fhir_app IN ROLE cpis_clinical;
CREATE ROLE fhir_steward IN ROLE cpis_steward;
CREATE ROLE fhir_analyst IN ROLE cpis_analyst;
SELECT count(cpis_scope_grant('fhir_app', code, may_read_silently => true, may_act_as_device => true)) AS granted FROM (VALUES ('RFA'), ('RFB')) AS o (code) \gset
SELECT max(event_id) AS before FROM cpis.audit_event \gset

SET ROLE fhir_app;
SELECT count(*) AS n FROM cpis_lookup(child(1), 'Ann', 'RFA', 'camhs', job_role => 'Nurse') \gset
SELECT cpis_lookup_fhir(child(1), 'Ben', 'RFB', 'nhs_111', 'B7', 'Consultant', 'sys', 'here', 'req-1') AS bundle \gset
SELECT cpis_lookup_fhir(child(2), 'Ben', 'RFB', 'camhs') AS none \gset
SELECT cpis_lookup_fhir(child(1), 'Cal', 'RFA', 'camhs', notify => false) AS silent \gset
SELECT cpis_lookup_fhir(child(1), 'Dan', 'RFA', 'nhs_111', system_id => 'kiosk', location => 'Leeds', device => true) AS device \gset
SELECT cpis_flag(child(1), 'Eve', 'RFB', 'camhs') AS flag \gset
SELECT cpis_lookup_fhir(child(1), 'Fay', 'RFZ', 'nhs_111', system_id => 'kiosk', location => 'Leeds', device => true) AS refused \gset
RESET ROLE;

SELECT is((SELECT count(*) FROM cpis.audit_event WHERE event_id > :before AND action IN ('lookup', 'flag')), 7::bigint, 'one look-up is one event');
CREATE TEMPORARY TABLE entry AS SELECT e.entry -> 'resource' AS resource, e.entry ->> 'fullUrl' AS url, e.entry #>> '{search,mode}' AS mode, e.place
	FROM jsonb_array_elements(:'bundle'::jsonb -> 'entry') WITH ORDINALITY AS e (entry, place);
SELECT resource #>> '{category,0,coding,0,code}' AS type, resource ->> 'name' AS name, resource #>> '{managingOrganization,0,identifier,system}' AS system,
	resource #>> '{managingOrganization,0,identifier,value}' AS authority, resource #>> '{period,start}' AS start, resource ->> 'status' AS status,
	(resource #>> '{period,end}')::date - (now() AT TIME ZONE 'Europe/London')::date AS ended, resource -> 'telecom' AS telecom, mode
FROM entry WHERE resource ->> 'resourceType' = 'CareTeam' ORDER BY place \gx
SELECT is(:'bundle'::jsonb - 'entry' - 'timestamp', jsonb_build_object('resourceType', 'Bundle', 'type', 'searchset', 'total', 3, 'link',
	jsonb_build_array(jsonb_build_object('relation', 'self', 'url', 'CareTeam?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|' || child(1)::text))), 'the bundle');
SELECT ok(bool_and(resource #>> '{subject,identifier,value}' = child(1)::text), 'of whom the plans are') FROM entry WHERE mode = 'match';
-- The history, newest first, by the role that each access refers to.
SELECT r.resource #>> '{practitioner,display}' AS who, r.resource #>> '{code,0,coding,0,display}' AS role, r.resource #>> '{organization,display}' AS organisation,
	r.resource #>> '{organization,identifier,value}' AS code, a.resource #>> '{entity,1,what,identifier,value}' = child(1)::text AS person,
	a.resource #>> '{entity,0,what,reference}' = r.url AS assigned, a.mode, r.mode AS role_mode
FROM entry a JOIN entry r ON r.url = a.resource #>> '{agent,0,who,reference}' WHERE a.resource ->> 'resourceType' = 'AuditEvent' ORDER BY a.place;
SELECT is((SELECT array_agg((resource ->> 'recorded')::timestamptz ORDER BY place) FROM entry WHERE resource ->> 'resourceType' = 'AuditEvent'),
	(SELECT array_agg(recorded_at ORDER BY event_id DESC) FROM cpis.audit_event WHERE event_id > :before AND worker_name IN ('Ann', 'Ben') AND outcome = 'found'), 'when');
SELECT is((SELECT count(DISTINCT url) FROM entry), (SELECT count(*) FROM entry), 'each entry has a URL of its own');
SELECT is(:'none'::jsonb - 'timestamp' - 'link', '{"resourceType": "Bundle", "type": "searchset", "total": 0}', 'nothing held');
SELECT is((SELECT jsonb_agg(e #>> '{resource,practitioner,display}') FROM jsonb_array_elements(:'silent'::jsonb -> 'entry') e WHERE e #>> '{resource,resourceType}' = 'PractitionerRole'), '["Ben", "Ann"]', 'a silent look-up is not in the history');
-- A device asks for a worker.
SELECT is(jsonb_path_query_array(:'device'::jsonb, '$.entry[*].resource ? (@.resourceType == "AuditEvent").agent'), jsonb_build_array(
	jsonb_build_array('{"who": {"type": "Device", "display": "device of FHIR TRUST A"}, "requestor": true}'::jsonb, jsonb_build_object('who', d.roles -> 0, 'requestor', false)),
	jsonb_build_array(jsonb_build_object('who', d.roles -> 1, 'requestor', true)), jsonb_build_array(jsonb_build_object('who', d.roles -> 2, 'requestor', true))), 'the access of a device is its own')
FROM (SELECT jsonb_agg(jsonb_build_object('reference', e ->> 'fullUrl', 'type', 'PractitionerRole')) AS roles FROM jsonb_array_elements(:'device'::jsonb -> 'entry') e WHERE e #>> '{resource,resourceType}' = 'PractitionerRole') AS d;
SELECT is((SELECT detail FROM cpis.audit_event WHERE event_id > :before AND worker_name = 'Fay'), 'unknown organisation; author: device', 'why a device is refused, and that it is one');
SELECT is((SELECT concat_ws(' ', worker_name, worker_id, job_role, system_id, location, request_id, organisation, care_setting, notify, notified_authority) FROM cpis.audit_event WHERE request_id = 'req-1'),
	'Ben B7 Consultant sys here req-1 RFB nhs_111 t {E06000091,FH2}', 'the event has every argument');

-- What is refused is refused as to cpis_lookup().
CREATE FUNCTION becomes(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM set_config('role', role, true);
	EXECUTE statement INTO answer;
	PERFORM set_config('role', 'none', true);
	RETURN COALESCE(answer, 'null');
EXCEPTION WHEN OTHERS THEN
	RETURN concat_ws(' ', sqlstate, sqlerrm);
END $$;
SELECT is(becomes(role, statement), answer, role || ' ' || statement) FROM (VALUES
	('fhir_app', $$SELECT cpis_lookup_fhir(NULL, 'A', 'RFA', 'camhs')$$, '22004 argument "nhs_number" must not be null'),
	('fhir_app', $$SELECT cpis_lookup_fhir(child(1), 'A', 'RFA', 'camhs', notify => NULL)$$, '22004 argument "notify" must not be null'),
	('fhir_app', $$SELECT cpis_lookup_fhir(child(1), 'A', 'RFZ', 'camhs')$$, '42704 organisation is not in the register'),
	('fhir_analyst', $$SELECT cpis_lookup_fhir(child(1), 'A', 'RFA', 'camhs')$$, '42501 permission denied for function cpis_lookup_fhir'),
	('fhir_steward', $$SELECT cpis_lookup_fhir(child(1), 'A', 'RFA', 'camhs')$$, '42501 permission denied for function cpis_lookup_fhir'),
	('fhir_app', 'SELECT cpis_fhir_audit_event(1)', '42501 permission denied for function cpis_fhir_audit_event'),
	('fhir_analyst', 'SELECT cpis_fhir_audit_event(1)', '42501 permission denied for function cpis_fhir_audit_event'),
	('fhir_steward', 'SELECT cpis_fhir_audit_event(-1)', 'null')) AS v (role, statement, answer);

-- Events.  Reading them is recorded.
SELECT max(event_id) AS newest FROM cpis.audit_event \gset
SET ROLE fhir_steward;
SELECT cpis_fhir_audit_event(event_id) AS event FROM (SELECT :newest::bigint AS event_id) AS e \gset
RESET ROLE;
SELECT is((SELECT concat_ws(' ', action, outcome, detail, effective_role) FROM cpis.audit_event WHERE event_id = :newest + 1), 'read done cpis.steward_event fhir_steward', 'recorded');
CREATE TEMPORARY TABLE audit AS SELECT e.event_id, e.worker_name, e.action, e.outcome, cpis_fhir_audit_event(e.event_id) AS resource FROM cpis.audit_event e WHERE e.event_id > :before AND e.event_id <= :newest AND e.action <> 'direct_read';
SELECT worker_name, action, outcome, resource ->> 'outcome' AS fhir_outcome, resource #>> '{type,code}' AS type, resource #>> '{subtype,0,code}' AS subtype, resource ->> 'action' AS fhir_action,
	resource #>> '{meta,profile,0}' LIKE '%PatientQuery' AS balp, (SELECT string_agg(a #>> '{type,coding,0,code}' || CASE WHEN (a ->> 'requestor')::boolean THEN '!' ELSE '' END, ' ' ORDER BY n) FROM jsonb_array_elements(resource -> 'agent') WITH ORDINALITY AS t (a, n)) AS agents,
	(SELECT string_agg(a #>> '{type,code}', ' ' ORDER BY n) FROM jsonb_array_elements(resource -> 'entity') WITH ORDINALITY AS t (a, n)) AS entities
FROM audit ORDER BY event_id;
SELECT is(a.resource ->> 'recorded', to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'when') FROM audit a JOIN cpis.audit_event e USING (event_id) WHERE a.worker_name = 'Ben' AND a.outcome = 'found';
SELECT a.resource #>> '{agent,0,who,identifier,value}' AS system, a.resource #> '{agent,2,who}' AS worker, a.resource #> '{agent,2,role}' AS role, a.resource #> '{agent,3,who}' AS organisation,
	convert_from(decode(a.resource #>> '{entity,2,query}', 'base64'), 'UTF8') AS query, a.resource #> '{entity,3}' AS request,
	(SELECT string_agg((d ->> 'type') || '=' || (d ->> 'valueString'), '; ' ORDER BY d ->> 'type') FROM jsonb_array_elements(a.resource #> '{entity,0,detail}') d WHERE d ->> 'type' NOT IN ('backend_pid', 'leaf_hash', 'plan_ids', 'notification_no')) AS details
FROM audit a WHERE a.worker_name = 'Ben' AND a.outcome = 'found' \gx
SELECT is(a.resource #>> '{entity,0,detail,3,valueString}', encode(e.leaf_hash, 'hex'), 'the leaf of the ledger') FROM audit a JOIN cpis.audit_event e USING (event_id) WHERE a.worker_name = 'Eve';
SELECT * FROM finish();

-- A device is an author of its own: what it looks up does not hide what that worker does.
SET ROLE fhir_app;
SELECT count(*) AS n FROM cpis_lookup(child(1), 'Zed', 'RFA', 'nhs_111', system_id => 'terminal', location => 'Leeds', device => true) \gset
SELECT count(*) AS n FROM cpis_lookup(child(1), 'Zed', 'RFA', 'camhs') \gset
SELECT max(event_id) AS asks FROM cpis_lookup(child(1), 'Other', 'RFA', 'camhs') \gset
SELECT string_agg(concat_ws(' ', care_setting, device), ', ' ORDER BY accessed_at) AS shown FROM cpis_access_history(:asks) WHERE worker_name = 'Zed' \gset
RESET ROLE;
SELECT is(:'shown'::text, 'nhs_111 t, camhs f', 'by a device, and in person');
SELECT count(cpis_scope_revoke(role_name, organisation)) AS revoked FROM cpis.role_scope WHERE role_name = 'fhir_app';
DROP FUNCTION becomes, child;
DROP TABLE entry, audit;
DROP ROLE fhir_app, fhir_steward, fhir_analyst;
DROP EXTENSION pgtap;

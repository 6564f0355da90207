-- What an application has put in the place of an organisation or a care setting, stewards see, and analysts do not.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION pgtap;
SELECT no_plan();
INSERT INTO cpis.local_authority VALUES ('E06000093', 'Refused', NULL, '01632 960093');
INSERT INTO cpis.organisation VALUES ('RRA', 'REFUSED TRUST A'), ('RRB', 'REFUSED TRUST B');
INSERT INTO cpis.provider VALUES ('RRA', 'E06000093', NULL);
CREATE FUNCTION child(n integer) RETURNS nhs_number LANGUAGE sql AS 'SELECT nhs_number_synthetic(93000 + n)';
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) SELECT child(1), 'child_protection', 'E06000093', date '2020-01-01' + n FROM generate_series(1, 65) n;
CREATE ROLE refused_app IN ROLE cpis_clinical;
CREATE ROLE refused_both IN ROLE cpis_clinical, cpis_steward;
CREATE ROLE refused_analyst IN ROLE cpis_analyst;
CREATE ROLE refused_steward IN ROLE cpis_steward;
SELECT cpis_scope_grant('refused_app', 'RRA', max_lookups_per_minute => 1) > 0 AS granted, cpis_provider_setting_set('RRA', 'maternity', live_from => '2900-01-01') > 0 AS set \gset
SELECT COALESCE(max(event_id), -1) AS before FROM cpis.audit_event \gset

-- Look up, or ask for a flag, as this role: the reason that was recorded.
CREATE FUNCTION refusal(role text, call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('role', role, true);
	EXECUTE 'SELECT FROM ' || call;
	PERFORM set_config('role', 'none', true);
	RETURN 'answered';
EXCEPTION WHEN OTHERS THEN
	RETURN (SELECT e.detail FROM cpis.audit_event e WHERE e.action IN ('lookup', 'flag') ORDER BY e.event_id DESC LIMIT 1);
END $$;

-- In their places stand a name and an NHS number, and a name is the job role, too.
SELECT is(refusal(role, format(call, child(1))), reason, reason) FROM (VALUES
	('refused_both', 'cpis_lookup(%L, ''A'', ''Jane Roe'', ''9990000018'', job_role => ''Jane Roe'')', 'not entitled'),
	('refused_app', 'cpis_lookup(%L, ''A'', ''Jane Roe'', ''9990000018'', job_role => ''Jane Roe'')', 'unknown organisation'),
	('refused_app', 'cpis_flag(%L, ''A'', ''Jane Roe'', ''camhs'', job_role => ''Jane Roe'')', 'unknown organisation'),
	('refused_app', 'cpis_lookup(%L, ''A'', ''RRB'', ''9990000018'', job_role => ''Jane Roe'')', 'not entitled for the organisation'),
	('refused_app', 'cpis_lookup(%L, ''A'', ''RRA'', ''9990000018'', job_role => ''Jane Roe'', notify => false)', 'not entitled to read silently'),
	('refused_app', 'cpis_lookup(%L, ''A'', ''RRA'', ''9990000018'', job_role => ''Jane Roe'', system_id => ''s'', device => true)', 'not entitled to act as device; author: device'),
	('refused_app', 'cpis_lookup(%L, ''A'', ''RRA'', ''9990000018'', job_role => ''Jane Roe'')', 'unknown care setting'),
	('refused_app', 'cpis_lookup(%L, ''A'', ''RRA'', ''maternity'', job_role => ''Nurse'')', 'care setting is not live'),
	('refused_app', 'cpis_lookup(''1111111111'', ''A'', ''RRA'', ''camhs'', job_role => ''Nurse'')', 'placeholder number'),
	('refused_app', 'cpis_lookup(%L, ''A'', ''RRA'', ''camhs'', job_role => ''Nurse'')', 'too many plans'),
	('refused_app', 'cpis_flag(%L, ''A'', ''RRA'', ''camhs'', job_role => ''Nurse'')', 'too many look-ups within a minute')) AS v (role, call, reason);
SET cpis.require_go_live = on;
SELECT is(refusal('refused_app', format('cpis_lookup(%L, ''A'', ''RRA'', ''camhs'', job_role => ''Nurse'')', child(1))), 'care setting has no record of going live', 'care setting has no record of going live');
RESET cpis.require_go_live;

-- What this role sees, a line for each row.
CREATE FUNCTION seen(role text, query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('role', role, true);
	RETURN QUERY EXECUTE query;
	PERFORM set_config('role', 'none', true);
END $$;
SELECT results_eq(format('SELECT seen(''refused_analyst'', ''SELECT concat_ws('''' '''', action, COALESCE(organisation, ''''-''''), COALESCE(care_setting, ''''-''''), COALESCE(job_role, ''''-'''')) FROM cpis.analyst_event WHERE event_id > %s AND action IN (''''lookup'''', ''''flag'''') ORDER BY event_id'')', :before),
	ARRAY['lookup - - -', 'lookup - - -', 'flag - - -', 'lookup RRB - -', 'lookup RRA - -', 'lookup RRA - -', 'lookup RRA - -', 'lookup RRA maternity Nurse', 'lookup RRA camhs Nurse', 'lookup RRA camhs Nurse', 'flag RRA camhs Nurse', 'lookup RRA camhs Nurse'],
	'an analyst sees what was found in the register');
SELECT is_empty(format('SELECT seen(''refused_analyst'', ''SELECT v::text FROM cpis.%I v WHERE v::text ~ ''''Jane Roe|9990000018'''''')', view), view || ' has nothing else')
	FROM unnest(ARRAY['analyst_event', 'analyst_access_day', 'analyst_access_month']) AS view;
SELECT results_eq('SELECT seen(''refused_analyst'', ''SELECT concat_ws('''' '''', action, COALESCE(organisation, ''''-''''), COALESCE(care_setting, ''''-''''), notify, accesses) FROM cpis.' || view || ' WHERE organisation LIKE ''''RR_'''' AND outcome = ''''refused'''' ORDER BY 1'')',
	ARRAY['flag RRA camhs f 1', 'lookup RRA - f 1', 'lookup RRA - t 2', 'lookup RRA camhs t 3', 'lookup RRA maternity t 1', 'lookup RRB - t 1'], view || ' adds up by it')
	FROM unnest(ARRAY['analyst_access_day', 'analyst_access_month']) AS view;
SELECT results_eq(format('SELECT seen(''refused_steward'', ''SELECT concat_ws('''' '''', organisation, care_setting, job_role) FROM cpis.steward_event WHERE event_id > %s AND action IN (''''lookup'''', ''''flag'''') ORDER BY event_id LIMIT 4'')', :before),
	ARRAY['Jane Roe 9990000018 Jane Roe', 'Jane Roe 9990000018 Jane Roe', 'Jane Roe camhs Jane Roe', 'RRB 9990000018 Jane Roe'], 'a steward sees what was given');

-- What is added to a reason changes nothing, and nothing but a refused look-up is without them.
SELECT is(concat_ws(' ', cpis.organisation_is_known(outcome, detail), cpis.care_setting_is_known(outcome, detail)), known, concat_ws(', ', outcome, detail)) FROM (VALUES
	('refused', 'unknown organisation; author: device', 'f f'), ('refused', 'unknown care setting; author: device', 't f'), ('refused', 'too many plans; author: device', 't t'),
	('found', NULL, 't t'), ('not_found', 'author: device', 't t'), ('done', 'not entitled', 't t'), ('refused', NULL, 't t'), ('refused', 'not entitled to act for local authority E06000093', 't t')) AS v (outcome, detail, known);

DROP FUNCTION refusal, seen;
SELECT count(cpis_scope_revoke(role_name, organisation, local_authority)) AS revoked, (SELECT cpis_provider_setting_remove('RRA', 'maternity') > 0) AS removed FROM cpis.role_scope WHERE role_name LIKE 'refused%';
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE local_authority = 'E06000093';
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DROP FUNCTION child;
DELETE FROM cpis.provider WHERE organisation = 'RRA';
DELETE FROM cpis.organisation WHERE code LIKE 'RR_';
DELETE FROM cpis.local_authority WHERE code = 'E06000093';
DROP ROLE refused_app, refused_both, refused_analyst, refused_steward;
DROP EXTENSION pgtap;

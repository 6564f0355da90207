-- Implementation: steps of providers, who is late, and care settings that are not live.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION pgtap;
SELECT no_plan();
INSERT INTO cpis.local_authority VALUES ('E06000081', 'Go live', NULL, '01632 960081');
INSERT INTO cpis.organisation VALUES ('RIA', 'IMPLEMENTING TRUST A', 'QX1'), ('RIB', 'IMPLEMENTING TRUST B', 'QX1'), ('RIC', 'IMPLEMENTING TRUST C', NULL);
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES (nhs_number_synthetic(81001), 'child_protection', 'E06000081', '2026-01-01');
CREATE ROLE implementation_app IN ROLE cpis_clinical;
CREATE ROLE implementation_analyst IN ROLE cpis_analyst;
CREATE ROLE implementation_steward IN ROLE cpis_steward;
SELECT count(cpis_scope_grant('implementation_app', code)) AS granted FROM (VALUES ('RIA'), ('RIC')) AS o (code) \gset
SELECT (now() AT TIME ZONE 'Europe/London')::date AS today \gset

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
CREATE FUNCTION looks(organisation text, setting text) RETURNS text LANGUAGE sql AS
	$$SELECT becomes('implementation_app', format('SELECT plan_type FROM cpis_lookup(nhs_number_synthetic(81001), ''A'', %L, %L)', organisation, setting))$$;
CREATE FUNCTION newest() RETURNS text LANGUAGE sql AS
	$$SELECT concat_ws(' ', action, outcome, organisation, care_setting, detail) FROM cpis.audit_event WHERE action <> 'direct_read' ORDER BY event_id DESC LIMIT 1$$;

-- Who has no record may look up, unless cpis.require_go_live is on.
SELECT is(looks('RIA', 'camhs'), 'child_protection', 'no record');
SET cpis.require_go_live = on;
SELECT is(looks('RIA', 'camhs'), '55000 the care setting of the organisation has no record of going live', 'no record, and one is required');
SELECT is(newest(), 'lookup refused RIA camhs care setting has no record of going live', 'recorded as refused');
RESET cpis.require_go_live;
SELECT is(becomes('implementation_app', 'SET cpis.require_go_live = off'), '42501 permission denied to set parameter "cpis.require_go_live"', 'the application does not decide that');

-- A record comes after the provider's.
SELECT is(becomes('none', $$SELECT cpis_provider_setting_set('RIA', 'camhs')$$), '42704 organisation is not a provider', 'no provider');
INSERT INTO cpis.provider VALUES ('RIA', 'E06000081', 'Dr C Hampion'), ('RIB', NULL, NULL), ('RIC', 'E06000081', NULL);
SELECT is(becomes('none', format('SELECT cpis_provider_setting_set(%s)', arguments)), answer, arguments) FROM (VALUES
	($$'RIA', 'nowhere'$$, '42704 care setting does not exist'),
	($$'RIX', 'camhs'$$, '42704 organisation is not a provider'),
	($$NULL, 'camhs'$$, '22004 argument "organisation" must not be null'),
	($$'RIA', NULL$$, '22004 argument "care_setting" must not be null'),
	($$'RIA', 'camhs', 'by letter'$$, '22023 argument "access_way" must be integrated or summary_care_record'),
	($$'RIA', 'camhs', live_from => 'infinity'$$, '22023 argument "live_from" must be a day from 1948 to 2999'), ($$'RIA', 'camhs', live_from => '0001-01-01 BC'$$, '22023 argument "live_from" must be a day from 1948 to 2999'),
	($$'RIA', 'camhs', live_until => '2026-01-01'$$, '22023 argument "live_until" must not be before live_from'),
	($$'RIA', 'camhs', live_from => '2026-01-02', live_until => '2026-01-01'$$, '22023 argument "live_until" must not be before live_from')) AS v (arguments, answer);
SELECT is((SELECT count(*) FROM cpis.audit_event WHERE action = 'go_live'), 0::bigint, 'what is refused so leaves nothing');

-- What the record says of today decides.
SELECT ok(cpis_provider_setting_set('RIA', 'camhs', 'integrated', go_live_due_on => '2026-01-31') > 0, 'a record of a setting that is not live');
SELECT is(newest(), 'go_live done RIA camhs RIA camhs: access integrated, due 2026-01-31', 'recorded');
SELECT is(looks('RIA', 'camhs'), '55000 the care setting of the organisation is not live', 'refused');
SELECT is(newest(), 'lookup refused RIA camhs care setting is not live', 'recorded as refused');
SELECT is(becomes('implementation_app', $$SELECT cpis_flag(nhs_number_synthetic(81001), 'A', 'RIA', 'camhs')$$), '55000 the care setting of the organisation is not live', 'so is a flag');
SELECT is(looks('RIA', 'maternity'), 'child_protection', 'another setting of it');
SELECT is(looks('RIC', 'camhs'), 'child_protection', 'that setting of another provider');
SELECT is(becomes('none', $$SELECT plan_type FROM cpis_lookup(nhs_number_synthetic(81001), 'A', 'RIA', 'camhs')$$), '55000 the care setting of the organisation is not live', 'a superuser, too');
SELECT is((SELECT looks('RIA', 'camhs') FROM (SELECT cpis_provider_setting_set('RIA', 'camhs', live_from => :'today'::date + d, live_until => :'today'::date + e)) AS s), answer, format('live from %s to %s days from today', d, e)) FROM (VALUES
	(0, NULL, 'child_protection'), (1, NULL, '55000 the care setting of the organisation is not live'), (-1, 0, 'child_protection'), (-1, -1, '55000 the care setting of the organisation is not live'), (0, 0, 'child_protection')) AS v (d, e, answer);

-- A session keeps what it has read, and notices at once that it is so no more.
SELECT is(looks('RIA', 'ambulance'), 'child_protection', 'no record, kept');
SELECT is(looks('RIA', 'ambulance'), 'child_protection', 'no record, from what is kept');
SELECT ok(cpis_provider_setting_set('RIA', 'ambulance') > 0, 'a record');
SELECT is(looks('RIA', 'ambulance'), '55000 the care setting of the organisation is not live', 'noticed');
SELECT ok(cpis_provider_setting_remove('RIA', 'ambulance') > 0, 'no record any more');
SELECT is(newest(), 'go_live done RIA ambulance RIA ambulance: no record', 'recorded');
SELECT is(looks('RIA', 'ambulance'), 'child_protection', 'noticed');
BEGIN;
SELECT is((SELECT cpis_provider_setting_set('RIA', 'ambulance') > 0), true, 'a record that is taken back');
SELECT is(looks('RIA', 'ambulance'), '55000 the care setting of the organisation is not live', 'as long as it is there');
ROLLBACK;
SELECT is(looks('RIA', 'ambulance'), 'child_protection', 'when it is not there');
BEGIN;
SELECT ok(cpis_provider_setting_remove('RIA', 'camhs') > 0, 'a removal that is taken back');
SET LOCAL cpis.require_go_live = on;
SELECT is(looks('RIA', 'camhs'), '55000 the care setting of the organisation has no record of going live', 'as long as it is not there');
ROLLBACK;
SELECT is(looks('RIA', 'camhs'), 'child_protection', 'when it is there again');
SELECT is(becomes('none', $$SELECT cpis_provider_setting_remove('RIA', 'ambulance')$$), '22023 the care setting of the organisation has no record', 'what is not there');
SELECT is(becomes('none', statement), answer, statement) FROM (VALUES
	('INSERT INTO cpis.provider_setting (organisation, care_setting, set_at, event_id) VALUES (''RIB'', ''camhs'', now(), 0) RETURNING 1', '1'),
	('UPDATE cpis.provider_setting SET live_from = ''2020-01-01''', '55000 cannot update table "provider_setting"'),
	('DELETE FROM cpis.provider_setting', '55000 cannot delete from table "provider_setting"'),
	('TRUNCATE cpis.provider_setting', '55000 cannot truncate table "provider_setting"'),
	('DELETE FROM cpis.implementation_step', '55000 cannot delete from table "implementation_step"')) AS v (statement, answer);
-- What was put there by hand, and what was announced and taken back, shows.
SELECT problem, uncommitted FROM cpis_retention_reconcile() WHERE problem ~ 'RI[AB] ' ORDER BY 1;

-- Progress.
INSERT INTO cpis.provider_step (organisation, step, due_on, done_on) VALUES
	('RIA', 'agreement_sent', '2026-01-05', '2026-01-02'), ('RIA', 'agreement_signed', '2026-01-19', '2026-01-20'), ('RIA', 'agreement_returned', '2026-01-19', '2026-01-21'),
	('RIA', 'champion', NULL, '2026-02-01'), ('RIA', 'training', :'today'::date, NULL), ('RIA', 'follow_on_audit', :'today'::date + 1, NULL), ('RIA', 'policies', :'today'::date - 3, NULL),
	('RIB', 'agreement_sent', '2026-01-05', '2026-01-02'), ('RIB', 'agreement_returned', :'today'::date - 10, NULL), ('RIC', 'agreement_returned', :'today'::date - 1, NULL);
INSERT INTO cpis.group_member (organisation, part, name, member_until) VALUES
	('RIA', 'information_technology', 'I Tee', NULL), ('RIA', 'safeguarding', 'S Guard', NULL), ('RIA', 'clinical', 'C Lin', NULL), ('RIA', 'information_governance', 'I Gov', NULL),
	('RIA', 'nhs_digital', 'N Dig', NULL), ('RIA', 'local_authority', 'L Aut', NULL);
UPDATE cpis.group_member SET member_from = '2026-01-01', member_until = :'today'::date - 1 WHERE part = 'nhs_digital';
INSERT INTO cpis.escalation (organisation, accountable_officer, reason, escalated_on) VALUES ('RIB', 'A Officer', 'no signature', :'today'::date - 2);
INSERT INTO cpis.escalation (organisation, accountable_officer, reason, escalated_on, resolved_on) VALUES ('RIC', 'A Officer', 'no signature', '2026-01-01', '2026-01-09');
INSERT INTO cpis.provider_risk (organisation, risk, raised_on) VALUES ('RIB', 'no network', '2026-02-01'), ('RIB', 'no staff', '2026-02-01');
UPDATE cpis.provider_risk SET closed_on = '2026-02-02' WHERE risk = 'no staff';
SELECT ok(cpis_provider_setting_set('RIA', 'maternity', 'summary_care_record', :'today'::date - 5) > 0, 'a setting that is late');
SELECT organisation, commissioner, local_authority, agreement_sent_on, agreement_signed_on, agreement_returned_on, has_champion, group_parts_missing, steps, steps_done, overdue, settings, settings_live, open_escalations, open_risks
FROM cpis.implementation_progress WHERE organisation LIKE 'RI_' ORDER BY 1 \gx
SELECT organisation, step, care_setting, days_overdue, :'today'::date - escalated_on AS escalated_ago FROM cpis.implementation_overdue WHERE organisation LIKE 'RI_' ORDER BY 1, 2;
SELECT organisation, care_setting, access_way, live, overdue FROM cpis.implementation_setting WHERE organisation LIKE 'RI_' ORDER BY 1, 2;
SELECT * FROM cpis.implementation_by_commissioner WHERE commissioner = 'QX1' OR commissioner IS NULL ORDER BY 1;
SELECT * FROM cpis.implementation_by_authority WHERE local_authority = 'E06000081' OR local_authority IS NULL ORDER BY 1;

-- Analysts and stewards read the views, which name nobody; nobody else does.
SELECT is(becomes(role, 'SELECT count(*) FROM cpis.' || relation) ~ '^[0-9]+$', may, role || ' ' || relation)
FROM (VALUES ('implementation_setting', true), ('implementation_overdue', true), ('implementation_progress', true), ('implementation_by_commissioner', true), ('implementation_by_authority', true),
	('provider', false), ('provider_step', false), ('provider_setting', false), ('group_member', false), ('escalation', false), ('provider_risk', false), ('implementation_step', false)) AS r (relation, may),
	unnest(ARRAY['implementation_analyst', 'implementation_steward']) AS role;
SELECT is(becomes('implementation_app', 'SELECT count(*) FROM cpis.implementation_progress'), '42501 permission denied for schema cpis', 'an application does not');
SELECT is((SELECT count(*) FROM cpis.implementation_progress p WHERE p::text ~ 'Hampion|Officer|Guard') + (SELECT count(*) FROM cpis.implementation_overdue p WHERE p::text ~ 'Hampion|Officer|Guard'), 0::bigint, 'no names');
SELECT is(becomes('implementation_steward', $$SELECT cpis_provider_setting_set('RIA', 'camhs')$$), '42501 permission denied for function cpis_provider_setting_set', 'nor sets records');

-- What is planned for tomorrow is not so today; what is of today is.
BEGIN;
INSERT INTO cpis.provider VALUES ('RIE');
INSERT INTO cpis.provider_step (organisation, step, due_on, done_on) SELECT 'RIE', step, :'today'::date - 9, :'today'::date + days
	FROM (VALUES ('agreement_sent', 0), ('agreement_signed', 1), ('agreement_returned', 1)) AS v (step, days);
INSERT INTO cpis.escalation (organisation, accountable_officer, reason, escalated_on, resolved_on) SELECT 'RIE', 'A Officer', 'late', :'today'::date + days, :'today'::date + until
	FROM (VALUES (1, NULL), (-2, 1), (-3, 0)) AS v (days, until);
INSERT INTO cpis.provider_risk (organisation, risk, raised_on, closed_on) SELECT 'RIE', 'no network', :'today'::date + days, :'today'::date + until
	FROM (VALUES (1, NULL), (0, 1), (-3, 0), (0, NULL)) AS v (days, until);
SELECT is(concat_ws(' ', agreement_sent_on - :'today'::date, agreement_signed_on, agreement_returned_on, steps_done, overdue, open_escalations, open_risks), '0 1 2 1 2', 'progress')
FROM cpis.implementation_progress WHERE organisation = 'RIE';
SELECT is(array_agg(concat_ws(' ', step, :'today'::date - escalated_on) ORDER BY step), '{agreement_returned 2,agreement_signed 2}', 'overdue, and since when escalated') FROM cpis.implementation_overdue WHERE organisation = 'RIE';
SELECT is(agreements_returned, 0::bigint, 'none has returned it') FROM cpis.implementation_by_authority WHERE local_authority IS NULL;
ROLLBACK;
-- Numbers of the report are shown whatever they are.
SELECT is(cpis.report_percent(part, whole), shown, shown) FROM (VALUES (1, 0, '–'), (95, 95, '–'), (35, 100, '35 %'), (0, 100, '0 %'), (NULL, 100, '–'), (1665, 4995, '33 %'), (1665, 5000, '33.3 %'), (9223372036854775807, 100, '9,223,372,036,854,775,807 %')) AS v (part, whole, shown);
SELECT is(cpis.report_lag(lag::interval), shown, shown) FROM (VALUES ('30 min', '30 min'), ('90 min', '1.5 h'), ('3 days', '3.0 days'), ('2000000 days', '2,000,000.0 days'), ('178000000 years', '65,014,500,000.0 days')) AS v (lag, shown);

-- Who runs the implementation needs no more than README says.
CREATE ROLE implementation_manager;
GRANT USAGE ON SCHEMA cpis TO implementation_manager;
GRANT SELECT, INSERT, UPDATE ON cpis.provider, cpis.provider_step, cpis.group_member, cpis.escalation, cpis.provider_risk TO implementation_manager;
GRANT EXECUTE ON FUNCTION cpis_provider_setting_set TO implementation_manager;
SELECT is(becomes('implementation_manager', statement), answer, statement) FROM (VALUES
	($$INSERT INTO cpis.provider VALUES ('RID') RETURNING organisation$$, 'RID'), ($$INSERT INTO cpis.provider_step VALUES ('RID', 'training', '2026-01-01') RETURNING step$$, 'training'),
	($$UPDATE cpis.provider_step SET done_on = '2026-01-01' WHERE organisation = 'RID' RETURNING step$$, 'training'), ($$INSERT INTO cpis.group_member VALUES ('RID', 'clinical', 'C Lin') RETURNING name$$, 'C Lin'),
	($$INSERT INTO cpis.escalation (organisation, accountable_officer, reason) VALUES ('RID', 'A Officer', 'late') RETURNING reason$$, 'late'), ($$INSERT INTO cpis.provider_risk (organisation, risk) VALUES ('RID', 'no network') RETURNING risk$$, 'no network'),
	($$SELECT cpis_provider_setting_set('RID', 'camhs') > 0$$, 'true'), ($$INSERT INTO cpis.provider_setting (organisation, care_setting, set_at, event_id) VALUES ('RID', 'dentistry', now(), 0)$$, '42501 permission denied for table provider_setting')) AS v (statement, answer);

-- What is wrong is refused.
SELECT is(becomes('none', statement) LIKE sqlstate || ' %', true, statement) FROM (VALUES
	('23514', $$INSERT INTO cpis.provider VALUES ('ri')$$), ('23503', $$INSERT INTO cpis.provider_step VALUES ('RIA', 'lunch')$$), ('23514', $$INSERT INTO cpis.provider_step VALUES ('RIA', 'benefits', 'infinity')$$),
	('23514', $$INSERT INTO cpis.group_member (organisation, part, name) VALUES ('RIA', 'catering', 'C Ater')$$), ('23514', $$INSERT INTO cpis.escalation (organisation, accountable_officer, reason) VALUES ('RIA', ' ', 'x')$$),
	('23514', $$UPDATE cpis.provider_risk SET closed_on = '1999-01-01'$$), ('23503', $$DELETE FROM cpis.provider WHERE organisation = 'RIA'$$)) AS v (sqlstate, statement);
BEGIN;
TRUNCATE cpis.organisation;
SELECT is(array_agg(concat_ws(' ', organisation, organisation_name) ORDER BY organisation), '{RIA,RIB,RIC,RID}', 'providers are there whose organisations are not') FROM cpis.implementation_progress;
ROLLBACK;
SELECT * FROM finish();

DELETE FROM cpis.provider_risk;
DELETE FROM cpis.escalation;
DELETE FROM cpis.group_member;
DELETE FROM cpis.provider_step;
SELECT count(cpis_provider_setting_remove(organisation, care_setting)) AS removed FROM cpis.provider_setting;
SELECT count(cpis_scope_revoke(role_name, organisation)) AS revoked FROM cpis.role_scope WHERE role_name = 'implementation_app';
DELETE FROM cpis.provider;
SELECT count(*) AS problems FROM cpis_retention_reconcile() WHERE problem LIKE '%live%' AND NOT uncommitted;
DROP FUNCTION becomes, looks, newest;
DROP OWNED BY implementation_manager;
DROP ROLE implementation_app, implementation_analyst, implementation_steward, implementation_manager;
DROP EXTENSION pgtap;

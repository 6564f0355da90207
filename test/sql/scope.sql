-- Scopes: for whom a role looks up, and what else it may.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION pgtap;
SELECT no_plan();
INSERT INTO cpis.local_authority VALUES ('E06000051', 'Scope', NULL, '01632 960051');
INSERT INTO cpis.organisation VALUES ('RSA', 'SCOPE TRUST A'), ('RSB', 'SCOPE TRUST B');
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
	SELECT nhs_number_synthetic(51000 + n), 'child_protection', 'E06000051', '2026-01-01' FROM generate_series(1, 5) n;
CREATE ROLE scope_app IN ROLE cpis_clinical;
CREATE ROLE scope_other IN ROLE cpis_clinical;
CREATE ROLE scope_heir IN ROLE scope_app;
CREATE ROLE scope_apart NOINHERIT IN ROLE scope_app;
CREATE ROLE scope_outsider;
CREATE ROLE scope_watcher IN ROLE cpis_clinical, cpis_steward;
GRANT ALL ON SCHEMA public TO scope_app, scope_other, scope_heir, scope_apart, scope_outsider, scope_watcher;

-- What becomes of a statement as this role: an answer, or an SQLSTATE; what it does is taken back.
CREATE FUNCTION becomes(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM set_config('role', role, true);
	EXECUTE statement INTO answer;
	RAISE EXCEPTION USING errcode = 'UX000', message = COALESCE(answer, 'null');
EXCEPTION
	WHEN SQLSTATE 'UX000' THEN RETURN sqlerrm;
	WHEN OTHERS THEN RETURN sqlstate;
END $$;
CREATE FUNCTION look(organisation text, more text = '', child integer = 1) RETURNS text LANGUAGE sql AS
	$$SELECT format('SELECT plan_type FROM cpis_lookup(nhs_number_synthetic(%s), ''A'', %L, ''camhs'', request_id => ''scope''%s)', 51000 + child, organisation, more)$$;
CREATE FUNCTION newest() RETURNS text LANGUAGE sql AS
	$$SELECT concat_ws(' ', action, outcome, detail) FROM cpis.audit_event WHERE action <> 'direct_read' ORDER BY event_id DESC LIMIT 1$$;

-- Fail closed.
SELECT is(becomes('scope_app', look('RSA')), '42501', 'a member without a scope');
SELECT is(newest(), 'lookup refused not entitled for the organisation', 'recorded');
SELECT ok(cpis_scope_grant('scope_app', organisation => 'RSA') > 0, 'granted');
SELECT is(newest(), 'scope done granted for organisation RSA: role scope_app', 'recorded');
SELECT is(becomes('scope_app', look('RSA')), 'child_protection', 'then it may');
SELECT is(becomes('scope_app', look('RSB')), '42501', 'not for another organisation');
SELECT is(becomes('scope_app', look('RXY')), '42704', 'one that there is not');
SELECT is(becomes('scope_other', look('RSA')), '42501', 'nor may another member');
SELECT is(becomes('scope_heir', look('RSA')), 'child_protection', 'who has the privileges of the role has its scope');
SELECT is(becomes('scope_apart', look('RSA')), '42501', 'who must SET ROLE first has not');
SELECT is(becomes('scope_apart', 'SELECT cpis_flag(nhs_number_synthetic(51001), ''A'', ''RSA'', ''camhs'')'), '42501', 'nor a flag');
SELECT is(becomes('scope_app', 'SELECT cpis_flag(nhs_number_synthetic(51001), ''A'', ''RSB'', ''camhs'')'), '42501', 'nor a flag for another organisation');
GRANT EXECUTE ON FUNCTION cpis_lookup TO scope_outsider;
SET client_min_messages = error;
SELECT ok(cpis_scope_grant('scope_outsider', 'RSA') > 0, 'a scope without the group');
SET client_min_messages = warning;
SELECT is(becomes('scope_outsider', look('RSA')), '42501', 'is not enough');
SELECT is(newest(), 'lookup refused not entitled', 'recorded');
REVOKE EXECUTE ON FUNCTION cpis_lookup FROM scope_outsider;
SELECT cpis_scope_grant('scope_watcher', 'RSA') > 0 AS granted \gset
SELECT is(becomes('scope_watcher', look('RSA')), '42501', 'who is a steward, too, looks nobody up');

-- What was answered is kept in mind, and forgotten in time.
SET ROLE scope_app;
SELECT is((SELECT count(*) FROM generate_series(1, 3) n, cpis_lookup(nhs_number_synthetic(51001 + n * 0), 'A', 'RSA', 'camhs')), 3::bigint, 'kept');
RESET ROLE;
BEGIN;
SELECT cpis_scope_revoke('scope_app', 'RSA') > 0 AS revoked \gset
SELECT is(becomes('scope_app', look('RSA')), '42501', 'revoked in this transaction');
ROLLBACK;
SELECT is(becomes('scope_app', look('RSA')), 'child_protection', 'which was rolled back');
BEGIN;
SELECT cpis_scope_grant('scope_other', 'RSB') > 0 AS granted \gset
SELECT is(becomes('scope_other', look('RSB')), 'child_protection', 'granted in this transaction');
SAVEPOINT s;
SELECT cpis_scope_grant('scope_other', 'RSA') > 0 AS granted \gset
SELECT is(becomes('scope_other', look('RSA')), 'child_protection', 'and in a savepoint');
ROLLBACK TO s;
SELECT is(becomes('scope_other', look('RSA')), '42501', 'to which it was rolled back');
ROLLBACK;
SELECT is(becomes('scope_other', look('RSB')), '42501', 'and not any more');
REVOKE scope_app FROM scope_heir;
SELECT is(becomes('scope_heir', look('RSA')), '42501', 'a membership that was revoked');
GRANT scope_app TO scope_heir;
SELECT is(becomes('scope_heir', look('RSA')), 'child_protection', 'and granted again');
REVOKE cpis_clinical FROM scope_app;
SELECT is(becomes('scope_app', look('RSA')), '42501', 'no member of the group any more');
GRANT cpis_clinical TO scope_app;
ALTER ROLE scope_app RENAME TO scope_renamed;
SELECT is(becomes('scope_renamed', look('RSA')), '42501', 'scopes name roles');
ALTER ROLE scope_renamed RENAME TO scope_app;
DELETE FROM cpis.organisation WHERE code = 'RSA';
SELECT is(becomes('scope_app', look('RSA')), '42704', 'an organisation that has left the register');
INSERT INTO cpis.organisation VALUES ('RSA', 'SCOPE TRUST A');

-- Silence, and devices.
SELECT is(becomes('scope_app', look('RSA', ', notify => false')), '42501', 'silently, without the right');
SELECT is(newest(), 'lookup refused not entitled to read silently', 'recorded');
SELECT is(becomes('scope_app', look('RSA', ', device => true, system_id => ''s''')), '42501', 'as a device, without the right');
SELECT is(newest(), 'lookup refused not entitled to act as device; author: device', 'recorded');
BEGIN;
SELECT cpis_scope_revoke('scope_app', 'RSA') < cpis_scope_grant('scope_app', 'RSA', may_read_silently => true, may_act_as_device => true, max_lookups_per_minute => 1000) AS changed \gset
SELECT is(newest(), 'scope done granted, reading silently, acting as device, up to 1000 look-ups a minute for organisation RSA: role scope_app', 'recorded with its rights');
COMMIT;
SELECT coalesce(max(notification_no), 0) AS notices FROM cpis.notification WHERE local_authority = 'E06000051' \gset
SELECT is(becomes('scope_app', look('RSA', ', notify => false')), 'child_protection', 'silently, with it');
SELECT is(newest(), 'lookup found', 'recorded like any other');
SELECT is((SELECT coalesce(max(notification_no), 0) FROM cpis.notification WHERE local_authority = 'E06000051'), :notices::bigint, 'and no authority is told');
SELECT is(becomes('scope_app', look('RSA', ', device => true, system_id => ''s''')), 'child_protection', 'as a device, with it');
SELECT is(newest(), 'lookup found author: device', 'recorded as such');
SELECT is((SELECT detail FROM cpis.notices('E06000051', :notices, 10) ORDER BY 1 DESC LIMIT 1), 'author: device', 'and told as such');
SELECT is(becomes('scope_app', 'SELECT cpis_flag(nhs_number_synthetic(51001), ''A'', ''RSA'', ''nhs_111'', system_id => ''s'', location => ''l'', device => true)'), 'true', 'a flag');
SELECT is(becomes('scope_app', statement), state, statement) FROM (VALUES
	(look('RSA', ', device => true'), '22004'), (look('RSA', ', device => NULL'), '22004'), (look('RSB', ', device => true, system_id => ''s'''), '42501'),
	('SELECT cpis_flag(nhs_number_synthetic(51001), ''A'', ''RSA'', ''nhs_111'', system_id => ''s'', device => true)', '22004'),
	('SELECT cpis_flag(nhs_number_synthetic(51001), ''A'', ''RSA'', ''camhs'', device => true)', '22004')) AS v (statement, state);
-- Rights of several scopes add up.
SELECT cpis_scope_grant('cpis_clinical', 'RSB', max_lookups_per_minute => 1) < cpis_scope_grant('scope_app', 'RSB', may_read_silently => true, max_lookups_per_minute => 2) AS granted \gset
SELECT is(becomes('scope_app', look('RSB', ', notify => false')), 'child_protection', 'a right that one scope gives');
SELECT is(becomes('scope_other', look('RSB', ', notify => false')), '42501', 'and not to others');

-- A limit.
SELECT is(array_agg(becomes('scope_app', look('RSB')) ORDER BY n), ARRAY['child_protection', '54000', '54000'], 'the higher limit of two, of which one is used') FROM generate_series(1, 3) n;
SELECT is(newest(), 'lookup refused too many look-ups within a minute', 'recorded');
SELECT is(becomes('scope_app', 'SELECT cpis_flag(nhs_number_synthetic(51001), ''A'', ''RSB'', ''camhs'')'), '54000', 'flags count');
SELECT is(becomes('scope_other', look('RSB')), 'child_protection', 'another scope is counted by itself');
SELECT is(becomes('scope_app', look('RSA')), 'child_protection', 'and another organisation');
SELECT is(becomes('scope_app', look('RSB', ', device => true, system_id => ''s''')), '42501', 'what is refused anyhow');
SELECT cpis_scope_grant('scope_other', 'RSA', max_lookups_per_minute => 2) > 0 AS granted \gset
SELECT is(array_agg(becomes('scope_other', look('RSA', more)) ORDER BY n), ARRAY['42501', '42501', '22004', 'child_protection', 'child_protection', '54000'], 'does not count')
	FROM (VALUES (1, ', notify => false'), (2, ', notify => false'), (3, ', notify => NULL'), (4, ''), (5, ''), (6, '')) AS v (n, more);
SELECT cpis_scope_revoke('scope_other', 'RSA') < cpis_scope_grant('scope_other', 'RSA', max_lookups_per_minute => 1) AS granted \gset
SELECT is(becomes('scope_other', look('RSA')), 'child_protection', 'what is granted anew is counted anew');
SELECT is((SELECT count(*) FROM generate_series(1, 5) n, cpis_lookup(nhs_number_synthetic(51000 + n), 'A', 'RSB', 'camhs', notify => false, system_id => 's', device => true)), 5::bigint, 'superusers have no limit');

-- The history is closed with the scope.
SET ROLE scope_app;
SELECT event_id AS event FROM cpis_lookup(nhs_number_synthetic(51001), 'A', 'RSA', 'camhs') \gset
SELECT ok((SELECT count(*) FROM cpis_access_history(:event)) > 0, 'a history');
RESET ROLE;
SELECT cpis_scope_revoke('scope_app', 'RSA') > 0 AS revoked \gset
SELECT is(newest(), 'scope done revoked for organisation RSA: role scope_app', 'revoked');
SELECT is(becomes('scope_app', format('SELECT count(*) FROM cpis_access_history(%s)', :event)), '42501', 'is closed');

-- Arguments.
SELECT is(becomes(current_user, statement), state, statement) FROM (VALUES
	('SELECT cpis_scope_grant(NULL, ''RSA'')', '22004'), ('SELECT cpis_scope_grant(''scope_app'')', '22023'), ('SELECT cpis_scope_grant(''scope_app'', ''RSA'', ''E06000051'')', '22023'),
	('SELECT cpis_scope_grant(''scope_nobody'', ''RSA'')', '42704'), ('SELECT cpis_scope_grant(''scope_app'', ''RXY'')', '42704'), ('SELECT cpis_scope_grant(''scope_app'', local_authority => ''E06000059'')', '42704'),
	('SELECT cpis_scope_grant(''scope_app'', local_authority => ''E06000051'', may_read_silently => true)', '22023'), ('SELECT cpis_scope_grant(''scope_app'', local_authority => ''E06000051'', max_lookups_per_minute => 5)', '22023'),
	('SELECT cpis_scope_grant(''scope_app'', ''RSA'', max_lookups_per_minute => 0)', '22023'), ('SELECT cpis_scope_grant(''scope_app'', ''RSA'', max_lookups_per_minute => 1000001)', '22023'),
	('SELECT cpis_scope_grant(''scope_app'', ''RSB'')', '22023'), ('SELECT cpis_scope_revoke(''scope_app'', ''RSA'')', '22023'), ('SELECT cpis_scope_revoke(''scope_app'')', '22023'),
	('SELECT cpis_scope_grant(''scope_app'', '''')', '22023'), ('INSERT INTO cpis.role_scope (role_name, granted_at, event_id) VALUES (''x'', now(), 0)', '23514'),
	('UPDATE cpis.role_scope SET max_lookups_per_minute = NULL', '55000'), ('DELETE FROM cpis.role_scope', '55000'), ('TRUNCATE cpis.role_scope', '55000')) AS v (statement, state);
GRANT USAGE ON SCHEMA cpis TO scope_app; GRANT ALL ON cpis.role_scope TO scope_app;
SELECT is(becomes('scope_app', statement), state, 'with all privileges: ' || statement) FROM (VALUES
	('INSERT INTO cpis.role_scope (role_name, organisation, granted_at, event_id) VALUES (''scope_app'', ''RSA'', now(), 0)', '42501'),
	('UPDATE cpis.role_scope SET max_lookups_per_minute = NULL', '55000'), ('DELETE FROM cpis.role_scope', '55000'), ('TRUNCATE cpis.role_scope', '55000')) AS v (statement, state);
REVOKE ALL ON cpis.role_scope FROM scope_app; REVOKE USAGE ON SCHEMA cpis FROM scope_app;

-- What a superuser does behind the guards.
CREATE FUNCTION found_out(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	ALTER TABLE cpis.role_scope DISABLE TRIGGER own_change;
	EXECUTE statement;
	ALTER TABLE cpis.role_scope ENABLE ALWAYS TRIGGER own_change;
	SELECT string_agg(problem, '; ' ORDER BY problem) INTO found FROM cpis_retention_reconcile() WHERE problem ~ 'scope_app|role_scope';
	RAISE EXCEPTION USING errcode = 'UX000', message = coalesce(found, 'nothing');
EXCEPTION
	WHEN SQLSTATE 'UX000' THEN RETURN sqlerrm;
END $$;
SELECT is(found_out(statement), problem, statement) FROM (VALUES
	('SELECT 1', 'nothing'),
	('UPDATE cpis.role_scope SET max_lookups_per_minute = 500 WHERE role_name = ''scope_app''', 'a scope is not as announced: granted, reading silently, up to 2 look-ups a minute for organisation RSB: role scope_app; nothing has recorded that role "scope_app" acts so for organisation RSB'),
	('UPDATE cpis.role_scope SET may_act_as_device = true WHERE role_name = ''scope_app''', 'a scope is not as announced: granted, reading silently, up to 2 look-ups a minute for organisation RSB: role scope_app; nothing has recorded that role "scope_app" acts so for organisation RSB'),
	('INSERT INTO cpis.role_scope (role_name, organisation, granted_at, event_id) VALUES (''scope_app'', ''RSA'', now(), 0)', 'a scope is not as announced: revoked for organisation RSA: role scope_app; nothing has recorded that role "scope_app" acts so for organisation RSA'),
	('DELETE FROM cpis.role_scope WHERE role_name = ''scope_app''', 'a scope is not as announced: granted, reading silently, up to 2 look-ups a minute for organisation RSB: role scope_app'),
	('ALTER TABLE cpis.role_scope DISABLE TRIGGER reference_changed', 'trigger "reference_changed" of table "role_scope" is missing, disabled or another one')) AS v (statement, problem);
SELECT * FROM finish();

DROP FUNCTION found_out, newest, look, becomes;
SELECT count(cpis_scope_revoke(role_name, organisation)) > 0 AS revoked FROM cpis.role_scope WHERE organisation LIKE 'RS_';
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE local_authority = 'E06000051';
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DELETE FROM cpis.local_authority WHERE code = 'E06000051';
DELETE FROM cpis.organisation WHERE code LIKE 'RS_';
REVOKE ALL ON SCHEMA public FROM scope_app, scope_other, scope_heir, scope_apart, scope_outsider, scope_watcher;
DROP ROLE scope_heir, scope_apart, scope_app, scope_other, scope_outsider, scope_watcher;
DROP EXTENSION pgtap;

-- The register: each constraint refuses the row that breaks it and takes the
-- one at its edge.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
BEGIN;
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET search_path = tap, public;
SELECT no_plan();

INSERT INTO cpis.local_authority VALUES ('E06000021', 'Register', NULL, '01632 960021');
-- The rows of the extension itself.
SELECT is(array_agg(code ORDER BY code), '{ambulance,emergency_department,gp_out_of_hours,maternity,minor_injury_unit,nhs_111,paediatric_ward,walk_in_centre}',
	'the eight unscheduled care settings of the guidance') FROM cpis.care_setting WHERE unscheduled;
SELECT is(array_agg(code ORDER BY code), '{camhs,community_paediatrics,dentistry,general_practice,health_visiting,school_nursing,sexual_assault_referral_centre,termination_of_pregnancy}',
	'the scheduled care settings') FROM cpis.care_setting WHERE NOT unscheduled;
SELECT is(array_agg(concat_ws(' ', code, snomed_ct_code, retention_days) ORDER BY code),
	'{child_protection 342191000000101 365,looked_after 764841000000100 365,unborn 818901000000100 365}', 'the kinds of plan')
	FROM cpis.plan_type;
PREPARE refused AS SELECT throws_like(format(command, 'cpis.' || t), '%cannot % table "' || t || '"%', format(command, t) || $1)
FROM unnest('{care_setting,plan_type}'::text[]) t,
	unnest(ARRAY['INSERT INTO %s SELECT * FROM %1$s', 'UPDATE %s SET name = name', 'DELETE FROM %s', 'TRUNCATE %s CASCADE']) command;
EXECUTE refused('');
SET session_replication_role = replica;
EXECUTE refused(', in a replica session');
RESET session_replication_role;

CREATE TABLE tried (target text, verdict text, what text, columns text, row_values text);
INSERT INTO tried VALUES
	('local_authority', 'taken', 'ONS code', 'code, name, emergency_duty_phone', $$'E10000098', 'x', '01632 960021'$$),
	('local_authority', 'taken', 'ODS code of three', 'code, name, emergency_duty_phone', $$'1A2', 'x', '01632 960021'$$),
	('local_authority', 'taken', 'ODS code of five', 'code, name, emergency_duty_phone', $$'ABCDE', 'x', '01632 960021'$$),
	('local_authority', 'local_authority_code_shape', 'code of two', 'code, name, emergency_duty_phone', $$'AB', 'x', '01632 960021'$$),
	('local_authority', 'local_authority_code_shape', 'ONS code of a ward', 'code, name, emergency_duty_phone', $$'E05000001', 'x', '01632 960021'$$),
	('local_authority', 'local_authority_code_shape', 'ONS code too long', 'code, name, emergency_duty_phone', $$'E060000211', 'x', '01632 960021'$$),
	('local_authority', 'local_authority_code_shape', 'small letters', 'code, name, emergency_duty_phone', $$'abc', 'x', '01632 960021'$$),
	('local_authority', 'local_authority_code_shape', 'a line feed behind', 'code, name, emergency_duty_phone', $$E'ABC\n', 'x', '01632 960021'$$),
	('local_authority', 'local_authority_pkey', 'code twice', 'code, name, emergency_duty_phone', $$'E06000021', 'x', '01632 960021'$$),
	('local_authority', 'taken', 'name at its limit', 'code, name, emergency_duty_phone', $$'AAA', repeat('é', 100), '01632 960021'$$),
	('local_authority', 'local_authority_name_text', 'name too long', 'code, name, emergency_duty_phone', $$'AAB', repeat('é', 100) || 'x', '01632 960021'$$),
	('local_authority', 'local_authority_name_text', 'name of spaces', 'code, name, emergency_duty_phone', $$'AAB', '  ', '01632 960021'$$),
	('local_authority', 'local_authority_name_text', 'name with a tab', 'code, name, emergency_duty_phone', $$'AAB', E'a\tb', '01632 960021'$$),
	('local_authority', 'emergency_duty_phone', 'no emergency duty telephone', 'code, name, office_hours_phone', $$'AAB', 'x', '01632 960021'$$),
	('local_authority', 'local_authority_emergency_duty_phone_shape', 'empty telephone', 'code, name, emergency_duty_phone', $$'AAB', 'x', ''$$),
	('local_authority', 'local_authority_emergency_duty_phone_shape', 'telephone in words', 'code, name, emergency_duty_phone', $$'AAB', 'x', 'ring the duty team'$$),
	('local_authority', 'local_authority_office_hours_phone_shape', 'office telephone in words', 'code, name, office_hours_phone, emergency_duty_phone', $$'AAB', 'x', 'none', '01632 960021'$$),
	('local_authority', 'local_authority_emergency_duty_phone_shape', 'telephone too short', 'code, name, emergency_duty_phone', $$'AAC', 'x', '0021'$$),
	('local_authority', 'local_authority_emergency_duty_phone_shape', 'telephone of spaces', 'code, name, emergency_duty_phone', $$'AAC', 'x', '0     1'$$),
	('local_authority', 'local_authority_emergency_duty_phone_shape', 'telephone of 16 digits', 'code, name, emergency_duty_phone', $$'AAC', 'x', '0163296002101632'$$),
	('local_authority', 'taken', 'shortest telephone', 'code, name, emergency_duty_phone', $$'AAC', 'x', '60021'$$),
	('local_authority', 'taken', 'longest telephones', 'code, name, office_hours_phone, emergency_duty_phone', $$'AAD', 'x', rpad('01632', 18) || '960021', rpad('01632', 18) || '960022'$$),
	('local_authority', 'local_authority_office_hours_phone_shape', 'telephone too long', 'code, name, office_hours_phone, emergency_duty_phone', $$'AAE', 'x', rpad('01632', 19) || '960021', '01632 960022'$$),
	('local_authority', 'taken', 'international telephone', 'code, name, emergency_duty_phone', $$'AAB', 'x', '+44 1632 960021'$$),
	('organisation', 'taken', 'code of three', 'code, name', $$'AAA', 'x'$$),
	('organisation', 'taken', 'code of twelve', 'code, name, commissioner', $$'ABCDEFGHIJ12', 'x', 'QOP'$$),
	('organisation', 'organisation_code_shape', 'code of thirteen', 'code, name', $$'ABCDEFGHIJ123', 'x'$$),
	('organisation', 'organisation_code_shape', 'code of two', 'code, name', $$'AB', 'x'$$),
	('organisation', 'organisation_code_shape', 'empty code', 'code, name', $$'', 'x'$$),
	('organisation', 'organisation_name_text', 'empty name', 'code, name', $$'AAB', ''$$),
	('organisation', 'taken', 'name at its limit', 'code, name', $$'AAC', repeat('é', 100)$$),
	('organisation', 'organisation_name_text', 'name too long', 'code, name', $$'AAB', repeat('é', 100) || 'x'$$),
	('organisation', 'organisation_name_text', 'name with a control character', 'code, name', $$'AAB', U&'a\0085'$$),
	('organisation', 'organisation_commissioner_shape', 'commissioner in words', 'code, name, commissioner', $$'AAB', 'x', 'the commissioner'$$),
	('organisation', 'organisation_pkey', 'code twice', 'code, name', $$'AAA', 'x'$$),
	('care_setting', 'taken', 'longest code', 'code, name, unscheduled', $$rpad('zz', 32, '_9'), 'x', true$$),
	('care_setting', 'care_setting_code_shape', 'code too long', 'code, name, unscheduled', $$rpad('zz', 33, '_9'), 'x', true$$),
	('care_setting', 'care_setting_code_shape', 'capital', 'code, name, unscheduled', $$'zZ', 'x', true$$),
	('care_setting', 'care_setting_pkey', 'code twice', 'code, name, unscheduled', $$'camhs', 'x', true$$),
	('plan_type', 'taken', 'longest code, least of the rest', 'code, name, snomed_ct_code, retention_days', $$rpad('zz', 32, '_z'), 'x', '123456', 0$$),
	('plan_type', 'taken', 'most of the rest', 'code, name, snomed_ct_code, retention_days', $$'zz', 'x', repeat('1', 18), 36525$$),
	('plan_type', 'plan_type_code_shape', 'code too long', 'code, name, snomed_ct_code, retention_days', $$rpad('zz', 33, '_z'), 'x', '123456', 0$$),
	('plan_type', 'plan_type_snomed_ct_code_shape', 'concept too short', 'code, name, snomed_ct_code, retention_days', $$'zzz', 'x', '12345', 0$$),
	('plan_type', 'plan_type_snomed_ct_code_shape', 'concept too long', 'code, name, snomed_ct_code, retention_days', $$'zzz', 'x', repeat('1', 19), 0$$),
	('plan_type', 'plan_type_retention_days_range', 'fewer days than none', 'code, name, snomed_ct_code, retention_days', $$'zzz', 'x', '123456', -1$$),
	('plan_type', 'plan_type_retention_days_range', 'more than a century', 'code, name, snomed_ct_code, retention_days', $$'zzz', 'x', '123456', 36526$$),
	('plan_type', 'plan_type_pkey', 'code twice', 'code, name, snomed_ct_code, retention_days', $$'unborn', 'x', '123456', 0$$);
INSERT INTO tried
	SELECT 'plan', verdict, what, 'nhs_number, plan_type, local_authority, start_date, end_date, delete_date, local_reference',
		format('%s, %L, %L, %L, %L, %L, %s', number, type, authority, start, ended, deleted, reference)
	FROM (VALUES
	('taken', 'a plan', 'nhs_number_synthetic(2001)', 'unborn', 'E06000021', '2026-01-01', NULL, NULL, 'NULL'),
	('plan_one_record', 'the same again', 'nhs_number_synthetic(2001)', 'unborn', 'E06000021', '2026-01-01', '2026-02-01', NULL, 'NULL'),
	('taken', 'the same with another start', 'nhs_number_synthetic(2001)', 'unborn', 'E06000021', '2026-01-02', NULL, NULL, 'NULL'),
	('taken', 'the same of another kind', 'nhs_number_synthetic(2001)', 'looked_after', 'E06000021', '2026-01-01', NULL, NULL, 'NULL'),
	('plan_nhs_number_not_placeholder', 'placeholder', '''1111111111''', 'unborn', 'E06000021', '2026-01-01', NULL, NULL, 'NULL'),
	('nhs_number', 'no number', 'NULL', 'unborn', 'E06000021', '2026-01-01', NULL, NULL, 'NULL'),
	('plan_plan_type_fkey', 'unknown kind', 'nhs_number_synthetic(2002)', 'adopted', 'E06000021', '2026-01-01', NULL, NULL, 'NULL'),
	('plan_local_authority_fkey', 'unknown authority', 'nhs_number_synthetic(2002)', 'unborn', 'E06999999', '2026-01-01', NULL, NULL, 'NULL'),
	('start_date', 'no start', 'nhs_number_synthetic(2002)', 'unborn', 'E06000021', NULL, NULL, NULL, 'NULL'),
	('plan_start_date_range', 'infinite start', 'nhs_number_synthetic(2002)', 'unborn', 'E06000021', 'infinity', NULL, NULL, 'NULL'),
	('plan_start_date_range', 'before the NHS', 'nhs_number_synthetic(2002)', 'unborn', 'E06000021', '1948-07-04', NULL, NULL, 'NULL'),
	('taken', 'on its first day', 'nhs_number_synthetic(2002)', 'unborn', 'E06000021', '1948-07-05', '1948-07-05', '1948-07-05', 'NULL'),
	('plan_start_date_range', 'mistyped year', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '20226-01-01', NULL, NULL, 'NULL'),
	('plan_end_date_not_before_start', 'end before start', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '2026-01-02', '2026-01-01', NULL, 'NULL'),
	('plan_end_date_range', 'infinite end', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '2026-01-02', 'infinity', NULL, 'NULL'),
	('plan_start_date_range', 'start too late', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '3000-01-01', NULL, NULL, 'NULL'),
	('plan_end_date_range', 'end too late', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '2026-01-02', '3000-01-01', NULL, 'NULL'),
	('plan_delete_date_range', 'delete date too late', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '2026-01-02', NULL, '3000-01-01', 'NULL'),
	('plan_delete_date_range', 'delete date too early', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '2026-01-02', NULL, '1948-07-04', 'NULL'),
	('taken', 'last day', 'nhs_number_synthetic(2003)', 'unborn', 'E06000021', '2999-12-31', '2999-12-31', '2999-12-31', 'NULL'),
	('plan_delete_date_range', 'infinite delete date', 'nhs_number_synthetic(2004)', 'unborn', 'E06000021', '2026-01-02', NULL, 'infinity', 'NULL'),
	('taken', 'reference at its limit', 'nhs_number_synthetic(2004)', 'unborn', 'E06000021', '2026-01-02', NULL, NULL, 'repeat(''é'', 32)'),
	('plan_local_reference_text', 'reference too long', 'nhs_number_synthetic(2005)', 'unborn', 'E06000021', '2026-01-02', NULL, NULL, 'repeat(''x'', 65)'),
	('plan_local_reference_text', 'empty reference', 'nhs_number_synthetic(2005)', 'unborn', 'E06000021', '2026-01-02', NULL, NULL, ''''''),
	('plan_local_reference_text', 'reference with a line feed', 'nhs_number_synthetic(2005)', 'unborn', 'E06000021', '2026-01-02', NULL, NULL, 'E''a\nb''')
	) AS v (verdict, what, number, type, authority, start, ended, deleted, reference);

-- Reference rows are refused altogether; what their constraints do shows without that.
ALTER TABLE cpis.care_setting DISABLE TRIGGER refuse_change;
ALTER TABLE cpis.plan_type DISABLE TRIGGER refuse_change;
SELECT CASE verdict
	WHEN 'taken' THEN lives_ok(command, name)
	ELSE throws_like(command, '%"' || verdict || '"%', name) END
FROM tried, format('INSERT INTO cpis.%s (%s) VALUES (%s)', target, columns, row_values) command,
	format('%s, %s: %s', target, what, verdict) name;
SELECT is(array_agg(conname ORDER BY conname), '{plan_commitment_salt_length,plan_pkey}', 'constraints not tried above, but below')
FROM pg_constraint WHERE conrelid IN (SELECT ('cpis.' || target)::regclass FROM tried) AND conname NOT IN (SELECT verdict FROM tried) AND contype <> 'n';
-- What must not be NULL.
SELECT throws_like(format('UPDATE %s SET %I = NULL', attrelid::regclass, attname), format('null value in column "%s"%%', attname),
	format('%s.%s must not be null', attrelid::regclass, attname))
FROM pg_attribute WHERE attrelid IN (SELECT ('cpis.' || target)::regclass FROM tried) AND attnum > 0 AND attnotnull AND attidentity = ''
ORDER BY attrelid::regclass::text, attnum;
DELETE FROM cpis.care_setting WHERE code LIKE 'zz%';
DELETE FROM cpis.plan_type WHERE code LIKE 'zz%';
ALTER TABLE cpis.care_setting ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE cpis.plan_type ENABLE ALWAYS TRIGGER refuse_change;

-- Salts are made by themselves, of 16 bytes, and differ.
SELECT is(count(DISTINCT commitment_salt), count(*), 'salts differ') FROM cpis.plan;
SELECT throws_like($$INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, commitment_salt)
	VALUES (nhs_number_synthetic(2011), 'unborn', 'E06000021', '2026-01-01', 'x')$$, '%"plan_commitment_salt_length"%', 'a salt has 16 bytes');
SELECT throws_like($$INSERT INTO cpis.plan (plan_id, nhs_number, plan_type, local_authority, start_date)
	VALUES (1, nhs_number_synthetic(2010), 'unborn', 'E06000021', '2026-01-01')$$, '%non-DEFAULT value%', 'plan_id is not for callers');
SELECT throws_like($$INSERT INTO cpis.plan (plan_id, nhs_number, plan_type, local_authority, start_date) OVERRIDING SYSTEM VALUE
	SELECT plan_id, nhs_number_synthetic(2010), plan_type, local_authority, start_date FROM cpis.plan LIMIT 1$$, '%"plan_pkey"%', 'a plan_id is never used twice');
SELECT throws_like($$DELETE FROM cpis.local_authority WHERE code = 'E06000021'$$, '%"plan_local_authority_fkey"%', 'an authority with plans stays');

SELECT finish();
ROLLBACK;

CREATE EXTENSION cpis;
INSERT INTO cpis.local_authority VALUES ('E06000001', 'One', '01632 960001', '01632 960002'), ('E06000002', 'Two', NULL, '01632 960003');
INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
	SELECT nhs_number_synthetic(n), 'child_protection', 'E0600000' || 2 - n % 2, '2026-01-01' FROM generate_series(1, 200) n;
CREATE ROLE clinician LOGIN IN ROLE cpis_clinical;
CREATE ROLE authority LOGIN IN ROLE cpis_local_authority;
CREATE ROLE analyst LOGIN IN ROLE cpis_analyst;
CREATE ROLE steward LOGIN IN ROLE cpis_steward;
SELECT cpis_scope_grant('clinician', 'RXX', may_read_silently => true, may_act_as_device => true, max_lookups_per_minute => 100000), cpis_scope_grant('authority', local_authority => 'E06000001');
INSERT INTO cpis.provider VALUES ('RXX', 'E06000001', 'A Champion');
SELECT cpis_provider_setting_set('RXX', 'dentistry', 'integrated', '2026-01-01');

-- Sessions keep the rows of the reference tables; what they keep must never
-- outlive a change, nor a change that was rolled back.

INSERT INTO cpis.local_authority VALUES ('E06000001', 'One', NULL, '01632 960001');
INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
	VALUES (nhs_number_synthetic(1), 'child_protection', 'E06000001', '2026-01-01');

-- Twice, for the first call may not keep anything yet.
CREATE FUNCTION phone(organisation text = 'RXX') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	phone text;
BEGIN
	PERFORM cpis_lookup(nhs_number_synthetic(1), 'A Nurse', $1, 'emergency_department');
	PERFORM cpis_lookup(nhs_number_synthetic(1), 'A Nurse', $1, 'emergency_department');
	SELECT emergency_duty_phone INTO phone
		FROM cpis_lookup(nhs_number_synthetic(1), 'A Nurse', $1, 'emergency_department');
	RETURN phone;
EXCEPTION WHEN undefined_object THEN
	RETURN 'unknown organisation';
END $$;
SELECT phone();

-- One's own change, at once and after it is rolled back.
BEGIN;
UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960002';
SELECT phone();
ROLLBACK;
SELECT phone();
BEGIN;
SAVEPOINT before;
UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960002';
SELECT phone();
ROLLBACK TO before;
SELECT phone();
DELETE FROM cpis.organisation;
SELECT phone();
ROLLBACK;
SELECT phone();

-- Seen by a function in the statement that then fails, before any trigger has fired.
CREATE FUNCTION phone_and_stop(organisation text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'stop, phone is %', phone(organisation);
END $$;
WITH inserted AS (INSERT INTO cpis.organisation VALUES ('RYY', 'NEVER COMMITTED') RETURNING code)
	SELECT phone_and_stop(code) FROM inserted;
SELECT phone('RYY');

-- Seen by a trigger that comes before the extension's and fails.
CREATE FUNCTION look_and_stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM phone_and_stop('RXX');
END $$;
CREATE TRIGGER a_first AFTER UPDATE ON cpis.local_authority
	FOR EACH ROW EXECUTE FUNCTION look_and_stop();
UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960003';
SELECT phone();
DROP TRIGGER a_first ON cpis.local_authority;

-- As a replica, and without the triggers: nothing is kept where nothing would be told.
SET session_replication_role = replica;
UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960004';
SELECT phone();
RESET session_replication_role;
ALTER TABLE cpis.local_authority DISABLE TRIGGER ALL;
SELECT phone();
UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960005';
SELECT phone();
-- This leaves them enabled, but not for replicas.
ALTER TABLE cpis.local_authority ENABLE TRIGGER ALL;
SELECT phone();
SET session_replication_role = replica;
UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960006';
RESET session_replication_role;
SELECT phone();
ALTER TABLE cpis.local_authority ENABLE ALWAYS TRIGGER reference_changed;
SELECT phone();
UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960007';
SELECT phone();

TRUNCATE cpis.organisation;
SELECT phone();
INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');
SELECT phone();

-- More organisations than are kept.
INSERT INTO cpis.organisation SELECT 'R' || to_char(n, 'FM00000'), 'TRUST ' || n FROM generate_series(1, 2500) AS n;
SELECT count(*) FROM (SELECT DISTINCT phone('R' || to_char(n % 2500 + 1, 'FM00000')) FROM generate_series(1, 1200) AS n) AS phones;
SELECT phone('R02500'), phone('R02501');

-- Who may do what: nothing but the NHS number is for everybody.

-- Granted to PUBLIC, other than nhs_number and its functions: nothing.
WITH member AS (
	SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis')
), granted AS (
	SELECT classid, objid, a.grantee, a.privilege_type
	FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid,
		aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee <> proowner
	UNION ALL
	SELECT classid, objid, a.grantee, a.privilege_type
	FROM member JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid,
		aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a
	WHERE a.grantee <> relowner
	UNION ALL
	SELECT classid, objid, a.grantee, a.privilege_type
	FROM member JOIN pg_namespace n ON classid = 'pg_namespace'::regclass AND n.oid = objid,
		aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a WHERE a.grantee <> nspowner
)
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS grantee, privilege_type,
	regexp_replace(pg_describe_object(classid, objid, 0), '\(.*', '') AS object
FROM granted
WHERE NOT (grantee = 0 AND classid = 'pg_proc'::regclass
		   AND (objid::regproc::text LIKE 'nhs\_number%'
				OR objid::regprocedure::text IN ('min(nhs_number)', 'max(nhs_number)')))
ORDER BY 1, 3;

CREATE ROLE acl_clinician IN ROLE cpis_clinical;
CREATE ROLE acl_outsider;
INSERT INTO cpis.local_authority VALUES ('E10000099', 'Acl', NULL, '01632 960099');
INSERT INTO cpis.organisation VALUES ('RACL', 'ACL TRUST');
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
	VALUES (nhs_number_synthetic(9001), 'child_protection', 'E10000099', '2026-01-01');

SELECT cpis_scope_grant('acl_clinician', organisation => 'RACL') IS NOT NULL AS granted;

-- A clinician has the three functions and no table, not even a month.
SET ROLE acl_clinician;
SELECT plan_type FROM cpis_lookup(nhs_number_synthetic(9001), 'A', 'RACL', 'camhs');
SELECT cpis_flag(nhs_number_synthetic(9001), 'A', 'RACL', 'camhs');
SELECT event_id FROM cpis_lookup(nhs_number_synthetic(9001), 'A', 'RACL', 'camhs') \gset
SELECT worker_name FROM cpis_access_history(:event_id);
SELECT * FROM cpis.plan;
SELECT * FROM cpis_stat;
RESET ROLE;
SELECT count(*) AS readable FROM pg_class
WHERE relnamespace = 'cpis'::regnamespace AND relkind IN ('r', 'p', 'v')
	AND (has_table_privilege('acl_clinician', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
		 OR has_any_column_privilege('acl_clinician', oid, 'SELECT, INSERT, UPDATE'));
-- Months are the parent's owner's, without grants.
SELECT count(*) > 0 AS some, bool_and(relacl IS NULL OR array_length(relacl, 1) = 1) AS no_grants,
	bool_and(relowner = (SELECT relowner FROM pg_class WHERE oid = 'cpis.audit_event'::regclass)) AS same_owner
FROM pg_class WHERE relispartition AND relnamespace = 'cpis'::regnamespace AND relkind = 'r';

-- A monitor has the counters and nothing else.
SET ROLE pg_monitor;
SELECT lookups > 0 AS counted FROM cpis_stat;
SELECT cpis_flag(nhs_number_synthetic(9001), 'A', 'RACL', 'camhs');
SELECT * FROM cpis.access_event;
RESET ROLE;

-- An outsider has the NHS number.
SET ROLE acl_outsider;
SELECT nhs_number '9990000018' < nhs_number '9990000026' AS smaller;
SELECT cpis_lookup(nhs_number_synthetic(9001), 'A', 'RACL', 'camhs');
SELECT cpis_flag(nhs_number_synthetic(9001), 'A', 'RACL', 'camhs');
SELECT cpis_access_history(0);
SELECT cpis.random_salt();
SELECT cpis.stat_counters();
RESET ROLE;

-- EXECUTE alone does not entitle; the refusal is recorded.
GRANT EXECUTE ON FUNCTION cpis_flag TO acl_outsider;
SET ROLE acl_outsider;
SELECT cpis_flag(nhs_number_synthetic(9001), 'A', 'RACL', 'camhs', request_id => 'acl');
RESET ROLE;
SELECT outcome, detail, effective_role FROM cpis.audit_event WHERE request_id = 'acl';
REVOKE EXECUTE ON FUNCTION cpis_flag FROM acl_outsider;

-- What the extension needs for itself is not settable by an ordinary role.
SET ROLE acl_clinician;
SET cpis.record_timeout = '10min';
SET cpis.no_such_setting = 1;
RESET ROLE;
SET cpis.writer_idle_timeout = '1h';

ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE local_authority = 'E10000099';
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DELETE FROM cpis.local_authority WHERE code = 'E10000099';
DELETE FROM cpis.organisation WHERE code = 'RACL';
DROP ROLE acl_clinician, acl_outsider;

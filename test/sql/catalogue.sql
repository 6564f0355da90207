-- What the catalogues say of each object of the extension: who may use it, and as whom it runs.
CREATE TEMPORARY VIEW member AS
	SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis');
CREATE TEMPORARY VIEW access AS
	SELECT classid, objid, string_agg(CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || ' ' || lower(privilege), ', ' ORDER BY grantee::regrole::text, privilege) AS granted,
		bool_or(grantee = 0) AS to_everybody
	FROM (
		SELECT m.classid, m.objid, a.grantee, a.privilege_type AS privilege, p.proowner AS owner
		FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		UNION ALL
		SELECT m.classid, m.objid, a.grantee, a.privilege_type, c.relowner
		FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid,
			aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
		UNION ALL
		SELECT m.classid, m.objid, a.grantee, a.privilege_type || ' (' || t.attname || ')', c.relowner
		FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
		UNION ALL
		SELECT m.classid, m.objid, a.grantee, a.privilege_type, n.nspowner
		FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
	) AS g
	WHERE grantee <> owner
	GROUP BY classid, objid;

-- Functions, other than those of nhs_number.
SELECT p.oid::regprocedure AS function, l.lanname AS language, CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END AS runs_as,
	replace((SELECT s FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%'), 'search_path=', '') AS search_path, p.provolatile AS volatile, p.proparallel AS parallel, a.granted
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang LEFT JOIN access a USING (classid, objid)
WHERE p.oid::regproc::text !~ '^nhs_number' AND p.prokind <> 'a'
ORDER BY p.oid::regprocedure::text COLLATE "C";
-- Tables, views and sequences.
SELECT c.oid::regclass AS relation, c.relkind AS kind, CASE WHEN c.relkind = 'v' THEN coalesce(c.reloptions @> '{security_barrier=true}', false) END AS barrier, a.granted
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid LEFT JOIN access a USING (classid, objid)
ORDER BY c.oid::regclass::text COLLATE "C";
-- Everything else, by kind; row types and arrays, which are members since PostgreSQL 16, go with what they are of.
SELECT m.classid::regclass AS catalogue, count(*) FROM member m LEFT JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
WHERE m.classid <> 'pg_class'::regclass AND NOT coalesce(t.typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) <> 'c' OR t.typcategory = 'A', false) GROUP BY 1 ORDER BY 1;
SELECT evtname, evtevent, evtenabled, evtfoid::regproc FROM member m JOIN pg_event_trigger e ON m.classid = 'pg_event_trigger'::regclass AND e.oid = m.objid;

-- Executable by everybody: the functions of nhs_number, and the proof checks, which are pure.
SELECT p.oid::regprocedure AS for_everybody
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN access a USING (classid, objid)
WHERE a.to_everybody AND p.oid::regproc::text !~ '^nhs_number' AND p.oid::regprocedure::text NOT IN ('min(nhs_number)', 'max(nhs_number)')
	AND NOT (p.oid::regproc::text IN ('cpis_verify_inclusion', 'cpis_verify_consistency', 'cpis_checkpoint_verify') AND p.provolatile = 'i')
ORDER BY 1;
SELECT c.oid::regclass AS for_everybody FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid JOIN access a USING (classid, objid) WHERE a.to_everybody;
-- Every definer function has its search_path pinned, and one in SQL runs as its caller only inside the extension.
SELECT p.oid::regprocedure AS not_pinned
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE p.prosecdef AND p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp'];
SELECT p.oid::regprocedure AS invoker_in_sql, p.prosqlbody IS NOT NULL AS bound, a.granted
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang LEFT JOIN access a USING (classid, objid)
WHERE l.lanname = 'sql' AND NOT p.prosecdef ORDER BY 1;
-- pg_upgrade makes functions before operator classes, and what it makes of IS DISTINCT FROM names no schema: neither is
-- used with nhs_number in a body.
SELECT DISTINCT p.oid::regprocedure AS not_to_be_upgraded
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_operator o ON o.oprleft = 'nhs_number'::regtype
WHERE p.prosqlbody::text ~ format(':(eqop|sortop) %s\M|(DISTINCTEXPR|NULLIFEXPR) :opno %1$s\M', o.oid);
SELECT DISTINCT r.ev_class::regclass AS not_to_be_upgraded
FROM member m JOIN pg_rewrite r ON m.classid = 'pg_class'::regclass AND r.ev_class = m.objid JOIN pg_operator o ON o.oprleft = 'nhs_number'::regtype
WHERE r.ev_action::text ~ format('(DISTINCTEXPR|NULLIFEXPR) :opno %s\M', o.oid);
-- A view that is granted is a barrier, unless it shows nobody: counters, for monitors and analysts.
SELECT c.oid::regclass AS no_barrier
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid JOIN access a USING (classid, objid)
WHERE c.relkind = 'v' AND NOT coalesce(c.reloptions @> '{security_barrier=true}', false) AND a.granted !~ '^(cpis_analyst select, )?pg_monitor select$';
-- Tables and sequences are granted to nobody, but for what an authority inserts.
SELECT c.oid::regclass AS granted_table
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid JOIN access a USING (classid, objid)
WHERE c.relkind <> 'v' AND NOT (c.oid = 'cpis.submission_record'::regclass AND a.granted ~ '^(cpis_local_authority insert \(\w+\)(, )?)+$');
-- Append-only, always, for UPDATE, DELETE and TRUNCATE: each table of the trail, and its months.
SELECT t.relation AS not_append_only
FROM (
	SELECT unnest(ARRAY['cpis.audit_event', 'cpis.notification', 'cpis.ledger', 'cpis.ledger_tile', 'cpis.checkpoint', 'cpis.acknowledgement', 'cpis.removal', 'cpis.correction', 'cpis.removed_month',
		'cpis.event_count', 'cpis.kept_event', 'cpis.direct_read_switch', 'cpis.summary', 'cpis.access_summary',
		'cpis.attendance_summary', 'cpis.acknowledgement_summary', 'cpis.answer_summary', 'cpis.unusual_summary'])::regclass AS relation
	UNION ALL SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass) AS t
WHERE (SELECT bit_or(g.tgtype::integer) & 56 FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgenabled = 'A' AND g.tgname ~ '^append_only' AND g.tgfoid = 'cpis.refuse_change'::regproc) IS DISTINCT FROM 56;
-- One owner, and group roles that are nothing but groups.
SELECT m.classid::regclass, m.objid FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid WHERE c.relowner <> (SELECT extowner FROM pg_extension WHERE extname = 'cpis');
SELECT m.classid::regclass, m.objid FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid WHERE p.proowner <> (SELECT extowner FROM pg_extension WHERE extname = 'cpis');
SELECT rolname, rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS is_more, (SELECT count(*) FROM pg_auth_members a WHERE a.member = r.oid) AS memberships
FROM pg_roles r WHERE rolname ~ '^cpis_' ORDER BY 1;
DROP VIEW access, member;

/*
 * Who may do what: group roles, made if absent, for a role outlives a database
 * and its extension and may be shared with other databases of the cluster.
 */
DO $$
DECLARE
	-- Each with what it is for.
	groups CONSTANT text[] := ARRAY[
		['cpis_clinical', 'CP-IS: staff and systems of NHS care settings, who look children up'],
		['cpis_local_authority', 'CP-IS: systems of local authorities, who send records and collect notices'],
		['cpis_analyst', 'CP-IS: who reports on the use of the service, and sees nobody''s name or number'],
		['cpis_steward', 'CP-IS: who watches over the use of the service, sees the whole trail, places holds, and looks nobody up']];
BEGIN
	FOR i IN 1 .. pg_catalog.array_length(groups, 1) LOOP
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) groups[i][1]);
		BEGIN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', groups[i][1]);
			EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', groups[i][1], groups[i][2]);
		EXCEPTION
			-- Another database of the cluster was quicker; the role is there.
			WHEN duplicate_object OR unique_violation THEN NULL;
		END;
	END LOOP;
END
$$;
GRANT USAGE ON SCHEMA cpis TO cpis_local_authority, cpis_analyst, cpis_steward;

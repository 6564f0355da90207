/*
 * Who may do what: group roles, made if absent, for a role outlives a database
 * and its extension and may be shared with other databases of the cluster.
 */

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
				   WHERE rolname OPERATOR(pg_catalog.=) 'cpis_clinical') THEN
		CREATE ROLE cpis_clinical NOLOGIN;
		COMMENT ON ROLE cpis_clinical IS 'CP-IS: staff and systems of NHS care settings, who look children up';
	END IF;
EXCEPTION
	-- Another database of the cluster was quicker; the role is there.
	WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
				   WHERE rolname OPERATOR(pg_catalog.=) 'cpis_local_authority') THEN
		CREATE ROLE cpis_local_authority NOLOGIN;
		COMMENT ON ROLE cpis_local_authority IS 'CP-IS: systems of local authorities, who send records and collect notices';
	END IF;
EXCEPTION
	WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
GRANT USAGE ON SCHEMA cpis TO cpis_local_authority;

/*
 * Which role acts for which local authority (src/scope.c).
 */
CREATE TABLE cpis.role_scope (
	role_name text COLLATE "C" NOT NULL,
	local_authority text COLLATE "C" NOT NULL
		CONSTRAINT role_scope_local_authority_fkey REFERENCES cpis.local_authority,
	granted_at timestamptz NOT NULL,
	event_id bigint NOT NULL,
	CONSTRAINT role_scope_pkey PRIMARY KEY (role_name, local_authority)
);
REVOKE ALL ON TABLE cpis.role_scope FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.role_scope', '');
COMMENT ON TABLE cpis.role_scope IS 'for which local authorities roles send records and collect notices';
COMMENT ON COLUMN cpis.role_scope.role_name IS 'name of the role; whoever has its privileges has its scope';
COMMENT ON COLUMN cpis.role_scope.local_authority IS 'local authority that it acts for';
COMMENT ON COLUMN cpis.role_scope.granted_at IS 'when that was granted';
COMMENT ON COLUMN cpis.role_scope.event_id IS 'event by which it was recorded';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.role_scope
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Use cpis_scope_grant() and cpis_scope_revoke().');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.role_scope
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Use cpis_scope_grant() and cpis_scope_revoke().');
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.role_scope
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_scope_grant().');
ALTER TABLE cpis.role_scope ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate,
	ENABLE ALWAYS TRIGGER own_insert;

CREATE FUNCTION cpis_scope_grant(role_name text, local_authority text) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_scope_grant';
REVOKE ALL ON FUNCTION cpis_scope_grant(text, text) FROM PUBLIC;
COMMENT ON FUNCTION cpis_scope_grant(text, text) IS
	'let a role, which must also be a member of cpis_local_authority, send records and collect notices for a local authority; recorded; answers the event';

CREATE FUNCTION cpis_scope_revoke(role_name text, local_authority text) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_scope_revoke';
REVOKE ALL ON FUNCTION cpis_scope_revoke(text, text) FROM PUBLIC;
COMMENT ON FUNCTION cpis_scope_revoke(text, text) IS 'take that back; recorded; answers the event';

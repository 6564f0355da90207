/*
 * Which role acts for which organisation or local authority (src/scope.c, src/scope_grant.c).
 */
CREATE TABLE cpis.role_scope (
	role_name text COLLATE "C" NOT NULL,
	-- No foreign key: organisations may be loaded anew, and who is not among them is refused anyhow.
	organisation text COLLATE "C",
	local_authority text COLLATE "C"
		CONSTRAINT role_scope_local_authority_fkey REFERENCES cpis.local_authority,
	may_read_silently boolean NOT NULL DEFAULT false,
	may_act_as_device boolean NOT NULL DEFAULT false,
	max_lookups_per_minute integer
		CONSTRAINT role_scope_max_lookups_per_minute_range CHECK (max_lookups_per_minute BETWEEN 1 AND 1000000),
	granted_at timestamptz NOT NULL,
	event_id bigint NOT NULL,
	CONSTRAINT role_scope_key UNIQUE NULLS NOT DISTINCT (role_name, organisation, local_authority),
	CONSTRAINT role_scope_one CHECK (num_nonnulls(organisation, local_authority) = 1),
	CONSTRAINT role_scope_rights CHECK (organisation IS NOT NULL
		OR (NOT may_read_silently AND NOT may_act_as_device AND max_lookups_per_minute IS NULL))
);
REVOKE ALL ON TABLE cpis.role_scope FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.role_scope', '');
COMMENT ON TABLE cpis.role_scope IS 'for which organisations roles look children up, and for which local authorities they send records and collect notices';
COMMENT ON COLUMN cpis.role_scope.role_name IS 'name of the role; whoever has its privileges has its scope';
COMMENT ON COLUMN cpis.role_scope.organisation IS 'organisation that it acts for; NULL where it is an authority';
COMMENT ON COLUMN cpis.role_scope.local_authority IS 'local authority that it acts for; NULL where it is an organisation';
COMMENT ON COLUMN cpis.role_scope.may_read_silently IS 'may it look up without notifying the local authority?';
COMMENT ON COLUMN cpis.role_scope.may_act_as_device IS 'may the author of its look-ups be a device?';
COMMENT ON COLUMN cpis.role_scope.max_lookups_per_minute IS 'how many look-ups it may make within a minute; NULL: without limit';
COMMENT ON COLUMN cpis.role_scope.granted_at IS 'when that was granted';
COMMENT ON COLUMN cpis.role_scope.event_id IS 'event by which it was recorded';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.role_scope
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Use cpis_scope_grant() and cpis_scope_revoke().');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.role_scope
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Use cpis_scope_grant() and cpis_scope_revoke().');
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.role_scope
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_scope_grant().');
-- Sessions keep what they have read of it (src/scope.c).
CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.role_scope
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.role_scope ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate,
	ENABLE ALWAYS TRIGGER own_insert, ENABLE ALWAYS TRIGGER reference_changed;

CREATE FUNCTION cpis_scope_grant(
	role_name text,
	organisation text = NULL,
	local_authority text = NULL,
	may_read_silently boolean = false,
	may_act_as_device boolean = false,
	max_lookups_per_minute integer = NULL)
	RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_scope_grant';
REVOKE ALL ON FUNCTION cpis_scope_grant(text, text, text, boolean, boolean, integer) FROM PUBLIC;
COMMENT ON FUNCTION cpis_scope_grant(text, text, text, boolean, boolean, integer) IS
	'let a role, which must also be a member of cpis_clinical or cpis_local_authority, look children up for an organisation, or send records and collect notices for a local authority; recorded; answers the event';

CREATE FUNCTION cpis_scope_revoke(role_name text, organisation text = NULL, local_authority text = NULL) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_scope_revoke';
REVOKE ALL ON FUNCTION cpis_scope_revoke(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION cpis_scope_revoke(text, text, text) IS 'take that back; recorded; answers the event';

/*
 * What the rest of the script stands on: an encoding in which every name can
 * be written, and the schema of the tables.
 *
 * What is named nhs_number* and cpis_* goes to the schema chosen
 * in CREATE EXTENSION, view cpis_stat included, so that it works as typed;
 * everything else is in schema cpis.
 */

DO $$
BEGIN
	IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = 'extension "cpis" needs a database with encoding UTF8',
			DETAIL = pg_catalog.format('The encoding of database "%s" is %s.',
				pg_catalog.current_database(), pg_catalog.getdatabaseencoding()),
			HINT = 'Create the database with CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;
END
$$;

CREATE SCHEMA cpis;
COMMENT ON SCHEMA cpis IS 'Child Protection - Information Sharing: register and audit trail';

CREATE FUNCTION cpis.refuse_change() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_refuse_change';
REVOKE ALL ON FUNCTION cpis.refuse_change() FROM PUBLIC;
COMMENT ON FUNCTION cpis.refuse_change() IS 'trigger: refuses the statement, giving its argument as the reason';

CREATE FUNCTION cpis.refuse_others() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_refuse_others';
REVOKE ALL ON FUNCTION cpis.refuse_others() FROM PUBLIC;
COMMENT ON FUNCTION cpis.refuse_others() IS 'trigger: refuses the statement to all but the owner of the table and superusers, giving its argument as the reason';

-- Statements that may drop something must find the library loaded (src/drop_guard.c).
CREATE FUNCTION cpis.load_library() RETURNS event_trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_load_library';
REVOKE ALL ON FUNCTION cpis.load_library() FROM PUBLIC;
COMMENT ON FUNCTION cpis.load_library() IS 'event trigger: loads the library, which then refuses to have the audit trail dropped';
CREATE EVENT TRIGGER cpis_load_library ON ddl_command_start EXECUTE FUNCTION cpis.load_library();
ALTER EVENT TRIGGER cpis_load_library ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER cpis_load_library IS 'loads the library where the audit trail might be dropped';

/*
 * NHS numbers that are not to be used any more (src/number_change.c).
 *
 * What replaces a number stands here only where somebody says so: where a child has been
 * adopted, nothing leads from the old number to the new one.
 */
CREATE TABLE cpis.inactive_number (
	nhs_number @extschema@.nhs_number NOT NULL
		CONSTRAINT inactive_number_pkey PRIMARY KEY,
	superseded_by @extschema@.nhs_number
		CONSTRAINT inactive_number_superseded_by_another CHECK (superseded_by <> nhs_number),
	inactive_since timestamptz NOT NULL,
	event_id bigint NOT NULL
);
REVOKE ALL ON TABLE cpis.inactive_number FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.inactive_number', '');
COMMENT ON TABLE cpis.inactive_number IS 'NHS numbers that are not to be used any more';
COMMENT ON COLUMN cpis.inactive_number.nhs_number IS 'the number';
COMMENT ON COLUMN cpis.inactive_number.superseded_by IS 'the number that replaces it; NULL where there is none, or none that may be told, as after an adoption';
COMMENT ON COLUMN cpis.inactive_number.inactive_since IS 'when that was said';
COMMENT ON COLUMN cpis.inactive_number.event_id IS 'event by which it was recorded';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.inactive_number
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Use cpis_nhs_number_reactivate().');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.inactive_number
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Use cpis_nhs_number_reactivate().');
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.inactive_number
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_nhs_number_inactivate().');
ALTER TABLE cpis.inactive_number ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate,
	ENABLE ALWAYS TRIGGER own_insert;

CREATE FUNCTION cpis_nhs_number_inactivate(nhs_number @extschema@.nhs_number, superseded_by @extschema@.nhs_number = NULL) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_nhs_number_inactivate';
REVOKE ALL ON FUNCTION cpis_nhs_number_inactivate(@extschema@.nhs_number, @extschema@.nhs_number) FROM PUBLIC;
COMMENT ON FUNCTION cpis_nhs_number_inactivate(@extschema@.nhs_number, @extschema@.nhs_number) IS
	'an NHS number is not to be used any more; after an adoption, never say what replaces it; recorded, and every authority that has used it is told; answers the event';

CREATE FUNCTION cpis_nhs_number_reactivate(nhs_number @extschema@.nhs_number) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_nhs_number_reactivate';
REVOKE ALL ON FUNCTION cpis_nhs_number_reactivate(@extschema@.nhs_number) FROM PUBLIC;
COMMENT ON FUNCTION cpis_nhs_number_reactivate(@extschema@.nhs_number) IS
	'that was a mistake; recorded, and every authority that has used the number is told; answers the event';

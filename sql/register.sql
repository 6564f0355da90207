/*
 * The register: authorities, NHS organisations, care settings, kinds of plan,
 * and the plans themselves.
 *
 * Codes sort and compare as bytes (COLLATE "C"): they are identifiers, and the
 * look-up scans their indexes.  src/register.c relies on the order of columns
 * and on the names of the indexes.
 */

CREATE TABLE cpis.local_authority (
	code text COLLATE "C" NOT NULL
		CONSTRAINT local_authority_pkey PRIMARY KEY
		CONSTRAINT local_authority_code_shape
			CHECK (code ~ '^(E(06|08|09|10)[0-9]{6}|[A-Z0-9]{3,5})$'),
	name text NOT NULL
		CONSTRAINT local_authority_name_text
			CHECK (name ~ '[^[:space:]]' AND name !~ '[[:cntrl:]]' AND octet_length(name) <= 200),
	office_hours_phone text
		CONSTRAINT local_authority_office_hours_phone_shape
			CHECK (office_hours_phone ~ '^\+?[0-9][0-9 ]*[0-9]$'
				   AND length(translate(office_hours_phone, '+ ', '')) BETWEEN 5 AND 15 AND length(office_hours_phone) <= 24),
	emergency_duty_phone text NOT NULL
		CONSTRAINT local_authority_emergency_duty_phone_shape
			CHECK (emergency_duty_phone ~ '^\+?[0-9][0-9 ]*[0-9]$'
				   AND length(translate(emergency_duty_phone, '+ ', '')) BETWEEN 5 AND 15 AND length(emergency_duty_phone) <= 24)
);
REVOKE ALL ON TABLE cpis.local_authority FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.local_authority', '');
COMMENT ON TABLE cpis.local_authority IS 'local authorities with children''s social care, who own plans and are notified';
COMMENT ON COLUMN cpis.local_authority.code IS 'ONS code (E06, E08, E09 or E10 and six digits) or ODS code (three to five capitals and digits)';
COMMENT ON COLUMN cpis.local_authority.name IS 'name as shown to NHS staff, up to 200 bytes';
COMMENT ON COLUMN cpis.local_authority.office_hours_phone IS 'telephone in office hours; optional';
COMMENT ON COLUMN cpis.local_authority.emergency_duty_phone IS 'telephone of the emergency duty team; mandatory';

CREATE TABLE cpis.organisation (
	code text COLLATE "C" NOT NULL
		CONSTRAINT organisation_pkey PRIMARY KEY
		CONSTRAINT organisation_code_shape CHECK (code ~ '^[A-Z0-9]{3,12}$'),
	name text NOT NULL
		CONSTRAINT organisation_name_text
			CHECK (name ~ '[^[:space:]]' AND name !~ '[[:cntrl:]]' AND octet_length(name) <= 200),
	commissioner text COLLATE "C"
		CONSTRAINT organisation_commissioner_shape CHECK (commissioner ~ '^[A-Z0-9]{3,12}$')
);
REVOKE ALL ON TABLE cpis.organisation FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.organisation', '');
COMMENT ON TABLE cpis.organisation IS 'NHS organisations whose staff may look children up';
COMMENT ON COLUMN cpis.organisation.code IS 'ODS code: three to twelve capitals and digits';
COMMENT ON COLUMN cpis.organisation.name IS 'name as shown in the access history, up to 200 bytes';
COMMENT ON COLUMN cpis.organisation.commissioner IS 'ODS code of the commissioner';

CREATE TABLE cpis.care_setting (
	code text COLLATE "C" NOT NULL
		CONSTRAINT care_setting_pkey PRIMARY KEY
		CONSTRAINT care_setting_code_shape CHECK (code ~ '^[a-z0-9_]{1,32}$'),
	name text NOT NULL,
	unscheduled boolean NOT NULL
);
REVOKE ALL ON TABLE cpis.care_setting FROM PUBLIC;
COMMENT ON TABLE cpis.care_setting IS 'care settings in which a child may be looked up; part of the extension';
COMMENT ON COLUMN cpis.care_setting.code IS 'code as given to cpis_lookup()';
COMMENT ON COLUMN cpis.care_setting.name IS 'name in words';
COMMENT ON COLUMN cpis.care_setting.unscheduled IS 'one of the eight unscheduled settings of the guidance of December 2016?';

INSERT INTO cpis.care_setting (code, name, unscheduled) VALUES
	('emergency_department', 'Emergency Department', true),
	('walk_in_centre', 'Walk-in Centre', true),
	('minor_injury_unit', 'Minor Injury Unit', true),
	('gp_out_of_hours', 'GP Out of Hours', true),
	('nhs_111', '111 Service', true),
	('ambulance', 'Ambulance Service', true),
	('maternity', 'Maternity Unit', true),
	('paediatric_ward', 'Paediatric Ward', true),
	('general_practice', 'General practice', false),
	('camhs', 'Child and adolescent mental health services', false),
	('sexual_assault_referral_centre', 'Sexual assault referral centre', false),
	('termination_of_pregnancy', 'Termination of pregnancy', false),
	('school_nursing', 'School nursing', false),
	('health_visiting', 'Health visiting', false),
	('community_paediatrics', 'Community paediatrics', false),
	('dentistry', 'Dentistry', false);

CREATE TABLE cpis.plan_type (
	code text COLLATE "C" NOT NULL
		CONSTRAINT plan_type_pkey PRIMARY KEY
		CONSTRAINT plan_type_code_shape CHECK (code ~ '^[a-z_]{1,32}$'),
	name text NOT NULL,
	snomed_ct_code text COLLATE "C" NOT NULL
		CONSTRAINT plan_type_snomed_ct_code_shape CHECK (snomed_ct_code ~ '^[0-9]{6,18}$'),
	retention_days integer NOT NULL
		CONSTRAINT plan_type_retention_days_range CHECK (retention_days BETWEEN 0 AND 36525)
);
REVOKE ALL ON TABLE cpis.plan_type FROM PUBLIC;
COMMENT ON TABLE cpis.plan_type IS 'kinds of plan; part of the extension';
COMMENT ON COLUMN cpis.plan_type.code IS 'child_protection, looked_after or unborn';
COMMENT ON COLUMN cpis.plan_type.name IS 'name in words';
COMMENT ON COLUMN cpis.plan_type.snomed_ct_code IS 'SNOMED CT concept';
COMMENT ON COLUMN cpis.plan_type.retention_days IS 'days for which a plan is held after its end date (guidance section 5.2)';

INSERT INTO cpis.plan_type (code, name, snomed_ct_code, retention_days) VALUES
	('child_protection', 'Child protection plan', '342191000000101', 365),
	('looked_after', 'Looked after child', '764841000000100', 365),
	('unborn', 'Unborn child subject to a child protection plan', '818901000000100', 365);

/*
 * Empty at first: rows stand for what an administrator has set.  An event of the
 * trail has no term unless one is set.
 */
CREATE TABLE cpis.retention_policy (
	kind text COLLATE "C" NOT NULL
		CONSTRAINT retention_policy_pkey PRIMARY KEY,
	retention_days integer
		CONSTRAINT retention_policy_retention_days_range CHECK (retention_days BETWEEN 0 AND 36525),
	reason text,
	set_at timestamptz NOT NULL,
	event_id bigint NOT NULL
);
REVOKE ALL ON TABLE cpis.retention_policy FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.retention_policy', '');
COMMENT ON TABLE cpis.retention_policy IS 'for how long things are held, where cpis_retention_set() has set something else than comes with the extension';
COMMENT ON COLUMN cpis.retention_policy.kind IS 'kind of plan, submission_record, or audit_event';
COMMENT ON COLUMN cpis.retention_policy.retention_days IS 'days after the end, the last one included; NULL is without end';
COMMENT ON COLUMN cpis.retention_policy.reason IS 'why, where a reason was given';
COMMENT ON COLUMN cpis.retention_policy.set_at IS 'when it was set';
COMMENT ON COLUMN cpis.retention_policy.event_id IS 'event by which that was recorded';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.retention_policy
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Use cpis_retention_set().');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.retention_policy
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Use cpis_retention_set().');
ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_change,
	ENABLE ALWAYS TRIGGER own_change_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.retention_policy
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_retention_set().');
ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_insert;

/*
 * Reference rows come with the script and are not dumped, so a change to them
 * would be lost by dump and restore: refuse it.
 */
CREATE TRIGGER refuse_change BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON cpis.care_setting
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Its rows are part of the extension.');
ALTER TABLE cpis.care_setting ENABLE ALWAYS TRIGGER refuse_change;
CREATE TRIGGER refuse_change BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON cpis.plan_type
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Its rows are part of the extension.');
ALTER TABLE cpis.plan_type ENABLE ALWAYS TRIGGER refuse_change;

/*
 * Processes keep the rows of these tables that they have read: tell them what
 * has changed (src/reference.c).
 */
CREATE FUNCTION cpis.reference_changed() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_reference_changed';
REVOKE ALL ON FUNCTION cpis.reference_changed() FROM PUBLIC;
COMMENT ON FUNCTION cpis.reference_changed() IS 'trigger: makes all sessions read the table anew';
CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.local_authority
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.local_authority ENABLE ALWAYS TRIGGER reference_changed;
CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.organisation
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.organisation ENABLE ALWAYS TRIGGER reference_changed;
CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.care_setting
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.care_setting ENABLE ALWAYS TRIGGER reference_changed;
CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.plan_type
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.plan_type ENABLE ALWAYS TRIGGER reference_changed;

CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.retention_policy
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER reference_changed;

CREATE FUNCTION cpis.random_salt() RETURNS bytea
	LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cpis_random_salt';
REVOKE ALL ON FUNCTION cpis.random_salt() FROM PUBLIC;
COMMENT ON FUNCTION cpis.random_salt() IS '16 bytes from the strong random number generator';

CREATE TABLE cpis.plan (
	plan_id bigint GENERATED ALWAYS AS IDENTITY
		CONSTRAINT plan_pkey PRIMARY KEY,
	nhs_number @extschema@.nhs_number NOT NULL
		CONSTRAINT plan_nhs_number_not_placeholder
			CHECK (NOT @extschema@.nhs_number_is_placeholder(nhs_number)),
	plan_type text COLLATE "C" NOT NULL
		CONSTRAINT plan_plan_type_fkey REFERENCES cpis.plan_type,
	local_authority text COLLATE "C" NOT NULL
		CONSTRAINT plan_local_authority_fkey REFERENCES cpis.local_authority,
	start_date date NOT NULL
		CONSTRAINT plan_start_date_range CHECK (start_date BETWEEN '1948-07-05' AND '2999-12-31'),
	end_date date
		CONSTRAINT plan_end_date_range CHECK (end_date <= '2999-12-31'),
	delete_date date
		CONSTRAINT plan_delete_date_range CHECK (delete_date BETWEEN '1948-07-05' AND '2999-12-31'),
	local_reference text
		CONSTRAINT plan_local_reference_text
			CHECK (local_reference COLLATE "C" ~ '[^[:space:]]' AND local_reference COLLATE "C" !~ '[[:cntrl:]]'
				   AND octet_length(local_reference) <= 64),
	submission_id bigint,
	commitment_salt bytea NOT NULL DEFAULT cpis.random_salt()
		CONSTRAINT plan_commitment_salt_length CHECK (octet_length(commitment_salt) = 16),
	CONSTRAINT plan_end_date_not_before_start CHECK (end_date >= start_date),
	CONSTRAINT plan_one_record UNIQUE (local_authority, nhs_number, plan_type, start_date)
);
REVOKE ALL ON TABLE cpis.plan FROM PUBLIC;
CREATE INDEX plan_nhs_number_idx ON cpis.plan (nhs_number);
SELECT pg_catalog.pg_extension_config_dump('cpis.plan', '');
SELECT pg_catalog.pg_extension_config_dump('cpis.plan_plan_id_seq', '');
COMMENT ON TABLE cpis.plan IS 'children with a child protection plan, looked after, or unborn with a plan: one row for each authority, number, kind and start';
COMMENT ON COLUMN cpis.plan.plan_id IS 'identifier, named by audit events';
COMMENT ON COLUMN cpis.plan.nhs_number IS 'number of the child; of the mother for an unborn child';
COMMENT ON COLUMN cpis.plan.plan_type IS 'kind of plan, see cpis.plan_type';
COMMENT ON COLUMN cpis.plan.local_authority IS 'authority that owns the record, see cpis.local_authority';
COMMENT ON COLUMN cpis.plan.start_date IS 'day on which the plan starts';
COMMENT ON COLUMN cpis.plan.end_date IS 'day on which the plan ended; NULL while it runs';
COMMENT ON COLUMN cpis.plan.delete_date IS 'day from which the record is no longer held, where the authority sent one: added in error, or no end date could be sent';
COMMENT ON COLUMN cpis.plan.local_reference IS 'the authority''s own reference, up to 64 bytes; never disclosed';
COMMENT ON COLUMN cpis.plan.submission_id IS 'submission that wrote the record last';
COMMENT ON COLUMN cpis.plan.commitment_salt IS '16 random bytes that go with the row and make its removal provable without telling what it held';
COMMENT ON SEQUENCE cpis.plan_plan_id_seq IS 'numbers of cpis.plan.plan_id';

/*
 * Plans stay until their term ends (src/plan_guard.c), and statements that change
 * them leave a row in the tally (src/plan_tally.c).
 */
CREATE FUNCTION cpis.guard_plan() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_guard_plan';
REVOKE ALL ON FUNCTION cpis.guard_plan() FROM PUBLIC;
COMMENT ON FUNCTION cpis.guard_plan() IS 'trigger: refuses what would remove a plan, or have it held for less long';
-- AFTER, for a BEFORE trigger whose name comes later could change what this one has seen.
CREATE TRIGGER guard AFTER UPDATE OR DELETE ON cpis.plan
	FOR EACH ROW EXECUTE FUNCTION cpis.guard_plan();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON cpis.plan
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.guard_plan();
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_truncate;

CREATE TABLE cpis.plan_tally (
	plans bigint NOT NULL,
	fingerprint bigint NOT NULL
);
REVOKE ALL ON TABLE cpis.plan_tally FROM PUBLIC;
COMMENT ON TABLE cpis.plan_tally IS 'what statements have changed in cpis.plan; summed up by each purge, not dumped';
COMMENT ON COLUMN cpis.plan_tally.plans IS 'by how many plans the register grew';
COMMENT ON COLUMN cpis.plan_tally.fingerprint IS 'exclusive or of the fingerprints of the plans that went and came';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.plan_tally
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('The purge sums it up.');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.plan_tally
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('The purge sums it up.');
ALTER TABLE cpis.plan_tally ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate;
-- Without a key, a publication of all tables would refuse to have it summed up.
ALTER TABLE cpis.plan_tally REPLICA IDENTITY FULL;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.plan_tally
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Statements that change plans do it.');
ALTER TABLE cpis.plan_tally ENABLE ALWAYS TRIGGER own_insert;

CREATE FUNCTION cpis.tally_plans() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_tally_plans';
REVOKE ALL ON FUNCTION cpis.tally_plans() FROM PUBLIC;
COMMENT ON FUNCTION cpis.tally_plans() IS 'trigger: adds up in cpis.plan_tally what a statement has changed';
CREATE TRIGGER tally_insert AFTER INSERT ON cpis.plan REFERENCING NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.tally_plans();
CREATE TRIGGER tally_update AFTER UPDATE ON cpis.plan REFERENCING OLD TABLE AS gone NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.tally_plans();
CREATE TRIGGER tally_delete AFTER DELETE ON cpis.plan REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.tally_plans();
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER tally_insert, ENABLE ALWAYS TRIGGER tally_update,
	ENABLE ALWAYS TRIGGER tally_delete;

CREATE FUNCTION cpis.plan_fingerprint(plan cpis.plan) RETURNS bigint
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'cpis_plan_fingerprint';
REVOKE ALL ON FUNCTION cpis.plan_fingerprint(cpis.plan) FROM PUBLIC;
COMMENT ON FUNCTION cpis.plan_fingerprint(cpis.plan) IS 'eight bytes that change with any column of a plan';

CREATE FUNCTION cpis.plan_commitment(plan cpis.plan) RETURNS bytea
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'cpis_plan_commitment';
REVOKE ALL ON FUNCTION cpis.plan_commitment(cpis.plan) FROM PUBLIC;
COMMENT ON FUNCTION cpis.plan_commitment(cpis.plan) IS 'SHA-256 of the canonical bytes of a plan, its salt included: what its certificate of removal will say';

/*
 * What authorities send, and how it is answered: src/submission.c, and for the rules
 * src/record_check.c.
 *
 * There is no foreign key from a record to its submission: whoever is not the owner of
 * the table adds to one that is there and open (cpis.guard_submission_record), and
 * a check of each record would cost as much as to store it.
 */
CREATE TABLE cpis.submission (
	submission_id bigint GENERATED ALWAYS AS IDENTITY
		CONSTRAINT submission_pkey PRIMARY KEY,
	local_authority text COLLATE "C" NOT NULL
		CONSTRAINT submission_local_authority_fkey REFERENCES cpis.local_authority,
	kind text COLLATE "C" NOT NULL
		CONSTRAINT submission_kind CHECK (kind IN ('delta', 'full', 'put', 'end')),
	client_version integer NOT NULL DEFAULT 1,
	opened_at timestamptz NOT NULL DEFAULT clock_timestamp()
		CONSTRAINT submission_opened_at_finite CHECK (isfinite(opened_at)),
	answered_at timestamptz
		CONSTRAINT submission_answered_at_finite CHECK (isfinite(answered_at)),
	file_code text COLLATE "C"
		CONSTRAINT submission_file_code_shape CHECK (file_code ~ '^CPF0[1-6]$'),
	accepted integer
		CONSTRAINT submission_accepted_range CHECK (accepted >= 0),
	rejected integer
		CONSTRAINT submission_rejected_range CHECK (rejected >= 0),
	ended integer
		CONSTRAINT submission_ended_range CHECK (ended >= 0),
	detail_code text COLLATE "C",
	event_id bigint,
	CONSTRAINT submission_answer_whole
		CHECK (num_nulls(answered_at, file_code, accepted, rejected, ended, event_id) IN (0, 6))
);
REVOKE ALL ON TABLE cpis.submission FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.submission', '');
SELECT pg_catalog.pg_extension_config_dump('cpis.submission_submission_id_seq', '');
COMMENT ON TABLE cpis.submission IS 'uploads of authorities, and their answers; names nobody, and stays';
COMMENT ON COLUMN cpis.submission.submission_id IS 'number of the submission';
COMMENT ON COLUMN cpis.submission.local_authority IS 'authority that sent it';
COMMENT ON COLUMN cpis.submission.kind IS 'delta: what has changed; full: all that the authority has; put, end: one record by cpis_plan_put() or cpis_plan_end()';
COMMENT ON COLUMN cpis.submission.client_version IS 'version of the client that sent it, by its own count';
COMMENT ON COLUMN cpis.submission.opened_at IS 'when it was opened';
COMMENT ON COLUMN cpis.submission.answered_at IS 'when it was answered; its records are held for so many days from then on';
COMMENT ON COLUMN cpis.submission.file_code IS 'answer to the file, CPF01 to CPF06';
COMMENT ON COLUMN cpis.submission.accepted IS 'how many records were loaded';
COMMENT ON COLUMN cpis.submission.rejected IS 'how many were not';
COMMENT ON COLUMN cpis.submission.ended IS 'how many plans were ended because a full file does not have them';
COMMENT ON COLUMN cpis.submission.detail_code IS 'why the file as a whole was refused, or ended nothing';
COMMENT ON COLUMN cpis.submission.event_id IS 'event by which the answer was recorded';
COMMENT ON SEQUENCE cpis.submission_submission_id_seq IS 'numbers of cpis.submission.submission_id';

CREATE TABLE cpis.submission_record (
	submission_id bigint NOT NULL,
	line_no integer NOT NULL
		CONSTRAINT submission_record_line_no_range CHECK (line_no >= 1),
	nhs_number text,
	plan_type text,
	start_date text,
	end_date text,
	delete_date text,
	date_of_birth text,
	local_reference text,
	record_code text COLLATE "C"
		CONSTRAINT submission_record_record_code_shape CHECK (record_code ~ '^CPR0[1-7]$'),
	detail_code text COLLATE "C",
	field text COLLATE "C",
	commitment_salt bytea NOT NULL
		CONSTRAINT submission_record_commitment_salt_length CHECK (octet_length(commitment_salt) = 16),
	CONSTRAINT submission_record_pkey PRIMARY KEY (submission_id, line_no)
)
-- The answer comes into the row later: room for it beside, and nothing to do for the index.
WITH (fillfactor = 50);
REVOKE ALL ON TABLE cpis.submission_record FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.submission_record', '');
COMMENT ON TABLE cpis.submission_record IS 'what authorities have sent, record by record, as it was sent, and how each was answered; held for its term after the answer';
COMMENT ON COLUMN cpis.submission_record.submission_id IS 'submission that it is of; left out, the one that the session has opened';
COMMENT ON COLUMN cpis.submission_record.line_no IS 'its place in that, from 1; left out, the next';
COMMENT ON COLUMN cpis.submission_record.nhs_number IS 'as sent: NHS number of the child; of the mother for an unborn child';
COMMENT ON COLUMN cpis.submission_record.plan_type IS 'as sent: kind of plan';
COMMENT ON COLUMN cpis.submission_record.start_date IS 'as sent: day on which the plan starts';
COMMENT ON COLUMN cpis.submission_record.end_date IS 'as sent: day on which the plan ended';
COMMENT ON COLUMN cpis.submission_record.delete_date IS 'as sent: day from which the record is no longer to be held';
COMMENT ON COLUMN cpis.submission_record.date_of_birth IS 'as sent: date of birth of the child';
COMMENT ON COLUMN cpis.submission_record.local_reference IS 'as sent: the authority''s own reference';
COMMENT ON COLUMN cpis.submission_record.record_code IS 'answer to the record, CPR01 to CPR07';
COMMENT ON COLUMN cpis.submission_record.detail_code IS 'which rule was broken';
COMMENT ON COLUMN cpis.submission_record.field IS 'in which column';
COMMENT ON COLUMN cpis.submission_record.commitment_salt IS '16 random bytes that go with the row and make its removal provable without telling what it held';

CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.submission
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Submissions and their answers stay as they are.');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.submission
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Submissions and their answers stay as they are.');
ALTER TABLE cpis.submission ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.submission
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('When it was answered decides for how long its records are held.');
ALTER TABLE cpis.submission ENABLE ALWAYS TRIGGER own_insert;
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.submission_record
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('What was sent stays as it was until its term ends; CALL cpis_purge() removes it then.');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.submission_record
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('What was sent stays as it was until its term ends; CALL cpis_purge() removes it then.');
ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate;

CREATE FUNCTION cpis.guard_submission_record() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_guard_submission_record';
REVOKE ALL ON FUNCTION cpis.guard_submission_record() FROM PUBLIC;
COMMENT ON FUNCTION cpis.guard_submission_record() IS 'trigger: records are added to open submissions only, by who acts for their authority; fills in what is left out';
CREATE TRIGGER guard BEFORE INSERT ON cpis.submission_record
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.guard_submission_record();
CREATE TRIGGER guard_row BEFORE INSERT ON cpis.submission_record
	FOR EACH ROW EXECUTE FUNCTION cpis.guard_submission_record();
ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_row;
GRANT INSERT (submission_id, line_no, nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, local_reference)
	ON cpis.submission_record TO cpis_local_authority;

CREATE FUNCTION cpis.submission_record_commitment(record cpis.submission_record) RETURNS bytea
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'cpis_submission_record_commitment';
REVOKE ALL ON FUNCTION cpis.submission_record_commitment(cpis.submission_record) FROM PUBLIC;
COMMENT ON FUNCTION cpis.submission_record_commitment(cpis.submission_record) IS
	'SHA-256 of the canonical bytes of a record that was sent, its salt included: what its certificate of removal will say';

CREATE FUNCTION cpis_submission_open(local_authority text, kind text = 'delta', client_version integer = 1) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_submission_open';
REVOKE ALL ON FUNCTION cpis_submission_open(text, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_submission_open(text, text, integer) TO cpis_local_authority;
COMMENT ON FUNCTION cpis_submission_open(text, text, integer) IS
	'begin to send records of a local authority: delta, what has changed, or full, all that it has; answers the submission, to which INSERT and COPY into cpis.submission_record then add';

CREATE FUNCTION cpis_submission_apply(
	submission_id bigint = NULL,
	records integer = NULL,
	OUT file_code text,
	OUT accepted integer,
	OUT rejected integer,
	OUT ended integer,
	OUT detail_code text)
	RETURNS record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_submission_apply';
REVOKE ALL ON FUNCTION cpis_submission_apply(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_submission_apply(bigint, integer) TO cpis_local_authority;
COMMENT ON FUNCTION cpis_submission_apply(bigint, integer) IS
	'load the records of a submission, by default that which the session has opened, into the register, if it has so many; recorded; answers the file, and again the same when called again';

CREATE FUNCTION cpis_submission_answer(
	submission_id bigint,
	rejected_only boolean = false,
	OUT line_no integer,
	OUT record_code text,
	OUT detail_code text,
	OUT field text,
	OUT value text,
	OUT local_reference text)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_submission_answer';
REVOKE ALL ON FUNCTION cpis_submission_answer(bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_submission_answer(bigint, boolean) TO cpis_local_authority;
COMMENT ON FUNCTION cpis_submission_answer(bigint, boolean) IS
	'the answer to each record of a submission, in order: code, our own code for the rule that it breaks, which field does, and that as it was sent';

CREATE TYPE cpis.record_answer AS (
	submission_id bigint,
	record_code text,
	detail_code text,
	field text
);
COMMENT ON TYPE cpis.record_answer IS 'answer to one record';
COMMENT ON COLUMN cpis.record_answer.submission_id IS 'submission of the one record';
COMMENT ON COLUMN cpis.record_answer.record_code IS 'CPR06: loaded; CPR01 to CPR05, CPR07: not';
COMMENT ON COLUMN cpis.record_answer.detail_code IS 'which rule was broken';
COMMENT ON COLUMN cpis.record_answer.field IS 'by which field';

CREATE FUNCTION cpis_plan_put(
	local_authority text,
	nhs_number @extschema@.nhs_number,
	plan_type text,
	start_date date,
	end_date date = NULL,
	delete_date date = NULL,
	date_of_birth date = NULL,
	local_reference text = NULL)
	RETURNS cpis.record_answer
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_plan_put';
REVOKE ALL ON FUNCTION cpis_plan_put(text, @extschema@.nhs_number, text, date, date, date, date, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_plan_put(text, @extschema@.nhs_number, text, date, date, date, date, text) TO cpis_local_authority;
COMMENT ON FUNCTION cpis_plan_put(text, @extschema@.nhs_number, text, date, date, date, date, text) IS
	'load one record, as a submission of its own; recorded; answers as for a record of a file';

CREATE FUNCTION cpis_plan_end(
	local_authority text,
	nhs_number @extschema@.nhs_number,
	plan_type text,
	start_date date,
	end_date date = NULL)
	RETURNS cpis.record_answer
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_plan_end';
REVOKE ALL ON FUNCTION cpis_plan_end(text, @extschema@.nhs_number, text, date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_plan_end(text, @extschema@.nhs_number, text, date, date) TO cpis_local_authority;
COMMENT ON FUNCTION cpis_plan_end(text, @extschema@.nhs_number, text, date, date) IS
	'end a plan, by default today, and change nothing else of it; also where its NHS number is inactive; recorded; answers as for a record of a file';

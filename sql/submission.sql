/*
 * What authorities have sent, and how it was answered.
 */
CREATE TABLE cpis.submission (
	submission_id bigint GENERATED ALWAYS AS IDENTITY
		CONSTRAINT submission_pkey PRIMARY KEY,
	local_authority text COLLATE "C" NOT NULL
		CONSTRAINT submission_local_authority_fkey REFERENCES cpis.local_authority,
	kind text COLLATE "C" NOT NULL
		CONSTRAINT submission_kind CHECK (kind IN ('delta', 'full')),
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
	CONSTRAINT submission_answered_after_opened CHECK (answered_at >= opened_at),
	CONSTRAINT submission_answer_whole
		CHECK (num_nulls(answered_at, file_code, accepted, rejected) IN (0, 4))
);
REVOKE ALL ON TABLE cpis.submission FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.submission', '');
SELECT pg_catalog.pg_extension_config_dump('cpis.submission_submission_id_seq', '');
COMMENT ON TABLE cpis.submission IS 'uploads of authorities, and their answers; names nobody, and stays';
COMMENT ON COLUMN cpis.submission.submission_id IS 'number of the submission';
COMMENT ON COLUMN cpis.submission.local_authority IS 'authority that sent it';
COMMENT ON COLUMN cpis.submission.kind IS 'delta: what has changed; full: all that the authority has';
COMMENT ON COLUMN cpis.submission.opened_at IS 'when it was opened';
COMMENT ON COLUMN cpis.submission.answered_at IS 'when it was answered; its records are held for so many days from then on';
COMMENT ON COLUMN cpis.submission.file_code IS 'answer to the file, CPF01 to CPF06';
COMMENT ON COLUMN cpis.submission.accepted IS 'how many records were loaded';
COMMENT ON COLUMN cpis.submission.rejected IS 'how many were not';
COMMENT ON SEQUENCE cpis.submission_submission_id_seq IS 'numbers of cpis.submission.submission_id';

CREATE TABLE cpis.submission_record (
	submission_id bigint NOT NULL
		CONSTRAINT submission_record_submission_id_fkey REFERENCES cpis.submission,
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
	commitment_salt bytea NOT NULL DEFAULT cpis.random_salt()
		CONSTRAINT submission_record_commitment_salt_length CHECK (octet_length(commitment_salt) = 16),
	CONSTRAINT submission_record_pkey PRIMARY KEY (submission_id, line_no)
);
REVOKE ALL ON TABLE cpis.submission_record FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.submission_record', '');
COMMENT ON TABLE cpis.submission_record IS 'what authorities have sent, record by record, as it was sent, and how each was answered; held for its term after the answer';
COMMENT ON COLUMN cpis.submission_record.submission_id IS 'submission that it is of';
COMMENT ON COLUMN cpis.submission_record.line_no IS 'its place in that, from 1';
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
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.submission_record
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('What was answered gets no more records.');
ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_insert;

CREATE FUNCTION cpis.submission_record_commitment(record cpis.submission_record) RETURNS bytea
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'cpis_submission_record_commitment';
REVOKE ALL ON FUNCTION cpis.submission_record_commitment(cpis.submission_record) FROM PUBLIC;
COMMENT ON FUNCTION cpis.submission_record_commitment(cpis.submission_record) IS
	'SHA-256 of the canonical bytes of a record that was sent, its salt included: what its certificate of removal will say';

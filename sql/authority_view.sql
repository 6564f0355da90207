/*
 * What a local authority sees of what is its own (src/authority_view.c).
 */
CREATE FUNCTION cpis.authority_plans(
	OUT plan_id bigint,
	OUT nhs_number @extschema@.nhs_number,
	OUT plan_type text,
	OUT local_authority text,
	OUT start_date date,
	OUT end_date date,
	OUT delete_date date,
	OUT local_reference text,
	OUT submission_id bigint)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_authority_plans';
REVOKE ALL ON FUNCTION cpis.authority_plans() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.authority_plans() TO cpis_local_authority;
COMMENT ON FUNCTION cpis.authority_plans() IS 'what is behind view cpis.authority_plan';
CREATE VIEW cpis.authority_plan WITH (security_barrier) AS
	SELECT plan_id, nhs_number, plan_type, local_authority, start_date, end_date, delete_date, local_reference, submission_id
	FROM cpis.authority_plans();
REVOKE ALL ON TABLE cpis.authority_plan FROM PUBLIC;
GRANT SELECT ON TABLE cpis.authority_plan TO cpis_local_authority;
COMMENT ON VIEW cpis.authority_plan IS 'plans of the authority that are held today; who reads it is recorded; for cpis_local_authority';
COMMENT ON COLUMN cpis.authority_plan.plan_id IS 'number of the plan';
COMMENT ON COLUMN cpis.authority_plan.nhs_number IS 'NHS number of the child; of the mother for an unborn child';
COMMENT ON COLUMN cpis.authority_plan.plan_type IS 'child_protection, looked_after or unborn';
COMMENT ON COLUMN cpis.authority_plan.local_authority IS 'authority responsible';
COMMENT ON COLUMN cpis.authority_plan.start_date IS 'day on which the plan starts';
COMMENT ON COLUMN cpis.authority_plan.end_date IS 'day on which it ended; NULL while it runs';
COMMENT ON COLUMN cpis.authority_plan.delete_date IS 'day from which the record is no longer held';
COMMENT ON COLUMN cpis.authority_plan.local_reference IS 'the authority''s own reference';
COMMENT ON COLUMN cpis.authority_plan.submission_id IS 'submission that wrote it last';

CREATE FUNCTION cpis.authority_submissions(
	OUT submission_id bigint,
	OUT local_authority text,
	OUT kind text,
	OUT client_version integer,
	OUT opened_at timestamptz,
	OUT answered_at timestamptz,
	OUT file_code text,
	OUT accepted integer,
	OUT rejected integer,
	OUT ended integer,
	OUT detail_code text,
	OUT event_id bigint)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_authority_submissions';
REVOKE ALL ON FUNCTION cpis.authority_submissions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.authority_submissions() TO cpis_local_authority;
COMMENT ON FUNCTION cpis.authority_submissions() IS 'what is behind view cpis.authority_submission';
CREATE VIEW cpis.authority_submission WITH (security_barrier) AS
	SELECT submission_id, local_authority, kind, client_version, opened_at, answered_at, file_code, accepted, rejected, ended,
		detail_code, event_id
	FROM cpis.authority_submissions();
REVOKE ALL ON TABLE cpis.authority_submission FROM PUBLIC;
GRANT SELECT ON TABLE cpis.authority_submission TO cpis_local_authority;
COMMENT ON VIEW cpis.authority_submission IS 'submissions of the authority, open ones too; who reads it is recorded; for cpis_local_authority';
COMMENT ON COLUMN cpis.authority_submission.submission_id IS 'number of the submission';
COMMENT ON COLUMN cpis.authority_submission.local_authority IS 'authority that sent it';
COMMENT ON COLUMN cpis.authority_submission.kind IS 'delta, full, put or end';
COMMENT ON COLUMN cpis.authority_submission.client_version IS 'version of the client that sent it';
COMMENT ON COLUMN cpis.authority_submission.opened_at IS 'when it was opened';
COMMENT ON COLUMN cpis.authority_submission.answered_at IS 'when it was answered';
COMMENT ON COLUMN cpis.authority_submission.file_code IS 'answer to the file, CPF01 to CPF06';
COMMENT ON COLUMN cpis.authority_submission.accepted IS 'how many records were loaded';
COMMENT ON COLUMN cpis.authority_submission.rejected IS 'how many were not';
COMMENT ON COLUMN cpis.authority_submission.ended IS 'how many plans were ended because a full file does not have them';
COMMENT ON COLUMN cpis.authority_submission.detail_code IS 'why the file as a whole was refused, or ended nothing';
COMMENT ON COLUMN cpis.authority_submission.event_id IS 'event by which the answer was recorded';

CREATE FUNCTION cpis.authority_submission_records(
	OUT local_authority text,
	OUT submission_id bigint,
	OUT line_no integer,
	OUT nhs_number text,
	OUT plan_type text,
	OUT start_date text,
	OUT end_date text,
	OUT delete_date text,
	OUT date_of_birth text,
	OUT local_reference text,
	OUT record_code text,
	OUT detail_code text,
	OUT field text)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_authority_submission_records';
REVOKE ALL ON FUNCTION cpis.authority_submission_records() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.authority_submission_records() TO cpis_local_authority;
COMMENT ON FUNCTION cpis.authority_submission_records() IS 'what is behind view cpis.authority_submission_record';
CREATE VIEW cpis.authority_submission_record WITH (security_barrier) AS
	SELECT local_authority, submission_id, line_no, nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth,
		local_reference, record_code, detail_code, field
	FROM cpis.authority_submission_records();
REVOKE ALL ON TABLE cpis.authority_submission_record FROM PUBLIC;
GRANT SELECT ON TABLE cpis.authority_submission_record TO cpis_local_authority;
COMMENT ON VIEW cpis.authority_submission_record IS 'what the authority has sent, record by record, until its term ends; who reads it is recorded; for cpis_local_authority';
COMMENT ON COLUMN cpis.authority_submission_record.local_authority IS 'authority that sent it';
COMMENT ON COLUMN cpis.authority_submission_record.submission_id IS 'submission that it is of';
COMMENT ON COLUMN cpis.authority_submission_record.line_no IS 'its place in that';
COMMENT ON COLUMN cpis.authority_submission_record.nhs_number IS 'as sent';
COMMENT ON COLUMN cpis.authority_submission_record.plan_type IS 'as sent';
COMMENT ON COLUMN cpis.authority_submission_record.start_date IS 'as sent';
COMMENT ON COLUMN cpis.authority_submission_record.end_date IS 'as sent';
COMMENT ON COLUMN cpis.authority_submission_record.delete_date IS 'as sent';
COMMENT ON COLUMN cpis.authority_submission_record.date_of_birth IS 'as sent';
COMMENT ON COLUMN cpis.authority_submission_record.local_reference IS 'as sent';
COMMENT ON COLUMN cpis.authority_submission_record.record_code IS 'answer to the record, CPR01 to CPR07';
COMMENT ON COLUMN cpis.authority_submission_record.detail_code IS 'which rule was broken';
COMMENT ON COLUMN cpis.authority_submission_record.field IS 'in which column';

CREATE FUNCTION cpis.authority_notifications(
	OUT local_authority text,
	OUT notification_no bigint,
	OUT event_id bigint,
	OUT recorded_at timestamptz,
	OUT action text,
	OUT nhs_number @extschema@.nhs_number,
	OUT superseded_by @extschema@.nhs_number,
	OUT worker_name text,
	OUT job_role text,
	OUT organisation text,
	OUT organisation_name text,
	OUT care_setting text,
	OUT detail text,
	OUT leaf_hash bytea,
	OUT acknowledged boolean)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_authority_notifications';
REVOKE ALL ON FUNCTION cpis.authority_notifications() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.authority_notifications() TO cpis_local_authority;
COMMENT ON FUNCTION cpis.authority_notifications() IS 'what is behind view cpis.authority_notification';
CREATE VIEW cpis.authority_notification WITH (security_barrier) AS
	SELECT local_authority, notification_no, event_id, recorded_at, action, nhs_number, superseded_by, worker_name, job_role,
		organisation, organisation_name, care_setting, detail, leaf_hash, acknowledged
	FROM cpis.authority_notifications();
REVOKE ALL ON TABLE cpis.authority_notification FROM PUBLIC;
GRANT SELECT ON TABLE cpis.authority_notification TO cpis_local_authority;
COMMENT ON VIEW cpis.authority_notification IS 'all notices to the authority; who reads it is recorded; for cpis_local_authority';
COMMENT ON COLUMN cpis.authority_notification.local_authority IS 'authority notified';
COMMENT ON COLUMN cpis.authority_notification.notification_no IS 'number of the notice';
COMMENT ON COLUMN cpis.authority_notification.event_id IS 'the event that it is about';
COMMENT ON COLUMN cpis.authority_notification.recorded_at IS 'when that was recorded';
COMMENT ON COLUMN cpis.authority_notification.action IS 'lookup, correction or number';
COMMENT ON COLUMN cpis.authority_notification.nhs_number IS 'whom it is about';
COMMENT ON COLUMN cpis.authority_notification.superseded_by IS 'of an inactive number: that which replaces it, where that may be told';
COMMENT ON COLUMN cpis.authority_notification.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.authority_notification.job_role IS 'job role of the healthcare worker';
COMMENT ON COLUMN cpis.authority_notification.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.authority_notification.organisation_name IS 'its name';
COMMENT ON COLUMN cpis.authority_notification.care_setting IS 'care setting';
COMMENT ON COLUMN cpis.authority_notification.detail IS 'what was corrected, and why; what has become of the number';
COMMENT ON COLUMN cpis.authority_notification.leaf_hash IS 'leaf of the event in the ledger';
COMMENT ON COLUMN cpis.authority_notification.acknowledged IS 'has the authority acknowledged it?';

CREATE FUNCTION cpis.authority_accesses(
	OUT local_authority text,
	OUT accessed_at timestamptz,
	OUT worker_name text,
	OUT organisation text,
	OUT organisation_name text,
	OUT care_setting text,
	OUT job_role text,
	OUT nhs_number @extschema@.nhs_number,
	OUT plan_id bigint,
	OUT action text,
	OUT notify boolean,
	OUT event_id bigint)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_authority_accesses';
REVOKE ALL ON FUNCTION cpis.authority_accesses() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.authority_accesses() TO cpis_local_authority;
COMMENT ON FUNCTION cpis.authority_accesses() IS 'what is behind view cpis.authority_access';
CREATE VIEW cpis.authority_access WITH (security_barrier) AS
	SELECT local_authority, accessed_at, worker_name, organisation, organisation_name, care_setting, job_role, nhs_number, plan_id,
		action, notify, event_id
	FROM cpis.authority_accesses();
REVOKE ALL ON TABLE cpis.authority_access FROM PUBLIC;
GRANT SELECT ON TABLE cpis.authority_access TO cpis_local_authority;
COMMENT ON VIEW cpis.authority_access IS 'accesses to the plans of the authority that are in the register, notified or not; who reads it is recorded; for cpis_local_authority';
COMMENT ON COLUMN cpis.authority_access.local_authority IS 'authority whose plan was disclosed';
COMMENT ON COLUMN cpis.authority_access.accessed_at IS 'time and date of the access';
COMMENT ON COLUMN cpis.authority_access.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.authority_access.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.authority_access.organisation_name IS 'its name';
COMMENT ON COLUMN cpis.authority_access.care_setting IS 'care setting';
COMMENT ON COLUMN cpis.authority_access.job_role IS 'job role of the healthcare worker';
COMMENT ON COLUMN cpis.authority_access.nhs_number IS 'person looked up';
COMMENT ON COLUMN cpis.authority_access.plan_id IS 'plan that was disclosed';
COMMENT ON COLUMN cpis.authority_access.action IS 'lookup (disclosed) or flag (presence disclosed)';
COMMENT ON COLUMN cpis.authority_access.notify IS 'was the authority notified? silent look-ups and flags are not';
COMMENT ON COLUMN cpis.authority_access.event_id IS 'number of the event';

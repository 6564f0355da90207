/*
 * The audit trail: one row for everything that somebody did.
 *
 * Only the writer (src/writer.c) inserts, in the order of event_id, into
 * partitions by month of recorded_at that it makes itself.  The parent has no
 * index, key or default partition, and its triggers are for statements only:
 * whatever it had would be cloned to the partitions, which pg_dump writes out
 * as tables of their own, and restore would find it there already.
 *
 * src/audit_event.c and src/audit_row.c rely on the order of the columns.
 */

CREATE TABLE cpis.audit_event (
	event_id bigint NOT NULL,
	recorded_at timestamptz NOT NULL,
	action text NOT NULL,
	outcome text NOT NULL,
	nhs_number @extschema@.nhs_number,
	worker_name text,
	worker_id text,
	job_role text,
	system_id text,
	location text,
	request_id text,
	organisation text,
	care_setting text,
	notify boolean,
	notified_authority text[],
	notification_no bigint[],
	plan_ids bigint[],
	session_role text NOT NULL,
	effective_role text NOT NULL,
	client_addr inet,
	application_name text,
	backend_pid integer NOT NULL,
	transaction_id xid8,
	detail text,
	salt bytea NOT NULL,
	leaf_hash bytea NOT NULL
) PARTITION BY RANGE (recorded_at);
REVOKE ALL ON TABLE cpis.audit_event FROM PUBLIC;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cpis.audit_event
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('The audit trail is append-only.');
ALTER TABLE cpis.audit_event ENABLE ALWAYS TRIGGER append_only;

COMMENT ON TABLE cpis.audit_event IS 'audit trail: one row for everything that somebody did, by month, append-only';
COMMENT ON COLUMN cpis.audit_event.event_id IS 'number of the event, from 0 without gaps; the order of the trail';
COMMENT ON COLUMN cpis.audit_event.recorded_at IS 'when the writer recorded the event, by its clock';
COMMENT ON COLUMN cpis.audit_event.action IS 'what was done: lookup, flag; read, direct_read; submission, rejection, number, scope, go_live; removal, correction, hold, retention, purge; notices where somebody was refused them; key where the keys that sign checkpoints change';
COMMENT ON COLUMN cpis.audit_event.outcome IS 'found, not_found, refused or done';
COMMENT ON COLUMN cpis.audit_event.nhs_number IS 'person asked about';
COMMENT ON COLUMN cpis.audit_event.worker_name IS 'name of the healthcare worker, as given by the caller';
COMMENT ON COLUMN cpis.audit_event.worker_id IS 'identifier of the healthcare worker, as given by the caller';
COMMENT ON COLUMN cpis.audit_event.job_role IS 'job role of the healthcare worker, as given by the caller';
COMMENT ON COLUMN cpis.audit_event.system_id IS 'system or device that asked, as given by the caller';
COMMENT ON COLUMN cpis.audit_event.location IS 'where the person is being cared for, as given by the caller';
COMMENT ON COLUMN cpis.audit_event.request_id IS 'the caller''s own identifier of the request';
COMMENT ON COLUMN cpis.audit_event.organisation IS 'ODS code of the NHS organisation, as given by the caller';
COMMENT ON COLUMN cpis.audit_event.care_setting IS 'care setting, as given by the caller';
COMMENT ON COLUMN cpis.audit_event.notify IS 'was the access to be notified and shown in the shared history?';
COMMENT ON COLUMN cpis.audit_event.notified_authority IS 'authorities notified of this event';
COMMENT ON COLUMN cpis.audit_event.notification_no IS 'number of the notification of each of them, in the same order';
COMMENT ON COLUMN cpis.audit_event.plan_ids IS 'plans disclosed, or whose presence was disclosed';
COMMENT ON COLUMN cpis.audit_event.session_role IS 'role that logged in; of an event of the writer''s own (key), the writer''s';
COMMENT ON COLUMN cpis.audit_event.effective_role IS 'role that acted, after SET ROLE or inside SECURITY DEFINER';
COMMENT ON COLUMN cpis.audit_event.client_addr IS 'address of the client; NULL for a local socket';
COMMENT ON COLUMN cpis.audit_event.application_name IS 'application_name of the session';
COMMENT ON COLUMN cpis.audit_event.backend_pid IS 'process that served the caller; of an event of the writer''s own (key), the writer';
COMMENT ON COLUMN cpis.audit_event.transaction_id IS 'transaction of the caller, where it had a number';
COMMENT ON COLUMN cpis.audit_event.detail IS 'why it was refused, that the author was a device, or what else there is to say';
COMMENT ON COLUMN cpis.audit_event.salt IS '16 random bytes, so that the leaf hash tells nothing to who does not know the event';
COMMENT ON COLUMN cpis.audit_event.leaf_hash IS 'SHA-256 of a zero byte and the canonical bytes of the event (RFC 9162 section 2.1.1)';

CREATE VIEW cpis.access_event AS
	SELECT recorded_at AS accessed_at, worker_name, organisation,
		care_setting, job_role, worker_id, system_id, location, request_id,
		event_id, action, outcome, nhs_number, notify,
		notified_authority, notification_no, plan_ids,
		session_role, effective_role, client_addr, application_name, detail
	FROM cpis.audit_event
	WHERE action IN ('lookup', 'flag');
REVOKE ALL ON TABLE cpis.access_event FROM PUBLIC;
COMMENT ON VIEW cpis.access_event IS 'accesses to a person''s information: when, who, which organisation (guidance section 5.1), and the rest';
COMMENT ON COLUMN cpis.access_event.accessed_at IS 'time and date of the access';
COMMENT ON COLUMN cpis.access_event.worker_name IS 'name of the healthcare worker';
COMMENT ON COLUMN cpis.access_event.organisation IS 'ODS code of the NHS organisation';
COMMENT ON COLUMN cpis.access_event.care_setting IS 'care setting';
COMMENT ON COLUMN cpis.access_event.job_role IS 'job role of the healthcare worker';
COMMENT ON COLUMN cpis.access_event.worker_id IS 'identifier of the healthcare worker';
COMMENT ON COLUMN cpis.access_event.system_id IS 'system or device that asked';
COMMENT ON COLUMN cpis.access_event.location IS 'where the person is being cared for';
COMMENT ON COLUMN cpis.access_event.request_id IS 'the caller''s own identifier of the request';
COMMENT ON COLUMN cpis.access_event.event_id IS 'number of the event';
COMMENT ON COLUMN cpis.access_event.action IS 'lookup (plans disclosed) or flag (presence disclosed)';
COMMENT ON COLUMN cpis.access_event.outcome IS 'found, not_found or refused';
COMMENT ON COLUMN cpis.access_event.nhs_number IS 'person asked about';
COMMENT ON COLUMN cpis.access_event.notify IS 'was the access to be notified and shown in the shared history?';
COMMENT ON COLUMN cpis.access_event.notified_authority IS 'authorities notified';
COMMENT ON COLUMN cpis.access_event.notification_no IS 'number of the notification of each of them, in the same order';
COMMENT ON COLUMN cpis.access_event.plan_ids IS 'plans disclosed, or whose presence was disclosed';
COMMENT ON COLUMN cpis.access_event.session_role IS 'role that logged in';
COMMENT ON COLUMN cpis.access_event.effective_role IS 'role that acted';
COMMENT ON COLUMN cpis.access_event.client_addr IS 'address of the client';
COMMENT ON COLUMN cpis.access_event.application_name IS 'application_name of the session';
COMMENT ON COLUMN cpis.access_event.detail IS 'why it was refused, or that the author was a device';

-- Of a look-up; where it was refused, the reason comes first.
CREATE FUNCTION cpis.is_device(detail text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN COALESCE(detail = 'author: device' OR detail LIKE '%; author: device', false);
REVOKE ALL ON FUNCTION cpis.is_device(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.is_device(text) TO cpis_steward;
COMMENT ON FUNCTION cpis.is_device(text) IS 'does the detail of a look-up say that the author was a device?';

/*
 * Notices to the authorities: one for each access to a plan of theirs, with
 * numbers that have no gap, so that an authority sees when one is missing.
 *
 * Only the writer (src/writer.c) inserts.  The index is not unique: a unique
 * key that a superuser has inserted and not committed would make the writer
 * wait.  src/notification.c relies on the order of the columns and on the name
 * of the index.
 */

CREATE TABLE cpis.notification (
	local_authority text COLLATE "C" NOT NULL,
	notification_no bigint NOT NULL,
	event_id bigint NOT NULL
);
REVOKE ALL ON TABLE cpis.notification FROM PUBLIC;
CREATE INDEX notification_no_idx ON cpis.notification (local_authority, notification_no);
SELECT pg_catalog.pg_extension_config_dump('cpis.notification', '');

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.notification
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Notices are append-only.');
ALTER TABLE cpis.notification ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.notification
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Notices are append-only.');
ALTER TABLE cpis.notification ENABLE ALWAYS TRIGGER append_only_truncate;

COMMENT ON TABLE cpis.notification IS 'notices to local authorities that their information was accessed, append-only';
COMMENT ON COLUMN cpis.notification.local_authority IS 'authority notified';
COMMENT ON COLUMN cpis.notification.notification_no IS 'number of the notice, from 1 without gaps for each authority';
COMMENT ON COLUMN cpis.notification.event_id IS 'the access, see cpis.access_event';

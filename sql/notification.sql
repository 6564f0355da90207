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

/*
 * What authorities have acknowledged.  Each acknowledgement is a row of its own: a row for
 * each authority that is updated would leave dead versions that nothing can clear away
 * as long as any transaction stays open, and when they acknowledged is worth knowing.
 */
CREATE TABLE cpis.acknowledgement (
	local_authority text COLLATE "C" NOT NULL,
	acknowledged bigint NOT NULL
		CONSTRAINT acknowledgement_acknowledged_range CHECK (acknowledged >= 1),
	acknowledged_at timestamptz NOT NULL
);
REVOKE ALL ON TABLE cpis.acknowledgement FROM PUBLIC;
CREATE INDEX acknowledgement_acknowledged_idx ON cpis.acknowledgement (local_authority, acknowledged);
SELECT pg_catalog.pg_extension_config_dump('cpis.acknowledgement', '');
COMMENT ON TABLE cpis.acknowledgement IS 'up to which of its notices an authority has acknowledged them, and when, append-only; the highest number counts';
COMMENT ON COLUMN cpis.acknowledgement.local_authority IS 'the authority';
COMMENT ON COLUMN cpis.acknowledgement.acknowledged IS 'number of the last notice acknowledged';
COMMENT ON COLUMN cpis.acknowledgement.acknowledged_at IS 'when that was';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.acknowledgement
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('What was acknowledged stays so.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.acknowledgement
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('What was acknowledged stays so.');
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.acknowledgement
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_notifications_acknowledge().');
ALTER TABLE cpis.acknowledgement ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate,
	ENABLE ALWAYS TRIGGER own_insert;

CREATE VIEW cpis.notification_cursor AS
	SELECT local_authority, max(acknowledged) AS acknowledged
	FROM cpis.acknowledgement
	GROUP BY local_authority;
REVOKE ALL ON TABLE cpis.notification_cursor FROM PUBLIC;
COMMENT ON VIEW cpis.notification_cursor IS 'up to which of its notices each authority has acknowledged them; without a row, none';
COMMENT ON COLUMN cpis.notification_cursor.local_authority IS 'the authority';
COMMENT ON COLUMN cpis.notification_cursor.acknowledged IS 'number of the last notice acknowledged';

/*
 * Whether reads that do not come through the extension are recorded, too, and since when
 * (src/direct_read_switch.c).
 */
CREATE TABLE cpis.direct_read_switch (
	no integer NOT NULL,
	recorded boolean NOT NULL,
	noted_at timestamptz NOT NULL,
	event_id bigint
);
REVOKE ALL ON TABLE cpis.direct_read_switch FROM PUBLIC;
COMMENT ON TABLE cpis.direct_read_switch IS 'whether it is recorded who reads the tables directly, as far as the writer has noted; the newest row counts; append-only, not dumped';
COMMENT ON COLUMN cpis.direct_read_switch.no IS 'from 1';
COMMENT ON COLUMN cpis.direct_read_switch.recorded IS 'is it recorded from then on?';
COMMENT ON COLUMN cpis.direct_read_switch.noted_at IS 'when the writer has noted that';
COMMENT ON COLUMN cpis.direct_read_switch.event_id IS 'event by which that was recorded; the first row has none';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.direct_read_switch
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('What was noted stays so.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.direct_read_switch
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('What was noted stays so.');
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.direct_read_switch
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('The writer of the audit trail notes it.');
ALTER TABLE cpis.direct_read_switch ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate,
	ENABLE ALWAYS TRIGGER own_insert;

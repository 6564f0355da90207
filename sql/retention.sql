/*
 * Retention: what has an end is held for so many days after it, and not less.
 */

CREATE FUNCTION cpis_retain() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_retain';
REVOKE ALL ON FUNCTION cpis_retain() FROM PUBLIC;
COMMENT ON FUNCTION cpis_retain() IS
	'trigger (column, days): rows are held for so many days after the date or timestamptz in the column, the last day in England included; attach it ENABLE ALWAYS';

CREATE FUNCTION cpis_retention_set(kind text, retention_days integer, reason text = NULL) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_retention_set';
REVOKE ALL ON FUNCTION cpis_retention_set(text, integer, text) FROM PUBLIC;
COMMENT ON FUNCTION cpis_retention_set(text, integer, text) IS
	'for how many days a kind of plan, submission_record or audit_event is held; NULL is without end; shorter needs a reason; answers the event';

CREATE FUNCTION cpis.retention_days(kind text) RETURNS integer
	LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_retention_days';
REVOKE ALL ON FUNCTION cpis.retention_days(text) FROM PUBLIC;
COMMENT ON FUNCTION cpis.retention_days(text) IS
	'for how many days a kind of plan, submission_record or audit_event is held; NULL where that is without end';

CREATE FUNCTION cpis_plan_correct(
	plan_id bigint,
	reason text,
	start_date date = NULL,
	end_date date = NULL,
	delete_date date = NULL)
	RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_plan_correct';
REVOKE ALL ON FUNCTION cpis_plan_correct(bigint, text, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION cpis_plan_correct(bigint, text, date, date, date) IS
	'correct a plan that was added in error or has wrong dates: those given are set, infinity takes one away; recorded, and the authority is told; answers the event';

CREATE TABLE cpis.correction (
	event_id bigint NOT NULL
		CONSTRAINT correction_pkey PRIMARY KEY,
	plan_id bigint NOT NULL,
	corrected_at timestamptz NOT NULL
);
REVOKE ALL ON TABLE cpis.correction FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.correction', '');
COMMENT ON TABLE cpis.correction IS 'corrections of plans that were made, append-only; an event of one without a row here did not commit';
COMMENT ON COLUMN cpis.correction.event_id IS 'event by which it was recorded';
COMMENT ON COLUMN cpis.correction.plan_id IS 'the plan, which may have been removed since';
COMMENT ON COLUMN cpis.correction.corrected_at IS 'when it was corrected';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.correction
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('What was corrected stays so.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.correction
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('What was corrected stays so.');
ALTER TABLE cpis.correction ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.correction
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_plan_correct().');
ALTER TABLE cpis.correction ENABLE ALWAYS TRIGGER own_insert;

/*
 * Holds.
 */
CREATE TABLE cpis.hold (
	hold_id bigint GENERATED ALWAYS AS IDENTITY
		CONSTRAINT hold_pkey PRIMARY KEY,
	nhs_number @extschema@.nhs_number,
	local_authority text COLLATE "C",
	reason text NOT NULL,
	placed_at timestamptz NOT NULL,
	placed_event bigint NOT NULL,
	released_at timestamptz,
	release_reason text,
	released_event bigint,
	salt bytea NOT NULL DEFAULT cpis.random_salt()
		CONSTRAINT hold_salt_length CHECK (octet_length(salt) = 16),
	CONSTRAINT hold_one_scope CHECK (nhs_number IS NULL OR local_authority IS NULL),
	CONSTRAINT hold_release_whole
		CHECK (num_nulls(released_at, release_reason, released_event) IN (0, 3))
);
REVOKE ALL ON TABLE cpis.hold FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.hold', '');
SELECT pg_catalog.pg_extension_config_dump('cpis.hold_hold_id_seq', '');
COMMENT ON TABLE cpis.hold IS 'holds: what is not to be removed though its term has ended';
COMMENT ON COLUMN cpis.hold.hold_id IS 'number of the hold';
COMMENT ON COLUMN cpis.hold.nhs_number IS 'on records of this number; where there is neither number nor authority, on everything';
COMMENT ON COLUMN cpis.hold.local_authority IS 'on records of this authority';
COMMENT ON COLUMN cpis.hold.reason IS 'why it was placed';
COMMENT ON COLUMN cpis.hold.placed_at IS 'when it was placed';
COMMENT ON COLUMN cpis.hold.placed_event IS 'event by which that was recorded';
COMMENT ON COLUMN cpis.hold.released_at IS 'when it was released; NULL while it is in force';
COMMENT ON COLUMN cpis.hold.release_reason IS 'why it was released';
COMMENT ON COLUMN cpis.hold.released_event IS 'event by which that was recorded';
COMMENT ON COLUMN cpis.hold.salt IS '16 random bytes, so that events of removals can name the holds in force without telling on whom they are';
COMMENT ON SEQUENCE cpis.hold_hold_id_seq IS 'numbers of cpis.hold.hold_id';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.hold
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Use cpis_hold_release().');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.hold
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Use cpis_hold_release().');
ALTER TABLE cpis.hold ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.hold
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_hold_place().');
ALTER TABLE cpis.hold ENABLE ALWAYS TRIGGER own_insert;

CREATE FUNCTION cpis_hold_place(
	reason text,
	nhs_number @extschema@.nhs_number = NULL,
	local_authority text = NULL,
	everything boolean = false)
	RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_hold_place';
REVOKE ALL ON FUNCTION cpis_hold_place(text, @extschema@.nhs_number, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION cpis_hold_place(text, @extschema@.nhs_number, text, boolean) IS
	'place a hold on the records of one NHS number, of one local authority, or on all: the purge leaves them; recorded; answers the number of the hold';

CREATE FUNCTION cpis_hold_release(hold_id bigint, reason text) RETURNS void
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_hold_release';
REVOKE ALL ON FUNCTION cpis_hold_release(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION cpis_hold_release(bigint, text) IS 'release a hold; recorded';

/*
 * Removal.
 */
CREATE TABLE cpis.removal (
	event_id bigint NOT NULL,
	leaf_index integer NOT NULL,
	kind text COLLATE "C" NOT NULL,
	local_authority text COLLATE "C" NOT NULL,
	due_on date NOT NULL,
	retention_days integer,
	commitment bytea NOT NULL
		CONSTRAINT removal_commitment_length CHECK (octet_length(commitment) = 32),
	removed_at timestamptz NOT NULL
);
REVOKE ALL ON TABLE cpis.removal FROM PUBLIC;
-- Rows come in this order and stay; with a btree, the purge took a third longer.
CREATE INDEX removal_event_id_idx ON cpis.removal USING brin (event_id);
SELECT pg_catalog.pg_extension_config_dump('cpis.removal', '');
COMMENT ON TABLE cpis.removal IS 'certificates: one for each record that was removed, append-only';
COMMENT ON COLUMN cpis.removal.event_id IS 'event of the removal, which says how many records went and the root over their certificates';
COMMENT ON COLUMN cpis.removal.leaf_index IS 'place of the certificate under that root, from 0';
COMMENT ON COLUMN cpis.removal.kind IS 'kind of plan, or submission_record';
COMMENT ON COLUMN cpis.removal.local_authority IS 'authority that owned the record';
COMMENT ON COLUMN cpis.removal.due_on IS 'first day on which it was not held';
COMMENT ON COLUMN cpis.removal.retention_days IS 'days after its end date, or after its answer, for which it was held; NULL where the delete date decided';
COMMENT ON COLUMN cpis.removal.commitment IS 'SHA-256 of the canonical bytes of the record, its salt included (src/plan_record.c, src/submission_record.c)';
COMMENT ON COLUMN cpis.removal.removed_at IS 'when it was removed';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.removal
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Certificates are append-only.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.removal
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Certificates are append-only.');
ALTER TABLE cpis.removal ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.removal
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('The purge makes them.');
ALTER TABLE cpis.removal ENABLE ALWAYS TRIGGER own_insert;

CREATE TABLE cpis.purge_failure (
	plan_id bigint,
	submission_id bigint,
	line_no integer,
	failed_at timestamptz NOT NULL,
	sqlstate text NOT NULL,
	CONSTRAINT purge_failure_one_record UNIQUE NULLS NOT DISTINCT (plan_id, submission_id, line_no),
	CONSTRAINT purge_failure_plan_or_line
		CHECK (num_nulls(submission_id, line_no) = CASE WHEN plan_id IS NULL THEN 0 ELSE 2 END)
);
REVOKE ALL ON TABLE cpis.purge_failure FROM PUBLIC;
COMMENT ON TABLE cpis.purge_failure IS 'records that are due and could not be removed';
COMMENT ON COLUMN cpis.purge_failure.plan_id IS 'the plan; NULL where it is what an authority has sent';
COMMENT ON COLUMN cpis.purge_failure.submission_id IS 'else the submission';
COMMENT ON COLUMN cpis.purge_failure.line_no IS 'and its line';
COMMENT ON COLUMN cpis.purge_failure.failed_at IS 'when that was last tried';
COMMENT ON COLUMN cpis.purge_failure.sqlstate IS 'with which error';
CREATE TRIGGER own_change BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON cpis.purge_failure
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('The purge notes what it could not remove.');
ALTER TABLE cpis.purge_failure ENABLE ALWAYS TRIGGER own_change;
-- Without a key, a publication of all tables would refuse to have rows changed.
ALTER TABLE cpis.purge_failure REPLICA IDENTITY FULL;

CREATE TABLE cpis.purge_switch (
	database oid NOT NULL
		CONSTRAINT purge_switch_pkey PRIMARY KEY,
	automatic boolean NOT NULL DEFAULT false,
	automatic_event bigint,
	paused boolean NOT NULL DEFAULT false,
	paused_event bigint
);
REVOKE ALL ON TABLE cpis.purge_switch FROM PUBLIC;
COMMENT ON TABLE cpis.purge_switch IS 'whether the purge runs by itself in this database, and whether it is paused; not dumped';
COMMENT ON COLUMN cpis.purge_switch.database IS 'OID of the database: in a copy of it the row does not count';
COMMENT ON COLUMN cpis.purge_switch.automatic IS 'does the purge run by itself?';
COMMENT ON COLUMN cpis.purge_switch.automatic_event IS 'event by which that was recorded';
COMMENT ON COLUMN cpis.purge_switch.paused IS 'does every purge end after its batch, and none begin?';
COMMENT ON COLUMN cpis.purge_switch.paused_event IS 'event by which that was recorded';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.purge_switch
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Use cpis_purge_automatic() and cpis_purge_pause().');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.purge_switch
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Use cpis_purge_automatic() and cpis_purge_pause().');
ALTER TABLE cpis.purge_switch ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.purge_switch
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_purge_automatic() and cpis_purge_pause().');
ALTER TABLE cpis.purge_switch ENABLE ALWAYS TRIGGER own_insert;

CREATE PROCEDURE cpis_purge(batch_size integer = 1000, max_rate integer = NULL)
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_purge';
REVOKE ALL ON PROCEDURE cpis_purge(integer, integer) FROM PUBLIC;
COMMENT ON PROCEDURE cpis_purge(integer, integer) IS
	'remove plans, and what authorities have sent, whose term has ended, with a certificate each: so many a transaction, up to so many a second; then months of the trail';

CREATE FUNCTION cpis_purge_automatic(switch_on boolean) RETURNS void
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_purge_automatic';
REVOKE ALL ON FUNCTION cpis_purge_automatic(boolean) FROM PUBLIC;
COMMENT ON FUNCTION cpis_purge_automatic(boolean) IS
	'shall the purge run by itself in this database every cpis.purge_interval, where the library is preloaded? recorded';

CREATE FUNCTION cpis_purge_pause(pause boolean) RETURNS void
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_purge_pause';
REVOKE ALL ON FUNCTION cpis_purge_pause(boolean) FROM PUBLIC;
COMMENT ON FUNCTION cpis_purge_pause(boolean) IS
	'shall every purge in this database end after its batch, and none begin? recorded';

CREATE FUNCTION cpis_purge_preview(
	as_of timestamptz = now(),
	OUT plan_id bigint,
	OUT plan_type text,
	OUT local_authority text,
	OUT due_on date,
	OUT retention_days integer,
	OUT hold_id bigint)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_purge_preview';
REVOKE ALL ON FUNCTION cpis_purge_preview(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION cpis_purge_preview(timestamptz) IS
	'plans that are due at this time under the present policy: since when, after how many days (NULL: the delete date decided), and the hold that keeps them (NULL: they would be removed)';

CREATE FUNCTION cpis.removal_bytes(kind text, local_authority text, due_on date, retention_days integer, commitment bytea)
	RETURNS bytea
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cpis_removal_bytes';
REVOKE ALL ON FUNCTION cpis.removal_bytes(text, text, date, integer, bytea) FROM PUBLIC;
COMMENT ON FUNCTION cpis.removal_bytes(text, text, date, integer, bytea) IS 'canonical bytes of a certificate of removal';

CREATE FUNCTION cpis.removal_tree(certificates bytea[], leaf_index integer, OUT root bytea, OUT proof bytea[])
	RETURNS record
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'cpis_removal_tree';
REVOKE ALL ON FUNCTION cpis.removal_tree(bytea[], integer) FROM PUBLIC;
COMMENT ON FUNCTION cpis.removal_tree(bytea[], integer) IS 'root over the canonical bytes of certificates, and the proof that one is under it';

CREATE TYPE cpis.removal_proof AS (
	event_id bigint,
	removed_at timestamptz,
	due_on date,
	retention_days integer,
	certificate bytea,
	leaf_index integer,
	tree_size integer,
	proof bytea[],
	root bytea
);
COMMENT ON TYPE cpis.removal_proof IS 'certificate of a removal, and the proof that leads to the root in the event of it';
COMMENT ON COLUMN cpis.removal_proof.event_id IS 'event of the removal';
COMMENT ON COLUMN cpis.removal_proof.removed_at IS 'when it was removed';
COMMENT ON COLUMN cpis.removal_proof.due_on IS 'first day on which it was not held';
COMMENT ON COLUMN cpis.removal_proof.retention_days IS 'days for which it was held; NULL where the delete date decided';
COMMENT ON COLUMN cpis.removal_proof.certificate IS 'canonical bytes of the certificate (src/removal.c)';
COMMENT ON COLUMN cpis.removal_proof.leaf_index IS 'its place in the tree of the removal, from 0';
COMMENT ON COLUMN cpis.removal_proof.tree_size IS 'how many certificates that tree has';
COMMENT ON COLUMN cpis.removal_proof.proof IS 'hashes from the leaf''s sibling up, for cpis_verify_inclusion()';
COMMENT ON COLUMN cpis.removal_proof.root IS 'root of the tree, which the event names';

CREATE FUNCTION cpis.removal_of(commitment bytea) RETURNS SETOF cpis.removal_proof
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT r.event_id, r.removed_at, r.due_on, r.retention_days,
		batch.certificates[r.leaf_index + 1], r.leaf_index, cardinality(batch.certificates), tree.proof, tree.root
	FROM cpis.removal r
		CROSS JOIN LATERAL (
			SELECT array_agg(cpis.removal_bytes(s.kind, s.local_authority, s.due_on, s.retention_days, s.commitment)
							 ORDER BY s.leaf_index)
			FROM cpis.removal s WHERE s.event_id = r.event_id) AS batch (certificates)
		CROSS JOIN LATERAL cpis.removal_tree(batch.certificates, r.leaf_index) AS tree
	WHERE r.commitment = removal_of.commitment;
END;
REVOKE ALL ON FUNCTION cpis.removal_of(bytea) FROM PUBLIC;
COMMENT ON FUNCTION cpis.removal_of(bytea) IS 'what is behind cpis_removal_prove()';

CREATE FUNCTION cpis_removal_prove(record cpis.plan) RETURNS SETOF cpis.removal_proof
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT r.event_id, r.removed_at, r.due_on, r.retention_days, r.certificate, r.leaf_index, r.tree_size, r.proof, r.root
	FROM cpis.removal_of(cpis.plan_commitment(record)) r;
END;
REVOKE ALL ON FUNCTION cpis_removal_prove(cpis.plan) FROM PUBLIC;
COMMENT ON FUNCTION cpis_removal_prove(cpis.plan) IS
	'was this very record removed? its certificate, and the proof that leads to the root in the event of the removal; no row where it was not';

CREATE FUNCTION cpis_removal_prove(record cpis.submission_record) RETURNS SETOF cpis.removal_proof
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT r.event_id, r.removed_at, r.due_on, r.retention_days, r.certificate, r.leaf_index, r.tree_size, r.proof, r.root
	FROM cpis.removal_of(cpis.submission_record_commitment(record)) r;
END;
REVOKE ALL ON FUNCTION cpis_removal_prove(cpis.submission_record) FROM PUBLIC;
COMMENT ON FUNCTION cpis_removal_prove(cpis.submission_record) IS
	'the same for a record that an authority had sent';

/*
 * What authorities have sent.
 */
CREATE FUNCTION cpis.submission_due(
	as_of timestamptz,
	OUT submission_id bigint,
	OUT local_authority text,
	OUT due_on date,
	OUT retention_days integer)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT answered.submission_id, answered.local_authority, answered.due_on, answered.retention_days
	FROM (SELECT s.submission_id, s.local_authority, term.retention_days,
			  (s.answered_at AT TIME ZONE 'Europe/London')::date + term.retention_days + 1 AS due_on
		  FROM cpis.submission s
			  CROSS JOIN (SELECT cpis.retention_days('submission_record')) AS term (retention_days)) AS answered
	WHERE (as_of AT TIME ZONE 'Europe/London')::date >= answered.due_on
		AND EXISTS (SELECT FROM cpis.submission_record r WHERE r.submission_id = answered.submission_id);
END;
REVOKE ALL ON FUNCTION cpis.submission_due(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION cpis.submission_due(timestamptz) IS
	'submissions with records that are due at this time: since when, and after how many days';

CREATE FUNCTION cpis_purge_preview_submissions(
	as_of timestamptz = now(),
	OUT submission_id bigint,
	OUT local_authority text,
	OUT records bigint,
	OUT due_on date,
	OUT retention_days integer,
	OUT held_back bigint,
	OUT hold_id bigint)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	-- As HoldsFind() in src/hold.c, of many records at a time.
	SELECT d.submission_id, d.local_authority, count(*), d.due_on, d.retention_days,
		count(COALESCE(e.hold_id, n.hold_id, a.hold_id)), min(COALESCE(e.hold_id, n.hold_id, a.hold_id))
	FROM cpis.submission_due(as_of) d
		JOIN cpis.submission_record r ON r.submission_id = d.submission_id
		CROSS JOIN (SELECT max(h.hold_id) FROM cpis.hold h
					WHERE h.released_at IS NULL AND h.nhs_number IS NULL AND h.local_authority IS NULL) AS e (hold_id)
		-- As bigint, for pg_upgrade makes functions before operator classes, without which nhs_number has no GROUP BY.
		LEFT JOIN (SELECT h.nhs_number::bigint, max(h.hold_id) FROM cpis.hold h
				   WHERE h.released_at IS NULL GROUP BY h.nhs_number::bigint) AS n (nhs_number, hold_id)
			ON n.nhs_number = @extschema@.nhs_number_try(r.nhs_number)::bigint
		LEFT JOIN (SELECT h.local_authority, max(h.hold_id) FROM cpis.hold h
				   WHERE h.released_at IS NULL GROUP BY h.local_authority) AS a (local_authority, hold_id)
			ON a.local_authority = d.local_authority
	GROUP BY d.submission_id, d.local_authority, d.due_on, d.retention_days
	ORDER BY d.submission_id;
END;
REVOKE ALL ON FUNCTION cpis_purge_preview_submissions(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION cpis_purge_preview_submissions(timestamptz) IS
	'submissions with records that are due at this time: how many, since when, after how many days, and how many of them a hold keeps, and the first such hold';

/*
 * Months of the trail.  None goes unless cpis_retention_set('audit_event', ...) has
 * set a term.
 */
CREATE TABLE cpis.removed_month (
	month text COLLATE "C" NOT NULL
		CONSTRAINT removed_month_pkey PRIMARY KEY,
	first_event bigint NOT NULL,
	last_event bigint NOT NULL,
	due_on date NOT NULL,
	retention_days integer NOT NULL,
	removed_at timestamptz NOT NULL,
	event_id bigint NOT NULL
);
REVOKE ALL ON TABLE cpis.removed_month FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.removed_month', '');
COMMENT ON TABLE cpis.removed_month IS 'months of the trail that were removed, append-only';
COMMENT ON COLUMN cpis.removed_month.month IS 'year and month, UTC';
COMMENT ON COLUMN cpis.removed_month.first_event IS 'number of its first event';
COMMENT ON COLUMN cpis.removed_month.last_event IS 'number of its last event';
COMMENT ON COLUMN cpis.removed_month.due_on IS 'first day on which the month was not held';
COMMENT ON COLUMN cpis.removed_month.retention_days IS 'days for which events were held';
COMMENT ON COLUMN cpis.removed_month.removed_at IS 'when it was removed';
COMMENT ON COLUMN cpis.removed_month.event_id IS 'event by which that was recorded';

CREATE TABLE cpis.event_count (
	month text COLLATE "C" NOT NULL,
	action text NOT NULL,
	outcome text NOT NULL,
	organisation text,
	care_setting text,
	notify boolean,
	events bigint NOT NULL
);
REVOKE ALL ON TABLE cpis.event_count FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.event_count', '');
COMMENT ON TABLE cpis.event_count IS 'how many events there were in months of the trail that were removed, append-only';
COMMENT ON COLUMN cpis.event_count.month IS 'year and month, UTC';
COMMENT ON COLUMN cpis.event_count.action IS 'what was done';
COMMENT ON COLUMN cpis.event_count.outcome IS 'found, not_found, refused or done';
COMMENT ON COLUMN cpis.event_count.organisation IS 'ODS code of the NHS organisation; NULL: none, or not found in the register when the look-up was asked for';
COMMENT ON COLUMN cpis.event_count.care_setting IS 'care setting; NULL: likewise';
COMMENT ON COLUMN cpis.event_count.notify IS 'was the access to be notified?';
COMMENT ON COLUMN cpis.event_count.events IS 'how many such events there were';

CREATE TABLE cpis.kept_event (
	event_id bigint NOT NULL
		CONSTRAINT kept_event_pkey PRIMARY KEY,
	recorded_at timestamptz NOT NULL,
	action text NOT NULL,
	detail text,
	event_bytes bytea NOT NULL
);
REVOKE ALL ON TABLE cpis.kept_event FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.kept_event', '');
COMMENT ON TABLE cpis.kept_event IS 'events of removed months that something leans on - removals, policies, keys - and that name no person; append-only';
COMMENT ON COLUMN cpis.kept_event.event_id IS 'number of the event';
COMMENT ON COLUMN cpis.kept_event.recorded_at IS 'when it was recorded';
COMMENT ON COLUMN cpis.kept_event.action IS 'what was done';
COMMENT ON COLUMN cpis.kept_event.detail IS 'what there is to say of it';
COMMENT ON COLUMN cpis.kept_event.event_bytes IS 'its canonical bytes, as cpis_event_bytes() answered them';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.removed_month
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('What was removed stays so.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.removed_month
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('What was removed stays so.');
ALTER TABLE cpis.removed_month ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.removed_month
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('The purge does it.');
ALTER TABLE cpis.removed_month ENABLE ALWAYS TRIGGER own_insert;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.event_count
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('What was counted stays so.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.event_count
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('What was counted stays so.');
ALTER TABLE cpis.event_count ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.event_count
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('The purge counts.');
ALTER TABLE cpis.event_count ENABLE ALWAYS TRIGGER own_insert;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.kept_event
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('The audit trail is append-only.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.kept_event
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('The audit trail is append-only.');
ALTER TABLE cpis.kept_event ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.kept_event
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('The purge keeps them.');
ALTER TABLE cpis.kept_event ENABLE ALWAYS TRIGGER own_insert;

CREATE FUNCTION cpis.event_bytes(event_id bigint) RETURNS bytea
	LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_event_bytes';
REVOKE ALL ON FUNCTION cpis.event_bytes(bigint) FROM PUBLIC;
COMMENT ON FUNCTION cpis.event_bytes(bigint) IS 'cpis_event_bytes(), for the extension itself';

CREATE FUNCTION cpis.month_events(OUT partition oid, OUT first_event bigint, OUT last_event bigint)
	RETURNS SETOF record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_month_events';
REVOKE ALL ON FUNCTION cpis.month_events() FROM PUBLIC;
COMMENT ON FUNCTION cpis.month_events() IS 'first and last event of each month that has any';

CREATE FUNCTION cpis.trail_months(
	as_of timestamptz,
	OUT month text,
	OUT partition oid,
	OUT first_event bigint,
	OUT last_event bigint,
	OUT due_on date,
	OUT retention_days integer,
	OUT obstacle text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT m.month, m.partition, m.first_event, m.last_event, m.due_on, m.retention_days,
		CASE
			WHEN m.due_on IS NULL THEN 'no term is set'
			WHEN (as_of AT TIME ZONE 'Europe/London')::date < m.due_on THEN 'its time has not run'
			WHEN EXISTS (SELECT FROM cpis.month_events() o WHERE o.partition <> m.partition
						 AND o.first_event < m.first_event) THEN 'an older month is there'
			WHEN EXISTS (SELECT FROM cpis.month_events() o WHERE o.partition <> m.partition
						 AND o.first_event < m.last_event) THEN 'its events and those of another month are mixed'
			WHEN m.first_event <> (SELECT COALESCE(max(r.last_event) + 1, 0) FROM cpis.removed_month r)
				THEN 'events before it are missing'
			WHEN m.last_event >= (SELECT COALESCE(max(t.tile) + 1, 0) * 256 FROM cpis.ledger_tile t WHERE t.level = 0)
				THEN 'its last event is in no full tile yet'
			-- The first hour of a month in England may be the last of one in UTC: that month is summarised as a whole.
			WHEN (SELECT (date_trunc('month', e.recorded_at AT TIME ZONE 'Europe/London') + interval '1 month')::date > (as_of AT TIME ZONE 'Europe/London')::date
				  FROM cpis.audit_event e WHERE e.event_id = m.last_event AND e.recorded_at >= m.begins AND e.recorded_at < m.ends)
				THEN 'its last event is of a month that is not over in England'
			WHEN EXISTS (SELECT FROM cpis.notification n
							LEFT JOIN cpis.notification_cursor c ON c.local_authority = n.local_authority
						 WHERE n.event_id BETWEEN m.first_event AND m.last_event
							AND n.notification_no > COALESCE(c.acknowledged, 0))
				THEN 'notices of it are not acknowledged'
			ELSE (SELECT format('hold %s', min(h.hold_id))
				  FROM cpis.hold h
				  WHERE h.released_at IS NULL
					AND CASE
						WHEN h.nhs_number IS NOT NULL THEN EXISTS (
							SELECT FROM cpis.audit_event e
							WHERE e.nhs_number = h.nhs_number AND e.recorded_at >= m.begins AND e.recorded_at < m.ends)
						WHEN h.local_authority IS NOT NULL THEN EXISTS (
							SELECT FROM cpis.notification n
							WHERE n.local_authority = h.local_authority
								AND n.event_id BETWEEN m.first_event AND m.last_event)
						ELSE true END
				  HAVING count(*) > 0)
		END
	FROM (
		SELECT b.month, b.partition, b.first_event, b.last_event, b.begins, b.ends, term.retention_days,
			((b.ends - interval '1 microsecond') AT TIME ZONE 'Europe/London')::date + term.retention_days + 1 AS due_on
		FROM (
			SELECT to_char(s.start, 'YYYY-MM') AS month, s.partition, s.first_event, s.last_event,
				s.start AT TIME ZONE 'UTC' AS begins, (s.start + interval '1 month') AT TIME ZONE 'UTC' AS ends
			FROM (
				SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AS start, e.partition, e.first_event, e.last_event
				FROM cpis.month_events() e JOIN pg_class c ON c.oid = e.partition) AS s) AS b
			CROSS JOIN (SELECT cpis.retention_days('audit_event')) AS term (retention_days)) AS m;
END;
REVOKE ALL ON FUNCTION cpis.trail_months(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION cpis.trail_months(timestamptz) IS 'what is behind cpis_purge_preview_months()';

CREATE FUNCTION cpis_purge_preview_months(
	as_of timestamptz = now(),
	OUT month text,
	OUT events bigint,
	OUT due_on date,
	OUT obstacle text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT m.month, m.last_event - m.first_event + 1, m.due_on, m.obstacle
	FROM cpis.trail_months(as_of) m ORDER BY m.first_event;
END;
REVOKE ALL ON FUNCTION cpis_purge_preview_months(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION cpis_purge_preview_months(timestamptz) IS
	'months of the trail, oldest first: how many events, from when on they may be removed, and what keeps them at this time (NULL: nothing does)';

/*
 * What there is to see.
 */
CREATE FUNCTION cpis.stat_retention(
	OUT due bigint,
	OUT oldest_due_on date,
	OUT held_back bigint,
	OUT failed bigint,
	OUT removed bigint,
	OUT last_removed_at timestamptz,
	OUT automatic boolean,
	OUT paused boolean)
	RETURNS record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT plans.due + sent.due, LEAST(plans.oldest_due_on, sent.oldest_due_on), plans.held_back + sent.held_back,
		failures.failed, removals.removed, removals.last_removed_at, COALESCE(switch.automatic, false), COALESCE(switch.paused, false)
	FROM (SELECT count(*) FILTER (WHERE p.hold_id IS NULL), min(p.due_on) FILTER (WHERE p.hold_id IS NULL),
			  count(p.hold_id)
		  FROM @extschema@.cpis_purge_preview() p) AS plans (due, oldest_due_on, held_back)
		CROSS JOIN (
			SELECT COALESCE(sum(p.records - p.held_back), 0)::bigint, min(p.due_on) FILTER (WHERE p.records > p.held_back),
				COALESCE(sum(p.held_back), 0)::bigint
			FROM @extschema@.cpis_purge_preview_submissions() p) AS sent (due, oldest_due_on, held_back)
		CROSS JOIN (SELECT count(*) FROM cpis.purge_failure) AS failures (failed)
		CROSS JOIN (SELECT count(*), max(r.removed_at) FROM cpis.removal r) AS removals (removed, last_removed_at)
		LEFT JOIN (SELECT s.automatic, s.paused FROM cpis.purge_switch s
				   WHERE s.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
			AS switch (automatic, paused) ON true;
END;
REVOKE ALL ON FUNCTION cpis.stat_retention() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.stat_retention() TO pg_monitor;
COMMENT ON FUNCTION cpis.stat_retention() IS 'what is behind view cpis_stat_retention';

CREATE VIEW cpis_stat_retention AS
	SELECT due, oldest_due_on, held_back, failed, removed, last_removed_at, automatic, paused
	FROM cpis.stat_retention();
REVOKE ALL ON TABLE cpis_stat_retention FROM PUBLIC;
GRANT SELECT ON TABLE cpis_stat_retention TO pg_monitor;
COMMENT ON VIEW cpis_stat_retention IS 'what is to be removed, what is held back, and what has been removed';
COMMENT ON COLUMN cpis_stat_retention.due IS 'records, plans and what authorities have sent, that are due and have no hold on them';
COMMENT ON COLUMN cpis_stat_retention.oldest_due_on IS 'since when the oldest of them is due';
COMMENT ON COLUMN cpis_stat_retention.held_back IS 'records that are due and have a hold on them';
COMMENT ON COLUMN cpis_stat_retention.failed IS 'records that the last purge could not remove, see cpis.purge_failure';
COMMENT ON COLUMN cpis_stat_retention.removed IS 'certificates of removal';
COMMENT ON COLUMN cpis_stat_retention.last_removed_at IS 'when a record was last removed';
COMMENT ON COLUMN cpis_stat_retention.automatic IS 'has cpis_purge_automatic() switched the purge on in this database?';
COMMENT ON COLUMN cpis_stat_retention.paused IS 'has cpis_purge_pause() paused it?';

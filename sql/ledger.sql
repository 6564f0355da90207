/*
 * The ledger: every event is a leaf of one Merkle tree (RFC 9162, SHA-256), so
 * that nobody changes the past unseen.
 *
 * Only the writer (src/writer.c) inserts, tiles and events in one transaction.
 * src/ledger.c relies on the order of the columns and on the names of the
 * indexes.  These are not unique: a unique key that a superuser has inserted
 * and not committed would make the writer wait.
 */

CREATE TABLE cpis.ledger (
	origin text COLLATE "C" NOT NULL,
	created_at timestamptz NOT NULL
);
REVOKE ALL ON TABLE cpis.ledger FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('cpis.ledger', '');
COMMENT ON TABLE cpis.ledger IS 'the ledger: one row, made with the first event or checkpoint, append-only';
COMMENT ON COLUMN cpis.ledger.origin IS 'name of the ledger in its checkpoints: cpis.log_origin when it was made, else random';
COMMENT ON COLUMN cpis.ledger.created_at IS 'when it was made';

CREATE TABLE cpis.ledger_tile (
	level smallint NOT NULL,
	tile bigint NOT NULL,
	hashes bytea NOT NULL,
	root bytea NOT NULL
);
ALTER TABLE cpis.ledger_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
REVOKE ALL ON TABLE cpis.ledger_tile FROM PUBLIC;
-- With the roots: those of a level are read together, and lie far apart in the table.
CREATE INDEX ledger_tile_idx ON cpis.ledger_tile (level, tile) INCLUDE (root);
SELECT pg_catalog.pg_extension_config_dump('cpis.ledger_tile', '');
COMMENT ON TABLE cpis.ledger_tile IS 'full tiles of the tree (C2SP tlog-tiles), permanent, append-only';
COMMENT ON COLUMN cpis.ledger_tile.level IS '0: leaf hashes; above: roots of the tiles of the level below';
COMMENT ON COLUMN cpis.ledger_tile.tile IS 'number of the tile in its level, from 0';
COMMENT ON COLUMN cpis.ledger_tile.hashes IS '256 hashes of 32 bytes; of level 0, those of events 256 * tile to 256 * tile + 255';
COMMENT ON COLUMN cpis.ledger_tile.root IS 'root of the tree over these hashes, 32 bytes';

CREATE TABLE cpis.checkpoint (
	tree_size bigint NOT NULL,
	root bytea NOT NULL,
	note text COLLATE "C" NOT NULL,
	verifier_keys text[] COLLATE "C" NOT NULL,
	at timestamptz NOT NULL,
	seal bytea NOT NULL
);
REVOKE ALL ON TABLE cpis.checkpoint FROM PUBLIC;
CREATE INDEX checkpoint_tree_size_idx ON cpis.checkpoint (tree_size);
-- The newest that is signed may be long ago.
CREATE INDEX checkpoint_signed_idx ON cpis.checkpoint (tree_size) WHERE verifier_keys <> '{}';
SELECT pg_catalog.pg_extension_config_dump('cpis.checkpoint', '');
COMMENT ON TABLE cpis.checkpoint IS 'checkpoints of the ledger: those handed out, one a minute while it grows, one when the writer leaves; each sealed with the one before it; append-only';
COMMENT ON COLUMN cpis.checkpoint.tree_size IS 'number of events covered: 0 to tree_size - 1';
COMMENT ON COLUMN cpis.checkpoint.root IS 'root of the tree over them, 32 bytes';
COMMENT ON COLUMN cpis.checkpoint.note IS 'the checkpoint as handed out (C2SP tlog-checkpoint): a signed note, or its three lines where there was no key';
COMMENT ON COLUMN cpis.checkpoint.verifier_keys IS 'keys that signed it, as cpis_checkpoint_verify() takes them; empty where there was none';
COMMENT ON COLUMN cpis.checkpoint.at IS 'when it was made';
COMMENT ON COLUMN cpis.checkpoint.seal IS 'SHA-256, 32 bytes, over "cpis/checkpoint/1", line feed, the seal of the checkpoint before, at, note; before the first stands SHA-256 over "cpis/ledger/1", line feed, created_at and origin of cpis.ledger; times are microseconds since 1970 UTC, eight bytes, big-endian';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.ledger
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('The ledger is append-only.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.ledger
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('The ledger is append-only.');
ALTER TABLE cpis.ledger ENABLE ALWAYS TRIGGER append_only,
	ENABLE ALWAYS TRIGGER append_only_truncate;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.ledger_tile
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('The ledger is append-only.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.ledger_tile
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('The ledger is append-only.');
ALTER TABLE cpis.ledger_tile ENABLE ALWAYS TRIGGER append_only,
	ENABLE ALWAYS TRIGGER append_only_truncate;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.checkpoint
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('The ledger is append-only.');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.checkpoint
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('The ledger is append-only.');
ALTER TABLE cpis.checkpoint ENABLE ALWAYS TRIGGER append_only,
	ENABLE ALWAYS TRIGGER append_only_truncate;

CREATE FUNCTION cpis_event_bytes(event_id bigint) RETURNS bytea
	LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_event_bytes';
REVOKE ALL ON FUNCTION cpis_event_bytes(bigint) FROM PUBLIC;
COMMENT ON FUNCTION cpis_event_bytes(bigint) IS
	'canonical bytes of an event: SHA-256 over a zero byte and these is its leaf hash';

CREATE FUNCTION cpis_checkpoint() RETURNS text
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_checkpoint';
REVOKE ALL ON FUNCTION cpis_checkpoint() FROM PUBLIC;
COMMENT ON FUNCTION cpis_checkpoint() IS
	'checkpoint (C2SP tlog-checkpoint) that covers every event recorded before the call; signed where there is a key';

CREATE FUNCTION cpis_inclusion_proof(event_id bigint, tree_size bigint = NULL) RETURNS bytea[]
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_inclusion_proof';
REVOKE ALL ON FUNCTION cpis_inclusion_proof(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION cpis_inclusion_proof(bigint, bigint) IS
	'proof that an event is in the tree of this size (RFC 9162 section 2.1.3), by default the present one';

CREATE FUNCTION cpis_consistency_proof(old_size bigint, new_size bigint) RETURNS bytea[]
	LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_consistency_proof';
REVOKE ALL ON FUNCTION cpis_consistency_proof(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION cpis_consistency_proof(bigint, bigint) IS
	'proof that the tree of the old size is the beginning of the tree of the new size (RFC 9162 section 2.1.4)';

CREATE FUNCTION cpis_tlog_proof(event_id bigint) RETURNS text
	LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_tlog_proof';
REVOKE ALL ON FUNCTION cpis_tlog_proof(bigint) FROM PUBLIC;
COMMENT ON FUNCTION cpis_tlog_proof(bigint) IS
	'proof that an event is in the ledger, with the checkpoint that it leads to, the newest signed one, or else one made now, signed where there is a key: one file (C2SP tlog-proof), to be verified offline';

CREATE FUNCTION cpis_verify_inclusion(event_bytes bytea, event_id bigint, tree_size bigint, proof bytea[], root bytea) RETURNS boolean
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_verify_inclusion';
COMMENT ON FUNCTION cpis_verify_inclusion(bytea, bigint, bigint, bytea[], bytea) IS
	'does the proof show that the event with these canonical bytes and this number is in the tree with this root? (RFC 9162 section 2.1.3.2)';

CREATE FUNCTION cpis_verify_consistency(old_size bigint, new_size bigint, proof bytea[], old_root bytea, new_root bytea) RETURNS boolean
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_verify_consistency';
COMMENT ON FUNCTION cpis_verify_consistency(bigint, bigint, bytea[], bytea, bytea) IS
	'does the proof show that the tree with the old root is the beginning of the one with the new root? (RFC 9162 section 2.1.4.2)';

CREATE FUNCTION cpis_checkpoint_verify(note text, verifier_key text) RETURNS boolean
	LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_checkpoint_verify';
COMMENT ON FUNCTION cpis_checkpoint_verify(text, text) IS
	'is this a checkpoint whose origin is the name of the key, and has the key signed it? The key is an Ed25519 verifier key (C2SP signed-note)';

CREATE FUNCTION cpis_checkpoint_compare(note text) RETURNS text
	LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
	AS 'MODULE_PATHNAME', 'cpis_checkpoint_compare';
REVOKE ALL ON FUNCTION cpis_checkpoint_compare(text) FROM PUBLIC;
COMMENT ON FUNCTION cpis_checkpoint_compare(text) IS
	'a checkpoint kept elsewhere against the ledger as it is now: consistent, forked, or behind (the ledger has fewer events)';

CREATE FUNCTION cpis_audit_verify(
	from_event bigint = NULL,
	to_event bigint = NULL,
	OUT checked bigint,
	OUT event_id bigint,
	OUT problem text)
	RETURNS record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_audit_verify';
REVOKE ALL ON FUNCTION cpis_audit_verify(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION cpis_audit_verify(bigint, bigint) IS
	'verify the trail, or the events from one to another: rows checked, and the first event with a problem, NULL where the trail is whole';

CREATE FUNCTION cpis.ledger_status(
	OUT origin text,
	OUT tree_size bigint,
	OUT checkpoint_tree_size bigint,
	OUT checkpoint_at timestamptz,
	OUT checkpoint_verifier_keys text[],
	OUT verifier_keys text[],
	OUT key_problem text)
	RETURNS record
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_ledger_status';
REVOKE ALL ON FUNCTION cpis.ledger_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis.ledger_status() TO pg_monitor;
COMMENT ON FUNCTION cpis.ledger_status() IS 'what is behind view cpis_ledger_status';

CREATE VIEW cpis_ledger_status AS
	SELECT origin, tree_size, checkpoint_tree_size, checkpoint_at,
		checkpoint_verifier_keys, verifier_keys, key_problem
	FROM cpis.ledger_status();
REVOKE ALL ON TABLE cpis_ledger_status FROM PUBLIC;
GRANT SELECT ON TABLE cpis_ledger_status TO pg_monitor;
COMMENT ON VIEW cpis_ledger_status IS 'the ledger, its newest checkpoint, and the keys that would sign the next';
COMMENT ON COLUMN cpis_ledger_status.origin IS 'name of the ledger; NULL before the first event or checkpoint';
COMMENT ON COLUMN cpis_ledger_status.tree_size IS 'number of events in it';
COMMENT ON COLUMN cpis_ledger_status.checkpoint_tree_size IS 'number of events that the newest checkpoint covers; NULL where there is none';
COMMENT ON COLUMN cpis_ledger_status.checkpoint_at IS 'when the newest checkpoint was made';
COMMENT ON COLUMN cpis_ledger_status.checkpoint_verifier_keys IS 'keys that signed it';
COMMENT ON COLUMN cpis_ledger_status.verifier_keys IS 'keys that would sign a checkpoint now, or once a new writer has begun; NULL before the ledger has a name';
COMMENT ON COLUMN cpis_ledger_status.key_problem IS 'why checkpoints are not signed; NULL where they are';

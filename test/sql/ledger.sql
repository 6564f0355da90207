-- The ledger: tree, proofs, checkpoints, and what verification finds wrong with a
-- trail that somebody has tampered with.
\set VERBOSITY terse
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS pgtap;

INSERT INTO cpis.local_authority VALUES
	('E06000041', 'Ledger', NULL, '01632 960041'), ('E06000042', 'Ledger too', NULL, '01632 960042');
INSERT INTO cpis.organisation VALUES ('RLE', 'LEDGER TRUST');
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES
	(nhs_number_synthetic(4001), 'unborn', 'E06000041', '2026-01-01'),
	(nhs_number_synthetic(4001), 'unborn', 'E06000042', '2026-01-01'),
	(nhs_number_synthetic(4002), 'unborn', 'E06000041', '2026-01-01');

-- Events for two full tiles at least, and some beyond.
CREATE PROCEDURE look_up_often(times integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1..times LOOP
		PERFORM FROM cpis_lookup(nhs_number_synthetic(4000 + n % 4), 'A Nurse', 'RLE', 'nhs_111', 'id', 'Nurse', 'system',
			'Bay 4', 'ledger ' || n);
	END LOOP;
END
$$;
CALL look_up_often(600);
SELECT count(*) >= 600 AS many, count(*) % 256 <> 0 AS beyond FROM cpis.audit_event;
-- So that a tile ends and another begins among these events.
SELECT min(event_id) AS first, max(event_id) AS last, (min(event_id) / 256 + 1) * 256 AS tile FROM cpis.audit_event WHERE request_id LIKE 'ledger %' \gset

SELECT plan(201);

-- The tree, computed once more by its definition (RFC 9162, section 2.1.1).
CREATE FUNCTION tree_root(hashes bytea[]) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	n integer = cardinality(hashes);
	k integer = 1;
BEGIN
	IF n = 0 THEN RETURN sha256(''); END IF;
	IF n = 1 THEN RETURN hashes[1]; END IF;
	WHILE k * 2 < n LOOP k = k * 2; END LOOP;
	RETURN sha256('\x01' || tree_root(hashes[:k]) || tree_root(hashes[k + 1:]));
END
$$;
CREATE FUNCTION root_of_first(events bigint) RETURNS bytea LANGUAGE sql AS $$
	SELECT tree_root(array_agg(leaf_hash ORDER BY event_id)) FROM cpis.audit_event WHERE event_id < events
$$;
CREATE FUNCTION note_line(note text, n integer) RETURNS text LANGUAGE sql AS $$ SELECT split_part(note, E'\n', n) $$;

CREATE TABLE kept AS SELECT cpis_checkpoint() AS note;
SELECT is(note_line(note, 1), (SELECT origin FROM cpis.ledger), 'line 1 of a checkpoint is the origin') FROM kept;
SELECT is(note_line(note, 2), (SELECT count(*)::text FROM cpis.audit_event), 'line 2 is the number of events') FROM kept;
SELECT is(decode(note_line(note, 3), 'base64'), root_of_first(note_line(note, 2)::bigint), 'line 3 is the root') FROM kept;
SELECT is(note, note_line(note, 1) || E'\n' || note_line(note, 2) || E'\n' || note_line(note, 3) || E'\n', 'and without a key there is no more') FROM kept;
SELECT is(cpis_checkpoint(), note, 'while nothing happens, a checkpoint stays the newest') FROM kept;

SELECT is((SELECT count(*) FROM cpis.ledger_tile WHERE level = 0), (SELECT count(*) / 256 FROM cpis.audit_event), 'every full tile is there');
SELECT is((SELECT string_agg(hashes, '' ORDER BY tile) FROM cpis.ledger_tile WHERE level = 0),
	(SELECT string_agg(leaf_hash, '' ORDER BY event_id) FROM cpis.audit_event WHERE event_id < (SELECT count(*) / 256 * 256 FROM cpis.audit_event)),
	'and has the leaf hashes');
SELECT is((SELECT count(*) FROM cpis.ledger_tile WHERE root <> tree_root((
	SELECT array_agg(leaf_hash ORDER BY event_id) FROM cpis.audit_event WHERE event_id / 256 = tile))), 0::bigint, 'and their root');

-- Proofs.
SELECT is(sha256('\x00' || cpis_event_bytes(event_id)), leaf_hash, 'leaf hash of ' || action || ', ' || outcome)
	FROM (SELECT DISTINCT ON (outcome) * FROM cpis.audit_event WHERE outcome IN ('found', 'not_found') ORDER BY outcome, event_id) e;
SELECT is(bool_and(cpis_verify_inclusion(cpis_event_bytes(event_id), event_id, size, cpis_inclusion_proof(event_id, size), root)), true,
	'inclusion of every event in the tree of ' || name)
	FROM (VALUES ('a full tile', 256), ('a full tile and one', 257), ('two less one', 511), ('500', 500)) AS v (name, size),
		LATERAL (SELECT root_of_first(size) AS root) r, LATERAL generate_series(0, size - 1, 7) event_id GROUP BY name, size ORDER BY size;
SELECT is(bool_and(cpis_verify_inclusion(cpis_event_bytes(e.event_id), e.event_id, note_line(note, 2)::bigint,
		cpis_inclusion_proof(e.event_id), decode(note_line(note, 3), 'base64'))), true, 'inclusion of every event in the present tree')
	FROM kept, cpis.audit_event e;
SELECT is(bool_or(cpis_verify_inclusion(cpis_event_bytes(4), 5, 500, cpis_inclusion_proof(5, 500), root_of_first(500))), false, 'not that of another event');
SELECT is(cpis_verify_inclusion(cpis_event_bytes(5), 5, 500, cpis_inclusion_proof(5, 500) || sha256(''), root_of_first(500)), false, 'nor with a hash more');
SELECT is(cpis_verify_inclusion(cpis_event_bytes(5), 5, 500, '{}', root_of_first(500)), false, 'nor without hashes');
SELECT is(cpis_verify_inclusion(cpis_event_bytes(5), -5, 500, '{}', root_of_first(500)), false, 'nor with a negative number');
SELECT is(bool_and(cpis_verify_consistency(a, b, cpis_consistency_proof(a, b), root_of_first(a), root_of_first(b))), true, 'consistency from ' || a)
	FROM unnest(ARRAY[1, 2, 3, 255, 256, 257, 511]) a, unnest(ARRAY[511, 512, 513, 600]) b WHERE a <= b GROUP BY a ORDER BY a;
SELECT is(cpis_consistency_proof(0, 500), '{}', 'from the empty tree there is nothing to prove');
SELECT is(cpis_verify_consistency(0, 500, '{}', sha256(''), root_of_first(500)), true, 'and every tree begins with it');
SELECT is(cpis_verify_consistency(255, 500, cpis_consistency_proof(255, 500), root_of_first(254), root_of_first(500)), false, 'another old tree is not the beginning');
SELECT is(cpis_verify_consistency(255, 500, cpis_consistency_proof(255, 500), root_of_first(255), root_of_first(501)), false, 'nor of another new one');
SELECT throws_ok(sql, state, NULL, sql) FROM (VALUES
	('SELECT cpis_inclusion_proof(500, 500)', '22023'), ('SELECT cpis_inclusion_proof(-1, 500)', '22023'),
	('SELECT cpis_inclusion_proof(0, 1000000000)', '22023'), ('SELECT cpis_inclusion_proof(0, -1)', '22023'),
	('SELECT cpis_inclusion_proof(1000000000)', '22023'),
	('SELECT cpis_consistency_proof(3, 2)', '22023'), ('SELECT cpis_consistency_proof(-1, 2)', '22023'), ('SELECT cpis_consistency_proof(1, 1000000000)', '22023'),
	('SELECT cpis_event_bytes(1000000000)', '22023'), ('SELECT cpis_event_bytes(-1)', '22023'), ('SELECT cpis_tlog_proof(1000000000)', '22023'),
	('SELECT cpis_tlog_proof(-1)', '22023'),
	($$SELECT cpis_verify_inclusion('', 0, 1, '{}', 'short')$$, '22023'), ($$SELECT cpis_verify_inclusion('', 0, 1, '{short}', sha256(''))$$, '22023'),
	($$SELECT cpis_verify_inclusion('', 0, 1, '{NULL}', sha256(''))$$, '22023'), ($$SELECT cpis_verify_inclusion('', 0, 1, '{{a,b},{c,d}}', sha256(''))$$, '22023'),
	($$SELECT cpis_verify_inclusion('', 0, 1, array_fill(sha256(''), ARRAY[65]), sha256(''))$$, '22023'),
	($$SELECT cpis_checkpoint_verify('x', 'no key')$$, '22023'), ($$SELECT cpis_checkpoint_compare('')$$, '22023'), ($$SELECT cpis_checkpoint_compare(E'a\n1\n')$$, '22023'),
	($$SELECT cpis_checkpoint_compare(E'another\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n')$$, '22023'),
	('SELECT cpis_audit_verify(-1)', '22023'), ('SELECT cpis_audit_verify(NULL, 1000000000)', '22023'), ('SELECT cpis_audit_verify(5, 4)', '22023'),
	('SELECT cpis_audit_verify(9223372036854775807, 9223372036854775807)', '22023')
	) AS v (sql, state);

-- One file for an event: what leads from its leaf to the root of a checkpoint.
SELECT is(note_line(cpis_tlog_proof(5), 1), 'c2sp.org/tlog-proof@v1', 'a proof says what it is');
SELECT is(note_line(cpis_tlog_proof(5), 2), 'index 5', 'and of which leaf');
SELECT is(array_to_string(ARRAY(SELECT encode(h, 'base64') FROM unnest(cpis_inclusion_proof(5, note_line(note, 2)::bigint)) h), E'\n') || E'\n\n' || note,
	substr(cpis_tlog_proof(5), strpos(cpis_tlog_proof(5), 'index 5') + 8), 'then hashes, an empty line, the checkpoint') FROM kept;

-- A checkpoint that was kept, against the ledger.
SELECT is(cpis_checkpoint_compare(note), 'consistent', 'what was kept is consistent') FROM kept;
SELECT is(cpis_checkpoint_compare(rtrim(note, E'\n')), 'consistent', 'also without its last line feed') FROM kept;
CALL look_up_often(3);
SELECT is(cpis_checkpoint_compare(note), 'consistent', 'still, when the ledger has grown') FROM kept;
SELECT is(cpis_checkpoint_compare(regexp_replace(note, '\n\d+\n', E'\n1000000000\n')), 'behind', 'of more events than there are: behind') FROM kept;
SELECT is(cpis_checkpoint_compare(regexp_replace(note, '\n\d+\n', E'\n' || note_line(note, 2)::int - 1 || E'\n')), 'forked', 'another root: forked') FROM kept;

-- Verification.
SELECT is((v.event_id, v.problem)::text, '(,)', 'the trail is whole') FROM cpis_audit_verify() v;
SELECT is(v.checked, (SELECT count(*) FROM cpis.audit_event), 'every event was looked at') FROM cpis_audit_verify() v;
SELECT is(v::text, '(201,,)', 'a part of it') FROM cpis_audit_verify(200, 400) v;
SELECT is(v::text, '(1,,)', 'one event') FROM cpis_audit_verify(300, 300) v;

-- Tamper, look what verification says, and take it back; an event number as the
-- distance from :first.
CREATE FUNCTION tampered(command text, first bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	month regclass = (SELECT tableoid FROM cpis.audit_event WHERE event_id = first);
BEGIN
	EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', month);
	EXECUTE 'ALTER TABLE cpis.notification DISABLE TRIGGER ALL';
	EXECUTE 'ALTER TABLE cpis.ledger_tile DISABLE TRIGGER ALL';
	EXECUTE 'ALTER TABLE cpis.checkpoint DISABLE TRIGGER ALL';
	EXECUTE 'ALTER TABLE cpis.ledger DISABLE TRIGGER ALL';
	EXECUTE replace(replace(command, 'MONTH', month::text), 'EVENT', first::text);
	SELECT (v.event_id - first) || ': ' || v.problem INTO answer FROM cpis_audit_verify() v;
	RAISE EXCEPTION USING errcode = 'UX000', message = coalesce(answer, 'whole');
EXCEPTION WHEN SQLSTATE 'UX000' THEN
	RETURN sqlerrm;
END
$$;
SELECT is(tampered('SELECT', :first), 'whole', 'nothing done, nothing found');

-- Every column, of an event in a full tile and of one at the edge.
SELECT min(event_id) FILTER (WHERE event_id >= :first) AS in_tile, max(event_id) AS at_edge FROM cpis.audit_event WHERE outcome = 'found' \gset
SELECT max(event_id) AS last FROM cpis.audit_event \gset
SELECT note_line(note, 2)::bigint AS kept_size FROM kept \gset
CREATE TABLE change (attribute text, value text);
INSERT INTO change SELECT attname, CASE
	WHEN attname IN ('nhs_number') THEN 'nhs_number_synthetic(4003)'
	WHEN atttypid = 'text'::regtype THEN format('coalesce(%I, '''') || ''x''', attname)
	WHEN atttypid IN ('bigint'::regtype, 'integer'::regtype) THEN format('%I + 1000000', attname)
	WHEN atttypid = 'timestamptz'::regtype THEN format('%I + interval ''1 microsecond''', attname)
	WHEN atttypid = 'boolean'::regtype THEN format('%I IS NOT TRUE', attname)
	WHEN atttypid = 'bytea'::regtype THEN format('set_byte(%1$I, 5, get_byte(%1$I, 5) # 1)', attname)
	WHEN atttypid = 'inet'::regtype THEN '''192.0.2.1'''
	WHEN atttypid = 'xid8'::regtype THEN '''7'''
	WHEN atttypid = 'text[]'::regtype THEN format('array_replace(%I, ''E06000041'', ''E06000043'')', attname)
	WHEN atttypid = 'bigint[]'::regtype THEN format('%I || 5::bigint', attname)
	END
	FROM pg_attribute WHERE attrelid = 'cpis.audit_event'::regclass AND attnum > 0 AND NOT attisdropped;
SELECT is(count(value), 26::bigint, 'every column can be tampered with') FROM change;
SELECT is(tampered(format('UPDATE MONTH SET %I = %s WHERE event_id = EVENT', attribute, value), event), CASE attribute
		WHEN 'event_id' THEN '0: the event is missing'
		WHEN 'leaf_hash' THEN CASE WHEN name = 'edge' THEN '0: the event has been changed: it does not have its leaf hash'
			ELSE '0: the leaf hash of the event has been changed' END
		ELSE '0: the event has been changed: it does not have its leaf hash' END, name || ': ' || attribute)
	FROM (SELECT 'tile' AS name, :in_tile AS event) t, change;
SELECT is(tampered(format('UPDATE MONTH SET %I = %s WHERE event_id = EVENT', attribute, value), event), CASE attribute
		WHEN 'event_id' THEN '0: the event is missing'
		ELSE '0: the event has been changed: it does not have its leaf hash' END, 'edge: ' || attribute)
	FROM (SELECT :at_edge AS event) t, change;

-- Rows.
SELECT is(tampered(command, :first), problem, name) FROM (VALUES
	('removed', 'DELETE FROM MONTH WHERE event_id = EVENT', '0: the event is missing'),
	('two removed', 'DELETE FROM MONTH WHERE event_id IN (EVENT + 300, EVENT + 7)', '7: the event is missing'),
	('twice', 'INSERT INTO MONTH SELECT * FROM MONTH WHERE event_id = EVENT + 4', '4: the event is there more than once'),
	('numbers swapped', 'UPDATE MONTH SET event_id = 2 * EVENT + 3 - event_id WHERE event_id IN (EVENT + 1, EVENT + 2)',
		'1: the event has been changed: it is not the one in the ledger'),
	('numbers and leaf hashes swapped', 'UPDATE MONTH m SET event_id = o.event_id, leaf_hash = o.leaf_hash FROM MONTH o
		WHERE m.event_id IN (EVENT + 1, EVENT + 2) AND o.event_id = 2 * EVENT + 3 - m.event_id', '1: the event has been changed: it does not have its leaf hash'),
	('inserted at the end', 'INSERT INTO MONTH SELECT (e).* FROM (SELECT jsonb_populate_record(m, jsonb_build_object(''event_id'',
		(SELECT max(event_id) + 1 FROM MONTH))) AS e FROM MONTH m WHERE event_id = EVENT) AS copied', NULL),
	('text to NULL', 'UPDATE MONTH SET worker_id = NULL WHERE event_id = EVENT', '0: the event has been changed: it does not have its leaf hash'),
	('NULL to empty', 'UPDATE MONTH SET transaction_id = ''0'' WHERE event_id = EVENT', '0: the event has been changed: it does not have its leaf hash'),
	('text from one column to the next', 'UPDATE MONTH SET worker_id = job_role, job_role = worker_id WHERE event_id = EVENT',
		'0: the event has been changed: it does not have its leaf hash'),
	('an array in two dimensions', 'UPDATE MONTH SET plan_ids = ''{{1,2},{3,4}}'' WHERE event_id = EVENT', '0: the event has been changed: a column has a value that is never recorded'),
	('an array from 0', 'UPDATE MONTH SET plan_ids = ''[0:0]={1}'' WHERE event_id = EVENT', '0: the event has been changed: a column has a value that is never recorded'),
	('an array with NULL', 'UPDATE MONTH SET notified_authority = ''{NULL}'' WHERE event_id = EVENT', '0: the event has been changed: a column has a value that is never recorded'),
	('an address with a mask', 'UPDATE MONTH SET client_addr = ''192.0.2.0/24'' WHERE event_id = EVENT', '0: the event has been changed: a column has a value that is never recorded'),
	('leaf hash too short', 'UPDATE MONTH SET leaf_hash = '''' WHERE event_id = EVENT', '0: the event has been changed: its leaf hash is none')
	) AS v (name, command, problem) WHERE problem IS NOT NULL;
SELECT is(tampered('INSERT INTO MONTH SELECT (e).* FROM (SELECT jsonb_populate_record(m, jsonb_build_object(''event_id'',
	(SELECT max(event_id) + 1 FROM cpis.audit_event))) AS e FROM MONTH m WHERE event_id = EVENT) AS copied', :first),
	(:last + 1 - :first) || ': the event has been changed: it does not have its leaf hash', 'inserted at the end');

-- Numbers that are none of the tree's.
SELECT is(tampered('INSERT INTO MONTH SELECT (e).* FROM (SELECT jsonb_populate_record(m, jsonb_build_object(''event_id'', ' || number
	|| ')) AS e FROM MONTH m WHERE event_id = EVENT) AS copied', :first), (:last - :first) || ': there is an event with the number ' || number, number || ' inserted')
	FROM unnest(ARRAY[-5, 9223372036854775806, 9223372036854775807]) AS number;
SELECT is(tampered('ALTER TABLE cpis.audit_event ALTER event_id DROP NOT NULL; INSERT INTO MONTH SELECT (e).* FROM (SELECT jsonb_populate_record(m, ''{"event_id": null}'') AS e
	FROM MONTH m WHERE event_id = EVENT) AS copied', :first), (:last - :first) || ': there is an event without a number', 'one without a number inserted');
SELECT is(tampered('ALTER TABLE cpis.audit_event ALTER event_id DROP NOT NULL; UPDATE MONTH SET event_id = NULL WHERE event_id = EVENT', :first), '0: the event is missing', 'the number taken away');
-- Rows that the index does not have, because it was switched off while they came.
SET allow_system_table_mods = on;
SELECT is(tampered('UPDATE pg_index SET indisready = false WHERE indrelid = ''MONTH''::regclass; INSERT INTO MONTH SELECT * FROM MONTH WHERE event_id IN (EVENT, EVENT + 1);
	UPDATE pg_index SET indisready = true WHERE indrelid = ''MONTH''::regclass', :first), (:last - :first) || ': rows that the index on event numbers does not have: 2', 'rows unknown to the index inserted');
RESET allow_system_table_mods;
SELECT is(tampered('ALTER TABLE cpis.notification ALTER local_authority DROP NOT NULL; UPDATE cpis.notification SET local_authority = NULL WHERE event_id = EVENT', :in_tile),
	-:in_tile || ': a notice has no authority, number or event', 'a notice of nobody');

-- Somebody who knows how makes the leaf hash anew: the tile, or else the checkpoint tells.
CREATE FUNCTION forge(event bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE cpis.audit_event SET worker_name = 'B Nurse' WHERE event_id = event;
	UPDATE cpis.audit_event SET leaf_hash = sha256('\x00' || cpis_event_bytes(event)) WHERE event_id = event;
END
$$;
ALTER TABLE cpis.audit_event DISABLE TRIGGER append_only;
SELECT is(tampered('SELECT forge(EVENT)', :first), '0: the event has been changed: it is not the one in the ledger', 'forged in a tile');
SELECT is(tampered('SELECT forge(' || :kept_size - 1 || ')', :first), (:kept_size - 1 - :first) || ': the first ' || :kept_size
	|| ' events are not those of their checkpoint', 'forged at the edge, under a checkpoint');
ALTER TABLE cpis.audit_event ENABLE ALWAYS TRIGGER append_only;

-- Tiles, checkpoints, and the name.
SELECT is(tampered(command, :tile), problem, name) FROM (VALUES
	('a hash of a tile', 'UPDATE cpis.ledger_tile SET hashes = set_byte(hashes, 77, get_byte(hashes, 77) # 1) WHERE level = 0 AND tile = EVENT / 256', '0: tile TILE of level 0 has been changed'),
	('the root of a tile', 'UPDATE cpis.ledger_tile SET root = set_byte(root, 31, get_byte(root, 31) # 128) WHERE level = 0 AND tile = EVENT / 256', '0: tile TILE of level 0 has been changed'),
	('a tile cut short', 'UPDATE cpis.ledger_tile SET hashes = substr(hashes, 1, 8160) WHERE level = 0 AND tile = EVENT / 256', '0: tile TILE of level 0 has been changed'),
	('a tile removed', 'DELETE FROM cpis.ledger_tile WHERE level = 0 AND tile = EVENT / 256', '0: tile TILE of level 0 is missing'),
	('a tile twice', 'INSERT INTO cpis.ledger_tile SELECT * FROM cpis.ledger_tile WHERE level = 0 AND tile = EVENT / 256', '0: tile TILE of level 0 is there more than once'),
	('a tile removed, and its last event', 'DELETE FROM cpis.ledger_tile WHERE level = 0 AND tile = EVENT / 256; ALTER TABLE cpis.audit_event DISABLE TRIGGER ALL; DELETE FROM cpis.audit_event WHERE event_id = EVENT + 255', '255: the event is missing'),
	('a tile of another level', 'UPDATE cpis.ledger_tile SET level = 1 WHERE level = 0 AND tile = EVENT / 256', '0: tile TILE of level 0 is missing')
	) AS v (name, command, template), LATERAL replace(template, 'TILE', (:tile / 256)::text) AS problem;
-- A part that ends inside a tile.
CREATE FUNCTION problem_of_part(command text, first bigint, last bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	ALTER TABLE cpis.ledger_tile DISABLE TRIGGER ALL;
	EXECUTE command;
	SELECT v.event_id || ': ' || v.problem INTO answer FROM cpis_audit_verify(first, last) v;
	RAISE EXCEPTION USING errcode = 'UX000', message = coalesce(answer, 'whole');
EXCEPTION WHEN SQLSTATE 'UX000' THEN
	RETURN sqlerrm;
END
$$;
SELECT is(problem_of_part('DELETE FROM cpis.ledger_tile', :tile + 5, :tile + 9), :tile || ': tile ' || :tile / 256 || ' of level 0 is missing', 'a part inside a tile that is missing');
SELECT is(problem_of_part('DELETE FROM cpis.ledger_tile WHERE level = 0 AND tile <> ' || :tile / 256, :tile + 5, :tile + 9), 'whole', 'or that is there');
-- Tables that are no longer as the extension made them: first without the functions in
-- SQL, which would not let them be changed.
CREATE FUNCTION unbind() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	routine regprocedure;
	relation regclass;
BEGIN
	-- What is dropped here comes back with the transaction.
	SET LOCAL cpis.allow_drop = on;
	FOR relation IN SELECT c.oid FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		WHERE c.relkind = 'v' AND c.oid <> 'cpis.access_event'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis') LOOP
		EXECUTE 'ALTER EXTENSION cpis DROP VIEW ' || relation;
	END LOOP;
	FOR routine IN SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		WHERE p.prosqlbody IS NOT NULL AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis') LOOP
		EXECUTE 'ALTER EXTENSION cpis DROP FUNCTION ' || routine;
	END LOOP;
	SET LOCAL client_min_messages = error;
	DROP FUNCTION cpis.trail_months CASCADE;
	DROP FUNCTION cpis.reconcile_guards, cpis.reconcile_months, cpis.reconcile_submissions, cpis.notices, cpis.stat_notification CASCADE;
	DROP FUNCTION cpis.attendance_of_month, cpis.attendance_open CASCADE;
	DROP VIEW cpis.analyst_event, cpis.steward_event, cpis.worker_access, cpis.access_of_event, cpis.notice_of_event, cpis.lag_of_acknowledgement CASCADE;
END
$$;
SELECT throws_ok(format('SELECT problem_of_part(%L, 0, 5)', command), 'XX001', NULL, command) FROM (VALUES
	('SELECT unbind(); ALTER TABLE cpis.notification ALTER local_authority TYPE integer USING 1'), ('ALTER TABLE cpis.notification ADD more text'),
	('ALTER TABLE cpis.checkpoint ALTER at TYPE text'), ('SELECT unbind(); ALTER TABLE cpis.ledger_tile ALTER tile TYPE integer'),
	('SET LOCAL cpis.allow_drop = on; ALTER TABLE cpis.ledger DROP created_at'), ('SELECT unbind(); ALTER TABLE cpis.audit_event ALTER leaf_hash TYPE integer USING 1'),
	('ALTER TABLE cpis.audit_event ADD more text'), ('SELECT unbind(); ALTER EXTENSION cpis DROP VIEW cpis.access_event; ALTER TABLE cpis.audit_event DROP nhs_number CASCADE'),
	('SET LOCAL cpis.allow_drop = on; ALTER TABLE cpis.ledger RENAME TO was_ledger; CREATE VIEW cpis.ledger AS SELECT * FROM cpis.was_ledger'),
	('DROP INDEX cpis.ledger_tile_idx; CREATE INDEX ledger_tile_idx ON cpis.ledger_tile (level, tile DESC, root)'),
	('DROP INDEX cpis.ledger_tile_idx; CREATE INDEX ledger_tile_idx ON cpis.ledger_tile (level, tile)'),
	('DROP INDEX cpis.ledger_tile_idx; CREATE INDEX ledger_tile_idx ON cpis.ledger_tile (level, tile, root) WHERE level = 0'),
	('DROP INDEX cpis.checkpoint_tree_size_idx; CREATE INDEX checkpoint_tree_size_idx ON cpis.checkpoint (at)')) AS v (command);
SELECT is(tampered(command, :last), problem, name) FROM (VALUES
	('a tile too many', 'INSERT INTO cpis.ledger_tile VALUES (7, 0, '''', '''')', '0: the ledger has tiles that no events fill'),
	('a negative tile', 'INSERT INTO cpis.ledger_tile VALUES (-1, 0, '''', '''')', '0: the ledger has tiles that no events fill'),
	('a tile beyond the end', 'INSERT INTO cpis.ledger_tile SELECT level, tile + 1, hashes, root FROM cpis.ledger_tile ORDER BY tile DESC LIMIT 1',
		:last / 256 * 256 - :last || ': the event has been changed: it is not the one in the ledger'),
	('a second name', 'INSERT INTO cpis.ledger SELECT * FROM cpis.ledger', '0: the ledger has no name, or more than one')
	) AS v (name, command, problem) WHERE problem IS NOT NULL;
-- The first checkpoint is that of the lowest number of events.
SELECT cpis_checkpoint() IS NOT NULL AS checkpoint;
SELECT min(tree_size) AS size FROM cpis.checkpoint \gset
SELECT tree_size AS second_size FROM cpis.checkpoint ORDER BY tree_size OFFSET 1 LIMIT 1 \gset
-- Somebody who knows how makes the seals anew.
CREATE FUNCTION seal_again() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c cpis.checkpoint;
	before bytea = (SELECT sha256('cpis/ledger/1\012'::bytea || int8send((extract(epoch FROM created_at) * 1000000)::bigint) || convert_to(origin, 'UTF8')) FROM cpis.ledger);
BEGIN
	FOR c IN SELECT * FROM cpis.checkpoint ORDER BY tree_size LOOP
		before = sha256('cpis/checkpoint/1\012'::bytea || before || int8send((extract(epoch FROM c.at) * 1000000)::bigint) || convert_to(c.note, 'UTF8'));
		UPDATE cpis.checkpoint SET seal = before WHERE tree_size = c.tree_size;
	END LOOP;
END
$$;
SELECT is(tampered('SELECT seal_again()', :last), 'whole', 'the seals made anew, as their comments say, are the same');
SELECT is(tampered('UPDATE cpis.checkpoint SET at = at + interval ''1 microsecond''; SELECT seal_again()', :last), 'whole', 'who makes all of them anew can change the time');
SELECT is(tampered(replace(command, 'SIZE', :'size'), :size - 1), problem, name) FROM (VALUES
	('the root of a checkpoint', 'UPDATE cpis.checkpoint SET root = sha256(root)', '0: the checkpoint of SIZE events has been changed'),
	('the note of a checkpoint', 'UPDATE cpis.checkpoint SET note = note || '' ''', '0: the checkpoint of SIZE events has been changed'),
	('root and note of a checkpoint', 'UPDATE cpis.checkpoint SET root = sha256(root), note = split_part(note, E''\n'', 1) || E''\n'' || tree_size || E''\n'' || encode(sha256(root), ''base64'') || E''\n''',
		'0: the checkpoint of SIZE events, or what was before it, has been changed'),
	('root, note and seals', 'UPDATE cpis.checkpoint SET root = sha256(root), note = split_part(note, E''\n'', 1) || E''\n'' || tree_size || E''\n'' || encode(sha256(root), ''base64'') || E''\n''; SELECT seal_again()',
		'0: the first SIZE events are not those of their checkpoint'),
	('the keys of a checkpoint', 'UPDATE cpis.checkpoint SET verifier_keys = ARRAY[''x'']', '0: the checkpoint of SIZE events has been changed'),
	('the keys to a table', 'UPDATE cpis.checkpoint SET verifier_keys = ''{{x,y},{z,w}}''', '0: the checkpoint of SIZE events has been changed'),
	('the keys to one that is NULL', 'UPDATE cpis.checkpoint SET verifier_keys = ''{NULL}''', '0: the checkpoint of SIZE events has been changed'),
	('the keys to NULL', 'ALTER TABLE cpis.checkpoint ALTER verifier_keys DROP NOT NULL; UPDATE cpis.checkpoint SET verifier_keys = NULL', '0: the checkpoint of SIZE events has been changed'),
	('the time of a checkpoint', 'UPDATE cpis.checkpoint SET at = at - interval ''1 microsecond''', '0: the checkpoint of SIZE events, or what was before it, has been changed'),
	('the seal of a checkpoint', 'UPDATE cpis.checkpoint SET seal = sha256(seal)', '0: the checkpoint of SIZE events, or what was before it, has been changed'),
	('a seal cut short', 'UPDATE cpis.checkpoint SET seal = ''''', '0: the checkpoint of SIZE events has been changed'),
	('a checkpoint twice', 'INSERT INTO cpis.checkpoint SELECT * FROM cpis.checkpoint', '0: the checkpoint of SIZE events is there more than once'),
	('a checkpoint removed', 'DELETE FROM cpis.checkpoint WHERE tree_size = SIZE', 'NEXT: the checkpoint of SECOND events, or what was before it, has been changed'),
	('since when there is a ledger', 'UPDATE cpis.ledger SET created_at = created_at + interval ''1 microsecond''', '0: the checkpoint of SIZE events, or what was before it, has been changed'),
	('the name of the ledger', 'UPDATE cpis.ledger SET origin = origin || ''x''', '0: the checkpoint of SIZE events has been changed'),
	('no name', 'DELETE FROM cpis.ledger', '0: the name of the ledger is missing or has been changed'),
	('the size of a checkpoint', 'UPDATE cpis.checkpoint SET tree_size = tree_size + 1 WHERE tree_size = (SELECT min(tree_size) FROM cpis.checkpoint)', '1: the checkpoint of MORE events has been changed')
	) AS v (name, command, template), LATERAL replace(replace(replace(replace(template, 'SIZE', :'size'), 'MORE', (:size + 1)::text),
		'NEXT', (:second_size - :size)::text), 'SECOND', :'second_size') AS problem;
SELECT is(tampered('UPDATE cpis.checkpoint SET tree_size = 1000000000 WHERE tree_size = (SELECT max(tree_size) FROM cpis.checkpoint)', :last),
	'1: the event is missing', 'a checkpoint of more events than there are');
SELECT is(tampered('INSERT INTO cpis.checkpoint SELECT -5, root, note, verifier_keys, at, seal FROM cpis.checkpoint LIMIT 1', :last),
	'0: the ledger has checkpoints of more events than there are', 'a checkpoint of less than nothing');
SELECT is(tampered('DELETE FROM MONTH WHERE event_id >= EVENT', :last - 1), '0: the event is missing', 'the tail cut off, under a checkpoint');

-- Notices.
SELECT notification_no AS notice, event_id AS event FROM cpis.notification WHERE local_authority = 'E06000042' ORDER BY notification_no LIMIT 1 OFFSET 3 \gset
SELECT is(tampered(c, :event), problem, name) FROM (VALUES
	('a notice removed', 'DELETE FROM cpis.notification WHERE local_authority = ''E06000042'' AND notification_no = NOTICE', '0: notice NOTICE of authority E06000042 is missing'),
	('a notice renumbered', 'UPDATE cpis.notification SET notification_no = 1000000 WHERE local_authority = ''E06000042'' AND notification_no = NOTICE', '0: notice NOTICE of authority E06000042 is missing'),
	('a notice of another event', 'UPDATE cpis.notification SET event_id = event_id + 1 WHERE local_authority = ''E06000042'' AND notification_no = NOTICE', '0: notice NOTICE of authority E06000042 is of another event'),
	('a notice of another authority', 'UPDATE cpis.notification SET local_authority = ''E06000043'' WHERE local_authority = ''E06000042'' AND notification_no = NOTICE', '0: notice NOTICE of authority E06000042 is missing'),
	('a notice twice', 'INSERT INTO cpis.notification SELECT * FROM cpis.notification WHERE local_authority = ''E06000042'' AND notification_no = NOTICE', '0: notice NOTICE of authority E06000042 is there more than once'),
	('two notices swapped', 'UPDATE cpis.notification SET notification_no = 2 * NOTICE + 1 - notification_no WHERE local_authority = ''E06000042'' AND notification_no IN (NOTICE, NOTICE + 1)',
		'0: notice NOTICE of authority E06000042 is of another event'),
	('a notice too many', 'INSERT INTO cpis.notification VALUES (''E06000042'', 1000000, EVENT)', '0: notice 1000000 of authority E06000042 is of no event'),
	('a notice of no event', 'INSERT INTO cpis.notification VALUES (''E06000043'', 1, EVENT)', '0: notice 1 of authority E06000043 is of no event')
	) AS v (name, command, template), LATERAL replace(template, 'NOTICE', :'notice') AS problem, LATERAL replace(command, 'NOTICE', :'notice') AS c;

SELECT is((v.event_id, v.problem)::text, '(,)', 'all was taken back') FROM cpis_audit_verify() v;
SELECT * FROM finish();

-- Append-only, whatever the session's role of replication.
SET session_replication_role = replica;
DELETE FROM cpis.ledger_tile;
UPDATE cpis.checkpoint SET tree_size = 0;
TRUNCATE cpis.ledger;
RESET session_replication_role;
-- The status, for monitors.
SET ROLE pg_monitor;
SELECT origin LIKE 'cpis/%' AS named, tree_size > 600 AS grown, checkpoint_tree_size <= tree_size AS covered, checkpoint_verifier_keys, verifier_keys, key_problem
	FROM cpis_ledger_status;
SELECT cpis_checkpoint();
RESET ROLE;
DROP TABLE kept, change;
DROP FUNCTION unbind, tampered, problem_of_part, seal_again, forge, root_of_first, tree_root, note_line;
DROP PROCEDURE look_up_often;
DROP EXTENSION pgtap;

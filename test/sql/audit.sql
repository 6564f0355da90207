-- The trail: append-only, and every leaf hash is that of its row's canonical
-- bytes, which are made here once more, in SQL.
\set VERBOSITY terse
SET client_min_messages = warning;

INSERT INTO cpis.local_authority VALUES
	('E06000031', 'Audit', NULL, '01632 960031'), ('E06000032', 'Audit too', NULL, '01632 960032');
INSERT INTO cpis.organisation VALUES ('RAU', 'AUDIT TRUST');
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES
	(nhs_number_synthetic(3001), 'unborn', 'E06000031', '2026-01-01'),
	(nhs_number_synthetic(3001), 'unborn', 'E06000032', '2026-01-01');
SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(3001), 'Zoë Ødegård 李', 'RAU', 'nhs_111', 'id', 'Nurse', 'system', 'Bay 4', 'audit');
SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(3002), 'x', 'RAU', 'nhs_111', request_id => 'audit');
SELECT cpis_flag(nhs_number_synthetic(3001), 'x', 'RXXX', 'nhs_111', request_id => 'audit');
-- Everything that can be NULL; a role with another script; as many authorities as there can be.
SET application_name = '';
SELECT cpis_flag(nhs_number_synthetic(3002), 'sparse', 'RAU', 'nhs_111');
RESET application_name;
CREATE ROLE "ødegård 李" IN ROLE cpis_clinical;
SELECT cpis_scope_grant('ødegård 李', organisation => 'RAU') IS NOT NULL AS granted;
SET ROLE "ødegård 李";
SELECT cpis_flag(nhs_number_synthetic(3001), 'x', 'RAU', 'nhs_111', request_id => 'role');
RESET ROLE;
INSERT INTO cpis.local_authority SELECT 'E08' || lpad(n::text, 6, '9'), 'Audit', NULL, '01632 960033' FROM generate_series(1, 64) n;
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
	SELECT nhs_number_synthetic(3003), 'unborn', code, '2026-01-01' FROM cpis.local_authority WHERE name = 'Audit' AND code LIKE 'E0899%';
SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(3003), repeat('é', 100), 'RAU', 'nhs_111', request_id => '64');
BEGIN;
SELECT pg_current_xact_id() IS NOT NULL AS in_transaction;
SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(3001), 'x', 'RAU', 'nhs_111', request_id => 'audit');
ROLLBACK;

-- A field of the canonical bytes: tag, length, bytes; nothing for NULL.
CREATE FUNCTION field(tag integer, bytes bytea) RETURNS bytea LANGUAGE sql AS $$
	SELECT coalesce(set_byte('\x00', 0, tag) || int4send(octet_length(bytes)) || bytes, '')
$$;
CREATE FUNCTION field(tag integer, value text) RETURNS bytea LANGUAGE sql AS $$
	SELECT field(tag, convert_to(value, 'UTF8'))
$$;
CREATE FUNCTION canonical(e cpis.audit_event) RETURNS bytea LANGUAGE sql AS $$
	SELECT 'cpis/event/1'::bytea || '\x0a'
		|| field(1, int8send(e.event_id))
		|| field(2, int8send((extract(epoch FROM e.recorded_at) * 1000000)::bigint))
		|| field(3, e.action) || field(4, e.outcome) || field(5, int8send(e.nhs_number::bigint))
		|| field(6, e.worker_name) || field(7, e.worker_id) || field(8, e.job_role) || field(9, e.system_id)
		|| field(10, e.location) || field(11, e.request_id) || field(12, e.organisation) || field(13, e.care_setting)
		|| field(14, set_byte('\x00', 0, e.notify::integer))
		|| field(15, (SELECT string_agg(int4send(octet_length(a)) || convert_to(a, 'UTF8'), '' ORDER BY n)
				FROM unnest(e.notified_authority) WITH ORDINALITY AS u (a, n)))
		|| field(16, (SELECT string_agg(int8send(a), '' ORDER BY n) FROM unnest(e.notification_no) WITH ORDINALITY AS u (a, n)))
		|| field(17, (SELECT string_agg(int8send(a), '' ORDER BY n) FROM unnest(e.plan_ids) WITH ORDINALITY AS u (a, n)))
		|| field(18, e.session_role) || field(19, e.effective_role)
		|| field(20, set_byte('\x00', 0, family(e.client_addr)) || substring(inet_send(e.client_addr) FROM 5))
		|| field(21, e.application_name) || field(22, int4send(e.backend_pid))
		|| field(23, int8send(e.transaction_id::text::bigint)) || field(24, e.detail) || field(25, e.salt)
$$;
SELECT count(*) >= 7 AS many, max(array_length(notified_authority, 1)) AS most_notified,
	count(*) FILTER (WHERE num_nulls(worker_id, job_role, system_id, location, request_id, notified_authority, notification_no, plan_ids,
		client_addr, application_name, transaction_id, detail) = 12) AS sparse,
	count(*) FILTER (WHERE effective_role = 'ødegård 李') AS role,
	count(*) FILTER (WHERE leaf_hash <> sha256('\x00' || canonical(e))) AS wrong,
	count(*) - count(DISTINCT salt) AS same_salt, bool_and(octet_length(salt) = 16) AS salted
	FROM cpis.audit_event e;
SELECT length(string_agg(leaf_hash, '')) / 32 = count(*) AS hashes, count(transaction_id) AS with_transaction
	FROM cpis.audit_event WHERE request_id = 'audit';

-- No gap, no double.
SELECT min(event_id), max(event_id) + 1 = count(*) AS no_gap, count(DISTINCT event_id) = count(*) AS no_double
	FROM cpis.audit_event;

-- Notices and events say the same.
SELECT count(*) > 64 AS many, count(*) FILTER (WHERE n IS NULL OR e IS NULL) AS differ
	FROM cpis.notification n FULL JOIN (SELECT event_id, u.* FROM cpis.audit_event,
		unnest(notified_authority, notification_no) AS u (local_authority, notification_no)) e
	USING (event_id, local_authority, notification_no);

-- The guidance's three fields come first.
SELECT attname FROM pg_attribute WHERE attrelid = 'cpis.access_event'::regclass AND attnum > 0 ORDER BY attnum;
SELECT worker_name, organisation, care_setting, job_role, worker_id, system_id, location, outcome
	FROM cpis.access_event WHERE request_id = 'audit' ORDER BY event_id;

-- Append-only, by whatever way, for superusers, and in a replica session.
SELECT relid::regclass::text AS month FROM pg_partition_tree('cpis.audit_event') WHERE isleaf ORDER BY 1 LIMIT 1 \gset
CREATE FUNCTION change(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ' ' || regexp_replace(sqlerrm, '_[0-9]{4}_[0-9]{2}', '_month');
END $$;
SELECT c, change(format(c, t)) FROM unnest(ARRAY['UPDATE %s SET event_id = 1', 'DELETE FROM %s', 'TRUNCATE %s', 'TRUNCATE %s CASCADE',
		'MERGE INTO %s USING (VALUES (1)) v ON true WHEN MATCHED THEN DELETE']) c,
	unnest(ARRAY['cpis.audit_event', :'month', 'cpis.notification']) t ORDER BY 1, 2;
SET session_replication_role = replica;
SELECT c, change(format(c, t)) FROM unnest(ARRAY['UPDATE %s SET event_id = 1', 'DELETE FROM %s', 'TRUNCATE %s']) c,
	unnest(ARRAY['cpis.audit_event', :'month', 'cpis.notification']) t ORDER BY 1, 2;
RESET session_replication_role;
SELECT count(*), bool_and(tgenabled = 'A') AS always FROM pg_trigger
	WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('cpis.audit_event') WHERE isleaf);
-- This month and the next are there, with their indexes.
SELECT count(*) >= 2 AS months, bool_and((SELECT count(*) FROM pg_index WHERE indrelid = relid) = 2) AS two_indexes
	FROM pg_partition_tree('cpis.audit_event') WHERE isleaf;

DROP FUNCTION field(integer, bytea), field(integer, text), canonical, change;
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
DELETE FROM cpis.plan WHERE local_authority IN (SELECT code FROM cpis.local_authority WHERE name LIKE 'Audit%');
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
DELETE FROM cpis.local_authority WHERE name LIKE 'Audit%';
DROP ROLE "ødegård 李";
DELETE FROM cpis.organisation WHERE code = 'RAU';

-- Somebody who may do anything changes the past.

\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset linestyle unicode
\pset border 1
\pset null '-'

\echo '7. The DBA changes who made the first access. Verification names the event:'
\echo
BEGIN;
DO $$ BEGIN
	EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', (SELECT tableoid::regclass FROM cpis.audit_event WHERE event_id = 1));
END $$;
ALTER TABLE cpis.audit_event DISABLE TRIGGER ALL;
UPDATE cpis.audit_event SET worker_name = 'Dr Nobody' WHERE event_id = 1;
SELECT * FROM cpis_audit_verify();
ROLLBACK;

\echo '   Rolled back, the trail is whole again:'
\echo
SELECT * FROM cpis_audit_verify();

\echo '   A checkpoint, to keep elsewhere: name of the ledger, number of events, root. It is not'
\echo '   signed, for this cluster has no key.'
\echo
\pset tuples_only on
\pset format unaligned
SET client_min_messages = error;
SELECT cpis_checkpoint();

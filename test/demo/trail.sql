-- What is left of the evening, as the DBA sees it.

\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset linestyle unicode
\pset border 1
\pset null '-'

\echo '   No.  All four access events are there, in cpis.access_event:'
\echo
SELECT event_id AS event, to_char(accessed_at, 'HH24:MI:SS.MS') AS accessed_at, worker_name,
	organisation AS org, care_setting, outcome, request_id AS request
	FROM cpis.access_event ORDER BY event_id;

\echo '   So are the notices, in cpis.notification: one for each authority that holds a plan,'
\echo '   with a number of its own that has no gap:'
\echo
SELECT a.code, a.name AS authority, n.notification_no AS notice, n.event_id AS event
	FROM cpis.notification n JOIN cpis.local_authority a ON a.code = n.local_authority
	ORDER BY n.event_id, a.code;

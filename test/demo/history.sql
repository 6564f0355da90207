-- Who else has looked the child up, as the application asks for it.

\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset linestyle unicode
\pset border 1
\pset null '-'

\echo '5. The access history of the first look-up, as cpis_access_history() shows it to the'
\echo '   department: what one worker repeats within 24 hours is shown once.'
\echo
SELECT to_char(accessed_at, 'HH24:MI:SS.MS') AS accessed_at, worker_name, job_role,
	organisation_name AS organisation
	FROM cpis_access_history(1);

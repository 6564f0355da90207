-- A local authority, as its own role: it collects its notices, and sends records.
-- Needs the variable authority.

\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset linestyle unicode
\pset border 1
\pset null '-'

\echo '6. The authority collects its notices, and acknowledges them:'
\echo
SELECT notification_no AS notice, nhs_number_format(nhs_number) AS nhs_number, worker_name, organisation_name AS organisation, care_setting
	FROM cpis_notifications(:'authority');
SELECT cpis_notifications_acknowledge(:'authority', max(notification_no)) AS acknowledged
	FROM cpis_notifications(:'authority');

\echo '   It sends records, one of them with a date that there is not.  The answer to the file:'
\echo
SELECT cpis_submission_open(:'authority') AS id \gset
\copy cpis.submission_record (nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, local_reference) FROM stdin CSV
9997000013,CPP,2026-03-01,,,2020-05-01,REF-1
999 700 0021,LAC,20260315,,,,REF-2
9997000048,LAC,2026-02-30,,,,REF-3
\.
SELECT * FROM cpis_submission_apply(:id);

\echo '   ... and to each record, with the value as it was sent:'
\echo
SELECT line_no, record_code, detail_code, field, value FROM cpis_submission_answer(:id);

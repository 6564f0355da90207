-- An evening in an emergency department, as the application's own role, in a
-- transaction that rolls back.

\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset linestyle unicode
\pset border 1
\pset null '-'

\echo
\echo '1. The department looks a child up, in a transaction.  Two authorities hold a plan:'
\echo
BEGIN;
SELECT nhs_number_format(nhs_number) AS nhs_number, plan_type, start_date, end_date, event_id
	FROM cpis_lookup(nhs_number_synthetic(1), worker_name => 'Dr A Shah', organisation => 'R0A',
		care_setting => 'emergency_department', job_role => 'Consultant', request_id => 'ED-1');

\echo '   ... with whom to ring.  The second look at the same child is an event of its own:'
\echo
SELECT local_authority AS code, local_authority_name AS authority, emergency_duty_phone, event_id
	FROM cpis_lookup(nhs_number_synthetic(1), worker_name => 'Dr A Shah', organisation => 'R0A',
		care_setting => 'emergency_department', job_role => 'Consultant', request_id => 'ED-2');

\echo '2. A pregnant woman: the plan of the unborn child is held under her number.'
\echo
SELECT nhs_number_format(nhs_number) AS nhs_number, plan_type, start_date,
	local_authority_name AS authority, event_id
	FROM cpis_lookup(nhs_number_synthetic(50000), worker_name => 'M Jones', organisation => 'R0A',
		care_setting => 'maternity', job_role => 'Midwife', request_id => 'ED-3');

\echo '3. A child without a plan.  A miss is a normal answer, and no authority is told:'
\echo
SELECT nhs_number, plan_type, event_id
	FROM cpis_lookup(nhs_number_synthetic(200000), worker_name => 'Dr A Shah', organisation => 'R0A',
		care_setting => 'emergency_department', request_id => 'ED-4');

ROLLBACK;
\echo '4. ROLLBACK.  The application has seen the plans; can it make that unseen?'
\echo

SELECT cpis_submission_open('E06000001', 'delta');
\copy cpis.submission_record (nhs_number, plan_type, start_date) FROM PROGRAM 'printf "9990000018\tlooked_after\t2026-01-02\n1234567890\tunborn\t2026-02-30\n"'
SELECT * FROM cpis_submission_apply();
SELECT * FROM cpis_plan_put('E06000001', nhs_number_synthetic(500), 'looked_after', '2024-01-01', '2024-02-01');
SELECT * FROM cpis_plan_put('E06000002', nhs_number_synthetic(500), 'looked_after', '2026-01-01');
SELECT count(*) FROM cpis_notifications('E06000001', 1000);
SELECT cpis_notifications_acknowledge('E06000001', 20);
SELECT count(*) FROM cpis.authority_plan;
SELECT count(*) FROM cpis.authority_access;

-- England as the guidance of December 2016 counts it: the authorities with
-- children's social services, the NHS trusts, and 49,300 children with a plan,
-- 1,200 unborn, 69,500 looked after.  Authorities and trusts are real; the
-- numbers are of the block 999, which is never issued, the telephones are those
-- that Ofcom keeps for drama.  Run in the folder of the CSV files.

\set ON_ERROR_STOP on

BEGIN;

CREATE TEMPORARY TABLE authority_file (gss_code text, name text, region text);
\copy authority_file FROM 'local_authorities.csv' (FORMAT csv, HEADER)
INSERT INTO cpis.local_authority (code, name, office_hours_phone, emergency_duty_phone)
	SELECT gss_code, name, '01632 960' || to_char(2 * n - 1, 'FM000'), '01632 960' || to_char(2 * n, 'FM000')
	FROM (SELECT *, row_number() OVER (ORDER BY gss_code) AS n FROM authority_file) AS numbered;

CREATE TEMPORARY TABLE trust_file (ods_code text, name text);
\copy trust_file FROM 'nhs_trusts.csv' (FORMAT csv, HEADER)
INSERT INTO cpis.organisation (code, name) SELECT ods_code, name FROM trust_file;

-- Child n has the n-th number of the block.  One plan in ten has ended within
-- the last year, and is still held.
CREATE TEMPORARY TABLE child AS
	SELECT n, nhs_number_synthetic(n) AS nhs_number,
		CASE WHEN n <= 49300 THEN 'child_protection'
			WHEN n <= 49300 + 1200 THEN 'unborn'
			ELSE 'looked_after' END AS plan_type,
		1 + n * 7919 % (SELECT count(*) FROM cpis.local_authority) AS authority_no,
		current_date - 30 - n % 700 AS start_date
	FROM generate_series(1, 49300 + 1200 + 69500) AS n;
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
	SELECT nhs_number, plan_type, code, start_date,
		CASE WHEN n % 10 = 0 THEN greatest(start_date, current_date - n % 360) END
	FROM child
	JOIN (SELECT code, row_number() OVER (ORDER BY code) AS authority_no FROM cpis.local_authority) AS authority
		USING (authority_no);

-- The first child has moved: the authority it came from looked after it.
INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
	SELECT nhs_number, 'looked_after',
		(SELECT max(code) FROM cpis.local_authority), current_date - 400
	FROM child WHERE n = 1;

COMMIT;

ANALYZE cpis.plan;

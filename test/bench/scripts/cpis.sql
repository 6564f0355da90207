\set child random(:first, :last)
SELECT * FROM cpis_lookup(nhs_number_synthetic(:child), 'Dr A Shah', 'R0A', 'emergency_department', job_role => 'Consultant');

\set child random(:first, :last)
SELECT * FROM bench.lookup('dblink', nhs_number_synthetic(:child), 'Dr A Shah', 'R0A', 'emergency_department', 'Consultant');

\set child random(1, :children)
SELECT * FROM cpis_lookup(bench.nhs_number(:child), 'Dr A Shah', 'R0A', 'emergency_department', job_role => 'Consultant');

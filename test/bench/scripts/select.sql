\set child random(:first, :last)
SELECT p.nhs_number, p.plan_type, p.start_date, p.end_date,
	p.local_authority, a.name, a.office_hours_phone, a.emergency_duty_phone
FROM cpis.plan AS p
JOIN cpis.local_authority AS a ON a.code = p.local_authority
JOIN cpis.plan_type AS t ON t.code = p.plan_type
WHERE p.nhs_number = nhs_number_synthetic(:child)
	AND (p.delete_date IS NULL OR CAST(clock_timestamp() AT TIME ZONE 'Europe/London' AS date) < p.delete_date)
	AND (p.end_date IS NULL
		OR CAST(clock_timestamp() AT TIME ZONE 'Europe/London' AS date) <= p.end_date + t.retention_days)
ORDER BY p.start_date DESC, p.plan_id;

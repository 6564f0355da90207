-- What a day of others leaves, for the report: look-ups by many organisations, and how far they are with
-- CP-IS.  Run by a superuser, who may speak for all of them.

\set ON_ERROR_STOP on
\set QUIET on

SELECT count(*) AS looked
	FROM generate_series(1, 600) AS asked (n)
		JOIN (SELECT row_number() OVER (ORDER BY code) AS n, code FROM cpis.organisation) AS o
			ON o.n = 1 + abs(hashint4(asked.n + 1000)) % 40 * (abs(hashint4(asked.n + 3000)) % 40) / 40
		JOIN (SELECT row_number() OVER (ORDER BY code) AS n, code FROM cpis.care_setting) AS s ON s.n = 1 + abs(hashint4(asked.n + 2000)) % 16,
	LATERAL cpis_lookup(nhs_number_synthetic(CAST(1 + abs(hashint4(asked.n)) % 240000 AS integer)), 'Nurse ' || asked.n % 50, o.code, s.code,
		worker_id => 'W' || asked.n % 50, notify => asked.n % 20 > 0) \gset
UPDATE cpis.organisation SET commissioner = 'Q' || 10 + abs(hashtext(code)) % 8;
INSERT INTO cpis.provider SELECT o.code, a.code FROM cpis.organisation o
	JOIN (SELECT row_number() OVER (ORDER BY code) - 1 AS n, code FROM cpis.local_authority) AS a ON a.n = abs(hashtext(o.code)) % 153;
INSERT INTO cpis.provider_step
	SELECT organisation, step.code, today.day - 200 + 20 * step.place, CASE WHEN step.place <= abs(hashtext(organisation)) % 14 THEN today.day - 210 + 20 * step.place END
	FROM cpis.provider, cpis.implementation_step step, (SELECT current_date) AS today (day);
UPDATE cpis.provider SET champion = 'Champion of ' || organisation WHERE hashtext(organisation) % 4 <> 0;
INSERT INTO cpis.group_member
	SELECT organisation, part.name, 'Member of the group' FROM cpis.provider,
		unnest(ARRAY['information_technology', 'safeguarding', 'clinical', 'information_governance', 'nhs_digital', 'local_authority']) AS part (name)
	WHERE hashtext(organisation || part.name) % 5 <> 0;
SELECT count(cpis_provider_setting_set(organisation, 'emergency_department', 'integrated', current_date, CASE WHEN hashtext(organisation) % 3 <> 0 THEN current_date - 30 END)) AS settings
	FROM cpis.provider WHERE organisation <> 'R0A' \gset
SELECT count(cpis_notifications_acknowledge(local_authority, max)) AS acknowledged
	FROM (SELECT local_authority, max(notification_no) FROM cpis.notification GROUP BY local_authority HAVING hashtext(local_authority) % 4 <> 0) AS n \gset
SELECT cpis_summarise() AS summarised \gset
CREATE ROLE analyst LOGIN IN ROLE cpis_analyst;

/*
 * cpis_report(): what analysts and designated professionals look at, as one page of HTML.
 *
 * The page has everything in it - style, charts as inline SVG - and asks for nothing: no script, no
 * font, no picture.  Each chart says in words what it shows, and a table has its numbers.  Charts are
 * drawn in the colours of the page, which follow the reader's choice of light or dark; lengths and
 * labels tell what colour does, too.
 *
 * Its numbers are those of the views for analysts, under which name each section says.  SECURITY
 * INVOKER: it shows who calls it nothing that those would not.
 *
 * The page goes to people who see no more than it.  So all its numbers of children, accesses and notices, sums
 * included, but for the size of the ledger, are told as cpis.told() tells them, each by itself, for from exact
 * ones beside them those that are not said would follow.  Shares, orders, lengths and lags are of what is told, too: a mean and a longest lag that agree would
 * say that there was one notice.  Functions take numbers that are told, or cpis.report_told() tells them.
 */
CREATE FUNCTION cpis.html(content text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
	RETURN replace(replace(replace(replace(content, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');
COMMENT ON FUNCTION cpis.html(text) IS 'text as it stands in HTML, in content and in attributes in double quotes';

CREATE FUNCTION cpis.report_number(n numeric) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN COALESCE(to_char(n, 'FM999,999,999,999,990'), '–');
COMMENT ON FUNCTION cpis.report_number(numeric) IS 'a number with thousands separated';

CREATE FUNCTION cpis.report_told(n bigint) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN CASE WHEN n IS NULL THEN '1 to 7' ELSE cpis.report_number(n) END;
COMMENT ON FUNCTION cpis.report_told(bigint) IS 'what cpis.told() tells of a number, in words';

-- Both are rounded to 5: of 100 a share is right to about 5 per cent, of 5,000 to a tenth.
CREATE FUNCTION cpis.report_percent(part numeric, whole numeric) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN COALESCE(CASE WHEN whole >= 100 THEN
		to_char(100 * part / whole, CASE WHEN whole >= 5000 THEN 'FM999,999,999,999,999,999,999,990.0' ELSE 'FM999,999,999,999,999,999,999,990' END) || ' %' END, '–');
COMMENT ON FUNCTION cpis.report_percent(numeric, numeric) IS 'a part of a whole in per cent, with tenths from 5,000; – where either is not told, or the whole is less than 100';

CREATE FUNCTION cpis.report_day(day date) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN COALESCE(to_char(day::timestamp, 'FMDD Mon YYYY'), '–');
COMMENT ON FUNCTION cpis.report_day(date) IS 'a day in words';

CREATE FUNCTION cpis.report_lag(lag interval) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN CASE WHEN lag IS NULL THEN '–'
		WHEN lag < interval '1 hour' THEN round(extract(epoch FROM lag) / 60) || ' min'
		WHEN lag < interval '2 days' THEN to_char(extract(epoch FROM lag) / 3600, 'FM990.0') || ' h'
		ELSE to_char(extract(epoch FROM lag) / 86400, 'FM999,999,999,990.0') || ' days' END;
COMMENT ON FUNCTION cpis.report_lag(interval) IS 'a time that something waited';

CREATE FUNCTION cpis.report_cell(cell text, n integer, header text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN n = 1 THEN '<th scope="row" role="rowheader">' || cpis.html(cell) || '</th>'
		-- Made by cpis.report_bar(): no text of anybody's stands in the second column.
		WHEN n = 2 AND cell LIKE '<svg %' THEN '<td role="cell" class="bar">' || cell || '</td>'
		ELSE '<td role="cell" data-label="' || cpis.html(header) || '">' || cpis.html(cell) || '</td>' END;
COMMENT ON FUNCTION cpis.report_cell(text, integer, text) IS 'a cell of a table, the first of a row its header; the second may be a bar';

CREATE FUNCTION cpis.report_table(caption text, headers text[], cells text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	-- On a narrow page a table of several columns becomes a list; its roles stay, whatever its boxes are.
	SELECT CASE WHEN cells IS NULL THEN '<p>' || cpis.html(caption) || ': nothing in this period.</p>'
		ELSE '<div class="scroll" role="region" tabindex="0" aria-label="' || cpis.html(caption) || '"><table role="table" class="' || concat_ws(' ', CASE WHEN t.has_bar THEN 'ranked' END,
				CASE WHEN cardinality(headers) - t.has_bar::integer > 3 THEN 'cards' END, CASE WHEN cardinality(headers) > 9 THEN 'dense' END) || '"><caption>' || cpis.html(caption) || '</caption><thead role="rowgroup"><tr role="row">'
			|| (SELECT string_agg('<th scope="col" role="columnheader">' || cpis.html(h.header) || '</th>', '' ORDER BY h.n) FROM unnest(headers) WITH ORDINALITY AS h (header, n))
			|| '</tr></thead><tbody role="rowgroup">'
			|| (SELECT string_agg('<tr role="row">' || (SELECT string_agg(cpis.report_cell(cells[r][c], c, headers[c]), '' ORDER BY c) FROM generate_subscripts(cells, 2) AS c) || '</tr>', '' ORDER BY r) FROM generate_subscripts(cells, 1) AS r)
			|| '</tbody></table></div>' END
	FROM (SELECT COALESCE(cells[1][2] LIKE '<svg %', false) AS has_bar) AS t;
END;
COMMENT ON FUNCTION cpis.report_table(text, text[], text[]) IS 'a table, of cells in two dimensions; a sentence where it has no rows';

CREATE FUNCTION cpis.report_bar(part numeric, most numeric) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	-- The number stands beside it.  One that is not told has no length.
	RETURN '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="track" width="100" height="10"/><rect class="fill" width="'
		|| to_char(CASE WHEN most > 0 THEN 100 * COALESCE(part, 0) / most ELSE 0 END, 'FM990.0') || '" height="10"/></svg>';
COMMENT ON FUNCTION cpis.report_bar(numeric, numeric) IS 'a bar in a row of a ranking';

CREATE FUNCTION cpis.report_chart(title text, labels text[], numbers numeric[], unit text, total text = NULL) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT '<figure><figcaption>' || cpis.html(title) || '</figcaption><svg viewBox="0 0 340 130" role="img" aria-label="' || cpis.html(format('%s: %sat most %s %s in one column, %s to %s',
			title, COALESCE(total || ' in all, ', ''), v.most_text, unit, labels[1], labels[v.n])) || '">'
		|| '<line class="axis" x1="0" x2="340" y1="110" y2="110"/><line class="grid" x1="0" x2="340" y1="20" y2="20"/>'
		|| '<text x="0" y="14">' || v.most_text || ' ' || cpis.html(unit) || '</text>'
		|| (SELECT string_agg(format('<rect class="fill" x="%s" y="%s" width="%s" height="%s"/>', round((b.n - 1) * 340.0 / v.n + 340.0 / v.n * 0.1, 1),
				round(110 - 90 * b.number / v.scale, 1), round(340.0 / v.n * 0.8, 1), round(90 * b.number / v.scale, 1)), '' ORDER BY b.n)
			FROM (SELECT c.n, COALESCE(c.number, 0) FROM unnest(numbers) WITH ORDINALITY AS c (number, n)) AS b (n, number))
		|| '<text x="0" y="125">' || cpis.html(labels[1]) || '</text>'
		|| CASE WHEN v.n > 1 THEN '<text x="340" y="125" class="end">' || cpis.html(labels[v.n]) || '</text>' ELSE '' END
		|| '</svg></figure>'
	FROM (SELECT u.n, CASE WHEN u.most > 0 THEN u.most ELSE 1 END AS scale,
			CASE WHEN total IS NULL THEN to_char(u.most, 'FM999,999,990.0') WHEN u.most = 0 AND u.untold THEN cpis.report_told(NULL) ELSE cpis.report_number(u.most) END AS most_text
		FROM (SELECT COALESCE(max(c.number), 0) AS most, bool_or(c.number IS NULL) AS untold, count(*)::integer AS n FROM unnest(numbers) AS c (number)) AS u) AS v
	WHERE v.n > 0;
END;
COMMENT ON FUNCTION cpis.report_chart(text, text[], numeric[], text, text) IS 'columns over time, with the highest number and the first and the last label; in words their total, too, which those have that are told';

CREATE FUNCTION cpis.report_section(id text, title text, content text, source text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN '<section aria-labelledby="' || id || '"><h2 id="' || id || '">' || cpis.html(title) || '</h2>' || content
		|| '<p class="source">' || cpis.html(source) || '</p></section>';
COMMENT ON FUNCTION cpis.report_section(text, text, text, text) IS 'a section of the report, and where its numbers are from';

-- Days up to six weeks, months up to five years, else years.
CREATE FUNCTION cpis.report_steps(from_date date, to_date date, OUT step integer, OUT begins date, OUT label text, OUT unit text) RETURNS SETOF record
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT row_number() OVER (ORDER BY s.at)::integer, s.at::date,
		CASE scale.unit WHEN 'day' THEN to_char(s.at, 'FMDD Mon') WHEN 'month' THEN to_char(s.at, 'Mon YYYY') ELSE to_char(s.at, 'YYYY') END, scale.unit
	FROM (SELECT CASE WHEN to_date - from_date < 42 THEN 'day' WHEN to_date - from_date < 1827 THEN 'month' ELSE 'year' END) AS scale (unit)
		CROSS JOIN LATERAL generate_series(date_trunc(scale.unit, from_date::timestamp), to_date::timestamp, ('1 ' || scale.unit)::interval) AS s (at);
END;
COMMENT ON FUNCTION cpis.report_steps(date, date) IS 'into which steps charts divide the period';

/*
 * SECURITY DEFINER, for names of settings and organisations, which are no secret.
 */
CREATE FUNCTION cpis.report_settings(OUT code text, OUT name text) RETURNS SETOF record
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT c.code, c.name FROM cpis.care_setting c;
END;
COMMENT ON FUNCTION cpis.report_settings() IS 'names of care settings';

CREATE FUNCTION cpis.report_organisations(OUT code text, OUT name text) RETURNS SETOF record
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT o.code, o.name FROM cpis.organisation o;
END;
COMMENT ON FUNCTION cpis.report_organisations() IS 'names of organisations';

-- Whole months from the numbers of months, which are fewer; the rest by day.
CREATE FUNCTION cpis.report_access(from_date date, to_date date, OUT begins date, OUT action text, OUT outcome text, OUT organisation text, OUT care_setting text, OUT notify boolean, OUT accesses bigint)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH whole AS (
		SELECT (date_trunc('month', from_date::timestamp - interval '1 day') + interval '1 month')::date AS from_month, date_trunc('month', to_date::timestamp + interval '1 day')::date AS to_month
	)
	SELECT a.month, a.action, a.outcome, a.organisation, a.care_setting, a.notify, a.accesses
	FROM cpis.analyst_access_month a
	WHERE a.month >= (SELECT w.from_month FROM whole w) AND a.month < (SELECT w.to_month FROM whole w) AND to_date - from_date >= 42
	UNION ALL
	SELECT a.day, a.action, a.outcome, a.organisation, a.care_setting, a.notify, a.accesses
	FROM cpis.analyst_access_day a
	WHERE a.day >= from_date AND a.day < CASE WHEN to_date - from_date < 42 THEN to_date + 1 ELSE (SELECT least(w.from_month, to_date + 1) FROM whole w) END
	UNION ALL
	SELECT a.day, a.action, a.outcome, a.organisation, a.care_setting, a.notify, a.accesses
	FROM cpis.analyst_access_day a
	WHERE to_date - from_date >= 42 AND a.day >= (SELECT w.to_month FROM whole w) AND a.day <= to_date;
END;
COMMENT ON FUNCTION cpis.report_access(date, date) IS 'accesses of these days, whole months together where there are more than six weeks';

CREATE FUNCTION cpis.report_headlines(from_date date, to_date date) RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH register AS MATERIALIZED (
		SELECT r.plan_type, r.plan_type_name, r.children, guidance.children AS expected
		FROM cpis.analyst_register r
			LEFT JOIN (VALUES ('child_protection', 49300), ('unborn', 1200), ('looked_after', 69500)) AS guidance (plan_type, children) ON guidance.plan_type = r.plan_type
	), access AS MATERIALIZED (
		SELECT cpis.told(n.answered) AS answered, cpis.told(n.found) AS found, cpis.told(n.refused) AS refused, cpis.told(n.silent) AS silent, n.organisations
		FROM (SELECT COALESCE(sum(a.accesses) FILTER (WHERE a.outcome <> 'refused'), 0)::bigint AS answered, COALESCE(sum(a.accesses) FILTER (WHERE a.outcome = 'found'), 0)::bigint AS found,
				COALESCE(sum(a.accesses) FILTER (WHERE a.outcome = 'refused'), 0)::bigint AS refused,
				COALESCE(sum(a.accesses) FILTER (WHERE NOT a.notify AND a.action = 'lookup' AND a.outcome <> 'refused'), 0)::bigint AS silent,
				count(DISTINCT a.organisation) FILTER (WHERE a.outcome <> 'refused') AS organisations
			FROM cpis.report_access(from_date, to_date) a) AS n
	), figure (place, name, value, note) AS (
		SELECT 1, 'Children with a running plan today', cpis.report_number(sum(r.children)),
			cpis.report_percent(sum(r.children), 120000) || ' of the 120,000 in England of the guidance; a child with plans of two kinds counts for both'
				|| CASE WHEN bool_or(r.children IS NULL) THEN '; kinds with 1 to 7 children are left out' ELSE '' END
		FROM register r
		UNION ALL SELECT 2, 'Accesses answered', cpis.report_told(a.answered), 'by ' || cpis.report_number(a.organisations) || CASE a.organisations WHEN 1 THEN ' organisation' ELSE ' organisations' END FROM access a
		UNION ALL SELECT 3, 'Accesses that found a plan', cpis.report_told(a.found), cpis.report_percent(a.found, a.answered) || ' of those answered' FROM access a
		UNION ALL SELECT 4, 'Look-ups without a notice', cpis.report_told(a.silent), 'silent reads, ' || cpis.report_percent(a.silent, a.answered) || ' of accesses answered' FROM access a
		UNION ALL SELECT 5, 'Accesses refused', cpis.report_told(a.refused), 'recorded, and nothing disclosed' FROM access a
	)
	SELECT cpis.report_section('headlines', 'Headline figures',
		'<dl class="figures">' || (SELECT string_agg('<div><dt>' || cpis.html(f.name) || '</dt><dd><strong>' || f.value || '</strong> <span>' || cpis.html(f.note) || '</span></dd></div>', '' ORDER BY f.place) FROM figure f) || '</dl>'
		|| cpis.report_table('Children with a running plan today, against the guidance', ARRAY['Kind of plan', 'Share of the guidance''s number', 'Children', 'Guidance (2014/15)'],
			(SELECT array_agg(ARRAY[r.plan_type_name, cpis.report_bar(CASE WHEN r.children IS NOT NULL THEN least(r.children, r.expected) END, r.expected), cpis.report_told(r.children), cpis.report_number(r.expected)] ORDER BY r.expected DESC) FROM register r)),
		'cpis.analyst_register, cpis.analyst_access_day.');
END;
COMMENT ON FUNCTION cpis.report_headlines(date, date) IS 'section of the report: headline figures';

CREATE FUNCTION cpis.report_accesses(from_date date, to_date date) RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH step AS MATERIALIZED (
		SELECT s.step, s.begins, s.label, s.unit FROM cpis.report_steps(from_date, to_date) s
	), access AS MATERIALIZED (
		SELECT date_trunc((SELECT min(s.unit) FROM step s), a.begins::timestamp)::date AS begins, COALESCE(a.care_setting, 'not known') AS care_setting, a.organisation, sum(a.accesses) AS accesses
		FROM cpis.report_access(from_date, to_date) a
		WHERE a.outcome <> 'refused'
		GROUP BY 1, 2, 3
	), setting AS MATERIALIZED (
		SELECT a.care_setting, COALESCE(max(c.name), a.care_setting) AS name, cpis.told(sum(a.accesses)::bigint) AS accesses
		FROM access a LEFT JOIN cpis.report_settings() c ON c.code = a.care_setting GROUP BY a.care_setting
	), cell AS MATERIALIZED (
		SELECT s.name, s.accesses AS total, t.step, t.label, t.unit, cpis.told(COALESCE(sum(a.accesses), 0)::bigint) AS accesses
		FROM setting s CROSS JOIN step t LEFT JOIN access a ON a.care_setting = s.care_setting AND a.begins = t.begins
		GROUP BY s.name, s.accesses, t.step, t.label, t.unit
	), place AS MATERIALIZED (
		SELECT a.organisation, sum(a.accesses) AS exact, cpis.told(sum(a.accesses)::bigint) AS accesses,
			row_number() OVER (ORDER BY cpis.told(sum(a.accesses)::bigint) DESC NULLS LAST, a.organisation) AS n
		FROM access a GROUP BY a.organisation
	)
	SELECT cpis.report_section('accesses', 'Accesses over time, by care setting',
		COALESCE('<div class="charts">' || (SELECT cpis.report_chart('All care settings', array_agg(t.label ORDER BY t.step), array_agg(cpis.told(t.accesses) ORDER BY t.step), 'a ' || min(t.unit), cpis.report_told(cpis.told(sum(t.accesses)::bigint)))
				FROM (SELECT u.step, u.label, u.unit, COALESCE(sum(a.accesses), 0)::bigint AS accesses FROM step u LEFT JOIN access a ON a.begins = u.begins GROUP BY u.step, u.label, u.unit) AS t
				WHERE EXISTS (SELECT FROM access))
			|| (SELECT string_agg(s.chart, '' ORDER BY s.total DESC NULLS LAST, s.name)
				FROM (SELECT c.name, c.total, cpis.report_chart(c.name, array_agg(c.label ORDER BY c.step), array_agg(c.accesses ORDER BY c.step), 'a ' || min(c.unit), cpis.report_told(c.total)) AS chart
					  FROM cell c GROUP BY c.name, c.total) AS s) || '</div>', '')
		|| CASE WHEN (SELECT count(*) FROM step) > 14 THEN
			cpis.report_table('Accesses by care setting', ARRAY['Care setting', 'Share', 'Accesses'],
				(SELECT array_agg(ARRAY[s.name, cpis.report_bar(s.accesses, (SELECT max(o.accesses) FROM setting o)), cpis.report_told(s.accesses)] ORDER BY s.accesses DESC NULLS LAST, s.name) FROM setting s))
		ELSE
			cpis.report_table('Accesses by care setting', ARRAY['Care setting'] || (SELECT array_agg(t.label ORDER BY t.step) FROM step t) || ARRAY['Total'],
				(SELECT array_agg(r.body ORDER BY r.total DESC NULLS LAST, r.name)
				 FROM (SELECT c.name, c.total, ARRAY[c.name] || array_agg(cpis.report_told(c.accesses) ORDER BY c.step) || ARRAY[cpis.report_told(c.total)] AS body
					   FROM cell c GROUP BY c.name, c.total) AS r)) END,
		'cpis.analyst_access_day. Accesses answered: look-ups and flags.')
		|| cpis.report_section('organisations', 'Organisations that looked most',
			cpis.report_table('Accesses by organisation, the 25 with most', ARRAY['Organisation', 'Share of the most', 'Accesses'],
				(SELECT array_agg(ARRAY[COALESCE(o.name || ' (' || p.organisation || ')', p.organisation, 'not known'), cpis.report_bar(p.accesses, (SELECT max(m.accesses) FROM place m)), cpis.report_told(p.accesses)] ORDER BY p.n)
				 FROM place p LEFT JOIN cpis.report_organisations() o ON o.code = p.organisation WHERE p.n <= 25))
			|| COALESCE((SELECT '<p>' || cpis.report_number(count(*)) || CASE count(*) WHEN 1 THEN ' other organisation: ' ELSE ' other organisations: ' END || cpis.report_told(cpis.told(sum(p.exact)::bigint)) || ' accesses.</p>' FROM place p WHERE p.n > 25 HAVING count(*) > 0), ''),
			'cpis.analyst_access_day; all of them by month in cpis.analyst_access_month.');
END;
COMMENT ON FUNCTION cpis.report_accesses(date, date) IS 'sections of the report: accesses over time, and by organisation';

CREATE FUNCTION cpis.report_notices(from_date date, to_date date) RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH scale AS MATERIALIZED (
		-- As report_steps() divides it, but for days: what is acknowledged is counted by month.
		SELECT CASE WHEN to_date - from_date < 1827 THEN 'month' ELSE 'year' END AS unit
	), notice AS MATERIALIZED (
		SELECT n.month, n.local_authority, COALESCE(n.local_authority_name || ' (' || n.local_authority || ')', n.local_authority) AS name, n.notices
		FROM cpis.analyst_notice n WHERE n.month BETWEEN date_trunc('month', from_date::timestamp) AND to_date
	), acknowledged AS MATERIALIZED (
		SELECT k.month, k.local_authority, k.notices, k.notices * k.mean_lag AS total_lag, k.longest_lag, k.within_hour, k.within_day
		FROM cpis.analyst_acknowledgement k WHERE k.month BETWEEN date_trunc('month', from_date::timestamp) AND to_date
	), authority AS MATERIALIZED (
		SELECT n.local_authority, n.name, sum(n.notices) AS exact, cpis.told(sum(n.notices)::bigint) AS notices,
			row_number() OVER (ORDER BY cpis.told(sum(n.notices)::bigint) DESC NULLS LAST, n.local_authority) AS n
		FROM notice n GROUP BY n.local_authority, n.name
	), lag AS MATERIALIZED (
		SELECT k.local_authority, cpis.told(sum(k.notices)::bigint) AS notices, sum(k.total_lag) / sum(k.notices)::double precision AS mean_lag, max(k.longest_lag) AS longest_lag,
			cpis.told(sum(k.within_day)::bigint) AS within_day
		FROM acknowledged k GROUP BY k.local_authority HAVING cpis.told(sum(k.notices)::bigint) IS NOT NULL
	), month AS MATERIALIZED (
		SELECT s.month, s.unit, s.label, cpis.told(s.sent) AS sent, cpis.told(s.notices) AS notices, CASE WHEN cpis.told(s.notices) IS NOT NULL THEN s.mean_lag END AS mean_lag,
			CASE WHEN cpis.told(s.notices) IS NOT NULL THEN s.longest_lag END AS longest_lag, cpis.told(s.within_hour) AS within_hour, cpis.told(s.within_day) AS within_day
		FROM (
			SELECT m.at::date AS month, scale.unit, to_char(m.at, CASE scale.unit WHEN 'month' THEN 'Mon YYYY' ELSE 'YYYY' END) AS label,
				(SELECT COALESCE(sum(n.notices), 0)::bigint FROM notice n WHERE date_trunc(scale.unit, n.month::timestamp) = m.at) AS sent,
				COALESCE(sum(k.notices), 0)::bigint AS notices, sum(k.total_lag) / sum(k.notices)::double precision AS mean_lag, max(k.longest_lag) AS longest_lag,
				COALESCE(sum(k.within_hour), 0)::bigint AS within_hour, COALESCE(sum(k.within_day), 0)::bigint AS within_day
			FROM scale CROSS JOIN LATERAL generate_series(date_trunc(scale.unit, from_date::timestamp), to_date::timestamp, ('1 ' || scale.unit)::interval) AS m (at)
				LEFT JOIN acknowledged k ON date_trunc(scale.unit, k.month::timestamp) = m.at
			GROUP BY m.at, scale.unit) AS s
	)
	SELECT cpis.report_section('authorities', 'Local authorities that were notified most',
			cpis.report_table('Notices by local authority, the 25 with most', ARRAY['Local authority', 'Share of the most', 'Notices', 'Mean lag', 'Longest lag', 'Within 24 hours'],
				(SELECT array_agg(ARRAY[a.name, cpis.report_bar(a.notices, (SELECT max(m.notices) FROM authority m)), cpis.report_told(a.notices), cpis.report_lag(l.mean_lag), cpis.report_lag(l.longest_lag),
					cpis.report_percent(l.within_day, l.notices)] ORDER BY a.n) FROM authority a LEFT JOIN lag l ON l.local_authority = a.local_authority WHERE a.n <= 25))
			|| COALESCE((SELECT '<p>' || cpis.report_number(count(*)) || CASE count(*) WHEN 1 THEN ' other authority: ' ELSE ' other authorities: ' END || cpis.report_told(cpis.told(sum(a.exact)::bigint)) || ' notices.</p>' FROM authority a WHERE a.n > 25 HAVING count(*) > 0), ''),
			'cpis.analyst_notice, cpis.analyst_acknowledgement, whole months: notices of accesses, and of corrections and numbers that change. Lag is from the event to the acknowledgement of its notice.')
		|| cpis.report_section('lag', 'How long notices waited',
			COALESCE('<div class="charts">' || (SELECT cpis.report_chart('Notices sent', array_agg(m.label ORDER BY m.month), array_agg(m.sent ORDER BY m.month), 'a ' || min(m.unit),
					(SELECT cpis.report_told(cpis.told(COALESCE(sum(n.notices), 0)::bigint)) FROM notice n)) FROM month m)
				|| (SELECT cpis.report_chart('Mean lag of notices acknowledged, in hours', array_agg(m.label ORDER BY m.month), array_agg(round(extract(epoch FROM m.mean_lag) / 3600, 1) ORDER BY m.month), 'hours') FROM month m) || '</div>', '')
			|| cpis.report_table('Notices over time', ARRAY['Month or year', 'Sent', 'Acknowledged', 'Mean lag', 'Longest lag', 'Within an hour', 'Within 24 hours'],
				(SELECT array_agg(ARRAY[m.label, cpis.report_told(m.sent), cpis.report_told(m.notices), cpis.report_lag(m.mean_lag), cpis.report_lag(m.longest_lag),
					cpis.report_percent(m.within_hour, m.notices), cpis.report_percent(m.within_day, m.notices)] ORDER BY m.month) FROM month m))
			|| (SELECT '<p>' || CASE WHEN count(*) = 0 THEN 'No authority has notices that have waited for more than a day.'
				ELSE cpis.report_number(count(*)) || CASE count(*) WHEN 1 THEN ' authority has' ELSE ' authorities have' END || ' notices that have waited for more than a day now'
					|| CASE WHEN max(cpis.told(e.unacknowledged)) > 0
						THEN ', the oldest of one that has more than 7 for ' || cpis.report_lag(max(e.lag) FILTER (WHERE cpis.told(e.unacknowledged) > 0)) ELSE '' END || '.' END || '</p>' FROM cpis_notification_escalation e),
			'cpis.analyst_notice, cpis.analyst_acknowledgement, cpis_notification_escalation.');
END;
COMMENT ON FUNCTION cpis.report_notices(date, date) IS 'sections of the report: notices by authority, and their lag';

CREATE FUNCTION cpis.report_attendance(from_date date, to_date date) RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH attendance AS MATERIALIZED (
		SELECT a.month, a.care_settings, a.organisations, a.local_authorities, a.children
		FROM cpis.analyst_attendance a WHERE a.month BETWEEN date_trunc('month', from_date::timestamp) AND to_date
	)
	SELECT cpis.report_section('attendance', 'Children seen in several places',
		COALESCE((SELECT cpis.report_table('Children with a plan who were seen in ' || to_char(max(a.month)::timestamp, 'FMMonth YYYY'), ARRAY['Seen in', 'Organisations', 'Authorities notified', 'Children'],
				array_agg(ARRAY[CASE a.care_settings WHEN 1 THEN '1 care setting' WHEN 3 THEN '3 or more care settings' ELSE a.care_settings || ' care settings' END, CASE a.organisations WHEN 3 THEN '3 or more' ELSE a.organisations::text END,
					CASE a.local_authorities WHEN 2 THEN '2 or more' ELSE a.local_authorities::text END, cpis.report_told(a.children)] ORDER BY a.care_settings, a.organisations, a.local_authorities))
			FROM attendance a WHERE a.month = (SELECT max(m.month) FROM attendance m) HAVING count(*) > 0), '<p>Nobody was seen in this period.</p>'),
		'cpis.analyst_attendance (guidance section 4.2), the last month, whole, of the period in which anybody was seen.');
END;
COMMENT ON FUNCTION cpis.report_attendance(date, date) IS 'section of the report: children seen in several settings, organisations or authorities';

CREATE FUNCTION cpis.report_submissions(from_date date, to_date date) RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT cpis.report_section('submissions', 'What local authorities sent',
		cpis.report_table('Submissions by answer', ARRAY['Answer', 'Submissions', 'Records loaded', 'Records rejected', 'Authorities'],
			(SELECT array_agg(ARRAY[concat_ws(' ', s.file_code, s.detail_code), cpis.report_number(s.submissions), cpis.report_number(s.accepted), cpis.report_number(s.rejected), cpis.report_number(s.authorities)] ORDER BY s.file_code, s.detail_code)
			 FROM (SELECT v.file_code, v.detail_code, sum(v.submissions) AS submissions, sum(v.accepted) AS accepted, sum(v.rejected) AS rejected, count(DISTINCT v.local_authority) AS authorities
				   FROM cpis.analyst_submission v WHERE v.month BETWEEN date_trunc('month', from_date::timestamp) AND to_date GROUP BY v.file_code, v.detail_code) AS s))
		|| cpis.report_table('Records by answer, the 15 most frequent', ARRAY['Answer', 'Share of the most', 'Records'],
			(SELECT array_agg(ARRAY[concat_ws(' ', r.record_code, r.detail_code, r.field), cpis.report_bar(r.records, r.most), cpis.report_number(r.records)] ORDER BY r.records DESC, r.record_code, r.detail_code, r.field)
			 FROM (SELECT v.record_code, v.detail_code, v.field, sum(v.records) AS records, max(sum(v.records)) OVER () AS most, row_number() OVER (ORDER BY sum(v.records) DESC, v.record_code, v.detail_code, v.field) AS n
				   FROM cpis.analyst_answer v WHERE v.month BETWEEN date_trunc('month', from_date::timestamp) AND to_date GROUP BY v.record_code, v.detail_code, v.field) AS r WHERE r.n <= 15)),
		'cpis.analyst_submission, cpis.analyst_answer, whole months.');
END;
COMMENT ON FUNCTION cpis.report_submissions(date, date) IS 'section of the report: submissions and how they were answered';

CREATE FUNCTION cpis.report_implementation() RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH progress AS MATERIALIZED (SELECT p.* FROM cpis.implementation_progress p)
	SELECT cpis.report_section('implementation', 'How far providers are',
		cpis.report_table('All providers', ARRAY['What', 'Share', 'Number', 'Of'],
			(SELECT array_agg(ARRAY[w.name, cpis.report_bar(w.part, w.whole), cpis.report_number(w.part), cpis.report_number(w.whole)] ORDER BY w.n)
			 FROM (SELECT count(*) AS providers, count(p.agreement_sent_on) AS sent, count(p.agreement_signed_on) AS signed, count(p.agreement_returned_on) AS returned, count(*) FILTER (WHERE p.has_champion) AS champions,
					   count(*) FILTER (WHERE p.group_parts_missing = '{}') AS groups, COALESCE(sum(p.steps), 0) AS steps, COALESCE(sum(p.steps_done), 0) AS steps_done, COALESCE(sum(p.settings), 0) AS settings, COALESCE(sum(p.settings_live), 0) AS live
				   FROM progress p) AS t
				CROSS JOIN LATERAL (VALUES (1, 'Letter of agreement sent', t.sent, t.providers), (2, 'Letter of agreement signed', t.signed, t.providers), (3, 'Letter of agreement returned', t.returned, t.providers),
					(4, 'Clinical champion named', t.champions, t.providers), (5, 'Task and finish group complete', t.groups, t.providers), (6, 'Steps done', t.steps_done, t.steps), (7, 'Care settings live', t.live, t.settings)) AS w (n, name, part, whole)
			 WHERE t.providers > 0))
		|| cpis.report_table('Commissioners, the 25 with most providers', ARRAY['Commissioner', 'Settings live', 'Settings', 'Providers', 'Agreements returned', 'Overdue', 'Open escalations', 'Open risks'],
			(SELECT array_agg(ARRAY[COALESCE(c.commissioner, 'none'), cpis.report_number(c.settings_live), cpis.report_number(c.settings), cpis.report_number(c.providers), cpis.report_number(c.agreements_returned),
				cpis.report_number(c.overdue), cpis.report_number(c.open_escalations), cpis.report_number(c.open_risks)] ORDER BY c.n)
			 FROM (SELECT p.commissioner, count(*) AS providers, count(p.agreement_returned_on) AS agreements_returned, sum(p.settings) AS settings, sum(p.settings_live) AS settings_live, sum(p.overdue) AS overdue,
					   sum(p.open_escalations) AS open_escalations, sum(p.open_risks) AS open_risks, row_number() OVER (ORDER BY count(*) DESC, p.commissioner) AS n FROM progress p GROUP BY p.commissioner) AS c WHERE c.n <= 25)),
		'cpis.implementation_progress, today; by provider there and in cpis.implementation_overdue.');
END;
COMMENT ON FUNCTION cpis.report_implementation() IS 'section of the report: how far providers have implemented CP-IS';

CREATE FUNCTION cpis.report_retention(from_date date, to_date date) RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT cpis.report_section('retention', 'Retention',
		(SELECT '<p>' || CASE WHEN s.due = 0 THEN 'No record is due for removal now.' ELSE cpis.report_number(s.due) || ' records are due for removal now, the oldest since ' || cpis.report_day(s.oldest_due_on) || '.' END
			|| ' ' || cpis.report_number(s.held_back) || ' are held back by a hold; ' || CASE WHEN s.failed = 0 THEN 'the last purge met none that it could not remove' ELSE 'the last purge could not remove ' || cpis.report_number(s.failed) END || '. The purge '
			|| CASE WHEN s.paused THEN 'is paused' WHEN s.automatic THEN 'runs by itself' ELSE 'does not run by itself' END || '.</p>' FROM cpis_stat_retention s)
		|| cpis.report_table('Records removed', ARRAY['Kind of record', 'Removed', 'Latest, days after the day due'],
			(SELECT array_agg(ARRAY[r.kind, cpis.report_number(r.removed), cpis.report_number(r.latest_days)] ORDER BY r.kind)
			 FROM (SELECT v.kind, sum(v.removed) AS removed, max(v.latest_days) AS latest_days FROM cpis.analyst_removal v WHERE v.month BETWEEN date_trunc('month', from_date::timestamp) AND to_date GROUP BY v.kind) AS r)),
		'cpis_stat_retention, today; cpis.analyst_removal, whole months.');
END;
COMMENT ON FUNCTION cpis.report_retention(date, date) IS 'section of the report: records due, and removed';

CREATE FUNCTION cpis.report_ledger() RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT cpis.report_section('ledger', 'The ledger',
		'<dl class="facts"><dt>Name</dt><dd>' || COALESCE(cpis.html(s.origin), 'none yet') || '</dd><dt>Events</dt><dd>' || cpis.report_number(s.tree_size) || '</dd><dt>Newest checkpoint</dt><dd>'
		|| COALESCE(cpis.report_number(s.checkpoint_tree_size) || ' events, ' || to_char(s.checkpoint_at AT TIME ZONE 'Europe/London', 'FMDD Mon YYYY HH24:MI'), 'none') || '</dd><dt>Signed by</dt><dd>'
		|| COALESCE(cpis.html(NULLIF(array_to_string(s.checkpoint_verifier_keys, ', '), '')), 'nobody') || '</dd><dt>Keys</dt><dd>' || COALESCE(cpis.html(s.key_problem), 'in order') || '</dd></dl>',
		'cpis_ledger_status. Whether events are as they were recorded, cpis_audit_verify() tells.')
	FROM cpis_ledger_status s;
END;
COMMENT ON FUNCTION cpis.report_ledger() IS 'section of the report: the ledger and its newest checkpoint';

CREATE FUNCTION cpis.report_unusual(from_date date, to_date date) RETURNS text
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH counted AS (
		SELECT u.day, u.kind, u.cases, u.workers FROM cpis.analyst_unusual u WHERE u.day = (SELECT max(l.day) FROM cpis.analyst_unusual l WHERE l.day BETWEEN from_date AND to_date)
	)
	SELECT cpis.report_section('unusual', 'Unusual access',
		COALESCE((SELECT cpis.report_table('Unusual accesses of the 31 days before ' || cpis.report_day(max(c.day)), ARRAY['What', 'Cases', 'Healthcare workers'],
			array_agg(ARRAY[CASE c.kind WHEN 'bulk' THEN 'More than 30 people within an hour' WHEN 'misses' THEN 'Quick series of numbers without a plan' WHEN 'hours' THEN 'At an hour unusual for the worker' ELSE 'Children of an authority unusual for the organisation' END,
				cpis.report_told(cpis.told(c.cases)), cpis.report_told(cpis.told(c.workers))] ORDER BY c.kind)) FROM counted c HAVING count(*) > 0), '<p>They were not counted in this period: that is done once a week, and once the trail is summarised.</p>'),
		'cpis.analyst_unusual. None of them is proof of anything; a steward looks at them in cpis.unusual_bulk and so on.');
END;
COMMENT ON FUNCTION cpis.report_unusual(date, date) IS 'section of the report: how many unusual accesses there were';

CREATE FUNCTION cpis.report_style() RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN $css$
:root { color-scheme: light dark; --page: #ffffff; --ink: #1d2733; --quiet: #4a5a6a; --line: #c9d1d9; --fill: #005eb8; --track: #e3e9ef; --card: #f4f6f8; }
@media (prefers-color-scheme: dark) { :root { --page: #12181f; --ink: #e8edf2; --quiet: #aebac6; --line: #3a4654; --fill: #6cb4ff; --track: #2a3440; --card: #1b232c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
header, main, footer { max-width: 80rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; border-bottom: 2px solid var(--fill); padding-bottom: 0.25rem; }
a { color: var(--fill); }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 0.5rem; background: var(--page); padding: 0.25rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; list-style: none; margin: 0; padding: 0; }
nav a { display: inline-block; padding: 0.25rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(14rem, 100%), 1fr)); gap: 1rem; margin: 0 0 1rem; }
.figures > div { background: var(--card); border: 1px solid var(--line); border-radius: 0.5rem; padding: 0.75rem 1rem; }
.figures dd { margin: 0; } .figures strong { display: block; font-size: 1.75rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.figures span, .source, figcaption, caption { color: var(--quiet); }
.source { font-size: 0.875em; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.25rem 1rem; margin: 0; }
.facts dt { font-weight: 600; } .facts dd { margin: 0; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 1rem 1.5rem; margin-bottom: 1rem; }
figure { margin: 0; } figure svg { display: block; width: 100%; max-width: 26rem; height: auto; }
svg text { fill: var(--ink); font-size: 11px; font-family: inherit; } svg .end { text-anchor: end; }
svg .fill { fill: var(--fill); } svg .track { fill: var(--track); }
svg .axis { stroke: var(--quiet); } svg .grid { stroke: var(--line); stroke-dasharray: 3 3; }
.scroll { overflow-x: auto; margin: 0 0 1rem; } .scroll:focus-visible { outline: 3px solid var(--fill); }
table { border-collapse: collapse; min-width: min(100%, 30rem); font-size: 0.9375rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0.25rem 0; }
th, td { padding: 0.3rem 0.75rem 0.3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { vertical-align: bottom; white-space: normal; }
th:first-child { text-align: left; } tbody th { font-weight: 400; white-space: normal; min-width: 10rem; overflow-wrap: anywhere; }
.dense { font-size: 0.8125rem; } .dense th, .dense td { padding-right: 0.4rem; } .dense tbody th { min-width: 7rem; }
.bar { width: 12rem; min-width: 6rem; } .bar svg { display: block; width: 100%; height: 0.75rem; }
@media (max-width: 40rem) {
	table { min-width: 0; font-size: 0.875rem; } th, td { padding-right: 0.5rem; } tbody th { min-width: 6.5rem; }
	.ranked .bar, .ranked thead th:nth-child(2) { display: none; }
	.cards, .cards caption, .cards tbody, .cards tr, .cards tbody th { display: block; } .cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
	.cards tr { border-bottom: 1px solid var(--line); padding: 0.4rem 0; } .cards th, .cards td { border: 0; padding: 0.1rem 0; } .cards tbody th { font-weight: 600; }
	.cards td { display: flex; justify-content: space-between; gap: 1rem; } .cards td::before { content: attr(data-label); color: var(--quiet); white-space: normal; text-align: left; }
}
@media print {
	@page { size: A4; margin: 15mm; }
	:root { color-scheme: light; --page: #ffffff; --ink: #000000; --quiet: #333333; --line: #999999; --fill: #005eb8; --track: #e3e9ef; --card: #ffffff; }
	body { font-size: 9.5pt; } nav, .skip { display: none; } header, main, footer { padding: 0; max-width: none; }
	.scroll { overflow: visible; } table { width: 100%; font-size: 8pt; min-width: 0; } th, td { padding: 0.15rem 0.35rem 0.15rem 0; } tbody th { min-width: 5rem; } .bar { width: 20%; min-width: 3rem; }
	.dense { font-size: 6.5pt; } .dense th, .dense td { padding-right: 0.2rem; } .dense tbody th { min-width: 4.5rem; }
	.charts { grid-template-columns: repeat(2, 1fr); gap: 0.5rem 1rem; } .figures { grid-template-columns: repeat(3, 1fr); gap: 0.5rem; }
	h2 { break-after: avoid; } figure, tr, .figures > div { break-inside: avoid; } thead { display: table-header-group; }
	svg .fill, svg .track { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
$css$;
COMMENT ON FUNCTION cpis.report_style() IS 'style sheet of the report';

CREATE FUNCTION cpis_report(from_date date, to_date date) RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	period text;
	sections text[][] := ARRAY[['headlines', 'Headline figures'], ['accesses', 'Accesses over time'], ['organisations', 'Organisations'], ['authorities', 'Local authorities'], ['lag', 'Lag of notices'],
		['attendance', 'Children seen in several places'], ['submissions', 'Submissions'], ['implementation', 'Providers'], ['retention', 'Retention'], ['ledger', 'Ledger'], ['unusual', 'Unusual access']];
BEGIN
	IF from_date IS NULL OR to_date IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN from_date IS NULL THEN 'from_date' ELSE 'to_date' END USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF from_date > to_date OR NOT isfinite(from_date) OR NOT isfinite(to_date) OR from_date < '1948-07-05' OR to_date > '2999-12-31' OR to_date - from_date > 36525 THEN
		RAISE EXCEPTION 'from_date and to_date must be days from 1948 to 2999, the first not after the second, and at most a hundred years apart' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	period := cpis.report_day(from_date) || ' to ' || cpis.report_day(to_date);
	RETURN concat('<!DOCTYPE html>', E'\n', '<html lang="en-GB"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>CP-IS report, ', period, '</title><style>',
		cpis.report_style(), '</style></head>', E'\n', '<body><a class="skip" href="#main">Skip to the figures</a><header><h1>Child Protection - Information Sharing</h1><p>', period, ', days of England. Made on ',
		to_char(clock_timestamp() AT TIME ZONE 'Europe/London', 'FMDD Mon YYYY "at" HH24:MI'), ' in database ', cpis.html(current_database()), '. Nobody is named. Numbers of children, accesses and notices are rounded to 5, each by itself, so that they do not quite add up; 1 to 7 is not said closer, nor is a lag of so few, or a share of fewer than 100. Records of submissions, what retention removed and the events of the ledger are counted exactly.</p><nav aria-label="Sections"><ul>',
		(SELECT string_agg('<li><a href="#' || sections[n][1] || '">' || sections[n][2] || '</a></li>', '' ORDER BY n) FROM generate_subscripts(sections, 1) AS n),
		'</ul></nav></header>', E'\n', '<main id="main">',
		cpis.report_headlines(from_date, to_date), cpis.report_accesses(from_date, to_date), cpis.report_notices(from_date, to_date), cpis.report_attendance(from_date, to_date),
		cpis.report_submissions(from_date, to_date), cpis.report_implementation(), cpis.report_retention(from_date, to_date), cpis.report_ledger(), cpis.report_unusual(from_date, to_date),
		'</main><footer><p>cpis</p></footer></body></html>');
END;
$$;
COMMENT ON FUNCTION cpis_report(date, date) IS
	'a report on this period, days of England, as one page of HTML that needs nothing else; for cpis_analyst';
REVOKE ALL ON FUNCTION cpis_report(date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cpis_report(date, date) TO cpis_analyst;

DO $$
DECLARE
	helper pg_catalog.regprocedure;
BEGIN
	FOR helper IN SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'cpis'::pg_catalog.regnamespace AND (p.proname LIKE 'report\_%' OR p.proname = 'html')
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', helper);
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO cpis_analyst', helper);
	END LOOP;
END
$$;

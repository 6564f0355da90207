/*
 * Reconciliation: does what retention has done agree with what was recorded of it?
 * What each function finds, and in one place cpis_retention_reconcile() what all find,
 * with the number of the event that it concerns; uncommitted: an event announces a change
 * that is not there, because its transaction did not commit, or somebody has undone it.
 *
 * Tables are read without what inherits from them, as C code reads them.
 */

/*
 * Guards.  Triggers are known by what they are in pg_trigger: tgtype has 1 for each row, 2 for
 * before, 4, 8, 16 and 32 for INSERT, DELETE, UPDATE and TRUNCATE.
 */
CREATE FUNCTION cpis.reconcile_guards(OUT problem text) RETURNS SETOF text
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH month AS (
		SELECT i.inhrelid AS relation, c.relname AS name
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'cpis.audit_event'::regclass
	), guarded (relation, name, of) AS (
		VALUES ('cpis.plan'::regclass::oid, 'plan', 'plan'), ('cpis.plan_type'::regclass, 'plan_type', 'fixed'),
			('cpis.audit_event'::regclass, 'audit_event', 'parent'),
			('cpis.retention_policy'::regclass, 'retention_policy', 'own'), ('cpis.plan_tally'::regclass, 'plan_tally', 'own'),
			('cpis.hold'::regclass, 'hold', 'own'), ('cpis.purge_switch'::regclass, 'purge_switch', 'own'),
			('cpis.submission'::regclass, 'submission', 'own'), ('cpis.submission_record'::regclass, 'submission_record', 'sent'),
			('cpis.role_scope'::regclass, 'role_scope', 'own'), ('cpis.provider_setting'::regclass, 'provider_setting', 'own'), ('cpis.inactive_number'::regclass, 'inactive_number', 'own'),
			('cpis.acknowledgement'::regclass, 'acknowledgement', 'appended'),
			('cpis.removal'::regclass, 'removal', 'appended'), ('cpis.correction'::regclass, 'correction', 'appended'),
			('cpis.removed_month'::regclass, 'removed_month', 'appended'), ('cpis.event_count'::regclass, 'event_count', 'appended'),
			('cpis.kept_event'::regclass, 'kept_event', 'appended'), ('cpis.direct_read_switch'::regclass, 'direct_read_switch', 'appended'),
			('cpis.summary'::regclass, 'summary', 'appended'), ('cpis.access_summary'::regclass, 'access_summary', 'appended'), ('cpis.access_month_summary'::regclass, 'access_month_summary', 'own'), ('cpis.notice_summary'::regclass, 'notice_summary', 'own'),
			('cpis.attendance_summary'::regclass, 'attendance_summary', 'appended'), ('cpis.acknowledgement_summary'::regclass, 'acknowledgement_summary', 'appended'),
			('cpis.answer_summary'::regclass, 'answer_summary', 'appended'), ('cpis.unusual_summary'::regclass, 'unusual_summary', 'appended'),
			('cpis.notification'::regclass, 'notification', 'trail'), ('cpis.ledger'::regclass, 'ledger', 'trail'),
			('cpis.ledger_tile'::regclass, 'ledger_tile', 'trail'), ('cpis.checkpoint'::regclass, 'checkpoint', 'trail'),
			('cpis.purge_failure'::regclass, 'purge_failure', 'owner'), ('cpis.pseudonym_key'::regclass, 'pseudonym_key', 'owner')
		UNION ALL
		SELECT m.relation, m.name, 'trail' FROM month m
	), guard (relation, name, trigger, function, type) AS (
		SELECT g.relation, g.name, t.trigger, t.function, t.type
		FROM guarded g JOIN (VALUES
			('plan', 'guard', 'guard_plan', 25), ('plan', 'guard_truncate', 'guard_plan', 34),
			('plan', 'tally_insert', 'tally_plans', 4), ('plan', 'tally_update', 'tally_plans', 16), ('plan', 'tally_delete', 'tally_plans', 8),
			('fixed', 'refuse_change', 'refuse_change', 62), ('fixed', 'reference_changed', 'reference_changed', 29),
			('parent', 'append_only', 'refuse_change', 58),
			('own', 'own_change', 'refuse_change', 27), ('own', 'own_change_truncate', 'refuse_change', 34), ('own', 'own_insert', 'refuse_others', 6),
			('sent', 'own_change', 'refuse_change', 27), ('sent', 'own_change_truncate', 'refuse_change', 34),
			('sent', 'guard', 'guard_submission_record', 6), ('sent', 'guard_row', 'guard_submission_record', 7),
			('appended', 'append_only', 'refuse_change', 27), ('appended', 'append_only_truncate', 'refuse_change', 34), ('appended', 'own_insert', 'refuse_others', 6),
			('trail', 'append_only', 'refuse_change', 27), ('trail', 'append_only_truncate', 'refuse_change', 34),
			('owner', 'own_change', 'refuse_others', 62)) AS t (of, trigger, function, type) ON t.of = g.of
		UNION ALL
		VALUES ('cpis.retention_policy'::regclass::oid, 'retention_policy', 'reference_changed', 'reference_changed', 29),
			('cpis.role_scope'::regclass, 'role_scope', 'reference_changed', 'reference_changed', 29),
			('cpis.provider_setting'::regclass, 'provider_setting', 'reference_changed', 'reference_changed', 29),
			('cpis.pseudonym_key'::regclass, 'pseudonym_key', 'reference_changed', 'reference_changed', 29)
	)
	SELECT format('trigger "%s" of table "%s" is missing, disabled or another one', g.trigger, g.name)
	FROM guard g
	WHERE NOT EXISTS (
		SELECT FROM pg_trigger t
			JOIN pg_proc f ON f.oid = t.tgfoid
			JOIN pg_namespace n ON n.oid = f.pronamespace
			JOIN pg_language l ON l.oid = f.prolang
		WHERE t.tgrelid = g.relation AND t.tgname = g.trigger AND t.tgtype = g.type
			AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr::text = '' AND NOT t.tgdeferrable
			AND n.nspname = 'cpis' AND f.proname = g.function AND l.lanname = 'c' AND f.prosrc = 'cpis_' || g.function
			AND f.probin = '$libdir/cpis' AND NOT f.prosecdef AND f.proconfig IS NULL)
	UNION ALL
	SELECT format('table "%s" is not the one, or not as, the extension made it', g.name)
	FROM guarded g JOIN pg_class c ON c.oid = g.relation JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE (n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity)
			<> ('cpis', g.name, CASE g.of WHEN 'parent' THEN 'p' ELSE 'r' END, 'p', false, false)
		OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = g.relation)
		OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = g.relation AND g.of <> 'parent')
		OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = g.relation AND i.inhparent <> 'cpis.audit_event'::regclass)
	UNION ALL
	SELECT format('the days of kind "%s" in "cpis.plan_type" are not those of the extension', COALESCE(t.code, v.code))
	FROM ONLY cpis.plan_type t
		FULL JOIN (VALUES ('child_protection', 365), ('looked_after', 365), ('unborn', 365)) AS v (code, days) ON v.code = t.code
	WHERE t.retention_days IS DISTINCT FROM v.days;
END;
REVOKE ALL ON FUNCTION cpis.reconcile_guards() FROM PUBLIC;
COMMENT ON FUNCTION cpis.reconcile_guards() IS 'guards that are missing, disabled or others, and tables that are not as they were made';

/*
 * Plans, and what authorities have sent.
 */
CREATE FUNCTION cpis.reconcile_records(OUT problem text, OUT event_id bigint) RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	-- Plans that came, went or were changed while the triggers did not fire.
	SELECT CASE WHEN plans.n <> tally.n
			THEN format('the register has %s plans, and by what has been changed it should have %s', plans.n, tally.n)
			ELSE 'plans have been changed while the triggers were disabled' END, NULL::bigint
	FROM (SELECT count(*), COALESCE(bit_xor(cpis.plan_fingerprint(p)), 0) FROM ONLY cpis.plan p) AS plans (n, fingerprint),
		(SELECT COALESCE(sum(t.plans), 0), COALESCE(bit_xor(t.fingerprint), 0) FROM ONLY cpis.plan_tally t) AS tally (n, fingerprint)
	WHERE (plans.n, plans.fingerprint) IS DISTINCT FROM (tally.n, tally.fingerprint)
	UNION ALL
	SELECT format('%s plans are of a kind or an authority that is not in the register', count(*)), NULL
	FROM ONLY cpis.plan p
	WHERE NOT EXISTS (SELECT FROM ONLY cpis.plan_type t WHERE t.code = p.plan_type)
		OR NOT EXISTS (SELECT FROM ONLY cpis.local_authority a WHERE a.code = p.local_authority)
	HAVING count(*) > 0
	UNION ALL
	SELECT format('%s records have no submission', count(*)), NULL
	FROM ONLY cpis.submission_record r
	WHERE NOT EXISTS (SELECT FROM ONLY cpis.submission s WHERE s.submission_id = r.submission_id)
	HAVING count(*) > 0
	UNION ALL
	SELECT format('plan %s is there, and certified as removed', p.plan_id), r.event_id
	FROM ONLY cpis.removal r JOIN ONLY cpis.plan p ON r.commitment = cpis.plan_commitment(p)
	UNION ALL
	SELECT format('line %s of submission %s is there, and certified as removed', s.line_no, s.submission_id), r.event_id
	FROM ONLY cpis.removal r JOIN ONLY cpis.submission_record s ON r.commitment = cpis.submission_record_commitment(s);
END;
REVOKE ALL ON FUNCTION cpis.reconcile_records() FROM PUBLIC;
COMMENT ON FUNCTION cpis.reconcile_records() IS 'records that are not those that what has been changed would have left';

/*
 * Events, those that were kept of months that have gone among them.
 */
CREATE FUNCTION cpis.retention_events(
	OUT event_id bigint,
	OUT recorded_at timestamptz,
	OUT action text,
	OUT detail text,
	OUT nhs_number @extschema@.nhs_number)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT a.event_id, a.recorded_at, a.action, a.detail, a.nhs_number FROM cpis.audit_event a
	WHERE a.action IN ('removal', 'retention', 'hold', 'correction', 'purge', 'submission', 'scope', 'number', 'go_live')
	UNION ALL
	SELECT k.event_id, k.recorded_at, k.action, k.detail, NULL FROM ONLY cpis.kept_event k;
END;
REVOKE ALL ON FUNCTION cpis.retention_events() FROM PUBLIC;
COMMENT ON FUNCTION cpis.retention_events() IS 'events about retention, those that were kept of months that were removed among them';

/*
 * Certificates against the events of their removal, and against the terms and holds
 * that were in force.
 */
CREATE FUNCTION cpis.reconcile_removals(OUT problem text, OUT event_id bigint, OUT uncommitted boolean) RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH event AS MATERIALIZED (
		SELECT e.event_id, e.recorded_at, e.action, e.detail FROM cpis.retention_events() e WHERE e.action IN ('removal', 'retention')
	), removal AS (
		SELECT e.event_id, e.recorded_at, e.detail FROM event e WHERE e.action = 'removal' AND NOT starts_with(e.detail, 'month: ')
	), batch AS MATERIALIZED (
		SELECT s.event_id, s.n, s.records, s.removed_at, s.in_order, tree.root
		FROM (SELECT r.event_id, count(*) AS n,
				  CASE WHEN bool_and(r.kind = 'submission_record') THEN 'submission records' ELSE 'plans' END AS records,
				  CASE WHEN min(r.removed_at) = max(r.removed_at) THEN min(r.removed_at) END AS removed_at,
				  min(r.leaf_index) = 0 AND max(r.leaf_index) = count(*) - 1 AND count(DISTINCT r.leaf_index) = count(*) AS in_order,
				  array_agg(COALESCE(cpis.removal_bytes(r.kind, r.local_authority, r.due_on, r.retention_days, r.commitment), '')
							ORDER BY r.leaf_index) AS certificates
			  FROM ONLY cpis.removal r GROUP BY r.event_id) AS s
			CROSS JOIN LATERAL cpis.removal_tree(s.certificates, 0) AS tree
	)
	SELECT CASE WHEN e.event_id IS NULL THEN 'certificates name an event that is no removal'
			WHEN batch.n IS NULL THEN format('no certificate of what was announced, %s', e.detail)
			ELSE 'the certificates are not those that the event announced' END,
		COALESCE(e.event_id, batch.event_id), e.event_id IS NOT NULL AND batch.n IS NULL
	FROM removal e FULL JOIN batch ON batch.event_id = e.event_id
	WHERE format('%s: %s, root: %s', batch.records, batch.n, encode(batch.root, 'hex')) IS DISTINCT FROM split_part(e.detail, ', holds: ', 1)
		OR NOT batch.in_order OR batch.removed_at IS DISTINCT FROM e.recorded_at
	UNION ALL
	SELECT 'something was removed while other holds were in force than there should have been', e.event_id, false
	FROM removal e JOIN batch ON batch.event_id = e.event_id
	WHERE split_part(e.detail, ', holds: ', 2) IS DISTINCT FROM (
		SELECT CASE WHEN count(*) = 0 THEN 'none' ELSE encode(sha256(string_agg(
				int8send(h.hold_id) || int8send(COALESCE(h.nhs_number::bigint, 0)) || int4send(COALESCE(octet_length(h.local_authority), 0))
					|| convert_to(COALESCE(h.local_authority, ''), 'UTF8') || h.salt, ''::bytea ORDER BY h.hold_id)), 'hex') END
		FROM ONLY cpis.hold h
		WHERE h.placed_event < e.event_id AND (h.released_event IS NULL OR h.released_event > e.event_id))
	UNION ALL
	-- The term in force was what the next event of the kind says that it set something else instead of, or the present one.
	SELECT format('something was removed after %s days, while "%s" was held %s', r.retention_days, r.kind, term.in_force), r.event_id, false
	FROM (SELECT DISTINCT c.event_id, c.kind, c.retention_days FROM ONLY cpis.removal c WHERE c.retention_days IS NOT NULL) AS r
		CROSS JOIN LATERAL (SELECT COALESCE(
			(SELECT split_part(split_part(e.detail, ' instead of ', 2), '; ', 1) FROM event e
			 WHERE e.action = 'retention' AND e.event_id > r.event_id AND starts_with(e.detail, r.kind || ': ')
			 ORDER BY e.event_id LIMIT 1),
			(SELECT COALESCE(p.retention_days || ' days', 'without end') FROM ONLY cpis.retention_policy p WHERE p.kind = r.kind),
			'365 days')) AS term (in_force)
	WHERE term.in_force <> r.retention_days || ' days'
		-- Who had planted another term can have set the right one since, and the event then says: instead of that.
		OR (r.retention_days <> 365 AND NOT EXISTS (
			SELECT FROM event e
			WHERE e.action = 'retention' AND e.event_id < r.event_id
				AND starts_with(e.detail, format('%s: %s days instead of ', r.kind, r.retention_days))));
END;
REVOKE ALL ON FUNCTION cpis.reconcile_removals() FROM PUBLIC;
COMMENT ON FUNCTION cpis.reconcile_removals() IS 'certificates of removal that do not agree with events, terms and holds, and the other way round';

/*
 * Months of the trail that have gone, and what was kept of them.
 */
CREATE FUNCTION cpis.reconcile_months(OUT problem text, OUT event_id bigint, OUT uncommitted boolean) RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH event AS MATERIALIZED (
		SELECT e.event_id, e.recorded_at, e.detail FROM cpis.retention_events() e
		WHERE e.action = 'removal' AND starts_with(e.detail, 'month: ')
	)
	SELECT format('nothing has recorded that month %s went as "cpis.removed_month" says', m.month), m.event_id, false
	FROM (SELECT r.month, r.first_event, r.last_event, r.due_on, r.retention_days, r.removed_at, r.event_id,
			  lag(r.last_event, 1, -1::bigint) OVER (ORDER BY r.last_event) + 1 AS begins
		  FROM ONLY cpis.removed_month r) AS m
	WHERE m.first_event <> m.begins
		OR NOT EXISTS (
			SELECT FROM event e
			WHERE e.event_id = m.event_id AND e.recorded_at = m.removed_at
				AND e.detail = format('month: %s, events: %s to %s, due on: %s, days: %s', m.month, m.first_event, m.last_event,
									  to_char(m.due_on, 'YYYY-MM-DD'), m.retention_days))
	UNION ALL
	SELECT format('a month that was to be removed is there: %s', e.detail), e.event_id, true
	FROM event e
	WHERE NOT EXISTS (SELECT FROM ONLY cpis.removed_month m WHERE starts_with(e.detail, format('month: %s,', m.month)))
	UNION ALL
	SELECT format('month %s had %s events, and %s were counted', m.month, m.last_event - m.first_event + 1, COALESCE(sum(c.events), 0)), m.event_id, false
	FROM ONLY cpis.removed_month m LEFT JOIN ONLY cpis.event_count c ON c.month = m.month
	GROUP BY m.month, m.first_event, m.last_event, m.event_id
	HAVING COALESCE(sum(c.events), 0) <> m.last_event - m.first_event + 1
	UNION ALL
	SELECT format('events were counted of month %s, which has not gone', c.month), NULL, false
	FROM ONLY cpis.event_count c
	WHERE NOT EXISTS (SELECT FROM ONLY cpis.removed_month m WHERE m.month = c.month)
	GROUP BY c.month
	UNION ALL
	SELECT format('not all events of month %s that should have been kept are there', m.month), m.event_id, false
	FROM ONLY cpis.removed_month m
	WHERE (SELECT COALESCE(sum(c.events), 0) FROM ONLY cpis.event_count c
		   WHERE c.month = m.month AND c.action IN ('key', 'purge', 'removal', 'retention', 'scope', 'go_live'))
		<> (SELECT count(*) FROM ONLY cpis.kept_event k
			WHERE k.event_id BETWEEN m.first_event AND m.last_event AND k.action IN ('key', 'purge', 'removal', 'retention', 'scope', 'go_live'))
	UNION ALL
	-- Events that were kept against the ledger, and what their columns say against their bytes.
	SELECT 'the event that was kept is not the one in the ledger', k.event_id, false
	FROM ONLY cpis.kept_event k
		LEFT JOIN ONLY cpis.ledger_tile t ON t.level = 0 AND t.tile = k.event_id / 256
	WHERE substr(t.hashes, (k.event_id % 256)::integer * 32 + 1, 32)
			IS DISTINCT FROM sha256('\x00'::bytea || k.event_bytes)
		OR position('\x02'::bytea || int4send(8) || int8send((extract(epoch FROM k.recorded_at) * 1000000)::bigint) IN k.event_bytes) = 0
		OR position('\x03'::bytea || int4send(octet_length(k.action)) || convert_to(k.action, 'UTF8') IN k.event_bytes) = 0
		OR position('\x18'::bytea || int4send(octet_length(k.detail)) || convert_to(k.detail, 'UTF8') IN k.event_bytes) = 0;
END;
REVOKE ALL ON FUNCTION cpis.reconcile_months() FROM PUBLIC;
COMMENT ON FUNCTION cpis.reconcile_months() IS 'months of the trail that went otherwise than was recorded, and what was kept of them';

/*
 * Terms, holds, corrections and switches against the events that set them.
 */
CREATE FUNCTION cpis.reconcile_acts(OUT problem text, OUT event_id bigint, OUT uncommitted boolean) RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH event AS MATERIALIZED (
		SELECT e.event_id, e.recorded_at, e.action, e.detail, e.nhs_number FROM cpis.retention_events() e WHERE e.action <> 'removal'
	), term AS (
		SELECT s.event_id, s.detail, s.kind, s.set_to, s.instead_of,
			lead(s.instead_of) OVER (PARTITION BY s.kind ORDER BY s.event_id) AS next_instead_of
		FROM (SELECT e.event_id, e.detail, split_part(e.detail, ': ', 1) AS kind,
				  split_part(split_part(e.detail, ': ', 2), ' instead of ', 1) AS set_to,
				  split_part(split_part(e.detail, ' instead of ', 2), '; ', 1) AS instead_of
			  FROM event e WHERE e.action = 'retention') AS s
	), first (event_id) AS (
		SELECT COALESCE(max(r.last_event) + 1, 0) FROM ONLY cpis.removed_month r
	), switch (name, is_on, event_id, since) AS (
		-- A restored copy begins without them: what was set before one of them was set here is the original's.
		SELECT v.name, v.is_on, v.event_id, COALESCE(v.event_id, s.automatic_event, s.paused_event)
		FROM ONLY cpis.purge_switch s JOIN pg_database d ON d.oid = s.database AND d.datname = current_database()
			CROSS JOIN LATERAL (VALUES ('automatic', s.automatic, s.automatic_event), ('paused', s.paused, s.paused_event)) AS v (name, is_on, event_id)
	)
	SELECT format('nothing has recorded that "%s" is held %s', p.kind, COALESCE(p.retention_days || ' days', 'without end')),
		p.event_id, false
	FROM ONLY cpis.retention_policy p
	WHERE NOT EXISTS (
		SELECT FROM event e
		WHERE e.event_id = p.event_id AND e.recorded_at = p.set_at AND e.action = 'retention'
			AND starts_with(e.detail, format('%s: %s instead of ', p.kind, COALESCE(p.retention_days || ' days', 'without end')))
			AND (p.reason IS NULL OR right(e.detail, length(p.reason) + 2) = '; ' || p.reason))
	UNION ALL
	-- What one event sets is what the next of its kind sets something else instead of, or the present policy.
	SELECT format('a policy that was set is not there: %s', t.detail), t.event_id, true
	FROM term t
	WHERE COALESCE(t.next_instead_of, (SELECT COALESCE(p.retention_days || ' days', 'without end') FROM ONLY cpis.retention_policy p
									   WHERE p.kind = t.kind AND p.event_id = t.event_id)) IS DISTINCT FROM t.set_to
	UNION ALL
	SELECT format('nothing has recorded that "%s" was held %s', t.kind, t.instead_of), t.event_id, false
	FROM term t
	WHERE t.instead_of <> CASE t.kind WHEN 'audit_event' THEN 'without end' ELSE '365 days' END
		AND NOT EXISTS (SELECT FROM term o WHERE o.kind = t.kind AND o.event_id < t.event_id AND o.set_to = t.instead_of)
	UNION ALL
	SELECT format('nothing has recorded that hold %s was %s', h.hold_id, act.done), act.event_id, false
	FROM ONLY cpis.hold h
		CROSS JOIN first
		CROSS JOIN LATERAL (VALUES
			('placed', h.placed_event, h.placed_at, format('placed on %s; %s', CASE
				WHEN h.nhs_number IS NOT NULL THEN 'this NHS number'
				WHEN h.local_authority IS NOT NULL THEN 'local authority ' || h.local_authority
				ELSE 'everything' END, h.reason)),
			('released', h.released_event, h.released_at, format('released hold %s; %s', h.hold_id, h.release_reason)))
			AS act (done, event_id, at, detail)
	-- An event that names a person goes with its month; that month stays while the hold is in force.
	WHERE (act.event_id >= first.event_id OR act.done = 'released' OR h.nhs_number IS NULL OR h.released_event IS NULL)
		AND act.event_id IS NOT NULL
		AND NOT EXISTS (
			SELECT FROM event e
			WHERE e.event_id = act.event_id AND e.recorded_at = act.at AND e.action = 'hold' AND e.detail = act.detail
				-- As bigint: what pg_upgrade makes of this names no schema of the operator.
				AND (act.done = 'released' OR e.nhs_number::bigint IS NOT DISTINCT FROM h.nhs_number::bigint))
	UNION ALL
	SELECT format('a hold is not as was announced: %s', e.detail), e.event_id, true
	FROM event e
	WHERE e.action = 'hold'
		AND NOT EXISTS (SELECT FROM ONLY cpis.hold h WHERE e.event_id IN (h.placed_event, h.released_event))
	UNION ALL
	SELECT format('nothing has recorded the correction of plan %s', c.plan_id), c.event_id, false
	FROM ONLY cpis.correction c CROSS JOIN first
	WHERE c.event_id >= first.event_id
		AND NOT EXISTS (SELECT FROM event e WHERE e.event_id = c.event_id AND e.recorded_at = c.corrected_at AND e.action = 'correction')
	UNION ALL
	SELECT format('a correction was not made: %s', e.detail), e.event_id, true
	FROM event e
	WHERE e.action = 'correction' AND NOT EXISTS (SELECT FROM ONLY cpis.correction c WHERE c.event_id = e.event_id)
	UNION ALL
	SELECT format('nothing has recorded that the switch "%s" of the purge is %s', s.name, CASE WHEN s.is_on THEN 'on' ELSE 'off' END), s.event_id, false
	FROM switch s
	WHERE (s.is_on OR s.event_id IS NOT NULL)
		AND NOT EXISTS (
			SELECT FROM event e
			WHERE e.event_id = s.event_id AND e.action = 'purge' AND e.detail = format('%s: %s', s.name, CASE WHEN s.is_on THEN 'on' ELSE 'off' END))
	UNION ALL
	SELECT format('a switch of the purge is not as was announced: %s', e.detail), e.event_id, true
	FROM event e JOIN switch s ON s.name = split_part(e.detail, ': ', 1)
	WHERE e.action = 'purge' AND e.event_id > s.since;
END;
REVOKE ALL ON FUNCTION cpis.reconcile_acts() FROM PUBLIC;
COMMENT ON FUNCTION cpis.reconcile_acts() IS 'terms, holds, corrections and switches that do not agree with the events that set them';

/*
 * Submissions, scopes, care settings and inactive numbers against the events that recorded them.
 */
CREATE FUNCTION cpis.reconcile_submissions(OUT problem text, OUT event_id bigint, OUT uncommitted boolean) RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH event AS MATERIALIZED (
		SELECT e.event_id, e.recorded_at, e.action, e.detail, e.nhs_number FROM cpis.retention_events() e
		WHERE e.action IN ('submission', 'scope', 'number', 'go_live') AND NOT starts_with(e.detail, 'not entitled')
	), first (event_id) AS (
		SELECT COALESCE(max(r.last_event) + 1, 0) FROM ONLY cpis.removed_month r
	), answered AS (
		-- An event that names a person goes with its month.
		SELECT s.submission_id, s.event_id, s.answered_at, s.accepted + s.rejected AS records,
			format('submission %s of %s, %s: %s%s, accepted: %s, rejected: %s, ended: %s, ', s.submission_id, s.local_authority, s.kind,
				   s.file_code, COALESCE(' ' || s.detail_code, ''), s.accepted, s.rejected, s.ended) AS detail
		FROM ONLY cpis.submission s CROSS JOIN first
		WHERE s.answered_at IS NOT NULL AND (s.event_id >= first.event_id OR s.kind IN ('delta', 'full'))
	), scope AS (
		-- In the words of src/scope_grant.c.
		SELECT s.role_name, s.granted_at, s.event_id,
			COALESCE('organisation ' || s.organisation, 'local authority ' || s.local_authority) AS whom,
			concat(CASE WHEN s.may_read_silently THEN ', reading silently' END, CASE WHEN s.may_act_as_device THEN ', acting as device' END,
				   ', up to ' || s.max_lookups_per_minute || ' look-ups a minute') AS rights
		FROM ONLY cpis.role_scope s
	), setting AS (
		-- In the words of src/provider_setting.c.
		SELECT s.code, s.set_at, s.event_id,
			concat(s.code, ': access ', COALESCE(s.access_way, 'unknown'), ', due ' || to_char(s.go_live_due_on, 'YYYY-MM-DD'),
				   ', live from ' || to_char(s.live_from, 'YYYY-MM-DD'), ', live until ' || to_char(s.live_until, 'YYYY-MM-DD')) AS detail
		FROM ONLY cpis.provider_setting s
	)
	SELECT format('nothing has recorded that submission %s was answered so', a.submission_id), a.event_id, false
	FROM answered a
	WHERE NOT EXISTS (
		SELECT FROM event e
		WHERE e.event_id = a.event_id AND e.action = 'submission' AND e.recorded_at = a.answered_at AND starts_with(e.detail, a.detail))
	UNION ALL
	SELECT format('a submission was not answered as announced: %s', e.detail), e.event_id, true
	FROM event e
	WHERE e.action = 'submission' AND NOT EXISTS (SELECT FROM ONLY cpis.submission s WHERE s.event_id = e.event_id)
	UNION ALL
	-- As long as all records are there, they and their answers lead to the root in the event.
	SELECT format('the records of submission %s, or their answers, are not those that were recorded', a.submission_id), a.event_id, false
	FROM answered a JOIN event e ON e.event_id = a.event_id
		-- One submission at a time, so that memory has to hold no more.
		CROSS JOIN LATERAL (SELECT array_agg(cpis.submission_record_commitment(r) ORDER BY r.line_no)
							FROM ONLY cpis.submission_record r WHERE r.submission_id = a.submission_id) AS there (commitments)
		CROSS JOIN LATERAL cpis.removal_tree(there.commitments, 0) AS tree
	WHERE cardinality(there.commitments) >= a.records AND split_part(e.detail, ', root: ', 2) IS DISTINCT FROM encode(tree.root, 'hex')
	UNION ALL
	-- What was answered is there, or was removed with a certificate.
	SELECT format('%s records of submissions were answered, and %s are there or certified as removed', answer.records, there.records + gone.records), NULL, false
	FROM (SELECT COALESCE(sum(s.accepted + s.rejected), 0) FROM ONLY cpis.submission s) AS answer (records),
		(SELECT count(*) FROM ONLY cpis.submission_record r JOIN ONLY cpis.submission s ON s.submission_id = r.submission_id
		 WHERE s.answered_at IS NOT NULL) AS there (records),
		(SELECT count(*) FROM ONLY cpis.removal c WHERE c.kind = 'submission_record') AS gone (records)
	WHERE answer.records <> there.records + gone.records
	UNION ALL
	SELECT format('nothing has recorded that role "%s" acts so for %s', s.role_name, s.whom), s.event_id, false
	FROM scope s
	WHERE NOT EXISTS (
		SELECT FROM event e
		WHERE e.event_id = s.event_id AND e.action = 'scope' AND e.recorded_at = s.granted_at
			AND e.detail = format('granted%s for %s: role %s', s.rights, s.whom, s.role_name))
	UNION ALL
	SELECT format('a scope is not as announced: %s', e.detail), e.event_id, true
	FROM event e
	WHERE e.action = 'scope'
		AND NOT EXISTS (SELECT FROM event o WHERE o.action = 'scope' AND o.event_id > e.event_id
						AND substr(o.detail, position(' for ' IN o.detail)) = substr(e.detail, position(' for ' IN e.detail)))
		AND starts_with(e.detail, 'granted')
			<> EXISTS (SELECT FROM scope s
					   WHERE e.detail IN (format('granted%s for %s: role %s', s.rights, s.whom, s.role_name),
										  format('revoked for %s: role %s', s.whom, s.role_name)))
	UNION ALL
	SELECT format('nothing has recorded that the care setting goes live so: %s', s.detail), s.event_id, false
	FROM setting s
	WHERE NOT EXISTS (
		SELECT FROM event e
		WHERE e.event_id = s.event_id AND e.action = 'go_live' AND e.recorded_at = s.set_at AND e.detail = s.detail)
	UNION ALL
	SELECT format('a care setting does not go live as announced: %s', e.detail), e.event_id, true
	FROM event e
	WHERE e.action = 'go_live'
		AND NOT EXISTS (SELECT FROM event o WHERE o.action = 'go_live' AND o.event_id > e.event_id
						AND split_part(o.detail, ':', 1) = split_part(e.detail, ':', 1))
		AND NOT EXISTS (SELECT FROM setting s WHERE s.event_id = e.event_id)
		AND (e.detail <> split_part(e.detail, ':', 1) || ': no record'
			 OR EXISTS (SELECT FROM setting s WHERE s.code = split_part(e.detail, ':', 1)))
	UNION ALL
	SELECT 'nothing has recorded that an NHS number is inactive', i.event_id, false
	FROM ONLY cpis.inactive_number i CROSS JOIN first
	WHERE i.event_id >= first.event_id
		AND NOT EXISTS (
			SELECT FROM event e
			WHERE e.event_id = i.event_id AND e.action = 'number' AND e.recorded_at = i.inactive_since AND e.nhs_number = i.nhs_number
				AND e.detail = CASE WHEN i.superseded_by IS NULL THEN 'inactive' ELSE 'superseded' END)
	UNION ALL
	SELECT format('an NHS number is not as announced: %s', e.detail), e.event_id, true
	FROM event e
	WHERE e.action = 'number'
		AND NOT EXISTS (SELECT FROM event o WHERE o.action = 'number' AND o.event_id > e.event_id AND o.nhs_number = e.nhs_number)
		AND (e.detail <> 'active again')
			<> EXISTS (SELECT FROM ONLY cpis.inactive_number i WHERE i.nhs_number = e.nhs_number)
	UNION ALL
	SELECT format('local authority %s has acknowledged a notice that there is not', k.local_authority), NULL, false
	FROM (SELECT c.local_authority, max(c.acknowledged) FROM ONLY cpis.acknowledgement c GROUP BY c.local_authority) AS k (local_authority, acknowledged)
	WHERE NOT EXISTS (SELECT FROM ONLY cpis.notification n
					  WHERE n.local_authority = k.local_authority AND n.notification_no = k.acknowledged);
END;
REVOKE ALL ON FUNCTION cpis.reconcile_submissions() FROM PUBLIC;
COMMENT ON FUNCTION cpis.reconcile_submissions() IS 'submissions, scopes, care settings, inactive numbers and acknowledgements that do not agree with what was recorded';

CREATE FUNCTION cpis_retention_reconcile(
	OUT problem text,
	OUT event_id bigint,
	OUT uncommitted boolean)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT g.problem, NULL::bigint, false FROM cpis.reconcile_guards() g
	UNION ALL
	SELECT r.problem, r.event_id, false FROM cpis.reconcile_records() r
	UNION ALL
	SELECT r.problem, r.event_id, r.uncommitted FROM cpis.reconcile_removals() r
	UNION ALL
	SELECT m.problem, m.event_id, m.uncommitted FROM cpis.reconcile_months() m
	UNION ALL
	SELECT a.problem, a.event_id, a.uncommitted FROM cpis.reconcile_acts() a
	UNION ALL
	SELECT s.problem, s.event_id, s.uncommitted FROM cpis.reconcile_submissions() s;
END;
REVOKE ALL ON FUNCTION cpis_retention_reconcile() FROM PUBLIC;
COMMENT ON FUNCTION cpis_retention_reconcile() IS
	'does what retention has done agree with what was recorded of it? a row for each thing that does not; uncommitted where an event announces what is not there';

-- England many times over, and months of a trail, made faster than by living
-- through them.  Run in a database with the demonstration's England.

\set ON_ERROR_STOP on

-- The plans, with the number of the child each belongs to.
CREATE TABLE bench.england AS
	SELECT dense_rank() OVER (ORDER BY nhs_number) AS child, plan_id, plan_type, local_authority, start_date, end_date
	FROM cpis.plan;
ANALYZE bench.england;

-- The number of a child.  England's have those of the block 999, in this order.
CREATE FUNCTION bench.nhs_number(child integer) RETURNS nhs_number LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN child <= 120000 THEN nhs_number_synthetic(child)
		ELSE CAST(bench.ten_digits(child) AS nhs_number) END
$$;
GRANT USAGE ON SCHEMA bench TO ed_app;

-- Fill the register up to this number of children: those beyond England have the
-- plans of England's children, again and again.  The table is made anew, so that it
-- need not be logged with wal_level = minimal; foreign keys are not looked at.
CREATE FUNCTION bench.fill_plans(children integer) RETURNS void LANGUAGE plpgsql
	SET session_replication_role = replica SET jit = off SET work_mem = '64MB' AS $$
DECLARE
	england bigint = (SELECT max(child) FROM bench.england);
BEGIN
	CREATE TEMPORARY TABLE old_plan ON COMMIT DROP AS TABLE cpis.plan;
	ALTER TABLE cpis.plan DISABLE TRIGGER guard_truncate, DISABLE TRIGGER tally_insert;
	TRUNCATE cpis.plan;
	INSERT INTO cpis.plan OVERRIDING SYSTEM VALUE TABLE old_plan;
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
		SELECT bench.nhs_number(n), plan_type, local_authority, start_date, end_date
		FROM (SELECT CAST(generate_series(england + 1, children) AS integer) AS n) AS made
		JOIN bench.england AS e ON e.child = (n - 1) % england + 1;
	ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard_truncate, ENABLE ALWAYS TRIGGER tally_insert;
END $$;

-- Whom the events are about: England's children in random order, over and over.  So
-- the number of each notice is known beforehand: "rank" among its authority's
-- notices of a turn, and "notices" of all earlier turns.  The first child, with
-- two plans, is left out.
CREATE TABLE bench.turn AS
	SELECT row_number() OVER (ORDER BY hashint8(plan_id), plan_id) - 1 AS place,
		bench.nhs_number(CAST(child AS integer)) AS nhs_number, plan_id, local_authority,
		row_number() OVER (PARTITION BY local_authority ORDER BY hashint8(plan_id), plan_id) AS rank,
		count(*) OVER (PARTITION BY local_authority) AS notices
	FROM bench.england WHERE child > 1;
ANALYZE bench.turn;

-- When a month began (UTC), the present one or one so many months ago.
CREATE FUNCTION bench.month(ago integer) RETURNS timestamptz LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
	SELECT date_trunc('month', now()) - ago * interval '1 month'
$$;

CREATE FUNCTION bench.month_name(month timestamptz) RETURNS text LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
	SELECT to_char(month, '"audit_event_"YYYY_MM')
$$;

-- Make the table of a month as the writer does; empty, and without what hinders filling it.
CREATE FUNCTION bench.make_month(month timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE cpis.%I (LIKE cpis.audit_event INCLUDING COMMENTS INCLUDING STORAGE)', bench.month_name(month));
END $$;

-- Give the table of a month, filled, what the writer gives it.
CREATE FUNCTION bench.finish_month(month timestamptz) RETURNS void LANGUAGE plpgsql
	SET maintenance_work_mem = '512MB' SET max_parallel_maintenance_workers = 0 AS $$
DECLARE
	command text;
BEGIN
	FOREACH command IN ARRAY ARRAY[
		'CREATE INDEX %1$s_event_id_idx ON cpis.%1$s (event_id)',
		'CREATE INDEX %1$s_nhs_number_idx ON cpis.%1$s (nhs_number, event_id)',
		'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cpis.%1$s'
		' FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change(''The audit trail is append-only.'')',
		'CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON cpis.%1$s'
		' FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change(''The audit trail is append-only.'')',
		'ALTER TABLE cpis.%1$s ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate',
		'REVOKE ALL ON TABLE cpis.%1$s FROM PUBLIC',
		'COMMENT ON TABLE cpis.%1$s IS ''one month of the audit trail (UTC), append-only''']
	LOOP
		EXECUTE format(command, bench.month_name(month));
	END LOOP;
END $$;

-- Make a month with the events from "first" to before "last", as look-ups leave them, spread
-- evenly over the month so far.
CREATE FUNCTION bench.fill_month(month timestamptz, first bigint, last bigint) RETURNS void LANGUAGE plpgsql
	SET timezone = 'UTC' SET jit = off SET work_mem = '64MB' AS $$
DECLARE
	begins double precision = extract(epoch FROM month);
	ends double precision = extract(epoch FROM least(month + interval '1 month', now()));
	places bigint = (SELECT count(*) FROM bench.turn);
BEGIN
	PERFORM bench.make_month(month);
	EXECUTE format($insert$
		INSERT INTO cpis.%I (event_id, recorded_at, action, outcome, nhs_number, worker_name, job_role,
			organisation, care_setting, notify, notified_authority, notification_no, plan_ids,
			session_role, effective_role, application_name, backend_pid, salt, leaf_hash)
		SELECT event_id, to_timestamp($3 + ($4 - $3) * (event_id - $1) / ($2 - $1)), 'lookup', 'found',
			nhs_number, 'Dr A Shah', 'Consultant', 'R0A', 'emergency_department', true,
			ARRAY[local_authority], ARRAY[event_id / $5 * notices + rank], ARRAY[plan_id],
			'ed_app', 'ed_app', 'pgbench', 1000000,
			int8send(hashint8extended(event_id, 1)) || int8send(hashint8extended(event_id, 2)),
			sha256(int8send(event_id))
		FROM (SELECT generate_series($1, $2 - 1) AS event_id) AS made
		JOIN bench.turn ON place = event_id %% $5
		$insert$, bench.month_name(month)) USING first, last, begins, ends, places;
	PERFORM bench.finish_month(month);
END $$;

CREATE FUNCTION bench.attach_month(month timestamptz) RETURNS void LANGUAGE plpgsql
	SET timezone = 'UTC' AS $$
BEGIN
	EXECUTE format('ALTER TABLE cpis.audit_event ATTACH PARTITION cpis.%I FOR VALUES FROM (%L) TO (%L)',
		bench.month_name(month), month, month + interval '1 month');
END $$;

-- The notices of the first so many events.  The table is made anew, like the plans.
CREATE FUNCTION bench.fill_notices(events bigint) RETURNS void LANGUAGE plpgsql
	SET jit = off SET work_mem = '64MB' AS $$
DECLARE
	places bigint = (SELECT count(*) FROM bench.turn);
BEGIN
	ALTER TABLE cpis.notification DISABLE TRIGGER append_only_truncate;
	TRUNCATE cpis.notification;
	ALTER TABLE cpis.notification ENABLE ALWAYS TRIGGER append_only_truncate;
	INSERT INTO cpis.notification (local_authority, notification_no, event_id)
		SELECT local_authority, event_id / places * notices + rank, event_id
		FROM (SELECT generate_series(0, events - 1) AS event_id) AS made
		JOIN bench.turn ON place = event_id % places;
END $$;

-- Look a random child of England up: the number of the event.
CREATE FUNCTION bench.look_up() RETURNS bigint LANGUAGE sql AS $$
	SELECT event_id FROM cpis_lookup(bench.nhs_number(CAST(1 + floor(random() * 120000) AS integer)),
		'Dr A Shah', 'R0A', 'emergency_department', job_role => 'Consultant')
$$;

-- Microseconds that the history of a new look-up takes, for so many look-ups.
CREATE FUNCTION bench.history_times(calls integer) RETURNS SETOF double precision LANGUAGE plpgsql AS $$
DECLARE
	asking bigint;
	began timestamptz;
BEGIN
	FOR n IN 1..calls LOOP
		asking = bench.look_up();
		began = clock_timestamp();
		PERFORM FROM cpis_access_history(asking);
		RETURN NEXT extract(epoch FROM clock_timestamp() - began) * 1000000;
	END LOOP;
END $$;

-- Milliseconds that a look-up takes which has to start the writer, in a session
-- that has looked up before.
CREATE FUNCTION bench.writer_start_time() RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
BEGIN
	PERFORM bench.look_up();
	WHILE (SELECT writer_pid FROM cpis_stat) IS NOT NULL LOOP
		PERFORM pg_sleep(0.05);
	END LOOP;
	began = clock_timestamp();
	PERFORM bench.look_up();
	RETURN extract(epoch FROM clock_timestamp() - began) * 1000;
END $$;

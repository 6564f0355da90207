-- The peers that the look-up is measured against: the same look-up in PL/pgSQL,
-- which records its event as "recording" says.
--
--   insert   INSERTs event and notice in the caller's transaction
--   dblink   the same through dblink, on a connection that it keeps
--   nothing  only reads
--
-- They are kept lean: no salt, no leaf hash, no SECURITY DEFINER, numbers from
-- sequences (which leave gaps), one statement for each thing done.

\set ON_ERROR_STOP on

CREATE EXTENSION IF NOT EXISTS dblink;
CREATE SCHEMA bench;

CREATE TABLE bench.event (
	event_id bigint NOT NULL,
	recorded_at timestamptz NOT NULL,
	action text NOT NULL,
	outcome text NOT NULL,
	nhs_number nhs_number,
	worker_name text,
	worker_id text,
	job_role text,
	system_id text,
	location text,
	request_id text,
	organisation text,
	care_setting text,
	notify boolean,
	notified_authority text[],
	notification_no bigint[],
	plan_ids bigint[],
	session_role text NOT NULL,
	effective_role text NOT NULL,
	client_addr inet,
	application_name text,
	backend_pid integer NOT NULL,
	transaction_id xid8
) PARTITION BY RANGE (recorded_at);
CREATE INDEX ON bench.event (event_id);
CREATE INDEX ON bench.event (nhs_number, event_id);
-- By month, this and the next, like the audit trail.
SELECT format('CREATE TABLE bench.event_%s PARTITION OF bench.event FOR VALUES FROM (%L) TO (%L)',
		n, month, month + interval '1 month')
	FROM generate_series(0, 1) AS n,
		CAST(date_trunc('month', now(), 'UTC') + n * interval '1 month' AS timestamptz) AS month \gexec
CREATE SEQUENCE bench.event_id;

CREATE TABLE bench.notification (
	local_authority text COLLATE "C" NOT NULL,
	notification_no bigint NOT NULL,
	event_id bigint NOT NULL
);
CREATE INDEX ON bench.notification (local_authority, notification_no);
CREATE SEQUENCE bench.notification_no;

-- The event and its notices, as one statement for who sends it elsewhere.
CREATE FUNCTION bench.record(
	event_id bigint, outcome text, nhs_number nhs_number, worker_name text, job_role text,
	organisation text, care_setting text, notified_authority text[], plan_ids bigint[],
	session_role text, effective_role text, client_addr inet, application_name text,
	backend_pid integer, transaction_id xid8)
	RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	numbers bigint[] = ARRAY(SELECT nextval('bench.notification_no') FROM unnest($8));
BEGIN
	INSERT INTO bench.event VALUES ($1, clock_timestamp(), 'lookup', $2, $3, $4, NULL, $5, NULL, NULL, NULL,
		$6, $7, true, $8, numbers, $9, $10, $11, $12, $13, $14, $15);
	INSERT INTO bench.notification SELECT authority, number, $1
		FROM unnest($8, numbers) AS notified (authority, number);
END $$;

CREATE FUNCTION bench.lookup(
	recording text, nhs_number nhs_number, worker_name text, organisation text, care_setting text, job_role text)
	RETURNS SETOF cpis.lookup_result LANGUAGE plpgsql AS $$
DECLARE
	today date = CAST(clock_timestamp() AT TIME ZONE 'Europe/London' AS date);
	id bigint;
	plan record;
	plans bigint[] = '{}';
	authorities text[] = '{}';
	numbers bigint[];
BEGIN
	IF NOT pg_has_role('cpis_clinical', 'USAGE') THEN
		RAISE insufficient_privilege;
	END IF;
	PERFORM FROM cpis.organisation AS o WHERE o.code = $4;
	IF NOT FOUND THEN
		RAISE undefined_object;
	END IF;
	PERFORM FROM cpis.care_setting AS s WHERE s.code = $5;
	IF NOT FOUND THEN
		RAISE undefined_object;
	END IF;

	IF recording <> 'nothing' THEN
		id = nextval('bench.event_id');
	END IF;
	FOR plan IN
		SELECT p.plan_id, p.plan_type, p.start_date, p.end_date,
			p.local_authority, a.name, a.office_hours_phone, a.emergency_duty_phone
		FROM cpis.plan AS p
		JOIN cpis.local_authority AS a ON a.code = p.local_authority
		JOIN cpis.plan_type AS t ON t.code = p.plan_type
		WHERE p.nhs_number = $2
			AND (p.delete_date IS NULL OR today < p.delete_date)
			AND (p.end_date IS NULL OR today <= p.end_date + t.retention_days)
		ORDER BY p.start_date DESC, p.plan_id
	LOOP
		plans = plans || plan.plan_id;
		IF plan.local_authority <> ALL (authorities) THEN
			authorities = authorities || plan.local_authority;
		END IF;
		RETURN NEXT ROW ($2, plan.plan_type, plan.start_date, plan.end_date, plan.local_authority,
			plan.name, plan.office_hours_phone, plan.emergency_duty_phone, id)::cpis.lookup_result;
	END LOOP;

	IF recording = 'insert' THEN
		numbers = ARRAY(SELECT nextval('bench.notification_no') FROM unnest(authorities));
		INSERT INTO bench.event VALUES (id, clock_timestamp(), 'lookup',
			CASE WHEN plans = '{}' THEN 'not_found' ELSE 'found' END, $2, $3, NULL, $6, NULL, NULL, NULL,
			$4, $5, true, authorities, numbers, plans, session_user, current_user, inet_client_addr(),
			current_setting('application_name'), pg_backend_pid(), pg_current_xact_id_if_assigned());
		INSERT INTO bench.notification SELECT authority, number, id
			FROM unnest(authorities, numbers) AS notified (authority, number);
	ELSIF recording = 'dblink' THEN
		IF dblink_get_connections() IS NULL THEN
			PERFORM dblink_connect_u('audit', format('host=%s port=%s dbname=%s user=postgres',
				current_setting('bench.host'), current_setting('port'), current_database()));
			PERFORM dblink_exec('audit', 'PREPARE record AS SELECT bench.record($1, $2, $3, $4, $5, $6, $7,'
				' $8, $9, $10, $11, $12, $13, $14, $15)');
		END IF;
		PERFORM FROM dblink('audit', format(
			'EXECUTE record (%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L)',
			id, CASE WHEN plans = '{}' THEN 'not_found' ELSE 'found' END, $2, $3, $6, $4, $5,
			authorities, plans, session_user, current_user, inet_client_addr(),
			current_setting('application_name'), pg_backend_pid(), pg_current_xact_id_if_assigned()))
			AS done (nothing text);
	END IF;
END $$;

-- Where dblink finds this server; who looks up may not read the setting itself.
SELECT format('ALTER DATABASE %I SET bench.host = %L',
	current_database(), current_setting('unix_socket_directories')) \gexec

GRANT USAGE ON SCHEMA bench, cpis TO cpis_clinical;
GRANT SELECT ON cpis.organisation, cpis.care_setting, cpis.plan, cpis.plan_type, cpis.local_authority TO cpis_clinical;
GRANT INSERT ON bench.event, bench.notification TO cpis_clinical;
GRANT USAGE ON SEQUENCE bench.event_id, bench.notification_no TO cpis_clinical;
GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO cpis_clinical;

-- The peers' plans depend on it.
VACUUM (ANALYZE) cpis.local_authority, cpis.organisation, cpis.care_setting, cpis.plan_type, cpis.plan;

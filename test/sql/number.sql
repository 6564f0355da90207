-- NHS numbers that are not to be used any more: told, refused, and never linked to another.
CREATE EXTENSION pgtap;
SELECT plan(50);
SET client_min_messages = warning;

INSERT INTO cpis.local_authority SELECT 'E080001' || n, 'Number ' || n, NULL, '01632 960' || n FROM generate_series(10, 89) n;
INSERT INTO cpis.organisation VALUES ('RNUM', 'NUMBER TRUST');
CREATE FUNCTION number(n integer) RETURNS nhs_number LANGUAGE sql AS $$SELECT nhs_number_synthetic(75000 + n)$$;
CREATE FUNCTION put(authority integer, n integer) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT concat_ws('/', record_code, detail_code, field) FROM cpis_plan_put('E080001' || authority, number(n), 'looked_after', '2026-01-01', local_reference => 'R' || n)
$$;
-- The notices that an authority has not acknowledged.
CREATE FUNCTION notices(authority integer) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT COALESCE(string_agg(concat_ws(' ', action, right(nhs_number::text, 4), detail, right(superseded_by::text, 4)), '; ' ORDER BY notification_no), 'none') FROM cpis_notifications('E080001' || authority)
$$;
CREATE FUNCTION looks(n integer) RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FROM cpis_lookup(number(n), 'Nurse ' || n, 'RNUM', 'ambulance')
$$;

-- Who has used it: in the register, or in what was sent, however it was written, loaded or not.
SELECT is(put(10, 1), 'CPR06', 'one has a plan');
SELECT is(put(11, 2), 'CPR06', 'another a plan of another number');
SELECT cpis_submission_open('E08000112') AS sent \gset
INSERT INTO cpis.submission_record (nhs_number, plan_type) VALUES (nhs_number_format(number(1)), 'none');
SELECT is(file_code, 'CPF04', 'a third has sent it, in vain') FROM cpis_submission_apply();
SELECT cpis_nhs_number_inactivate(number(1)) AS event \gset
SELECT is((action, outcome, nhs_number, notified_authority, detail)::text, format('(number,done,%s,"{E08000110,E08000112}",inactive)', number(1)), 'recorded') FROM cpis.audit_event WHERE event_id = :event;
SELECT is(notices(10), 'number ' || right(number(1)::text, 4) || ' inactive', 'told');
SELECT is(notices(12), 'number ' || right(number(1)::text, 4) || ' inactive', 'the third, too');
SELECT is(notices(11), 'none', 'nobody else');
SELECT is(put(10, 1), 'CPR05/nhs_number_inactive/nhs_number', 'refused from then on');
SELECT is(put(13, 1), 'CPR05/nhs_number_inactive/nhs_number', 'to everybody');
SELECT cpis_submission_open('E08000110') AS sent \gset
INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date) VALUES (number(1)::text, 'lac', '2026-01-01'), (number(3)::text, 'lac', '2026-01-01');
SELECT is((file_code, accepted, rejected)::text, '(CPF03,1,1)', 'in a file, too') FROM cpis_submission_apply();
SELECT is(looks(1), 1::bigint, 'a look-up still finds the plan');
SELECT is((cpis_plan_end('E08000110', number(1), 'lac', '2026-01-01')).record_code, 'CPR06', 'it can be ended');
SELECT is(end_date IS NOT NULL, true, 'and has ended') FROM cpis.plan WHERE nhs_number = number(1);

-- Superseded: what replaces it is told to those who have used it.
SELECT cpis_nhs_number_inactivate(number(2), superseded_by => number(4)) AS event \gset
SELECT is((detail, nhs_number)::text, format('(superseded,%s)', number(2)), 'the event has the old number alone') FROM cpis.audit_event WHERE event_id = :event;
SELECT is(notices(11), format('number %s superseded %s', right(number(2)::text, 4), right(number(4)::text, 4)), 'the notice has both');
SELECT is(put(11, 2), 'CPR05/nhs_number_superseded/nhs_number', 'refused');
SELECT is(put(11, 4), 'CPR06', 'the new one is taken');

-- Errors.
CREATE FUNCTION becomes_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION
	WHEN OTHERS THEN RETURN sqlstate;
END $$;
SELECT is(becomes_of(statement), state, statement) FROM (VALUES
	('SELECT cpis_nhs_number_inactivate(NULL)', '22004'), ('SELECT cpis_nhs_number_inactivate(number(1))', '22023'),
	('SELECT cpis_nhs_number_inactivate(number(5), number(5))', '22023'), ('SELECT cpis_nhs_number_inactivate(number(4), number(2))', '22023'), ('SELECT cpis_nhs_number_inactivate(number(5), ''7777777777'')', '22023'),
	('SELECT cpis_nhs_number_inactivate(''7777777777'')', '22023'), ('SELECT cpis_nhs_number_reactivate(number(5))', '22023'),
	('SELECT cpis_nhs_number_reactivate(NULL)', '22004'),
	('INSERT INTO cpis.inactive_number SELECT * FROM cpis.inactive_number', '23505'), ('UPDATE cpis.inactive_number SET superseded_by = NULL', '55000'),
	('DELETE FROM cpis.inactive_number', '55000'), ('TRUNCATE cpis.inactive_number', '55000')) AS v (statement, state);

BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(becomes_of('SELECT cpis_nhs_number_inactivate(number(5))'), '25001', 'users must not be overlooked');
ROLLBACK;

-- A mistake is taken back.
SELECT cpis_nhs_number_reactivate(number(1)) > 0 AS taken_back;
SELECT is(put(10, 1), 'CPR06', 'taken again');
SELECT is(split_part(notices(10), '; ', 3), 'number ' || right(number(1)::text, 4) || ' active again', 'told');

-- More authorities than one event has room for.
SELECT is(put(n, 6), 'CPR06', 'authority ' || n) FROM generate_series(20, 24) n;
SELECT count(*) FROM generate_series(25, 85) n WHERE put(n, 6) = 'CPR06';
SELECT cpis_nhs_number_inactivate(number(6)) AS event \gset
SELECT is(array_agg(cardinality(notified_authority) ORDER BY event_id), ARRAY[64, 2], 'two events') FROM cpis.audit_event WHERE action = 'number' AND nhs_number = number(6);
SELECT is(count(*), 66::bigint, 'all are told') FROM cpis.notification n JOIN cpis.audit_event e USING (event_id) WHERE e.action = 'number' AND e.nhs_number = number(6);

-- Adoption: the old number ends, a new one begins with the same authority; nobody is led from the one to the other.
SELECT is(put(14, 7), 'CPR06', 'the old number');
SELECT looks(7);
SELECT is((cpis_plan_end('E08000114', number(7), 'lac', '2026-01-01')).record_code, 'CPR06', 'ends');
SELECT cpis_nhs_number_inactivate(number(7)) AS event \gset
SELECT is(put(14, 8), 'CPR06', 'the new number begins');
SELECT looks(8);
SELECT event_id AS new_event FROM cpis_lookup(number(8), 'Nurse', 'RNUM', 'ambulance') LIMIT 1 \gset
SELECT is(string_agg(worker_name, ' ' ORDER BY accessed_at), 'Nurse 8 Nurse', 'the history of the new number has nothing of the old one') FROM cpis_access_history(:new_event);
-- Of every table and view in schema cpis, and of every view of the extension: no row has both.
CREATE FUNCTION rows_with_both(one nhs_number, other nhs_number) RETURNS TABLE (relation text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR relation IN SELECT c.oid::regclass FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v') AND (c.relnamespace = 'cpis'::regnamespace OR c.relname LIKE 'cpis\_%') LOOP
		EXECUTE format('SELECT count(*) FROM %s AS t WHERE position($1 IN t::text) > 0 AND position($2 IN t::text) > 0', relation) INTO n USING one::text, other::text;
		IF n > 0 THEN RETURN NEXT; END IF;
	END LOOP;
END $$;
SELECT is_empty('SELECT * FROM rows_with_both(number(7), number(8))', 'no row has the old and the new number');
SELECT results_eq('SELECT * FROM rows_with_both(number(2), number(4)) ORDER BY 1', $$VALUES ('cpis.authority_notification', 1::bigint), ('cpis.inactive_number', 1)$$, 'of one that was superseded, one has, and the notice to who had used it');
SELECT is(count(*), 0::bigint, 'no notice has both') FROM cpis_notifications('E08000114') AS t WHERE position(number(8)::text IN t::text) > 0 AND position(number(7)::text IN t::text) > 0;
SELECT is(notices(14), format('lookup %1$s; number %1$s inactive; lookup %2$s; lookup %2$s', right(number(7)::text, 4), right(number(8)::text, 4)), 'nor does a notice tell what replaces it');

-- A change that is rolled back was announced, and is not there.
BEGIN;
SELECT cpis_nhs_number_inactivate(number(9)) AS event \gset
ROLLBACK;
SELECT is(put(15, 9), 'CPR06', 'the number is active');
SELECT results_eq('SELECT problem, uncommitted FROM cpis_retention_reconcile() WHERE problem ~ ''^an NHS number''', $$VALUES ('an NHS number is not as announced: inactive', true)$$, 'what was announced shows');
SELECT is_empty('SELECT * FROM cpis_retention_reconcile() WHERE NOT uncommitted AND problem !~ ''^the register has|^\d+ records of submissions''', 'all agrees');
SELECT * FROM finish();

DROP FUNCTION rows_with_both, becomes_of, looks, notices, put, number;
ALTER TABLE cpis.submission_record DISABLE TRIGGER own_change;
ALTER TABLE cpis.submission DISABLE TRIGGER own_change;
ALTER TABLE cpis.plan DISABLE TRIGGER guard;
ALTER TABLE cpis.inactive_number DISABLE TRIGGER own_change;
DELETE FROM cpis.submission_record;
DELETE FROM cpis.submission;
DELETE FROM cpis.inactive_number;
DELETE FROM cpis.plan WHERE local_authority LIKE 'E080001%';
ALTER TABLE cpis.submission_record ENABLE ALWAYS TRIGGER own_change;
ALTER TABLE cpis.submission ENABLE ALWAYS TRIGGER own_change;
ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard;
ALTER TABLE cpis.inactive_number ENABLE ALWAYS TRIGGER own_change;
DELETE FROM cpis.local_authority WHERE code LIKE 'E080001%';
DELETE FROM cpis.organisation WHERE code = 'RNUM';
DROP EXTENSION pgtap;

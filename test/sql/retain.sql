-- cpis_retain(): rows of any table stay until their time has run.
CREATE EXTENSION pgtap;
SELECT plan(132);
SET client_min_messages = warning;

CREATE TABLE by_date (id integer PRIMARY KEY, ends date, note text);
CREATE TRIGGER retain BEFORE INSERT OR UPDATE OR DELETE ON by_date
	FOR EACH ROW EXECUTE FUNCTION cpis_retain('ends', '365');
CREATE TRIGGER retain_truncate BEFORE TRUNCATE ON by_date
	FOR EACH STATEMENT EXECUTE FUNCTION cpis_retain('ends', '365');
ALTER TABLE by_date ENABLE ALWAYS TRIGGER retain, ENABLE ALWAYS TRIGGER retain_truncate;
CREATE TABLE by_time (id integer PRIMARY KEY, ends timestamptz, note text);
CREATE TRIGGER retain AFTER INSERT OR UPDATE OR DELETE ON by_time
	FOR EACH ROW EXECUTE FUNCTION cpis_retain('ends', '365');
ALTER TABLE by_time ENABLE ALWAYS TRIGGER retain;

-- What becomes of a statement; it is taken back.  DAY(n) is n days ago in England, and
-- NOON(n), FIRST(n) and LAST(n) are noon, the first and the last minute of that day.
CREATE FUNCTION becomes_of(template text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	today date;
	command text;
	answer text;
BEGIN
	-- Once more if midnight has come meanwhile.
	LOOP
		today = (clock_timestamp() AT TIME ZONE 'Europe/London')::date;
		command = template;
		FOR n IN 0 .. 800 LOOP
			CONTINUE WHEN strpos(command, '(' || n || ')') = 0;
			command = replace(command, format('DAY(%s)', n), format('date %L', today - n));
			command = replace(command, format('NOON(%s)', n), format('(timestamp %L AT TIME ZONE ''Europe/London'')', (today - n) + time '12:00'));
			command = replace(command, format('FIRST(%s)', n), format('(timestamp %L AT TIME ZONE ''Europe/London'')', (today - n) + time '00:00'));
			command = replace(command, format('LAST(%s)', n), format('(timestamp %L AT TIME ZONE ''Europe/London'')', (today - n) + time '23:59'));
		END LOOP;
		BEGIN
			EXECUTE command;
			RAISE EXCEPTION USING errcode = 'UX000';
		EXCEPTION
			WHEN SQLSTATE 'UX000' THEN answer = 'done';
			WHEN OTHERS THEN answer = sqlstate;
		END;
		EXIT WHEN today = (clock_timestamp() AT TIME ZONE 'Europe/London')::date;
	END LOOP;
	RETURN answer;
END
$$;

-- Through day 365, not on day 366, wherever the session is.
CREATE TABLE zone AS SELECT unnest(ARRAY['Pacific/Kiritimati', 'Asia/Kolkata', 'UTC', 'Europe/London', 'America/New_York', 'Etc/GMT+12']) AS name;
SELECT is(becomes_of(format('SET LOCAL TimeZone = %L; INSERT INTO %s VALUES (1, %s); DELETE FROM %s', zone.name, of, ends, of)), answer,
		format('%s: %s, in %s', of, ends, zone.name))
	FROM (VALUES
	('by_date', 'NULL', '55000'),
	('by_date', '''infinity''', '55000'),
	('by_date', '''-infinity''', 'done'),
	('by_date', '''2999-12-31''', '55000'),
	('by_date', 'DAY(0)', '55000'),
	('by_date', 'DAY(365)', '55000'),
	('by_date', 'DAY(366)', 'done'),
	('by_time', 'NULL', '55000'),
	('by_time', '''infinity''', '55000'),
	('by_time', '''-infinity''', 'done'),
	('by_time', 'NOON(0)', '55000'),
	('by_time', 'NOON(365)', '55000'),
	('by_time', 'FIRST(365)', '55000'),
	('by_time', 'LAST(366)', 'done'),
	('by_time', 'NOON(366)', 'done')
	) AS v (of, ends, answer), zone ORDER BY of COLLATE "C", ends COLLATE "C", zone.name COLLATE "C";

-- What an update may do.
SELECT is(becomes_of(format('INSERT INTO %1$s VALUES (1, %2$s); UPDATE %1$s SET ends = %3$s', of, before, after)), answer, format('%s: %s, then %s', of, before, after))
	FROM (VALUES
	('by_date', 'NULL', 'DAY(0)', 'done'),
	('by_date', 'NULL', 'DAY(365)', 'done'),
	('by_date', 'NULL', 'DAY(366)', '55000'),
	('by_date', '''infinity''', 'DAY(366)', '55000'),
	('by_date', 'NULL', '''-infinity''', '55000'),
	('by_date', 'DAY(10)', 'DAY(10)', 'done'),
	('by_date', 'DAY(10)', 'DAY(9)', 'done'),
	('by_date', 'DAY(10)', 'NULL', '55000'),
	('by_date', 'DAY(10)', '''infinity''', '55000'),
	('by_date', 'DAY(366)', 'NULL', 'done'),
	('by_date', 'DAY(10)', 'DAY(11)', '55000'),
	('by_date', 'DAY(365)', 'DAY(366)', '55000'),
	('by_date', 'DAY(366)', 'DAY(367)', 'done'),
	('by_date', 'DAY(366)', 'DAY(0)', 'done'),
	('by_time', 'NULL', 'NOON(0)', 'done'),
	('by_time', 'NULL', 'LAST(366)', '55000'),
	('by_time', 'NOON(10)', 'FIRST(10)', 'done'),
	('by_time', 'NOON(10)', 'LAST(11)', '55000'),
	('by_time', 'NOON(10)', 'NULL', '55000')
	) AS v (of, before, after, answer);
SELECT is(becomes_of('INSERT INTO by_date VALUES (1, NULL); UPDATE by_date SET note = ''x'''), 'done', 'another column');
SELECT is(becomes_of('INSERT INTO by_date VALUES (1, DAY(2)), (2, DAY(400)); DELETE FROM by_date WHERE id = 2'), 'done', 'the one of two that may go');
SELECT is(becomes_of('INSERT INTO by_date VALUES (1, DAY(2)), (2, DAY(400)); DELETE FROM by_date'), '55000', 'not both');
SELECT is(becomes_of('INSERT INTO by_date VALUES (1, DAY(400)); TRUNCATE by_date'), '55000', 'TRUNCATE is refused');
SELECT is(becomes_of('SET LOCAL session_replication_role = replica; INSERT INTO by_date VALUES (1, DAY(1)); DELETE FROM by_date'), '55000', 'as a replica, too');
SELECT is(becomes_of('INSERT INTO by_date VALUES (1, DAY(1)); MERGE INTO by_date d USING (VALUES (1)) v (id) ON d.id = v.id WHEN MATCHED THEN DELETE'), '55000', 'MERGE');
SELECT is(becomes_of('CREATE TABLE child (id integer REFERENCES by_date ON DELETE CASCADE, ends date);
	CREATE TRIGGER retain BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''0'');
	INSERT INTO by_date VALUES (1, DAY(400)); INSERT INTO child VALUES (1, DAY(0)); DELETE FROM by_date'), '55000', 'ON DELETE CASCADE of another table');
SELECT is(becomes_of('CREATE TABLE parted (a integer, ends date) PARTITION BY LIST (a); CREATE TABLE part (dropped text, ends date, a integer);
	ALTER TABLE part DROP dropped; ALTER TABLE parted ATTACH PARTITION part FOR VALUES IN (1);
	CREATE TRIGGER retain BEFORE DELETE ON parted FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''7'');
	INSERT INTO parted VALUES (1, DAY(' || ago || ')); DELETE FROM parted'), answer, 'a partition with its columns in another order, ' || ago || ' days ago')
	FROM (VALUES (7, '55000'), (8, 'done')) AS v (ago, answer);

-- What is said, and nothing of the row.
INSERT INTO by_date VALUES (1, '2999-01-01'), (2, NULL);
DELETE FROM by_date WHERE id = 1;
UPDATE by_date SET ends = '2998-12-31' WHERE id = 1;
UPDATE by_date SET ends = '2001-01-01' WHERE id = 2;
TRUNCATE by_date;

-- Wrong in the definition.
SELECT is(becomes_of('CREATE TABLE wrong (ends date, at timestamp, g date GENERATED ALWAYS AS (ends) STORED); CREATE TRIGGER retain ' || fires || ' ON wrong ' || arguments
	|| '; INSERT INTO wrong VALUES (DAY(1))'), answer, fires || ' ' || arguments) FROM (VALUES
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''0'')', 'done'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''nothing'', ''365'')', '42703'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ctid'', ''365'')', '42703'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''at'', ''365'')', '42804'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''g'', ''365'')', '0A000'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''-1'')', '22023'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''36526'')', '22023'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''99999999999999999999'')', '22023'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''a year'')', '22023'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', '''')', '22023'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'')', '39P01'),
	('BEFORE INSERT', 'FOR EACH ROW EXECUTE FUNCTION cpis_retain(''ends'', ''1'', ''2'')', '39P01'),
	('BEFORE INSERT', 'FOR EACH STATEMENT EXECUTE FUNCTION cpis_retain(''ends'', ''365'')', '39P01')
	) AS v (fires, arguments, answer);
SELECT throws_ok('SELECT cpis_retain()', '39P01', NULL, 'not called as a trigger');
SELECT * FROM finish();

DROP TABLE by_date, by_time, zone;
DROP FUNCTION becomes_of;
DROP EXTENSION pgtap;

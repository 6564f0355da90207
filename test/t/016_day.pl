# Every end date from 2023 to 2029, with the clock of the server at the last minute of
# day 365 and the first of day 366, in England: held to the one, hidden with the other and
# then removed, wherever the session is.  The clock of the server stands still until the test moves it.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Utils;
use Test::More;
use TestClock;

my ($first, $last) = ('2023-01-01', '2029-12-31');
# It goes through all these days in two sessions.
$PostgreSQL::Test::Utils::timeout_default *= 10;

my $node = new_clocked_server('day', '2023-12-31 12:00:00', "fsync = off\n");
is($node->safe_psql('postgres', 'SELECT clock_timestamp()'), '2023-12-31 12:00:00+00', 'the clock is ours');

# A plan for each end date, and rows of tables that DBAs have put under cpis_retain(),
# the second by the first and the last minute of the day.
$node->safe_psql('postgres', qq{
	CREATE TABLE day AS
		SELECT d::date AS ends, 2000 + row_number() OVER () AS n FROM generate_series(date '$first', date '$last', '1 day') d;
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
		SELECT nhs_number_synthetic(n::integer), 'child_protection', 'E06000001', '2022-01-01', ends FROM day;
	CREATE TABLE by_date AS SELECT ends FROM day;
	CREATE TABLE by_time AS SELECT (ends + minute) AT TIME ZONE 'Europe/London' AS ends
		FROM day, unnest(ARRAY[time '00:00', '23:59']) AS minute;
	CREATE TRIGGER retain BEFORE DELETE ON by_date FOR EACH ROW EXECUTE FUNCTION cpis_retain('ends', '365');
	CREATE TRIGGER retain BEFORE DELETE ON by_time FOR EACH ROW EXECUTE FUNCTION cpis_retain('ends', '365');
});
# What an authority sent, answered in the first or the last minute of the day.
$node->safe_psql('postgres', q{
	WITH answered AS (
		INSERT INTO cpis.submission (local_authority, kind, opened_at, answered_at, file_code, accepted, rejected, ended, event_id)
			SELECT 'E06000001', 'delta', a.at, a.at, 'CPF02', 1, 0, 0, 0
			FROM day, LATERAL (SELECT (ends + CASE n % 2 WHEN 0 THEN time '00:00' ELSE time '23:59' END) AT TIME ZONE 'Europe/London') AS a (at)
			RETURNING submission_id, answered_at)
	INSERT INTO cpis.submission_record (submission_id, line_no, nhs_number)
		SELECT submission_id, 1, to_char((answered_at AT TIME ZONE 'Europe/London')::date, 'YYYY-MM-DD') FROM answered;
	CREATE INDEX ON cpis.submission_record (nhs_number);
});
$node->safe_psql('postgres', q{
	CREATE TABLE zone AS SELECT unnest(ARRAY['Pacific/Kiritimati', 'Pacific/Auckland', 'Asia/Kolkata', 'Europe/London', 'UTC',
		'America/St_Johns', 'America/Los_Angeles', 'Etc/GMT+12']) AS name;
	CREATE TABLE seen (ends date, held boolean, zone text, found boolean, date_goes boolean, time_goes boolean, clock timestamptz);
	CREATE TABLE previewed (ends date, held boolean, due bigint, due_on date, sent_due bigint, sent_due_on date);
	-- Before and after the purge.
	CREATE TABLE present (ends date, held boolean, purged boolean, plan boolean, sent boolean);
	CREATE FUNCTION goes(command text) RETURNS boolean LANGUAGE plpgsql AS $$
	DECLARE
		n integer;
	BEGIN
		EXECUTE command;
		GET DIAGNOSTICS n = ROW_COUNT;
		RAISE EXCEPTION USING errcode = 'UX000', message = n;
	EXCEPTION
		WHEN SQLSTATE 'UX000' THEN RETURN CASE WHEN sqlerrm::integer > 0 THEN true END;
		WHEN SQLSTATE '55000' THEN RETURN false;
	END $$;
	-- What there is to see of the plan and the rows with this end date, from every zone.
	CREATE PROCEDURE look(day date, held boolean) LANGUAGE plpgsql AS $$
	DECLARE
		zone text;
	BEGIN
		FOR zone IN SELECT name FROM zone LOOP
			PERFORM set_config('TimeZone', zone, true);
			INSERT INTO seen SELECT day, held, zone,
				EXISTS (SELECT FROM cpis_lookup((SELECT nhs_number_synthetic(d.n::integer) FROM day d WHERE d.ends = day), 'A', 'RXX', 'camhs')),
				goes(format('DELETE FROM by_date WHERE ends = %L', day)),
				goes(format('DELETE FROM by_time WHERE (ends AT TIME ZONE ''Europe/London'')::date = %L', day)),
				clock_timestamp();
		END LOOP;
	END $$;
	CREATE INDEX ON by_date (ends);
	CREATE INDEX ON by_time (((ends AT TIME ZONE 'Europe/London')::date));
	CREATE INDEX ON cpis.plan (end_date);
	ANALYZE;
});

# The instants, in order: of each end date, first while it is held.
my @instants = split /\n/, $node->safe_psql('postgres', q{
	SELECT to_char((ends + days + minute) AT TIME ZONE 'Europe/London' AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ends, days = 365
	FROM day, (VALUES (365, time '23:59'), (366, time '00:00')) AS v (days, minute) ORDER BY ends, days;
});
my @zones = split /\n/, $node->safe_psql('postgres', 'SELECT name FROM zone');
my $n = 0;
my $script = join '', map {
	my ($time, $ends, $held) = split /\|/;
	my $present = sub { "INSERT INTO present SELECT '$ends', '$held', $_[0], EXISTS (SELECT FROM cpis.plan WHERE end_date = '$ends'),"
		. " EXISTS (SELECT FROM cpis.submission_record WHERE nhs_number = '$ends');\n" };
	move_clock_command($time)
	  . "SET TimeZone = '" . $zones[$n++ % @zones] . "';\n"
	  . "INSERT INTO previewed SELECT '$ends', '$held', p.n, p.due_on, s.n, s.due_on"
	  . " FROM (SELECT count(*) AS n, min(due_on) AS due_on FROM cpis_purge_preview(clock_timestamp())) p,"
	  . " (SELECT count(*) AS n, min(due_on) AS due_on FROM cpis_purge_preview_submissions(clock_timestamp())) s;\n"
	  . "CALL look('$ends', '$held');\n" . $present->('false') . "CALL cpis_purge();\n" . $present->('true')
} @instants;
my $run = start_sql($node, "SET client_min_messages = warning;\nSET jit = off;\n$script", user => getpwuid $<);
finish_sql($run);
is($run->{err}, '', 'the clock was moved through all of it');

is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT ends), count(DISTINCT zone), min(ends), max(ends) FROM seen'),
	join('|', 2 * 8 * 2557, 2557, 8, $first, $last), 'every end date was looked at');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM seen WHERE clock <> ((ends + CASE WHEN held THEN 365 ELSE 366 END
		+ CASE WHEN held THEN time '23:59' ELSE time '00:00' END) AT TIME ZONE 'Europe/London')}), 0, 'at these minutes in England');
is($node->safe_psql('postgres', 'SELECT * FROM seen WHERE held AND NOT found LIMIT 5'), '', 'day 365: the look-up shows it');
is($node->safe_psql('postgres', 'SELECT * FROM present WHERE held AND NOT (plan AND sent) LIMIT 5'), '', 'day 365: the purge does not remove it, nor what was sent');
is($node->safe_psql('postgres', 'SELECT * FROM previewed WHERE held AND (due > 0 OR sent_due > 0) LIMIT 5'), '', 'day 365: it is not in the preview');
is($node->safe_psql('postgres', 'SELECT * FROM seen WHERE held AND (date_goes OR time_goes) IS NOT false LIMIT 5'), '',
	'day 365: to delete rows under cpis_retain() is refused');
is($node->safe_psql('postgres', 'SELECT * FROM present WHERE NOT held AND NOT purged AND NOT (plan AND sent) LIMIT 5'), '', 'day 366: it is still there,');
is($node->safe_psql('postgres', 'SELECT * FROM seen WHERE NOT held AND found LIMIT 5'), '', 'but the look-up does not show it');
is($node->safe_psql('postgres', 'SELECT * FROM seen WHERE NOT held AND NOT (date_goes AND time_goes) LIMIT 5'), '',
	'day 366: rows under cpis_retain() may go');
is($node->safe_psql('postgres', 'SELECT * FROM previewed WHERE NOT held AND ((due, sent_due) <> (1, 1) OR due_on <> ends + 366 OR sent_due_on <> ends + 366) LIMIT 5'), '',
	'day 366: it is in the preview');
is($node->safe_psql('postgres', 'SELECT * FROM present WHERE NOT held AND purged AND (plan OR sent) LIMIT 5'), '', 'day 366: the purge removes it, and what was sent');
is($node->safe_psql('postgres', q{
	SELECT count(*), min(due_on), max(due_on), bool_and(removed_at = due_on::timestamp AT TIME ZONE 'Europe/London') FROM cpis.removal}),
	'5114|2024-01-02|2031-01-01|t', 'each has its certificate, of its first minute');
is($node->safe_psql('postgres', 'SELECT count(*) FROM present'), 4 * 2557, 'before and after each purge');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cpis.plan'), 1001, 'and nothing else');
is($node->safe_psql('postgres', q{SELECT DISTINCT regexp_replace(problem, '\d+', 'n') FROM cpis_retention_reconcile() WHERE problem !~ '"clinician"'}),
	'nothing has recorded that submission n was answered so', 'all agrees, but that the answers were made up');
trail_is_whole($node, 'the trail is whole');

$node->stop;
done_testing();

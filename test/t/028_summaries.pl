# What analysts are told in numbers is what the events themselves say: before they are
# summarised, in part, wholly, and when they have aged out.

use strict;
use warnings;

use CpisTest;
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;
use TestClock;

my $node = new_clocked_server('summaries', '2024-01-10 12:00:00');

sub answer
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# So many look-ups, of children from "first" on, by one organisation.
sub look_up
{
	my ($first, $n, $organisation, $setting, $more) = @_;
	answer("SELECT count(*) FROM generate_series($first, $first + $n - 1) n,
		LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'A', '$organisation', '$setting'" . ($more // '') . ')');
	return;
}

sub acknowledge
{
	my ($authority, $but) = @_;
	answer("SELECT cpis_notifications_acknowledge('$authority', max(notification_no) - $but) FROM cpis.notification WHERE local_authority = '$authority'");
	return;
}

# Reasons to refuse a look-up, who provokes each, and by which arguments after the person: what had not
# been found in the register by then is nonsense.
my $nonsense = 'Jane Roe';
my @refusals = (
	[ 'not entitled', 'both', "'A', '$nonsense', '$nonsense'", qw(organisation care_setting) ],
	[ 'unknown organisation', 'clinician', "'A', '$nonsense', 'nhs_111'", qw(organisation care_setting) ],
	[ 'not entitled for the organisation', 'clinician', "'A', 'RYY', '$nonsense'", 'care_setting' ],
	[ 'not entitled to read silently', 'clinician', "'A', 'RXX', '$nonsense', notify => false", 'care_setting' ],
	[ 'not entitled to act as device', 'clinician', "'A', 'RXX', '$nonsense', system_id => 's', device => true", 'care_setting' ],
	[ 'unknown care setting', 'clinician', "'A', 'RXX', '$nonsense'", 'care_setting' ],
	[ 'care setting is not live', 'clinician', "'A', 'RXX', 'maternity'" ],
	[ 'care setting has no record of going live', 'strict', "'A', 'RXX', 'nhs_111'" ],
	[ 'too many plans', 'clinician', "'A', 'RXX', 'nhs_111'" ],
	[ 'placeholder number', 'clinician', "'A', 'RXX', 'nhs_111'" ],
	[ 'too many look-ups within a minute', 'limited', "'A', 'RYY', 'nhs_111'" ]);
my $source = slurp_file(dirname(__FILE__) . '/../../src/lookup.c');
is_deeply([ sort $source =~ /^static const Refusal \w+ = \{\s*\w+, "([^";]*)",/mg ], [ sort map { $_->[0] } @refusals ], 'these are all the reasons that there are');
is((() = $source =~ /\bRefusal \w+\s*=\s*\{/g), scalar @refusals, 'and none is given otherwise');

# Reasons by which a column has nonsense, as a regular expression.
sub reasons
{
	my ($column) = @_;
	return '^(' . join('|', map { $_->[0] } grep { my $refusal = $_; grep { $_ eq $column } @$refusal[ 3 .. $#$refusal ] } @refusals) . ')(;|$)';
}

# Copies of what ages out, and the questions to them, put otherwise than in the views.
answer(q{
	INSERT INTO cpis.organisation VALUES ('RYY', 'Another');
	CREATE SCHEMA copy;
	CREATE TABLE copy.event (LIKE cpis.audit_event);
	CREATE TABLE copy.record (LIKE cpis.submission_record);
	CREATE ROLE counts LOGIN IN ROLE cpis_analyst});

my $london = "AT TIME ZONE 'Europe/London'";
my $month = "to_char(recorded_at $london, 'YYYY-MM-01')";
# By number, so far as the events are there.
my @events_themselves = ('SELECT event_id, action, outcome, organisation, care_setting FROM cpis.analyst_event',
	'SELECT event_id, action, outcome, organisation, care_setting FROM copy.event WHERE event_id >= (SELECT min(event_id) FROM cpis.audit_event)');
# Of months that have gone.
my @counted = ('SELECT month, action, outcome, organisation, care_setting, notify, events FROM cpis.event_count',
	"SELECT to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM'), action, outcome, organisation, care_setting, notify, count(*)
		FROM copy.event WHERE event_id < (SELECT min(event_id) FROM cpis.audit_event) GROUP BY 1, 2, 3, 4, 5, 6");
my @questions = (
	[ 'accesses by day', 'SELECT day, action, outcome, organisation, care_setting, notify, accesses FROM cpis.analyst_access_day',
		"SELECT (recorded_at $london)::date, action, outcome, organisation, care_setting, notify, count(*) FROM copy.event WHERE action IN ('lookup', 'flag') GROUP BY 1, 2, 3, 4, 5, 6" ],
	[ 'accesses by month', 'SELECT month, action, outcome, organisation, organisation_name, care_setting, notify, accesses FROM cpis.analyst_access_month',
		"SELECT $month, action, outcome, organisation, (SELECT name FROM cpis.organisation WHERE code = organisation), care_setting, notify, count(*)
			FROM copy.event WHERE action IN ('lookup', 'flag') GROUP BY 1, 2, 3, 4, 5, 6, 7" ],
	[ 'accesses by outcome', 'SELECT outcome, sum(accesses) FROM cpis.analyst_access_month GROUP BY outcome',
		"SELECT outcome, count(*) FROM copy.event WHERE action IN ('lookup', 'flag') GROUP BY outcome" ],
	[ 'notices', 'SELECT month, local_authority, action, care_setting, notices FROM cpis.analyst_notice',
		"SELECT $month, local_authority, action, care_setting, count(*) FROM cpis.notification JOIN copy.event USING (event_id) GROUP BY 1, 2, 3, 4" ],
	[ 'acknowledgements', 'SELECT month, local_authority, notices, round(extract(epoch FROM mean_lag)), longest_lag, within_hour, within_day FROM cpis.analyst_acknowledgement',
		"SELECT to_char(at $london, 'YYYY-MM-01'), local_authority, count(*), round(avg(extract(epoch FROM at - recorded_at))), max(at - recorded_at),
			count(*) FILTER (WHERE at - recorded_at <= '1 hour'), count(*) FILTER (WHERE at - recorded_at <= '1 day')
			FROM (SELECT n.local_authority, e.recorded_at, (SELECT min(acknowledged_at) FROM cpis.acknowledgement k WHERE k.local_authority = n.local_authority AND k.acknowledged >= n.notification_no) AS at
				FROM cpis.notification n JOIN copy.event e USING (event_id)) AS waited WHERE at IS NOT NULL GROUP BY 1, 2" ],
	[ 'attendances', 'SELECT month, care_settings, organisations, local_authorities, children FROM cpis.analyst_attendance',
		"SELECT month, settings, organisations, authorities, CASE WHEN count(*) > 7 THEN 5 * round(count(*) / 5.0) END
			FROM (SELECT $month AS month, nhs_number, least(count(DISTINCT care_setting), 3) AS settings, least(count(DISTINCT organisation), 3) AS organisations,
					least((SELECT count(DISTINCT local_authority) FROM cpis.notification JOIN copy.event o USING (event_id)
						WHERE o.nhs_number = e.nhs_number AND to_char(o.recorded_at $london, 'YYYY-MM-01') = to_char(min(e.recorded_at) $london, 'YYYY-MM-01')), 2) AS authorities
				FROM copy.event e WHERE outcome = 'found' GROUP BY 1, 2) AS person GROUP BY 1, 2, 3, 4" ],
	[ 'submissions', 'SELECT month, local_authority, kind, file_code, submissions, accepted, rejected FROM cpis.analyst_submission',
		"SELECT to_char(answered_at $london, 'YYYY-MM-01'), local_authority, kind, file_code, count(*), sum(accepted), sum(rejected) FROM cpis.submission GROUP BY 1, 2, 3, 4" ],
	[ 'answers', 'SELECT month, local_authority, record_code, detail_code, field, records FROM cpis.analyst_answer',
		"SELECT to_char(answered_at $london, 'YYYY-MM-01'), local_authority, record_code, r.detail_code, field, count(*) FROM cpis.submission JOIN copy.record r USING (submission_id) GROUP BY 1, 2, 3, 4, 5" ]);

sub copy
{
	answer(q{
		INSERT INTO copy.event SELECT * FROM cpis.audit_event WHERE event_id > (SELECT coalesce(max(event_id), -1) FROM copy.event);
		INSERT INTO copy.record SELECT * FROM cpis.submission_record r WHERE NOT EXISTS (SELECT FROM copy.record c WHERE (c.submission_id, c.line_no) = (r.submission_id, r.line_no))});
	answer("UPDATE copy.event SET $_ = NULL WHERE $_ IS NOT NULL AND outcome = 'refused' AND detail ~ '" . reasons($_) . "'") foreach qw(organisation care_setting);
	return;
}

# Nothing is written between the copy and the questions.
sub agree
{
	my ($when) = @_;
	copy();
	subtest $when => sub {
		foreach my $question (@questions)
		{
			my ($name, $view, $events) = @$question;
			my ($told, $true) = map { join "\n", sort split /\n/ } $node->safe_psql('postgres', $view, extra_params => [ '-U', 'counts' ]), answer($events);
			is($told, $true, $name);
			note("$name:\n$told");
		}
		foreach my $question ([ 'events', \@events_themselves, [ '-U', 'counts' ] ], [ 'event_count', \@counted, [] ])
		{
			my ($name, $sql, $as) = @$question;
			my ($told, $true) = map { join "\n", sort split /\n/ } $node->safe_psql('postgres', $sql->[0], extra_params => $as), answer($sql->[1]);
			is($told, $true, $name);
		}
		isnt(answer($questions[0][2]), '', 'there is something to compare');
	};
	return;
}

look_up(1, 300, 'RXX', 'nhs_111');
look_up(1, 40, 'RYY', 'walk_in_centre');
look_up(1, 12, 'RYY', 'maternity');
look_up(900, 120, 'RYY', 'emergency_department');
answer("SELECT count(*) FROM generate_series(1, 9) n, LATERAL cpis_flag(nhs_number_synthetic(n::integer), 'B', 'RXX', 'nhs_111')");
look_up(400, 11, 'RXX', 'camhs', ', notify => false');
answer(q{
	CREATE ROLE "both" LOGIN IN ROLE cpis_clinical, cpis_steward;
	CREATE ROLE strict LOGIN IN ROLE cpis_clinical;
	ALTER ROLE strict SET cpis.require_go_live = on;
	CREATE ROLE limited LOGIN IN ROLE cpis_clinical;
	SELECT cpis_scope_grant('strict', organisation => 'RXX'), cpis_scope_grant('limited', organisation => 'RYY', max_lookups_per_minute => 1);
	INSERT INTO cpis.provider VALUES ('RXX', 'E06000001', NULL);
	SELECT cpis_provider_setting_set('RXX', 'maternity', live_from => '2900-01-01');
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) SELECT nhs_number_synthetic(3000), 'child_protection', 'E06000001', date '2020-01-01' + n FROM generate_series(1, 65) n});
foreach my $refusal ([ '', 'limited', "'A', 'RYY', 'nhs_111'" ], @refusals)
{
	my ($reason, $role, $arguments) = @$refusal;
	my $person = $reason eq 'too many plans' ? 'nhs_number_synthetic(3000)' : $reason eq 'placeholder number' ? "'1111111111'" : 'nhs_number_synthetic(2999)';
	$node->psql('postgres', "SELECT * FROM cpis_lookup($person, $arguments)", extra_params => [ '-U', $role ]);
	is(answer("SELECT split_part(detail, ';', 1) FROM cpis.audit_event WHERE action = 'lookup' ORDER BY event_id DESC LIMIT 1"), $reason, "refused, $reason");
}
agree('not summarised');
is(answer('SELECT cpis_summarise()'), 0, 'today may bring more');
my @unusual = map { answer("SELECT '$_ ' || count(*) || ' ' || count(DISTINCT (organisation, worker)) FROM cpis.unusual_$_") } qw(bulk distance hours misses);
is(answer("SELECT string_agg(kind || ' ' || cases || ' ' || workers, ', ' ORDER BY kind) FROM cpis.analyst_unusual WHERE day = '2024-01-10'"), join(', ', @unusual), 'unusual accesses are counted as stewards see them');
like($unusual[0], qr/^bulk [1-9]/, 'there are some');
set_clock('2024-01-10 12:20:00');
acknowledge('E06000001', 20);
set_clock('2024-01-10 14:20:00');
acknowledge('E06000001', 10);
answer("SELECT cpis_plan_put('E06000001', nhs_number_synthetic(2000), 'child_protection', '2024-01-02')");
answer(q{
	CREATE TEMP TABLE opened AS SELECT cpis_submission_open('E06000001', 'delta') AS id;
	INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date)
		VALUES (nhs_number_synthetic(2001)::text, 'CPP', '2024-01-03'), ('1234567890', 'CPP', '2024-01-03'), (nhs_number_synthetic(2002)::text, 'CPP', '2024-02-30'), (nhs_number_synthetic(2003)::text, 'XXX', '2024-01-03');
	SELECT cpis_submission_apply(id) FROM opened});
agree('with acknowledgements and submissions');
# Who was granted TRIGGER has nothing of his run as the owner of the tables, whichever it is on.
answer('CREATE ROLE meddler LOGIN; CREATE SCHEMA AUTHORIZATION meddler; GRANT USAGE ON SCHEMA cpis TO meddler; GRANT ALL ON ALL TABLES IN SCHEMA cpis TO meddler');
answer(q{SET SESSION AUTHORIZATION meddler; CREATE FUNCTION meddler.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN ALTER ROLE meddler SUPERUSER; RETURN NEW; END'});
sub refuses_others_code
{
	foreach my $table (@_)
	{
		answer("SET SESSION AUTHORIZATION meddler; CREATE TRIGGER t BEFORE INSERT ON cpis.$table FOR EACH ROW EXECUTE FUNCTION meddler.f()");
		my ($rc, $out, $err) = $node->psql('postgres', 'SELECT cpis_summarise()');
		like($err, qr/cannot change table "$table"/, "a trigger of his on $table");
		is(answer(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'meddler'}), 'f', 'has not run');
		answer("DROP TRIGGER t ON cpis.$table");
	}
	return;
}

set_clock('2024-01-11 00:00:00');
refuses_others_code(qw(summary access_summary access_month_summary notice_summary acknowledgement_summary answer_summary));
cmp_ok(answer('SELECT cpis_summarise()'), '>', 490, 'the next day, yesterday is summarised');
is(answer('SELECT cpis_summarise()'), 0, 'once');
is(answer('SELECT count(*) FROM cpis.attendance_summary'), 0, 'a month is not before it is over');
agree('summarised');
is(answer("SELECT count(*) FROM cpis.audit_event e WHERE e::text ~ '$nonsense'"), 6, 'the trail has what was given');
is(answer("SELECT count(*) FROM cpis.$_ s WHERE s::text ~ '$nonsense'"), 0, "$_ has nothing that is not in the register") foreach qw(access_summary access_month_summary analyst_access_day analyst_access_month analyst_event);
look_up(20, 30, 'RYY', 'emergency_department');
acknowledge('E06000002', 3);
agree('summarised in part');
# London is an hour ahead of UTC from the last Sunday of March on.
set_clock('2024-03-31 22:59:59');
look_up(50, 60, 'RXX', 'nhs_111');
set_clock('2024-03-31 23:00:00');
look_up(50, 20, 'RYY', 'walk_in_centre');
is(answer("SELECT string_agg(month::text, ' ' ORDER BY month) FROM (SELECT DISTINCT month FROM cpis.analyst_access_month) m"), '2024-01-01 2024-03-01 2024-04-01', 'months are those of England');
agree('months later');
refuses_others_code(qw(attendance_summary unusual_summary));
cmp_ok(answer('SELECT cpis_summarise()'), '>', 89, 'all months that are over');
is(answer("SELECT string_agg(DISTINCT day::text, ' ' ORDER BY day::text) FROM cpis.analyst_unusual"), '2024-01-10 2024-04-01', 'the unusual is counted once a week');
is(answer("SELECT string_agg(DISTINCT month::text, ' ' ORDER BY month::text) FROM cpis.attendance_summary"), '2024-01-01 2024-03-01', 'and nothing of the one that is not');
agree('months later, summarised');

# Months go.
set_clock('2024-06-10 12:00:00');
look_up(1, 256, 'RXX', 'nhs_111');
acknowledge($_, 0) foreach qw(E06000001 E06000002);
answer("SELECT cpis_retention_set('audit_event', 30, 'agreed'); SELECT cpis_retention_set('submission_record', 30, 'agreed')");
agree('before months go');
answer('CALL cpis_purge()');
is(answer('SELECT count(*) FROM cpis.submission_record'), 0, 'what was sent has aged out');
is(answer("SELECT string_agg(month, ' ' ORDER BY month) FROM cpis.removed_month"), '2024-01 2024-03', 'months have gone');
agree('months have gone');
is(answer("SELECT count(*) FROM cpis.event_count WHERE outcome = 'refused' AND action = 'lookup' AND care_setting IS NULL"), 4, 'refused look-ups were counted');
is(answer("SELECT count(*) FROM cpis.event_count e WHERE e::text ~ '$nonsense'"), 0, 'and nothing is kept that is not in the register');
look_up(1, 5, 'RYY', 'camhs');
agree('and the trail goes on');
is(answer("SELECT string_agg(concat_ws(' ', month, kind, local_authority, removed, latest_days), ', ') FROM cpis.analyst_removal"), '2024-06-01 submission_record E06000001 5 121', 'what was removed, and how late');

# Nobody counts otherwise, whatever he was granted.
foreach my $table (qw(summary access_summary access_month_summary notice_summary attendance_summary acknowledgement_summary answer_summary unusual_summary))
{
	foreach my $command ("DELETE FROM cpis.$table", "TRUNCATE cpis.$table", "INSERT INTO cpis.$table SELECT * FROM cpis.$table LIMIT 1")
	{
		my ($rc, $out, $err) = $node->psql('postgres', $command, extra_params => [ '-U', 'meddler' ]);
		like($err, qr/ERROR:/, $command);
	}
}
foreach my $command ('UPDATE cpis.access_month_summary SET accesses = 0', 'UPDATE cpis.notice_summary SET notices = 0')
{
	my ($rc, $out, $err) = $node->psql('postgres', $command, extra_params => [ '-U', 'meddler' ]);
	like($err, qr/ERROR:/, $command);
}
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT cpis_summarise()', extra_params => [ '-U', 'counts' ]);
like($err, qr/permission denied for function cpis_summarise/, 'analysts do not summarise');
($rc, $out, $err) = $node->psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;\n" . move_clock_command('2024-06-11 12:00:00')
	. "\\! psql -XAtq -h " . $node->host . ' -p ' . $node->port . " -d postgres -c 'SELECT cpis_summarise()' > /dev/null\nSELECT cpis_summarise()");
like($err, qr/duplicate key value violates unique constraint "summary_first_event_key"/, 'an older snapshot counts nothing twice');
agree('after that');

# What was sent goes in time, whoever keeps summaries from being made, and never without its answers.
answer(q{
	CREATE TEMP TABLE opened AS SELECT cpis_submission_open('E06000002', 'delta') AS id;
	INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date) VALUES ('no number', 'child_protection', '2024-01-01'), ('9990000018', 'no plan', '2024-01-01');
	SELECT cpis_submission_apply(id) FROM opened});
my $answers = "SELECT record_code, detail_code, field, sum(records) FROM cpis.analyst_answer WHERE local_authority = 'E06000002' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
my $answered = answer($answers);
like($answered, qr/\A(?:CPR\d+\|.*\n?)+\z/, 'answered');
set_clock('2024-08-10 12:00:00');
answer(q{GRANT TRIGGER ON cpis.summary TO meddler; GRANT CREATE ON SCHEMA public TO meddler; SET ROLE meddler;
	CREATE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
	CREATE TRIGGER in_the_way BEFORE INSERT ON cpis.summary FOR EACH ROW EXECUTE FUNCTION in_the_way()});
($rc, $out, $err) = $node->psql('postgres', 'CALL cpis_purge()');
like($err, qr/could not summarise the trail\n.*SQLSTATE 55000/, 'who is in the way of summaries');
is(answer("SELECT count(*) FROM cpis.submission_record r JOIN cpis.submission s USING (submission_id) WHERE s.local_authority = 'E06000002'"), 0, 'is in the way of no removal');
is(answer($answers), $answered, 'and answers are told as before');
answer('DROP TRIGGER in_the_way ON cpis.summary');
answer('SELECT cpis_summarise()');
is(answer($answers), $answered, 'once');

# A purge compiles nothing, whatever it costs.
my $session = $node->background_psql('postgres');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('SET client_min_messages = error; SET jit_above_cost = 0; CALL cpis_purge()');
my $compiling = $node->background_psql('postgres');
my $other_pid = $compiling->query_safe('SELECT pg_backend_pid()');
$compiling->query_safe('SET jit_above_cost = 0; SELECT count(*) FROM pg_class');
note 'this server has no JIT' if slurp_file("/proc/$other_pid/maps") !~ /llvmjit\.so/;
$compiling->quit;
unlike(slurp_file("/proc/$pid/maps"), qr/llvmjit\.so/, 'purge, and summaries with it, do without JIT');
$session->quit;
is(answer('SELECT problem FROM cpis_audit_verify()'), '', 'the trail is whole');
is(answer('SELECT problem FROM cpis_retention_reconcile() WHERE problem !~ \'role "clinician"\''), '', 'and everything agrees');
done_testing();

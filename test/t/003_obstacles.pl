# What the table of guarantees says where something is in the way: nothing is
# disclosed, nobody waits for ever, and afterwards all is as before.
#
# A writer that is stuck is made by a lock on a table that it writes; tests wait
# until they see it stuck.

use strict;
use warnings;

use CpisTest;
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Long enough not to be seen by tests that end the wait by other means.
my $node = new_server('main', conf => "cpis.record_timeout = '150s'\ncpis.writer_idle_timeout = '1h'\n");
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
run_sql($node, lookup_sql(1, 'first'));

# The locks that stop a writer, by what is locked.
my $months = $node->safe_psql('postgres', q{
	SELECT string_agg(inhrelid::regclass::text, ', ')
	FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass});
my %lock = map { $_->[0] => "LOCK TABLE $_->[1] IN ACCESS EXCLUSIVE MODE" } (
	[ 'the trail', 'cpis.audit_event' ],
	[ 'its partitions', $months ],
	[ 'the notices', 'cpis.notification' ]);

sub lock_tables
{
	my ($lock) = @_;
	my $holder = $node->background_psql('postgres');
	$holder->query_safe("BEGIN; $lock");
	return $holder;
}

sub release
{
	my ($holder) = @_;
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	return;
}

# Wait until the session of this application_name waits for the writer, which is
# stuck on a lock; answer the pids of both.
sub wait_until_stuck
{
	my ($name) = @_;
	my $activity = "FROM pg_stat_activity c, pg_stat_activity w"
	  . " WHERE c.application_name = '$name' AND c.wait_event_type = 'Extension'"
	  . " AND w.backend_type = 'cpis writer' AND w.wait_event_type = 'Lock'";
	$node->poll_query_until('postgres', "SELECT count(*) = 1 $activity")
	  or die "the writer is not stuck";
	return split /\|/, $node->safe_psql('postgres', "SELECT c.pid, w.pid $activity");
}

sub pump_until_out
{
	my ($run, $pattern) = @_;
	return pump_until($run->{psql}, $run->{timeout}, \$run->{out}, $pattern);
}

# With a lock that stops the writer, start a look-up, end its wait with
# $end->(its pid, the writer's pid), and see that the look-up fails with $state,
# discloses nothing, and that its session goes on - unless it was killed.
sub end_the_wait
{
	my ($name, $lock, $state, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $holder = lock_tables($lock);
	my $run = start_sql($node,
		($option{before} // '') . lookup_sql(2, $name) . ";\n"
		  . "RESET statement_timeout;\nSELECT 'usable';\n" . lookup_sql(3, "$name, next"),
		application_name => $name);
	if ($option{end})
	{
		my @pids = wait_until_stuck($name);
		$option{end}->(@pids);
	}
	pump_until_out($run, qr/usable\n/) unless $option{killed};
	release($holder);
	finish_sql($run);
	is($run->{states}, $state, "$name: SQLSTATE") or diag $run->{err};
	is($run->{out},
		$option{killed} ? '' : "usable\n" . event_ids($node, "$name, next"),
		"$name: nothing disclosed" . ($option{killed} ? '' : '; the next look-up of the session works'));

	# The writer that got the request may record it now that it can.
	my $after = run_sql($node, lookup_sql(4, "$name, after"));
	is($after->{out}, event_ids($node, "$name, after"), "$name: another session's next look-up works");
	cmp_ok(events($node, $name), '<=', $option{events} // 1, "$name: recorded or not, not twice");
	trail_is_whole($node, "$name: no number is missing");
	return;
}

sub signal_sql
{
	my ($function, $which) = @_;
	return sub { $node->safe_psql('postgres', "SELECT $function($_[$which])") };
}

subtest 'audit table locked for a while: the look-up waits, and is answered' => sub {
	# This writer has just made a partition, under a lock timeout for that.
	for my $what (sort keys %lock)
	{
		my $holder = lock_tables($lock{$what});
		my $run = start_sql($node, lookup_sql(6, "$what locked a while"), application_name => 'while');
		wait_until_stuck('while');
		ok( $node->poll_query_until('postgres',
				"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'while'"
				  . " AND query_start > clock_timestamp() - interval '500 ms'"),
			"$what locked");
		release($holder);
		finish_sql($run);
		is($run->{states} . $run->{out}, event_ids($node, "$what locked a while"), "$what released: recorded");
	}
};

subtest 'statement cancelled, timed out, or session killed while it waits: not disclosed' => sub {
	for my $what (sort keys %lock)
	{
		end_the_wait("timed out, $what locked", $lock{$what}, '57014',
			before => "SET statement_timeout = '300ms';\n");
		end_the_wait("cancelled, $what locked", $lock{$what}, '57014',
			end => signal_sql('pg_cancel_backend', 0));
		end_the_wait("killed, $what locked", $lock{$what}, '57P01',
			end => signal_sql('pg_terminate_backend', 0), killed => 1);
	}
	ok($node->poll_query_until('postgres', 'SELECT queue_depth = 0 FROM cpis_stat'),
		'nothing is left in the queue');
};

subtest 'writer terminated in its batch: error, not recorded, the next one goes on' => sub {
	for my $what (sort keys %lock)
	{
		end_the_wait("writer terminated, $what locked", $lock{$what}, '57P01',
			end => sub {
				is(stat($node, 'writer_pid'), $_[1], 'cpis_stat.writer_pid is the one that is stuck');
				signal_sql('pg_terminate_backend', 1)->(@_);
			},
			events => 0);
		end_the_wait("writer cancelled, $what locked", $lock{$what}, '57014',
			end => signal_sql('pg_cancel_backend', 1), events => 0);
	}

	my $pid = stat($node, 'writer_pid');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 100000)");
	my $run = run_sql($node, lookup_sql(5, 'idle writer terminated'));
	is($run->{out}, event_ids($node, 'idle writer terminated'), 'of an idle writer, nobody notices');
	isnt($run->{out}, '', 'a look-up starts the next');
};

subtest 'several callers wait when the writer is terminated: nobody is left behind' => sub {
	my $holder = lock_tables($lock{'the notices'});
	my @runs = (start_sql($node, lookup_sql(6, 'taken'), application_name => 'taken'));
	my (undef, $writer) = wait_until_stuck('taken');

	# These are queued behind the batch that is stuck.
	push @runs, map { start_sql($node, lookup_sql(6, "queued $_"), application_name => "queued $_") } 1 .. 5;
	ok($node->poll_query_until('postgres', 'SELECT queue_depth = 6 FROM cpis_stat'), 'six wait');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($writer, 100000)");
	finish_sql($runs[0]);
	is("$runs[0]{states}$runs[0]{out}", '57P01', 'what the writer had taken fails');
	release($holder);
	for my $i (1 .. 5)
	{
		finish_sql($runs[$i]);
		is($runs[$i]{states} . $runs[$i]{out}, event_ids($node, "queued $i"),
			"what was queued is recorded by the next writer");
	}
	is(events($node, 'taken'), 0, 'what failed is not recorded');
	trail_is_whole($node, 'no number is missing');
};

subtest 'what others attach to the tables does not stop the writer' => sub {
	$node->safe_psql('postgres', q{
		CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'stop'; END $$;
		CREATE TRIGGER stop BEFORE INSERT ON cpis.notification FOR EACH ROW EXECUTE FUNCTION stop();
		CREATE TRIGGER stop_after AFTER INSERT ON cpis.notification FOR EACH ROW EXECUTE FUNCTION stop();
		ALTER TABLE cpis.notification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
		ALTER TABLE cpis.audit_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	});
	my $run = run_sql($node, lookup_sql(7, 'attached'));
	is($run->{states} . $run->{out}, event_ids($node, 'attached'), 'triggers and row security');
	$node->safe_psql('postgres', q{
		DROP FUNCTION stop CASCADE;
		ALTER TABLE cpis.notification DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
		ALTER TABLE cpis.audit_event DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
	});

	# A row that somebody inserted and has not committed.
	my $holder = lock_tables(q{INSERT INTO cpis.notification
		SELECT local_authority, max(notification_no) + 1, 0 FROM cpis.notification GROUP BY 1});
	$run = run_sql($node, lookup_sql(7, 'uncommitted'));
	is($run->{states} . $run->{out}, event_ids($node, 'uncommitted'), 'the next number, uncommitted');
	release($holder);
	trail_is_whole($node, 'no number is missing');
};

subtest 'ordinary roles cannot weaken or delay the recording' => sub {
	# Before the library is loaded in a session, anybody may set the name.
	my $run = run_sql($node, "SET cpis.record_timeout = '10ms';\n" . lookup_sql(7, 'set before')
		  . ";\nSHOW cpis.record_timeout; SET cpis.record_timeout = '10ms'; SHOW cpis.record_timeout;"
		  . "SET cpis.writer_idle_timeout = '1s'; SHOW cpis.writer_idle_timeout");
	is($run->{out}, event_ids($node, 'set before') . "\n150s\n150s\n1h", 'a setting is not taken');
	is($run->{states}, '42501 55P02', 'it is an error once the library is loaded');
	$run = run_sql($node, lookup_sql(7, 'superuser') . " \\g /dev/null\n"
		  . "SET cpis.record_timeout = '2s'; SHOW cpis.record_timeout;", user => $superuser);
	is($run->{out}, '2s', 'a superuser may');
	isnt($node->psql('postgres', "ALTER ROLE clinician SET cpis.record_timeout = '1s'",
			extra_params => [ '-U', 'clinician' ], stderr => \my $error), 0,
		'nor for later sessions');
};

subtest 'writer idle: it leaves by itself and comes back' => sub {
	$node->append_conf('postgresql.conf', "cpis.writer_idle_timeout = '100ms'\n");
	$node->reload;
	run_sql($node, lookup_sql(8, 'idle before'));
	ok($node->poll_query_until('postgres', 'SELECT writer_pid IS NULL FROM cpis_stat'), 'it leaves');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cpis writer'"),
		0, 'its process too') if $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'cpis writer'");
	my $starts = stat($node, 'writer_starts');
	my $run = run_sql($node, lookup_sql(8, 'idle after'));
	is($run->{states} . $run->{out}, event_ids($node, 'idle after'), 'a look-up starts another');
	is(stat($node, 'writer_starts'), $starts + 1, 'and it is counted');
	trail_is_whole($node, 'numbers go on');
};

$node->append_conf('postgresql.conf', "cpis.record_timeout = '1s'\ncpis.writer_idle_timeout = '1h'\n");
$node->restart;

# A look-up that the writer cannot record in time.
sub not_in_time
{
	my ($name, $run) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($run->{states}, qr/^(53000|55P03)$/, "$name: SQLSTATE of the deadline or of the writer's");
	is($run->{out}, '', "$name: nothing disclosed");
	return;
}

subtest 'audit table locked by somebody: error within cpis.record_timeout' => sub {
	for my $what (sort keys %lock)
	{
		my $holder = lock_tables($lock{$what});
		my $run = run_sql($node, lookup_sql(9, "$what locked"));
		not_in_time("$what locked", $run);
		release($holder);
		my $after = run_sql($node, lookup_sql(9, "$what released"));
		is($after->{states} . $after->{out}, event_ids($node, "$what released"), "$what released: works");
		my $recorded = events($node, "$what locked");
		cmp_ok($recorded, '<=', $run->{states} eq '53000' ? 1 : 0, "$what locked: recorded at most by a late writer");
		trail_is_whole($node, "$what released: no number is missing");

		# The caller's own lock: no deadlock detector sees this one.
		$run = run_sql($node, "BEGIN; $lock{$what};\n" . lookup_sql(9, "$what locked by the caller")
			  . ";\nROLLBACK;\nSELECT 'usable';\n" . lookup_sql(9, "$what locked by the caller, next"),
			user => $superuser);
		my $next = event_ids($node, "$what locked by the caller, next");
		is($run->{out}, "usable\n$next", "$what locked by the caller itself: the session goes on");
		$run->{out} = '';
		not_in_time("$what locked by the caller itself", $run);
	}
};

subtest 'settings of database, role and cluster neither stop the writer nor weaken it' => sub {
	# Made so that an asynchronous commit would be lost by the immediate stop.
	$node->append_conf('postgresql.conf', "wal_writer_delay = '10s'\n");
	$node->restart;
	$node->safe_psql('postgres', 'CREATE DATABASE hostile');
	make_register($node, 'hostile');
	my @settings = (
		'synchronous_commit = off', 'default_transaction_read_only = on',
		'session_replication_role = replica', 'lock_timeout = 1', 'statement_timeout = 1',
		'idle_in_transaction_session_timeout = 1', 'search_path = junk',
		'default_transaction_isolation = serializable', 'default_transaction_deferrable = on',
		"TimeZone = 'Pacific/Kiritimati'", "DateStyle = 'German'", 'row_security = on',
		'default_table_access_method = junk', 'client_min_messages = error', 'bytea_output = escape',
		'array_nulls = off', 'enable_indexscan = off');
	# The writer connects as the superuser who made the cluster.
	$node->safe_psql('hostile', join ';', map {
		"ALTER DATABASE hostile SET $_; ALTER ROLE CURRENT_USER IN DATABASE hostile SET $_"
	} @settings);

	# The callers themselves would not get far, some not even to a SET.
	local $ENV{PGOPTIONS} = '-c statement_timeout=0 -c lock_timeout=0';
	my $sane = "SET statement_timeout = 0; SET lock_timeout = 0; SET search_path = public;\n";
	my $run = run_sql($node, $sane . join(";\n", map { lookup_sql($_, 'hostile') } 2 .. 11),
		database => 'hostile');
	$node->stop('immediate');
	$node->start;
	is($run->{states}, '', 'look-ups work') or diag $run->{err};
	my $saved = run_sql($node, "$sane SELECT event_id FROM cpis.audit_event WHERE request_id = 'hostile' ORDER BY 1",
		database => 'hostile', user => $superuser);
	is($run->{out}, $saved->{out}, 'what was disclosed survives an immediate stop');
	is(scalar split(/\n/, $saved->{out}), 10, 'all of it');

	my $check = run_sql($node, $sane . q{
		SET TimeZone = 'UTC'; SET DateStyle = 'ISO';
		SELECT count(*), count(DISTINCT nhs_number), min(outcome), bool_and(notified_authority[1] IN ('E06000001', 'E06000002')),
			bool_and(recorded_at BETWEEN now() - interval '1 hour' AND now()), bool_and(octet_length(salt) = 16 AND octet_length(leaf_hash) = 32)
		FROM cpis.audit_event;
		SELECT bool_and(tableoid::regclass::text = 'cpis.audit_event_' || to_char(recorded_at, 'YYYY_MM'))
		FROM cpis.audit_event;
		SELECT bool_and(pg_get_expr(relpartbound, oid) ~ '-01 00:00:00\+00.*-01 00:00:00\+00'), count(*) > 1
		FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = 'cpis'::regnamespace;
		SELECT count(*) FROM cpis.notification;
	}, database => 'hostile', user => $superuser);
	is($check->{out}, "10|10|found|t|t|t\nt\nt|t\n10", 'the events, months and notices are right')
	  or diag $check->{err};
	$node->safe_psql('postgres', q{ALTER DATABASE hostile RESET ALL; ALTER ROLE CURRENT_USER IN DATABASE hostile RESET ALL});
	trail_is_whole($node, 'no number is missing', 'hostile');
};

$node->stop;

subtest 'writer cannot start: error within cpis.record_timeout, and it recovers' => sub {
	# One slot, taken by the writer of another database.
	$node = new_server('slots', conf => "max_worker_processes = 1\nmax_logical_replication_workers = 0\n"
		  . "cpis.record_timeout = '1s'\ncpis.writer_idle_timeout = '1h'\n");
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	make_register($node, 'other');
	my $run = run_sql($node, lookup_sql(1, 'other'), database => 'other');
	isnt($run->{out}, '', 'the writer of another database has the only slot');

	$run = run_sql($node, lookup_sql(1, 'no slot'));
	is("$run->{states}$run->{out}", '53400', 'error, nothing disclosed');
	like($run->{err}, qr/DETAIL:.*background workers/, 'it says what is missing');
	is(stat($node, 'lookups, failures, writer_starts, queue_depth'), '0|1|0|0', 'counted as a failure');

	# A look-up that waits gets the slot when it is free.
	$run = start_sql($node, "SET cpis.record_timeout = '150s';\n" . lookup_sql(1, 'slot freed'),
		user => $superuser, application_name => 'waits');
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'waits' AND wait_event_type = 'Extension'"),
		'a look-up waits');
	my $pid = stat($node, 'writer_pid', 'other');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 100000)");
	finish_sql($run);
	is(substr($run->{out}, 0, 1) . $run->{states}, '0', 'when the slot is free, it is recorded');
	is(events($node, 'slot freed', 'found'), 1, 'in the trail');
	is(events($node, 'no slot'), 0, 'the one that failed is not');
	$node->stop;
};

# The server log of a node, in all formats.
sub logs
{
	my ($log_node) = @_;
	return join '', map { slurp_file($_) } $log_node->logfile, glob($log_node->data_dir . '/log/*');
}

# Test that no number of the block 999 stands in a log; nothing else in these
# tests has ten digits that begin so, pids and times included.
sub no_number_in_log
{
	my ($name, $log) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @found = grep { /999[- ]?\d{3}[- ]?\d{4}/ } split /\n/, $log;
	is(scalar @found, 0, $name) or diag join "\n", @found[ 0 .. ($#found > 9 ? 9 : $#found) ];
	return;
}

# Look-ups that fail, each in a session of its own, where the library is loaded
# by the statement itself.
my $call = "FROM cpis_lookup(%s, 'A Nurse', 'RXX', 'emergency_department')";
my @bad_calls = (
	[ '22P02', "SELECT 'x' " . sprintf $call, q{'9990000019'} ],
	[ '22P02', "SELECT 'x' " . sprintf $call, q{'999 000 0019'} ],
	[ '22P02', "SELECT 'x' " . sprintf $call, q{'99900000180'} ],
	[ '22P02', q{SELECT nhs_number '999-000-0019'} ],
	[ '22004', q{SELECT 'x' FROM cpis_lookup('9990000018', NULL, 'RXX', 'maternity')} ],
	[ '22023', q{SELECT 'x' FROM cpis_lookup('999 000 0018', '', 'RXX', 'maternity')} ],
	[ '22023', q{SELECT 'x' FROM cpis_lookup('9990000018', repeat('9990000026', 21), 'RXX', 'maternity')} ],
	[ '22023', q{SELECT 'x' FROM cpis_lookup('9990000018', E'9990000026\n', 'RXX', 'maternity')} ],
	[ '22023', q{SELECT 'x' FROM cpis_lookup('9990000018', 'A Nurse', '999 000 0026', 'maternity', location => E'\t')} ],
	[ '42704', q{SELECT 'x' FROM cpis_lookup('9990000018', 'A Nurse', '9990000026', 'maternity')} ],
	[ '42704', q{SELECT 'x' FROM cpis_lookup('9990000018', 'A Nurse', 'RXX', '9990000026')} ],
	[ '42501', q{SELECT 'x' FROM cpis_lookup('9990000018', 'A Nurse', 'RXX', 'maternity', notify => false)} ],
	[ '42704', q{SELECT cpis_flag('999-000-0018', 'A Nurse', 'NOPE', 'maternity')} ],
	[ '22P02', q{COPY plans FROM STDIN;} . "\n9990000019\n\\." ],
);

sub run_bad_calls
{
	my ($log_node) = @_;
	$log_node->safe_psql('postgres',
		'CREATE TABLE plans (n nhs_number); GRANT ALL ON plans TO clinician');
	my %failed = map { $_->[1] => run_sql($log_node, $_->[1])->{states} } @bad_calls;
	is_deeply(\%failed, { map { $_->[1] => $_->[0] } @bad_calls }, 'the calls fail as they should');
	return;
}

subtest 'no NHS number in the server log: bad calls, library not preloaded' => sub {
	$node = new_server('log', conf => "log_statement = none\n");
	run_bad_calls($node);
	like(logs($node), qr/organisation is not in the register/, 'the errors are in the log');
	no_number_in_log('without their numbers', logs($node));
	$node->stop;
};

subtest 'no NHS number in the server log: library preloaded, errors of every kind' => sub {
	$node = new_server('preloaded', conf => join "\n",
		"shared_preload_libraries = 'cpis'", 'logging_collector = on',
		"log_destination = 'stderr,csvlog,jsonlog'", 'log_lock_waits = on',
		'log_statement = none', 'log_min_duration_statement = 0', "deadlock_timeout = '100ms'",
		"cpis.record_timeout = '150s'", 'restart_after_crash = on', '');
	run_bad_calls($node);

	# From here on, every statement is logged; only valid numbers can be told.
	$node->append_conf('postgresql.conf', "log_statement = all\nlog_duration = on\nlog_parameter_max_length_on_error = -1\n");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('log_statement') = 'all'");

	my $good = sprintf $call, q{'9990000018'};
	my $plan = q{INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
		VALUES ('9990000026', 'child_protection', 'E06000002', %s)};
	my @errors = (
		[ '', "SELECT 'x' $good" ],
		[ '', "SELECT count(*), '999 000 0018' $good" ],
		[ '', q{/* 999-000-0018 */ SELECT 1} ],
		[ '22012', "SELECT 1/0 $good" ],
		[ '22012', q{DO $$ BEGIN PERFORM 1/0 WHERE '9990000018' <> ''; END $$} ],
		[ '42601', "SELEKT 'x' $good" ],
		[ '42601', q{SELECT 'x' FROM plans WHERE n = 999 000 0018} ],
		[ '42601', q{SELECT 'x' 9990000018 9990000018} ],
		[ '42703', q{SELECT "9990000018" FROM plans} ],
		[ '42883', q{SELECT cpis_lookup('9990000018', 5)} ],
		[ '23505', sprintf $plan, q{'2026-01-01'} ],
		[ '23514', sprintf $plan, q{'1900-01-01'} ],
		[ '22003', q{SELECT '9990000018'::int} ],
		[ '22008', q{SELECT '9990000018'::date} ],
		[ '', q{PREPARE p (nhs_number) AS SELECT count(*) FROM plans WHERE n = $1; EXECUTE p ('9990000018')} ],
		[ 'P0001', q{DO $$ BEGIN RAISE EXCEPTION 'child 999 000 0018' USING DETAIL = '9990000018', HINT = '9990000026'; END $$} ],
		[ '', q{DO $$ BEGIN RAISE LOG 'child 999-000-0018'; END $$} ],
		[ '22P04', q{COPY plans FROM STDIN;} . "\n9990000018\tx\n\\." ],
		[ '57014', "SET statement_timeout = '100ms'; SELECT pg_sleep(1000), '9990000018'" ],
	);
	my %failed = map { $_->[1] => run_sql($node, $_->[1], user => $superuser)->{states} } @errors;
	is_deeply(\%failed, { map { $_->[1] => $_->[0] } @errors }, 'the statements fail as they should');

	# The extended protocol: parameters are logged as a DETAIL of their own.
	$node->pgbench("-n -c 1 -t 2 -M $_ -U $superuser -D n=9990000018", 0, [qr{processed: 2/2}], [],
		"parameters, $_",
		{ "parameter_$_.sql" => "SELECT count(*) FROM cpis_lookup(:n::bigint::nhs_number, 'A Nurse', 'RXX', 'maternity');\n" },
		'postgres')
	  for 'extended', 'prepared';

	# While it waits for the writer: cancelled, killed, and the writer terminated.
	for my $end ([ '57014', 'pg_cancel_backend', 0 ], [ '57P01', 'pg_terminate_backend', 0 ],
		[ '57P01', 'pg_terminate_backend', 1 ])
	{
		my ($state, $function, $which) = @$end;
		my $holder = lock_tables($lock{'the trail'});
		my $run = start_sql($node, "SELECT 'x' $good", application_name => 'waits');
		my @pids = wait_until_stuck('waits');
		signal_sql($function, $which)->(@pids);
		finish_sql($run);
		is("$run->{states}$run->{out}", $state, "$function: SQLSTATE");
		release($holder);
	}

	# A deadlock's DETAIL has the statements of both.
	my $one = $node->background_psql('postgres', on_error_stop => 0);
	$one->query_safe('BEGIN; SELECT pg_advisory_xact_lock(1)');
	my $other = start_sql($node, 'BEGIN; SELECT pg_advisory_xact_lock(2);'
		  . q{SELECT pg_advisory_xact_lock(1), '9990000018'}, application_name => 'deadlock');
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'deadlock' AND wait_event = 'advisory'");
	$one->query(q{SELECT pg_advisory_xact_lock(2), '9990000026'});
	$one->quit;
	finish_sql($other);

	# When a backend crashes, the postmaster logs what it was doing.
	my $run = start_sql($node, q{SELECT pg_sleep(1000), '9990000018'}, application_name => 'crash');
	my $query = "FROM pg_stat_activity WHERE application_name = 'crash' AND wait_event = 'PgSleep'";
	$node->poll_query_until('postgres', "SELECT count(*) = 1 $query");
	kill 'SEGV', $node->safe_psql('postgres', "SELECT pid $query");
	finish_sql($run);
	wait_for_server($node);

	# What was written last is there once the collector has ended.
	$node->stop;
	my $log = logs($node);
	ok($log =~ /$_/, "in the log: $_")
	  for 'organisation is not in the register', 'division by zero', 'duplicate key',
	  'deadlock detected', 'Process \d+: SELECT', 'Failed process was running', 'canceling statement',
	  'terminating connection', '[Pp]arameters: \$1', 'duration: ', 'x{10}', 'xxx';
	no_number_in_log('and no number', $log);
};

subtest 'library replaced: the writer leaves, the next one runs the new file' => sub {
	# A copy of the installation whose files belong to whoever runs the test.
	my $copy = PostgreSQL::Test::Utils::tempdir_short();
	my %dir;
	for my $kind ('bindir', 'pkglibdir', 'sharedir')
	{
		chomp($dir{$kind} = `pg_config --$kind`);
		make_path($copy . $dir{$kind} =~ s{/[^/]+$}{}r);
		system_or_bail('cp', '-R', $dir{$kind}, $copy . $dir{$kind} =~ s{/[^/]+$}{}r);
	}
	$node = PostgreSQL::Test::Cluster->new('library',
		install_path => $copy . $dir{bindir} =~ s{/bin$}{}r);
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', "cpis.writer_idle_timeout = '1h'\n");
	$node->start;
	make_register($node, 'postgres');

	run_sql($node, lookup_sql(2, 'old'));
	my $old = stat($node, 'writer_pid');
	run_sql($node, lookup_sql(2, 'old'));
	is(stat($node, 'writer_pid'), $old, 'one writer serves while nothing changes');

	my $library = "$copy$dir{pkglibdir}/cpis.so";
	ok(utime(1, 1, $library), 'the file has another time');
	my $run = run_sql($node, lookup_sql(2, 'touched'));
	is($run->{states} . $run->{out}, event_ids($node, 'touched'), 'a look-up works');
	run_sql($node, lookup_sql(2, 'served'));
	my $new = stat($node, 'writer_pid');
	isnt($new, $old, 'another writer serves');

	system_or_bail('cp', $library, "$library.new");
	rename "$library.new", $library or die "cannot rename: $!";
	$run = run_sql($node, lookup_sql(2, 'replaced'));
	is($run->{states} . $run->{out}, event_ids($node, 'replaced'), 'after a replacement by rename, a look-up works');
	run_sql($node, lookup_sql(2, 'served'));
	isnt(stat($node, 'writer_pid'), $new, 'and another writer serves');
	trail_is_whole($node, 'numbers go on');

	# A library with another layout of the queue differs in what it calls it.
	my $bytes = slurp_file($library);
	is($bytes =~ s/cpis queue \K\d/!/g, 1, 'the version of the layout is in the library');
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('SELECT pg_advisory_lock(1)');
	my $old_session = start_sql($node,
		join(";\n", lookup_sql(2, 'before'), 'SELECT pg_advisory_lock(1)', lookup_sql(2, 'old library')));
	$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted');
	append_to_file("$library.new", $bytes);
	rename "$library.new", $library or die "cannot rename: $!";
	$holder->quit;
	finish_sql($old_session);
	is($old_session->{states}, '53000', 'a session with the old library is not answered');
	like($old_session->{err}, qr/HINT:.*reconnect/, 'and is told to reconnect');
	$run = run_sql($node, lookup_sql(2, 'new library'));
	is($run->{states} . $run->{out}, event_ids($node, 'new library'), 'who has reconnected is answered');
	is(events($node, 'before'), 1, 'what was answered before is recorded');
	is(events($node, 'old library'), 0, 'what was not answered is not');
	trail_is_whole($node, 'numbers go on with another queue');
	$node->stop;
};

subtest 'postmaster killed while a look-up waits: the session ends, nothing is disclosed' => sub {
	$node = new_server('orphan', conf => "cpis.record_timeout = '150s'\ncpis.writer_idle_timeout = '1h'\n");
	run_sql($node, lookup_sql(1, 'first'));
	my $holder = lock_tables('LOCK TABLE cpis.notification IN ACCESS EXCLUSIVE MODE');
	my $run = start_sql($node, lookup_sql(2, 'orphan'), application_name => 'orphan');
	my (undef, $writer) = wait_until_stuck('orphan');

	# A writer that stands still answers nobody, not even at its own end.
	kill 'STOP', $writer;
	my $postmaster = postmaster($node);
	my @children = children($postmaster);
	$node->kill9;
	finish_sql($run);
	is($run->{out} . $run->{states}, '', 'nothing disclosed, and it did not wait for cpis.record_timeout');
	like($run->{err}, qr/server closed the connection unexpectedly/, 'the session has ended');

	kill 'KILL', $writer;
	$holder->{run}->kill_kill;
	bury($node, $postmaster, @children);
	$node->start;
	run_sql($node, lookup_sql(2, 'started again'));
	is(events($node, 'started again'), 1, 'a look-up works after the start');
	is(events($node, 'orphan'), 0, 'what was not answered is not recorded');
	trail_is_whole($node, 'no number is missing');
	$node->stop;
};

done_testing();

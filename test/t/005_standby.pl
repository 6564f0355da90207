# Hot and synchronous standbys: nothing is disclosed on a hot standby, nor
# before a synchronous one has flushed the event, and promotion goes on with
# the next number.

use strict;
use warnings;

use CpisTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $primary = new_server('primary', conf => q{
	wal_level = replica
	max_wal_senders = 4
	max_connections = 30
	cpis.record_timeout = 60s
	cpis.writer_idle_timeout = 1h
});

my $directory = PostgreSQL::Test::Utils::tempdir;
my $calls = 0;

# Start SQL as the clinician; finish() gives its rows and the SQLSTATE of its
# error, '' for none.  By files: nobody need pump, and it is under way at once.
sub begin
{
	my ($node, $sql) = @_;
	my $file = "$directory/call" . $calls++;
	append_to_file("$file.sql", $sql);
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres') . ' user=clinician' ],
		'<', "$file.sql", '>', "$file.out", '2>', "$file.err",
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return { run => $run, file => $file };
}

sub finish
{
	my ($call) = @_;
	$call->{run}->finish;
	my ($sqlstate) = slurp_file("$call->{file}.err") =~ /(?:ERROR|FATAL):\s+(\w{5})/;
	return (slurp_file("$call->{file}.out"), $sqlstate // '');
}

sub ask
{
	return finish(begin(@_));
}

# Without waiting for a standby that is not there.
sub change
{
	my ($sql) = @_;
	$primary->safe_psql('postgres', "SET synchronous_commit = local; $sql");
	return;
}

sub next_event
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT count(*) FROM cpis.audit_event');
}

sub is_without_gaps
{
	my ($node) = @_;
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM (SELECT event_id, row_number() OVER (ORDER BY event_id) - 1 AS expected
			FROM cpis.audit_event) e WHERE event_id <> expected;
		SELECT count(*) FROM (SELECT notification_no, row_number() OVER (
				PARTITION BY local_authority ORDER BY notification_no) AS expected
			FROM cpis.notification) n WHERE notification_no <> expected;
		SELECT event_id, problem FROM cpis_audit_verify();
	}), "0\n0\n|", 'events and notices have no gap, and the ledger holds');
	return;
}

is(join(' ', ask($primary, lookup_sql(2, 'before the backup'))), "0\n ", 'primary looks up');
$primary->safe_psql('postgres', 'CREATE ROLE another LOGIN IN ROLE cpis_local_authority');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'cpis.record_timeout = 10min');
$standby->start;
ask($primary, lookup_sql(4, 'while streaming'));
$primary->wait_for_catchup($standby, 'replay');

subtest 'hot standby: error at once, not recorded' => sub {
	my $events = next_event($standby);
	is($events, 2, 'the trail is on the standby');
	my %call = (
		'cpis_lookup()' => lookup_sql(2, 'on the standby'),
		'cpis_flag()' => q{SELECT cpis_flag(nhs_number_synthetic(2), 'A Nurse', 'RXX', 'ambulance')},
		'cpis_access_history()' => 'SELECT * FROM cpis_access_history(0)',
		'cpis_lookup() in a READ ONLY transaction' =>
		  'BEGIN READ ONLY; ' . lookup_sql(2, 'on the standby'),
		'cpis_lookup() as superuser' => undef,
	);
	foreach my $name (sort keys %call)
	{
		my $start = time;

		# A look-up that waits instead ends here with 57014.
		my ($rows, $sqlstate) = defined $call{$name}
		  ? ask($standby, "SET statement_timeout = '60s'; $call{$name}")
		  : do {
			my ($rc, $out, $err) = $standby->psql('postgres',
				"SET statement_timeout = '60s'; " . lookup_sql(2, 'on the standby'),
				extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
			($out, $err =~ /ERROR:\s+(\w{5})/);
		  };
		is("$rows$sqlstate", '25006', $name);
		note sprintf '%s: %.0f ms, psql included', $name, 1000 * (time - $start);
	}
	foreach my $change ('CALL cpis_purge()', q{SELECT cpis_retention_set('unborn', 400)}, q{SELECT cpis_hold_place('x', everything => true)},
		q{SELECT cpis_hold_release(1, 'x')}, q{SELECT cpis_plan_correct(1, 'x', delete_date => current_date)}, 'SELECT cpis_purge_pause(true)')
	{
		my ($rc, $out, $err) = $standby->psql('postgres', $change, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
		like($err, qr/ERROR:\s+25006/, $change);
	}
	is($standby->safe_psql('postgres', q{
		SELECT count(*) FROM cpis_purge_preview(); SELECT due, failed FROM cpis_stat_retention; SELECT count(*) FROM cpis_retention_reconcile() WHERE problem !~ '"clinician"'}),
		"0\n0|0\n0", 'what retention has to say can be read');
	is($standby->safe_psql('postgres', 'SELECT checked, event_id, problem FROM cpis_audit_verify()'), "$events||",
		'trail and ledger can be verified there');
	is($standby->safe_psql('postgres', 'SELECT cardinality(cpis_inclusion_proof(0)) > 0'), 't', 'and events be proved');
	like(($standby->psql('postgres', 'SELECT cpis_checkpoint()'))[2], qr/cannot execute cpis_checkpoint\(\) during recovery/,
		'but no checkpoint be made');
	my $refused = ($standby->psql('postgres', "SELECT * FROM cpis_notifications('E06000001')", extra_params => [ '-U', 'another' ]))[2];
	like($refused, qr/permission denied to act for the local authority/, 'who may not act for an authority may not there');
	unlike($refused, qr/recorded/, 'and is not told that this is recorded');
	is(next_event($standby), $events, 'nothing is recorded there');
	is($standby->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cpis writer'}),
		0, 'no writer was started');
	is(next_event($primary), $events, 'nor is anything on the primary');
};

subtest 'hot standby: an event is proved where a checkpoint is there that covers it' => sub {
	$primary->safe_psql('postgres', 'SELECT cpis_checkpoint()');
	# From now on there is no other.
	my $holder = $primary->background_psql('postgres');
	$holder->query_safe('BEGIN; LOCK TABLE cpis.checkpoint IN SHARE MODE');
	my $event = (ask($primary, lookup_sql(2, 'not covered')))[0] + 0;
	$primary->wait_for_catchup($standby, 'replay');
	my ($rc, $out, $err) = $standby->psql('postgres', 'SELECT cpis_tlog_proof(0)');
	like($out, qr{\Ac2sp\.org/tlog-proof\@v1\nindex 0\n}, 'a proof');
	like($err, qr/WARNING:  proof leads to a checkpoint that is not signed/, 'and that nobody has signed');
	($rc, $out, $err) = $standby->psql('postgres', "SELECT cpis_tlog_proof($event)");
	like($err, qr/no checkpoint on this standby covers event $event yet\s+HINT:  Ask the primary/, 'one that no checkpoint covers');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
};

$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$primary->restart;
$primary->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}) or die;

subtest 'synchronous_standby_names set: a look-up discloses while the standby runs' => sub {
	is(join(' ', ask($primary, lookup_sql(2, 'both run'))), "3\n ", 'disclosed');
};

my $writer = q{FROM pg_stat_activity WHERE backend_type = 'cpis writer'};

# End the writer, which may hang in a commit.
sub end_writer
{
	change("SELECT pg_terminate_backend(pid) $writer");
	$primary->poll_query_until('postgres', "SELECT count(*) = 0 $writer") or die 'writer does not end';
	return;
}

# A look-up whose event waits for the standby, of which there is none, while
# something is done to the writer; what the caller gets.
sub ask_while
{
	my ($request, $do) = @_;
	end_writer();
	my $call = begin($primary, lookup_sql(2, $request));
	$primary->poll_query_until('postgres', "SELECT count(*) = 1 $writer AND wait_event = 'SyncRep'")
	  or die 'writer does not wait for the standby';
	$do->();
	return finish($call);
}

subtest 'synchronous_standby_names set: nothing disclosed before the standby has flushed' => sub {
	$standby->stop;
	change(q{ALTER ROLE clinician SET cpis.record_timeout = '1s'});
	is(join(' ', ask($primary, lookup_sql(2, 'no standby'))), ' 53000',
		'standby stopped: error within record_timeout');
	is(join(' ', ask($primary, lookup_sql(2, 'no standby'))), ' 53000', 'and again');
	change(q{ALTER ROLE clinician RESET cpis.record_timeout});

	foreach my $function (qw(pg_cancel_backend pg_terminate_backend))
	{
		is(join(' ', ask_while($function, sub { $primary->safe_psql('postgres', "SELECT $function(pid) $writer") })),
			' 57P01', "$function() of the writer while it waits: error, no row");
	}
	is(join(' ', ask_while('shut down', sub { $primary->restart })),
		' 57P01', 'server shut down while the writer waits: no row, and no hang');
};

# Each setting is in force when the next writer starts, except that the one of
# the configuration file also reaches one that runs.
subtest 'synchronous_standby_names set: no setting of synchronous_commit weakens it' => sub {
	my $superuser = $primary->safe_psql('postgres', 'SELECT quote_ident(rolname) FROM pg_roles WHERE oid = 10');
	change(q{ALTER ROLE clinician SET cpis.record_timeout = '500ms'});
	foreach my $where (
		'DATABASE postgres', "ROLE $superuser", 'ROLE ALL', "ROLE $superuser IN DATABASE postgres",
		'ROLE clinician', 'SYSTEM')
	{
		foreach my $value (qw(off local))
		{
			change("ALTER $where SET synchronous_commit = $value");
			$primary->reload;
			end_writer();
			is(join(' ', ask($primary, lookup_sql(2, "$where $value"))), ' 53000', "ALTER $where: $value");
		}
		change("ALTER $where RESET synchronous_commit");
	}
	is(join(' ', ask($primary, 'SET synchronous_commit = off; ' . lookup_sql(2, 'SET'))), ' 53000', 'SET: off');
	change(q{ALTER ROLE clinician RESET cpis.record_timeout});
	$primary->reload;
};

my $early;

subtest 'synchronous_standby_names set: everything disclosed is on both' => sub {
	$standby->start;
	my ($event_id) = ask($primary, lookup_sql(2, 'standby is back'));
	like($event_id, qr/^\d+$/, 'look-ups go on when the standby is back');
	$early = $standby->background_psql('postgres', on_error_stop => 0,
		extra_params => [ '-U', 'clinician', '-v', 'VERBOSITY=sqlstate' ]);
	$early->query(lookup_sql(2, 'early'));
	like($early->{stderr}, qr/25006/, 'error at once in a session that will see the promotion');
	$early->{stderr} = '';

	my @calls = map {
		my $client = $_;
		begin($primary, join '', map {
				"SELECT event_id, 'c$client-$_' FROM (" . lookup_sql(1 + $_ % 999 + 1, "c$client-$_") . ") x;\n"
			} 1 .. 5000);
	} 1 .. 8;
	$primary->poll_query_until('postgres', 'SELECT lookups > 200 FROM cpis_stat') or die;

	# The standby's disk stands still: from here on nothing may be disclosed.
	my $receiver = $standby->safe_psql('postgres', 'SELECT pid FROM pg_stat_wal_receiver');
	kill 'STOP', $receiver;
	usleep(500_000);
	my $postmaster = (split /\n/, slurp_file($primary->data_dir . '/postmaster.pid'))[0];
	kill 'STOP', $postmaster;
	kill 'KILL', split ' ', `ps -o pid= --ppid $postmaster`;
	$primary->kill9;
	kill 'CONT', $receiver;
	my $received = join '', map { (finish($_))[0] } @calls;
	my $n = () = $received =~ /\n/g;
	note "$n look-ups received before the primary died";
	cmp_ok($n, '>', 0, 'look-ups were received');

	$standby->promote;
	is($standby->safe_psql('postgres', "
		CREATE TEMP TABLE received (event_id bigint, request_id text);
		COPY received FROM STDIN (DELIMITER '|');\n$received\\.
		SELECT count(*) FROM received LEFT JOIN cpis.audit_event e USING (event_id, request_id)
			WHERE e.event_id IS NULL;
	"), 0, 'the standby has every event that a client received');
	is_without_gaps($standby);
};

subtest 'hot standby: look-ups work after promotion, with the next number' => sub {
	my $next = next_event($standby);
	is($early->query(lookup_sql(2, 'early')), $next, 'in a session that was connected before');
	is(join(' ', ask($standby, lookup_sql(2, 'promoted'))), $next + 1 . "\n ", 'in a new session');
	is(events($standby, 'promoted', 'found'), 1, 'recorded');
	is_without_gaps($standby);
};

$early->quit;
$standby->stop;
done_testing();

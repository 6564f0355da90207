# Several databases of a cluster each have a register, a trail and a writer of
# their own; the writer is in nobody's way when a database or the extension is
# dropped, renamed or copied.

use strict;
use warnings;

use CpisTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# The idle timeout of the writer is the default.
my $node = new_server('databases', conf => q{
	max_connections = 40
	max_worker_processes = 20
	log_statement = none
});
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
my $directory = PostgreSQL::Test::Utils::tempdir;

sub new_database
{
	my ($database, $options) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database " . ($options // ''));
	make_register($node, $database);
	return;
}

# As the clinician; the answer, or the error.
sub ask
{
	my ($database, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($database, $sql, extra_params => [ '-U', 'clinician' ]);
	return $out . $err;
}

sub session
{
	my ($database, $user) = @_;
	return $node->background_psql($database, on_error_stop => 0,
		extra_params => [ '-U', $user, '-v', 'VERBOSITY=sqlstate' ]);
}

# The SQLSTATE of the error that a session has got for its last statement.
sub error_of
{
	my ($session) = @_;
	my ($sqlstate) = $session->{stderr} =~ /ERROR:\s+(\w{5})/;
	$session->{stderr} = '';
	return $sqlstate // '';
}

# Four clients that look up in a database, by default until they are stopped.
sub start_lookups
{
	my ($database, @limit) = @_;
	my $file = "$directory/$database.pgbench";
	append_to_file($file, "\\set n random(2, 1000)\n" . lookup_sql(':n', "in $database") . ";\n")
	  unless -e $file;
	return IPC::Run::start(
		[ 'pgbench', '-n', '-c', 4, @limit ? @limit : ('-T', 600), '-f', $file,
			'-U', 'clinician', '-h', $node->host, '-p', $node->port, $database ],
		'>', "$file.out", '2>', "$file.err");
}

sub wait_for_writer
{
	my ($database, $writers) = @_;
	$node->poll_query_until('postgres', qq{
		SELECT count(*) = $writers FROM pg_stat_activity
			WHERE backend_type = 'cpis writer' AND datname = '$database'}) or die;
	return;
}

# Do it, which must succeed, and note how long it took.
sub timed_ok
{
	my ($sql, $database) = @_;
	my $start = time;
	my ($rc, $out, $err) = $node->psql($database // 'postgres', $sql);
	is($rc . $err, 0, $sql);
	note sprintf '%s: %.1f s', $sql, time - $start;
	return;
}

sub check_two_databases
{
	my ($one, $two) = @_;
	my %count = ($one => 300, $two => 200);
	new_database($_) for $one, $two;
	my @lookups = map { start_lookups($_, '-t', $count{$_}) } $one, $two;
	wait_for_writer($_, 1) for $one, $two;
	ok($_->finish, 'look-ups in both at once succeed') for @lookups;
	foreach my $database ($one, $two)
	{
		my $n = 4 * $count{$database};
		is($node->safe_psql($database, qq{
				SELECT count(*), min(event_id), max(event_id), count(DISTINCT event_id),
						count(*) FILTER (WHERE request_id = 'in $database')
					FROM cpis.audit_event WHERE action = 'lookup';
				SELECT count(*), count(DISTINCT event_id) FROM cpis.notification;
				SELECT lookups, events - direct_reads FROM cpis_stat}),
			join('|', $n, 0, $n - 1, $n, $n) . "\n$n|$n\n$n|$n",
			"$database has its own events, notices and counters");
	}
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname = 'cpis_clinical'}),
		1, 'both share one role');
	return;
}

subtest 'databases: two at once, nothing preloaded' => sub {
	is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'), '', 'nothing is preloaded');
	check_two_databases('one', 'two');
};

subtest 'databases: more than three in sequence' => sub {
	foreach my $database (map { "sequence$_" } 1 .. 5)
	{
		new_database($database);
		is(ask($database, lookup_sql(2 + $_, 'sequence')), $_, "$database: look-up $_") for 0 .. 2;
	}
};

subtest 'databases: dropped, renamed, copied after a look-up' => sub {
	new_database($_) for qw(dropped forced renamed copied busy unrelated);

	is(ask('dropped', lookup_sql(2, 'dropped')), 0, 'look-up');
	timed_ok('DROP DATABASE dropped');
	is(ask('forced', lookup_sql(2, 'forced')), 0, 'look-up');
	timed_ok('DROP DATABASE forced WITH (FORCE)');

	my $lookups = start_lookups('busy');
	wait_for_writer('busy', 1);
	timed_ok('DROP DATABASE unrelated');
	ok($lookups->pumpable, 'with look-ups in another database going on');
	$lookups->kill_kill;

	ask($_, lookup_sql(2, 'before')) for qw(renamed copied);
	wait_for_writer($_, 0) for qw(renamed copied);
	timed_ok('ALTER DATABASE renamed RENAME TO new_name');
	timed_ok('CREATE DATABASE copy TEMPLATE copied');
	is(ask($_, lookup_sql(2, 'after')), 1, "$_: look-ups go on with the next number")
	  for qw(new_name copy copied);
	is($node->safe_psql('copy', 'SELECT lookups FROM cpis_stat'), 1, 'a copy has counters of its own');
};

subtest 'databases: a session that is connected looks up where no new one may connect' => sub {
	new_database('closed');
	my $session = session('closed', 'clinician');
	$node->safe_psql('postgres', 'ALTER DATABASE closed WITH ALLOW_CONNECTIONS false CONNECTION LIMIT 0');
	like(run_sql($node, 'SELECT 1', database => 'closed')->{err}, qr/not currently accepting connections/, 'nobody may connect');
	is($session->query(lookup_sql(2, 'closed')), 0, 'the look-up succeeds');
	$session->quit;
};

subtest 'databases: extension in another schema, empty search_path' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
	$node->safe_psql('elsewhere', q{
		CREATE SCHEMA api;
		GRANT USAGE ON SCHEMA api TO PUBLIC;
		CREATE EXTENSION cpis SCHEMA api;
		INSERT INTO cpis.local_authority VALUES ('E06000001', 'One', '01632 960001', '01632 960002');
		INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			VALUES (api.nhs_number_synthetic(1), 'unborn', 'E06000001', '2026-01-01')});
	give_scope($node, 'clinician', 'RXX', 'elsewhere');
	my $arguments = q{(api.nhs_number_synthetic(1), 'A Nurse', 'RXX', 'maternity')};
	is(ask('elsewhere', qq{
			SET search_path = '';
			SELECT plan_type, event_id FROM api.cpis_lookup$arguments;
			SELECT api.cpis_flag$arguments;
			SELECT worker_name FROM api.cpis_access_history(0)}),
		"unborn|0\nt\nA Nurse", 'look-up, flag and history');
	is($node->safe_psql('elsewhere', q{SET search_path = ''; SELECT lookups, flags FROM api.cpis_stat}),
		'1|1', 'counters');
	is($node->safe_psql('elsewhere', q{
			SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace}), 0,
		'nothing is in public');
};

subtest 'databases: CREATE EXTENSION needs UTF8' => sub {
	foreach my $encoding (qw(SQL_ASCII LATIN1))
	{
		my $database = "encoding_\L$encoding";
		$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' TEMPLATE template0");
		my ($rc, $out, $err) = $node->psql($database, 'CREATE EXTENSION cpis',
			extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		like($err, qr/ERROR:  0A000: extension "cpis" needs .* UTF8\n.*DETAIL:.*"$database" is $encoding/s,
			"$encoding: refused, and why");
		is($node->safe_psql($database, q{SELECT count(*) FROM pg_namespace WHERE nspname = 'cpis'}), 0,
			"$encoding: nothing is left behind");
	}
};

subtest 'databases: CREATE EXTENSION in two at once, the role not there yet' => sub {
	$node->safe_psql('postgres', q{
		CREATE DATABASE first; CREATE DATABASE second;
		ALTER ROLE cpis_clinical RENAME TO put_aside});
	my @sessions = map { session($_, $superuser) } qw(first second);
	$sessions[0]->query_safe('BEGIN; CREATE EXTENSION cpis');
	$sessions[1]->query_until(qr/^/, "CREATE EXTENSION cpis;\n");
	$node->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'second' AND wait_event_type = 'Lock'}) or die;
	$sessions[0]->query_safe('COMMIT');
	is($sessions[1]->query(q{SELECT count(*) FROM pg_extension WHERE extname = 'cpis'}), 1,
		'both succeed');
	$_->quit for @sessions;
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname = 'cpis_clinical'}), 1,
		'and share one role');
	$node->safe_psql('postgres', $_) foreach ('DROP DATABASE first', 'DROP DATABASE second',
		'DROP ROLE cpis_clinical', 'ALTER ROLE put_aside RENAME TO cpis_clinical');
};

subtest 'databases: DROP EXTENSION' => sub {
	new_database('extension');
	$node->safe_psql('extension', 'CREATE VIEW busiest AS
		SELECT organisation, count(*) FROM cpis.access_event GROUP BY organisation');
	my $session = session('extension', 'clinician');
	$session->query_safe('PREPARE look AS ' . lookup_sql(2, 'prepared'));
	is($session->query_safe('EXECUTE look'), 0, 'a session looks up');

	# However many look-ups come, the writer makes way for it.
	my $lookups = start_lookups('extension');
	my $drop = session('extension', $superuser);
	$drop->query('SET cpis.allow_drop = on; DROP EXTENSION cpis CASCADE');
	is(error_of($drop), '', 'it succeeds while look-ups go on');
	$lookups->finish;
	unlike(slurp_file("$directory/extension.pgbench.err"), qr/XX000/,
		'the look-ups then get clear errors');
	is($node->safe_psql('extension', q{SELECT count(*) FROM pg_class
			WHERE relname LIKE 'audit_event%' OR relname = 'busiest'}), 0,
		'the partitions of the trail are gone with it, and what depended on it');

	$session->query('EXECUTE look');
	is(error_of($session), '42883', 'looking up in a session from before is a clear error');
	$session->query(lookup_sql(2, 'gone'));
	is(error_of($session), '42883', 'again');

	make_register($node, 'extension');
	is($session->query(lookup_sql(2, 'again')), 0, 'made again, the trail begins at 0');
	is(error_of($session), '', 'in the same session');

	# A look-up that has found its function waits for the tables.
	wait_for_writer('extension', 0);
	$drop->query_safe('BEGIN; DROP EXTENSION cpis');
	$session->query_until(qr/^/, lookup_sql(2, 'waits') . ";\n");
	$node->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_stat_activity
			WHERE usename = 'clinician' AND wait_event_type = 'Lock'}) or die;
	$drop->query_safe('COMMIT');
	$session->query('SELECT 1');
	unlike(error_of($session), qr/^(XX000|)$/, 'a look-up that waited for the DROP gets a clear error');
	$_->quit for $session, $drop;

	unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC/, 'no process has crashed');
	is(ask('postgres', lookup_sql(2, 'other')), 0, 'look-ups in another database work');
};

# DROP EXTENSION locks what it drops one after the other, the extension first: what holds it up at the next
# leaves the tables to look-ups.
subtest 'databases: the extension is dropped and made again while a writer begins' => sub {
	new_database('replaced');
	my $holder = session('replaced', $superuser);
	$holder->query_safe('BEGIN; COMMENT ON TYPE nhs_number IS NULL');
	my $drop = start_sql($node, 'SET cpis.allow_drop = on; BEGIN; DROP EXTENSION cpis; CREATE EXTENSION cpis; COMMIT',
		user => $superuser, database => 'replaced', application_name => 'drop');
	my $waits = sub {
		my ($who) = @_;
		$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'replaced' AND wait_event_type = 'Lock' AND $who")
			or die "$who does not wait";
	};
	$waits->(q{application_name = 'drop'});
	my $lookup = start_sql($node, lookup_sql(2, 'replaced'), database => 'replaced');
	$waits->(q{backend_type = 'cpis writer'});
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	is(finish_sql($drop)->{err}, '', 'it is dropped, and made again');
	finish_sql($lookup);
	# The writer has met the one that was dropped, or, if it began later, the other alone.
	like($lookup->{err}, qr/access event could not be recorded\nDETAIL:  The writer of the audit trail reported: extension "cpis" has been replaced\./, 'the look-up is told why it is not answered')
	  if $lookup->{out} eq '';
	is(events($node, 'replaced', 'found', 'replaced'), $lookup->{out} eq '' ? 0 : 1, 'recorded if it is answered');
	like(ask('replaced', lookup_sql(2, 'again')), qr/not in the register/, 'the trail begins anew: a look-up');
	is($node->safe_psql('replaced', q{SELECT outcome FROM cpis.audit_event WHERE request_id = 'again'}), 'refused', 'is recorded there');
};

subtest 'databases: two at once, library preloaded' => sub {
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'cpis'\ncpis.record_direct_reads = off");
	$node->restart;
	check_two_databases('three', 'four');
};

$node->stop;
done_testing();

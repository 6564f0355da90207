# Whatever a client has received was recorded, whichever processes are killed
# with signal 9, and whenever.

use strict;
use warnings;

use CpisTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $ROUNDS = 20;
my $CLIENTS = 8;

# Commits of the cluster's own do not wait for the disk: an event that did not
# insist would be lost with the server.
my $node = new_server('crash', conf => q{
	synchronous_commit = off
	wal_writer_delay = 10s
	restart_after_crash = on
	max_connections = 50
	log_statement = none
	cpis.record_timeout = 60s
});
$node->safe_psql('postgres', 'CHECKPOINT');
my $directory = PostgreSQL::Test::Utils::tempdir;
my $total = 0;

# Fork a client that looks up without end, until its connection is lost, and
# writes number and request of each event it receives to a file.
sub start_client
{
	my ($name) = @_;
	my $pid = fork // die "fork: $!";
	return { pid => $pid, file => "$directory/$name", errors => "$directory/$name.err" } if $pid;

	$SIG{PIPE} = 'IGNORE';
	open STDERR, '>', "$directory/$name.err" or POSIX::_exit(1);
	open my $psql, '|-', 'psql', '-XAtq', '-F', ' ', '-o', "$directory/$name",
	  '-d', $node->connstr('postgres') . ' user=clinician', '-f', '-'
	  or POSIX::_exit(1);
	for (my $n = 0;; $n++)
	{
		my $request = "$name-$n";
		my $lookup = lookup_sql(2 + $n % 999, $request);
		print $psql "SELECT event_id, '$request' FROM ($lookup) x;\n" or last;
	}
	close $psql;
	POSIX::_exit(0);
}

# Start clients and return when each has received something.
sub start_clients
{
	my ($name) = @_;
	my @clients = map { start_client("$name-c$_") } 1 .. $CLIENTS;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	while (grep { !-s $_->{file} } @clients)
	{
		die 'clients receive nothing' if time > $deadline;
		usleep(10_000);
	}
	return @clients;
}

# When all clients have lost the server and it is back: was everything that
# they received recorded, and is the trail without gaps?
sub check_received
{
	my ($name, @clients) = @_;
	waitpid($_->{pid}, 0) for @clients;
	$node->start unless -e $node->data_dir . '/postmaster.pid';
	$node->poll_query_until('postgres', 'SELECT 1', '1') or die 'server does not come back';

	my $copies = join '', map { "\\copy received FROM '$_->{file}' (DELIMITER ' ')\n" } @clients;
	my ($received, $lost) = split /\|/, $node->safe_psql('postgres', qq{
		CREATE TEMP TABLE received (event_id bigint, request_id text);
		$copies
		SELECT count(*), count(*) FILTER (WHERE e.event_id IS NULL)
			FROM received LEFT JOIN cpis.audit_event e USING (event_id, request_id);
	});
	note "$name: $received received, $lost lost";
	is($lost, 0, "$name: everything received is recorded");
	is(join('', grep { /ERROR/ } map { slurp_file($_->{errors}) } @clients), '',
		"$name: no look-up failed otherwise than by losing the server");
	check_gaps($name);
	$total += $received;
	return;
}

sub check_gaps
{
	my ($name) = @_;
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM (
			SELECT event_id, row_number() OVER (ORDER BY event_id) - 1 AS expected
				FROM cpis.audit_event) e
			WHERE event_id <> expected;
		SELECT count(*) FROM (
			SELECT notification_no, row_number() OVER (
					PARTITION BY local_authority ORDER BY notification_no) AS expected
				FROM cpis.notification) n
			WHERE notification_no <> expected;
		SELECT count(*) FROM (
			SELECT event_id, unnest(notified_authority) AS local_authority,
					unnest(notification_no) AS notification_no
				FROM cpis.audit_event) e
			FULL JOIN cpis.notification n USING (event_id, local_authority, notification_no)
			WHERE e.event_id IS NULL OR n.event_id IS NULL;
		SELECT event_id, problem FROM cpis_audit_verify();
	}), "0\n0\n0\n|", "$name: events and notices without gap or double, each notice with its event; the ledger holds");
	return;
}

my $seed = srand;
note "random seed $seed";

subtest 'server killed at any instant: everything disclosed is recorded' => sub {
	for my $round (1 .. $ROUNDS)
	{
		my @clients = start_clients("r$round");
		usleep(int(200_000 + rand 800_000));
		kill_everything($node);
		check_received("round $round", @clients);
	}
};

# Kill one process while clients look up; all others must go down with it.
sub kill_one
{
	my ($name, $sql) = @_;
	my @clients = start_clients($name);
	my $postmaster = postmaster($node);
	my $log = -s $node->logfile;
	my $pid = $node->safe_psql('postgres', $sql);
	like($pid, qr/^\d+$/, 'there is a process to kill');
	kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	check_received($name, @clients);
	is(postmaster($node), $postmaster, 'the server came back by itself');
	return;
}

subtest 'server killed at any instant: the writer alone' => sub {
	kill_one('writer', 'SELECT writer_pid FROM cpis_stat');
};

subtest 'server killed at any instant: a session that looks up' => sub {
	kill_one('session', q{SELECT pid FROM pg_stat_activity WHERE usename = 'clinician' LIMIT 1});
};

subtest 'server killed at any instant: look-ups go on afterwards' => sub {
	my $next = $node->safe_psql('postgres', 'SELECT max(event_id) + 1 FROM cpis.audit_event');
	is($node->safe_psql('postgres', lookup_sql(2, 'afterwards')), $next,
		'with the next number');
	check_gaps('afterwards');
};

diag "$ROUNDS rounds and 2 single kills, $total look-ups received, none of them lost"
  if Test::More->builder->is_passing;
ok($total > $ROUNDS * $CLIENTS, 'look-ups were received');

$node->stop;
done_testing();

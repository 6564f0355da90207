# Whatever a client has received was recorded, whichever processes are killed
# with signal 9, and whenever.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Received;
use Test::More;
use Time::HiRes qw(usleep);

my $ROUNDS = 20;
my $CLIENTS = 8;

my $node = new_lazy_server('crash');
my $total = 0;

# When all clients have lost the server and it is back: was everything that
# they received recorded, and is the trail without gaps?
sub check_received
{
	my ($name, @clients) = @_;
	waitpid($_->{pid}, 0) for @clients;
	$node->start unless -e $node->data_dir . '/postmaster.pid';
	wait_for_server($node);

	my ($received, $lost, $errors) = received_and_lost($node, @clients);
	note "$name: $received received, $lost lost";
	is($lost, 0, "$name: everything received is recorded");
	is($errors, '', "$name: no look-up failed otherwise than by losing the server");
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
		my @clients = start_clients($node, "r$round", $CLIENTS);
		usleep(int(200_000 + rand 800_000));
		kill_everything($node);
		check_received("round $round", @clients);
	}
};

# Kill one process while clients look up; all others must go down with it.
sub kill_one
{
	my ($name, $sql) = @_;
	my @clients = start_clients($node, $name, $CLIENTS);
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

# Clients that look up without end and keep each event that they were shown, and the count of those that
# the trail does not have: a test of durability kills, stops or cuts off something in between.
package Received;

use strict;
use warnings;

use CpisTest;
use Exporter 'import';
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(new_lazy_server start_clients received_and_lost);

my $directory = PostgreSQL::Test::Utils::tempdir;

# A started server, with a register, whose own commits do not wait for the disk: an event that did not
# insist would be lost with the server.
sub new_lazy_server
{
	my ($name, $conf) = @_;
	my $node = new_server($name, conf => q{
		synchronous_commit = off
		wal_writer_delay = 10s
		restart_after_crash = on
		max_connections = 50
		log_statement = none
		cpis.record_timeout = 60s
	} . ($conf // ''));
	$node->safe_psql('postgres', 'CHECKPOINT');
	return $node;
}

# Fork a client that looks up without end, until its connection is lost, and
# writes number and request of each event it receives to a file.
sub start_client
{
	my ($connection, $name) = @_;
	my $pid = fork // die "fork: $!";
	return { pid => $pid, file => "$directory/$name", errors => "$directory/$name.err" } if $pid;

	$SIG{PIPE} = 'IGNORE';
	open STDERR, '>', "$directory/$name.err" or POSIX::_exit(1);
	open my $psql, '|-', 'psql', '-XAtq', '-F', ' ', '-v', 'VERBOSITY=verbose', '-o', "$directory/$name", '-d', $connection, '-f', '-'
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

# So many clients of the node, or of a connection string; returns when each has received something.
sub start_clients
{
	my ($node, $name, $count, %option) = @_;
	my $connection = $option{connection} // $node->connstr('postgres') . ' user=clinician';
	my @clients = map { start_client($connection, "$name-c$_") } 1 .. $count;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	while (grep { !-s $_->{file} } @clients)
	{
		die 'clients receive nothing' if time > $deadline;
		usleep(10_000);
	}
	return @clients;
}

# When all have lost their connection: how many events they received, how many of these the trail of the node does not
# have, and what errors there were on the way.
sub received_and_lost
{
	my ($node, @clients) = @_;
	waitpid($_->{pid}, 0) for @clients;
	my $copies = join '', map { "\\copy received FROM '$_->{file}' (DELIMITER ' ')\n" } @clients;
	my ($received, $lost) = split /\|/, $node->safe_psql('postgres', qq{
		CREATE TEMP TABLE received (event_id bigint, request_id text);
		$copies
		SELECT count(*), count(*) FILTER (WHERE e.event_id IS NULL)
			FROM received LEFT JOIN cpis.audit_event e USING (event_id, request_id);
	});
	return ($received, $lost, join '', grep { /ERROR:/ } map { split /^/, slurp_file($_->{errors}) } @clients);
}

1;

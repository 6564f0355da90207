# The server, or one of its processes, is killed with signal 9 while look-ups are made: what clients were
# shown is recorded.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Received;
use Test::More;
use Time::HiRes qw(usleep);
use Torture;

my $CLIENTS = 8;

my $node = new_lazy_server('kill', "shared_buffers = 16MB\ncheckpoint_timeout = 30s\n");

# Whom to kill: the whole server, or the process that the query finds, if there is one.
my %victim = (
	server => undef,
	writer => 'SELECT writer_pid FROM cpis_stat',
	session => q{SELECT pid FROM pg_stat_activity WHERE usename = 'clinician' ORDER BY random() LIMIT 1},
	map { $_ => "SELECT pid FROM pg_stat_activity WHERE backend_type = '$_'" } 'checkpointer', 'walwriter', 'background writer');

srand;
my @names = sort keys %victim;
for my $round (1 .. rounds(100))
{
	my $name = $names[rand @names];
	my @clients = start_clients($node, "r$round", $CLIENTS);
	# Some of the kills meet a checkpoint.
	my $checkpoint = $round % 3 == 0 ? start_sql($node, 'CHECKPOINT', user => $ENV{USER} // getpwuid $<) : undef;
	usleep(int(rand 800_000));
	if (defined $victim{$name})
	{
		my $log = -s $node->logfile;
		my $pid = $node->safe_psql('postgres', $victim{$name});
		kill 'KILL', $pid or die "there is no $name";
		$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	}
	else
	{
		kill_everything($node);
		waitpid($_->{pid}, 0) for @clients;
		$node->start;
	}
	finish_sql($checkpoint) if $checkpoint;
	wait_for_server($node);
	judge($node, "round $round, $name", '57P0[123]', @clients);
	trail_is_whole($node, 'the trail is whole') if $round % 20 == 0;
}
trail_is_whole($node, 'the trail is whole');
tally('processes killed');
$node->stop;
done_testing();

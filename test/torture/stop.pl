# The server is shut down while look-ups are made, fast and immediate: what clients were shown is recorded, and
# the others learn that nothing was disclosed.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Received;
use Test::More;
use Time::HiRes qw(usleep);
use Torture;

my $node = new_server('stop', conf => "max_connections = 50\n");
srand;
for my $round (1 .. rounds(20))
{
	my $mode = $round % 2 ? 'fast' : 'immediate';
	my @clients = start_clients($node, "r$round", 8);
	usleep(int(rand 800_000));
	$node->stop($mode);
	waitpid($_->{pid}, 0) for @clients;
	$node->start;
	judge($node, "round $round, $mode", '57P01', @clients);
}
trail_is_whole($node, 'the trail is whole');
tally('shut down');
$node->stop;
done_testing();

# The primary is killed while look-ups are made, and its synchronous standby promoted: what clients were shown
# is on the new primary.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Received;
use Test::More;
use Time::HiRes qw(usleep);
use Torture;

my $primary = new_server('primary0', conf => q{
	wal_level = replica
	max_wal_senders = 4
	max_connections = 50
	wal_keep_size = '1GB'
	cpis.record_timeout = 60s
});

# A standby that the primary waits for.
sub add_standby
{
	my ($round) = @_;
	$primary->backup("backup$round");
	my $standby = PostgreSQL::Test::Cluster->new("primary$round");
	$standby->init_from_backup($primary, "backup$round", has_streaming => 1);
	$standby->start;
	$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
	$primary->reload;
	$primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'})
	  or die 'the standby is not synchronous';
	return $standby;
}

srand;
for my $round (1 .. rounds(20))
{
	my $standby = add_standby($round);
	# It is to be alone once it is promoted.
	$standby->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$standby->reload;
	my @clients = start_clients($primary, "r$round", 8);
	usleep(int(rand 1_000_000));
	kill_everything($primary);
	waitpid($_->{pid}, 0) for @clients;
	$standby->promote;
	judge($standby, "round $round", '57P0[123]', @clients);
	trail_is_whole($standby, 'the trail is whole') if $round % 5 == 0;
	$primary->clean_node;
	$primary = $standby;
}
trail_is_whole($primary, 'the trail is whole');
tally('standby promoted');
$primary->stop;
done_testing();

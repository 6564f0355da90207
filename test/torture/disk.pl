# The disk fills up while look-ups are made, in the middle of batches, of the trail's files or of WAL: what clients
# were shown is recorded, the others learn why not, and look-ups go on when there is room again.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Received;
use Test::More;
use Time::HiRes qw(usleep);
use Torture;

# A file system of some 300 MB, which only root can mount.
my $small = $ENV{SMALL_DISK} or plan skip_all => 'SMALL_DISK names no small file system';

my $node = new_server('disk', conf => q{
	min_wal_size = 32MB
	max_wal_size = 64MB
	wal_recycle = off
	autovacuum = off
	max_connections = 50
	log_statement = none
	restart_after_crash = on
	cpis.record_timeout = 60s
});
$node->stop;
system_or_bail('mv', $node->data_dir, "$small/data");
symlink "$small/data", $node->data_dir or die "symlink: $!";
$node->start;

# Leave so many kilobytes.
sub fill
{
	my ($kilobytes) = @_;
	my ($left) = (split ' ', (split /\n/, `df -k --output=avail $small`)[1])[0];
	# The server may take some of it meanwhile: then it is full, too.
	system('dd', 'if=/dev/zero', "of=$small/ballast", 'bs=64k', 'status=none', 'count=' . int(($left - $kilobytes) / 64));
	return;
}

srand;
for my $round (1 .. rounds(20))
{
	my @clients = start_clients($node, "r$round", 8);
	my $log = -s $node->logfile;
	fill(int(rand 3000));
	# Where WAL cannot be written the server goes down and comes up again, else the clients get errors.
	$node->wait_for_log(qr/No space left on device/, $log);
	usleep(int(rand 300_000));
	unlink "$small/ballast";
	usleep(300_000);
	# It may have gone down by itself, or be just about to.
	$node->stop('immediate', fail_ok => 1);
	waitpid($_->{pid}, 0) for @clients;
	$node->start;
	judge($node, "round $round", '53000|53100|57P0[123]|58030', @clients);
}
trail_is_whole($node, 'the trail is whole');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM (' . lookup_sql(2, 'afterwards') . ') l'), 't', 'look-ups go on');
tally('disk full');
$node->stop;
done_testing();

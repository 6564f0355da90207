# A look-up in more databases than the queue has places for is refused, discloses nothing, and is answered as
# soon as the writer of another one has ended; so is one for which there is no slot, for what is written
# waits for a standby, and nobody waits for that any more.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

# As src/queue.c has it.
my $most = 128;

my $node = new_server('limits', conf => "fsync = off\nmax_connections = 20\nmax_worker_processes = 160\ncpis.writer_idle_timeout = '1h'\n");
my $lookup = 'SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(2), \'A Nurse\', \'RXX\', \'emergency_department\')';

# What a database answers, in a session of its own.
sub answer
{
	my ($node, $database) = @_;
	my ($rc, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$lookup", extra_params => [ '-U', 'clinician' ]);
	return $out . ($err =~ /ERROR:  (\w{5}): .*?\nDETAIL:  ([^\n]*)/s ? "$1 $2" : $err);
}

# Nobody may be in the database that is copied.
$node->safe_psql('template1', 'CREATE DATABASE original TEMPLATE postgres STRATEGY file_copy');
$node->safe_psql('template1', "CREATE DATABASE copy$_ TEMPLATE original STRATEGY file_copy") for 1 .. $most + 1;
is(scalar(grep { answer($node, "copy$_") eq '1' } 1 .. $most), $most, "look-ups in $most databases");
is(answer($node, 'copy' . ($most + 1)), "53400 More than $most databases of this cluster look children up at once.", 'one more is refused, and told why');
is($node->safe_psql('copy' . ($most + 1), 'SELECT count(*) FROM cpis.audit_event'), 0, 'with nothing recorded');
is(answer($node, 'copy1'), '1', 'the others go on');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'cpis writer' AND datname = 'copy7'");
is(answer($node, 'copy' . ($most + 1)), '1', 'answered when a place is free');
is(answer($node, 'copy7'), "53400 More than $most databases of this cluster look children up at once.", 'which is taken then');
$node->stop;

# There are two slots for each backend that there may be.  A look-up that ends while its event is written leaves
# its slot to the writer; the writers of several databases can have more of them than that.
my $full = new_server('slots', conf => "max_connections = 20\nautovacuum_max_workers = 1\nmax_worker_processes = 20\nwal_level = replica\nmax_wal_senders = 1\n");
my @databases = map { "full$_" } 1 .. 16;
$full->safe_psql('template1', "CREATE DATABASE $_ TEMPLATE postgres STRATEGY file_copy") for @databases;
$full->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
$full->reload;
my $no_slot = qr/ERROR:  53400: .*\nDETAIL:  All slots of the queue are in use\./;
my ($refused, $given_up) = (0, 0);
foreach my $database (@databases)
{
	# So that the writer takes them together.
	my $holder = $full->background_psql($database);
	$holder->query_safe('BEGIN; COMMENT ON EXTENSION cpis IS NULL');
	my $log = -s $full->logfile;
	my @asking = map { start_sql($full, $lookup, database => $database) } 1 .. 15;
	my $refused_here = 0;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$refused_here = () = slurp_file($full->logfile, $log) =~ /All slots of the queue are in use/g;
		last if stat($full, 'queue_depth', $database) + $refused_here == @asking;
		usleep(100_000);
	}
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	$refused_here == @asking or $full->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'cpis writer' AND wait_event = 'SyncRep'")
		or die 'the writer does not wait for the standby';
	$full->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'clinician'");
	finish_sql($_) foreach @asking;
	is(join('', map { $_->{out} } @asking), '', "$database: nothing is disclosed");
	is(scalar(grep { $_->{err} =~ $no_slot } @asking), $refused_here, "$refused_here of them refused, and told why");
	$refused += $refused_here;
	$given_up += @asking - $refused_here;
	last if $refused > 0;
}
cmp_ok($refused, '>', 0, "refused once $given_up have given up, and their events wait to be written");
$full->adjust_conf('postgresql.conf', 'synchronous_standby_names', undef);
$full->reload;
is($full->safe_psql('postgres', $lookup), '1', 'answered when nobody waits for the standby');
is(answer($full, 'full1'), '1', 'in another database, too');
$full->stop;
done_testing();

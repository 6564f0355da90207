# Recovery to a moment before a checkpoint that was kept elsewhere: the trail is whole by itself, and behind that
# checkpoint, never clean; what goes on from there is forked.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Torture;

my $node = new_server('pitr', init => [ has_archiving => 1, allows_streaming => 1 ]);
$node->backup('base');
my $restores = rounds(5);
my @kept;
foreach my $moment (0 .. $restores)
{
	$node->safe_psql('postgres', "SELECT count(*) FROM generate_series(1, 300) n, LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'A', 'RXX', 'nhs_111')");
	push @kept, $node->safe_psql('postgres', 'SELECT cpis_checkpoint()') . "\n";
	$node->safe_psql('postgres', "SELECT pg_create_restore_point('moment$moment')");
}
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->stop;

foreach my $moment (0 .. $restores - 1)
{
	my $copy = PostgreSQL::Test::Cluster->new("copy$moment");
	$copy->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
	$copy->append_conf('postgresql.conf', "recovery_target_name = 'moment$moment'\nrecovery_target_action = promote\narchive_mode = off\n");
	$copy->start;
	$copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery does not end';
	is(join(' ', map { $copy->safe_psql('postgres', "SELECT cpis_checkpoint_compare('$_')") } @kept),
		join(' ', ('consistent') x ($moment + 1), ('behind') x ($restores - $moment)), "moment $moment: each checkpoint of later is missed");
	trail_is_whole($copy, "moment $moment: whole by itself");
	$copy->safe_psql('postgres', "SELECT count(*) FROM generate_series(1, 700) n, LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'B', 'RXX', 'nhs_111')");
	is($copy->safe_psql('postgres', "SELECT cpis_checkpoint_compare('$kept[ $moment + 1 ]')"), 'forked', "moment $moment: another past, once it goes on");
	$copy->clean_node;
	add(1, 0, 0);
}
tally('recovered to an earlier moment');
done_testing();

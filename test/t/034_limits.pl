# A look-up in more databases than the queue has places for is refused, discloses nothing, and is answered as
# soon as the writer of another one has ended.

use strict;
use warnings;

use CpisTest;
use Test::More;

# As src/queue.c has it.
my $most = 128;

my $node = new_server('limits', conf => "fsync = off\nmax_connections = 20\nmax_worker_processes = 160\ncpis.writer_idle_timeout = '1h'\n");
my $lookup = 'SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(2), \'A Nurse\', \'RXX\', \'emergency_department\')';

# What a database answers, in a session of its own.
sub answer
{
	my ($database) = @_;
	my ($rc, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$lookup", extra_params => [ '-U', 'clinician' ]);
	return $out . ($err =~ /ERROR:  (\w{5}): .*?\nDETAIL:  ([^\n]*)/s ? "$1 $2" : $err);
}

# Nobody may be in the database that is copied.
$node->safe_psql('template1', 'CREATE DATABASE original TEMPLATE postgres STRATEGY file_copy');
$node->safe_psql('template1', "CREATE DATABASE copy$_ TEMPLATE original STRATEGY file_copy") for 1 .. $most + 1;
is(scalar(grep { answer("copy$_") eq '1' } 1 .. $most), $most, "look-ups in $most databases");
is(answer('copy' . ($most + 1)), "53400 More than $most databases of this cluster look children up at once.", 'one more is refused, and told why');
is($node->safe_psql('copy' . ($most + 1), 'SELECT count(*) FROM cpis.audit_event'), 0, 'with nothing recorded');
is(answer('copy1'), '1', 'the others go on');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'cpis writer' AND datname = 'copy7'");
is(answer('copy' . ($most + 1)), '1', 'answered when a place is free');
is(answer('copy7'), "53400 More than $most databases of this cluster look children up at once.", 'which is taken then');
$node->stop;
done_testing();

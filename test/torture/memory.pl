# An allocation of memory fails, each in turn, in the session that looks up and in the writer: either there is an
# answer, and its event, or an error, and no answer; the next look-up works.
use strict;
use warnings;

use CpisTest;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Torture;

my $folder = PostgreSQL::Test::Utils::tempdir;
system_or_bail('cc', '-shared', '-fPIC', '-O1', '-o', "$folder/fail_malloc.so", "$FindBin::Bin/fail_malloc.c");

# The process and the allocation of it that is to fail; how many were left when it ended.
sub plan_failure
{
	my ($pid, $allocations) = @_;
	open my $file, '+<:raw', "$folder/plan" or die "plan: $!";
	print $file pack 'qq', $pid, $allocations;
	close $file or die "plan: $!";
	return;
}

sub allocations_left
{
	return (unpack 'qq', slurp_file("$folder/plan"))[1];
}

append_to_file("$folder/plan", pack 'qq', 0, 0);
my $node = new_server('memory', conf => "restart_after_crash = on\n");
$node->stop;
{
	local $ENV{FAIL_MALLOC} = "$folder/plan";
	local $ENV{LD_PRELOAD} = "$folder/fail_malloc.so";
	system_or_bail('pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, 'start');
}
$node->_update_pid(1);
my $postmaster = postmaster($node);

# One look-up in a session of its own, in which the nth allocation from then on fails, or one of the writer's; then
# a second that must succeed, in another session where the first has ended.  Whether the allocation was reached.
sub look_up
{
	my ($who, $n) = @_;
	my $request = "$who-$n";
	my $session = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'clinician', '-v', 'VERBOSITY=sqlstate' ]);
	my $pid = $who eq 'writer' ? $node->safe_psql('postgres', 'SELECT writer_pid FROM cpis_stat') : $session->query('SELECT pg_backend_pid()');
	plan_failure($pid, $n);
	my $answer = eval { $session->query(lookup_sql(2, $request)) } // '';
	my $reached = allocations_left() == 0;
	plan_failure(0, 0);
	my $error = $session->{stderr};
	$session->{stderr} = '';
	eval { $session->quit };

	my $events = event_ids($node, $request);
	my $is_whole = $answer eq '' ? $error =~ /(?:ERROR|FATAL):  \w{5}|connection/ : $answer eq $events;
	ok($is_whole, "$request: " . ($answer eq '' ? 'an error' : 'an answer that is recorded')) or diag "answer $answer, events $events, error $error";
	add(1, $answer eq '' ? 0 : 1, $answer ne '' && $answer ne $events ? 1 : 0);
	my ($rc, $out) = $node->psql('postgres', lookup_sql(2, "$request after"), extra_params => [ '-U', 'clinician' ]);
	is($out, event_ids($node, "$request after"), "$request: the next look-up");
	return $reached;
}

foreach my $who (qw(session writer))
{
	my ($n, $quiet) = (0, 0);
	# Some look-ups allocate less than others: until three in a row did not get so far.
	while ($quiet < 3 && $n < ($ENV{ROUNDS} // 1000))
	{
		$node->safe_psql('postgres', lookup_sql(1, "$who writes")) if $who eq 'writer';
		$quiet = look_up($who, ++$n) ? 0 : $quiet + 1;
	}
	note "$who: $n allocations failed in turn";
}
trail_is_whole($node, 'the trail is whole');
is(postmaster($node), $postmaster, 'the server has not been restarted');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC/, 'no process has crashed');
tally('allocations failed');
$node->stop;
done_testing();

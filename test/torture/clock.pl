# The clock is put forward and back, over months and years, while look-ups are made: each is recorded, in its
# number's order, and the trail verifies.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TestClock;
use Torture;

my $node = new_clocked_server('clock', '2026-01-10 12:00:00');
my $day = 24 * 3600;
my $now = 1_768_046_400;
my ($disclosed, $lost) = (0, 0);

srand;
for my $round (1 .. rounds(100))
{
	# Mostly a little, sometimes a year, forward more often than back.
	$now += int((rand(3) - 1) * ($round % 5 == 0 ? 300 * $day : $round % 3 == 0 ? 20 * $day : 3600));
	my ($second, $minute, $hour, $mday, $month, $year) = gmtime $now;
	set_clock(sprintf '%04d-%02d-%02d %02d:%02d:%02d', $year + 1900, $month + 1, $mday, $hour, $minute, $second);
	my $request = "clock-$round";
	my $shown = run_sql($node, join "\n", map { lookup_sql(2 + $_, "$request-$_") . ';' } 1 .. 10);
	is($shown->{states}, '', "round $round, at $now: no error");
	my $recorded = $node->safe_psql('postgres', "SELECT event_id FROM cpis.audit_event WHERE request_id ~ '^$request-' ORDER BY event_id");
	is($recorded, $shown->{out}, "round $round: recorded, in order");
	$disclosed += () = $shown->{out} =~ /^\d+$/mg;
	$lost++ if $recorded ne $shown->{out};
}
add(rounds(100), $disclosed, $lost);
trail_is_whole($node, 'the trail is whole');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass}), '>', 3, 'over several months');
tally('clock steps');
$node->stop;
done_testing();

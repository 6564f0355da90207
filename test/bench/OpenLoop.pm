# How long a look-up takes at the rates at which hospitals ask, rather than as
# fast as they go.
package OpenLoop;

use strict;
use warnings;

use Bench;
use Lookup;

my @variants = qw(cpis insert dblink nothing);

sub measure
{
	my ($report) = @_;
	my $rounds = quick() ? 1 : 3;
	my @rows;

	Lookup::prepare_database();
	for my $case ([ 20, 15 ], [ 200, 10 ], [ 2000, 10 ])
	{
		my ($rate, $seconds) = @$case;
		my $runs = Lookup::measure_in_turns($rounds, \@variants, clients => 8, rate => $rate,
			seconds => quick() ? 2 : $seconds, %Lookup::hits);
		for my $name (@variants)
		{
			push @rows, [ $Lookup::label{$name}, $rate, map { Lookup::latency($runs->{$name}, $_) } 0.5, 0.95, 0.99 ];
		}
	}
	$report->section('Latency at a given rate',
		'Look-ups fall due at random times, so many a second on average, on 8 connections, whether or not earlier ones are answered;'
		  . " latency, in ms, counts from then. $rounds rounds.");
	$report->table([ 'look-up', 'a second', 'p50', 'p95', 'p99' ], @rows);
	return;
}

1;

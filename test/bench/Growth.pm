# Does the look-up stay as fast as the register and the trail grow?
package Growth;

use strict;
use warnings;

use Bench;
use GrowthData;

my $england = 120_000;    # children in the demonstration's England

sub thousands
{
	my ($number) = @_;
	1 while $number =~ s/^(\d+)(\d{3})/$1,$2/;
	return $number;
}

sub gigabytes
{
	my ($database) = @_;
	return sprintf '%.2f', sql('postgres', "SELECT pg_database_size('$database')") / 2**30;
}

# Read what look-ups read and the writer writes, so that it comes from memory as on
# a server that has been up for a while.
sub warm_up
{
	my (@steps) = @_;
	for my $step (@steps)
	{
		sql($step->{name}, q{SELECT sum(pg_prewarm(oid, 'read')) FROM pg_class
			WHERE relnamespace = 'cpis'::regnamespace
				AND (relname IN ('plan', 'plan_nhs_number_idx') OR relname LIKE bench.month_name(bench.month(0)) || '_%')});
	}
	sql('postgres', 'CHECKPOINT');
	for my $step (@steps)
	{
		look_up($step, quick() ? 1 : 6);
	}
	return;
}

# Look children up for so many seconds.
sub look_up
{
	my ($step, $seconds) = @_;
	my $wal = sql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	my $run = pgbench(database => $step->{name}, script => 'scripts/growth.sql',
		clients => 1, seconds => $seconds, variables => { children => $step->{children} // $england });
	return {
		tps => $run->{tps},
		(map { ("p$_" => percentile($run->{latency}, $_ / 100)) } 50, 95, 99),
		wal => sql('postgres', "SELECT pg_current_wal_insert_lsn() - '$wal'") / $run->{transactions},
	};
}

# Measure the look-up in all databases; each gets a list "runs", one a round.
sub measure_look_ups
{
	my (@steps) = @_;
	my $rounds = quick() ? 1 : 5;
	warm_up(@steps);
	for my $round (0 .. $rounds - 1)
	{
		for my $step (rotated($round, @steps))
		{
			push @{ $step->{runs} }, look_up($step, quick() ? 1 : 6);
		}
	}
	check_found($_) for @steps;
	return;
}

# The runs' figures of one kind.
sub figures
{
	my ($step, $what) = @_;
	return map { $_->{$what} } @{ $step->{runs} };
}

# Every look-up must have found a plan.
sub check_found
{
	my ($step) = @_;
	my $first = $step->{events} // 0;
	die "look-ups in $step->{name} have not found a plan\n"
	  if sql($step->{name}, "SELECT count(*) FROM cpis.audit_event WHERE event_id >= $first AND outcome <> 'found'") > 0;
	return;
}

my @look_up_headers = ('GB', 'look-ups a second', 'p50, ms', 'p95, ms', 'p99, ms', 'WAL of one, bytes');

# The cells under these headers.
sub look_up_cells
{
	my ($step) = @_;
	return gigabytes($step->{name}), sprintf('%.0f', median(figures($step, 'tps'))),
	  (map { milliseconds(median(figures($step, $_))) } qw(p50 p95 p99)),
	  sprintf('%.0f', median(figures($step, 'wal')));
}

# The target of each step against the one before it.
sub step_targets
{
	my ($report, $what, @steps) = @_;
	for my $i (1 .. $#steps)
	{
		my ($before, $after) = @steps[ $i - 1, $i ];
		my ($less, $more) = map { $_->{label} =~ tr/,//dr } $before, $after;
		# Where the disk had no room, the last step may be a small one.
		next if $more < 5 * $less && !quick();
		$report->target("median look-up, $after->{label} $what / $before->{label}",
			median_ratio([ figures($after, 'p50') ], [ figures($before, 'p50') ]), '<=', 1.1);
	}
	return;
}

sub measure_plans
{
	my ($report) = @_;
	my @steps = map { { children => $_, name => "bench_growth_plans_$_" } }
	  quick() ? (120_000, 121_200, 132_000) : (120_000, 1_200_000, 12_000_000);

	restart_to_fill();
	make_template();
	make_registers(@steps);
	restart_to_measure();
	$_->{label} = thousands(sql($_->{name}, 'SELECT count(*) FROM cpis.plan')) for @steps;
	measure_look_ups(@steps);

	$report->section('Growth of the register',
		'One client looks random children up. England as in the demonstration; and with more children, who have the plans'
		  . " of England's and numbers of the range 900 to 998. " . rounds_said());
	$report->table([ 'plans', @look_up_headers ], map { [ $_->{label}, look_up_cells($_) ] } @steps);
	step_targets($report, 'plans', @steps);
	drop_databases(@steps);
	return;
}

sub rounds_said
{
	return quick() ? 'One round of 1 s.'
	  : 'Tables vacuumed and read into memory; after a checkpoint and 6 s of warm-up 5 rounds of 6 s, the databases in succession, their order rotated;'
	  . ' medians of the rounds. No autovacuum.';
}

# The writer must go on where the made events end.
sub check_trail
{
	my ($step) = @_;
	$step->{label} = thousands($step->{events});
	my $event = sql($step->{name}, 'SELECT bench.look_up()');
	die "the first event in $step->{name} is $event\n" if $event != $step->{events};
	return;
}

sub measure_history_and_writer
{
	my (@steps) = @_;
	for my $step (@steps)
	{
		$step->{accesses} = sql($step->{name}, 'SELECT max(event_id) FROM cpis.audit_event') / $england;
		$step->{history} = median(split /\n/, sql($step->{name}, 'SELECT bench.history_times(' . (quick() ? 20 : 200) . ')'));
	}
	for my $round (1 .. (quick() ? 1 : 5))
	{
		for my $step (@steps)
		{
			push @{ $step->{starts} }, sql($step->{name}, 'SELECT bench.writer_start_time()');
		}
	}
	return;
}

sub measure_events
{
	my ($report) = @_;
	my @wanted = map { { events => $_, name => "bench_growth_events_$_" } }
	  quick() ? (1_000, 10_000, 50_000) : (1_000_000, 10_000_000, 50_000_000);

	restart_to_fill();
	my @steps = make_trails(@wanted);
	restart_to_measure();
	check_trail($_) for @steps;
	measure_look_ups(@steps);
	measure_history_and_writer(@steps);

	$report->section('Growth of the trail',
		'One client looks random children of England up, with events of earlier look-ups, spread over six months up to the'
		  . ' present one, and their notices. ' . rounds_said(),
		'History: cpis_access_history() of a look-up just made, median of ' . (quick() ? 20 : 200)
		  . ' calls. Writer: a look-up that has to start it, median of ' . (quick() ? 1 : 5) . '.',
		$steps[-1]{events} < $wanted[-1]{events}
		  ? "There was disk for $steps[-1]{label} events at most, not for " . thousands($wanted[-1]{events}) . '.' : ());
	$report->table([ 'events', @look_up_headers, 'accesses to a child', 'history, ms', 'writer, ms' ],
		map { [ $_->{label}, look_up_cells($_), sprintf('%.0f', $_->{accesses}),
				milliseconds($_->{history}), sprintf('%.1f', median(@{ $_->{starts} })) ] } @steps);
	step_targets($report, 'events', @steps);
	drop_databases(@steps);
	return;
}

sub measure
{
	my ($report) = @_;
	measure_plans($report);
	measure_events($report);
	drop_template();
	restart_normally();
	return;
}

1;

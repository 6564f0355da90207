# Does the look-up stay as fast as the register and the trail grow?
package Growth;

use strict;
use warnings;

use Bench;
use POSIX ();

my $months = 6;
my $template = 'bench_growth_england';
my $england = 120_000;    # children in the demonstration's England

sub thousands
{
	my ($number) = @_;
	1 while $number =~ s/^(\d+)(\d{3})/$1,$2/;
	return $number;
}

# Run jobs, two at a time, each in a process of its own.
sub run_jobs
{
	my (@jobs) = @_;
	my %running;
	while (@jobs || %running)
	{
		while (@jobs && keys %running < 2)
		{
			my $job = shift @jobs;
			my $pid = fork() // die "cannot fork: $!\n";
			if ($pid == 0)
			{
				my $done = eval { $job->(); 1 } or print STDERR $@;
				POSIX::_exit($done ? 0 : 1);
			}
			$running{$pid} = 1;
		}
		my $pid = waitpid(-1, 0);
		die "a table could not be filled\n" if $? != 0;
		delete $running{$pid};
	}
	return;
}

# Tables that are made and filled in one transaction are then not logged; nothing
# needs to survive a crash.
sub restart_to_fill
{
	restart(wal_level => 'minimal', max_wal_senders => 0, fsync => 'off',
		full_page_writes => 'off', autovacuum => 'off');
	return;
}

# The defaults, by default.
sub restart_normally
{
	my (%setting) = @_;
	restart(wal_level => 'replica', max_wal_senders => 10, fsync => 'on',
		full_page_writes => 'on', autovacuum => 'on', %setting);
	# What was written with fsync = off.
	system('sync') == 0 or die "sync failed\n";
	return;
}

# Without autovacuum, which would come to one database and not to another.
sub restart_to_measure
{
	restart_normally(autovacuum => 'off');
	return;
}

sub make_template
{
	make_database($template);
	sql($template, 'CREATE EXTENSION pg_prewarm');
	script($template, 'numbers.sql');
	script($template, 'growth.sql');
	sql($template, 'VACUUM (FREEZE, ANALYZE)');
	return;
}

sub drop_databases
{
	sql('postgres', "DROP DATABASE $_->{name} WITH (FORCE)") for @_;
	return;
}

sub gigabytes
{
	my ($database) = @_;
	return sprintf '%.2f', sql('postgres', "SELECT pg_database_size('$database')") / 2**30;
}

# A database with the plans of so many children.
sub make_register
{
	my ($step) = @_;
	sql('postgres', "CREATE DATABASE $step->{name} TEMPLATE $template");
	return if $step->{children} <= $england;
	sql($step->{name}, "SELECT bench.fill_plans($step->{children})");
	sql($step->{name}, 'VACUUM (FREEZE, ANALYZE) cpis.plan');
	return;
}

# What makes a database with so many events: a list of jobs, the longest first.
sub trail_jobs
{
	my ($step) = @_;
	my ($name, $events) = @$step{qw(name events)};
	my @first = map { int($events * $_ / $months) } 0 .. $months;

	sql('postgres', "CREATE DATABASE $name TEMPLATE $template");
	return sub {
		sql($name, "SELECT bench.fill_notices($events)");
		sql($name, 'VACUUM (FREEZE, ANALYZE) cpis.notification');
	}, map {
		my $n = $_;
		my $month = 'bench.month(' . ($months - 1 - $n) . ')';
		sub {
			sql($name, "SELECT bench.fill_month($month, $first[$n], $first[$n + 1])");
			my $table = sql($name, "SELECT bench.month_name($month)");
			sql($name, "VACUUM (FREEZE, ANALYZE) cpis.$table");
			sql($name, "SELECT bench.attach_month($month)");
		}
	} 0 .. $months - 1;
}

# The steps, the largest cut down to half of what is free.
sub steps_that_fit
{
	my ($report, $bytes_per_event, @steps) = @_;
	my $directory = sql('postgres', 'SHOW data_directory');
	my ($free) = `df -B1 --output=avail '$directory'` =~ /(\d+)\s*$/ or die "cannot tell how much disk is free\n";
	my $fit = int($free / 2 / $bytes_per_event / 1e6) * 1_000_000;

	my @fitting = grep { $_->{events} <= $fit } @steps;
	push @fitting, { name => 'bench_growth_cut', events => $fit }
	  if @fitting < @steps && $fit > 2 * ($fitting[-1]{events} // $fit);
	return @fitting;
}

# Read what look-ups read and the writer writes, so that it comes from memory as on
# a server that has been up for a while.
sub warm_up
{
	my (@steps) = @_;
	for my $step (@steps)
	{
		sql($step->{name}, q{SELECT sum(pg_prewarm(oid, 'read')) FROM pg_class
			WHERE relnamespace = 'cpis'::regnamespace AND relkind IN ('r', 'i')
				AND (relname IN ('plan', 'plan_nhs_number_idx')
					OR relname LIKE to_char(now() AT TIME ZONE 'UTC', '"audit\_event\_"YYYY\_MM') || '\_%')});
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
		$report->target("median look-up, $after->{label} $what / $before->{label}",
			median_ratio([ figures($after, 'p50') ], [ figures($before, 'p50') ]), '<=', 1.1);
	}
	return;
}

sub measure_plans
{
	my ($report) = @_;
	my @steps = map { { children => $_, name => "bench_growth_plans_$_" } }
	  quick() ? ($england, $england * 1.01, $england * 1.1) : ($england, $england * 10, $england * 100);

	restart_to_fill();
	make_template();
	run_jobs(map { my $step = $_; sub { make_register($step) } } reverse @steps);
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
	  : 'After a checkpoint and 6 s of warm-up: 5 rounds of 6 s, the databases in succession, their order rotated;'
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

sub make_trails
{
	my ($report) = @_;
	my @steps = map { { events => $_, name => "bench_growth_events_$_" } }
	  quick() ? (1_000, 10_000, 50_000) : (1_000_000, 10_000_000, 50_000_000);
	my $smallest = shift @steps;

	run_jobs(trail_jobs($smallest));
	my $bytes = sql('postgres', "SELECT pg_database_size('$smallest->{name}') - pg_database_size('$template')");
	@steps = steps_that_fit($report, $bytes / $smallest->{events}, @steps);
	die "not enough disk for the growth of the trail\n" if !@steps;
	run_jobs(map { trail_jobs($_) } reverse @steps);
	return ($smallest, @steps);
}

sub measure_events
{
	my ($report) = @_;
	restart_to_fill();
	my @steps = make_trails($report);
	restart_to_measure();
	check_trail($_) for @steps;
	measure_look_ups(@steps);
	measure_history_and_writer(@steps);

	my $cut = grep { $_->{name} =~ /cut/ } @steps;
	$report->section('Growth of the trail',
		"One client looks random children of England up, with events of earlier look-ups, spread over $months months up to the"
		  . ' present one, and their notices. ' . rounds_said(),
		'History: cpis_access_history() of a look-up just made, median of ' . (quick() ? 20 : 200)
		  . ' calls. Writer: a look-up that has to start it, median of ' . (quick() ? 1 : 5) . '.',
		$cut ? 'The largest trail is cut down to half of the disk that was free.' : ());
	$report->table([ 'events', @look_up_headers, 'accesses to a child', 'history, ms', 'writer, ms' ],
		map { [ $_->{label}, look_up_cells($_), sprintf('%.0f', $_->{events} / $england),
				milliseconds($_->{history}), sprintf('%.1f', median(@{ $_->{starts} })) ] } @steps);
	step_targets($report, 'events', @steps);
	drop_databases(@steps, { name => $template });
	return;
}

sub measure
{
	my ($report) = @_;
	measure_plans($report);
	measure_events($report);
	restart_normally();
	return;
}

1;

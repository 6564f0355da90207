# The databases of part Growth: England many times over, and months of a trail.
# A database is a hash with its name, and the children or events that are wanted.
package GrowthData;

use strict;
use warnings;

use Bench;
use Exporter 'import';
use POSIX ();

our @EXPORT = qw(run_jobs restart_to_fill restart_to_measure restart_normally make_template
  make_registers make_trails drop_databases drop_template);

my $template = 'bench_growth_england';
my $months = 6;

# Tables that are made and filled in one transaction are then not logged, and nothing
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

sub drop_template
{
	drop_databases({ name => $template });
	return;
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

# Databases with the plans of so many children each.
sub make_registers
{
	my (@steps) = @_;
	run_jobs(map { my $step = $_; sub { make_register($step) } } reverse @steps);
	return;
}

# A database with the plans of so many children.
sub make_register
{
	my ($step) = @_;
	sql('postgres', "CREATE DATABASE $step->{name} TEMPLATE $template");
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

# Of steps in ascending order, those for which twice the disk they take is free; the
# first that is too large is cut down to that.
sub steps_that_fit
{
	my ($bytes_per_event, $smallest, @steps) = @_;
	my $directory = sql('postgres', 'SHOW data_directory');
	my ($free) = `df -B1 --output=avail '$directory'` =~ /(\d+)\s*$/ or die "cannot tell how much disk is free\n";
	my $most = int($free / 2 / $bytes_per_event / 1000) * 1000;

	my @fitting = ($smallest, grep { $_->{events} <= $most } @steps);
	push @fitting, { events => $most, name => "bench_growth_events_$most" }
	  if @fitting <= @steps && $most >= 2 * $fitting[-1]{events};
	die "not enough disk for the growth of the trail\n" if @fitting == 1;
	return @fitting;
}

# Databases with so many events each, in ascending order; answers those that there
# is disk for, which the smallest shows.
sub make_trails
{
	my ($smallest, @steps) = @_;

	run_jobs(trail_jobs($smallest));
	my $bytes = sql('postgres', "SELECT pg_database_size('$smallest->{name}') - pg_database_size('$template')");
	@steps = steps_that_fit($bytes / $smallest->{events}, $smallest, @steps);
	run_jobs(map { trail_jobs($_) } reverse @steps[ 1 .. $#steps ]);
	return @steps;
}

1;

# How fast analysts have their numbers, of a year of England: each view on the summaries, and the same
# question to the events; and the report.
package Analysts;

use strict;
use warnings;

use Bench;
use GrowthData;

my $database = 'bench_analysts';
my $months = 12;

my @views = (
	(map { "cpis.analyst_$_" } qw(access_day access_month notice acknowledgement attendance submission answer removal register unusual)),
	qw(cpis_stat_retention cpis_stat_notification cpis_notification_escalation cpis_ledger_status),
	map { "cpis.implementation_$_" } qw(progress setting overdue by_commissioner by_authority));
my @steward_views = map { "cpis.unusual_$_" } qw(bulk misses hours distance);

# What some views answer, asked of the events.
my %of_events = (
	'cpis.analyst_access_month' => q{SELECT count(*) FROM (SELECT date_trunc('month', day::timestamp), action, outcome, organisation, care_setting, notify, count(*) FROM cpis.access_of_event GROUP BY 1, 2, 3, 4, 5, 6) AS v},
	'cpis.analyst_notice' => q{SELECT count(*) FROM (SELECT month, local_authority, action, care_setting, count(*) FROM cpis.notice_of_event GROUP BY 1, 2, 3, 4) AS v});

# A year of events, ending now, and all that comes with them.
sub make_year
{
	my ($events) = @_;
	make_database($database);
	script($database, $_) for qw(numbers.sql growth.sql analysts.sql);
	my @first = map { int($events * $_ / $months) } 0 .. $months;
	restart_to_fill();
	run_jobs(map {
		my $n = $_;
		my $month = 'bench.month(' . ($months - 1 - $n) . ')';
		sub {
			sql($database, "SELECT bench.fill_varied_month($month, $first[$n], $first[$n + 1])");
			sql($database, 'VACUUM (FREEZE, ANALYZE) cpis.' . sql($database, "SELECT bench.month_name($month)"));
		}
	} 0 .. $months - 1);
	sql($database, "SELECT bench.attach_month(bench.month($_))") for 0 .. $months - 1;
	sql($database, 'SELECT bench.fill_authorities()');
	sql($database, q{INSERT INTO cpis.provider SELECT code FROM cpis.organisation; INSERT INTO cpis.provider_step SELECT organisation, code, '2026-01-01', CASE WHEN place < 7 THEN date '2026-01-02' END FROM cpis.provider, cpis.implementation_step});
	sql($database, 'CREATE ROLE bench_analyst LOGIN IN ROLE cpis_analyst; CREATE ROLE bench_steward LOGIN IN ROLE cpis_steward');
	sql($database, 'VACUUM ANALYZE');
	restart_normally();
	return;
}

# Milliseconds and rows of a view that a role reads, several times.
sub read_as
{
	my ($role, $view) = @_;
	local $ENV{PGUSER} = $role;
	my @lines = map { [ split /\|/, sql($database, "SELECT * FROM bench.read_view('$view')") ] } 1 .. (quick() ? 1 : 4);
	return { first => $lines[0][0], median => median(map { $_->[0] } @lines), n => $lines[0][1] };
}

sub seconds
{
	my ($milliseconds) = @_;
	return sprintf '%.3f', $milliseconds / 1000;
}

sub measure_views
{
	my ($report) = @_;
	my (@rows, $slowest);
	for my $view (@views)
	{
		my $read = read_as('bench_analyst', $view);
		my $ratio = '';
		if ($of_events{$view})
		{
			my $milliseconds = sql($database, "CALL bench.timed(\$q\$$of_events{$view}\$q\$, NULL)");
			$ratio = sprintf '%.3f', $read->{median} / $milliseconds;
		}
		push @rows, [ $view, $read->{n}, seconds($read->{first}), seconds($read->{median}), $ratio ];
		$slowest = $read->{median} if !defined $slowest || $read->{median} > $slowest;
	}
	$report->table([ 'view', 'rows', 'first, s', 'median, s', '/ events' ], @rows);
	$report->target('slowest view for analysts on a year of England, s', $slowest / 1000, '<=', 2);
	my @unusual = map { my $read = read_as('bench_steward', $_); [ $_, $read->{n}, seconds($read->{first}), seconds($read->{median}) ] } @steward_views;
	$report->table([ 'view for stewards, of events', 'rows', 'first, s', 'median, s' ], @unusual);
	return;
}

sub measure_report
{
	my ($report) = @_;
	local $ENV{PGUSER} = 'bench_analyst';
	my $call = q{cpis_report((now() - interval '1 year')::date, now()::date)};
	my @milliseconds;
	for (1 .. (quick() ? 1 : 4))
	{
		my ($took) = split /\|/, sql($database, "SELECT extract(epoch FROM clock_timestamp() - began) * 1000, page FROM (SELECT clock_timestamp() AS began, length($call) AS page OFFSET 0) AS made");
		push @milliseconds, $took;
	}
	my $bytes = sql($database, "SELECT octet_length($call)");
	$report->table([ 'report', 'first, s', 'median, s', 'size, kB' ], [ 'a year of England', seconds($milliseconds[0]), seconds(median(@milliseconds)), sprintf('%.0f', $bytes / 1000) ]);
	$report->target('report on a year of England, s', median(@milliseconds) / 1000, '<=', 5);
	$report->target('size of that report, kB', $bytes / 1000, '<=', 500);
	return;
}

sub measure
{
	my ($report) = @_;
	my $events = quick() ? 24_000 : 10_000_000;
	make_year($events);
	my $summarise = sql($database, "CALL bench.timed('SELECT cpis_summarise()', NULL)");
	sql($database, 'VACUUM ANALYZE');
	$report->section('Analysts: numbers of a year of England', "$events events in 12 months, the present one included, by all organisations of the demonstration in three care settings each; 20 of 100 find a plan. All columns and rows are read. \"/ events\" is the time over that of the same question to the events.");
	$report->table([ 'summaries', 's', 'events a second' ], [ 'made of the year', seconds($summarise), sprintf('%.0f', $events / $summarise * 1000) ]);
	measure_views($report);
	measure_report($report);
	restart_normally();
	sql('postgres', "DROP DATABASE $database WITH (FORCE)") unless $ENV{KEEP_DATABASES};
	return;
}

1;

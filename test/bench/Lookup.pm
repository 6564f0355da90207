# The look-up against the same look-up in PL/pgSQL, recorded in the caller's
# transaction, through dblink, or not at all: as fast as they go.
package Lookup;

use strict;
use warnings;

use Bench;

our $database = 'bench';
our @variants = qw(cpis insert dblink nothing select);
our %label = (
	cpis => 'cpis_lookup()',
	insert => '(a) PL/pgSQL, INSERT in the transaction',
	dblink => '(b) PL/pgSQL, dblink on a kept connection',
	nothing => '(c) PL/pgSQL, nothing recorded',
	select => 'bare SELECT, nothing checked');
my @peers = qw(insert dblink nothing select);

# Children with a plan, and numbers without.
our %hits = (first => 1, last => 120_000);
our %misses = (first => 200_000, last => 400_000);

# England, and the peers; once for all parts that use it.
sub prepare_database
{
	return if has_database($database);
	make_database($database);
	script($database, 'peers.sql');
	return;
}

# Measure variants in turns: for each, a list of runs.
sub measure_in_turns
{
	my ($rounds, $names, %option) = @_;
	my %runs;
	sql($database, 'CHECKPOINT');
	for my $round (0 .. $rounds - 1)
	{
		for my $name (rotated($round, @$names))
		{
			push @{ $runs{$name} }, pgbench(database => $database, script => "scripts/$name.sql", %option);
		}
	}
	return \%runs;
}

# Median of a percentile over the runs, for a table.
sub latency
{
	my ($runs, $fraction) = @_;
	return milliseconds(median(map { percentile($_->{latency}, $fraction) } @$runs));
}

sub throughput_ratio
{
	my ($these, $those) = @_;
	return median_ratio([ map { $_->{tps} } @$these ], [ map { $_->{tps} } @$those ]);
}

# Every look-up that was answered has its event.
sub check_trail
{
	my ($before, $lookups) = @_;
	my $recorded = sql($database, 'SELECT count(*) FROM cpis.audit_event') - $before;
	# pgbench does not count what is under way when it stops.
	die "$lookups look-ups were answered, $recorded are recorded\n" if $recorded < $lookups;
	return;
}

sub measure_clients
{
	my ($report) = @_;
	my $rounds = quick() ? 1 : 7;
	my $seconds = quick() ? 1 : 4;
	my (@rows, @ratios, %ratio);
	my $lookups = 0;
	my $before = sql($database, 'SELECT count(*) FROM cpis.audit_event');

	for my $clients (1, 8, 32, 64)
	{
		my $runs = measure_in_turns($rounds, \@variants,
			clients => $clients, seconds => $seconds, variables => \%hits);
		for my $name (@variants)
		{
			push @rows, [ $label{$name}, $clients, sprintf('%.0f', median(map { $_->{tps} } @{ $runs->{$name} })),
				map { latency($runs->{$name}, $_) } 0.5, 0.95, 0.99 ];
		}
		$ratio{$clients}{$_} = throughput_ratio($runs->{cpis}, $runs->{$_}) for @peers;
		push @ratios, [ $clients, map { sprintf '%.2f', $ratio{$clients}{$_} } @peers ];
		$lookups += $_->{transactions} for @{ $runs->{cpis} };
	}
	check_trail($before, $lookups);

	$report->section('Look-ups, as many as they can',
		"pgbench, prepared statements, unix socket, $rounds rounds of $seconds s. Every look-up finds a plan, the dearest case:"
		  . ' an event and a notice each. Latencies in ms.');
	$report->table([ 'look-up', 'clients', 'a second', 'p50', 'p95', 'p99' ], @rows);
	$report->section('Throughput of cpis_lookup() as a multiple of its peers',
		"$lookups look-ups of cpis_lookup() were answered; each has its event.");
	$report->table([ 'clients', '(a) INSERT', '(b) dblink', '(c) nothing', 'bare SELECT' ], @ratios);
	$report->target('look-up / (a), 1 client', $ratio{1}{insert}, '>=', 0.95);
	$report->target('look-up / (a), 32 clients', $ratio{32}{insert}, '>=', 1.8);
	$report->target('look-up / (b), 32 clients', $ratio{32}{dblink}, '>=', 3.5);
	$report->target('look-up / (c), 32 clients', $ratio{32}{nothing}, '>=', 0.85);
	return;
}

# For information: other kinds of look-up, other planning of the peers.
sub measure_others
{
	my ($report) = @_;
	my $rounds = quick() ? 1 : 3;
	my $seconds = quick() ? 1 : 4;
	my @names = qw(cpis insert nothing);
	my @rows;

	for my $case (
		[ 'every look-up misses', variables => \%misses ],
		[ 'hits, random_page_cost = 1.1', variables => \%hits, options => '-c random_page_cost=1.1' ])
	{
		my ($what, %option) = @$case;
		my $runs = measure_in_turns($rounds, \@names, clients => 32, seconds => $seconds, %option);
		push @rows, [ $what, (map { my $name = $_; sprintf '%.0f', median(map { $_->{tps} } @{ $runs->{$name} }) } @names),
			map { sprintf '%.2f', throughput_ratio($runs->{cpis}, $runs->{$_}) } qw(insert nothing) ];
	}
	$report->section('The same at 32 clients, otherwise',
		'A miss makes an event but no notice. With the lower cost of random pages the planner finds the authority of a'
		  . " plan by an index, with the default it reads all 153: that is the peers' planning, cpis_lookup() has none.");
	$report->table([ '', 'cpis_lookup()', '(a)', '(c)', '/ (a)', '/ (c)' ], @rows);
	return;
}

sub measure
{
	my ($report) = @_;
	prepare_database();
	measure_clients($report);
	measure_others($report);
	return;
}

1;

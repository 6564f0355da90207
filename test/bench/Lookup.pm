# The look-up against the same look-up in PL/pgSQL, recorded in the caller's
# transaction, through dblink, or not at all: as fast as they go.
package Lookup;

use strict;
use warnings;

use Bench;
use List::Util 'sum';

our $database = 'bench';
our @variants = qw(cpis insert dblink nothing select);
our %label = (
	cpis => 'cpis_lookup()',
	insert => '(a) PL/pgSQL, INSERT in the transaction',
	dblink => '(b) PL/pgSQL, dblink on a kept connection',
	nothing => '(c) PL/pgSQL, nothing recorded',
	select => 'bare SELECT, nothing checked');
my @peers = qw(insert dblink nothing select);

# Children with a plan, and numbers without; and what is then recorded.
our %hits = (outcome => 'found', variables => { first => 1, last => 120_000 });
our %misses = (outcome => 'not_found', variables => { first => 200_000, last => 400_000 });

# England, and the peers; once for all parts that use it.
sub prepare_database
{
	return if has_database($database);
	make_database($database);
	script($database, 'peers.sql');
	check_peers();
	return;
}

# All of them disclose the same, and those that record record as much.
sub check_peers
{
	my $arguments = "'Dr A Shah', 'R0A', 'emergency_department'";
	my $disclosed = 'nhs_number, plan_type, start_date, end_date, local_authority, local_authority_name,'
	  . ' office_hours_phone, emergency_duty_phone';
	my $of = sub {
		my ($function) = @_;
		return sql($database, "SELECT md5(string_agg(CAST(($disclosed) AS text), ',')), count(*)"
			  . " FROM generate_series(1, 130000, 97) AS n, $function");
	};
	my $wanted = $of->("cpis_lookup(nhs_number_synthetic(n), $arguments, job_role => 'Consultant')");
	for my $recording (qw(insert dblink nothing))
	{
		die "peer $recording does not disclose the same\n"
		  if $of->("bench.lookup('$recording', nhs_number_synthetic(n), $arguments, 'Consultant')") ne $wanted;
	}
	for my $table (qw(notification event))
	{
		my $own = sql($database, "SELECT count(*) FROM cpis." . ($table eq 'event' ? 'access_event' : $table));
		my $theirs = sql($database, "SELECT count(*) FROM bench.$table");
		die "peers have recorded $theirs rows of $table, not twice $own\n" if $theirs != 2 * $own;
	}
	return;
}

# How often this is recorded.
sub recorded
{
	my ($outcome) = @_;
	return sql($database, "SELECT count(*) FROM cpis.audit_event WHERE outcome = '$outcome'");
}

# Measure variants in turns: for each, a list of runs.  Every look-up of cpis must
# have its event.
sub measure_in_turns
{
	my ($rounds, $names, %option) = @_;
	my %runs;
	my $before = recorded($option{outcome});
	sql($database, 'CHECKPOINT');
	for my $round (0 .. $rounds - 1)
	{
		for my $name (rotated($round, @$names))
		{
			push @{ $runs{$name} }, pgbench(database => $database, script => "scripts/$name.sql", %option);
		}
	}
	my $answered = transactions($runs{cpis});
	my $recorded = recorded($option{outcome}) - $before;
	die "$answered look-ups were answered, $recorded are recorded as $option{outcome}\n" if $recorded != $answered;
	return \%runs;
}

sub transactions
{
	my ($runs) = @_;
	return sum(map { $_->{transactions} } @$runs);
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

sub measure_clients
{
	my ($report) = @_;
	my $rounds = quick() ? 1 : 7;
	my $seconds = quick() ? 1 : 4;
	my (@rows, @ratios, %ratio);
	my $lookups = 0;

	for my $clients (1, 8, 32, 64)
	{
		my $runs = measure_in_turns($rounds, \@variants,
			clients => $clients, seconds => $seconds, %hits);
		for my $name (@variants)
		{
			push @rows, [ $label{$name}, $clients, sprintf('%.0f', median(map { $_->{tps} } @{ $runs->{$name} })),
				map { latency($runs->{$name}, $_) } 0.5, 0.95, 0.99 ];
		}
		$ratio{$clients}{$_} = throughput_ratio($runs->{cpis}, $runs->{$_}) for @peers;
		push @ratios, [ $clients, map { sprintf '%.2f', $ratio{$clients}{$_} } @peers ];
		$lookups += transactions($runs->{cpis});
	}

	$report->section('Look-ups, as many as they can',
		"pgbench, prepared statements, unix socket, $rounds rounds of $seconds s. Every look-up finds a plan, the dearest case:"
		  . ' an event and a notice each. Latencies in ms. (a), (b) and (c) are one function, which checks and reads the same as'
		  . ' cpis_lookup(); the bare SELECT checks nothing. (b) makes its connections within the measured time.');
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
	my $rounds = quick() ? 1 : 5;
	my $seconds = quick() ? 1 : 4;
	my @names = qw(cpis insert nothing);
	my (@rows, $tuned);

	for my $case (
		[ 'every look-up misses', %misses ],
		[ 'hits, random_page_cost = 1.1', %hits, options => '-c random_page_cost=1.1' ])
	{
		my ($what, %option) = @$case;
		my $runs = measure_in_turns($rounds, \@names, clients => 32, seconds => $seconds, %option);
		push @rows, [ $what, (map { my $name = $_; sprintf '%.0f', median(map { $_->{tps} } @{ $runs->{$name} }) } @names),
			map { sprintf '%.2f', throughput_ratio($runs->{cpis}, $runs->{$_}) } qw(insert nothing) ];
		$tuned = throughput_ratio($runs->{cpis}, $runs->{nothing}) if $option{options};
	}
	$report->section('The same at 32 clients, otherwise',
		'A miss makes an event but no notice. With the lower cost of random pages the planner finds the authority of a'
		  . " plan by an index, with the default it reads all 153: that is the peers' planning, cpis_lookup() has none.");
	$report->table([ '', 'cpis_lookup()', '(a)', '(c)', '/ (a)', '/ (c)' ], @rows);
	$report->target('look-up / (c), 32 clients, random_page_cost = 1.1', $tuned, '>=', 0.85);
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

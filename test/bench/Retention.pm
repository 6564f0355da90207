# How fast plans whose term has ended are removed, and what look-ups beside it have of
# it; against a plain DELETE of the same rows, which certifies nothing.
package Retention;

use strict;
use warnings;

use Bench;
use File::Temp;
use Lookup;
use Time::HiRes qw(sleep time);

my $database = 'bench_retention';
my $due = quick() ? 5000 : 1_000_000;

# Plans that are due, of children that nobody looks up, and beside them England's.
sub make_due
{
	sql($database, qq{
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
			SELECT nhs_number_synthetic(500000 + n % 400000), 'looked_after', local_authority, date '2015-01-01' + n / 400000, '2020-01-01'
			FROM generate_series(1, $due) n
			JOIN (SELECT code AS local_authority, row_number() OVER () AS no, count(*) OVER () AS of FROM cpis.local_authority) a
				ON a.no = 1 + n % a.of});
	sql($database, 'VACUUM ANALYZE cpis.plan');
	sql($database, 'CHECKPOINT');
	return;
}

# Seconds that it takes to purge, in which all that is due is removed and certified.
sub purge_time
{
	my ($plans, $removed) = split /\|/, sql($database, 'SELECT (SELECT count(*) FROM cpis.plan), (SELECT count(*) FROM cpis.removal)');
	my $began = time;
	{
		local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
		sql($database, 'CALL cpis_purge()');
	}
	my $took = time - $began;
	my $left = sql($database, 'SELECT (SELECT count(*) FROM cpis.plan), (SELECT count(*) FROM cpis.removal)');
	die "after the purge there are $left plans and certificates\n" if $left ne ($plans - $due) . '|' . ($removed + $due);
	return $took;
}

# Seconds that a plain DELETE takes, of a copy with the same indexes.
sub delete_time
{
	sql($database, 'CREATE TABLE copy (LIKE cpis.plan INCLUDING ALL); INSERT INTO copy OVERRIDING SYSTEM VALUE TABLE cpis.plan');
	sql($database, 'VACUUM ANALYZE copy');
	sql($database, 'CHECKPOINT');
	my $began = time;
	sql($database, q{DELETE FROM copy WHERE end_date + 365 < current_date});
	my $took = time - $began;
	sql($database, 'DROP TABLE copy');
	return $took;
}

# Look-ups a second between two times, from the log of pgbench, which has every fifth.
sub rate_between
{
	my ($folder, $from, $to) = @_;
	my $n = 0;
	for my $file (glob "$folder/log*")
	{
		open my $log, '<', $file or die "cannot read $file: $!\n";
		while (<$log>)
		{
			# The last line may be cut off.
			my ($seconds, $microseconds) = /^\d+ \d+ \d+ \d+ (\d+) (\d+)\n/ or next;
			my $at = $seconds + $microseconds / 1e6;
			$n++ if $at >= $from && $at < $to;
		}
	}
	return 5 * $n / ($to - $from);
}

# Purge while clients look up: plans removed a second, and look-ups a second meanwhile
# and before.
sub purge_beside
{
	my ($clients) = @_;
	my $folder = File::Temp->newdir(DIR => $ENV{BENCH_WORK});
	my $alone = quick() ? 1 : 5;
	my $pid = fork // die "fork: $!\n";
	if (!$pid)
	{
		exec 'pgbench', '-n', '-M', 'prepared', '-U', 'ed_app', '-c', $clients, '-j', 2, '-T', 600,
		  '-f', "$ENV{BENCH_TOP}/test/bench/scripts/cpis.sql", '-l', "--log-prefix=$folder/log", '--sampling-rate=0.2',
		  '-D', 'first=1', '-D', 'last=120000', $database
		  or die "cannot run pgbench: $!\n";
	}
	sleep 1;
	my $from = time;
	sleep $alone;
	my $began = time;
	my $took = purge_time();
	kill 'TERM', $pid;
	waitpid $pid, 0;
	my ($before, $during) = (rate_between($folder, $from, $began), rate_between($folder, $began, $began + $took));
	# A purge of next to nothing may be over before a look-up is sampled.
	die "nobody has looked up\n" unless $before > 0 && ($during > 0 || quick());
	return { removed => $due / $took, before => $before, during => $during };
}

sub measure
{
	my ($report) = @_;
	my $rounds = quick() ? 1 : 5;
	my (@alone, @delete, %beside, @rows, %rate, %ratio);

	make_database($database);
	for my $round (1 .. $rounds)
	{
		make_due();
		push @delete, delete_time();
		push @alone, purge_time();
		for my $clients (8, 32)
		{
			make_due();
			push @{ $beside{$clients} }, purge_beside($clients);
		}
	}
	die "certificates and events do not agree\n" if sql($database, 'SELECT count(*) FROM cpis_retention_reconcile() WHERE problem !~ \'ed_app\'') != 0;

	push @rows, [ 'a plain DELETE of a copy, in one statement', sprintf('%.0f', $due / median(@delete)), '', '', '' ];
	push @rows, [ 'cpis_purge(), alone', sprintf('%.0f', $due / median(@alone)), '', '', '' ];
	for my $clients (8, 32)
	{
		my %of = map { my $what = $_; $what => [ map { $_->{$what} } @{ $beside{$clients} } ] } qw(removed before during);
		$rate{$clients} = median(@{ $of{removed} });
		$ratio{$clients} = median_ratio($of{during}, $of{before});
		push @rows, [ "cpis_purge(), $clients clients look up", (map { sprintf '%.0f', $_ } $rate{$clients}, median(@{ $of{before} }), median(@{ $of{during} })),
			sprintf '%.2f', $ratio{$clients} ];
	}
	$report->section('Removal',
		"$due plans that are due, beside England's that are not; batches of 1,000, a certificate each, all of which the events of the"
		  . " removal and cpis_retention_reconcile() confirm. Clients look up as fast as they can. The DELETE makes no certificate, asks no trigger and leaves"
		  . " what it deletes in sight until it has committed. Medians of $rounds rounds.");
	$report->table([ '', 'plans a second', 'look-ups a second before', 'meanwhile', 'ratio' ], @rows);
	$report->target("plans removed a second, $_ clients looking up", $rate{$_}, '>=', 100_000) for 8, 32;
	$report->target("look-ups beside the purge / before it, $_ clients", $ratio{$_}, '>=', 0.5) for 8, 32;
	return;
}

1;

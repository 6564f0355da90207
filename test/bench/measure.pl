# Runs the parts of the bench, in order, on the cluster that test/bench/bench
# has started.

use strict;
use warnings;

use Bench;
use Report;

my @all = qw(Lookup OpenLoop NhsNumber Growth Writer Ledger Retention Submission DirectRead Analysts);
my @parts = split ' ', $ENV{PARTS} || "@all";
for my $part (@parts)
{
	die "no such part: $part; there are @all\n" unless grep { $_ eq $part } @all;
}

my $report = Report->new;
for my $part (@parts)
{
	my $began = time;
	my $tables = $report->{tables};
	require "$part.pm";
	$part->can('measure')->($report);
	die "part $part has measured nothing\n" if $report->{tables} == $tables;
	printf "\n(%s took %.1f minutes)\n", $part, (time - $began) / 60;
}

$report->summary;
if (quick() || $ENV{PARTS})
{
	$report->write(work() . '/RESULTS.md');
}
else
{
	$report->write("$ENV{BENCH_TOP}/test/bench/RESULTS.md");
	print "\nwritten to test/bench/RESULTS.md\n";
}

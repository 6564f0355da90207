# The writer in the long run: its memory under load, and what it costs when
# nobody asks.
package Writer;

use strict;
use warnings;

use Bench;
use Lookup;
use Time::HiRes qw(sleep time);

my $look_up = "SELECT FROM cpis_lookup(nhs_number_synthetic(1), 'Dr A Shah', 'R0A', 'emergency_department')";

sub writer_pid
{
	return sql($Lookup::database, 'SELECT writer_pid FROM cpis_stat');
}

# Memory of the process that it shares with nobody, in kB.
sub own_memory
{
	my ($pid) = @_;
	open my $status, '<', "/proc/$pid/status" or die "the writer has left\n";
	while (<$status>) { return $1 if /^RssAnon:\s+(\d+) kB/ }
	die "no RssAnon of process $pid\n";
}

# Processor time of the process, in ticks, and how often it has been woken.
sub work_done
{
	my ($pid) = @_;
	open my $stat, '<', "/proc/$pid/stat" or die "the writer has left\n";
	my @field = split ' ', (<$stat> =~ s/^.*\) //r);
	open my $status, '<', "/proc/$pid/status" or die "the writer has left\n";
	my ($switches) = map { /^voluntary_ctxt_switches:\s+(\d+)/ ? $1 : () } <$status>;
	return ($field[11] + $field[12], $switches);
}

# Run pgbench beside, and sample the writer's memory.
sub memory_under_load
{
	my ($seconds, $interval) = @_;
	my $child = fork // die "cannot fork: $!\n";
	if ($child == 0)
	{
		open STDOUT, '>', '/dev/null';
		exec 'pgbench', '-n', '-M', 'prepared', '-U', 'ed_app', '-c', 8, '-j', 2, '-T', $seconds,
		  '-D', 'first=1', '-D', 'last=240000', '-f', "$ENV{BENCH_TOP}/test/bench/scripts/cpis.sql", $Lookup::database;
		die "cannot run pgbench: $!\n";
	}

	sleep $interval;
	my $pid = writer_pid();
	my @samples;
	for (my $began = time; time - $began < $seconds - 2 * $interval;)
	{
		push @samples, own_memory($pid);
		sleep $interval;
	}
	die "the writer has changed under load\n" unless writer_pid() eq $pid;
	waitpid $child, 0;
	die "pgbench failed\n" if $?;
	return @samples;
}

sub measure_memory
{
	my ($report) = @_;
	my $seconds = quick() ? 15 : 600;
	my $interval = quick() ? 1 : 10;
	my $before = sql($Lookup::database, 'SELECT count(*) FROM cpis.audit_event');
	my @samples = memory_under_load($seconds, $interval);
	my $recorded = sql($Lookup::database, 'SELECT count(*) FROM cpis.audit_event') - $before;
	my $tenth = int(@samples / 10) || 1;
	my @first = @samples[ 0 .. $tenth - 1 ];
	my @last = @samples[ -$tenth .. -1 ];
	my ($most) = sort { $b <=> $a } @first;

	$report->section('Memory of the writer',
		sprintf('%.1f minutes of load with 8 clients, half of the look-ups finding a plan: %d events recorded. '
			  . 'RssAnon of the writer, in kB, every %d s.', $seconds / 60, $recorded, $interval));
	$report->table([ '', 'first tenth', 'middle', 'last tenth' ],
		[ 'median', median(@first), median(@samples), median(@last) ]);
	$report->target('memory of the writer, last tenth less first, kB', median(@last) - $most, '<=', 256);
	return;
}

# Add to postgresql.conf, since ALTER SYSTEM refuses what no session has loaded.
sub configure
{
	my ($line) = @_;
	open my $file, '>>', "$ENV{BENCH_WORK}/data/postgresql.conf" or die "cannot configure: $!\n";
	print {$file} "$line\n";
	close $file or die "cannot configure: $!\n";
	sql('postgres', 'SELECT pg_reload_conf()');
	sleep 1;
	return;
}

sub measure_idle
{
	my ($report) = @_;
	my $seconds = quick() ? 3 : 30;

	configure("cpis.writer_idle_timeout = '1h'");
	sql($Lookup::database, $look_up);
	my $pid = writer_pid();
	sleep 1;
	my ($ticks, $switches) = work_done($pid);
	sleep $seconds;
	my ($ticks_after, $switches_after) = work_done($pid);
	configure("cpis.writer_idle_timeout = '3s'");
	sleep 4;
	my $gone = writer_pid() eq '';
	die "the idle writer has not left\n" unless $gone;

	$report->section('When nobody asks',
		"A writer that is kept (`cpis.writer_idle_timeout` = 1h) over $seconds s without a look-up. By default it leaves after 3 s: it did.");
	$report->table([ 'processor time, ticks of 10 ms', 'times woken' ],
		[ $ticks_after - $ticks, $switches_after - $switches ]);
	$report->target('processor time of an idle writer, ticks', $ticks_after - $ticks, '<=', 0);
	return;
}

sub measure
{
	my ($report) = @_;
	Lookup::prepare_database();
	measure_memory($report);
	measure_idle($report);
	return;
}

1;

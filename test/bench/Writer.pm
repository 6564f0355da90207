# The writer in the long run: its memory under load, and what it costs when
# nobody asks.
package Writer;

use strict;
use warnings;

use Bench;
use List::Util qw(max sum);
use Lookup;
use POSIX ();
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

# Of the line of least squares through samples, for each sample.
sub slope
{
	my (@samples) = @_;
	my $middle = $#samples / 2;
	return sum(map { ($_ - $middle) * $samples[$_] } 0 .. $#samples)
	  / sum(map { ($_ - $middle)**2 } 0 .. $#samples);
}

sub measure_memory
{
	my ($report) = @_;
	my $seconds = quick() ? 15 : 600;
	my $interval = quick() ? 1 : 10;
	my $before = sql($Lookup::database, 'SELECT count(*) FROM cpis.audit_event');
	my @samples = memory_under_load($seconds, $interval);
	my $recorded = sql($Lookup::database, 'SELECT count(*) FROM cpis.audit_event') - $before;
	my $tenth = int(@samples / 10 + 0.5);
	my @first = @samples[ 0 .. $tenth - 1 ];
	my @last = @samples[ -$tenth .. -1 ];
	my $most = max(@first);
	my $first_fifth = int(@samples / 5 + 0.5);

	$report->section('Memory of the writer',
		sprintf('%.1f minutes of load with 8 clients, half of the look-ups finding a plan: %d events recorded. '
			  . 'RssAnon of the writer, in kB, every %d s.', $seconds / 60, $recorded, $interval));
	$report->table([ 'first tenth, median', 'first tenth, most', 'last tenth, median', 'slope after the first fifth, kB a minute' ],
		[ median(@first), $most, median(@last),
			sprintf('%.1f', slope(@samples[ $first_fifth .. $#samples ]) * 60 / $interval) ]);
	$report->target('memory of the writer, last tenth less first (medians), kB', median(@last) - median(@first), '<=', 256);
	return;
}

# SQL in a session that knows the settings of cpis, as ALTER SYSTEM needs it.
sub sql_with_settings
{
	my ($statement) = @_;
	local $ENV{PGOPTIONS} = '-c session_preload_libraries=cpis';
	return sql($Lookup::database, $statement);
}

sub reload
{
	sql($Lookup::database, 'SELECT pg_reload_conf()');
	sleep 1;
	return;
}

# Seconds from a look-up until the writer has left.
sub time_to_leave
{
	sql($Lookup::database, $look_up);
	my $began = time;
	while (writer_pid() ne '')
	{
		die "the idle writer does not leave\n" if time - $began > 30;
		sleep 0.1;
	}
	return time - $began;
}

sub measure_idle
{
	my ($report) = @_;
	my $seconds = quick() ? 3 : 30;

	sql_with_settings("ALTER SYSTEM SET cpis.writer_idle_timeout = '1h'");
	reload();
	sql($Lookup::database, $look_up);
	my $pid = writer_pid();
	sleep 1;
	my ($ticks, $switches) = work_done($pid);
	sleep $seconds;
	my ($ticks_after, $switches_after) = work_done($pid);
	die "the writer has changed while idle\n" unless writer_pid() eq $pid;
	sql_with_settings('ALTER SYSTEM RESET cpis.writer_idle_timeout');
	reload();

	$report->section('When nobody asks',
		"A writer that is kept (`cpis.writer_idle_timeout` = 1h), over $seconds s without a look-up; and how long after a"
		  . ' look-up it leaves by default (' . sql_with_settings('SHOW cpis.writer_idle_timeout') . ').');
	$report->table([ 'processor time, ticks of ' . 1000 / POSIX::sysconf(POSIX::_SC_CLK_TCK()) . ' ms', 'times woken', 'leaves after, s' ],
		[ $ticks_after - $ticks, $switches_after - $switches, sprintf('%.1f', time_to_leave()) ]);
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

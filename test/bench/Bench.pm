# What the parts of the bench share: SQL, pgbench, and a little statistics.
# Whatever cannot be measured dies.
package Bench;

use strict;
use warnings;

use Exporter 'import';
use File::Temp;
use POSIX ();

our @EXPORT = qw(sql script pgbench rotated median percentile median_ratio
  milliseconds quick work restart make_database has_database);

# Is this a smoke test of the bench itself?
sub quick
{
	return ($ENV{QUICK} || 0) ne '0';
}

# A folder that the server can read and write.
sub work
{
	return "$ENV{BENCH_WORK}/scratch";
}

# Output of a command, without the last line feed.
sub output_of
{
	my (@command) = @_;
	open my $pipe, '-|', @command or die "cannot run $command[0]: $!\n";
	my $output = do { local $/; <$pipe> } // '';
	close $pipe or die "failed: @command\n";
	chomp $output;
	return $output;
}

# What a statement answers, run by a superuser.
sub sql
{
	my ($database, $statement) = @_;
	return output_of('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-c', $statement);
}

# Run a file of test/bench or test/demo, in the folder of the test data.
sub script
{
	my ($database, $name, %variables) = @_;
	my ($file) = grep { -e } map { "$ENV{BENCH_TOP}/test/$_/$name" } qw(bench demo);
	die "no such script: $name\n" unless defined $file;
	chdir "$ENV{BENCH_TOP}/test/data" or die "cannot change folder: $!\n";
	my $output = output_of('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
		(map { ('-v', "$_=$variables{$_}") } sort keys %variables),
		'-d', $database, '-f', $file);
	# The server's user may not enter the folder of the project.
	chdir $ENV{BENCH_WORK} or die "cannot change folder: $!\n";
	return $output;
}

sub has_database
{
	my ($database) = @_;
	return sql('postgres', "SELECT count(*) FROM pg_database WHERE datname = '$database'");
}

# A database with England in it, and the role that looks up.
sub make_database
{
	my ($database) = @_;
	sql('postgres', "CREATE DATABASE $database");
	sql($database, 'SET client_min_messages = error; CREATE EXTENSION cpis');
	sql($database, 'CREATE ROLE ed_app LOGIN IN ROLE cpis_clinical')
	  unless sql($database, "SELECT count(*) FROM pg_roles WHERE rolname = 'ed_app'");
	script($database, 'england.sql');
	# As a restore does, without an event: some parts make a trail of their own, from event 0 on.
	sql($database, q{INSERT INTO cpis.role_scope (role_name, organisation, granted_at, event_id) SELECT 'ed_app', code, now(), -1 FROM cpis.organisation});
	return;
}

# Run pgbench: look-ups a second in {tps}, how many in {transactions}, and their
# latencies, ascending, in microseconds, in {latency}.  With a rate, latency counts
# from when the look-up was due.
sub pgbench
{
	my (%option) = @_;
	my $folder = File::Temp->newdir(DIR => $ENV{BENCH_WORK});
	my $script = $option{script} =~ m{^/} ? $option{script} : "$ENV{BENCH_TOP}/test/bench/$option{script}";
	# To log every one of many would weigh on those who are measured.
	my @sample = (!$option{rate} && $option{clients} > 1) ? '--sampling-rate=0.2' : ();
	local $ENV{PGOPTIONS} = $option{options} // '';
	my $output = output_of('pgbench', '-n', '-M', 'prepared', '-U', $option{user} // 'ed_app',
		'-c', $option{clients}, '-j', ($option{clients} < 2 ? 1 : 2), '-T', $option{seconds},
		'-f', $script, '-l', "--log-prefix=$folder/log", @sample,
		($option{rate} ? ('-R', $option{rate}) : ()),
		(map { ('-D', "$_=$option{variables}{$_}") } sort keys %{ $option{variables} // {} }),
		$option{database});
	die "pgbench: failed transactions\n$output\n" if $output =~ /^number of failed transactions: [1-9]/m;

	my ($tps) = $output =~ /^tps = ([\d.]+)/m or die "pgbench says:\n$output\n";
	my ($transactions) = $output =~ /^number of transactions actually processed: (\d+)/m;
	my @latency;
	for my $file (glob "$folder/log*")
	{
		open my $log, '<', $file or die "cannot read $file: $!\n";
		while (my $line = <$log>)
		{
			push @latency, (split ' ', $line)[2];
		}
	}
	die "pgbench has logged nothing\n" unless @latency;
	return {
		tps => $tps,
		transactions => $transactions,
		latency => [ sort { $a <=> $b } @latency ] };
}

# The list, beginning with another element in each round, and every second time
# in reverse: who comes after whom must not always be the same.
sub rotated
{
	my ($round, @list) = @_;
	my $first = $round % @list;
	my @rotated = @list[ $first .. $#list, 0 .. $first - 1 ];
	return $round % 2 ? reverse @rotated : @rotated;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# By nearest rank.
sub percentile
{
	my ($sorted, $fraction) = @_;
	return $sorted->[ POSIX::ceil($fraction * @$sorted) - 1 ];
}

# Median of the ratios that two lists of measurements have round by round.
sub median_ratio
{
	my ($these, $those) = @_;
	return median(map { $these->[$_] / $those->[$_] } 0 .. $#$these);
}

# Microseconds as milliseconds, for a table.
sub milliseconds
{
	my ($microseconds) = @_;
	return sprintf '%.3f', $microseconds / 1000;
}

# Restart the server with these settings, from now on; one that is undefined as it comes.
sub restart
{
	my (%setting) = @_;
	sql('postgres', defined $setting{$_} ? "ALTER SYSTEM SET $_ = '$setting{$_}'" : "ALTER SYSTEM RESET $_") for sort keys %setting;
	my @as_user = split ' ', $ENV{BENCH_AS_USER} // '';
	system(@as_user, 'env', "PATH=$ENV{PATH}", 'pg_ctl', '-D', "$ENV{BENCH_WORK}/data",
		'-l', "$ENV{BENCH_WORK}/server.log", '-s', '-w', '-t', '600', '-m', 'fast', 'restart') == 0
	  or die "the server does not start again: see $ENV{BENCH_WORK}/server.log\n";
	return;
}

1;

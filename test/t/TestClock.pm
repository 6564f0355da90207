# A server with a clock that stands still until the test moves it (clock.c).
package TestClock;

use strict;
use warnings;

use CpisTest;
use Exporter 'import';
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::Local qw(timegm);

our @EXPORT = qw(new_clocked_server start_clocked set_clock move_clock_command);

my $directory = PostgreSQL::Test::Utils::tempdir;

# Seconds since 1970 of a time in UTC, such as 2024-01-10 12:00:00.
sub seconds
{
	my ($time) = @_;
	my ($year, $month, $day, $hour, $minute, $second) = $time =~ /\d+/g;
	return timegm($second, $minute, $hour, $day, $month - 1, $year);
}

# Put the clock to a time in UTC; forward only.
sub set_clock
{
	my ($time) = @_;
	# In place, for the processes of the server have it mapped.
	open my $file, -e "$directory/clock" ? '+<' : '>', "$directory/clock" or die "open: $!";
	syswrite($file, pack('q', seconds($time))) == 8 or die "write: $!";
	close $file;
	return;
}

# The same as a command of psql.
sub move_clock_command
{
	my ($time) = @_;
	my $bytes = join '', map { sprintf '\\%03o', $_ } unpack 'C8', pack 'q', seconds($time);
	return "\\! printf '$bytes' 1<>$directory/clock\n";
}

# Start a server so that its processes, and no others, have this clock.
sub start_clocked
{
	my ($node) = @_;
	local %ENV = (%ENV, LD_PRELOAD => "$directory/clock.so", CPIS_TEST_CLOCK => "$directory/clock");
	$node->start;
	return;
}

# A started server like that of new_server(), at this time in UTC.
sub new_clocked_server
{
	my ($name, $time, $conf) = @_;
	system_or_bail('cc', '-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', "$directory/clock.so",
		dirname(__FILE__) . '/clock.c');
	set_clock($time);
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', "timezone = 'UTC'\ncpis.checkpoint_interval = 0\n" . ($conf // ''));
	start_clocked($node);
	make_register($node, 'postgres');
	return $node;
}

1;

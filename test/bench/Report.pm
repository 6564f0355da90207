# What the bench has to say: on the screen as it comes, as Markdown at the end.
package Report;

use strict;
use warnings;

use Bench;
use POSIX 'strftime';

sub new
{
	my ($class) = @_;
	return bless { sections => '', tables => 0, targets => [] }, $class;
}

sub section
{
	my ($self, $title, @paragraphs) = @_;
	print "\n== $title\n\n", map { "$_\n\n" } @paragraphs;
	$self->{sections} .= "## $title\n\n" . join '', map { "$_\n\n" } @paragraphs;
	return;
}

# Texts to the left, numbers to the right.
sub table
{
	my ($self, $headers, @rows) = @_;
	die "a table without rows\n" unless @rows;
	$self->{tables}++;
	print_table($headers, @rows);
	$self->{sections} .= markdown_table($headers, @rows) . "\n";
	return;
}

sub print_table
{
	my @rows = @_;
	my @width;
	for my $row (@rows)
	{
		for my $i (0 .. $#$row)
		{
			my $length = length $row->[$i];
			$width[$i] = $length if $length > ($width[$i] // 0);
		}
	}
	for my $row (@rows)
	{
		print join('  ', map { sprintf($_ == 0 ? "%-$width[$_]s" : "%$width[$_]s", $row->[$_]) } 0 .. $#$row), "\n";
	}
	print "\n";
	return;
}

sub markdown_table
{
	my ($headers, @rows) = @_;
	return join '', map { '| ' . join(' | ', @$_) . " |\n" }
	  $headers, [ '---', ('--:') x $#$headers ], @rows;
}

# A figure that the project wants to reach: bound is what, '>=' or '<=' how.
sub target
{
	my ($self, $what, $measured, $how, $bound) = @_;
	my $reached = $how eq '<=' ? $measured <= $bound : $measured >= $bound;
	push @{ $self->{targets} },
	  [ $what, sprintf('%.4g', $measured), "$how $bound", quick() ? 'not judged' : $reached ? 'reached' : 'missed' ];
	return;
}

sub target_table
{
	my ($self) = @_;
	return ([ 'what', 'measured', 'wanted', '' ], @{ $self->{targets} });
}

sub summary
{
	my ($self) = @_;
	print "\n== Targets\n\n";
	print_table($self->target_table);
	return;
}

sub first_match
{
	my ($file, $pattern) = @_;
	open my $handle, '<', $file or return 'unknown';
	while (<$handle>) { return $1 if $_ =~ $pattern }
	return 'unknown';
}

# The machine, as a reader would need to know it.
sub machine
{
	my $memory = first_match('/proc/meminfo', qr/^MemTotal:\s+(\d+)/);
	my ($flushes) = Bench::output_of(split(' ', $ENV{BENCH_AS_USER} // ''), 'env', "PATH=$ENV{PATH}",
		'pg_test_fsync', '-s', '1', '-f', work() . '/flush') =~ /fdatasync\s+([\d.]+)/;
	return (
		[ processor => first_match('/proc/cpuinfo', qr/^model name\s+: (.*)/) . ', '
			  . Bench::output_of('nproc') . ' cores' ],
		[ memory => sprintf('%.0f GiB', $memory / 1024 / 1024) ],
		[ kernel => Bench::output_of('uname', '-sr') ],
		[ 'file system of the data' => Bench::output_of('stat', '-f', '-c', '%T', work()) ],
		[ 'fdatasync of 8 kB' => sprintf('%.0f a second', $flushes) ]);
}

sub versions
{
	my $top = $ENV{BENCH_TOP};
	my $revision = `git -c safe.directory='*' -C '$top' describe --always --dirty 2>/dev/null`;
	chomp $revision;
	return (
		[ cpis => first_match("$top/cpis.control", qr/^default_version = '(.*)'/) . ($revision ? " ($revision)" : '') ],
		[ PostgreSQL => sql('postgres', 'SELECT version()') ],
		[ settings => sql('postgres', q{
			SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings
			WHERE source = 'configuration file' AND setting <> boot_val
				AND name IN ('shared_buffers', 'max_wal_size', 'checkpoint_timeout', 'max_connections',
					'fsync', 'synchronous_commit', 'autovacuum', 'shared_preload_libraries')}) . '; else as it comes' ]);
}

sub write
{
	my ($self, $file) = @_;
	# First, for an open file changes what the revision is called.
	my @conditions = (machine(), versions());
	open my $out, '>', $file or die "cannot write $file: $!\n";
	print {$out} "# Results of `make bench`\n\n",
	  markdown_table([ 'date', strftime('%Y-%m-%d %H:%M UTC', gmtime) ], @conditions), "\n",
	  "Peers are measured in turns within one run; figures are medians over the rounds, ratios medians of\n",
	  "the rounds' ratios.\n\n",
	  "## Targets\n\n", markdown_table($self->target_table), "\n", $self->{sections};
	close $out or die "cannot write $file: $!\n";
	return;
}

1;

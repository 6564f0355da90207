# The type nhs_number against the types that would be used without it, and its
# validation against PL/pgSQL and SQL.
package NhsNumber;

use strict;
use warnings;

use Bench;

my $database = 'bench_nhs_number';
my @types = qw(nhs_number bigint integer text);
my @steps = (
	[ COPY => sub { my ($type) = @_; "COPY bench.as_$type FROM '" . file_of($type) . "'" } ],
	[ sort => sub { my ($type) = @_; "SELECT count(*) FROM (SELECT number FROM bench.as_$type ORDER BY number) AS sorted" } ],
	[ 'hash join' => sub { my ($type) = @_; "SELECT count(*) FROM bench.as_$type JOIN bench.shuffled_$type USING (number)" } ],
	[ 'CREATE INDEX' => sub { my ($type) = @_; "CREATE INDEX as_${type}_idx ON bench.as_$type (number)" } ],
);
my @validators = (
	[ 'nhs_number_is_valid', 'nhs_number_is_valid()' ],
	[ 'bench.valid_in_a_loop', 'PL/pgSQL, loop over the digits' ],
	[ 'bench.valid_without_loop', 'PL/pgSQL, no loop' ],
	[ 'bench.valid_expression', 'SQL expression' ],
);

sub file_of
{
	my ($type) = @_;
	return work() . ($type eq 'integer' ? '/nine_digits' : '/ten_digits');
}

# Milliseconds of a command, its commit included.
sub timed
{
	my ($command) = @_;
	return sql($database, "CALL bench.timed(\$command\$$command\$command\$)");
}

# Tables as they are before COPY.
sub empty_tables
{
	my ($round) = @_;
	for my $type (@types)
	{
		sql($database, "DROP INDEX bench.as_${type}_idx") if $round > 0;
		sql($database, "TRUNCATE bench.as_$type");
	}
	return;
}

# Time every step with every type once; each step with all types in succession.
sub one_round
{
	my ($round, $times) = @_;
	empty_tables($round);
	for my $step (@steps)
	{
		my ($name, $command) = @$step;
		for my $type (rotated($round, @types))
		{
			sql($database, 'CHECKPOINT');
			push @{ $times->{$type}{$name} }, timed($command->($type));
		}
		next if $name ne 'COPY';
		sql($database, "VACUUM (FREEZE, ANALYZE) bench.as_$_") for @types;
	}
	return;
}

sub megabytes
{
	my ($relation) = @_;
	return sprintf '%.0f', sql($database, "SELECT pg_relation_size('$relation')") / 2**20;
}

sub report_types
{
	my ($report, $persons, $rounds, $times) = @_;
	my @sizes = (
		[ 'column, bytes', map { sql($database, "SELECT max(pg_column_size(number)) FROM bench.as_$_") } @types ],
		[ 'table, MB', map { megabytes("bench.as_$_") } @types ],
		[ 'index, MB', map { megabytes("bench.as_${_}_idx") } @types ]);
	my @seconds = map {
		my ($step) = @$_;
		[ "$step, s", map { sprintf '%.2f', median(@{ $times->{$_}{$step} }) / 1000 } @types ]
	} @steps;
	my @ratios = map {
		my ($step) = @$_;
		[ $step, map { sprintf '%.2f', median_ratio($times->{nhs_number}{$step}, $times->{$_}{$step}) } @types[ 1 .. 3 ] ]
	} @steps;

	$report->section('The type nhs_number',
		$persons / 1e6 . ' million persons in random order, each as nhs_number, bigint (ten digits), integer (the first nine)'
		  . ' and text COLLATE "C" with a CHECK of shape and check digit. COPY reads a text file on the server, of ten digits'
		  . ' or for integer of nine, and commits. Sort and hash join happen in memory, in one process, the join with'
		  . " a shuffled copy. $rounds rounds, each step with the four types in succession, their order rotated; medians.");
	$report->table([ '', @types ], @sizes, @seconds);
	$report->table([ 'time of nhs_number /', @types[ 1 .. 3 ] ], @ratios);

	my $target = sub {
		my ($name, $type, $bound) = @_;
		$report->target("$name, time of nhs_number / $type",
			median_ratio($times->{nhs_number}{$name}, $times->{$type}{$name}), '<=', $bound);
	};
	$report->target('nhs_number, bytes', $sizes[0][1], '<=', 4);
	$target->('COPY', 'bigint', 1);
	$target->('sort', 'integer', 1.05);
	$target->('CREATE INDEX', 'integer', 1.05);
	return;
}

sub measure_types
{
	my ($report) = @_;
	my $persons = quick() ? 50_000 : 5_000_000;
	my $rounds = quick() ? 1 : 5;
	my %times;

	script($database, 'types.sql', persons => $persons,
		ten_digits => file_of('bigint'), nine_digits => file_of('integer'));
	one_round($_, \%times) for 0 .. $rounds - 1;
	die "something did not fit into memory\n"
	  if sql($database, 'SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()') > 0;
	report_types($report, $persons, $rounds, \%times);
	return;
}

# All must agree about every string.
sub check_validators
{
	my ($table) = @_;
	my ($first, @others) = map { "$_->[0](value)" } @validators;
	my $differ = join ' OR ', map { "$first IS DISTINCT FROM $_" } @others;
	die "the validators do not agree on $table\n"
	  if sql($database, "SELECT count(*) FROM $table WHERE $differ") > 0;
	return sql($database, "SELECT count(*) FILTER (WHERE $first) FROM $table");
}

sub measure_validation
{
	my ($report) = @_;
	my $strings = quick() ? 2_000 : 200_000;
	my $each = 10;
	my $rounds = quick() ? 1 : 5;
	my %times;

	script($database, 'validation.sql', strings => $strings);
	die "not half of the strings are valid\n" if check_validators('bench.string') != $strings / 2;
	die "a malformed string is valid\n" if check_validators('bench.malformed') != 0;

	for my $round (0 .. $rounds - 1)
	{
		for my $name (rotated($round, map { $_->[0] } @validators))
		{
			my $sum = join ' + ', ("CAST($name(value) AS integer)") x $each;
			push @{ $times{$name} }, timed("SELECT sum($sum) FROM bench.string");
		}
	}

	my ($own, @peers) = map { $_->[0] } @validators;
	my ($best) = sort { median(@{ $times{$a} }) <=> median(@{ $times{$b} }) } grep { /valid_(in|without)/ } @peers;
	my $row = sub {
		my ($name, $title) = @_;
		my $nanoseconds = median(@{ $times{$name} }) / $strings / $each * 1e6;
		return [ $title, sprintf('%.2f', 1000 / $nanoseconds), sprintf('%.0f', $nanoseconds),
			sprintf('%.1f', median_ratio($times{$name}, $times{$own})) ];
	};
	$report->section('Validation of text',
		"$strings strings of ten digits, half of them valid, in random order, each judged $each times in one expression, so that"
		  . " reading it from its table counts for little; $rounds rounds, the order rotated; medians. All four agree on each of the strings and on "
		  . sql($database, 'SELECT count(*) FROM bench.malformed') . ' malformed ones.');
	$report->table([ '', 'million a second', 'ns each', 'time / nhs_number_is_valid()' ], map { $row->(@$_) } @validators);
	$report->target('validations a second, cpis / the faster PL/pgSQL', median_ratio($times{$best}, $times{$own}), '>=', 15);
	return;
}

sub measure
{
	my ($report) = @_;
	sql('postgres', "CREATE DATABASE $database");
	sql($database, 'CREATE EXTENSION cpis');
	script($database, 'numbers.sql');
	measure_types($report);
	measure_validation($report);
	sql('postgres', "DROP DATABASE $database");
	unlink file_of($_) for @types;
	return;
}

1;

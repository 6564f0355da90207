# What it costs, where the tables of the extension are not touched, that direct reads are recorded:
# statements on other tables with the library preloaded, and without.
package DirectRead;

use strict;
use warnings;

use Bench;

my $database = 'bench_direct_read';

my @statements = (
	[ point => 'a row by its primary key', "\\set id random(1, 10000)\nSELECT filler FROM ordinary WHERE id = :id;\n" ],
	[ join => 'a join of six tables', "\\set id random(1, 10000)\nSELECT count(*) FROM ordinary a JOIN ordinary b USING (id) JOIN ordinary c USING (id) JOIN ordinary d USING (id) JOIN ordinary e USING (id) JOIN ordinary f USING (id) WHERE id = :id;\n" ],
	[ function => '1,000 calls of a PL/pgSQL function that reads a row', "SELECT sum(length(filler_of(n))) FROM generate_series(1, 1000) n;\n" ]);

sub write_script
{
	my ($name, $text) = @_;
	my $file = work() . "/$name.sql";
	open my $out, '>', $file or die "cannot write $file: $!\n";
	print {$out} $text;
	close $out or die "cannot write $file: $!\n";
	return $file;
}

sub measure
{
	my ($report) = @_;
	my $rounds = quick() ? 1 : 9;
	my $seconds = quick() ? 1 : 4;
	sql('postgres', "CREATE DATABASE $database");
	sql($database, q{
		CREATE EXTENSION cpis;
		CREATE TABLE ordinary (id integer PRIMARY KEY, filler text);
		INSERT INTO ordinary SELECT n, repeat('x', 50) FROM generate_series(1, 10000) n;
		CREATE FUNCTION filler_of(n integer) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT filler FROM ordinary WHERE id = n); END'});
	sql($database, 'VACUUM ANALYZE ordinary');
	my %file = map { $_->[0] => write_script($_->[0], $_->[2]) } @statements;

	my %rate;
	for my $round (0 .. $rounds - 1)
	{
		for my $preloaded (rotated($round, undef, 'cpis'))
		{
			restart(shared_preload_libraries => $preloaded);
			for my $statement (@statements)
			{
				my $name = $statement->[0];
				my %option = (database => $database, user => 'postgres', clients => 1, script => $file{$name});
				pgbench(%option, seconds => 1) if !quick();	# what is read first
				push @{ $rate{$name}{ $preloaded ? 'with' : 'without' } }, pgbench(%option, seconds => $seconds)->{tps};
			}
		}
	}
	restart(shared_preload_libraries => undef);

	$report->section('Direct reads: statements that touch other tables', 'One client, prepared, in turns with the library preloaded and without, the server being restarted in between.');
	$report->table([ 'statement', 'a second, without', 'preloaded', 'ratio' ], map {
		my ($name, $what) = @$_;
		[ $what, (map { sprintf '%.0f', median(@{ $rate{$name}{$_} }) } qw(without with)), sprintf('%.3f', median_ratio($rate{$name}{with}, $rate{$name}{without})) ] } @statements);
	$report->target("$_->[1], preloaded / not", median_ratio($rate{ $_->[0] }{with}, $rate{ $_->[0] }{without}), '>=', 0.98) for @statements;
	return;
}

1;

# The demonstration loads England as the guidance counts it.
use strict;
use warnings;

use File::Basename;
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $test = File::Spec->rel2abs(dirname(__FILE__) . '/..');
my $node = PostgreSQL::Test::Cluster->new('england');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cpis');

# \copy takes its files from psql's working directory.
chdir "$test/data" or die "cannot enter $test/data: $!";
command_ok([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', "$test/demo/england.sql" ],
	'england.sql loads');

sub is_value
{
	my ($expected, $sql, $name) = @_;
	is($node->safe_psql('postgres', $sql), $expected, $name);
	return;
}

# Lines of a CSV file without its header; no field spans lines.
sub records
{
	my ($file) = @_;
	my @lines = split /\n/, slurp_file("$test/data/$file");
	return @lines - 1;
}

is_value(153, 'SELECT count(*) FROM cpis.local_authority', '153 local authorities');
is_value(records('nhs_trusts.csv'), 'SELECT count(*) FROM cpis.organisation', 'all trusts of the file');
is_value("child_protection|49300\nlooked_after|69501\nunborn|1200",
	'SELECT plan_type, count(*) FROM cpis.plan GROUP BY plan_type ORDER BY plan_type',
	'49,300 with a plan, 69,500 looked after and one more, 1,200 unborn');
is_value(120000, 'SELECT count(DISTINCT nhs_number) FROM cpis.plan', '120,000 children');
is_value(120001, 'SELECT count(nhs_number::nhs_number_test) FROM cpis.plan',
	'all numbers are of the never-issued block');
is_value(153, 'SELECT count(DISTINCT local_authority) FROM cpis.plan', 'every authority has plans');
is_value(306, "SELECT count(DISTINCT phone) FROM cpis.local_authority, unnest(ARRAY[office_hours_phone, emergency_duty_phone]) phone"
	  . " WHERE replace(phone, ' ', '')::bigint BETWEEN 1632960000 AND 1632960999",
	'telephones are those kept for drama, each once');

$node->stop;
done_testing();

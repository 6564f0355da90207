# plpgsql_check finds nothing in any PL/pgSQL: of the extension's script, which has DO blocks, and of the
# functions that the bench compares with, which are the PL/pgSQL that we hold up to others.

use strict;
use warnings;

use CpisTest;
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('check');
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'plpgsql_check'}) == 0)
{
	plan skip_all => 'plpgsql_check is not installed';
}
$node->safe_psql('postgres', 'CREATE EXTENSION plpgsql_check; CREATE SCHEMA checked');
my $top = dirname(__FILE__) . '/../..';

# What it finds in a function, a line each.
sub found
{
	my ($function) = @_;
	return $node->safe_psql('postgres', "SELECT * FROM plpgsql_check_function('$function'::regprocedure, extra_warnings => true, performance_warnings => false, security_warnings => true)");
}

# A DO block as a function, and what is found in it.
sub check_block
{
	my ($name, $block) = @_;
	$node->safe_psql('postgres', "CREATE FUNCTION checked.$name() RETURNS void LANGUAGE plpgsql AS \$check\$$block\$check\$");
	return found("checked.$name()");
}

is(check_block('sound', 'BEGIN PERFORM 1; END'), '', 'nothing in what is sound');
like(check_block('unsound', 'DECLARE i integer; BEGIN PERFORM no_such_column FROM cpis.plan; END'), qr/no_such_column/, 'a column that there is not is found');

my $blocks = 0;
foreach my $file (sort glob "$top/sql/*.sql")
{
	my $script = slurp_file($file);
	$script =~ s/\@extschema\@/public/g;
	while ($script =~ /^DO \$\$\n(.*?)^\$\$;/msg)
	{
		$blocks++;
		is(check_block("block_$blocks", $1), '', basename($file) . ": block $blocks");
	}
}
cmp_ok($blocks, '>=', 3, "$blocks DO blocks");

my @functions = split /\n/, $node->safe_psql('postgres', q{
	SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis')});
is(found($_), '', $_) foreach @functions;
note(scalar(@functions) . ' functions of the extension are in PL/pgSQL');

# The peers, as the bench makes them.
$node->safe_psql('postgres', 'CREATE EXTENSION dblink');
$node->safe_psql('postgres', slurp_file("$top/test/bench/peers.sql"));
my @peers = split /\n/, $node->safe_psql('postgres', q{
	SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql' WHERE p.pronamespace = 'bench'::regnamespace AND p.prorettype <> 'trigger'::regtype});
cmp_ok(scalar @peers, '>', 0, 'peers in PL/pgSQL');
unlike(found($_), qr/error/, $_) foreach @peers;

$node->stop;
done_testing();

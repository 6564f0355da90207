# Where the library is not preloaded, pg_cron runs the purge, as the README says.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('cron', conf => q{
	shared_preload_libraries = 'pg_cron'
	cron.database_name = 'postgres'
});
record_scope($node);
$node->append_conf('postgresql.conf', "cron.host = '" . $node->host . "'\n");
$node->restart;

$node->safe_psql('postgres', q{
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
		SELECT nhs_number_synthetic(n), 'looked_after', 'E06000001', '2020-01-01', '2023-01-01'
		FROM generate_series(2000, 2099) n;
	CREATE EXTENSION pg_cron;
});
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT cpis_purge_automatic(true)');
like($err, qr/WARNING:  nothing will run by itself as long as the library is not preloaded/, 'the switch says that it is of no use');
$node->safe_psql('postgres', q{SELECT cron.schedule('cpis purge', '* * * * *', 'CALL cpis_purge()')});
ok($node->poll_query_until('postgres', 'SELECT due = 0 FROM cpis_stat_retention'), 'within a minute, all that is due is removed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cpis.removal'), 100, 'with a certificate each');
ok($node->poll_query_until('postgres', q{SELECT status = 'succeeded' FROM cron.job_run_details ORDER BY runid LIMIT 1}), 'pg_cron says so');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cpis_retention_reconcile()'), 0, 'all agrees');

$node->stop;
done_testing();

# Ways around the guarantees: what a caller can see of a look-up that is not
# recorded, and what would put an event where it is not in the trail.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('trace', conf => "cpis.record_timeout = '3s'\n");
$node->safe_psql('postgres', lookup_sql(2, 'first'));
$node->safe_psql('postgres', 'CREATE ROLE other LOGIN IN ROLE cpis_clinical');
give_scope($node, $_, 'RXX') foreach 'other', 'cpis_clinical';
my $month = $node->safe_psql('postgres', 'SELECT tableoid::regclass FROM cpis.audit_event');

# What a session does while nobody can write to the trail, or to another table.
sub while_locked
{
	my ($table, $sql) = @_;
	my $locker = $node->background_psql('postgres');
	$locker->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0, extra_params => [ '-U', 'clinician' ]);
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	return "$out $err";
}

subtest 'statement cancelled: statistics and buffers do not tell whether a plan is held' => sub {
	my $plan = $node->safe_psql('postgres', q{
		SELECT string_agg('pg_stat_get_xact_tuples_fetched(' || oid || ') + pg_stat_get_xact_numscans(' || oid || ')', ' + ')
		FROM pg_class WHERE relnamespace = 'cpis'::regnamespace AND relkind IN ('r', 'i')});
	my %seen;
	for my $n (1, 5000)
	{
		$seen{$n} = while_locked('cpis.notification', "
			BEGIN; SAVEPOINT s; SET LOCAL statement_timeout = '200ms';
			SELECT cpis_flag(nhs_number_synthetic($n), 'A', 'RXX', 'camhs');
			ROLLBACK TO s; RESET statement_timeout; SELECT 'counted', $plan;");
		like($seen{$n}, qr/canceling statement/, 'cancelled while it waited');
		like($seen{$n}, qr/counted\|0/, 'nothing is counted');
	}
	my $explain = sub {
		my ($n) = @_;
		my $plan = $node->safe_psql('postgres', "
			SELECT cpis_flag(nhs_number_synthetic($n), 'A', 'RXX', 'camhs');
			EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)
			SELECT cpis_flag(nhs_number_synthetic($n), 'A', 'RXX', 'camhs')");
		return $plan =~ /Buffers: (.*)/ ? $1 : 'none';
	};
	is($explain->(1), $explain->(5000), 'EXPLAIN counts the same buffers for a hit and a miss');
};

subtest 'a lock on a table of the register does not tell whether a plan is held' => sub {
	for my $table ('cpis.local_authority', 'cpis.plan_type')
	{
		like(while_locked($table, "SET lock_timeout = '200ms'; SELECT cpis_flag(nhs_number_synthetic($_), 'A', 'RXX', 'camhs')"),
			qr/lock timeout/, "$table: child $_ waits") for 1, 5000;
	}
};

subtest 'history: open to the login and role that made the look-up, not to all who share a group' => sub {
	my $event = $node->safe_psql('postgres', 'SET ROLE cpis_clinical; ' . lookup_sql(2, 'shared'),
		extra_params => [ '-U', 'clinician' ]);
	my $sql = "SET ROLE cpis_clinical; SELECT count(*) > 0 FROM cpis_access_history($event)";
	is($node->safe_psql('postgres', $sql, extra_params => [ '-U', 'clinician' ]), 't', 'the login that made it');
	my (undef, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', 'other' ]);
	like($err, qr/permission denied/, 'another login of the same group');
	is($out, '', 'sees nothing');
};

subtest 'session_role is who logged in, whatever SET SESSION AUTHORIZATION says' => sub {
	$node->safe_psql('postgres', 'SET SESSION AUTHORIZATION clinician; ' . lookup_sql(2, 'disguised'));
	is($node->safe_psql('postgres', "SELECT session_role = current_user, effective_role FROM cpis.audit_event WHERE request_id = 'disguised'"),
		't|clinician', 'the superuser is seen behind it');
};

subtest 'a reload under load fails no look-up' => sub {
	my $file = PostgreSQL::Test::Utils::tempdir() . '/lookup';
	append_to_file($file, "\\set n random(1, 1000)\n" . lookup_sql(':n', 'load') . ";\n");
	my $load = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', 3, '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \my $out, '2>', \my $err);
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM cpis.audit_event WHERE request_id = 'load'");
	for (1 .. 20)
	{
		$node->reload;
		$node->safe_psql('postgres', 'SELECT 1');
	}
	$load->finish;
	unlike($err, qr/could not be recorded/, 'no failure');
	is($node->safe_psql('postgres', 'SELECT failures FROM cpis_stat WHERE failures > 100'), '', 'none counted');
};

subtest 'a role or session user set for the database does not stop the writer' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE settings');
	make_register($node, 'settings');
	$node->safe_psql('postgres', 'ALTER DATABASE settings SET role = clinician');
	my $lookup = sub { return $node->safe_psql('settings', 'RESET ROLE; SET ROLE clinician; ' . lookup_sql(2, 'role')); };
	is($lookup->(), 0, 'role, with the first month to make');
	$node->safe_psql('postgres', 'ALTER DATABASE settings RESET role');
	is($node->safe_psql('settings', "SELECT count(*) FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass"), 2,
		'both months are made');
};

subtest 'an unlogged partition is not durable: no look-up' => sub {
	$node->safe_psql('postgres', "ALTER TABLE $month SET UNLOGGED");
	my (undef, $out, $err) = $node->psql('postgres', lookup_sql(2, 'unlogged'));
	like($err, qr/unlogged/, 'refused');
	is($out, '', 'nothing is disclosed');
	$node->safe_psql('postgres', "ALTER TABLE $month SET LOGGED");
	is($node->safe_psql('postgres', lookup_sql(2, 'logged')) > 0, 1, 'logged again, it works');
};

subtest 'a partition that leaves the trail takes no event with it' => sub {
	my $dba = $node->background_psql('postgres');
	$dba->query_safe("BEGIN; ALTER TABLE cpis.audit_event DETACH PARTITION $month");
	my $waiter = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', lookup_sql(2, 'detached') ],
		'>', \my $out, '2>', \my $err);
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'cpis writer' AND wait_event_type = 'Lock'");
	$dba->query_safe('COMMIT');
	$waiter->finish;
	is($out, '', 'nothing is disclosed');
	like($err, qr/access event could not be recorded/, 'the look-up fails');
	is($node->safe_psql('postgres', "SELECT count(*) FROM $month WHERE request_id = 'detached'"), 0, 'nor is it written there');
	my $first = $node->safe_psql('postgres', "SELECT date_trunc('month', min(recorded_at), 'UTC') FROM $month");
	$dba->query_safe("ALTER TABLE cpis.audit_event ATTACH PARTITION $month FOR VALUES FROM ('$first') TO "
		  . "('" . $node->safe_psql('postgres', "SELECT ('$first'::timestamptz AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'") . "')");
	$dba->quit;
	is($node->safe_psql('postgres', lookup_sql(2, 'attached')) > 0, 1, 'attached again, look-ups go on');
	is($node->safe_psql('postgres', 'SELECT max(event_id) + 1 - count(*), count(*) - count(DISTINCT event_id) FROM cpis.audit_event'),
		'0|0', 'without a gap or a double');
};

$node->stop;
done_testing();

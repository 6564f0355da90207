# pg_upgrade takes everything along: the trail verifies, what was kept elsewhere still fits, and look-ups, notices,
# submissions, retention and reports go on where they were.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old', install_path => $ENV{OLD_INSTALL});
$old->init(extra => [ '--encoding=UTF8', '--no-locale', '-k' ]);
$old->append_conf('postgresql.conf', "shared_preload_libraries = 'cpis'\n");
$old->start;
note 'from ' . $old->safe_psql('postgres', 'SHOW server_version');
make_register($old, 'postgres');

# As a role; the answer.
sub as
{
	my ($node, $role, $sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]);
	is($err =~ s/^(?:NOTICE|WARNING|DETAIL|HINT):.*\n?//mgr, '', "$role can");
	return $out;
}

record_scope($old);
$old->safe_psql('postgres', q{
	CREATE ROLE authority LOGIN IN ROLE cpis_local_authority;
	CREATE ROLE analyst LOGIN IN ROLE cpis_analyst;
	CREATE ROLE steward LOGIN IN ROLE cpis_steward;
	SELECT cpis_scope_grant('authority', local_authority => 'E06000001');
	INSERT INTO cpis.provider VALUES ('RXX', 'E06000001', 'A Champion');
	SELECT cpis_provider_setting_set('RXX', 'emergency_department', 'integrated', '2026-01-01', '2026-01-02');
	SELECT cpis_hold_place('inquiry', nhs_number => nhs_number_synthetic(8000));
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date) SELECT nhs_number_synthetic(n), 'unborn', 'E06000001', '2019-01-01', '2019-02-01' FROM generate_series(7990, 8010) n});
as($old, 'clinician', "SELECT count(*) FROM generate_series(1, 700) n, LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'A Nurse', 'RXX', 'emergency_department', request_id => 'old')");
as($old, 'authority', q{SELECT cpis_plan_put('E06000001', nhs_number_synthetic(6000), 'looked_after', '2026-01-01')});
as($old, 'authority', q{SELECT cpis_notifications_acknowledge('E06000001', max(notification_no)) FROM cpis_notifications('E06000001', 100)});
$old->safe_psql('postgres', 'CALL cpis_purge()');
my $kept = $old->safe_psql('postgres', 'SELECT cpis_checkpoint()') . "\n";

# What is to be the same afterwards; the newest events but for what asks.
sub told
{
	my ($node) = @_;
	return join "\n", map { $node->safe_psql('postgres', $_) } 'SELECT * FROM cpis.analyst_access_month ORDER BY 1, 2, 3, 4, 5, 6, 7', 'SELECT * FROM cpis.analyst_register ORDER BY 1',
	  q{SELECT md5(string_agg(t::text, ',' ORDER BY event_id)) FROM cpis.audit_event t WHERE action <> 'direct_read'}, q{SELECT md5(string_agg(t::text, ',' ORDER BY plan_id)) FROM cpis.plan t},
	  q{SELECT md5(string_agg(t::text, ',' ORDER BY local_authority, notification_no)) FROM cpis.notification t}, 'SELECT count(*) FROM cpis.removal', 'SELECT * FROM cpis.ledger';
}
my $told = told($old);
my $events = $old->safe_psql('postgres', 'SELECT count(*) FROM cpis.audit_event');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ '--encoding=UTF8', '--no-locale', '-k' ]);
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'cpis'\n");
chdir ${PostgreSQL::Test::Utils::tmp_check};
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
note 'to ' . $new->safe_psql('postgres', 'SHOW server_version');

is(told($new), $told, 'everything is there');
trail_is_whole($new, 'the trail verifies');
is($new->safe_psql('postgres', "SELECT cpis_checkpoint_compare('$kept')"), 'consistent', 'a checkpoint that was kept fits');
is($new->safe_psql('postgres', 'SELECT count(*) FROM cpis_retention_reconcile()'), 0, 'retention agrees with the trail');
like(as($new, 'clinician', lookup_sql(2, 'new')), qr/^\d+$/, 'look-ups go on');
is(events($new, 'new', 'found'), 1, 'and are recorded');
cmp_ok($new->safe_psql('postgres', q{SELECT event_id FROM cpis.audit_event WHERE request_id = 'new'}), '>=', $events, 'with the next number');
is(as($new, 'clinician', 'SELECT count(*) > 0 FROM cpis_access_history((' . lookup_sql(2, 'history') . '))'), 't', 'the history');
is(as($new, 'authority', q{SELECT count(*) FROM cpis_notifications('E06000001', 1000)}), 250, 'notices go on after what was acknowledged');
like(as($new, 'authority', q{SELECT record_code FROM cpis_plan_put('E06000001', nhs_number_synthetic(6001), 'looked_after', '2026-01-01')}), qr/^CPR06$/, 'records are taken');
$new->safe_psql('postgres', q{UPDATE cpis.plan SET local_reference = local_reference WHERE false; SELECT cpis_hold_release(hold_id, 'ended') FROM cpis.hold; CALL cpis_purge()});
is($new->safe_psql('postgres', 'SELECT count(*) FROM cpis.removal'), 21, 'the purge removes what a hold kept');
like(as($new, 'analyst', q{SELECT cpis_report('2026-01-01', '2026-12-31')}), qr/<\/html>/, 'a report');
like(as($new, 'steward', "SELECT cpis_fhir_audit_event($events - 5) ->> 'resourceType'"), qr/^AuditEvent$/, 'events as FHIR');
trail_is_whole($new, 'the trail verifies afterwards');
$new->stop;
done_testing();

# What cpis_lookup_fhir() and cpis_fhir_audit_event() answer is FHIR R4, whatever happened; what is in it is
# sql/fhir's.  And a rolled-back look-up has left its event.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebTest;

my $node = new_server('fhir');
$node->safe_psql('postgres', q{
	CREATE ROLE steward LOGIN IN ROLE cpis_steward;
	CREATE ROLE authority LOGIN IN ROLE cpis_local_authority;
	SELECT cpis_scope_grant('authority', local_authority => 'E06000001'), cpis_scope_revoke('clinician', 'RXX'), cpis_scope_grant('clinician', 'RXX', may_read_silently => true, may_act_as_device => true);
	INSERT INTO cpis.provider VALUES ('RXX');
	SELECT cpis_provider_setting_set('RXX', 'dentistry');
	SELECT cpis_hold_release(cpis_hold_place('inquiry', nhs_number => nhs_number_synthetic(1)), 'ended');
	SELECT cpis_retention_set('unborn', 400, 'practice');
	SELECT cpis_nhs_number_inactivate(nhs_number_synthetic(77));
	SELECT cpis_checkpoint();
	SELECT cpis_pseudonym(nhs_number_synthetic(1));
	SELECT cpis_purge_pause(true), cpis_purge_pause(false);
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date) VALUES (nhs_number_synthetic(4000), 'unborn', 'E06000001', '2020-01-01', '2020-02-01');
	SELECT cpis_plan_correct(max(plan_id), 'a slip', start_date => '2020-01-02') FROM cpis.plan;
	CALL cpis_purge();
});

sub as
{
	my ($role, $statement) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $statement, extra_params => [ '-U', $role ]);
	return $out;
}

as('authority', $_) foreach q{SELECT cpis_plan_put('E06000001', nhs_number_synthetic(1), 'looked_after', '2026-01-01')},
  q{SELECT cpis_plan_put('E06000001', 1234567890, 'looked_after', '2026-01-01')}, q{SELECT cpis_plan_put('E06000002', nhs_number_synthetic(1), 'looked_after', '2026-01-01')}, 'SELECT count(*) FROM cpis.authority_plan';
my @odd = ("Zoë \"O''Brien\", \\N <b>&amp;</b>", '日本 ', 'x' x 200);
my @lookups = (
	(map { "nhs_number_synthetic(1), '$_', 'RXX', 'camhs', job_role => 'Nurse €', request_id => 'r \"1\"', location => '$_', system_id => 's'" } @odd),
	q{nhs_number_synthetic(2), 'A', 'RXX', 'nhs_111', notify => false}, q{nhs_number_synthetic(1), 'A', 'RXX', 'nhs_111', device => true, system_id => 's', location => 'here'},
	q{nhs_number_synthetic(9000), 'A', 'RXX', 'camhs'});
my @bundles = map { as('clinician', "SELECT cpis_lookup_fhir($_)") } @lookups;
as('clinician', $_) foreach q{SELECT cpis_flag(nhs_number_synthetic(1), 'A', 'RXX', 'camhs')}, q{SELECT cpis_lookup_fhir(nhs_number_synthetic(1), 'A', 'RXX', 'dentistry')},
  q{SELECT cpis_lookup_fhir(nhs_number_synthetic(1), 'A', 'NOPE', 'camhs')}, q{SELECT cpis_lookup_fhir(nhs_number_synthetic(1), 'A', 'NOPE', 'camhs', device => true, system_id => 's')};

my $before = $node->safe_psql('postgres', 'SELECT max(event_id) FROM cpis.audit_event');
like(as('clinician', q{BEGIN; SELECT cpis_lookup_fhir(nhs_number_synthetic(1), 'Rolled back', 'RXX', 'camhs') -> 'total'; ROLLBACK}), qr/^3$/m, 'a look-up that is rolled back');
is($node->safe_psql('postgres', "SELECT count(*) FROM cpis.audit_event WHERE event_id > $before AND worker_name = 'Rolled back'"), 1, 'has left its event, one');

$node->safe_psql('postgres', "INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES (nhs_number_synthetic(4001), 'unborn', 'E06000001', '2900-01-01')");
is(as('clinician', q{SELECT jsonb_path_query_array(cpis_lookup_fhir(nhs_number_synthetic(4001), 'A', 'RXX', 'camhs'), '$.entry[*].resource ? (@.resourceType == "CareTeam").status')}), '["proposed"]', 'a plan that is to begin');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT cpis_fhir_audit_event(event_id) ->> 'action', '') FROM cpis.audit_event WHERE action = 'purge' AND detail ~ 'paused'}), 'U', 'to pause the purge deletes nothing');
is(scalar(grep { $_ ne '' } @bundles), scalar @lookups, 'each look-up was answered');
my @problems = fhir_problems(@bundles);
is($problems[$_], '', "Bundle of $lookups[$_]") foreach 0 .. $#lookups;

my @events = split /\n/, $node->safe_psql('postgres', q{SELECT event_id || ' ' || action || ' ' || outcome FROM cpis.audit_event ORDER BY event_id});
my @resources = map { as('steward', 'SELECT cpis_fhir_audit_event(' . (split ' ')[0] . ')') } @events;
@problems = fhir_problems(@resources);
is($problems[$_], '', "AuditEvent of $events[$_]") foreach 0 .. $#events;
my %actions = map { (split ' ')[1] => 1 } @events;
cmp_ok(scalar keys %actions, '>=', 12, 'of many kinds: ' . join ', ', sort keys %actions);

done_testing();

# PL/Proxy in front of four databases, to which NHS numbers are spread: a look-up goes to the one that has the number,
# as the role that asks, and is recorded there, whatever becomes of the transaction in which it was asked.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $SHARDS = 4;

my $node = PostgreSQL::Test::Cluster->new('spine');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = on\nmax_worker_processes = 16\n");
$node->start;

sub shard_of
{
	my ($n) = @_;
	return $node->safe_psql('router', "SELECT spine.shard_of(nhs_number_synthetic($n))");
}

# As a role, at the router; the answer, or the error.
sub ask
{
	my ($sql, $role) = @_;
	my ($rc, $out, $err) = $node->psql('router', $sql, extra_params => [ '-U', $role // 'clinician' ]);
	return $rc == 0 ? $out : $err;
}

foreach my $shard (0 .. $SHARDS - 1)
{
	$node->safe_psql('postgres', "CREATE DATABASE shard$shard");
	make_register($node, "shard$shard");
}
$node->safe_psql('postgres', 'CREATE DATABASE router');
my $options = join ', ', map { "p$_ 'host=" . $node->host . ' port=' . $node->port . " dbname=shard$_'" } 0 .. $SHARDS - 1;
$node->safe_psql('router', "
	CREATE EXTENSION plproxy;
	CREATE EXTENSION cpis;
	CREATE SERVER cpis FOREIGN DATA WRAPPER plproxy OPTIONS (connection_lifetime '1800', $options);
	-- Without a user, shards see the role that asks.
	CREATE USER MAPPING FOR PUBLIC SERVER cpis;
	GRANT USAGE ON FOREIGN SERVER cpis TO cpis_clinical;
	CREATE SCHEMA spine;
	GRANT USAGE ON SCHEMA spine TO cpis_clinical;
	-- Of the nine digits, without the check digit; never to be changed.
	CREATE FUNCTION spine.shard_of(nhs_number nhs_number) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
		AS 'SELECT (nhs_number::bigint / 10 % $SHARDS)::integer';
	CREATE FUNCTION spine.cpis_lookup(nhs_number nhs_number, worker_name text, organisation text, care_setting text, worker_id text = NULL,
			job_role text = NULL, system_id text = NULL, location text = NULL, request_id text = NULL, notify boolean = true, device boolean = false)
		RETURNS SETOF cpis.lookup_result LANGUAGE plproxy AS \$\$
			CLUSTER 'cpis'; RUN ON spine.shard_of(nhs_number); TARGET public.cpis_lookup;
		\$\$;
	CREATE FUNCTION spine.cpis_access_history(nhs_number nhs_number, event_id bigint)
		RETURNS TABLE (accessed_at timestamptz, worker_name text, job_role text, organisation text, organisation_name text, care_setting text) LANGUAGE plproxy AS \$\$
			CLUSTER 'cpis'; RUN ON spine.shard_of(nhs_number);
			SELECT accessed_at, worker_name, job_role, organisation, organisation_name, care_setting FROM public.cpis_access_history(event_id);
		\$\$;
	REVOKE ALL ON FUNCTION spine.cpis_lookup, spine.cpis_access_history FROM PUBLIC;
	GRANT EXECUTE ON FUNCTION spine.cpis_lookup, spine.cpis_access_history TO cpis_clinical;");

# A look-up at the router; its event.
sub lookup_at_router
{
	my ($n, $request) = @_;
	return lookup_sql($n, $request) =~ s/FROM cpis_lookup/FROM spine.cpis_lookup/r;
}

# In which shards events with this request are.
sub where
{
	my ($request) = @_;
	return join ' ', grep { events($node, $request, undef, "shard$_") } 0 .. $SHARDS - 1;
}

my %met;
foreach my $n (2 .. 21)
{
	like(ask(lookup_at_router($n, "child $n")), qr/^\d+$/, "child $n: a plan is found");
	is(where("child $n"), shard_of($n), "child $n: recorded where it belongs");
	$met{ shard_of($n) } = 1;
}
is(scalar(keys %met), $SHARDS, 'they were in all shards');
is(ask("SELECT plan_type, start_date, local_authority, emergency_duty_phone FROM spine.cpis_lookup(nhs_number_synthetic(1), 'A', 'RXX', 'camhs')"),
	$node->safe_psql('shard' . shard_of(1), "SELECT plan_type, start_date, local_authority, emergency_duty_phone FROM cpis_lookup(nhs_number_synthetic(1), 'A', 'RXX', 'camhs')", extra_params => [ '-U', 'clinician' ]),
	'what a shard answers');
is(ask(lookup_at_router(5000, 'nobody')), '', 'a number without a plan');
is(events($node, 'nobody', 'not_found', 'shard' . shard_of(5000)), 1, 'recorded, too');
is($node->safe_psql('shard' . shard_of(2), q{SELECT session_role, effective_role FROM cpis.audit_event WHERE request_id = 'child 2'}), 'clinician|clinician', 'as the role that asks');

like(ask('BEGIN; ' . lookup_at_router(3, 'rolled back') . '; ROLLBACK'), qr/^\d+$/, 'rolled back at the router: answered');
is(where('rolled back'), shard_of(3), 'rolled back at the router: recorded');

like(ask(lookup_at_router(4, 'refused') =~ s/'RXX'/'NOPE'/r), qr/organisation is not in the register/, 'a refusal comes through');
is(where('refused'), shard_of(4), 'and is recorded');
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
like(ask(lookup_at_router(4, 'stranger'), 'stranger'), qr/permission denied/, 'who may not look up may not here');
$node->safe_psql('postgres', 'CREATE ROLE other LOGIN IN ROLE cpis_clinical');
like(ask(lookup_at_router(4, 'other'), 'other'), qr/organisation/, 'who does not speak for the organisation there does not here');

is(ask('SELECT worker_name FROM spine.cpis_access_history(nhs_number_synthetic(6), (' . lookup_at_router(6, 'history') . '))'), "A Nurse\nA Nurse", 'history, in one session');
trail_is_whole($node, "shard $_ is whole", "shard$_") foreach 0 .. $SHARDS - 1;
is($node->safe_psql('router', 'SELECT count(*) FROM cpis.audit_event'), 0, 'the router keeps no trail');
$node->stop;
done_testing();

# An hour of mixed load in sessions that stay: look-ups that are answered, refused and rolled back, flags,
# histories, submissions, notices, what stewards and analysts read, verification, purges, checkpoints.  After the
# first quarter of it, in which caches fill, the memory of no session, nor of the writer, grows.
use strict;
use warnings;

use CpisTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Torture;

my $minutes = rounds(60);
plan skip_all => 'needs half an hour at least' if $minutes < 30;

# What may come besides, kB: of the relation cache and of allocators; more of
# statements over the whole trail, which grows.
my %slack = ((map { $_ => 4096 } qw(analyst purge steward verify)), (map { $_ => 1024 } qw(authority direct fhir history lookup notices refused silent writer)));
# What PostgreSQL compiles for others' statements is not given back before 17.
my $node = new_server('growth', conf => "shared_preload_libraries = 'cpis'\nmax_connections = 40\njit = off\nwork_mem = 64kB\n");
my $folder = PostgreSQL::Test::Utils::tempdir;
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql('postgres', q{
	CREATE ROLE authority LOGIN IN ROLE cpis_local_authority; CREATE ROLE steward LOGIN IN ROLE cpis_steward; CREATE ROLE analyst LOGIN IN ROLE cpis_analyst;
	SELECT cpis_scope_grant('authority', local_authority => 'E06000001');
});

# A statement whose error ends nothing.
sub refused
{
	my ($statement) = @_;
	return "DO \$\$ BEGIN PERFORM $statement; EXCEPTION WHEN OTHERS THEN NULL; END \$\$;\n";
}

my $who = q{'A Nurse', 'RXX', 'emergency_department'};
my $person = "\\set n random(2, 1000)\n";
my %load = (
	lookup => [ 'clinician', 50, $person . lookup_sql(':n', 'answered') . ";\n" ],
	silent => [ 'clinician', 10, "${person}BEGIN; SAVEPOINT s; " . lookup_sql(':n', 'undone') . "; ROLLBACK TO s; SELECT cpis_flag(nhs_number_synthetic(:n), $who); ROLLBACK;\n" ],
	history => [ 'clinician', 10, "${person}SELECT count(*) FROM cpis_access_history((SELECT event_id FROM cpis_lookup(nhs_number_synthetic(:n), $who) LIMIT 1));\n" ],
	fhir => [ 'clinician', 5, "${person}SELECT cpis_lookup_fhir(nhs_number_synthetic(:n), $who);\n" ],
	refused => [ 'clinician', 10, refused("cpis_lookup(nhs_number_synthetic(2), 'A Nurse', 'RXX', 'nowhere')") . refused("cpis_lookup('1111111111', $who)") ],
	authority => [ 'authority', 10, "\\set n random(2000, 9000)\n"
		  . "SELECT cpis_plan_put('E06000001', nhs_number_synthetic(:n), 'child_protection', '2026-01-01');\n"
		  . "SELECT cpis_plan_end('E06000001', nhs_number_synthetic(:n), 'child_protection', '2026-02-01');\n" ],
	notices => [ 'authority', 2, "SELECT cpis_notifications_acknowledge('E06000001', n) FROM (SELECT max(notification_no) FROM cpis_notifications('E06000001')) AS c (n) WHERE n IS NOT NULL;\nSELECT count(*) FROM cpis.authority_plan;\n" ],
	steward => [ 'steward', 0.2, "SELECT count(*) FROM cpis.unusual_bulk;\nSELECT count(*) FROM cpis.steward_event;\nSELECT cpis_pseudonym(nhs_number_synthetic(2));\n" ],
	analyst => [ 'analyst', 0.2, "SELECT length(cpis_report(current_date - 30, current_date));\nSELECT count(*) FROM cpis.analyst_access_day;\n" ],
	direct => [ $superuser, 5, "SELECT count(*) FROM cpis.plan WHERE nhs_number = nhs_number_synthetic(2);\n" ],
	verify => [ $superuser, 0.2, "SELECT count(*) FROM cpis_audit_verify();\n" ],
	purge => [ $superuser, 0.2, "SET client_min_messages = error;\nCALL cpis_purge();\nSELECT count(*) FROM cpis_retention_reconcile();\nSELECT length(cpis_checkpoint());\n" ],
);

# Memory of its own of each session of the load, and of the writer, in kB, by name.
sub memory
{
	my %pid = map { reverse split /\|/ } split /\n/,
	  $node->safe_psql('postgres', q{SELECT pid, CASE backend_type WHEN 'cpis writer' THEN 'writer' ELSE substr(application_name, 8) END FROM pg_stat_activity
		WHERE backend_type = 'cpis writer' OR (backend_type = 'client backend' AND application_name LIKE 'growth %')});
	return map { $_ => slurp_file("/proc/$pid{$_}/smaps_rollup") =~ /^Anonymous:\s+(\d+) kB/m ? $1 : die } keys %pid;
}

my @clients;
foreach my $name (sort keys %load)
{
	my ($user, $rate, $script) = @{ $load{$name} };
	append_to_file("$folder/$name.sql", $script);
	my $client = { name => $name, err => '', out => '' };
	$client->{run} = IPC::Run::start([ 'pgbench', '-n', '-c', 1, '-R', $rate, '-T', 60 * $minutes, '-f', "$folder/$name.sql",
			$node->connstr('postgres') . " user=$user application_name='growth $name'" ], '<', \undef, '>', \$client->{out}, '2>', \$client->{err});
	push @clients, $client;
}

my %first;
for my $minute (1 .. $minutes - 1)
{
	sleep 60;
	my %now = memory();
	note join ' ', "minute $minute:", map { "$_ $now{$_}" } sort keys %now;
	%first = %now if $minute == int($minutes / 4);
}
my %last = memory();
$_->{run}->finish foreach @clients;
is(join(' ', sort keys %last), join(' ', sort keys %load, 'writer'), 'each session and the writer ran all the time');
cmp_ok($last{$_} - $first{$_}, '<', $slack{$_}, "$_: from $first{$_} to $last{$_} kB") foreach sort keys %first;
is($_->{err} =~ s/^pgbench \(.*\n//mr, '', "$_->{name}: no error") foreach @clients;
note "$_->{name}: ", $_->{out} =~ /actually processed: (\d+)/ foreach @clients;
trail_is_whole($node, 'the trail is whole');
$node->stop;
done_testing();

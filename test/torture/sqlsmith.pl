# Random statements over everything in a database with the extension, as a superuser and as members of the groups: no
# process crashes, and the trail verifies.
use strict;
use warnings;

use CpisTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('sqlsmith', conf => q{
	shared_preload_libraries = 'cpis'
	statement_timeout = 5s
	restart_after_crash = on
	log_statement = none
});
record_scope($node);
$node->safe_psql('postgres', q{
	CREATE ROLE authority LOGIN IN ROLE cpis_local_authority;
	CREATE ROLE analyst LOGIN IN ROLE cpis_analyst;
	CREATE ROLE steward LOGIN IN ROLE cpis_steward;
	SELECT cpis_scope_grant('authority', local_authority => 'E06000001')});
$node->safe_psql('postgres', "SELECT count(*) FROM generate_series(1, 300) n, LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'A', 'RXX', 'nhs_111')");
my $postmaster = postmaster($node);
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

foreach my $role ($superuser, qw(clinician authority analyst steward))
{
	my $queries = ($ENV{ROUNDS} // 100) * ($role eq $superuser ? 200 : 50);
	my ($out, $err) = ('', '');
	my $target = $node->connstr('postgres') . " user=$role";
	# Who may read no table of the extension needs others to make statements of.
	IPC::Run::run([ 'sqlsmith', '--target=' . ($target =~ s/'//gr), "--max-queries=$queries", $role eq $superuser ? '--exclude-catalog' : () ], '>', \$out, '2>', \$err, IPC::Run::timeout(900));
	# It ends with an error where it has lost its connection.
	unlike($err, qr/server closed the connection|could not connect/, "$role: $queries statements") or diag substr $err, -2000;
	is(postmaster($node), $postmaster, "$role: the server is up");
}
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|TRAP/, 'no process has crashed');
like($node->safe_psql('postgres', lookup_sql(2, 'afterwards')), qr/^\d+$/, 'look-ups go on');
is($node->safe_psql('postgres', 'SELECT event_id, problem FROM cpis_audit_verify()'), '|', 'the trail verifies');
$node->stop;
done_testing();

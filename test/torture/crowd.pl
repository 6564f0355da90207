# A crowd: 500 sessions at once, and as many clients of pgbouncer in transaction mode, which share 20: each look-up
# that was answered is recorded once.
use strict;
use warnings;

use CpisTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Torture;

my $CLIENTS = 500;
my $EACH = 20;

my $node = new_server('crowd', conf => "max_connections = 520\ncpis.record_timeout = 60s\n");
my $folder = PostgreSQL::Test::Utils::tempdir;
my $pgbouncer = '/usr/sbin/pgbouncer';

# So many clients, each of so many look-ups, at the socket; the events that there are then.
sub crowd
{
	my ($request, $host, $port, $statement) = @_;
	append_to_file("$folder/$request.sql", "\\set n random(1, 1000)\n$statement");
	my ($out, $err) = ('', '');
	my $is_done = IPC::Run::run([ 'pgbench', '-n', '-c', $CLIENTS, '-j', 2, '-t', $EACH, '-f', "$folder/$request.sql", '-h', $host, '-p', $port, '-U', 'clinician', 'postgres' ],
		'>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	ok($is_done, "$request: no client failed") or diag $err;
	like($out, qr/number of transactions actually processed: @{[ $CLIENTS * $EACH ]}\//, "$request: each look-up was made");
	is(events($node, $request), $CLIENTS * $EACH, "$request: and recorded once");
	add(1, $CLIENTS * $EACH, $CLIENTS * $EACH - events($node, $request));
	return;
}

crowd('sessions', $node->host, $node->port, lookup_sql(':n', 'sessions') . ";\n");

my $port = PostgreSQL::Test::Cluster::get_free_port();
append_to_file("$folder/users", qq{"clinician" ""\n});
append_to_file("$folder/pgbouncer.ini", "[databases]\npostgres = host=" . $node->host . ' port=' . $node->port . qq{
[pgbouncer]
listen_port = $port
unix_socket_dir = $folder
auth_type = trust
auth_file = $folder/users
pool_mode = transaction
default_pool_size = 20
max_client_conn = 600
logfile = $folder/pgbouncer.log
pidfile = $folder/pgbouncer.pid
});
system_or_bail('bash', '-c', 'ulimit -n 4096; exec "$0" -q -d "$1"', $pgbouncer, "$folder/pgbouncer.ini");
crowd('pooled', $folder, $port, lookup_sql(':n', 'pooled') . ";\n");
crowd('rolled-back', $folder, $port, 'BEGIN; ' . lookup_sql(':n', 'rolled-back') . "; ROLLBACK;\n");
# Sessions that come and go, and look up for several clients in turn.
is($node->safe_psql('postgres', "SELECT count(DISTINCT backend_pid) <= 20 FROM cpis.audit_event WHERE request_id = 'pooled'"), 't', 'by twenty sessions');
my $connection = "host=$folder port=$port user=clinician dbname=postgres";
my $event = `psql -XAtq -d '$connection' -c "@{[ lookup_sql(2, 'history') ]}"`;
like(`psql -XAtq -d '$connection' -c "SELECT count(*) FROM cpis_access_history($event)"`, qr/^2$/, 'the history is open to the client whose look-up it was');
kill 'TERM', slurp_file("$folder/pgbouncer.pid") =~ /(\d+)/;

trail_is_whole($node, 'the trail is whole');
tally('crowds');
$node->stop;
done_testing();

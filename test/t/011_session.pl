# What the session shows of a look-up, and what the trail shows of the session:
# wait events, the client's address, the leaf hash recomputed outside PostgreSQL.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib $FindBin::Bin;
use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('session', conf => "listen_addresses = '127.0.0.1'\n");
my $port = $node->port;
my $tcp = "host=127.0.0.1 port=$port dbname=postgres user=clinician application_name=ed";

# One field of the canonical bytes: tag, length, bytes; none for NULL.
sub field
{
	my ($tag, $bytes) = @_;
	return defined $bytes ? pack('C N', $tag, length $bytes) . $bytes : '';
}

# Text of a column, undef for NULL.
sub column
{
	my ($request, $expression) = @_;
	my $value = $node->safe_psql('postgres',
		"SELECT coalesce(($expression)::text, '\\N') FROM cpis.audit_event WHERE request_id = '$request'");
	return $value eq '\N' ? undef : $value;
}

sub canonical_bytes
{
	my ($r) = @_;
	my $u64 = sub { my $v = column($r, $_[0]); defined $v ? pack('Q>', $v) : undef };
	my $list = sub { my $v = column($r, "array_to_string($_[0], ',')"); defined $v ? [ split /,/, $v ] : undef };
	my $authorities = $list->('notified_authority');
	my $numbers = $list->('notification_no');
	my $plans = $list->('plan_ids');
	my $notify = column($r, 'notify');
	my $address = column($r, 'host(client_addr)');

	my $bytes = "cpis/event/1\n";
	$bytes .= field(1, $u64->('event_id'));
	$bytes .= field(2, $u64->('(extract(epoch from recorded_at) * 1000000)::bigint'));
	$bytes .= field(3, column($r, 'action')) . field(4, column($r, 'outcome'));
	$bytes .= field(5, $u64->('nhs_number'));
	my $tag = 6;
	$bytes .= field($tag++, column($r, $_))
	  for qw(worker_name worker_id job_role system_id location request_id organisation care_setting);
	$bytes .= field(14, defined $notify ? pack('C', $notify eq 'true') : undef);
	$bytes .= field(15, $authorities && join('', map { pack('N/a', $_) } @$authorities));
	$bytes .= field(16, $numbers && pack('q>*', @$numbers));
	$bytes .= field(17, $plans && pack('q>*', @$plans));
	$bytes .= field(18, column($r, 'session_role')) . field(19, column($r, 'effective_role'));
	$bytes .= field(20, defined $address ? pack('C C4', 4, split /\./, $address) : undef);
	$bytes .= field(21, column($r, 'application_name'));
	$bytes .= field(22, pack('l>', column($r, 'backend_pid')));
	$bytes .= field(23, $u64->('transaction_id')) . field(24, column($r, 'detail'));
	$bytes .= field(25, pack('H*', column($r, "encode(salt, 'hex')")));
	return $bytes;
}

for my $case (
	[ 'tcp', lookup_sql(1, 'tcp') ],
	[ 'miss', lookup_sql(5000, 'miss') ],
	[ 'xid', 'BEGIN; SELECT pg_current_xact_id(); ' . lookup_sql(2, 'xid') . '; ROLLBACK;' ],
	[ 'flag', "SELECT cpis_flag(nhs_number_synthetic(1), 'A', 'RXX', 'camhs', request_id => 'flag')" ],
	[ 'refused', "SELECT cpis_flag(nhs_number_synthetic(1), 'A', 'RYY', 'camhs', request_id => 'refused')" ])
{
	my ($request, $sql) = @$case;
	$node->psql('postgres', $sql, connstr => $tcp);
	is(column($request, "encode(leaf_hash, 'hex')"),
		sha256_hex("\0" . canonical_bytes($request)),
		"leaf hash is SHA-256 of a zero byte and the canonical bytes: $request");
}
is(column('tcp', 'host(client_addr)'), '127.0.0.1', 'address of a client over TCP is recorded');
is(column('tcp', 'application_name'), 'ed', 'application_name is recorded');
ok(defined column('xid', 'transaction_id'), 'the caller\'s transaction is recorded where it has a number');
is(column('tcp', 'transaction_id'), undef, 'and is NULL where it has none');

# Wait events: the writer is stuck behind a lock, the look-up behind the writer.
my $named = $node->safe_psql('postgres', 'SHOW server_version_num') >= 170000;
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE cpis.notification;');
my $waiter = IPC::Run::start([ 'psql', '-XAtq', '-d', $tcp, '-c', lookup_sql(1, 'wait') ],
	'>', \my $out, '2>', \my $err);
ok($node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'clinician' AND wait_event = '"
		  . ($named ? 'CpisRecordEvent' : 'Extension') . "'"),
	'a look-up that waits has a wait event in pg_stat_activity');
is($node->safe_psql('postgres',
		"SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'cpis writer'"),
	'Lock', 'the writer is seen to wait for the lock');
is($node->safe_psql('postgres', 'SELECT queue_depth FROM cpis_stat'), 1,
	'cpis_stat shows the depth of the queue');
$locker->query_safe('COMMIT;');
$locker->quit;
$waiter->finish;
like($out, qr/^\d+$/m, 'the look-up is answered when the lock is released');
ok($node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'cpis writer' AND wait_event = '"
		  . ($named ? 'CpisWriterIdle' : 'Extension') . "'"),
	'an idle writer has a wait event in pg_stat_activity');

$node->stop;
done_testing();

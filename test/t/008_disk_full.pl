# Disk full: the trail's file cannot grow.  A limit on the size of files, which
# an unprivileged user can set, stands for a disk that takes no more.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('full', conf => "autovacuum = off\n");
$node->safe_psql('postgres', lookup_sql(1, 'first'));
my $month = $node->safe_psql('postgres', 'SELECT tableoid::regclass FROM cpis.audit_event');

# Files of at most 20 MB: room for a WAL segment.
$node->stop;
system_or_bail('bash', '-c', 'ulimit -f 20480; pg_ctl -w -D "$0" -l "$1" start >/dev/null',
	$node->data_dir, $node->logfile);
$node->_update_pid(1);

# Fill the month with rows of another kind, which are taken out of the count.
my $stderr = '';
for (my $first = 1; $first < 300_000 && $stderr eq ''; $first += 5000)
{
	my $last = $first + 4999;
	(undef, undef, $stderr) = $node->psql('postgres', "
		INSERT INTO $month (event_id, recorded_at, action, outcome, session_role, effective_role, backend_pid, detail, salt, leaf_hash)
			SELECT -n, now(), 'filler', 'done', '', '', 0, repeat(md5(n::text), 6), '', ''
			FROM generate_series($first, $last) n");
}
like($stderr, qr/could not extend file/, 'the trail cannot grow');

# What room is left in the last pages is used up.
my ($received, $failed) = (0, 0);
for my $n (1 .. 1000)
{
	last if $failed;
	my ($rc, $out, $err) = $node->psql('postgres', lookup_sql(1, "full $n"));
	if ($rc == 0) { $received++ if events($node, "full $n") eq '1'; next; }
	$failed = 1;
	is($out, '', 'disk full: nothing is disclosed');
	like($err, qr/access event could not be recorded.*could not extend file/s, 'disk full: the caller learns why');
	is(events($node, "full $n"), 0, 'disk full: nothing is recorded');
	is($received, $n - 1, 'disk full: what was disclosed before is recorded');
}
ok($failed, 'disk full: a look-up fails');

$node->restart;
ok($node->safe_psql('postgres', lookup_sql(1, 'room')) > 0, 'with room again, look-ups work');
is($node->safe_psql('postgres', "SELECT count(*) = max(event_id) + 1 FROM cpis.audit_event WHERE action <> 'filler'"),
	't', 'and the numbers have no gap');

$node->stop;
done_testing();

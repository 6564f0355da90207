# What the TAP tests share: a server with a small register, and look-ups in it.
package CpisTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(new_server make_register give_scope record_scope lookup_sql events event_ids
  start_sql finish_sql run_sql wait_for_server stat force_parallel postmaster children kill_everything bury trail_is_whole);

# A started server with the extension and a register in database postgres.
# Options: conf (text appended to postgresql.conf), init (arguments of init()).
sub new_server
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ],
		@{ $option{init} // [] });
	$node->append_conf('postgresql.conf', "fsync = on\n" . ($option{conf} // ''));
	$node->start;
	make_register($node, 'postgres');
	return $node;
}

# The extension, two authorities, an organisation, a clinician who may look up for it,
# and children 1 to 1000 with a plan each: odd ones of E06000001, even ones of
# E06000002; child 1 has one of each.
sub make_register
{
	my ($node, $database) = @_;
	$node->safe_psql($database, q{
		CREATE EXTENSION cpis;
		INSERT INTO cpis.local_authority VALUES
			('E06000001', 'One', '01632 960001', '01632 960002'),
			('E06000002', 'Two', NULL, '01632 960003');
		INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			SELECT nhs_number_synthetic(n), 'child_protection', 'E0600000' || 2 - n % 2, '2026-01-01'
			FROM generate_series(1, 1000) n;
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			VALUES (nhs_number_synthetic(1), 'looked_after', 'E06000002', '2026-02-01');
		DO $$ BEGIN
			IF to_regrole('clinician') IS NULL THEN
				CREATE ROLE clinician LOGIN IN ROLE cpis_clinical;
			END IF;
		END $$;
	});
	give_scope($node, 'clinician', 'RXX', $database);
	return;
}

# Let a role look up for an organisation, as a restore would, so that the first event is a look-up's:
# what is granted is an event.  Where it matters that nothing has recorded it, see record_scope().
sub give_scope
{
	my ($node, $role, $organisation, $database) = @_;
	$node->safe_psql($database // 'postgres', "INSERT INTO cpis.role_scope (role_name, organisation, granted_at, event_id) VALUES ('$role', '$organisation', now(), -1)");
	return;
}

# Have the clinician's scope recorded, as whoever grants it does, in two events.
sub record_scope
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres', q{
		BEGIN;
		SELECT cpis_scope_revoke('clinician', organisation => 'RXX'), cpis_scope_grant('clinician', organisation => 'RXX');
		COMMIT});
	return;
}

# SQL of a look-up of child n, with a request_id by which its event is found.
sub lookup_sql
{
	my ($n, $request) = @_;
	return "SELECT event_id FROM cpis_lookup(nhs_number_synthetic($n), 'A Nurse', 'RXX',"
	  . " 'emergency_department', request_id => '$request')";
}

# How many events have this request_id, optionally with this outcome.
sub events
{
	my ($node, $request, $outcome, $database) = @_;
	my $and = defined $outcome ? " AND outcome = '$outcome'" : '';
	return $node->safe_psql($database // 'postgres',
		"SELECT count(*) FROM cpis.audit_event WHERE request_id = '$request'$and");
}

# The numbers of the events with this request_id, one a line: what a caller who
# was shown each of them has on its screen.
sub event_ids
{
	my ($node, $request, $database) = @_;
	return $node->safe_psql($database // 'postgres',
		"SELECT event_id FROM cpis.audit_event WHERE request_id = '$request' ORDER BY event_id");
}

my $scripts = 0;

# A psql that runs a script in the background and goes on after errors.
# Options: user (default clinician), database, application_name.
sub start_sql
{
	my ($node, $script, %option) = @_;
	local %ENV = $node->_get_env();
	my $run = { out => '', err => '' };
	# A file, for a pipe would have to be pumped.
	my $file = $node->basedir . '/script' . ++$scripts . '.sql';
	append_to_file($file, "\\set VERBOSITY verbose\n$script\n");
	my $connection = $node->connstr($option{database} // 'postgres')
	  . " user='" . ($option{user} // 'clinician')
	  . "' application_name='" . ($option{application_name} // 'psql') . "'";
	$run->{timeout} = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
	$run->{psql} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $connection, '-f', $file ],
		'<', \undef, '>', \$run->{out}, '2>', \$run->{err}, $run->{timeout});
	return $run;
}

# Wait for its end: what it printed is then in out and err, and the SQLSTATEs of
# its errors, separated by spaces, in states.
sub finish_sql
{
	my ($run) = @_;
	$run->{psql}->finish;
	chomp $run->{out};
	$run->{states} = join ' ',
	  $run->{err} =~ /^(?:psql:\S+ )?(?:ERROR|FATAL):  (\w{5}):/mg;
	return $run;
}

sub run_sql
{
	return finish_sql(start_sql(@_));
}

# Wait until a server that crashed answers again.  poll_query_until would die of a psql that
# ends, unconnected, before the query is written to it.
sub wait_for_server
{
	my ($node) = @_;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if run_sql($node, 'SELECT 1')->{out} eq '1';
		usleep(100_000);
	}
	die 'server does not come back';
}

# One column of cpis_stat, or an expression over them.
sub stat
{
	my ($node, $column, $database) = @_;
	return $node->safe_psql($database // 'postgres', "SELECT $column FROM cpis_stat");
}

# The setting that has every query made parallel that may be, by the name that the server gives it.
sub force_parallel
{
	my ($node) = @_;
	return $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
}

# State and parent of a process; nothing where it is gone.
sub process
{
	my ($pid) = @_;
	open my $stat, '<', "/proc/$pid/stat" or return;
	local $/;
	return (<$stat> // '') =~ /.*\) (\S) (\d+)/s;
}

sub postmaster
{
	my ($node) = @_;
	return (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
}

sub children
{
	my ($parent) = @_;
	return grep { ((process($_))[1] // 0) == $parent } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# Kill the postmaster and all its children at once, and let none outlive it.
# Stopped, it forks no more while they are looked for.
sub kill_everything
{
	my ($node) = @_;
	my $postmaster = postmaster($node);
	kill 'STOP', $postmaster;
	my @children = children($postmaster);
	kill 'KILL', $postmaster, @children;
	$node->kill9;
	bury($node, $postmaster, @children);
	return;
}

# After the end of a postmaster and its children, however it came: wait until none
# of them lives, so that the server can be started again.
sub bury
{
	my ($node, @pids) = @_;
	foreach my $pid (@pids)
	{
		usleep(1000) while ((process($pid))[0] // 'Z') ne 'Z';
	}

	# A dead process that nobody reaps looks alive to the next postmaster.
	unlink $node->data_dir . '/postmaster.pid',
	  $node->host . '/.s.PGSQL.' . $node->port . '.lock';
	return;
}

# Test that events are numbered from 0 and the notices of each authority from 1,
# without gaps, in the same order, that events and notices name each other, and that
# the extension's own verification of trail and ledger says so.
sub trail_is_whole
{
	my ($node, $name, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( $node->safe_psql($database // 'postgres', q{
		WITH numbered AS (
			SELECT event_id, row_number() OVER (ORDER BY event_id) - 1 AS should_be
			FROM cpis.audit_event),
		noticed AS (
			SELECT local_authority, notification_no, event_id,
				row_number() OVER (PARTITION BY local_authority ORDER BY event_id) AS should_be
			FROM cpis.notification),
		named AS (
			SELECT authority, no, event_id
			FROM cpis.audit_event, unnest(notified_authority, notification_no) AS u (authority, no))
		SELECT 'event', NULL, event_id, should_be FROM numbered WHERE event_id <> should_be
		UNION ALL
		SELECT 'notice', local_authority, notification_no, should_be
			FROM noticed WHERE notification_no <> should_be
		UNION ALL
		SELECT 'notice without event', *
			FROM (TABLE cpis.notification EXCEPT ALL TABLE named) AS n
		UNION ALL
		SELECT 'event without notice', *
			FROM (TABLE named EXCEPT ALL TABLE cpis.notification) AS n
		UNION ALL
		SELECT problem, NULL, event_id, NULL FROM cpis_audit_verify() WHERE problem IS NOT NULL
		LIMIT 20}),
		'', $name);
	return;
}

1;

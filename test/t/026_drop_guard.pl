# Guarantee: a trail that has events is not dropped, by name or by CASCADE, nor renamed, unless
# cpis.allow_drop is on; whether the session has the library loaded or not.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('guard');
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

sub answer
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# SQLSTATE of the first error, or nothing, in a session of its own.
sub state_of
{
	my ($sql, %option) = @_;
	my ($rc, $out, $err) = $node->psql($option{database} // 'postgres', "\\set VERBOSITY sqlstate\n$sql", on_error_stop => 1,
		extra_params => [ '-U', $option{user} // $superuser ]);
	return $err =~ /ERROR:\s+(\w{5})/ ? $1 : '';
}

subtest 'an empty trail may go' => sub {
	answer('CREATE DATABASE empty');
	answer('CREATE EXTENSION cpis', 'empty');
	is(state_of('ALTER TABLE cpis.event_count RENAME TO counted; ALTER TABLE cpis.counted RENAME TO event_count', database => 'empty'), '', 'renamed');
	is(state_of('DROP EXTENSION cpis', database => 'empty'), '', 'dropped');
	is(state_of('CREATE EXTENSION cpis; DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE EXTENSION cpis', database => 'empty'), '', 'with its schema, and made again');
};

answer(lookup_sql(2, 'first'));
my $month = answer('SELECT tableoid::regclass FROM cpis.audit_event LIMIT 1');
answer("CREATE TABLE cpis.mine (n nhs_number); CREATE ROLE keeper LOGIN; ALTER DATABASE postgres OWNER TO keeper");
my @ways = (
	'DROP EXTENSION cpis', 'DROP EXTENSION cpis CASCADE', 'DROP SCHEMA public CASCADE', 'DROP SCHEMA cpis, public CASCADE', 'DROP SCHEMA IF EXISTS public, cpis CASCADE',
	'ALTER EXTENSION cpis DROP SCHEMA cpis; DROP SCHEMA cpis CASCADE', 'DROP EXTENSION plpgsql, cpis CASCADE', "DROP TABLE $month", "DROP TABLE $month CASCADE",
	"ALTER TABLE cpis.audit_event DETACH PARTITION $month; DROP TABLE $month", 'DROP TYPE nhs_number CASCADE', 'ALTER EXTENSION cpis DROP TYPE nhs_number; DROP TYPE nhs_number CASCADE',
	(map { "ALTER EXTENSION cpis DROP TABLE cpis.$_; DROP TABLE cpis.$_ CASCADE" } qw(audit_event notification ledger ledger_tile checkpoint kept_event removed_month event_count plan hold removal correction role_scope submission_record)),
	"DROP TRIGGER append_only ON $month", 'DROP TRIGGER append_only_truncate ON cpis.notification', 'DROP TRIGGER append_only ON cpis.ledger_tile', "DROP INDEX ${month}_event_id_idx",
	'ALTER TABLE cpis.audit_event DROP COLUMN detail CASCADE', 'ALTER TABLE cpis.ledger DROP COLUMN origin CASCADE', 'ALTER TABLE cpis.notification DROP COLUMN event_id CASCADE',
	'ALTER TABLE cpis.audit_event RENAME TO x', "ALTER TABLE $month RENAME TO x", 'ALTER TABLE cpis.plan RENAME TO x', 'ALTER TABLE cpis.notification SET SCHEMA public', "ALTER TABLE $month SET SCHEMA public",
	'ALTER SCHEMA cpis RENAME TO x', 'DO $$BEGIN EXECUTE \'DROP EXTENSION cpis\'; END$$', 'BEGIN; SAVEPOINT s; DROP EXTENSION cpis');

subtest 'one that has events may not, in a session that has not loaded the library' => sub {
	is(answer('SHOW shared_preload_libraries'), '', 'nothing is preloaded');
	foreach my $sql (@ways)
	{
		# The schema depends on the extension: what PostgreSQL itself refuses is refused as well.
		like(state_of("BEGIN; $sql"), qr/^(?:55000|2BP01)$/, $sql);
	}
	is(state_of('DROP SCHEMA cpis CASCADE'), '2BP01', 'PostgreSQL itself');
	is(state_of('BEGIN; CREATE EXTENSION dblink; DROP OWNED BY CURRENT_USER CASCADE'), '2BP01', 'DROP OWNED');
};

subtest 'nor in one that has' => sub {
	foreach my $sql (@ways)
	{
		like(state_of("LOAD 'cpis'; BEGIN; $sql"), qr/^(?:55000|2BP01)$/, $sql);
	}
};

subtest 'who may not, cannot allow it' => sub {
	is(state_of('SET cpis.allow_drop = on; DROP EXTENSION cpis', user => 'keeper'), '42501', 'the owner of the database');
	is(state_of("LOAD 'cpis'", user => 'keeper'), '42501', 'who may not load the library');
	is(state_of('SELECT nhs_number_is_valid(\'x\'); SET cpis.allow_drop = on', user => 'keeper'), '42501', 'where it is loaded');
	# What was put there for sessions that have not loaded the library does not count when it is.
	$node->psql('postgres', 'ALTER DATABASE postgres SET cpis.allow_drop = on', extra_params => [ '-U', 'keeper' ]);
	$node->psql('postgres', 'ALTER ROLE keeper SET cpis.allow_drop = on', extra_params => [ '-U', 'keeper' ]);
	is(state_of('DROP EXTENSION cpis CASCADE'), '55000', 'by a setting of his database');
	answer('ALTER DATABASE postgres RESET cpis.allow_drop; ALTER ROLE keeper RESET cpis.allow_drop');
	local $ENV{PGOPTIONS} = '-c cpis.allow_drop=on';
	is(state_of('DROP EXTENSION cpis', user => 'keeper'), '42501', 'by PGOPTIONS');
};

subtest 'what has nothing to do with it goes on' => sub {
	foreach my $sql ('CREATE TABLE t (i integer); DROP TABLE t', 'CREATE TABLE cpis.t (i integer); DROP TABLE cpis.t', 'DROP TABLE cpis.mine', 'CREATE SCHEMA s; CREATE TABLE s.audit_event (i integer); DROP SCHEMA s CASCADE',
		'ALTER TABLE cpis.organisation ADD COLUMN more text; ALTER TABLE cpis.organisation DROP COLUMN more', 'CREATE TABLE cpis.t (i integer); ALTER TABLE cpis.t ALTER i TYPE bigint; DROP TABLE cpis.t', "REINDEX TABLE CONCURRENTLY $month", 'VACUUM FULL cpis.plan',
		"VACUUM FULL $month", 'CLUSTER cpis.plan USING plan_pkey', 'REINDEX TABLE cpis.audit_event', 'ALTER TABLE cpis.plan SET (fillfactor = 90)', "ALTER TABLE $month SET (toast.autovacuum_enabled = false)",
		'ALTER TABLE cpis.plan ADD COLUMN more text; ALTER TABLE cpis.plan DROP COLUMN more', 'CREATE INDEX i ON cpis.plan (start_date); DROP INDEX cpis.i', 'CREATE VIEW v AS SELECT 1; ALTER VIEW v RENAME TO w; DROP VIEW w',
		'CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS \'SELECT 1\'; DROP FUNCTION f', 'CREATE TEMP TABLE plan (i integer); ALTER TABLE plan RENAME TO p; DROP TABLE p', 'ALTER SCHEMA public RENAME TO q; ALTER SCHEMA q RENAME TO public',
		"ALTER TABLE cpis.audit_event DETACH PARTITION $month")
	{
		is(state_of($sql), '', $sql);
	}
	answer("ALTER TABLE cpis.audit_event ATTACH PARTITION $month FOR VALUES FROM (" . join(') TO (', map { "'$_'" } month_bounds($month)) . ')');
	answer('CREATE DATABASE without');
	is(state_of('CREATE SCHEMA cpis; CREATE TABLE cpis.audit_event (i integer); DROP SCHEMA cpis CASCADE; DROP SCHEMA public CASCADE', database => 'without'), '', 'nor does a database without the extension mind');
	trail_is_whole($node, 'the trail is whole');
};

sub month_bounds
{
	my ($year, $month) = $_[0] =~ /(\d{4})_(\d\d)/;
	return ("$year-$month-01 00:00:00+00", sprintf('%04d-%02d-01 00:00:00+00', $month == 12 ? ($year + 1, 1) : ($year, $month + 1)));
}

subtest 'a restore that would clean first leaves the trail whole' => sub {
	my $dump = $node->basedir . '/dump';
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
	$node->command_fails([ 'pg_restore', '--clean', '--if-exists', '--exit-on-error', '-d', $node->connstr('postgres'), $dump ], 'pg_restore --clean is stopped');
	is(events($node, 'first'), 1, 'the event is there');
	trail_is_whole($node, 'and all others');
};

subtest 'allowed, by a superuser' => sub {
	is(state_of('BEGIN; SET LOCAL cpis.allow_drop = on; DROP EXTENSION cpis; ROLLBACK'), '', 'for a transaction');
	is(state_of('DROP EXTENSION cpis'), '55000', 'and not for the next');
	is(state_of('SET cpis.allow_drop = on; DROP EXTENSION cpis CASCADE'), '', 'the library not loaded');
	make_register($node, 'postgres');
	is(answer(lookup_sql(2, 'again')), 0, 'made again, the trail begins at 0');
	is(state_of("LOAD 'cpis'; SET cpis.allow_drop = on; DROP SCHEMA public CASCADE; CREATE SCHEMA public"), '', 'the library loaded');
	make_register($node, 'postgres');
	answer(lookup_sql(2, 'once more'));
};

# SECURITY.md: a superuser can switch everything off.
subtest 'without its event trigger the guard is not there before the library is' => sub {
	answer('ALTER EVENT TRIGGER cpis_load_library DISABLE');
	is(state_of('BEGIN; DROP EXTENSION cpis; ROLLBACK'), '', 'not loaded');
	is(state_of("LOAD 'cpis'; DROP EXTENSION cpis"), '55000', 'loaded');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'cpis'");
	$node->restart;
	is(state_of('DROP EXTENSION cpis'), '55000', 'preloaded');
	answer('ALTER EVENT TRIGGER cpis_load_library ENABLE ALWAYS');
	trail_is_whole($node, 'the trail is whole');
};

$node->stop;
done_testing();

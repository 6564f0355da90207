# pg_dump and pg_restore take everything along, nothing twice, and the trail
# goes on where it was; a trail that is there already is left alone.

use strict;
use warnings;

use CpisTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('source', conf => "max_connections = 30\n");
my $directory = PostgreSQL::Test::Utils::tempdir;

# As the clinician; the answer, or the error.
sub ask
{
	my ($server, $database, $sql) = @_;
	my ($rc, $out, $err) = $server->psql($database, $sql, extra_params => [ '-U', 'clinician' ]);
	return $out . $err;
}

# Found, found by two authorities, missed, refused, flagged; every column.
sub make_trail
{
	my ($database) = @_;
	my $flag = lookup_sql(7, 'flag') =~ s/event_id FROM cpis_lookup/cpis_flag/r;
	ask($node, $database, $_) foreach (
		(map { lookup_sql($_, "found $_") } 1, 1 .. 20),
		lookup_sql(5000, 'missed'),
		$flag,
		lookup_sql(3, 'refused') =~ s/'RXX'/'NOPE'/r,
		q{SELECT event_id FROM cpis_lookup(nhs_number_synthetic(9), 'Zoë "O''Brien", \N', 'RXX', 'nhs_111',
			'id;7', 'Nurse €', repeat('x', 64), '日本 ', 'every column')});
	is($node->safe_psql($database, 'SELECT count(*) FROM cpis.audit_event'), 25, 'a trail was made');
	$node->safe_psql($database, q{
		INSERT INTO cpis.provider VALUES ('RXX', 'E06000001', 'A Champion');
		INSERT INTO cpis.provider_step VALUES ('RXX', 'training', '2026-01-01', '2026-01-02', 'well');
		INSERT INTO cpis.group_member VALUES ('RXX', 'clinical', 'A Clinician', '2026-01-01');
		INSERT INTO cpis.escalation (organisation, accountable_officer, reason) VALUES ('RXX', 'An Officer', 'late');
		INSERT INTO cpis.provider_risk (organisation, risk) VALUES ('RXX', 'no network');
		SELECT cpis_provider_setting_set('RXX', 'dentistry', 'integrated', '2026-01-01', '2026-01-02', '2026-01-03')});
	$node->poll_query_until($database,
		q{SELECT count(*) >= 2 FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass})
	  or die 'the writer has not made two months';
	return;
}

# Every row of every table, in an order that does not depend on how it got there.
sub content
{
	my ($server, $database) = @_;
	return $server->safe_psql($database, q{
		COPY (SELECT * FROM cpis.local_authority ORDER BY code) TO STDOUT;
		COPY (SELECT * FROM cpis.organisation ORDER BY code) TO STDOUT;
		COPY (SELECT * FROM cpis.care_setting ORDER BY code) TO STDOUT;
		COPY (SELECT * FROM cpis.plan_type ORDER BY code) TO STDOUT;
		COPY (SELECT * FROM cpis.provider ORDER BY organisation) TO STDOUT;
		COPY (SELECT * FROM cpis.provider_step ORDER BY organisation, step) TO STDOUT;
		COPY (SELECT * FROM cpis.group_member ORDER BY organisation, name) TO STDOUT;
		COPY (SELECT * FROM cpis.escalation ORDER BY escalation_id) TO STDOUT;
		COPY (SELECT * FROM cpis.provider_risk ORDER BY risk_id) TO STDOUT;
		COPY (SELECT last_value, is_called FROM cpis.escalation_escalation_id_seq) TO STDOUT;
		COPY (SELECT last_value, is_called FROM cpis.provider_risk_risk_id_seq) TO STDOUT;
		COPY (SELECT * FROM cpis.provider_setting ORDER BY code) TO STDOUT;
		COPY (SELECT * FROM cpis.plan ORDER BY plan_id) TO STDOUT;
		COPY (SELECT last_value, is_called FROM cpis.plan_plan_id_seq) TO STDOUT;
		COPY (SELECT * FROM cpis.notification ORDER BY local_authority, notification_no) TO STDOUT;
		COPY (SELECT tableoid::regclass, * FROM cpis.audit_event ORDER BY event_id) TO STDOUT;
	});
}

# What pg_dump says of the schema: tables, partitions, bounds, indexes,
# triggers and whether they are always enabled, owners, grants, comments.
sub definition
{
	my ($server, $database, @more) = @_;
	my ($out, $err) = run_command(
		[ 'pg_dump', '--schema-only', @more, '-d', $server->connstr($database) ]);
	die $err if $err ne '';
	return $out =~ s/^\\(un)?restrict .*$//mgr;
}

sub dump_database
{
	my ($database, $file, @more) = @_;
	$node->command_ok([ 'pg_dump', @more, '-f', "$directory/$file", '-d', $node->connstr($database) ],
		"pg_dump @more");
	return "$directory/$file";
}

sub restore_command
{
	my ($server, $database, $file) = @_;
	return [ 'pg_restore', '--exit-on-error', '-d', $server->connstr($database), $file ];
}

# Numbers go on: of events, of notices, of plans.
sub check_goes_on
{
	my ($server, $database) = @_;
	my ($event, $notice, $plan) = split /\|/, $server->safe_psql($database, q{
		SELECT (SELECT coalesce(max(event_id) + 1, 0) FROM cpis.audit_event),
			(SELECT coalesce(max(notification_no), 0) + 1 FROM cpis.notification
				WHERE local_authority = 'E06000001'),
			(SELECT max(plan_id) + 1 FROM cpis.plan)});
	is(ask($server, $database, lookup_sql(3, 'afterwards')), $event, 'the next look-up has the next number');
	is($server->safe_psql($database,
			"SELECT local_authority, notification_no FROM cpis.notification WHERE event_id = $event"),
		"E06000001|$notice", 'and its notice too');
	is($server->safe_psql($database, q{
			INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
				VALUES (nhs_number_synthetic(2000), 'unborn', 'E06000001', '2026-03-01') RETURNING plan_id}),
		$plan, 'and the next plan too');
	trail_is_whole($server, 'trail and ledger are whole', $database);
	return;
}

# Are the triggers there that keep the trail append-only, and do they?
sub check_append_only
{
	my ($server, $database) = @_;
	my ($parent, $month, $next_month) = split /\n/, $server->safe_psql($database,
		q{SELECT relid FROM pg_partition_tree('cpis.audit_event') ORDER BY isleaf, relid::text LIMIT 3});
	is($server->safe_psql($database, qq{
			SELECT tgrelid::regclass, string_agg(tgenabled, '') FROM pg_trigger
				WHERE NOT tgisinternal AND tgrelid IN (
					'$parent'::regclass, '$month'::regclass, '$next_month'::regclass, 'cpis.notification'::regclass,
					'cpis.ledger'::regclass, 'cpis.ledger_tile'::regclass, 'cpis.checkpoint'::regclass)
				GROUP BY 1 ORDER BY tgrelid::regclass::text}),
		"$parent|A\n$month|AA\n$next_month|AA\ncpis.checkpoint|AA\ncpis.ledger|AA\ncpis.ledger_tile|AA\ncpis.notification|AA",
		'the triggers of the trail are there, always enabled');

	# Next month is empty: nothing for a row trigger to refuse.
	my @passed = grep { $server->psql($database, "SET session_replication_role = replica; $_") == 0 }
	  "TRUNCATE $next_month", map { ("UPDATE $_ SET event_id = 7", "DELETE FROM $_", "TRUNCATE $_") }
	  $month, 'cpis.notification';
	is("@passed", '', 'they refuse changes, in a replica session too');
	return;
}

# All of it, where the restored database must equal the source.
sub check_restored
{
	my ($server, $database, $source, @exclude) = @_;
	is(content($server, $database), content($node, $source), 'every row of every table is equal');
	is(definition($server, $database, @exclude), definition($node, $source), 'all definitions are equal');
	check_append_only($server, $database);

	my $old = $server->safe_psql($database,
		q{SELECT event_id FROM cpis.audit_event WHERE request_id = 'every column'});
	my $history = "SELECT worker_name, organisation_name, care_setting FROM cpis_access_history";
	is(ask($server, $database, "$history($old) LIMIT 1"), q{Zoë "O'Brien", \N|A TRUST|nhs_111},
		'the history of a look-up from before is open to who made it');
	my $new = ask($server, $database, lookup_sql(9, 'history'));
	is(ask($server, $database, "SELECT count(*) FROM cpis_access_history($new)"), 3,
		'the history of a look-up from now has those from before');
	check_goes_on($server, $database);
	return;
}

make_trail('postgres');
my $archive = dump_database('postgres', 'archive', '-Fc');

subtest 'dump and restore: into a fresh database' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE fresh');
	$node->command_ok(restore_command($node, 'fresh', $archive), 'pg_restore');
	check_restored($node, 'fresh', 'postgres');
};

subtest 'dump and restore: into a database with the extension and tables of its own' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE used');
	$node->safe_psql('used', q{
		CREATE EXTENSION cpis;
		CREATE TABLE patient (nhs_number nhs_number PRIMARY KEY, note text);
		INSERT INTO patient SELECT nhs_number_synthetic(n), 'note ' || n FROM generate_series(1, 50) n;
	});
	$node->command_ok(restore_command($node, 'used', $archive), 'pg_restore');
	is($node->safe_psql('used', 'SELECT count(*), count(DISTINCT note) FROM patient'), '50|50',
		'the tables of its own are as they were');
	check_restored($node, 'used', 'postgres', '--exclude-table=public.patient');
};

subtest 'dump and restore: a database with a trail of its own keeps it' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE own');
	make_register($node, 'own');
	$node->safe_psql('own', q{UPDATE cpis.local_authority SET name = 'Own ' || name});
	ask($node, 'own', lookup_sql($_, "own $_")) for 1 .. 5;
	$node->poll_query_until('own',
		q{SELECT count(*) >= 2 FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass}) or die;
	my $content = content($node, 'own');
	my $definition = definition($node, 'own');
	$node->command_checks_all(restore_command($node, 'own', $archive), 1, [],
		[qr/relation "audit_event_\d{4}_\d\d" already exists/], 'pg_restore stops');
	is(content($node, 'own'), $content, 'every row is as it was');
	is(definition($node, 'own'), $definition, 'every definition is as it was');
	check_goes_on($node, 'own');
};

subtest 'dump and restore: as an SQL script' => sub {
	my $script = dump_database('postgres', 'script.sql');
	$node->safe_psql('postgres', 'CREATE DATABASE script');
	$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $script, '-d', $node->connstr('script') ],
		'psql');
	check_restored($node, 'script', 'postgres');
};

subtest 'dump and restore: functions and types in another schema' => sub {
	$node->safe_psql('postgres', q{
		CREATE DATABASE elsewhere; ALTER DATABASE elsewhere SET search_path = api;
		CREATE DATABASE elsewhere_restored; ALTER DATABASE elsewhere_restored SET search_path = api});
	$node->safe_psql('elsewhere', 'CREATE SCHEMA api; GRANT USAGE ON SCHEMA api TO PUBLIC');
	make_register($node, 'elsewhere');
	make_trail('elsewhere');
	my $file = dump_database('elsewhere', 'elsewhere', '-Fc');
	$node->command_ok(restore_command($node, 'elsewhere_restored', $file), 'pg_restore');
	check_restored($node, 'elsewhere_restored', 'elsewhere');
};

subtest 'dump and restore: schema only, data only' => sub {
	dump_database('postgres', 'data', '-Fc', '--data-only');
	my $file = dump_database('postgres', 'schema', '-Fc', '--schema-only');
	$node->safe_psql('postgres', 'CREATE DATABASE empty');
	$node->command_ok(restore_command($node, 'empty', $file), 'pg_restore of the schema');
	is(definition($node, 'empty'), definition($node, 'postgres'), 'all definitions are equal');
	is($node->safe_psql('empty', 'SELECT count(*) FROM cpis.audit_event'), 0, 'the trail is empty');
	$node->command_ok(restore_command($node, 'empty', "$directory/data"), 'pg_restore of the data');
	is(content($node, 'empty'), content($node, 'postgres'), 'every row of every table is equal');
	check_goes_on($node, 'empty');
};

subtest 'dump and restore: into another server, with its roles and without' => sub {
	my $other = PostgreSQL::Test::Cluster->new('other');
	$other->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
	$other->start;
	$other->safe_psql('postgres', 'CREATE DATABASE one; CREATE DATABASE two');

	$other->command_ok(restore_command($other, 'one', $archive), 'pg_restore where no role exists yet');
	is(content($other, 'one'), content($node, 'postgres'), 'every row of every table is equal');
	is(definition($other, 'one'), definition($node, 'postgres'), 'all definitions are equal');

	$other->safe_psql('postgres', 'DROP DATABASE one; DROP ROLE cpis_clinical');
	$node->command_ok([ 'pg_dumpall', '--roles-only', '-f', "$directory/roles.sql", '-d', $node->connstr('postgres') ],
		'pg_dumpall');
	$other->psql('two', slurp_file("$directory/roles.sql"), on_error_stop => 0);
	is($other->safe_psql('two', q{SELECT pg_has_role('clinician', 'cpis_clinical', 'member')}), 't',
		'the roles came along');
	$other->command_ok(restore_command($other, 'two', $archive), 'pg_restore where the roles exist');
	check_restored($other, 'two', 'postgres');
	$other->stop;
};

# Last, for it adds to the trail of the source.
subtest 'dump and restore: while look-ups go on' => sub {
	append_to_file("$directory/lookup", "\\set n random(2, 1000)\n" . lookup_sql(':n', 'busy') . ";\n");
	my $lookups = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 4, '-T', 600, '-f', "$directory/lookup", '-U', 'clinician',
			'-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', "$directory/pgbench.out", '2>', "$directory/pgbench.err");
	$node->poll_query_until('postgres', 'SELECT lookups > 200 FROM cpis_stat') or die;
	my $file = dump_database('postgres', 'busy', '-Fc');
	unlike(slurp_file("$directory/pgbench.err"), qr/error/i, 'the dump disturbs no look-up');
	$lookups->kill_kill;

	$node->safe_psql('postgres', 'CREATE DATABASE busy');
	$node->command_ok(restore_command($node, 'busy', $file), 'pg_restore');
	is($node->safe_psql('busy', q{
		SELECT count(*) > 200 FROM cpis.audit_event;
		SELECT count(*) FROM (SELECT event_id, row_number() OVER (ORDER BY event_id) - 1 AS expected
			FROM cpis.audit_event) e WHERE event_id <> expected;
		SELECT count(*) FROM (
			SELECT event_id, unnest(notified_authority) AS local_authority,
					unnest(notification_no) AS notification_no FROM cpis.audit_event) e
			FULL JOIN cpis.notification n USING (event_id, local_authority, notification_no)
			WHERE e.event_id IS NULL OR n.event_id IS NULL;
	}), "t\n0\n0", 'a whole trail: no gap, each notice with its event');
	check_goes_on($node, 'busy');
};

$node->stop;
done_testing();

# Guarantee: where the library is preloaded, a statement that reads the tables other than through the
# extension is recorded before its first row, superusers and pg_dump included, once a statement; and
# that it is not any more is recorded, too.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('reads', init => [ allows_streaming => 1 ], conf => "shared_preload_libraries = 'cpis'\ncpis.record_timeout = '2s'\n");
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

sub answer
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# How many events there are.  Numbers have no gaps, and a counter is no table.
sub recorded
{
	return answer('SELECT direct_reads FROM cpis_stat', $_[0]);
}

# How many direct reads a statement leaves, and the detail of the last: what is asked for that
# is itself one.
sub leaves
{
	my ($sql, %option) = @_;
	my $before = recorded();
	my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $option{user} // $superuser ]);
	my $n = recorded() - $before;
	my $details = $n <= 0 ? '' : answer("SELECT string_agg(detail, '; ' ORDER BY event_id) FROM (SELECT event_id, detail FROM cpis.audit_event WHERE action = 'direct_read' AND session_role = '"
		. ($option{user} // $superuser) . "' ORDER BY event_id DESC LIMIT $n) AS e");
	return { n => $n, detail => $details, out => $out, err => $err };
}

answer(q{
	CREATE EXTENSION dblink;
	CREATE ROLE analyst LOGIN IN ROLE cpis_analyst; CREATE ROLE steward LOGIN IN ROLE cpis_steward; CREATE ROLE authority LOGIN IN ROLE cpis_local_authority;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA cpis TO reader; GRANT SELECT (plan_id) ON cpis.plan TO reader;
	SELECT cpis_scope_grant('authority', local_authority => 'E06000001');
	CREATE TABLE mine (plan_id bigint, kind text);
	CREATE TABLE other (i integer PRIMARY KEY); INSERT INTO other VALUES (1);
	CREATE VIEW seen AS SELECT plan_id FROM cpis.plan; CREATE VIEW seen_again AS SELECT * FROM seen;
	CREATE VIEW invoker WITH (security_invoker) AS SELECT plan_id FROM cpis.plan;
	CREATE VIEW both_views AS SELECT e.event_id FROM cpis.analyst_event e, cpis.plan p;
	CREATE MATERIALIZED VIEW stored AS SELECT plan_id FROM cpis.plan; CREATE UNIQUE INDEX ON stored (plan_id);
	CREATE FUNCTION inlined() RETURNS SETOF bigint LANGUAGE sql STABLE AS 'SELECT plan_id FROM cpis.plan';
	CREATE FUNCTION definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM cpis.plan';
	CREATE FUNCTION twice() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM 1 FROM cpis.plan; PERFORM 1 FROM cpis.notification; END$$;
	CREATE FUNCTION looks() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM 1 FROM cpis.plan; RETURN NEW; END$$;
	CREATE TABLE watched (i integer); CREATE TRIGGER looks BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION looks();
	CREATE TABLE above (plan_id bigint NOT NULL);
	CREATE TABLE child () INHERITS (cpis.plan);
	CREATE TABLE door (i integer); INSERT INTO door VALUES (1); CREATE ROLE visitor LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON door TO visitor; GRANT EXECUTE ON FUNCTION cpis.organisation_is_known, cpis.care_setting_is_known TO visitor; CREATE TABLE kept (plan_id bigint);
	CREATE RULE peep AS ON UPDATE TO door DO INSTEAD SELECT p.plan_id FROM cpis.plan p WHERE (SELECT count(*) FROM cpis.analyst_access_day) >= 0;
	CREATE RULE keep AS ON DELETE TO door DO INSTEAD INSERT INTO kept SELECT w.event_id FROM cpis.worker_access w WHERE EXISTS (SELECT FROM cpis.analyst_access_day);
	CREATE MATERIALIZED VIEW stored_besides AS SELECT p.plan_id FROM cpis.plan p WHERE EXISTS (SELECT FROM cpis.analyst_register) WITH NO DATA;
	CREATE MATERIALIZED VIEW stored_workers AS SELECT w.worker FROM cpis.worker_access w, cpis.analyst_access_day WITH NO DATA;
});
answer(lookup_sql(2, 'first'));
my $month = answer("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass ORDER BY 1 LIMIT 1");
my ($toast, $plain) = split /\|/, answer("SELECT reltoastrelid::regclass, relname FROM pg_class WHERE oid = '$month'::regclass");

my $force = force_parallel($node);

subtest 'every way of reading is recorded, once' => sub {
	my $plan = 'read cpis.plan';
	foreach my $way (
		[ 'SELECT * FROM cpis.plan', $plan ], [ 'TABLE cpis.notification', 'read cpis.notification' ], [ 'SELECT count(*) FROM cpis.submission_record', 'read cpis.submission_record' ],
		[ 'SELECT count(*) FROM cpis.audit_event', 'read cpis.audit_event' ], [ "SELECT count(*) FROM $month", "read cpis.$plain" ], [ "SELECT count(*) FROM $toast", "read cpis.$plain" ],
		[ 'SELECT 1 FROM ONLY cpis.plan', $plan ], [ 'SELECT plan_id FROM cpis.plan WHERE false', $plan ],
		[ 'SELECT 1 WHERE EXISTS (SELECT FROM cpis.plan)', $plan ], [ 'SELECT (SELECT count(*) FROM cpis.plan)', $plan ], [ 'WITH p AS MATERIALIZED (TABLE cpis.plan) SELECT count(*) FROM p', $plan ],
		[ 'SELECT * FROM other WHERE i IN (SELECT plan_id FROM cpis.plan)', $plan ], [ 'SELECT 1 UNION ALL SELECT plan_id FROM cpis.plan', $plan ],
		[ 'SELECT count(*) FROM cpis.plan a JOIN cpis.plan b USING (plan_id)', $plan ], [ 'SELECT count(*) FROM cpis.plan, cpis.notification', 'read cpis.plan, cpis.notification' ],
		[ 'BEGIN; DECLARE c CURSOR FOR TABLE cpis.plan; FETCH 3 FROM c; FETCH 3 FROM c; COMMIT', $plan ], [ 'BEGIN; DECLARE c CURSOR WITH HOLD FOR TABLE cpis.plan; COMMIT; FETCH ALL FROM c', $plan ],
		[ 'COPY cpis.plan TO STDOUT', 'copied cpis.plan' ], [ 'COPY cpis.plan (plan_id) TO STDOUT', 'copied cpis.plan' ], [ 'COPY (TABLE cpis.plan) TO STDOUT', $plan ], [ "COPY $month TO STDOUT", "copied cpis.$plain" ],
		[ '\copy cpis.plan TO STDOUT', 'copied cpis.plan' ], [ '\copy (SELECT * FROM cpis.plan) TO STDOUT', $plan ], [ 'SET search_path = cpis, public; COPY plan TO STDOUT', 'copied cpis.plan' ],
		[ 'SELECT * INTO TEMP t FROM cpis.plan', $plan ], [ 'CREATE TEMP TABLE t AS TABLE cpis.plan', $plan ], [ 'CREATE MATERIALIZED VIEW m AS SELECT plan_id FROM cpis.plan', $plan ],
		[ 'REFRESH MATERIALIZED VIEW stored', $plan ], [ 'REFRESH MATERIALIZED VIEW CONCURRENTLY stored', $plan ],
		[ 'SELECT * FROM seen', $plan ], [ 'SELECT * FROM seen_again', $plan ], [ 'SELECT * FROM invoker', $plan ], [ 'SELECT s.* FROM seen s JOIN cpis.plan p USING (plan_id)', $plan ],
		[ 'SELECT count(*) FROM cpis.access_event', 'read cpis.audit_event' ], (map { [ "SELECT count(*) FROM cpis.$_ AS people, (SELECT 1 FROM cpis.analyst_register LIMIT 1) AS nobody", 'read cpis.audit_event' ] } qw(worker_access bulk_case misses_case hours_case access_of_event)),
		[ 'SELECT count(*) FROM cpis.distance_case, cpis.analyst_access_day', 'read cpis.audit_event, cpis.plan' ], [ 'SELECT count(*) FROM both_views', 'read cpis.plan, cpis.audit_event' ], [ 'SELECT count(*) FROM cpis.analyst_event, cpis.plan', 'read cpis.plan, cpis.audit_event' ],
		[ 'SELECT count(*) FROM cpis.worker_access', 'read cpis.audit_event' ], [ "SELECT count(*) FROM cpis.notices('E06000001', 0, 10)", 'read cpis.notification, cpis.audit_event' ],
		[ 'PREPARE p AS TABLE cpis.plan; EXECUTE p', $plan ], [ 'DO $$BEGIN PERFORM 1 FROM cpis.plan; END$$', $plan ], [ 'DO $$BEGIN PERFORM 1 FROM other; EXECUTE \'SELECT 1 FROM cpis.plan\'; END$$', $plan ],
		[ 'SELECT count(*) FROM inlined()', $plan ], [ 'SELECT definer()', $plan ], [ 'INSERT INTO watched VALUES (1)', $plan ], [ 'SELECT * FROM other, LATERAL (SELECT plan_id FROM cpis.plan) AS l', $plan ],
		[ "UPDATE cpis.plan SET local_reference = local_reference WHERE plan_id = 1 RETURNING *", $plan ], [ "BEGIN; DELETE FROM mine USING cpis.plan; ROLLBACK", $plan ],
		[ "MERGE INTO mine m USING cpis.plan p ON p.plan_id = m.plan_id WHEN NOT MATCHED THEN DO NOTHING", $plan ], [ "INSERT INTO mine SELECT plan_id FROM cpis.plan LIMIT 1", $plan ],
		[ "WITH x AS (UPDATE cpis.plan SET local_reference = local_reference WHERE plan_id < 9 RETURNING *) INSERT INTO mine SELECT plan_id FROM x", $plan ],
		[ "INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) SELECT nhs_number, plan_type, local_authority, start_date FROM cpis.plan WHERE plan_id = 1"
			. " ON CONFLICT (local_authority, nhs_number, plan_type, start_date) DO UPDATE SET local_reference = excluded.local_reference RETURNING *", $plan ],
		[ 'SELECT plan_id FROM cpis.plan FOR UPDATE', $plan ], [ 'SELECT count(*) FROM cpis.plan TABLESAMPLE SYSTEM (100)', $plan ], [ "SELECT * FROM cpis.plan WHERE ctid = '(0,1)'", $plan ],
		[ 'BEGIN READ ONLY; TABLE cpis.plan; COMMIT', $plan ], [ 'BEGIN ISOLATION LEVEL SERIALIZABLE; TABLE cpis.plan; ROLLBACK', $plan ], [ 'BEGIN; SAVEPOINT s; TABLE cpis.plan; ROLLBACK TO s; COMMIT', $plan ],
		[ "SET $force = on; SELECT count(*) FROM cpis.plan", $plan ], [ 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT count(*) FROM cpis.plan', $plan ],
		[ 'EXPLAIN ANALYZE TABLE cpis.plan', $plan ], [ "SELECT query_to_xml('TABLE cpis.plan', true, false, '')", $plan ], [ "SELECT * FROM dblink('dbname=postgres port=' || current_setting('port') || ' host=' || current_setting('unix_socket_directories'), 'SELECT plan_id FROM cpis.plan') AS t (i bigint)", $plan ],
		[ 'BEGIN; ALTER TABLE cpis.plan INHERIT above; SELECT count(*) FROM above; ROLLBACK', $plan ], [ "SELECT count(*) FROM cpis.plan_tally, cpis.plan", $plan ])
	{
		my ($sql, $detail) = @$way;
		my $left = leaves($sql);
		is("$left->{n} $left->{detail}", "1 $detail", $sql) or diag($left->{err});
	}
	is(leaves('SELECT twice()')->{n}, 2, 'each statement of a function');
	is(leaves('TABLE cpis.plan; TABLE cpis.plan')->{n}, 2, 'each statement of a string');
	is(leaves('PREPARE p AS TABLE cpis.plan; EXECUTE p; EXECUTE p')->{n}, 2, 'each execution');
	# What a function reads in a parallel worker, nobody could record.
	answer(q{CREATE FUNCTION apart() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN RETURN (SELECT max(plan_id) FROM cpis.plan); END'});
	my $apart = leaves("SET $force = on; SELECT apart() FROM other");
	is($apart->{out}, '', 'a function in a parallel worker is not told');
	like($apart->{err}, qr/directly in a parallel worker/, 'and fails');
	is(leaves('SELECT apart() FROM other')->{n}, 1, 'elsewhere it is recorded');
	# What is kept for others besides a view that is recorded, or shows nobody.
	answer(q{CREATE RULE peep AS ON INSERT TO cpis.analyst_register DO INSTEAD SELECT p.plan_id FROM cpis.plan p;
		CREATE RULE keep AS ON DELETE TO cpis.analyst_register DO INSTEAD INSERT INTO kept SELECT p.plan_id FROM cpis.plan p;
		GRANT SELECT, INSERT, DELETE ON cpis.analyst_register TO visitor; GRANT USAGE ON SCHEMA cpis TO visitor});
	foreach my $way ([ 'UPDATE door SET i = 2', 'read cpis.plan, cpis.audit_event', 'visitor' ], [ 'DELETE FROM door', 'read cpis.audit_event', 'visitor' ],
		[ 'REFRESH MATERIALIZED VIEW stored_besides', $plan ], [ 'REFRESH MATERIALIZED VIEW stored_workers', 'read cpis.audit_event' ],
		[ q{INSERT INTO cpis.analyst_register (plan_type) VALUES ('x')}, $plan, 'visitor' ], [ q{INSERT INTO cpis.analyst_register (plan_type) VALUES ('x')}, $plan ],
		[ 'DELETE FROM cpis.analyst_register', $plan, 'visitor' ],
		[ 'EXPLAIN (ANALYZE, COSTS off) CREATE MATERIALIZED VIEW n AS SELECT w.worker FROM cpis.worker_access w, cpis.analyst_register; DROP MATERIALIZED VIEW n', 'read cpis.audit_event' ],
		[ 'CREATE MATERIALIZED VIEW n AS SELECT w.worker FROM cpis.worker_access w, cpis.analyst_register; DROP MATERIALIZED VIEW n', 'read cpis.audit_event' ])
	{
		my ($sql, $detail, $user) = @$way;
		my $left = leaves($sql, user => $user);
		is("$left->{n} $left->{detail}", "1 $detail", $sql) or diag($left->{err});
	}
	answer('DROP RULE peep ON cpis.analyst_register; DROP RULE keep ON cpis.analyst_register; REVOKE ALL ON cpis.analyst_register FROM visitor');
	# A table that is rewritten gets another TOAST table, with rows that were there.
	my $left = leaves(q{BEGIN; ALTER TABLE cpis.submission_record SET UNLOGGED;
		SELECT format('SELECT count(*) FROM %s', reltoastrelid::regclass) FROM pg_class WHERE oid = 'cpis.submission_record'::regclass \gexec
		ROLLBACK});
	is("$left->{n} $left->{detail}", '1 read cpis.submission_record', 'the TOAST table of a table that has been rewritten') or diag($left->{err});
	$left = leaves('SELECT count(plan_id) FROM cpis.plan', user => 'reader');
	is("$left->{n} $left->{detail}", "1 $plan", 'of who was granted it, too');
	$node->pgbench("--client=1 --transactions=3 --protocol=prepared --no-vacuum", 0, [qr/processed: 3/], [qr/^$/], 'prepared by a driver', { 'read' => 'SELECT count(*) FROM cpis.plan;' });
	is(recorded() - 0 > 0, 1, 'counted');
	# A month that was taken out of the trail.
	answer("ALTER TABLE cpis.audit_event DETACH PARTITION $month");
	$left = leaves("SELECT count(*) FROM other"); # the writer has no place to write
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM $month");
	like($err, qr/access event could not be recorded/, 'a month that was detached, and with it the present: not read at all');
	is($out, '', 'nothing disclosed');
	my ($from, $to) = $plain =~ /(\d{4})_(\d\d)/ ? ("$1-$2-01", $2 == 12 ? ($1 + 1) . '-01-01' : sprintf('%d-%02d-01', $1, $2 + 1)) : ();
	answer("ALTER TABLE cpis.audit_event ATTACH PARTITION $month FOR VALUES FROM ('$from 00:00:00+00') TO ('$to 00:00:00+00')");
};

subtest 'what is no such read is not' => sub {
	my $n = 0;
	foreach my $sql ('EXPLAIN TABLE cpis.plan', 'TABLE other', 'SELECT count(*) FROM stored, cpis.analyst_access_day', 'SELECT count(*) FROM cpis.local_authority', 'SELECT count(*) FROM child',
		"INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES (nhs_number_synthetic(3000), 'unborn', 'E06000001', '2026-01-01') RETURNING plan_id",
		'CREATE TEMP TABLE plan (i integer); TABLE plan; COPY plan TO STDOUT', 'SELECT * FROM cpis_stat', 'SELECT * FROM cpis_stat_retention', 'SELECT * FROM cpis_stat_notification',
		'SELECT * FROM cpis_notification_escalation', 'SELECT * FROM cpis_ledger_status', 'SELECT * FROM cpis_retention_reconcile()', 'SELECT * FROM cpis_audit_verify()', 'SELECT * FROM cpis_purge_preview()',
		'SELECT * FROM cpis_purge_preview_months()', 'SELECT * FROM cpis_purge_preview_submissions()', 'CALL cpis_purge()', 'SELECT cpis_event_bytes(0)', "SELECT * FROM cpis_lookup(nhs_number_synthetic(4), 'A', 'RXX', 'camhs')",
		"SELECT cpis_flag(nhs_number_synthetic(4), 'A', 'RXX', 'camhs')", "SELECT * FROM cpis_notifications('E06000001')", 'SELECT cpis_checkpoint()', "SELECT cpis_submission_open('E06000001')",
		"SELECT cpis_submission_open('E06000001'); INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date) VALUES ('9990000018', 'lac', '2026-03-01'); SELECT cpis_submission_apply()",
		"SELECT * FROM cpis_submission_answer(2)", "SELECT cpis_plan_put('E06000001', nhs_number_synthetic(3001), 'looked_after', '2026-01-01')", 'SELECT cpis_plan_correct(1, \'x\', end_date => \'infinity\')',
		"SELECT cpis_hold_place('x', everything => true)", "SELECT cpis_nhs_number_inactivate(nhs_number_synthetic(900))", 'SELECT count(*) FROM cpis.steward_event', 'SELECT count(*) FROM cpis.authority_plan',
		'SELECT count(person) FROM cpis.analyst_event', 'SELECT count(*) FROM cpis.analyst_access_month', 'SELECT count(*) FROM cpis.analyst_notice', 'SELECT count(*) FROM cpis.analyst_acknowledgement', 'SELECT count(*) FROM cpis.analyst_attendance', 'SELECT count(*) FROM cpis.analyst_answer', 'SELECT count(*) FROM cpis.analyst_access_day', 'SELECT count(*) FROM cpis.analyst_register', 'SELECT count(*) FROM cpis.analyst_unusual', "SELECT length(cpis_report('2026-01-01', '2026-02-01'))", 'SELECT count(*) FROM cpis.implementation_progress', 'SELECT cpis_summarise()', 'SELECT * FROM cpis.unusual_distance', 'ANALYZE cpis.plan', 'VACUUM cpis.plan', 'SELECT 1')
	{
		my $left = leaves($sql);
		is($left->{n}, 0, $sql) or diag($left->{detail});
	}
	my $left = leaves('SELECT * FROM cpis.plan', user => 'reader');
	is($left->{n}, 0, 'who has no privilege');
	like($left->{err}, qr/permission denied/, 'is told so');
	$left = leaves('COPY cpis.plan TO STDOUT', user => 'reader');
	is($left->{n}, 0, 'nor for a COPY');
	is(leaves('SELECT * FROM cpis_stat_notification', user => 'monitor')->{n}, 0, 'what monitors see');
};

# The check runs as the owner of the table that refers, by a cast of his.
subtest 'what a foreign key reads while the extension acts is its owner\'s read' => sub {
	answer(q{CREATE ROLE clerk LOGIN; CREATE SCHEMA clerk AUTHORIZATION clerk; GRANT USAGE ON SCHEMA cpis TO clerk; GRANT SELECT, REFERENCES ON cpis.plan TO clerk});
	answer("SELECT cpis_hold_release(hold_id, 'over') FROM cpis.hold WHERE reason = 'x'");
	my $due = answer("INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date) VALUES (nhs_number_synthetic(3002), 'unborn', 'E06000001', '2020-01-01', current_date - 400) RETURNING plan_id");
	$node->safe_psql('postgres', q{
		CREATE TYPE clerk.key AS (plan bigint);
		CREATE FUNCTION clerk.number(clerk.key) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN PERFORM 1 FROM cpis.plan; RETURN ($1).plan; END$$;
		CREATE CAST (clerk.key AS bigint) WITH FUNCTION clerk.number(clerk.key) AS IMPLICIT;
		CREATE TABLE clerk.mine (plan clerk.key REFERENCES cpis.plan); INSERT INTO clerk.mine VALUES (ROW(2)::clerk.key)}, extra_params => [ '-U', 'clerk' ]);
	my $left = leaves('CALL cpis_purge()');
	isnt($left->{n}, 0, 'recorded');
	is(answer("SELECT count(*) FROM cpis.plan WHERE plan_id = $due"), 0, 'what is due has gone');
	answer('DROP TABLE clerk.mine');
};

# The views of the extension have events of their own.
subtest 'views that are recorded are, once a statement' => sub {
	foreach my $try ([ 'steward', 'SELECT count(*) FROM cpis.steward_event' ], [ 'steward', 'SELECT 1 FROM cpis.steward_event LIMIT 1' ], [ 'steward', 'TABLE cpis.steward_hold' ], [ 'steward', 'TABLE cpis.unusual_bulk' ],
		[ 'steward', 'TABLE cpis.unusual_misses' ], [ 'steward', 'TABLE cpis.unusual_hours' ], [ 'steward', 'TABLE cpis.unusual_distance' ], [ 'authority', 'SELECT count(*) FROM cpis.authority_plan' ],
		[ 'authority', 'TABLE cpis.authority_access' ], [ 'authority', 'TABLE cpis.authority_notification' ], [ 'authority', 'TABLE cpis.authority_submission' ], [ 'authority', 'TABLE cpis.authority_submission_record' ],
		[ 'steward', 'SELECT count(*) FROM other, LATERAL (SELECT count(*) FROM cpis.steward_event WHERE event_id >= i) AS l', 1 ])
	{
		my ($role, $sql) = @$try;
		my $before = answer('SELECT changes + direct_reads FROM cpis_stat');
		answer("GRANT SELECT ON other TO $role");
		$node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
		is(answer('SELECT changes + direct_reads FROM cpis_stat') - $before, 1, "$role: $sql");
		like(answer("SELECT action || ' ' || detail FROM cpis.audit_event WHERE session_role = '$role' ORDER BY event_id DESC LIMIT 1"), qr/^read cpis\./, 'as read');
	}
};

subtest 'before the first row, or not at all' => sub {
	my $before = recorded();
	$node->command_ok([ 'pg_dump', '-f', $node->basedir . '/dump.sql', '-d', $node->connstr('postgres') ], 'pg_dump');
	my $tables = recorded() - $before;
	cmp_ok($tables, '>=', 5, "pg_dump leaves an event a table: $tables");
	$before = recorded();
	$node->command_ok([ 'pg_dump', '--inserts', '--data-only', '-t', 'cpis.plan', '-f', $node->basedir . '/dump2.sql', '-d', $node->connstr('postgres') ], 'pg_dump by a cursor');
	is(recorded() - $before, 1, 'leaves one');

	my $locker = $node->background_psql('postgres');
	$locker->query_safe("BEGIN; LOCK $month IN ACCESS EXCLUSIVE MODE");
	foreach my $sql ('SELECT plan_id FROM cpis.plan', 'COPY cpis.plan TO STDOUT', 'BEGIN; DECLARE c CURSOR FOR TABLE cpis.plan; FETCH 1 FROM c', 'SELECT * FROM inlined()')
	{
		my ($rc, $out, $err) = $node->psql('postgres', $sql);
		is($out, '', "$sql: nothing without its event");
		like($err, qr/access event could not be recorded/, 'an error');
	}
	$node->command_fails([ 'pg_dump', '-t', 'cpis.plan', '-f', $node->basedir . '/dump3.sql', '-d', $node->connstr('postgres') ], 'pg_dump fails');
	unlike(slurp_file($node->basedir . '/dump3.sql'), qr/999000/, 'and has nothing') if -e $node->basedir . '/dump3.sql';
	$locker->query_safe('ROLLBACK');
	$locker->quit;

	my $session = $node->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe('SELECT count(*) FROM cpis.plan');
	my $n = recorded();
	$session->query_safe('ROLLBACK');
	$session->quit;
	my $event = answer("SELECT max(event_id) FROM cpis.audit_event WHERE detail = 'read cpis.plan'");
	answer('SELECT count(*) FROM cpis.plan');
	kill_everything($node);
	$node->start;
	is(answer("SELECT count(*) FROM cpis.audit_event WHERE detail = 'read cpis.plan' AND event_id > $event"), 1, 'killed right after it has answered: the event is there');
};

subtest 'other databases' => sub {
	answer('CREATE DATABASE plain'), answer('CREATE DATABASE later');
	my $session = $node->background_psql('later');
	$session->query_safe('CREATE SCHEMA cpis; CREATE TABLE cpis.plan (i integer); SELECT * FROM cpis.plan; DROP TABLE cpis.plan; DROP SCHEMA cpis');
	is($session->query_safe('SELECT count(*) FROM pg_class') > 0, 1, 'without the extension nobody minds');
	make_register($node, 'later');
	$session->query_safe('SELECT count(*) FROM cpis.plan');
	is(recorded('later'), 1, 'a session that was there before is recorded, once there is the extension');
	$session->query_safe('SET cpis.allow_drop = on; DROP EXTENSION cpis');
	$session->query_safe('SELECT count(*) FROM pg_class');
	is($session->query_safe('BEGIN; CREATE EXTENSION cpis; SELECT count(*) FROM cpis.plan; COPY cpis.plan TO STDOUT; COMMIT'), '0', 'who makes it may read what he has made');
	$session->quit;
};

subtest 'on a standby' => sub {
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$node->backup('backup');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby);
	foreach my $sql ('SELECT plan_id FROM cpis.plan', 'COPY cpis.plan TO STDOUT', 'TABLE cpis.steward_event', 'TABLE cpis.authority_plan')
	{
		my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$sql");
		like($err, qr/ERROR:  25006/, $sql);
		is($out, '', 'nothing disclosed');
	}
	isnt($standby->safe_psql('postgres', 'SELECT count(*) FROM cpis_audit_verify()'), '', 'functions of the extension read there');
	$standby->append_conf('postgresql.conf', 'cpis.record_direct_reads = off');
	$standby->reload;
	ok($standby->poll_query_until('postgres', 'SELECT NOT direct_reads_recorded FROM cpis_stat'), 'switched off on the standby');
	is($standby->safe_psql('postgres', 'SELECT count(*) > 0 FROM cpis.plan'), 't', 'it can be read there, unrecorded: SECURITY.md says so');
	$standby->stop;
};

subtest 'switching it off is recorded' => sub {
	foreach my $sql ('SET cpis.record_direct_reads = off', "ALTER ROLE $superuser SET cpis.record_direct_reads = off", 'ALTER DATABASE postgres SET cpis.record_direct_reads = off')
	{
		my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
		like($err, qr/55P02/, "not by $sql");
	}
	is(answer('SELECT direct_reads_recorded FROM cpis_stat'), 't', 'on');
	answer('SELECT count(*) FROM cpis.plan');
	answer($_) foreach 'ALTER SYSTEM SET cpis.record_direct_reads = off', 'SELECT pg_reload_conf()';
	ok($node->poll_query_until('postgres', 'SELECT NOT direct_reads_recorded FROM cpis_stat'), 'switched off');
	my $before = recorded();
	answer('SELECT count(*) FROM cpis.plan') for 1 .. 3;
	is(recorded() - $before, 1, 'one more event');
	my $events = answer("SELECT string_agg(detail, '; ' ORDER BY event_id) FROM (SELECT * FROM cpis.audit_event ORDER BY event_id DESC LIMIT 2) AS e");
	is($events, 'direct reads are not recorded from now on: cpis.record_direct_reads is off; cpis.record_direct_reads is off, and what is read from now on is not recorded; read cpis.plan', 'that says so, and one of the writer');
	answer($_) foreach 'ALTER SYSTEM RESET cpis.record_direct_reads', 'SELECT pg_reload_conf()';
	ok($node->poll_query_until('postgres', 'SELECT direct_reads_recorded FROM cpis_stat'), 'switched on');
	answer('SELECT count(*) FROM cpis.plan');
	is(answer("SELECT string_agg(detail, '; ' ORDER BY event_id) FROM (SELECT * FROM cpis.audit_event ORDER BY event_id DESC LIMIT 2) AS e"),
		'direct reads are recorded from now on; read cpis.plan', 'recorded again');

	$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
	$node->restart;
	$before = answer('SELECT count(*) FROM cpis.audit_event');
	answer(lookup_sql(3, 'not preloaded') . '; SELECT count(*) FROM cpis.plan');
	is(answer('SELECT direct_reads_recorded FROM cpis_stat'), 'f', 'not preloaded');
	is(answer("SELECT string_agg(concat_ws(' ', action, detail), '; ' ORDER BY event_id) FROM (SELECT * FROM cpis.audit_event ORDER BY event_id DESC LIMIT 2) AS e"),
		'direct_read direct reads are not recorded from now on: the library is not preloaded; lookup', 'the writer says so with its next event, and nothing else is recorded');
	answer(lookup_sql(3, 'again'));
	is(answer('SELECT count(*) FROM cpis.audit_event') - $before, 3, 'once');
};

answer("SELECT cpis_purge_preview()");
trail_is_whole($node, 'the trail is whole');
$node->stop;
done_testing();

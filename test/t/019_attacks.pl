# Who would get round the guards of retention, by ways that are not the front door: with
# privileges on the tables he is refused, or fails; a superuser shows afterwards.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('attacks');
record_scope($node);

sub answer
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# What the server says to statements of this role: SQLSTATE and message of the first
# error, detail and all, or nothing.
sub refusal
{
	my ($role, $sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1, extra_params => [ '-U', $role ]);
	return $err =~ /ERROR:  (\w{5}): (.*)/s ? "$1 $2" : '';
}

# What is found that no crash explains.
sub found
{
	return answer('SELECT problem FROM cpis_retention_reconcile() WHERE NOT uncommitted ORDER BY 1');
}

# A plan of its own child, that ended so many days ago.
my $child = 20_000;
sub make_plan
{
	my ($ended) = @_;
	$child++;
	my $end = defined $ended ? "(clock_timestamp() AT TIME ZONE 'Europe/London')::date - $ended" : 'NULL';
	return answer("INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)"
		. " VALUES (nhs_number_synthetic($child), 'child_protection', 'E06000001', '2020-01-01', $end) RETURNING plan_id");
}

sub is_there
{
	return answer("SELECT count(*) FROM cpis.plan WHERE plan_id = $_[0]");
}

answer(q{
	-- Who may change rows, and refer to them; who may all that can be granted; who may call.
	CREATE ROLE clerk LOGIN;
	GRANT USAGE ON SCHEMA cpis TO clerk;
	GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON ALL TABLES IN SCHEMA cpis TO clerk;
	GRANT EXECUTE ON FUNCTION cpis.random_salt TO clerk;
	CREATE SCHEMA clerk AUTHORIZATION clerk;
	CREATE ROLE meddler LOGIN IN ROLE pg_write_all_data, pg_read_all_data;
	GRANT ALL ON SCHEMA cpis TO meddler;
	GRANT ALL ON ALL TABLES IN SCHEMA cpis TO meddler;
	GRANT ALL ON ALL FUNCTIONS IN SCHEMA cpis TO meddler;
	GRANT SET ON PARAMETER session_replication_role TO meddler;
	CREATE SCHEMA meddler AUTHORIZATION meddler;
	CREATE ROLE steward LOGIN;
	GRANT EXECUTE ON FUNCTION cpis_plan_correct, cpis_hold_place, cpis_retention_set TO steward;
	GRANT EXECUTE ON PROCEDURE cpis_purge TO steward;
});
answer('SELECT cpis_checkpoint()');

subtest 'nobody else runs code as the owner' => sub {
	my ($due, $live) = (make_plan(400), make_plan());
	foreach my $way (
		[ 'an AFTER trigger behind ON DELETE CASCADE', 'ON DELETE CASCADE', 'CREATE TRIGGER t AFTER DELETE ON clerk.mine FOR EACH ROW EXECUTE FUNCTION clerk.f()' ],
		[ 'a deferred one', 'ON DELETE CASCADE', 'CREATE CONSTRAINT TRIGGER t AFTER DELETE ON clerk.mine DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION clerk.f()' ],
		[ 'one behind ON DELETE SET NULL', 'ON DELETE SET NULL', 'CREATE TRIGGER t BEFORE UPDATE ON clerk.mine FOR EACH ROW EXECUTE FUNCTION clerk.f()' ])
	{
		my ($name, $action, $trigger) = @$way;
		is(refusal('clerk', qq{
			CREATE TABLE clerk.mine (plan_id bigint REFERENCES cpis.plan $action);
			INSERT INTO clerk.mine VALUES ($due);
			CREATE FUNCTION clerk.f() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN EXECUTE 'ALTER ROLE clerk SUPERUSER'; RETURN NULL; END\$\$;
			$trigger}), '', $name);
		like(refusal('steward', 'CALL cpis_purge()'),
			qr/^55000 cannot change table "plan" by a function of the extension\nDETAIL:  A change would run triggers of table "mine" of role "clerk"/, 'the purge refuses');
		is(is_there($due), 1, 'and removes nothing');
		answer('DROP TABLE clerk.mine; DROP FUNCTION clerk.f()');
	}
	is(refusal('clerk', q{
		CREATE TABLE clerk.mine (la text COLLATE "C", n nhs_number, pt text COLLATE "C", sd date,
			FOREIGN KEY (la, n, pt, sd) REFERENCES cpis.plan (local_authority, nhs_number, plan_type, start_date) ON UPDATE CASCADE);
		INSERT INTO clerk.mine SELECT local_authority, nhs_number, plan_type, start_date FROM cpis.plan}), '', 'behind ON UPDATE CASCADE');
	like(refusal('steward', "SELECT cpis_plan_correct($live, 'typing error', start_date => '2019-02-01')"), qr/^55000 .*triggers of table "mine"/s, 'a correction refuses');
	answer('DROP TABLE clerk.mine');
	answer("CREATE TABLE parted (plan_id bigint REFERENCES cpis.plan ON DELETE CASCADE) PARTITION BY RANGE (plan_id)");
	is(refusal('clerk', qq{CREATE TABLE clerk.part (plan_id bigint);
		CREATE FUNCTION clerk.f() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN EXECUTE 'ALTER ROLE clerk SUPERUSER'; RETURN NULL; END\$\$;
		CREATE TRIGGER t AFTER DELETE ON clerk.part FOR EACH ROW EXECUTE FUNCTION clerk.f()}), '', 'a partition of his');
	answer("ALTER TABLE parted ATTACH PARTITION clerk.part DEFAULT; INSERT INTO parted VALUES ($due)");
	like(refusal('steward', 'CALL cpis_purge()'), qr/^55000 .*triggers of table "part"/s, 'of the table of another');
	answer('DROP TABLE parted; DROP FUNCTION clerk.f');
	# On the table itself, by who was granted TRIGGER; a function of his in WHEN will do.
	is(refusal('meddler', q{
		CREATE FUNCTION meddler.f() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN EXECUTE 'ALTER ROLE meddler SUPERUSER'; RETURN true; END$$;
		CREATE TRIGGER t BEFORE DELETE ON cpis.plan FOR EACH ROW WHEN (meddler.f()) EXECUTE FUNCTION suppress_redundant_updates_trigger()}), '', 'a trigger with a WHEN clause');
	like(refusal('steward', 'CALL cpis_purge()'), qr/^55000 .*would evaluate the WHEN clause of trigger "t"/s, 'the purge refuses');
	answer('DROP TRIGGER t ON cpis.plan');
	# What is called behind functions and domains is nobody's to see.
	foreach my $condition (q{query_to_xml('SELECT meddler.f()', false, false, '') IS NOT NULL}, 'NEW.hold_id::meddler.d IS NOT NULL')
	{
		is(refusal('meddler', qq{DROP DOMAIN IF EXISTS meddler.d; CREATE DOMAIN meddler.d AS bigint CHECK (meddler.f());
			CREATE TRIGGER t BEFORE INSERT ON cpis.hold FOR EACH ROW WHEN ($condition) EXECUTE FUNCTION suppress_redundant_updates_trigger()}), '', $condition);
		like(refusal('steward', "SELECT cpis_hold_place('x', everything => true)"), qr/^55000 .*would evaluate the WHEN clause of trigger "t"/s, 'a hold refuses');
		answer('DROP TRIGGER t ON cpis.hold');
	}
	# A trigger that is just being made is waited for.
	my $maker = $node->background_psql('postgres', extra_params => [ '-U', 'meddler' ]);
	$maker->query_safe(q{CREATE FUNCTION meddler.h() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE 'ALTER ROLE meddler SUPERUSER'; RETURN NEW; END$$});
	$maker->query_safe('BEGIN; CREATE TRIGGER t BEFORE INSERT ON cpis.correction FOR EACH ROW EXECUTE FUNCTION meddler.h()');
	my $corrector = start_sql($node, "SELECT cpis_plan_correct($live, 'typing error', start_date => '2019-02-01')", user => 'steward', application_name => 'corrector');
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'corrector' AND wait_event_type = 'Lock'}), 'a correction waits');
	$maker->query_safe('COMMIT');
	$maker->quit;
	like(finish_sql($corrector)->{err}, qr/55000: .*function "h" of role "meddler"/s, 'and then refuses');
	answer('DROP TRIGGER t ON cpis.correction');
	is(refusal('meddler', q{
		CREATE FUNCTION meddler.g() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE 'ALTER ROLE meddler SUPERUSER'; RETURN NEW; END$$;
		CREATE TRIGGER t BEFORE INSERT ON cpis.hold FOR EACH ROW EXECUTE FUNCTION meddler.g()}), '', 'one on another table');
	like(refusal('steward', "SELECT cpis_hold_place('x', everything => true)"), qr/^55000 cannot change table "hold"/, 'a hold refuses');
	answer('DROP TRIGGER t ON cpis.hold');
	is(answer('SELECT string_agg(rolname, \', \') FROM pg_roles WHERE rolsuper AND rolname IN (\'clerk\', \'meddler\', \'steward\')'), '', 'nobody has become superuser');
	# What passes nothing on stands in nobody's way, but of its row; nor does a superuser's.
	is(refusal('clerk', "CREATE TABLE clerk.mine (plan_id bigint REFERENCES cpis.plan); INSERT INTO clerk.mine VALUES ($live)"), '', 'a plain foreign key');
	answer("CREATE TABLE ours (plan_id bigint REFERENCES cpis.plan ON DELETE CASCADE); INSERT INTO ours VALUES ($due)");
	is(refusal('steward', 'CALL cpis_purge()'), '', 'the purge goes on');
	is(is_there($due) . answer('SELECT count(*) FROM ours'), '00', 'and removes what is due');
	answer('DROP TABLE clerk.mine, ours');
	is(found(), '', 'all agrees');
};

subtest 'privileges on tables are not enough' => sub {
	my ($due, $live) = (make_plan(400), make_plan());
	my $hold = answer("SELECT cpis_hold_place('court order', local_authority => 'E06000001')");
	is(refusal('clerk', qq{
		CREATE TABLE clerk.mine (la text COLLATE "C", n nhs_number, pt text COLLATE "C", sd date,
			FOREIGN KEY (la, n, pt, sd) REFERENCES cpis.plan (local_authority, nhs_number, plan_type, start_date) ON UPDATE CASCADE ON DELETE CASCADE);
		INSERT INTO clerk.mine SELECT local_authority, nhs_number, plan_type, start_date FROM cpis.plan WHERE plan_id = $live;
		CREATE FUNCTION clerk.f() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN UPDATE cpis.plan SET plan_type = 'child_protection' WHERE plan_id = $live; RETURN NULL; END\$\$;
		CREATE TRIGGER t BEFORE UPDATE ON clerk.mine FOR EACH ROW WHEN (NEW.pt = 'nonsense') EXECUTE FUNCTION clerk.f()}), '', 'a trigger that hides an update from its constraint');
	like(refusal('clerk', "UPDATE cpis.plan SET plan_type = 'nonsense', delete_date = '2020-01-01' WHERE plan_id = $live"), qr/^55000 /, 'it is seen');
	answer('DROP TABLE clerk.mine');
	foreach my $try (
		[ '55000', "UPDATE cpis.plan SET local_authority = 'E06000002' WHERE plan_id = $due" ],
		[ '55000', "SET session_replication_role = replica; UPDATE cpis.plan SET plan_type = 'nonsense', delete_date = '2020-01-01' WHERE plan_id = $live" ],
		[ '42501', "INSERT INTO cpis.retention_policy VALUES ('looked_after', 0, 'x', now(), 0)" ],
		[ '42501', "SET session_replication_role = replica; INSERT INTO cpis.retention_policy VALUES ('looked_after', 0, 'x', now(), 0)" ],
		[ '42501', "INSERT INTO cpis.hold (reason, placed_at, placed_event) VALUES ('x', now(), 0)" ],
		[ '42501', "INSERT INTO cpis.removal VALUES (0, 0, 'x', 'y', current_date, 1, sha256(''), now())" ],
		[ '42501', 'INSERT INTO cpis.plan_tally VALUES (9223372036854775807, 1)' ],
		[ '42501', 'INSERT INTO cpis.purge_switch SELECT oid, true, NULL, false, NULL FROM pg_database' ],
		[ '55000', 'TRUNCATE cpis.purge_switch' ],
		[ '42501', "INSERT INTO cpis.event_count VALUES ('2020-01', 'lookup', 'found', NULL, NULL, NULL, 1)" ],
		[ '42501', "INSERT INTO cpis.removed_month VALUES ('2020-01', 0, 0, current_date, 1, now(), 0)" ],
		[ '42501', "INSERT INTO cpis.kept_event VALUES (0, now(), 'x', 'x', '')" ],
		[ '42501', 'INSERT INTO cpis.correction VALUES (0, 1, now())' ],
		[ '42501', 'INSERT INTO cpis.purge_failure VALUES (1, NULL, NULL, now(), $$00000$$)' ],
		[ '42501', 'DELETE FROM cpis.purge_failure' ],
		[ '42501', "INSERT INTO cpis.acknowledgement VALUES ('E06000001', 9999999, now())" ],
		[ '55000', 'TRUNCATE cpis.acknowledgement' ],
		[ '42501', "INSERT INTO cpis.role_scope (role_name, local_authority, granted_at, event_id) VALUES ('mallory', 'E06000001', now(), 0)" ],
		[ '42501', 'INSERT INTO cpis.inactive_number VALUES (nhs_number_synthetic(5), NULL, now(), 0)' ],
		[ '42501', "INSERT INTO cpis.submission (local_authority, kind, opened_at, answered_at, file_code, accepted, rejected) VALUES ('E06000001', 'full', '2020-01-01', '2020-01-01', 'CPF02', 0, 0)" ],
		[ '22023', 'INSERT INTO cpis.submission_record (submission_id, line_no) VALUES (1, 99)' ],
		[ '42501', "COPY cpis.retention_policy FROM STDIN;\n\\." ],
		[ '42501', "MERGE INTO cpis.retention_policy p USING (VALUES ('looked_after')) v (kind) ON p.kind = v.kind WHEN NOT MATCHED THEN INSERT VALUES ('looked_after', 0, 'x', now(), 0)" ])
	{
		like(refusal('meddler', $try->[1]), qr/^$try->[0] /, $try->[1]);
	}
	# The functions are for their own table.
	is(refusal('meddler', q{
		CREATE TABLE meddler.t (a bigint, b integer, c integer, d integer, e date, f date, g date, h integer, i bigint, j integer);
		CREATE TRIGGER x AFTER INSERT ON meddler.t REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION cpis.tally_plans();
		CREATE TRIGGER y AFTER DELETE ON meddler.t FOR EACH ROW EXECUTE FUNCTION cpis.guard_plan()}), '', 'triggers of other tables');
	like(refusal('meddler', 'INSERT INTO meddler.t VALUES (1, NULL, 1, 1, now(), now(), now(), 1, 1, 1)'), qr/^39P01 /, 'the tally');
	answer('ALTER TABLE meddler.t DISABLE TRIGGER x; INSERT INTO meddler.t VALUES (1, NULL, 1, 1, now(), now(), now(), 1, 1, 1)');
	like(refusal('meddler', 'DELETE FROM meddler.t'), qr/^39P01 /, 'the guard');
	# A correction tells nothing of the plan that it does not correct.
	foreach my $dates (q{end_date => '1990-01-01'}, q{start_date => 'infinity'}, q{start_date => '1900-01-01'})
	{
		my $said = refusal('steward', "SELECT cpis_plan_correct($live, 'x', $dates)");
		like($said, qr/^23\d\d\d the plan cannot have these dates/, $dates);
		unlike($said, qr/999\d{7}|E0600000|child_protection/, 'nothing of the plan');
	}
	is(refusal('steward', 'CALL cpis_purge()'), '', 'the purge goes on');
	is(is_there($due) . is_there($live), '11', 'and leaves what is held');
	answer("SELECT cpis_hold_release($hold, 'over')");
	is(found(), '', 'all agrees');
};

subtest 'who is in the way of summaries stops no plan' => sub {
	my $due = make_plan(400);
	my $session = $node->background_psql('postgres');
	$session->query_safe('BEGIN; SELECT cpis_summarise()');
	my ($rc, $out, $err) = $node->psql('postgres', 'CALL cpis_purge()', extra_params => [ '-U', 'steward' ]);
	is($rc, 0, 'the purge goes on while somebody summarises');
	like($err, qr/WARNING: +could not summarise the trail\n.*SQLSTATE 55P03/, 'says so');
	is(is_there($due), 0, 'and removes what is due');
	$session->query_safe('ROLLBACK');
	$session->quit;
	$due = make_plan(400);
	is(refusal('meddler', q{
		CREATE FUNCTION meddler.s() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
		CREATE TRIGGER t BEFORE INSERT ON cpis.summary FOR EACH ROW EXECUTE FUNCTION meddler.s()}), '', 'a trigger of somebody else');
	($rc, $out, $err) = $node->psql('postgres', 'CALL cpis_purge()', extra_params => [ '-U', 'steward' ]);
	like($err, qr/WARNING: +could not summarise the trail\n.*SQLSTATE 55000/, 'is not run');
	is(is_there($due), 0, 'plans go');
	answer('DROP TRIGGER t ON cpis.summary');
	is(found(), '', 'all agrees');
};

subtest 'a row that is wrong stops nobody' => sub {
	my ($due) = make_plan(400);
	my $n = ++$child;
	# What constraints would refuse, were they asked.
	is(refusal('meddler', qq{SET session_replication_role = replica; INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
		VALUES (nhs_number_synthetic($n), 'nonsense', 'E06000001', '2020-01-01', '2021-01-01')}), '', 'a plan of no kind');
	is(answer("SELECT plan_type FROM cpis_lookup(nhs_number_synthetic($n), 'A', 'RXX', 'camhs')"), 'nonsense', 'it is shown');
	is(refusal('steward', 'CALL cpis_purge()'), '', 'the purge goes on');
	is(is_there($due), 0, 'and removes what is due');
	like(found(), qr/^1 plans are of a kind or an authority that is not in the register$/, 'it is to be seen');
	answer("UPDATE cpis.plan SET plan_type = 'looked_after', end_date = '2999-01-01' WHERE plan_type = 'nonsense'");
	is(found(), '', 'and can be mended');
};

subtest 'the purge takes what it has seen, and waits for nobody' => sub {
	my ($seen, $locked, $changed) = (make_plan(400), make_plan(400), make_plan(400));
	answer(q{CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(19); RETURN OLD; END';
		CREATE TRIGGER wait BEFORE DELETE ON cpis.plan FOR EACH ROW EXECUTE FUNCTION wait()});
	my $gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(19)');
	my $run = start_sql($node, 'CALL cpis_purge()', user => 'steward', application_name => 'purge');
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'purge' AND wait_event = 'advisory'}), 'it has seen all three');
	answer("UPDATE cpis.plan SET end_date = '2999-01-01' WHERE plan_id = $changed");
	my $holder = $node->background_psql('postgres');
	$holder->query_safe("BEGIN; SELECT FROM cpis.plan WHERE plan_id = $locked FOR UPDATE");
	$gate->query_safe('SELECT pg_advisory_unlock(19)');
	like(finish_sql($run)->{err}, qr/plans removed: 1, failed: 0, held back: 0, locked by others: 2/, 'and removes one');
	is(is_there($seen) . is_there($locked) . is_there($changed), '011', 'what was changed or locked meanwhile is there');
	$holder->quit;
	$gate->quit;
	answer('DROP FUNCTION wait CASCADE; CALL cpis_purge()');
	is(is_there($locked) . is_there($changed), '01', 'the next one goes on');
	is(found(), '', 'all agrees');
};

subtest 'a failure is forgotten when it is none any more' => sub {
	my $plan = make_plan(400);
	answer("CREATE TABLE refers (plan_id bigint REFERENCES cpis.plan); INSERT INTO refers VALUES ($plan)");
	answer('CALL cpis_purge()');
	is(answer('SELECT due, failed FROM cpis_stat_retention'), '1|1', 'it fails');
	is(answer('SELECT oldest_due_on = (SELECT min(due_on) FROM cpis_purge_preview()) FROM cpis_stat_retention'), 't', 'since when it is due');
	answer("UPDATE cpis.plan SET end_date = '2999-01-01' WHERE plan_id = $plan; CALL cpis_purge()");
	is(answer('SELECT due, oldest_due_on, failed FROM cpis_stat_retention'), '0||0', 'it is held again, and fails no more');
	answer('DROP TABLE refers');
};

subtest 'no faster than it may' => sub {
	make_plan(400) for 1 .. 12;
	my $before = answer('SELECT max(event_id) FROM cpis.audit_event');
	my $began = time;
	answer('CALL cpis_purge(1000, 5)');
	cmp_ok(time - $began, '>=', 2, 'twelve at five a second take as long');
	is(answer("SELECT string_agg(split_part(detail, ',', 1), ' ' ORDER BY event_id) FROM cpis.audit_event WHERE event_id > $before AND action = 'removal'"),
		'plans: 5 plans: 5 plans: 2', 'a batch is no more than a second allows');
};

subtest 'what stands in the way of all of them is said once' => sub {
	make_plan(400) for 1 .. 5;
	answer('CREATE TABLE refers (plan_id bigint REFERENCES cpis.plan)');
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('BEGIN; LOCK TABLE refers');
	like(refusal('steward', "SET lock_timeout = '100ms'; CALL cpis_purge()"), qr/^55P03 /, 'a lock that does not come');
	is(answer('SELECT due, failed FROM cpis_stat_retention'), '5|0', 'is no failure of records');
	$holder->quit;
	answer('DROP TABLE refers');
	like(refusal('steward', 'SET default_transaction_read_only = on; CALL cpis_purge()'), qr/^25006 /, 'a read-only session');
	is(answer('SELECT due FROM cpis_stat_retention'), 5, 'removes nothing');
	my $events = answer('SELECT count(*) FROM cpis.audit_event');
	foreach my $call ("cpis_hold_place('x', everything => true)", "cpis_retention_set('unborn', 400)", 'cpis_purge_pause(true)', "cpis_hold_release(1, 'x')", "cpis_plan_correct(1, 'x', end_date => '2026-01-01')")
	{
		like(refusal(scalar(getpwuid $<), "BEGIN READ ONLY; SELECT $call"), qr/^25006 cannot execute cpis_\w+\(\) in a read-only transaction/, "$call: nor does it change anything");
	}
	is(answer('SELECT count(*) FROM cpis.audit_event'), $events, 'and records nothing');
	# Nor does a trigger that makes something else of the change.
	answer(q{CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER nothing BEFORE INSERT ON cpis.hold FOR EACH ROW EXECUTE FUNCTION nothing();
		CREATE TRIGGER nothing BEFORE INSERT ON cpis.retention_policy FOR EACH ROW EXECUTE FUNCTION nothing()});
	like(refusal('steward', "SELECT cpis_hold_place('x', everything => true)"), qr/^09000 /, 'a hold that is not stored is no hold');
	like(refusal('steward', "SELECT cpis_retention_set('unborn', 400)"), qr/^09000 /, 'nor is a term');
	answer('DROP FUNCTION nothing CASCADE');
	answer(q{CREATE FUNCTION itself() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM cpis.plan WHERE plan_id = OLD.plan_id; RETURN OLD; END';
		CREATE TRIGGER itself BEFORE DELETE ON cpis.plan FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION itself()});
	like(refusal('steward', 'CALL cpis_purge()'), qr/^55000 /, 'a WHEN clause, whoever made it');
	answer(q{DROP FUNCTION itself CASCADE; CREATE FUNCTION itself() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN IF pg_trigger_depth() = 1 THEN DELETE FROM cpis.plan WHERE plan_id = OLD.plan_id; END IF; RETURN OLD; END';
		CREATE TRIGGER itself BEFORE DELETE ON cpis.plan FOR EACH ROW EXECUTE FUNCTION itself(); CALL cpis_purge()});
	is(answer('SELECT due, failed FROM cpis_stat_retention'), '5|5', 'a trigger that deletes by itself');
	answer('DROP FUNCTION itself CASCADE');
	# A publication of all tables asks for a key, or the whole row.
	answer('CREATE PUBLICATION everything FOR ALL TABLES; CALL cpis_purge()');
	is(answer('SELECT due, failed FROM cpis_stat_retention'), '0|0', 'a publication of all tables does not');
	answer('DROP PUBLICATION everything');
	is(found(), '', 'all agrees');
};

subtest 'what did not commit is told from what did' => sub {
	my $plan = make_plan();
	answer("BEGIN; SELECT cpis_plan_correct($plan, 'oops', delete_date => '2026-01-01'); ROLLBACK");
	answer('BEGIN; SELECT cpis_purge_pause(true); ROLLBACK');
	answer('SELECT cpis_purge_pause(false)');
	answer('BEGIN; SELECT cpis_purge_automatic(true); ROLLBACK');
	is(answer("SELECT problem FROM cpis_retention_reconcile() WHERE uncommitted AND problem ~ 'oops|switch' ORDER BY event_id"),
		"a correction was not made: delete_date 2026-01-01 was none; oops\na switch of the purge is not as was announced: automatic: on", 'a correction, a switch');
	is(found(), '', 'all else agrees');
};

subtest 'a superuser shows, however he leaves it' => sub {
	my $live = make_plan();
	my $fixed = 'ALTER TABLE cpis.plan_type %s TRIGGER refuse_change';
	foreach my $try (
		# Another function behind the guard's name, for a while.
		[ qr/register has/, q{CREATE OR REPLACE FUNCTION cpis.guard_plan() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; DELETE FROM cpis.plan WHERE plan_id = LIVE;
			CREATE OR REPLACE FUNCTION cpis.guard_plan() RETURNS trigger LANGUAGE C AS '$libdir/cpis', 'cpis_guard_plan'} ],
		[ qr/register has/, q{CREATE OR REPLACE FUNCTION cpis.guard_plan() RETURNS trigger LANGUAGE C AS '$libdir/cpis', 'cpis_reference_changed'; DELETE FROM cpis.plan WHERE plan_id = LIVE;
			CREATE OR REPLACE FUNCTION cpis.guard_plan() RETURNS trigger LANGUAGE C AS '$libdir/cpis', 'cpis_guard_plan'} ],
		[ qr/trigger "own_change" of table "hold"/, q{CREATE OR REPLACE FUNCTION cpis.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'} ],
		[ qr/trigger "own_change" of table "hold"/, 'DROP TRIGGER own_change ON cpis.hold; CREATE TRIGGER own_change BEFORE UPDATE OF reason ON cpis.hold FOR EACH ROW WHEN (false)'
			. " EXECUTE FUNCTION cpis.refuse_change('x'); ALTER TABLE cpis.hold ENABLE ALWAYS TRIGGER own_change" ],
		[ qr/trigger "own_insert" of table "removal"/, 'ALTER TABLE cpis.removal DISABLE TRIGGER own_insert' ],
		[ qr/trigger "refuse_change" of table "plan_type"/, sprintf($fixed, 'DISABLE') ],
		[ qr/trigger "reference_changed" of table "retention_policy"/, 'ALTER TABLE cpis.retention_policy DISABLE TRIGGER reference_changed' ],
		[ qr/days of kind "unborn"/, sprintf($fixed, 'DISABLE') . "; UPDATE cpis.plan_type SET retention_days = 0 WHERE code = 'unborn'; " . sprintf($fixed, 'ENABLE ALWAYS') ],
		[ qr/days of kind "unborn"/, sprintf($fixed, 'DISABLE') . "; DELETE FROM cpis.plan_type WHERE code = 'unborn'; " . sprintf($fixed, 'ENABLE ALWAYS') ],
		# The table is not what it seems.
		[ qr/table "hold" is not the one/, 'CREATE TABLE kid () INHERITS (cpis.hold)' ],
		[ qr/table "plan" is not the one/, 'CREATE TABLE kid () INHERITS (cpis.plan)' ],
		[ qr/register has/, 'CREATE TABLE kid () INHERITS (cpis.plan); ALTER TABLE cpis.plan DISABLE TRIGGER guard; WITH gone AS (DELETE FROM ONLY cpis.plan WHERE plan_id = LIVE RETURNING *)'
			. ' INSERT INTO kid OVERRIDING SYSTEM VALUE TABLE gone; ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard' ],
		[ qr/table "hold" is not the one/, 'ALTER TABLE cpis.hold RENAME TO hold_old; CREATE TABLE cpis.hold (LIKE cpis.hold_old INCLUDING ALL)' ],
		[ qr/table "plan" is not the one/, 'CREATE RULE r AS ON DELETE TO cpis.plan DO INSTEAD NOTHING' ],
		[ qr/table "plan" is not the one/, 'ALTER TABLE cpis.plan ENABLE ROW LEVEL SECURITY' ],
		[ qr/table "hold" is not the one/, 'ALTER TABLE cpis.hold SET UNLOGGED' ],
		[ qr/table "hold" is not the one/, 'ALTER TABLE cpis.hold SET SCHEMA public' ],
		# Certificates.
		[ qr/certificates are not those/, "ALTER TABLE cpis.removal DISABLE TRIGGER append_only; UPDATE cpis.removal SET removed_at = removed_at - interval '1 year'; ALTER TABLE cpis.removal ENABLE ALWAYS TRIGGER append_only" ],
		[ qr/certificates are not those/, 'ALTER TABLE cpis.removal DISABLE TRIGGER append_only; UPDATE cpis.removal SET leaf_index = leaf_index + 5; ALTER TABLE cpis.removal ENABLE ALWAYS TRIGGER append_only' ],
		[ qr/certificates are not those/, q{ALTER TABLE cpis.removal DISABLE TRIGGER append_only, DROP CONSTRAINT removal_commitment_length; UPDATE cpis.removal SET commitment = '\x00'; ALTER TABLE cpis.removal ENABLE ALWAYS TRIGGER append_only} ],
		# Holds, policies, switches.
		[ qr/nothing has recorded that "unborn"/, "SELECT cpis_retention_set('unborn', 300, 'agreed'); ALTER TABLE cpis.retention_policy DISABLE TRIGGER own_change; UPDATE cpis.retention_policy SET reason = 'another';"
			. ' ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_change' ],
		[ qr/switch "paused" of the purge is on/, 'ALTER TABLE cpis.purge_switch DISABLE TRIGGER own_change; UPDATE cpis.purge_switch SET paused = true; ALTER TABLE cpis.purge_switch ENABLE ALWAYS TRIGGER own_change' ],
		[ qr/nothing has recorded the correction of plan 7/, 'INSERT INTO cpis.correction VALUES (0, 7, now())' ],
		# A trigger of his own that makes use of a correction, or falsifies it.
		[ qr/cannot delete from table "plan"/, 'CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM cpis.plan WHERE plan_id = LIVE; RETURN NULL; END$$;'
			. " CREATE TRIGGER t AFTER UPDATE ON cpis.plan FOR EACH ROW EXECUTE FUNCTION f(); SELECT cpis_plan_correct(LIVE, 'x', start_date => '2019-01-01')" ],
		[ qr/cannot update table "plan"/, 'CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.nhs_number = public.nhs_number_synthetic(1); RETURN NEW; END$$;'
			. " CREATE TRIGGER t BEFORE UPDATE ON cpis.plan FOR EACH ROW EXECUTE FUNCTION f(); SELECT cpis_plan_correct(LIVE, 'x', start_date => '2019-01-01')" ],
		[ qr/was not corrected/, "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN NEW.delete_date = '2020-01-01'; RETURN NEW; END\$\$;"
			. " CREATE TRIGGER t BEFORE UPDATE ON cpis.plan FOR EACH ROW EXECUTE FUNCTION f(); SELECT cpis_plan_correct(LIVE, 'x', start_date => '2019-01-01')" ])
	{
		my ($expected, $sql) = @$try;
		$sql =~ s/LIVE/$live/g;
		my ($rc, $out, $err) = $node->psql('postgres', "BEGIN; $sql; SELECT problem FROM cpis_retention_reconcile() WHERE NOT uncommitted; ROLLBACK;", on_error_stop => 1);
		like("$out$err", $expected, $sql);
	}
	is(found(), '', 'all was taken back');

	# What was in force for a while, while something was removed.
	my $held = make_plan(400);
	answer("SELECT cpis_hold_place('inquiry', (SELECT nhs_number FROM cpis.plan WHERE plan_id = $held))");
	answer(q{ALTER TABLE cpis.hold DISABLE TRIGGER own_change; UPDATE cpis.hold SET released_at = now(), release_reason = 'x', released_event = 0 WHERE released_at IS NULL});
	answer('CALL cpis_purge()');
	is(is_there($held), 0, 'a hold that is put away for a moment');
	answer(q{UPDATE cpis.hold SET released_at = NULL, release_reason = NULL, released_event = NULL WHERE released_event = 0; ALTER TABLE cpis.hold ENABLE ALWAYS TRIGGER own_change});
	is(found(), 'something was removed while other holds were in force than there should have been', 'shows by the removal');
	answer(q{SELECT cpis_hold_release(max(hold_id), 'over') FROM cpis.hold});
	my $recent = make_plan(10);
	answer(q{INSERT INTO cpis.retention_policy VALUES ('child_protection', 5, 'x', now(), 0); CALL cpis_purge()});
	is(is_there($recent), 0, 'a policy that is there for a moment');
	answer('ALTER TABLE cpis.retention_policy DISABLE TRIGGER own_change; DELETE FROM cpis.retention_policy WHERE retention_days = 5; ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_change');
	like(found(), qr/something was removed after 5 days, while "child_protection" was held 365 days/, 'shows by its certificates');
	my $longer = make_plan(380);
	answer("SELECT cpis_retention_set('child_protection', 400)");
	answer('ALTER TABLE cpis.retention_policy DISABLE TRIGGER own_change; CREATE TABLE policy AS TABLE cpis.retention_policy; DELETE FROM cpis.retention_policy; CALL cpis_purge();'
		. ' INSERT INTO cpis.retention_policy TABLE policy; ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_change');
	is(is_there($longer), 0, 'a policy that is away for a moment');
	like(found(), qr/something was removed after 365 days, while "child_protection" was held 400 days/, 'too');
	# Set again by the function, as if nothing had been.
	answer("SELECT cpis_retention_set('looked_after', 500)");
	answer(q{ALTER TABLE cpis.retention_policy DISABLE TRIGGER own_change; DELETE FROM cpis.retention_policy WHERE kind = 'looked_after'; SELECT cpis_retention_set('looked_after', 500);
		ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_change});
	like(answer('SELECT problem FROM cpis_retention_reconcile() WHERE uncommitted'), qr/a policy that was set is not there: looked_after: 500 days instead of 365 days/, 'one that is set again shows');
	answer(q{ALTER TABLE cpis.retention_policy DISABLE TRIGGER own_change; UPDATE cpis.retention_policy SET retention_days = 7 WHERE kind = 'looked_after'; SELECT cpis_retention_set('looked_after', 500);
		ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_change});
	like(found(), qr/nothing has recorded that "looked_after" was held 7 days/, 'and so does what was planted between');
	my $again = make_plan(500);
	answer("CREATE TABLE copy AS TABLE cpis.plan; CALL cpis_purge(); INSERT INTO cpis.plan OVERRIDING SYSTEM VALUE SELECT * FROM copy WHERE plan_id = $again");
	like(found(), qr/plan $again is there, and certified as removed/, 'what is there again shows');
};

trail_is_whole($node, 'the trail is whole');
$node->stop;
done_testing();

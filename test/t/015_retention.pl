# What retention promises against crashes, dumps, and those who would get round it.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $ROUNDS = 20;
my $DUE = 40_000;

my $node = new_server('retention', conf => q{
	shared_preload_libraries = 'cpis'
	# What is read here would be events of their own.
	cpis.record_direct_reads = off
	cpis.purge_interval = 0
	max_connections = 30
	log_min_messages = info
});
record_scope($node);
my $seed = srand;
note "random seed $seed";

sub answer
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# What the server says to a statement that should fail: SQLSTATE and message.
sub refusal
{
	my ($sql, $user) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		on_error_stop => 1, extra_params => [ '-U', $user // $ENV{USER} // getpwuid $< ]);
	return $err =~ /ERROR:  (\w{5}): ([^\n]*)/ ? "$1 $2" : "done $out$err";
}

# Without those that announce what did not happen.
sub reconcile
{
	my ($database) = @_;
	return answer('SELECT problem FROM cpis_retention_reconcile() WHERE NOT uncommitted ORDER BY 1', $database);
}

# Make plans that are due, and that are not.
sub make_due
{
	my ($n) = @_;
	answer(qq{
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
			SELECT nhs_number_synthetic(n), 'looked_after', 'E0600000' || 1 + n % 2, '2020-01-01', '2023-01-01'
			FROM generate_series(2000, 1999 + $n) n});
	return;
}

subtest 'killed at any moment, the purge goes on where it was' => sub {
	make_due($DUE);
	my $before = answer('SELECT count(*) FROM cpis.plan');
	answer('CREATE TABLE live AS SELECT * FROM cpis.plan WHERE end_date IS NULL');
	my $interrupted = 0;
	for my $round (1 .. $ROUNDS)
	{
		my $run = start_sql($node, 'CALL cpis_purge(100, 20000);', user => getpwuid $<);
		my $already = answer('SELECT count(*) FROM cpis.removal');
		usleep(int(rand 150_000));
		kill_everything($node);
		finish_sql($run);
		$node->start;
		my ($removed, $left, $again) = split /\|/, answer(q{
			SELECT count(*), (SELECT count(*) FROM cpis.plan), count(*) - count(DISTINCT commitment) FROM cpis.removal});
		is($removed + $left, $before, "round $round: each record is there or has its certificate");
		is($again, 0, "round $round: none has two");
		$interrupted++ if $run->{err} =~ /server closed the connection|terminat/ && $removed > $already;
	}
	cmp_ok($interrupted, '>', $ROUNDS / 4, "the purge was at work when the server died ($interrupted times)");
	answer('CALL cpis_purge()');
	is(answer('SELECT count(*) FROM cpis.removal'), $DUE, 'in the end all that was due is removed');
	is(answer('SELECT count(*) FROM (TABLE live EXCEPT TABLE cpis.plan) AS gone'), 0, 'and nothing else');
	is(answer('SELECT count(*) FROM cpis.plan'), answer('SELECT count(*) FROM live'), 'nor has anything come back');
	is(reconcile(), '', 'certificates and events agree');
	note 'announced and rolled back: ', answer('SELECT count(*) FROM cpis_retention_reconcile()');
	trail_is_whole($node, 'the trail is whole');
};

subtest 'who may not, cannot' => sub {
	answer(q{
		CREATE ROLE meddler LOGIN;
		GRANT USAGE ON SCHEMA cpis TO meddler;
		GRANT ALL ON ALL TABLES IN SCHEMA cpis TO meddler;
		GRANT ALL ON ALL FUNCTIONS IN SCHEMA cpis TO meddler;
		GRANT SET ON PARAMETER session_replication_role TO meddler;
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
			VALUES (nhs_number_synthetic(90000), 'looked_after', 'E06000001', '2020-01-01', '2023-01-01'),
				(nhs_number_synthetic(90003), 'looked_after', 'E06000001', '2020-01-01', NULL);
		SELECT cpis_retention_set('unborn', 400), cpis_hold_place('for the test', nhs_number_synthetic(90000));
	});
	my $month = answer(q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass ORDER BY 1 LIMIT 1});
	foreach my $try (
		[ '55000', 'DELETE FROM cpis.plan' ],
		[ '55000', 'DELETE FROM cpis.plan WHERE nhs_number = nhs_number_synthetic(90000)' ],
		[ '55000', 'SET session_replication_role = replica; DELETE FROM cpis.plan' ],
		[ '55000', "SET session_replication_role = replica; UPDATE cpis.plan SET end_date = '2022-01-01' WHERE end_date IS NULL AND start_date < '2022-01-01'" ],
		[ '55000', "UPDATE cpis.plan SET end_date = '2022-01-01' WHERE end_date IS NULL AND start_date < '2022-01-01'" ],
		[ '55000', "UPDATE cpis.plan SET delete_date = '2022-01-01' WHERE end_date IS NULL" ],
		[ '55000', 'TRUNCATE cpis.plan' ],
		[ '55000', 'SET session_replication_role = replica; TRUNCATE cpis.plan' ],
		[ '55000', 'UPDATE cpis.retention_policy SET retention_days = 1' ],
		[ '55000', 'DELETE FROM cpis.retention_policy' ],
		[ '55000', 'DELETE FROM cpis.hold' ],
		[ '55000', 'UPDATE cpis.hold SET released_at = now(), release_reason = $$x$$, released_event = 0' ],
		[ '55000', 'DELETE FROM cpis.removal' ],
		[ '55000', 'UPDATE cpis.plan_tally SET plans = 0' ],
		[ '55000', "DELETE FROM $month" ],
		[ '42501', 'ALTER TABLE cpis.plan DISABLE TRIGGER guard' ],
		[ '42501', 'ALTER TABLE cpis.plan DISABLE TRIGGER ALL' ],
		[ '42501', 'ALTER TABLE cpis.plan ENABLE REPLICA TRIGGER guard' ],
		[ '42501', 'ALTER TRIGGER guard ON cpis.plan RENAME TO g' ],
		[ '42501', 'DROP TRIGGER guard ON cpis.plan' ],
		[ '42501', 'CREATE RULE r AS ON DELETE TO cpis.plan DO INSTEAD NOTHING' ],
		[ '42501', 'CREATE OR REPLACE FUNCTION cpis.guard_plan() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$' ],
		[ '42501', 'ALTER TABLE cpis.plan DROP end_date' ],
		[ '42501', 'ALTER TABLE cpis.plan ALTER end_date TYPE date USING end_date - 400' ],
		[ '42501', 'DROP TABLE cpis.plan' ],
		[ '42501', 'DROP TABLE cpis.plan CASCADE' ],
		[ '42501', 'DROP SCHEMA cpis CASCADE' ],
		[ '42501', 'DROP EXTENSION cpis' ],
		[ '42501', "ALTER TABLE cpis.audit_event DETACH PARTITION $month" ],
		[ '42501', "DROP TABLE $month" ],
		[ '42501', "SELECT cpis_retention_set('unborn', 1, 'x')" ],
		[ '42501', "SELECT cpis_plan_correct(1, 'x', delete_date => '2020-01-01')" ],
		[ '42501', "SELECT cpis_hold_release(1, 'x')" ],
		[ '42501', 'CALL cpis_purge()' ],
		[ '42501', 'SELECT cpis_purge_automatic(true)' ],
		[ '42501', 'SELECT cpis_purge_pause(false)' ],
		[ '42501', 'SELECT * FROM cpis_purge_preview()' ],
		[ '42501', 'SELECT * FROM cpis_retention_reconcile()' ])
	{
		like(refusal($try->[1], 'meddler'), qr/^$try->[0] /, $try->[1]);
	}
	# A trigger of his own does not get round it, whenever it fires.
	answer('CREATE SCHEMA meddler AUTHORIZATION meddler');
	foreach my $name ('a', 'z')
	{
		like(refusal(qq{CREATE FUNCTION meddler.$name() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN NEW.end_date = NEW.start_date; RETURN NEW; END\$\$;
			CREATE TRIGGER $name BEFORE UPDATE ON cpis.plan FOR EACH ROW EXECUTE FUNCTION meddler.$name();
			UPDATE cpis.plan SET start_date = '2022-01-01' WHERE end_date IS NULL}, 'meddler'), qr/^55000 /, "a trigger of his own, $name");
		answer("DROP TRIGGER $name ON cpis.plan");
	}
	answer('DROP OWNED BY meddler');
	is(reconcile(), '', 'and nothing is to be seen of it');
};

subtest 'who may, shows' => sub {
	my $again = 'ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard';
	my $month = answer(q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass ORDER BY 1 LIMIT 1});
	foreach my $try (
		[ qr/register has \d+ plans/, "ALTER TABLE cpis.plan DISABLE TRIGGER guard; DELETE FROM cpis.plan WHERE plan_id = 1; $again" ],
		[ qr/plans have been changed/, "ALTER TABLE cpis.plan DISABLE TRIGGER guard; UPDATE cpis.plan SET end_date = '2026-01-02' WHERE plan_id = 1; $again" ],
		[ qr/register has \d+ plans/, 'ALTER TABLE cpis.plan DISABLE TRIGGER guard, DISABLE TRIGGER tally_delete; DELETE FROM cpis.plan WHERE plan_id = 1;'
			. ' ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER tally_delete' ],
		[ qr/register has \d+ plans/, 'ALTER TABLE cpis.plan DISABLE TRIGGER tally_insert; INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)'
			. " VALUES (nhs_number_synthetic(91000), 'unborn', 'E06000001', '2026-01-01'); ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER tally_insert" ],
		[ qr/register has \d+ plans/, "ALTER TABLE cpis.plan DISABLE TRIGGER guard_truncate; TRUNCATE cpis.plan; ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER guard_truncate" ],
		[ qr/register has \d+ plans/, 'ALTER EXTENSION cpis DROP TABLE cpis.plan; DROP TRIGGER guard ON cpis.plan; CREATE TRIGGER guard AFTER UPDATE OR DELETE ON cpis.plan FOR EACH ROW WHEN (false) EXECUTE FUNCTION cpis.guard_plan();'
			. " $again; DELETE FROM cpis.plan WHERE plan_id = 1" ],
		[ qr/plans have been changed/, "ALTER TABLE cpis.plan DISABLE TRIGGER tally_update; UPDATE cpis.plan SET local_reference = 'x' WHERE plan_id = 1; ALTER TABLE cpis.plan ENABLE ALWAYS TRIGGER tally_update" ],
		[ qr/because extension cpis requires it/, 'DROP TABLE cpis.plan' ],
		[ qr/because extension cpis requires it/, 'DROP TABLE cpis.plan CASCADE' ],
		[ qr/cannot truncate table "plan"/, 'TRUNCATE cpis.plan' ],
		[ qr/cannot delete from table "plan"/, 'DELETE FROM cpis.plan' ],
		[ qr/cannot delete from table "plan"/, 'SET LOCAL session_replication_role = replica; DELETE FROM cpis.plan' ],
		[ qr/trigger "guard" of table "plan"/, 'ALTER TABLE cpis.plan DISABLE TRIGGER guard' ],
		[ qr/trigger "guard" of table "plan"/, 'ALTER TABLE cpis.plan ENABLE REPLICA TRIGGER guard' ],
		[ qr/trigger "guard" of table "plan"/, 'ALTER TABLE cpis.plan ENABLE TRIGGER guard' ],
		[ qr/trigger "guard" of table "plan"/, 'DROP TRIGGER guard ON cpis.plan' ],
		[ qr/trigger "guard_truncate" of table "plan"/, 'ALTER TRIGGER guard_truncate ON cpis.plan RENAME TO x' ],
		[ qr/trigger "append_only" of table "audit_event_/, "ALTER TABLE $month DISABLE TRIGGER append_only" ],
		[ qr/certificates are not those/, 'ALTER TABLE cpis.removal DISABLE TRIGGER append_only; DELETE FROM cpis.removal WHERE ctid = (SELECT min(ctid) FROM cpis.removal);'
			. ' ALTER TABLE cpis.removal ENABLE ALWAYS TRIGGER append_only' ],
		[ qr/certificates are not those/, "ALTER TABLE cpis.removal DISABLE TRIGGER append_only; UPDATE cpis.removal SET local_authority = 'E06000009' WHERE ctid = (SELECT min(ctid) FROM cpis.removal);"
			. ' ALTER TABLE cpis.removal ENABLE ALWAYS TRIGGER append_only' ],
		[ qr/name an event that is no removal/, "INSERT INTO cpis.removal SELECT -1, 0, kind, local_authority, due_on, retention_days, commitment, removed_at FROM cpis.removal LIMIT 1" ],
		[ qr/nothing has recorded that "unborn" is held 1 days/, 'ALTER TABLE cpis.retention_policy DISABLE TRIGGER own_change; UPDATE cpis.retention_policy SET retention_days = 1;'
			. ' ALTER TABLE cpis.retention_policy ENABLE ALWAYS TRIGGER own_change' ],
		[ qr/nothing has recorded that "looked_after" is held 1 days/, "INSERT INTO cpis.retention_policy VALUES ('looked_after', 1, 'x', now(), 0)" ],
		[ qr/nothing has recorded that hold \d+ was released/, "ALTER TABLE cpis.hold DISABLE TRIGGER own_change; UPDATE cpis.hold SET released_at = now(), release_reason = 'x', released_event = 0;"
			. ' ALTER TABLE cpis.hold ENABLE ALWAYS TRIGGER own_change' ],
		[ qr/nothing has recorded that hold \d+ was placed/, 'ALTER TABLE cpis.hold DISABLE TRIGGER own_change; UPDATE cpis.hold SET nhs_number = nhs_number_synthetic(1);'
			. ' ALTER TABLE cpis.hold ENABLE ALWAYS TRIGGER own_change' ])
	{
		my ($expected, $sql) = @$try;
		my ($rc, $out, $err) = $node->psql('postgres', "BEGIN; $sql; SELECT problem FROM cpis_retention_reconcile() WHERE NOT uncommitted; ROLLBACK;", on_error_stop => 1);
		like("$out$err", $expected, $sql);
	}
	# That something announced is undone cannot be told from a transaction that did not commit.
	my ($rc, $out) = $node->psql('postgres', 'BEGIN; ALTER TABLE cpis.hold DISABLE TRIGGER own_change; DELETE FROM cpis.hold; SELECT problem, uncommitted FROM cpis_retention_reconcile(); ROLLBACK');
	like($out, qr/^a hold is not as was announced: placed on this NHS number; for the test\|t$/m, 'a hold that is gone');
	($rc, $out) = $node->psql('postgres', 'BEGIN; ALTER TABLE cpis.removal DISABLE TRIGGER append_only; DELETE FROM cpis.removal; SELECT count(*) FROM cpis_retention_reconcile() WHERE uncommitted; ROLLBACK');
	cmp_ok($out =~ s/\D//gr, '>=', $DUE / 1000, 'certificates that are gone');
	is(reconcile(), '', 'all was taken back');
};

subtest 'who is let, can, and needs nothing else' => sub {
	answer(q{
		CREATE ROLE steward LOGIN;
		GRANT EXECUTE ON FUNCTION cpis_retention_set, cpis_plan_correct, cpis_hold_place, cpis_hold_release, cpis_purge_preview,
			cpis_purge_preview_months, cpis_purge_pause, cpis_purge_automatic, cpis_retention_reconcile TO steward;
		GRANT EXECUTE ON PROCEDURE cpis_purge TO steward;
	});
	make_due(10);
	my ($rc, $out, $err) = $node->psql('postgres', q{
		SELECT cpis_retention_set('looked_after', 365) > 0;
		SELECT cpis_plan_correct(2, 'typing error', end_date => '2026-02-01') > 0;
		SELECT cpis_hold_place('x', local_authority => 'E06000002') AS hold \gset
		SELECT count(*) FILTER (WHERE hold_id = :hold), count(*) > 10 FROM cpis_purge_preview();
		SELECT cpis_hold_release(:hold, 'over');
		SELECT count(*) FROM cpis_purge_preview_months();
		SELECT cpis_purge_pause(false);
		CALL cpis_purge();
		SELECT count(*) FROM cpis_retention_reconcile() WHERE NOT uncommitted;
	}, on_error_stop => 1, extra_params => [ '-U', 'steward' ]);
	is($rc, 0, 'no error') or diag $err;
	is($out, "t\nt\n5|t\n\n1\n\n0", 'and it is done');
	is(answer(q{SELECT DISTINCT session_role FROM cpis.audit_event WHERE event_id > (SELECT max(event_id) - 5 FROM cpis.audit_event)}), 'steward', 'the trail has who it was');
};
$DUE += 10;

subtest 'seen at work, cancelled, paused, and going on' => sub {
	make_due(1000);
	my $before = answer('SELECT count(*) FROM cpis.removal');
	my $begin = sub {
		my ($name) = @_;
		my $run = start_sql($node, 'CALL cpis_purge(10, 100);', user => getpwuid $<, application_name => $name);
		ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = '$name'"
			  . " AND query ~ '^cpis_purge: [1-9][0-9]* plans removed, at page [0-9]+ of [0-9]+\$'"), 'it says how far it is');
		return $run;
	};
	my $run = $begin->('cancelled');
	answer(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'cancelled'});
	is(finish_sql($run)->{states}, '57014', 'cancelled');
	my $removed = answer('SELECT count(*) FROM cpis.removal') - $before;
	cmp_ok($removed, '>=', 10, 'what was committed is removed');
	cmp_ok($removed, '<', 1000, 'and no more');

	$run = $begin->('paused');
	answer('SELECT cpis_purge_pause(true)');
	like(finish_sql($run)->{err}, qr/NOTICE: .*the purge is paused/, 'paused');
	$removed = answer('SELECT count(*) FROM cpis.removal') - $before;
	answer('CALL cpis_purge()');
	is(answer('SELECT count(*) FROM cpis.removal') - $before, $removed, 'none begins');
	answer('SELECT cpis_purge_pause(false)');
	answer('CALL cpis_purge()');
	is(answer('SELECT count(*) FROM cpis.removal') - $before, 1000, 'the next one goes on');
	is(reconcile(), '', 'all agrees');
};

# So many certificates there are by now.
$DUE += 1000;

subtest 'dump and restore' => sub {
	answer('INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)'
		. " VALUES (nhs_number_synthetic(90001), 'unborn', 'E06000001', '2020-01-01', current_date - 380)");
	answer('SELECT cpis_purge_automatic(true)');
	my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dump');
	answer('CREATE DATABASE restored');
	$node->command_ok([ 'pg_restore', '--single-transaction', '-d', $node->connstr('restored'), $dump ], 'restore');
	is(reconcile('restored'), '', 'all agrees in the copy');
	is(answer('SELECT kind, retention_days FROM cpis.retention_policy ORDER BY kind', 'restored'), "looked_after|365\nunborn|400", 'an override survives');
	is(answer('SELECT automatic, paused FROM cpis_stat_retention', 'restored'), 'f|f', 'the purge is switched off in the copy');
	is(answer('SELECT automatic FROM cpis_stat_retention'), 't', 'not in the original');
	answer('CALL cpis_purge()', 'restored');
	is(answer('SELECT count(*) FROM cpis.plan WHERE nhs_number IN (nhs_number_synthetic(90000), nhs_number_synthetic(90001))', 'restored'),
		2, 'what is held back, or held for longer, is left');
	is(answer('SELECT count(*) FROM cpis.removal', 'restored'), $DUE, 'certificates survive');
	trail_is_whole($node, 'the trail is whole', 'restored');
	answer('SELECT cpis_purge_automatic(false)');
	$node->poll_query_until('postgres', 'SELECT writer_pid IS NULL FROM cpis_stat') or die 'the writer stays';
	answer('CREATE DATABASE twin TEMPLATE postgres', 'template1');
	is(answer('SELECT automatic FROM cpis_stat_retention', 'twin'), 'f', 'nor does a copy by template begin');
};

subtest 'by itself, where it is switched on' => sub {
	make_due(100);
	answer('CREATE DATABASE empty');
	$node->append_conf('postgresql.conf', "cpis.purge_interval = 1\n");
	$node->reload;
	usleep(2_500_000);
	is(answer('SELECT due, automatic FROM cpis_stat_retention'), '100|f', 'not where it is not');
	answer('SELECT cpis_purge_pause(true), cpis_purge_automatic(true)');
	usleep(2_500_000);
	is(answer('SELECT due, automatic, paused FROM cpis_stat_retention'), '100|t|t', 'nor where it is paused');
	answer('SELECT cpis_purge_pause(false)');
	ok($node->poll_query_until('postgres', 'SELECT due = 0 FROM cpis_stat_retention'), 'in time, all that is due is removed');
	is(answer('SELECT count(*) FROM cpis.plan WHERE nhs_number = nhs_number_synthetic(90000)'), 1, 'but what is held back');
	my ($rc, $out, $err) = $node->psql('template1', 'DROP DATABASE empty');
	is($rc, 0, 'a database can be dropped meanwhile') or diag $err;
	# The launcher takes them in this order; who places a hold in the one keeps the other waiting for a while only.
	my ($first, $second) = split /\n/, answer(q{SELECT datname FROM pg_database WHERE datname IN ('postgres', 'restored') ORDER BY ctid});
	answer('SELECT cpis_purge_automatic(true)', 'restored');
	my $holder = $node->background_psql($first);
	$holder->query_safe("BEGIN; SELECT cpis_hold_place('not yet', everything => true)");
	answer(q{INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
		VALUES (nhs_number_synthetic(95000), 'looked_after', 'E06000001', '2020-01-01', '2023-01-01')}, $_) foreach $first, $second;
	ok($node->poll_query_until($second, 'SELECT due = 0 FROM cpis_stat_retention'), 'who places a hold in one database does not stop the purge of another');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	ok($node->poll_query_until($first, 'SELECT due = 0 FROM cpis_stat_retention'), 'then it is its turn');
	answer('SELECT cpis_purge_automatic(false)', 'restored');
	is(answer("SELECT problem FROM cpis_retention_reconcile() WHERE problem ~ 'switch'", 'restored'), '', 'switches of the original are none of the copy');
	is(answer(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cpis purge launcher'}), 1, 'there is one launcher');
	is(answer(q{SELECT count(*) >= 1 FROM cpis.audit_event WHERE action = 'removal' AND application_name = 'cpis purge worker'}), 't', 'who did it is in the trail');
	is(answer('SELECT string_agg(DISTINCT detail, \', \') FROM cpis.audit_event WHERE action = \'purge\''),
		'automatic: off, automatic: on, paused: off, paused: on', 'and who switched it');
	$node->stop('fast');
	$node->start;
	is(reconcile(), '', 'all agrees');
};

$node->stop;
done_testing();

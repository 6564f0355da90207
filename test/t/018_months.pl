# The trail's own retention: whole months go when their time has run and nothing
# keeps them, and everything that is left can still be proved.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Utils;
use Test::More;
use TestClock;

my $node = new_clocked_server('months', '2024-01-10 12:00:00');

sub answer
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# Look children up so many times.
sub look_up
{
	my ($n) = @_;
	answer("SELECT count(*) FROM generate_series(1, $n) n, LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'A', 'RXX', 'nhs_111')");
	return;
}

# What keeps each month.
sub months
{
	return answer('SELECT month, events, due_on, obstacle FROM cpis_purge_preview_months()');
}

sub purge
{
	# By a role that has nothing else.
	my ($rc, $out, $err) = $node->psql('postgres', 'CALL cpis_purge()', extra_params => [ '-U', 'purger' ]);
	return join ', ', map { s/\.$//r } $err =~ /NOTICE:  (month [^\n]*)/g;
}

answer('CREATE ROLE purger LOGIN; GRANT EXECUTE ON PROCEDURE cpis_purge TO purger');
look_up(300);
is(months(), '2024-01|300||no term is set', 'without a term, months stay');
set_clock('2024-02-10 12:00:00');
look_up(100);
my $witness = answer('SELECT cpis_checkpoint()');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT cpis_retention_set('audit_event', 30)");
like($err, qr/needs a reason/, 'a term, where there was none, needs a reason');
answer("SELECT cpis_retention_set('audit_event', 30, 'agreed with the information governance board')");
is(months(), "2024-01|300|2024-03-02|its time has not run\n2024-02|101|2024-03-31|its time has not run", 'its time has not run');
set_clock('2024-03-01 23:59:59');
is(purge(), '', 'on the last day it stays');
is(answer('SELECT count(*) FROM cpis.removed_month'), 0, 'nothing is removed');
set_clock('2024-03-02 00:00:00');
is(months(), "2024-01|300|2024-03-02|its last event is in no full tile yet\n2024-02|101|2024-03-31|its time has not run", 'the last tile must be full');
is(purge(), '', 'and until then the month stays');
look_up(400);
is((split /\n/, months())[0], '2024-01|300|2024-03-02|notices of it are not acknowledged', 'notices must be acknowledged');
answer(q{
	SELECT cpis_notifications_acknowledge(local_authority, max(notification_no) - 1)
		FROM cpis.notification WHERE event_id < 300 GROUP BY local_authority});
is((split /\n/, months())[0], '2024-01|300|2024-03-02|notices of it are not acknowledged', 'to the last one');
is(purge(), '', 'and until then the month stays');
answer('SELECT cpis_notifications_acknowledge(local_authority, acknowledged + 1) FROM cpis.notification_cursor');
is((split /\n/, months())[0], '2024-01|300|2024-03-02|', 'now nothing keeps it');
foreach my $hold ('nhs_number => nhs_number_synthetic(7)', "local_authority => 'E06000002'", 'everything => true')
{
	my $id = answer("SELECT cpis_hold_place('inquiry', $hold)");
	is((split /\n/, months())[0], "2024-01|300|2024-03-02|hold $id", "a hold does: $hold");
	is(purge(), '', 'and until it is released the month stays');
	answer("SELECT cpis_hold_release($id, 'over')");
}
my $other = answer("SELECT cpis_hold_place('about somebody else', nhs_number => nhs_number_synthetic(700))");
is((split /\n/, months())[0], '2024-01|300|2024-03-02|', 'one on somebody else does not');

# Somebody reads the trail, as pg_dump does.
my $reader = start_sql($node, "BEGIN; SELECT count(*) FROM cpis.audit_event; SELECT pg_sleep(600);", user => getpwuid $<, application_name => 'reader');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'reader' AND query LIKE '%pg_sleep%' AND wait_event = 'PgSleep'})
  or die 'the reader does not read';
is(purge(), 'month 2024-01 of the trail is in use, and left to the next purge', 'it is not waited for');
look_up(1);
answer(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reader'});
finish_sql($reader);

# While what is to be kept is read, which may take long, a writer can begin.
answer(q{
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END';
	CREATE TRIGGER wait AFTER INSERT ON cpis.event_count FOR EACH STATEMENT EXECUTE FUNCTION wait()});
my $purge = start_sql($node, 'CALL cpis_purge()', user => getpwuid $<, application_name => 'purge');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'purge' AND wait_event = 'PgSleep'})
  or die 'the purge does not wait';
answer('SELECT pg_terminate_backend(writer_pid) FROM cpis_stat');
$node->poll_query_until('postgres', 'SELECT writer_pid IS NULL FROM cpis_stat') or die 'the writer stays';
look_up(1);
is(answer(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'purge' AND wait_event = 'PgSleep'}), 1, 'a look-up is answered while a month is being counted');
answer(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'purge'});
is(finish_sql($purge)->{states}, '57014', 'the purge is cancelled');
answer('DROP FUNCTION wait CASCADE');
is(answer('SELECT count(*) FROM cpis.event_count'), 0, 'and has counted nothing');
is(answer("SELECT problem FROM cpis_retention_reconcile() WHERE uncommitted AND problem ~ '^a month' LIMIT 1"),
	'a month that was to be removed is there: month: 2024-01, events: 0 to 299, due on: 2024-03-02, days: 30', 'that it was announced is to be seen');

# Who has begun to read before the month goes.
my $early = $node->background_psql('postgres');
$early->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$early->query_safe('SELECT count(*) FROM cpis.hold');
my $proof = answer('SELECT cpis_tlog_proof(5)');
my $events = answer('SELECT count(*) FROM cpis.audit_event');
my $bytes = answer('SELECT cpis_event_bytes(5)');
is(purge(), 'month 2024-01 of the trail removed', 'then it goes');
is(answer('SELECT month, first_event, last_event, due_on, retention_days FROM cpis.removed_month'), '2024-01|0|299|2024-03-02|30', 'what was removed is noted');
is(answer(q{SELECT e.detail, e.recorded_at = m.removed_at FROM cpis.removed_month m JOIN cpis.audit_event e USING (event_id)}),
	'month: 2024-01, events: 0 to 299, due on: 2024-03-02, days: 30|t', 'and recorded');
is(answer('SELECT min(event_id), count(*) FROM cpis.audit_event'), '300|' . ($events + 1 - 300), 'its events are gone, and no others');
is(answer(q{SELECT to_regclass('cpis.audit_event_2024_01')}), '', 'with their table');
is(answer('SELECT action, outcome, organisation, care_setting, notify, events FROM cpis.event_count'), 'lookup|found|RXX|nhs_111|t|300', 'their count is kept');
is(answer('SELECT count(*) FROM cpis.notification WHERE event_id < 300'), 301, 'so are the notices');

is($early->query_safe('SELECT problem IS NULL FROM cpis_audit_verify()'), 't', 'who reads under an older snapshot finds it whole');
$early->quit;
is(answer("SELECT count(*) FROM cpis_retention_reconcile() WHERE problem ~ '^a month'"), 0, 'that an earlier purge had failed is not to be seen any more');

# What is left holds.
sub whole
{
	my ($name, $database) = @_;
	is(answer('SELECT event_id, problem FROM cpis_audit_verify()', $database), '|', "$name: the trail is whole");
	is(answer(q{SELECT * FROM cpis_retention_reconcile() WHERE NOT uncommitted AND problem !~ '"clinician"'}, $database), '', "$name: all agrees");
	return;
}
whole('afterwards');
is(answer('SELECT checked FROM cpis_audit_verify()'), answer('SELECT count(*) FROM cpis.audit_event'), 'what is there is verified');
is(answer('SELECT checked, problem FROM cpis_audit_verify(300, 400)'), '101|', 'a part, too');
($rc, $out, $err) = $node->psql('postgres', 'SELECT * FROM cpis_audit_verify(299, 400)');
like($err, qr/Events below 300 have been removed/, 'a part that is gone is said to be');
is(answer("SELECT cpis_checkpoint_compare(\$\$$witness\n\$\$)"), 'consistent', 'a checkpoint from before is consistent');
is(answer(q{
	SELECT count(*) FROM cpis.audit_event e, (SELECT decode(split_part(cpis_checkpoint(), E'\n', 3), 'base64') AS root) c,
			(SELECT max(event_id) + 1 AS size FROM cpis.audit_event) s
		WHERE NOT cpis_verify_inclusion(cpis_event_bytes(event_id), event_id, size, cpis_inclusion_proof(event_id, size), root)}), 0,
	'every event left is proved');
is(answer(qq{
	SELECT cpis_verify_inclusion('$bytes', 5, size, cpis_inclusion_proof(5, size), root)
	FROM (SELECT decode(split_part(cpis_checkpoint(), E'\\n', 3), 'base64') AS root) c, (SELECT max(event_id) + 1 AS size FROM cpis.audit_event) s}), 't',
	'and so is one that was removed, for who has kept it');

# The next writer goes on.
$node->stop;
start_clocked($node);
look_up(10);
whole('after a restart');
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dump');
answer('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--single-transaction', '-d', $node->connstr('restored'), $dump ], 'restore');
whole('restored', 'restored');
answer(q{SELECT cpis_flag(nhs_number_synthetic(1), 'A', 'RXX', 'camhs')}, 'restored');
whole('restored, after one more event', 'restored');

# Who pretends that a removal was recorded, or changes what is left of it, shows.
foreach my $try (
	[ qr/^0\|the event is missing/, 'DELETE FROM cpis.removed_month' ],
	[ qr/nothing has recorded the removal/, "INSERT INTO cpis.removed_month SELECT '2024-02', 300, 310, due_on, 30, removed_at, event_id FROM cpis.removed_month" ],
	[ qr/nothing has recorded the removal/, 'UPDATE cpis.removed_month SET event_id = event_id - 1' ],
	[ qr/event.* missing|nothing has recorded|number 300/, 'UPDATE cpis.removed_month SET last_event = 300' ],
	[ qr/nothing has recorded the removal/, 'UPDATE cpis.removed_month SET first_event = 1' ],
	[ qr/^0\|tile 0 of level 0 has been changed/, q{ALTER TABLE cpis.ledger_tile DISABLE TRIGGER append_only; UPDATE cpis.ledger_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE tile = 0 AND level = 0} ],
	[ qr/tile 0 of level 0 is missing/, q{ALTER TABLE cpis.ledger_tile DISABLE TRIGGER append_only; DELETE FROM cpis.ledger_tile WHERE tile = 0 AND level = 0} ],
	[ qr/there is an event with the number 17/, q{ALTER TABLE cpis.audit_event_2024_02 DISABLE TRIGGER append_only; CREATE TEMP TABLE one AS SELECT * FROM cpis.audit_event_2024_02 LIMIT 1;
		UPDATE one SET event_id = 17; INSERT INTO cpis.audit_event_2024_02 TABLE one} ],
	[ qr/event is missing/, q{ALTER TABLE cpis.audit_event_2024_02 DISABLE TRIGGER append_only; DELETE FROM cpis.audit_event_2024_02 WHERE event_id = 300} ],
	[ qr/event is missing/, 'SET LOCAL cpis.allow_drop = on; DROP TABLE cpis.audit_event_2024_02' ],
	[ qr/event is missing/, 'ALTER TABLE cpis.audit_event DETACH PARTITION cpis.audit_event_2024_02' ],
	[ qr/gap in their numbers/, q{ALTER TABLE cpis.notification DISABLE TRIGGER append_only; DELETE FROM cpis.notification WHERE event_id = 3} ])
{
	my ($expected, $sql) = @$try;
	($rc, $out, $err) = $node->psql('restored', "BEGIN; ALTER TABLE cpis.removed_month DISABLE TRIGGER append_only; $sql; SELECT event_id, problem FROM cpis_audit_verify(); ROLLBACK;", on_error_stop => 1);
	like($out . $err, $expected, $sql);
}

# The next month, and the one after it, in one purge; what others lean on is kept.
answer("SELECT cpis_hold_release($other, 'over')");
set_clock('2024-05-20 12:00:00');
look_up(600);
answer('SELECT cpis_notifications_acknowledge(local_authority, max(notification_no)) FROM cpis.notification GROUP BY local_authority');
is(purge(), 'month 2024-02 of the trail removed, month 2024-03 of the trail removed', 'two months in one purge');
is(answer('SELECT count(*) > 0, bool_and(action IN (\'key\', \'purge\', \'removal\', \'retention\', \'hold\')) FROM cpis.kept_event'), 't|t', 'events that others lean on are kept');
whole('two months later');
is(answer('SELECT sum(events) FROM cpis.event_count'), answer('SELECT min(event_id) FROM cpis.audit_event'), 'every event was counted');
($rc, $out, $err) = $node->psql('postgres', q{BEGIN; ALTER TABLE cpis.kept_event DISABLE TRIGGER append_only;
	UPDATE cpis.kept_event SET detail = replace(detail, '30', '31') WHERE action = 'retention'; SELECT problem FROM cpis_retention_reconcile(); ROLLBACK});
like($out, qr/the event that was kept is not the one in the ledger/, 'and cannot be changed unseen');
# What is left of months that have gone is not changed unseen either.
my $off = 'ALTER TABLE cpis.%1$s DISABLE TRIGGER append_only; %2$s; ALTER TABLE cpis.%1$s ENABLE ALWAYS TRIGGER append_only';
foreach my $try (
	[ qr/not all events of month 2024-0\d that should have been kept/, 'kept_event', "DELETE FROM cpis.kept_event WHERE action = 'retention'" ],
	[ qr/event that was kept is not the one/, 'kept_event', "UPDATE cpis.kept_event SET recorded_at = recorded_at - interval '1 day' WHERE action = 'retention'" ],
	[ qr/month 2024-01 had 300 events, and 0 were counted/, 'event_count', 'DELETE FROM cpis.event_count' ],
	[ qr/month 2024-01 had 300 events, and 301 were counted/, 'event_count', "UPDATE cpis.event_count SET events = events + 1 WHERE month = '2024-01'" ],
	[ qr/month 2024-09, which has not gone/, 'event_count', "INSERT INTO cpis.event_count VALUES ('2024-09', 'lookup', 'found', NULL, NULL, NULL, 1)" ],
	[ qr/nothing has recorded that month 2024-01 went/, 'removed_month', "UPDATE cpis.removed_month SET due_on = due_on - 1 WHERE month = '2024-01'" ],
	[ qr/nothing has recorded that month 2024-01 went/, 'removed_month', "UPDATE cpis.removed_month SET retention_days = 31 WHERE month = '2024-01'" ],
	[ qr/nothing has recorded that month 2024-01 went/, 'removed_month', "UPDATE cpis.removed_month SET removed_at = now() WHERE month = '2024-01'" ],
	[ qr/nothing has recorded that month 2024-02 went/, 'removed_month', "UPDATE cpis.removed_month SET first_event = first_event + 1 WHERE month = '2024-02'" ])
{
	my ($expected, $table, $sql) = @$try;
	($rc, $out, $err) = $node->psql('postgres', 'BEGIN; ' . sprintf($off, $table, $sql) . '; SELECT problem FROM cpis_retention_reconcile() WHERE NOT uncommitted; ROLLBACK', on_error_stop => 1);
	like($out . $err, $expected, $sql);
}
# A hold on an authority whose event has gone with its month, in force; and one that was taken away.
($rc, $out, $err) = $node->psql('postgres', q{BEGIN; ALTER TABLE cpis.hold DISABLE TRIGGER own_change; UPDATE cpis.hold SET local_authority = 'E06000001' WHERE local_authority IS NOT NULL;
	ALTER TABLE cpis.hold ENABLE ALWAYS TRIGGER own_change; SELECT problem FROM cpis_retention_reconcile() WHERE NOT uncommitted; ROLLBACK}, on_error_stop => 1);
like($out . $err, qr/nothing has recorded that hold 2 was placed/, 'a hold on another authority');
answer("SELECT cpis_retention_set('audit_event', NULL)");
is((split /\n/, months())[0], (split /\|/, months())[0] . '|' . (split /\|/, months())[1] . '||no term is set', 'the term can be taken away');

$node->stop;
done_testing();

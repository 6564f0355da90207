# A session keeps the rows of the reference tables that it has read.  Whatever
# way a change comes, the look-up after it shows it.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Organisations, and as many authorities, that one session looks up: it keeps a
# thousand rows.
use constant MANY => 2000;

my $node = new_server('reference', conf => "max_prepared_transactions = 2\n");
my $publisher = new_server('publisher', init => [ allows_streaming => 'logical' ]);

give_scope($node, 'clinician', 'RNEW');

# Telephone and organisation that child n, who has one plan, is shown with.
$node->safe_psql('postgres', q{
	CREATE FUNCTION answer(n integer, organisation text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RETURN (
			SELECT DISTINCT l.emergency_duty_phone || ' ' || h.organisation_name
			FROM cpis_lookup(nhs_number_synthetic(n), 'A Nurse', $2, 'camhs') l,
				cpis_access_history(l.event_id) h
			WHERE h.organisation = $2);
	EXCEPTION WHEN undefined_object THEN
		RETURN 'refused';
	END
	$$;
});

sub change { return $node->safe_psql('postgres', $_[0]); }

# What the session is shown of child 2, five times: the first look-ups may keep
# nothing, the others show what is kept.
sub shows
{
	my ($session, $expected, $name, $organisation) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$organisation //= 'RXX';
	is($session->query_safe("SELECT DISTINCT answer(2, '$organisation') FROM generate_series(1, 5)"),
		$expected, $name);
	return;
}

sub new_session
{
	my $session = $node->background_psql('postgres', extra_params => [ '-U', 'clinician' ]);
	shows($session, '01632 960003 A TRUST', 'a session looks up, and keeps the rows');
	return $session;
}

# As new_server() made it.
sub restore_register
{
	change(q{
		UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960003' WHERE code = 'E06000002';
		DELETE FROM cpis.organisation;
		INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');
	});
	return;
}

subtest 'that there is no record of a care setting' => sub {
	my $session = $node->background_psql('postgres', extra_params => [ '-U', 'clinician' ]);
	my $look = sub {
		my ($expected, $name) = @_;
		# Several times: the first look-ups may keep nothing.
		is($session->query_safe("SELECT string_agg(DISTINCT looked_from('dentistry'), ' ') FROM generate_series(1, 5)"), $expected, $name);
	};
	change(q{
		CREATE FUNCTION looked_from(setting text) RETURNS text LANGUAGE plpgsql AS $$
		BEGIN
			RETURN (SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(2), 'A Nurse', 'RXX', setting));
		EXCEPTION WHEN object_not_in_prerequisite_state THEN
			RETURN 'refused';
		END $$;
		INSERT INTO cpis.provider VALUES ('RXX')});
	$look->('1', 'no record, and that is kept');
	change(q{SELECT cpis_provider_setting_set('RXX', 'dentistry')});
	$look->('refused', 'one that is not live, of another session');
	change(q{SELECT cpis_provider_setting_set('RXX', 'dentistry', live_from => '2026-01-01')});
	$look->('1', 'it is live');
	change(q{BEGIN; SELECT cpis_provider_setting_set('RXX', 'dentistry'); ROLLBACK});
	$look->('1', 'what was taken back does not count');
	change(q{SELECT cpis_provider_setting_remove('RXX', 'dentistry'); DELETE FROM cpis.provider});
	$look->('1', 'no record again');
	$session->quit;
};

subtest 'logical replication into the database that looks up' => sub {
	my $publish = sub {
		$publisher->safe_psql('postgres', $_[0]);
		$publisher->wait_for_catchup('register');
	};
	$publisher->safe_psql('postgres',
		'CREATE PUBLICATION register FOR TABLE cpis.local_authority, cpis.organisation');
	change("CREATE SUBSCRIPTION register CONNECTION '" . $publisher->connstr
		  . " dbname=postgres' PUBLICATION register WITH (copy_data = false)");
	# The first of them waits until the worker is there.
	$publisher->wait_for_catchup('register');

	my $session = new_session();
	$publish->(q{UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960103' WHERE code = 'E06000002'});
	shows($session, '01632 960103 A TRUST', 'a replicated UPDATE of an authority');
	$publish->(q{UPDATE cpis.organisation SET name = 'B TRUST' WHERE code = 'RXX'});
	shows($session, '01632 960103 B TRUST', 'a replicated UPDATE of an organisation');
	shows($session, 'refused', 'an organisation that is not there', 'RNEW');
	$publish->(q{INSERT INTO cpis.organisation VALUES ('RNEW', 'NEW TRUST')});
	shows($session, '01632 960103 NEW TRUST', 'a replicated INSERT', 'RNEW');
	$publish->(q{DELETE FROM cpis.organisation WHERE code = 'RNEW'});
	shows($session, 'refused', 'a replicated DELETE', 'RNEW');
	shows($session, '01632 960103 B TRUST', 'the other organisation is there');

	$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	shows($session, '01632 960103 B TRUST', 'in a transaction');
	$publish->(q{UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960203' WHERE code = 'E06000002'});
	shows($session, '01632 960203 B TRUST', 'a replicated UPDATE, in a transaction that began before');
	$session->query_safe('COMMIT');

	shows($session, '01632 960203 B TRUST', 'after it');
	$publish->('TRUNCATE cpis.organisation');
	shows($session, 'refused', 'a replicated TRUNCATE');
	$session->quit;

	change('DROP SUBSCRIPTION register');
	restore_register();
};
$publisher->stop;

subtest 'prepared transaction' => sub {
	my $session = new_session();
	my $superuser = $node->background_psql('postgres');
	$superuser->query_safe(q{
		BEGIN;
		UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960303' WHERE code = 'E06000002';
	});
	shows($superuser, '01632 960303 A TRUST', 'who changes it sees it');
	$superuser->query_safe(q{PREPARE TRANSACTION 'change'});
	shows($superuser, '01632 960003 A TRUST', 'until it is prepared');
	shows($session, '01632 960003 A TRUST', 'nor does another session see it');
	change(q{COMMIT PREPARED 'change'});
	shows($superuser, '01632 960303 A TRUST', 'who changed it sees it again when it is committed');
	shows($session, '01632 960303 A TRUST', 'and so does the other session');
	$_->quit for $superuser, $session;
	restore_register();
};

subtest 'more messages than a session can take' => sub {
	my $session = new_session();
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	kill 'STOP', $pid;
	change(q{UPDATE cpis.local_authority SET emergency_duty_phone = '01632 960403' WHERE code = 'E06000002'});
	# Thousands, so that the queue runs over.
	change(q{
		DO $$ BEGIN
			FOR i IN 1..500 LOOP
				CREATE TEMPORARY TABLE short_lived ();
				DROP TABLE short_lived;
				COMMIT;
			END LOOP;
		END $$
	});
	kill 'CONT', $pid;
	shows($session, '01632 960403 A TRUST', 'the change is seen all the same');
	$session->quit;
	restore_register();
};

subtest 'more rows than are kept' => sub {
	my $many = MANY;
	# Child n of authority n is looked up by organisation n; rows as long as may be.
	change(qq{
		INSERT INTO cpis.organisation
			SELECT 'RN' || n, rpad('TRUST ' || n, 200, '.') FROM generate_series(1, $many) n;
		INSERT INTO cpis.local_authority
			SELECT 'E09' || 100000 + n, rpad('Authority ' || n, 200, '.'), NULL, '01632 ' || 100000 + n
			FROM generate_series(1, $many) n;
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			SELECT nhs_number_synthetic(10000 + n), 'unborn', 'E09' || 100000 + n, '2026-01-01'
			FROM generate_series(1, $many) n;
		CREATE TABLE right_answer AS
			SELECT n, '01632 ' || 100000 + n || ' ' || rpad('TRUST ' || n, 200, '.') AS expected
			FROM generate_series(1, $many) n;
	});
	my $session = $node->background_psql('postgres');
	my $wrong = q{
		SELECT count(*), count(*) FILTER (WHERE answer(10000 + n, 'RN' || n) IS DISTINCT FROM expected)
		FROM right_answer};
	is($session->query_safe($wrong), "$many|0", 'all answers are right') for 1 .. 2;
	change(q{
		UPDATE cpis.local_authority SET emergency_duty_phone = overlay(emergency_duty_phone PLACING '2' FROM 7)
			WHERE code LIKE 'E091%';
		UPDATE right_answer SET expected = overlay(expected PLACING '2' FROM 7);
		DELETE FROM cpis.organisation USING right_answer WHERE code = 'RN' || n AND n % 10 = 0;
		UPDATE right_answer SET expected = 'refused' WHERE n % 10 = 0;
	});
	is($session->query_safe($wrong), "$many|0", 'after all were changed or deleted, too') for 1 .. 2;
	my $used = $session->query_safe(q{
		SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name = 'cpis reference rows'});
	note "$used bytes";
	cmp_ok($used, '>', 0, 'rows are kept');
	cmp_ok($used, '<', 900_000, 'but not all of them');
	$session->quit;
};

# One session changes a telephone, commits, and then tells which one it is now;
# others hear that, look up, and must be shown that one or a later one.
subtest 'a change is seen as soon as its commit has returned' => sub {
	change(q{
		CREATE TABLE told (n integer, finished boolean);
		INSERT INTO told VALUES (0, false);
		UPDATE cpis.local_authority SET emergency_duty_phone = '01632 000000' WHERE code = 'E06000002';
		CREATE PROCEDURE watch(committing boolean, INOUT rounds integer = 0, INOUT stale integer = 0)
			LANGUAGE plpgsql AS $$
		DECLARE
			known record;
			shown integer;
		BEGIN
			-- Locks all of them, where the transaction stays.
			PERFORM FROM cpis.local_authority, cpis.organisation, cpis.care_setting, cpis.plan_type, cpis.plan, told LIMIT 1;
			LOOP
				SELECT * INTO known FROM told;
				SELECT right(emergency_duty_phone, 6) INTO shown
					FROM cpis_lookup(nhs_number_synthetic(2), 'A Nurse', 'RXX', 'camhs');
				rounds := rounds + 1;
				stale := stale + (shown < known.n)::integer;
				EXIT WHEN known.finished;
				IF committing THEN
					COMMIT;
				END IF;
			END LOOP;
		END
		$$;
	});
	my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
	my @watchers = map {
		start_sql($node, "SET statement_timeout = '2min'; CALL watch($_);", user => $superuser)
	} 'true', 'false';
	# Pauses of up to 5 ms, for rows to be kept in, or none.
	my $changes = $node->safe_psql('postgres', q{
		SET synchronous_commit = off;
		DO $$
		DECLARE
			started timestamptz := clock_timestamp();
			i integer := 0;
		BEGIN
			LOOP
				i := i + 1;
				UPDATE cpis.local_authority SET emergency_duty_phone = '01632 ' || lpad(i::text, 6, '0')
					WHERE code = 'E06000002';
				COMMIT;
				UPDATE told SET n = i;
				COMMIT;
				PERFORM pg_sleep(0.005 * random()) WHERE random() < 0.7;
				EXIT WHEN clock_timestamp() > started + interval '4 s' AND i >= 500 OR i = 999999;
			END LOOP;
			UPDATE told SET finished = true;
		END $$;
		SELECT n FROM told});
	for my $watcher (@watchers)
	{
		finish_sql($watcher);
		is($watcher->{err}, '', 'a watcher has no error');
		my ($rounds, $stale) = split /\|/, $watcher->{out};
		note "$changes changes, $rounds rounds";
		cmp_ok($rounds, '>', 100, 'it looks up many times');
		is($stale, 0, 'and is never shown what was before a commit that had returned');
	}
};

$node->stop;
done_testing();

# What the table of guarantees says of callers: whatever becomes of their
# transaction, what was disclosed is recorded, and numbers have no gaps.
#
# "Recorded" is always read in another session, by request_id.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', conf => "max_prepared_transactions = 2\n");

$node->safe_psql('postgres', q{
	CREATE ROLE executor LOGIN;
	GRANT EXECUTE ON FUNCTION cpis_lookup TO executor;
	CREATE ROLE outsider LOGIN;
	CREATE ROLE app LOGIN NOINHERIT;
	GRANT clinician TO app;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
});

# Run SQL that looks up with this request_id and prints each event_id that it is
# shown: so many events were shown, and exactly these are recorded.
sub discloses_and_records
{
	my ($request, $sql, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $run = run_sql($node, $sql, %option);
	is($run->{states}, $option{states} // '', "$request: errors")
	  or diag $run->{err};
	my @shown = split /\n/, $run->{out};
	is(scalar @shown, $option{events} // 1, "$request: disclosed");
	is(event_ids($node, $request), $run->{out}, "$request: recorded");
	return;
}

# SQL of a look-up of child 7 by a caller who is to be refused.
sub refused_sql
{
	my ($request, %argument) = @_;
	my %with = (
		nhs_number => 'nhs_number_synthetic(7)',
		worker_name => "'A Nurse'",
		organisation => "'RXX'",
		care_setting => "'emergency_department'",
		request_id => "'$request'",
		%argument);
	my $function = delete $with{function} // 'FROM cpis_lookup';
	return "SELECT 'disclosed' $function("
	  . join(', ', map { "$_ => $with{$_}" } sort keys %with) . ')';
}

subtest 'caller commits: disclosed, recorded, notified' => sub {
	discloses_and_records('autocommit', lookup_sql(2, 'autocommit'));
	discloses_and_records('committed', "BEGIN;\n" . lookup_sql(3, 'committed') . ";\nCOMMIT;");
	is( $node->safe_psql('postgres', q{
			SELECT action, outcome, nhs_number = nhs_number_synthetic(3), worker_name, organisation,
				care_setting, notify, notified_authority, session_role, effective_role,
				array_length(plan_ids, 1), recorded_at BETWEEN pg_postmaster_start_time() AND now()
			FROM cpis.audit_event WHERE request_id = 'committed'}),
		'lookup|found|t|A Nurse|RXX|emergency_department|t|{E06000001}|clinician|clinician|1|t',
		'the event says who, when, where and what');
	is( $node->safe_psql('postgres', q{
			SELECT n.local_authority, n.notification_no = e.notification_no[1]
			FROM cpis.notification n JOIN cpis.audit_event e USING (event_id)
			WHERE e.request_id = 'committed'}),
		'E06000001|t', 'the authority has its notice');

	my $run = run_sql($node,
		'BEGIN; SELECT pg_current_xact_id(); ' . lookup_sql(2, 'xid') . ' \g /dev/null' . "\nROLLBACK;");
	is($node->safe_psql('postgres',
			"SELECT transaction_id FROM cpis.audit_event WHERE request_id = 'xid'"),
		$run->{out}, 'an event names the transaction of a caller that has a number');
};

subtest 'caller rolls back: disclosed and recorded' => sub {
	discloses_and_records('rollback', "BEGIN;\n" . lookup_sql(4, 'rollback') . ";\nROLLBACK;");
	discloses_and_records('failed',
		"BEGIN;\n" . lookup_sql(4, 'failed') . ";\nSELECT 1/0;\nCOMMIT;", states => '22012');
	discloses_and_records('prepared transaction',
		"BEGIN;\n" . lookup_sql(4, 'prepared transaction')
		  . ";\nPREPARE TRANSACTION 'two'; ROLLBACK PREPARED 'two';");
	discloses_and_records('cursor',
		'BEGIN; DECLARE c CURSOR FOR ' . lookup_sql(4, 'cursor') . ";\nFETCH c;\nROLLBACK;");
	discloses_and_records('cursor not fetched',
		'BEGIN; DECLARE c CURSOR FOR ' . lookup_sql(4, 'cursor not fetched') . ";\nROLLBACK;",
		events => 0);
	is(events($node, 'rollback', 'found'), 1, 'with its outcome');
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM cpis.notification JOIN cpis.audit_event USING (event_id)
			WHERE request_id = 'rollback'}),
		1, 'and the notice is there');
};

subtest 'caller rolls back to a savepoint: disclosed and recorded' => sub {
	discloses_and_records('savepoint',
		"BEGIN; SAVEPOINT s;\n" . lookup_sql(4, 'savepoint') . ";\nROLLBACK TO s;\n"
		  . lookup_sql(5, 'savepoint') . ";\nCOMMIT;", events => 2);

	# A block with an exception handler is a subtransaction.
	my $run = run_sql($node, q{
		DO $$
		BEGIN
			PERFORM FROM cpis_lookup(nhs_number_synthetic(5), 'A Nurse', 'RXX',
				'emergency_department', request_id => 'handler');
			PERFORM 1 / 0;
		EXCEPTION WHEN division_by_zero THEN
			RAISE NOTICE 'handled';
		END
		$$});
	like($run->{err}, qr/NOTICE:.*handled/, 'an exception handler catches a later error');
	is(events($node, 'handler', 'found'), 1, 'the event of the look-up before it stays');
	$run = run_sql($node, 'DO $$ BEGIN PERFORM ('
		  . refused_sql('caught', organisation => "'NOPE'")
		  . q{); EXCEPTION WHEN undefined_object THEN RAISE NOTICE 'handled'; END $$});
	like($run->{err}, qr/NOTICE:.*handled/, 'an exception handler catches a refusal');
	is(events($node, 'caught', 'refused'), 1, 'the refusal stays recorded');
};

subtest 'caller is in a READ ONLY or REPEATABLE READ transaction: disclosed and recorded' => sub {
	my $n = 2000;
	for my $mode ('READ ONLY', 'ISOLATION LEVEL REPEATABLE READ', 'ISOLATION LEVEL SERIALIZABLE',
		'ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE')
	{
		discloses_and_records($mode, "BEGIN $mode;\n" . lookup_sql(6, $mode) . ";\nCOMMIT;");
		discloses_and_records("$mode, rolled back",
			"BEGIN $mode;\n" . lookup_sql(6, "$mode, rolled back") . ";\nROLLBACK;");

		# A plan committed after the snapshot of the transaction was taken.
		$n++;
		my $session = $node->background_psql('postgres', extra_params => [ '-U', 'clinician' ]);
		$session->query_safe("BEGIN $mode; SELECT count(*) FROM pg_class");
		$node->safe_psql('postgres', "
			INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			VALUES (nhs_number_synthetic($n), 'unborn', 'E06000001', '2026-03-01')");
		my $shown = $session->query_safe(lookup_sql($n, "$mode, later plan"));
		isnt($shown, '', "$mode: a plan committed after the snapshot is disclosed");
		is(event_ids($node, "$mode, later plan"), $shown, "$mode: and recorded, before the caller ends");
		$session->query_safe('COMMIT');
		$session->quit;
	}
};

subtest 'caller commits or rolls back: every way to ask leaves its events' => sub {
	discloses_and_records('copy', 'COPY (' . lookup_sql(8, 'copy') . ') TO STDOUT;');
	discloses_and_records('copy rolled back',
		'BEGIN; COPY (' . lookup_sql(8, 'copy rolled back') . ') TO STDOUT; ROLLBACK;');

	run_sql($node, 'EXPLAIN ' . lookup_sql(8, 'explain'));
	is(events($node, 'explain'), 0, 'plain EXPLAIN looks nothing up, and nothing is recorded');
	my $run = run_sql($node, 'EXPLAIN (ANALYZE, COSTS OFF) ' . lookup_sql(8, 'analyze'));
	like($run->{out}, qr/rows=1/, 'EXPLAIN ANALYZE does');
	is(events($node, 'analyze', 'found'), 1, 'and is recorded');

	for my $mode ('auto', 'force_generic_plan', 'force_custom_plan')
	{
		my $request = "execute $mode";
		discloses_and_records($request,
			"SET plan_cache_mode = $mode;\nPREPARE l(int) AS "
			  . lookup_sql('$1', $request) . ";\n"
			  . join("\n", map { "EXECUTE l($_);" } 11 .. 17), events => 7);
		is($node->safe_psql('postgres',
				"SELECT count(DISTINCT nhs_number) FROM cpis.audit_event WHERE request_id = '$request'"),
			7, "$request: each with its own number");
	}

	discloses_and_records('lateral',
		'SELECT DISTINCT l.event_id FROM generate_series(1, 1000) n, LATERAL ('
		  . lookup_sql('n', 'lateral') . ') l ORDER BY 1', events => 1000);
	is( $node->safe_psql('postgres', q{
			SELECT max(event_id) - min(event_id), count(DISTINCT nhs_number)
			FROM cpis.audit_event WHERE request_id = 'lateral'}),
		'999|1000', 'a lateral join over 1,000 numbers makes 1,000 events in a row');

	discloses_and_records('null', 'SELECT event_id FROM (VALUES (NULL::int)) v (n), LATERAL ('
		  . lookup_sql('n', 'null') . ') l', events => 0, states => '22004');
};

subtest 'caller commits: parallel queries are no way around the event' => sub {
	my $forced = force_parallel($node);
	my $parallel = "SET $forced = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
	  . ' SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 4;';
	my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

	like($node->safe_psql('postgres', "$parallel EXPLAIN SELECT count(*) FROM cpis.plan"),
		qr/Gather/, 'a query over the plans is parallel');
	discloses_and_records('parallel',
		"$parallel\nSELECT event_id FROM (SELECT nhs_number FROM cpis.plan WHERE plan_id % 10 = 4 AND plan_type = 'child_protection') p,"
		  . " LATERAL cpis_lookup(p.nhs_number, 'A Nurse', 'RXX', 'emergency_department',"
		  . " request_id => 'parallel') ORDER BY 1", events => 100, user => $superuser);

	# Declared what it is not; whether a worker is there to run it is chance.
	$node->safe_psql('postgres', q{
		CREATE FUNCTION mislabelled() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE
		AS $$ BEGIN RETURN (SELECT event_id FROM cpis_lookup(nhs_number_synthetic(9), 'A Nurse', 'RXX',
			'emergency_department', request_id => 'mislabelled')); END $$;
	});
	my $run = run_sql($node, "$parallel\nSELECT mislabelled();");
	is(event_ids($node, 'mislabelled'), $run->{out},
		'in a function wrongly declared PARALLEL SAFE, disclosed is what is recorded');
	is($run->{states}, $run->{out} eq '' ? '25000' : '', 'and a parallel worker gets an error');
};

subtest 'nothing held for that number: empty result, recorded as not found' => sub {
	my $run = run_sql($node, lookup_sql(5000, 'none'));
	is("$run->{states}$run->{out}", '', 'no row, no error');
	is(events($node, 'none', 'not_found'), 1, 'recorded');
	is( $node->safe_psql('postgres', q{
			SELECT notified_authority, notification_no, plan_ids, notify
			FROM cpis.audit_event WHERE request_id = 'none'}),
		'|||t', 'nobody is notified of a miss');
	$run = run_sql($node, "SELECT cpis_flag(nhs_number_synthetic(n), 'A Nurse', 'RXX', 'nhs_111',"
		  . " request_id => 'flag') FROM (VALUES (5000), (2)) v (n); ROLLBACK;");
	is($run->{out}, "f\nt", 'cpis_flag() answers');
	is( $node->safe_psql('postgres', q{
			SELECT string_agg(concat_ws(' ', action, outcome, notify, notified_authority), ', ' ORDER BY event_id)
			FROM cpis.audit_event WHERE request_id = 'flag'}),
		'flag not_found f, flag found f', 'and is recorded without notices');
};

subtest 'caller not entitled, organisation unknown: error, recorded as refused' => sub {
	my @refusals = (
		[ 'unknown organisation', '42704', { organisation => "'NOPE'" } ],
		[ 'unknown care setting', '42704', { care_setting => "'garden'" } ],
		[ 'placeholder number', '22023', { nhs_number => "'0000000000'" } ],
		[ 'not entitled to read silently', '42501', { notify => 'false' } ],
		[ 'not entitled', '42501', {}, 'executor' ],
		[ 'unknown organisation', '42704', { organisation => "'NOPE'", function => ', cpis_flag' } ],
	);
	for my $refusal (@refusals)
	{
		my ($detail, $state, $argument, $user) = @$refusal;
		my $request = $detail . ($argument->{function} // '');
		my $run = run_sql($node, "BEGIN;\n" . refused_sql($request, %$argument) . ";\nROLLBACK;",
			user => $user // 'clinician');
		is($run->{states}, $state, "$request: SQLSTATE");
		is($run->{out}, '', "$request: nothing disclosed");
		is( $node->safe_psql('postgres',
				"SELECT outcome, detail, plan_ids, notified_authority, notification_no, session_role"
				  . " FROM cpis.audit_event WHERE request_id = '$request'"),
			"refused|$detail||||" . ($user // 'clinician'), "$request: recorded, nobody notified");
	}

	for my $function ('FROM cpis_lookup', ', cpis_flag')
	{
		my $run = run_sql($node, refused_sql('no right', function => $function), user => 'outsider');
		is("$run->{states}$run->{out}", '42501', "without EXECUTE, $function is denied");
	}
	is(events($node, 'no right'), 0, 'and never begins');

	my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
	my $run = run_sql($node, refused_sql('silent', notify => 'false'), user => $superuser);
	is("$run->{states}$run->{out}", 'disclosed', 'a superuser may read silently');
	is( $node->safe_psql('postgres', q{
			SELECT outcome, notify, notified_authority, array_length(plan_ids, 1), session_role = current_user
			FROM cpis.audit_event WHERE request_id = 'silent'}),
		'found|f||1|t', 'and is recorded like anybody');
};

subtest 'caller commits: the event names the role that logged in and the one that acted' => sub {
	my $roles = sub {
		return $node->safe_psql('postgres',
			"SELECT session_role, effective_role FROM cpis.audit_event WHERE request_id = '$_[0]'");
	};
	my $run = run_sql($node, lookup_sql(10, 'before SET ROLE'), user => 'app');
	is("$run->{states}$run->{out}", '42501', 'a role that does not inherit is not entitled');
	discloses_and_records('set role', "SET ROLE clinician;\n" . lookup_sql(10, 'set role'), user => 'app');
	is($roles->('set role'), 'app|clinician', 'SET ROLE');

	$node->safe_psql('postgres', q{
		CREATE FUNCTION wrapper(n integer, request text) RETURNS bigint
			LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
			AS $$ SELECT event_id FROM cpis_lookup(nhs_number_synthetic(n), 'A Nurse', 'RXX',
				'emergency_department', request_id => request) $$;
		ALTER FUNCTION wrapper OWNER TO clinician;
	});
	discloses_and_records('definer', "SELECT wrapper(10, 'definer')", user => 'outsider');
	is($roles->('definer'), 'outsider|clinician', 'SECURITY DEFINER');
};

subtest 'caller commits: the access history is open in the transaction of the look-up' => sub {
	for my $mode ('READ COMMITTED', 'REPEATABLE READ')
	{
		my $n = $mode eq 'READ COMMITTED' ? 501 : 502;
		my $run = run_sql($node, "BEGIN ISOLATION LEVEL $mode READ ONLY; SELECT count(*) > 0 FROM pg_class;\n"
			  . lookup_sql($n, "history $mode") . " \\gset\n"
			  . "SELECT worker_name, organisation, organisation_name, care_setting"
			  . " FROM cpis_access_history(:event_id);\nROLLBACK;");
		# The first of this worker within a day, that of the lateral join, and this one.
		is($run->{out}, join("\n", 't', ('A Nurse|RXX|A TRUST|emergency_department') x 2),
			"$mode: this access and the one before");
		is($run->{states}, '', "$mode: no error");
	}
	my $run = run_sql($node, "SET ROLE clinician; SELECT * FROM cpis_access_history("
		  . event_ids($node, 'silent') . ')');
	is("$run->{states}$run->{out}", '42501', 'the history of another role\'s look-up is not open');
};

subtest 'caller commits or rolls back: concurrent callers, and no number is missing' => sub {
	my $events = sub { $node->safe_psql('postgres', 'SELECT count(*) FROM cpis.audit_event') };
	my $before = $events->();
	my $random = "\\set n random(1, 1000)\n";
	my $lookup = lookup_sql(':n', 'bench') . ";\n";
	$node->pgbench(
		'-n -c 16 -j 2 -t 60 -U clinician', 0, [qr{processed: 960/960}], [qr/^$/],
		'16 clients look up',
		{
			'commit.sql@4' => "$random$lookup",
			'rollback.sql@3' => "${random}BEGIN;\n${lookup}ROLLBACK;\n",
			'flag.sql@2' => $random . lookup_sql(':n', 'bench') =~ s/event_id FROM cpis_lookup/cpis_flag/r . ";\n",
			'refused.sql@1' => 'DO $$ BEGIN PERFORM (' . refused_sql('bench', organisation => "'NOPE'")
			  . "); EXCEPTION WHEN undefined_object THEN NULL; END \$\$;\n",
		},
		'postgres');
	is($events->() - $before, 960, 'an event each');
	is(events($node, 'bench'), 960, 'with their own request_id');
	for my $outcome ('found', 'refused')
	{
		cmp_ok(events($node, 'bench', $outcome), '>', 0, "some of them $outcome");
	}
	trail_is_whole($node, 'numbers of events and notices have no gaps');
};

subtest 'caller commits or rolls back: cpis_stat agrees with the trail' => sub {
	# The writer counts a batch after it has answered it.
	ok($node->poll_query_until('postgres',
			'SELECT events = (SELECT count(*) FROM cpis.audit_event) FROM cpis_stat'),
		'events counted are the events of the trail');
	is( stat($node, q{
			lookups = (SELECT count(*) FROM cpis.audit_event WHERE action = 'lookup' AND outcome <> 'refused'),
			flags = (SELECT count(*) FROM cpis.audit_event WHERE action = 'flag' AND outcome <> 'refused'),
			refusals = (SELECT count(*) FROM cpis.audit_event WHERE outcome = 'refused'),
			lookups + flags + refusals = events}),
		't|t|t|t', 'look-ups, flags and refusals too');
	is( stat($node, q{
			failures, queue_depth, batches BETWEEN 1 AND events, events_per_batch = events::float8 / batches,
			wait_time > 0, mean_wait_time = wait_time / events, writer_starts > 0,
			counted_since BETWEEN pg_postmaster_start_time() AND now()}),
		'0|0|t|t|t|t|t|t', 'and the rest makes sense');
	note 'events, batches: ', stat($node, 'events, batches');

	run_sql($node, lookup_sql(2, 'alive'));
	my $pid = stat($node, 'writer_pid');
	is( $node->safe_psql('postgres',
			"SELECT backend_type, datname FROM pg_stat_activity WHERE pid = '$pid'"),
		'cpis writer|postgres', 'writer_pid is the writer');
	my $run = run_sql($node, 'SELECT lookups > 0 FROM cpis_stat', user => 'monitor');
	is($run->{out}, 't', 'a member of pg_monitor may read it');
	$run = run_sql($node, 'SELECT lookups > 0 FROM cpis_stat');
	is("$run->{states}$run->{out}", '42501', 'a clinician may not');
};

subtest 'in the transaction that made the extension: error at once' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE new');
	my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
	# With a timeout that psql would not live to see.
	my $run = run_sql($node,
		"BEGIN; SET cpis.record_timeout = '10min'; CREATE EXTENSION cpis;\n"
		  . "INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');\n"
		  . "SAVEPOINT s;\n" . lookup_sql(1, 'new') . ";\nROLLBACK TO s;\n"
		  . lookup_sql(1, 'new') =~ s/event_id FROM cpis_lookup/cpis_flag/r
		  . ";\nROLLBACK TO s;\nSELECT lookups, writer_pid, counted_since FROM cpis_stat;\nCOMMIT;\n"
		  . lookup_sql(1, 'committed'),
		database => 'new', user => $superuser);
	is($run->{states}, '55000 55000', 'SQLSTATE');
	is($run->{out}, '0||', 'nothing disclosed, and no writer was asked');
	is(events($node, 'new', undef, 'new'), 0, 'not recorded');
	is(events($node, 'committed', 'not_found', 'new'), 1, 'after the commit, recorded by the same session');
	trail_is_whole($node, 'in that database events begin at 0', 'new');
};

$node->stop;
done_testing();

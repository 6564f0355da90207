# LISTEN: an authority is woken when it has new notices, and then only, and look-ups
# do not depend on it.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep clock_gettime CLOCK_MONOTONIC);

my $TIMEOUT = $PostgreSQL::Test::Utils::timeout_default;

my $node = new_server('main', conf => q{
	wal_level = replica
	max_wal_senders = 4
	cpis.record_timeout = 60s
	cpis.writer_idle_timeout = 1h
});
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

# A session that listens, and what it has been sent and nobody has asked for.
sub listen_to
{
	my (@channels) = @_;
	my $session = $node->background_psql('postgres');
	$session->set_query_timer_restart;
	$session->query_safe("LISTEN $_") for @channels;
	return { session => $session, got => [] };
}

# Run SQL in the session that listens; answer what that printed, and keep what
# came by NOTIFY.
sub ask
{
	my ($listener, $sql) = @_;
	my $out = $listener->{session}->query_safe($sql);
	while ($out =~ s/^Asynchronous notification "(.*?)"(?: with payload "(.*?)")? received from server process with PID (\d+)\.\n?//m)
	{
		push @{ $listener->{got} }, { channel => $1, payload => $2 // '', pid => $3 };
	}
	return $out;
}

# All that has come since this was last called, and at least one.
sub wait_for_notify
{
	my ($listener) = @_;
	my $deadline = clock_gettime(CLOCK_MONOTONIC) + $TIMEOUT;
	for (;;)
	{
		ask($listener, 'SELECT 1 WHERE false');
		my @got = splice @{ $listener->{got} };
		return @got if @got;
		die 'no notification' if clock_gettime(CLOCK_MONOTONIC) > $deadline;
		usleep(5000);
	}
}

# As wait_for_notify(), but until one of this channel has come.
sub wait_for_channel
{
	my ($listener, $channel) = @_;
	my @got;
	push @got, wait_for_notify($listener) until grep { $_->{channel} eq $channel } @got;
	return @got;
}

sub channels
{
	return join ' ', map { $_->{channel} } @_;
}

my $highest = q{SELECT coalesce(max(notification_no), 0) FROM cpis.notification
	WHERE local_authority = 'E06000001'};

# Read notices when woken, and only then, until the last one that there is now has
# been read; answer what came.
sub read_when_woken
{
	my ($listener) = @_;
	my $last = $node->safe_psql('postgres', $highest);
	my @got;
	do
	{
		push @got, wait_for_notify($listener);
	} until ask($listener, $highest) >= $last;
	return @got;
}

# A look-up by the session that listens, and what it brings.  Nothing is left to be
# sent, so a look-up that follows soon finds the writer in its pause.
sub look_up_again
{
	my ($listener) = @_;
	ask($listener, lookup_sql(3, 'again'));
	return wait_for_notify($listener);
}

sub lookups
{
	my ($request, @children) = @_;
	return join ";\n", map { lookup_sql($_, $request) } @children;
}

subtest 'who is woken, by whom, with what' => sub {
	my $one = listen_to('cpis_E06000001');
	my $both = listen_to('cpis_e06000001', 'cpis_e06000002');

	run_sql($node, lookup_sql(3, 'found'));
	my @got = wait_for_notify($one);
	is(ask($one, $highest), 1, 'the notice is there when its authority is woken');
	is(channels(@got), 'cpis_e06000001', 'a plan of theirs');
	is($got[0]{payload}, '', 'without payload');
	is($got[0]{pid}, stat($node, 'writer_pid'), 'by the writer');
	is(channels(wait_for_notify($both)), 'cpis_e06000001', 'it is the one channel that is used');

	# What is sent comes in the order in which it was recorded.
	run_sql($node, lookup_sql(2000, 'missed'));
	run_sql($node, lookup_sql(3, 'silent') =~ s/'emergency_department'/$&, notify => false/r,
		user => $superuser);
	run_sql($node, q{SELECT cpis_flag(nhs_number_synthetic(3), 'A Nurse', 'RXX', 'emergency_department')});
	run_sql($node, lookup_sql(3, 'refused') =~ s/RXX/NOPE/r);
	run_sql($node, lookup_sql(2, 'of another'));
	is(channels(wait_for_notify($both)), 'cpis_e06000002',
		'not for a miss, a silent look-up, a flag, a refusal');
	ask($one, 'SELECT 1 WHERE false');
	is(channels(@{ $one->{got} }), '', 'nor for a plan of another authority');
	is($node->safe_psql('postgres', q{
			SELECT string_agg(outcome, ' ' ORDER BY event_id) FROM cpis.audit_event WHERE event_id > 0}),
		'not_found found found refused found', 'all of that was recorded');

	run_sql($node, lookup_sql(1, 'of two'));
	is(join(' ', sort map { $_->{channel} } wait_for_notify($both)), 'cpis_e06000001 cpis_e06000002',
		'plans of two');
	is(channels(wait_for_notify($one)), 'cpis_e06000001', 'each hears of its own');
	$_->{session}->quit for $one, $both;
};

subtest 'burst: woken at most every 100 ms, and nothing is forgotten' => sub {
	my $listener = listen_to('cpis_e06000001');
	my $start = clock_gettime(CLOCK_MONOTONIC);
	my @runs = map {
		start_sql($node, lookups('burst', map { 3 + 2 * ($_ % 400) } 1 .. 500))
	} 1 .. 4;
	my @got = wait_for_notify($listener);
	finish_sql($_) for @runs;
	push @got, read_when_woken($listener);
	my $ms = 1000 * (clock_gettime(CLOCK_MONOTONIC) - $start);
	is(events($node, 'burst'), 2000, '2000 look-ups');
	cmp_ok(scalar @got, '<=', $ms / 100 + 2, 'no more notifications than the time allows');
	cmp_ok(scalar @got, '<', 2000, 'and fewer than look-ups');
	note scalar(@got) . " notifications in $ms ms";
	is(scalar(grep { $_->{channel} ne 'cpis_e06000001' || $_->{payload} ne '' } @got), 0, 'all alike');
	$listener->{session}->quit;
};

subtest 'look-ups in the pause: each is notified, though no other follows' => sub {
	my $listener = listen_to('cpis_e06000001');
	is(channels(look_up_again($listener)), 'cpis_e06000001', 'look-up') for 1 .. 10;
	$listener->{session}->quit;
};

subtest 'the writer leaves: what is pending is sent before' => sub {
	my $listener = listen_to('cpis_e06000001');

	for my $round (1 .. 3)
	{
		look_up_again($listener);
		my $pid = stat($node, 'writer_pid');
		look_up_again($listener);
		ask($listener, lookup_sql(5, 'dropped'));
		ask($listener, "COMMENT ON EXTENSION cpis IS 'round $round'");
		my @got = wait_for_notify($listener);
		is($got[-1]{pid}, $pid, 'somebody wanted the lock that keeps the extension: the writer has sent');
		run_sql($node, lookup_sql(2, 'next'));
		isnt(stat($node, 'writer_pid'), $pid, 'and has left');
	}

	$node->append_conf('postgresql.conf', "cpis.writer_idle_timeout = '50ms'\n");
	$node->reload;
	for (1 .. 3)
	{
		look_up_again($listener);
		ask($listener, lookup_sql(5, 'idle'));
		is(channels(wait_for_notify($listener)), 'cpis_e06000001', 'it was idle: it has sent');
		$node->poll_query_until('postgres', 'SELECT writer_pid IS NULL FROM cpis_stat')
		  or die 'the writer does not leave';
	}
	$node->append_conf('postgresql.conf', "cpis.writer_idle_timeout = '1h'\n");
	$node->reload;
	trail_is_whole($node, 'no number is missing');
	$listener->{session}->quit;
};

subtest 'NOTIFY fails: look-ups go on, and it is sent later' => sub {
	# A look-up that wakes so many that a page of notifications is full soon.
	$node->safe_psql('postgres', q{
		INSERT INTO cpis.local_authority SELECT 'E061' || to_char(n, 'FM00000'), 'Any', NULL, '01632 960003'
			FROM generate_series(1, 60) n;
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			SELECT nhs_number_synthetic(1001), 'child_protection', 'E061' || to_char(n, 'FM00000'), '2026-01-01'
			FROM generate_series(1, 60) n;
	});
	my $listener = listen_to('cpis_e06000001', 'cpis_e06100060');

	# A session that does not read what it is sent, and more pages than there are
	# buffers for: the next needs the folder, which is not there.
	my $slow = $node->background_psql('postgres');
	$slow->query_safe('LISTEN filler');
	$slow->query_safe('BEGIN; SELECT 1');
	$node->safe_psql('postgres', q{SELECT pg_notify('filler', n || repeat('x', 7000)) FROM generate_series(1, 40) n});
	ask($listener, 'SELECT 1 WHERE false');
	my $folder = $node->data_dir . '/pg_notify';
	my $log = -s $node->logfile;
	rename $folder, "$folder.away" or die "rename: $!";

	my $deadline = clock_gettime(CLOCK_MONOTONIC) + $TIMEOUT;
	my $states = '';
	my $n = 0;
	my $said;
	until ($said)
	{
		$states .= run_sql($node, lookup_sql(1001, 'filling'))->{states};
		$n++;
		$listener->{got} = [];
		until (@{ $listener->{got} } || $said)
		{
			die 'NOTIFY neither fails nor succeeds' if clock_gettime(CLOCK_MONOTONIC) > $deadline;
			usleep(5000);
			ask($listener, 'SELECT 1 WHERE false');
			($said) = slurp_file($node->logfile, $log) =~ /LOG:  could not wake local authorities that listen for notices: (.*)/;
		}
	}
	pass("it has failed: $said");
	my $pid = stat($node, 'writer_pid');
	$states .= run_sql($node, lookup_sql(3, 'failing'))->{states} for 1 .. 20;
	is($states, '', 'no look-up has failed');
	is(events($node, 'filling') + events($node, 'failing'), $n + 20, 'all are recorded');
	# Each time that it fails again it gives the lock up, until the next batch.
	my $mode = '';
	for (my $tries = 0; $mode eq '' && $tries < 100; $tries++)
	{
		run_sql($node, lookup_sql(3, 'locked again'));
		$mode = $node->safe_psql('postgres', qq{SELECT mode FROM pg_locks WHERE classid = 'pg_extension'::regclass AND pid = $pid AND granted});
	}
	is($mode, 'ShareUpdateExclusiveLock', 'the writer has taken its lock again');
	unlike(slurp_file($node->logfile, $log), qr/PANIC|access events could not be recorded/, 'nothing else has failed');

	rename "$folder.away", $folder or die "rename: $!";
	$slow->query_safe('ROLLBACK');
	$slow->quit;
	my @got = wait_for_channel($listener, 'cpis_e06100060');
	is(join(' ', sort(map { $_->{channel} } @got)), 'cpis_e06000001 cpis_e06100060',
		'sent when it could be: what had failed and what came later');
	is($got[0]{pid}, $pid, 'by the same writer');
	trail_is_whole($node, 'no number is missing');
	$listener->{session}->quit;
};

# With replay paused on the standby: start a session that commits a NOTIFY, and
# does not end before replay has resumed; return when it has the lock.  Look-ups
# wait for a flush only.
sub hold_lock
{
	my ($standby) = @_;
	$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
	$standby->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'})
	  or die 'the standby does not pause';
	my $holder = start_sql($node,
		'SET synchronous_commit = remote_apply; BEGIN; INSERT INTO any_table VALUES (1); NOTIFY other; COMMIT',
		user => $superuser, application_name => 'holder');
	$node->poll_query_until('postgres', q{SELECT count(*) = 1
		FROM pg_stat_activity a JOIN pg_locks l USING (pid)
		WHERE a.application_name = 'holder' AND a.wait_event = 'SyncRep'
			AND l.classid = 'pg_database'::regclass AND l.objid = 0 AND l.granted})
	  or die 'the lock is not held';
	return $holder;
}

sub release_lock
{
	my ($standby, $holder) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
	finish_sql($holder);
	is($holder->{states}, '', 'the lock is free');
	return;
}

subtest 'another session holds the lock of all who NOTIFY: look-ups go on, and it is sent later' => sub {
	$node->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
	$node->append_conf('postgresql.conf', "synchronous_standby_names = 'standby'\n");
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'})
	  or die 'no synchronous standby';
	my $listener = listen_to('cpis_e06000001');
	run_sql($node, lookup_sql(3, 'free'));
	read_when_woken($listener);

	$node->safe_psql('postgres', 'CREATE TABLE any_table (n int)');
	$node->wait_for_catchup($standby, 'replay');
	my $holder = hold_lock($standby);
	my $log = -s $node->logfile;
	my $run = run_sql($node, lookups('held', map { 3 + 2 * ($_ % 400) } 1 .. 500));
	is($run->{states}, '', 'look-ups go on');
	is($run->{out}, event_ids($node, 'held'), 'and are recorded');
	my $pid = stat($node, 'writer_pid');
	$node->wait_for_log(qr/could not wake local authorities that listen for notices$/m, $log);
	run_sql($node, lookup_sql(3, 'held'));
	ask($listener, 'SELECT 1 WHERE false');
	is(channels(@{ $listener->{got} }), '', 'nobody is woken meanwhile');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE NOT granted}), 0, 'the writer does not wait');

	release_lock($standby, $holder);
	my @got = read_when_woken($listener);
	is($got[0]{pid}, $pid, 'sent then, by the same writer');
	my @said = slurp_file($node->logfile, $log) =~ /could not wake/g;
	is(scalar @said, 1, 'it was logged once');

	# What is pending does not keep a writer.
	$holder = hold_lock($standby);
	run_sql($node, lookup_sql(3, 'held again'));
	$node->append_conf('postgresql.conf', "cpis.writer_idle_timeout = '10ms'\n");
	$node->reload;
	ok($node->poll_query_until('postgres', 'SELECT writer_pid IS NULL FROM cpis_stat'),
		'a writer that cannot send leaves nevertheless');
	$run = run_sql($node, lookup_sql(3, 'by the next'));
	is($run->{out}, event_ids($node, 'by the next'), 'and the next one serves');
	release_lock($standby, $holder);
	trail_is_whole($node, 'no number is missing');
	$listener->{session}->quit;
};

done_testing();

# Notices are collected at least once, in order, with nothing passed over, whoever is
# killed and whenever; that there are none differs from every failure; nobody is given
# up on; and whoever holds a transaction open makes nothing grow.

use strict;
use warnings;

use CpisTest;
use IPC::Open2;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;
use TestClock;
use Time::HiRes qw(clock_gettime usleep CLOCK_MONOTONIC);

my $CONSUMERS = 50;
my $STEPS = 40;
my %CRASH = map { $_ => 1 } 10, 20, 30;

my $TIMEOUT = $PostgreSQL::Test::Utils::timeout_default;
my @AUTHORITIES = map { "E0600000$_" } 1 .. 5;
my $directory = PostgreSQL::Test::Utils::tempdir;
my $parent = $$;

my $node = new_server('main', conf => q{
	wal_level = replica
	max_wal_senders = 4
	max_connections = 120
	autovacuum = on
	log_statement = none
	cpis.record_timeout = 60s
	cpis.writer_idle_timeout = 1h
});
record_scope($node);
$node->safe_psql('postgres', join ';', map {
	"CREATE ROLE consumer_$_ LOGIN IN ROLE cpis_local_authority"
} 0 .. $CONSUMERS - 1);

# To compare an answer with what there is, consumers read that too.
sub add_consumers
{
	my ($database) = @_;
	$node->safe_psql($database, qq{
		INSERT INTO cpis.local_authority SELECT 'E0600000' || n, 'Any', NULL, '01632 960003' FROM generate_series(3, 5) n;
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			SELECT nhs_number_synthetic(n), 'child_protection', 'E0600000' || 3 + n % 3, '2026-01-01' FROM generate_series(1, 1000) n;
		SELECT cpis_scope_grant('consumer_' || n, local_authority => 'E0600000' || 1 + n % 5) FROM generate_series(0, $CONSUMERS - 1) n;
		GRANT USAGE ON SCHEMA cpis TO cpis_local_authority;
		GRANT SELECT ON cpis.notification, cpis.acknowledgement TO cpis_local_authority;
	});
	return;
}

# What psql prints for SQL, or writes to the copy, and the SQLSTATE and exit status
# that say whether it is all.
sub ask
{
	my ($server, $user, $sql, $database) = @_;
	my ($rc, $out, $err) = $server->psql($database // 'postgres', $sql,
		extra_params => [ '-F', ' ', '-R', ', ', '-v', 'VERBOSITY=sqlstate', $user ? ('-U', $user) : () ]);
	return join '', $out, map({ " $_" } $err =~ /(?:ERROR|FATAL):\s+(\w{5})/g), " exit $rc";
}

# The same of child n, looked up so many times.
sub look_up
{
	my ($server, $n, $times, $database) = @_;
	$server->safe_psql($database // 'postgres', join ';', map { lookup_sql($n, 'any') } 1 .. $times);
	return;
}

my $numbers = 'SELECT notification_no FROM cpis_notifications';

# What consumers have received and done, as their files tell, and what should not be.
my %delivered;		# of an authority, event of each notice
my %tried;			# of an authority, which numbers somebody has acknowledged
my ($answers, $empty, $again) = (0, 0, 0);
my @problems;

# A line of a file, in one piece, so that it is there when the consumer is killed.
sub put
{
	my ($file, $line) = @_;
	syswrite($file, "$line\n") == length($line) + 1 or die "write: $!";
	return;
}

# One connection of a consumer: listens, looks when woken and from time to time, and
# acknowledges what is in its file, or part of that, or rolls back.
sub collect
{
	my ($consumer, $file) = @_;
	my $authority = $consumer->{authority};
	my $psql = open2(my $from, my $to, 'psql', '-XAtq', '-F', ' ', '-v', 'ON_ERROR_STOP=1',
		'-d', $node->connstr('postgres') . " user=$consumer->{role}", '-f', '-');
	my $query = sub {
		print $to "$_[0];\n\\echo end\n" or return;
		$to->flush or return;
		my @lines;
		while (my $line = <$from>)
		{
			chomp $line;
			return \@lines if $line eq 'end';
			push @lines, $line;
		}
		return;
	};
	my $acknowledged = "(SELECT coalesce(max(acknowledged), 0) FROM cpis.acknowledgement WHERE local_authority = '$authority')";
	my $newest = "(SELECT coalesce(max(notification_no), 0) FROM cpis.notification WHERE local_authority = '$authority')";
	my $lines = $query->("LISTEN cpis_$authority");
	while ($lines && getppid == $parent)
	{
		my $max = 1 + int rand 60;
		my $isolation = rand() < 0.3 ? 'REPEATABLE READ' : 'READ COMMITTED';
		$lines = $query->(qq{
			BEGIN ISOLATION LEVEL $isolation;
			SELECT 'before', $acknowledged, $newest;
			SELECT 'notice', notification_no, event_id FROM cpis_notifications('$authority', $max);
			SELECT 'after', $acknowledged}) or last;
		my ($before) = map { /^before (.*)/ } @$lines;
		my ($after) = map { /^after (.*)/ } @$lines;
		my @notices = map { /^notice (\d+ \d+)$/ } @$lines;
		put($file, join ' ', 'answer', $max, $before, $after, @notices);
		if (!@notices)
		{
			$lines = $query->('COMMIT') or last;
			for (1 .. 10)
			{
				last if !$lines || grep { /^Asynchronous notification/ } @$lines;
				usleep(100_000);
				$lines = $query->('SELECT 1 WHERE false');
			}
			next;
		}
		my ($up_to) = $notices[rand() < 0.7 ? -1 : rand @notices] =~ /^(\d+)/;
		my $end = rand() < 0.8 ? 'COMMIT' : 'ROLLBACK';
		put($file, "try $up_to") if $end eq 'COMMIT';
		$lines = $query->("SELECT 'acknowledged', cpis_notifications_acknowledge('$authority', $up_to)") or last;
		my ($answer) = map { /^acknowledged (\d+)/ } @$lines;
		usleep(rand 20_000);
		$lines = $query->($end) or last;
		put($file, "done $up_to $answer") if $end eq 'COMMIT';
		usleep(rand 300_000);
	}
	close $to;
	waitpid $psql, 0;
	return;
}

# Start a consumer, for the first time or anew; it does not outlive the test.
sub start_consumer
{
	my ($consumer) = @_;
	my $name = "$directory/$consumer->{role}." . @{ $consumer->{files} };
	push @{ $consumer->{files} }, { name => $name, read => 0 };
	$consumer->{pid} = fork // die "fork: $!";
	if ($consumer->{pid} == 0)
	{
		setpgrp;
		srand;
		$SIG{PIPE} = 'IGNORE';
		open STDERR, '>>', "$name.err" or POSIX::_exit(1);
		open my $file, '>>', $name or POSIX::_exit(1);
		while (getppid == $parent)
		{
			eval { collect($consumer, $file); 1 } or print STDERR "consumer: $@";
			usleep(100_000);
		}
		POSIX::_exit(0);
	}
	POSIX::setpgid($consumer->{pid}, $consumer->{pid});
	return;
}

# Kill it: with its psql, or so that psql goes on with what it was told last.
sub kill_consumer
{
	my ($consumer, $alone) = @_;
	kill 'KILL', $alone ? $consumer->{pid} : -$consumer->{pid};
	waitpid $consumer->{pid}, 0;
	return;
}

# Look at one line of a consumer's file.
sub take_line
{
	my ($consumer, $line) = @_;
	my ($what, @values) = split / /, $line;
	my $authority = $consumer->{authority};
	my $bad = sub { push @problems, "$_[0]: $consumer->{role}: " . substr($line, 0, 100) };
	if ($what eq 'try')
	{
		$tried{$authority}{ $values[0] } = 1;
		return;
	}
	if ($what eq 'done')
	{
		my ($up_to, $answer) = @values;
		$bad->('less acknowledged than asked for') if $answer < $up_to;
		$consumer->{known} = $answer if $answer > $consumer->{known};
		return;
	}
	my ($max, $before, $newest, $after, %notices) = @values;
	my @no = sort { $a <=> $b } keys %notices;
	my @in_order = @values[ map { 4 + 2 * $_ } 0 .. (@values - 4) / 2 - 1 ];
	$answers++;
	$empty++ unless @no;
	$bad->('acknowledged goes back') if $before < $consumer->{known} || $after < $before;
	$consumer->{known} = $after;
	$bad->('out of order, or twice') if "@no" ne "@in_order";
	$bad->('not consecutive') if @no && $no[-1] - $no[0] != $#no;
	# Another may have acknowledged meanwhile, but no less than before and no more than after.
	$bad->('passed over') if @no && $no[0] > $after + 1;
	$bad->('acknowledged before') if @no && $no[0] <= $before;
	$bad->('more than asked for') if @no > $max;
	my $least = $newest < $before + $max ? $newest : $before + $max;
	$bad->('too few') if (@no ? $no[-1] : $after) < $least;
	while (my ($no, $event) = each %notices)
	{
		$again++ if exists $delivered{$authority}{$no};
		$bad->("another event for $no") if ($delivered{$authority}{$no} //= $event) != $event;
	}
	return;
}

# Read what has come to the files.
sub read_files
{
	foreach my $consumer (@_)
	{
		foreach my $file (grep { -e $_->{name} } @{ $consumer->{files} })
		{
			my ($whole) = slurp_file($file->{name}, $file->{read}) =~ /\A(.*\n)/s or next;
			$file->{read} += length $whole;
			take_line($consumer, $_) for split /\n/, $whole;
		}
	}
	return;
}

# What is acknowledged now is in files by now.
my %checked;
sub check_now
{
	my (@consumers) = @_;
	my %acknowledged = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'TABLE cpis.notification_cursor');
	read_files(@consumers);
	foreach my $authority (sort keys %acknowledged)
	{
		foreach my $no (($checked{$authority} // 0) + 1 .. $acknowledged{$authority})
		{
			push @problems, "acknowledged, not delivered: $authority $no" unless exists $delivered{$authority}{$no};
		}
		push @problems, "acknowledged goes back: $authority" if $acknowledged{$authority} < ($checked{$authority} // 0);
		$checked{$authority} = $acknowledged{$authority};
	}
	return;
}

my $loads = 0;
# Look-ups in the background; they end with the server.
sub start_load
{
	append_to_file("$directory/load.sql", "\\set n random(1, 1000)\n" . lookup_sql(':n', 'load') . ";\n") unless $loads++;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	open STDOUT, '>', "$directory/load.$loads";
	open STDERR, '>&', \*STDOUT;
	{ exec 'pgbench', '-n', '-c', 4, '-T', 600, '-R', 300, '-f', "$directory/load.sql", '-U', 'clinician',
		'-h', $node->host, '-p', $node->port, 'postgres' }
	POSIX::_exit(1);
}

sub errors_of
{
	my (@consumers) = @_;
	return map { grep { /ERROR|PANIC|consumer:/ } split /\n/, slurp_file("$_->{name}.err") }
	  grep { -e "$_->{name}.err" } map { @{ $_->{files} } } @consumers;
}

my $seed = srand;
note "random seed $seed";

subtest "$CONSUMERS consumers, killed like the server at any instant" => sub {
	add_consumers('postgres');
	my @consumers = map {
		{ role => "consumer_$_", authority => $AUTHORITIES[ $_ % 5 ], files => [], known => 0 }
	} 0 .. $CONSUMERS - 1;
	start_consumer($_) for @consumers;
	my $load = start_load();
	my ($kills, $crashes) = (0, 0);
	for my $step (1 .. $STEPS)
	{
		usleep(rand 400_000);
		foreach my $consumer (@consumers[ map { rand @consumers } 1 .. 3 ])
		{
			kill_consumer($consumer, rand() < 0.5);
			start_consumer($consumer);
			$kills++;
		}
		if ($CRASH{$step})
		{
			kill_everything($node);
			waitpid $load, 0;
			$node->start;
			$load = start_load();
			$crashes++;
		}
		check_now(@consumers);
	}
	$node->poll_query_until('postgres', 'SELECT count(*) > 1000 FROM cpis.notification') or die 'no notices';
	kill 'TERM', $load;
	waitpid $load, 0;

	# Until everything is acknowledged, or something has gone wrong.
	my $deadline = clock_gettime(CLOCK_MONOTONIC) + $TIMEOUT;
	my $drained = '';
	until ($drained && $empty || @problems || errors_of(@consumers) || clock_gettime(CLOCK_MONOTONIC) > $deadline)
	{
		usleep(200_000);
		$drained = $node->safe_psql('postgres', q{
			SELECT sum(newest) = (SELECT sum(acknowledged) FROM cpis.notification_cursor)
			FROM (SELECT max(notification_no) AS newest FROM cpis.notification GROUP BY local_authority) n}) eq 't';
		check_now(@consumers);
	}
	kill_consumer($_) for @consumers;
	check_now(@consumers);
	is(join("\n", errors_of(@consumers)), '', 'nobody had an error but that the server was lost');
	ok($drained, 'all is acknowledged in the end');
	is(join("\n", splice @problems, 0, 10), '',
		'answers begin after what is acknowledged, and are consecutive and as long as they can be;'
		. ' what is acknowledged is delivered before and stays so');

	my %all;
	$all{ $_->[0] }{ $_->[1] } = $_->[2]
	  for map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', 'TABLE cpis.notification');
	is(join(' ', sort keys %all), "@AUTHORITIES", 'all authorities had notices');
	foreach my $authority (@AUTHORITIES)
	{
		my ($got, $is) = map { my $of = $_; [ map { "$_ $of->{$_}" } sort { $a <=> $b } keys %$of ] }
		  $delivered{$authority} // {}, $all{$authority} // {};
		is_deeply($got, $is, "$authority: every notice was delivered, with its event");
	}
	my @strange = grep { my ($authority, $no) = split /\|/; !$tried{$authority}{$no} }
	  split /\n/, $node->safe_psql('postgres', 'SELECT local_authority, acknowledged FROM cpis.acknowledgement');
	is("@strange", '', 'what was rolled back is not acknowledged, nor what nobody has');
	my $notices = 0;
	$notices += keys %$_ for values %all;
	is($crashes, 3, 'the server crashed');
	cmp_ok($kills, '>=', 100, 'consumers were killed');
	cmp_ok($notices, '>', 1000, 'there were many notices');
	cmp_ok($empty, '>', 0, 'there was none at times');
	cmp_ok($again, '>', 0, 'there were some again');
	trail_is_whole($node, 'the trail is whole');
	diag "$notices notices, $answers answers, $empty of them empty; $again deliveries again; $kills consumers killed";
};

subtest 'acknowledging' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE acknowledging');
	make_register($node, 'acknowledging');
	add_consumers('acknowledging');
	my $by = sub { return ask($node, "consumer_$_[0]", $_[1], 'acknowledging') };
	my $rows = sub { return $node->safe_psql('acknowledging', 'SELECT acknowledged FROM cpis.acknowledgement') =~ tr/\n/ /r };
	look_up($node, 3, 5, 'acknowledging');
	my $one = sub { return $by->(0, "$numbers('E06000001', $_[0])") };
	my $acknowledge = sub { return $by->($_[1] // 0, "SELECT cpis_notifications_acknowledge('E06000001', $_[0])") };
	is($one->(3), '1, 2, 3 exit 0', 'the first three');
	is($one->(3), '1, 2, 3 exit 0', 'the same, until they are acknowledged');
	is($by->(5, "$numbers('E06000001')"), '1, 2, 3, 4, 5 exit 0', 'the same for the other consumers of the authority');
	is($acknowledge->(6), ' 22023 exit 3', 'nothing beyond the newest can be acknowledged');
	is($acknowledge->(-1), ' 22023 exit 3', 'nothing below 0');
	is($acknowledge->('NULL'), ' 22004 exit 3', 'nothing unknown');
	is($acknowledge->(0), '0 exit 0', 'nothing is acknowledged yet');
	is($rows->(), '', 'nor stored');
	is($by->(0, q{BEGIN; SELECT cpis_notifications_acknowledge('E06000001', 3);
			SELECT notification_no FROM cpis_notifications('E06000001'); ROLLBACK}),
		"3\n4, 5 exit 0", 'acknowledged within the transaction');
	is($one->(3), '1, 2, 3 exit 0', 'rolled back: delivered again');
	is($acknowledge->(3), '3 exit 0', 'acknowledged');
	is($one->(100), '4, 5 exit 0', 'these are not delivered again');
	is($by->(5, "$numbers('E06000001')"), '4, 5 exit 0', 'nor to another consumer');
	is($acknowledge->(1), '3 exit 0', 'a lower number answers what is acknowledged');
	is($acknowledge->(3, 5), '3 exit 0', 'so does the same number');
	is($rows->(), '3', 'and changes nothing');
	is($one->(100), '4, 5 exit 0', 'nor what is delivered');
	is($acknowledge->(5, 5), '5 exit 0', 'acknowledged by another consumer');
	is($one->(100), ' exit 0', 'it holds for all of them');
	is($by->(1, "$numbers('E06000002')"), ' exit 0', 'an authority without notices');
	look_up($node, 1, 1, 'acknowledging');
	is($one->(100), '6 exit 0', 'a new one');
	is($by->(1, "$numbers('E06000002')"), '1 exit 0', 'each authority has its own numbers');

	# Two at a time, neither waits; the higher number counts.
	look_up($node, 3, 4, 'acknowledging');
	my $higher = $node->background_psql('acknowledging');
	$higher->query_safe(q{BEGIN; SELECT cpis_notifications_acknowledge('E06000001', 9)});
	is($by->(0, "SET statement_timeout = '60s'; SELECT cpis_notifications_acknowledge('E06000001', 7)"), '7 exit 0',
		'another acknowledgement is not waited for');
	$higher->query_safe('COMMIT');
	$higher->quit;
	is($one->(100), '10 exit 0', 'the higher one counts,');
	is($acknowledge->(8), '9 exit 0', 'whichever came last');
	trail_is_whole($node, 'the trail is whole', 'acknowledging');
};

# How an authority's notices arrive in a file.
sub copy
{
	my ($server, $user, $authority, $database) = @_;
	my $file = "$directory/copy";
	unlink $file;
	my $answer = ask($server, $user, "\\copy (SELECT * FROM cpis_notifications('$authority')) TO '$file' CSV HEADER\n", $database);
	return $answer . (-e $file ? "\n" . slurp_file($file) : '');
}

subtest 'none differs from a failure' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE broken');
	make_register($node, 'broken');
	add_consumers('broken');
	my $answer = sub { return ask($node, $_[0], "$numbers('$_[1]', " . ($_[2] // 100) . ')', 'broken') };
	my $header = 'notification_no,event_id,recorded_at,action,nhs_number,superseded_by,worker_name,job_role,'
	  . "organisation,organisation_name,care_setting,detail,leaf_hash\n";
	is($answer->('consumer_0', 'E06000001'), ' exit 0', 'none: no row, and success');
	is(copy($node, 'consumer_0', 'E06000001', 'broken'), " exit 0\n$header", 'the header and nothing else');

	my $refused = q{SELECT string_agg(concat_ws(' ', session_role, effective_role, detail), ', ' ORDER BY event_id)
		FROM cpis.audit_event WHERE action = 'notices' AND outcome = 'refused'};
	is($node->safe_psql('broken', $refused), '', 'nobody was refused');
	is($answer->('consumer_0', 'E06000002'), ' 42501 exit 3', 'another authority');
	is($answer->('consumer_0', 'E06999999'), ' 42501 exit 3', 'an unknown one, for who may not know');
	is(ask($node, 'consumer_0', q{SELECT cpis_notifications_acknowledge('E06000002', 0)}, 'broken'), ' 42501 exit 3',
		'to acknowledge for another');
	is($node->safe_psql('broken', $refused), join(', ', map { "consumer_0 consumer_0 not entitled to act for local authority $_" }
			qw(E06000002 E06999999 E06000002)), 'is recorded');
	# PostgreSQL sends the header before it runs the query: the status tells.
	is(copy($node, 'consumer_0', 'E06000002', 'broken'), " 42501 exit 3\n$header", 'a failure, and no row');
	is($answer->('', 'E06999999'), ' 42704 exit 3', 'an unknown authority');
	is(ask($node, '', q{SELECT cpis_notifications_acknowledge('E06999999', 0)}, 'broken'), ' 42704 exit 3', 'to acknowledge for it');
	is($answer->('consumer_0', 'E06000001', $_), ' 22023 exit 3', "max: $_") for qw(0 -1 10001 NULL);
	is($answer->('clinician', 'E06000001'), ' 42501 exit 3', 'who is no authority');

	look_up($node, 3, 8, 'broken');
	my $month = $node->safe_psql('broken', 'SELECT DISTINCT tableoid::regclass FROM cpis.audit_event');
	my $own = q{local_authority = 'E06000001' AND notification_no};
	my $event = $node->safe_psql('broken', "SELECT event_id FROM cpis.notification WHERE $own = 5");
	my $whole = '1, 2, 3, 4, 5, 6, 7, 8 exit 0';
	my $check = sub {
		my ($name, $given) = @_;
		is($answer->('consumer_0', 'E06000001'), ' XX001 exit 3', "$name: an error");
		is(copy($node, 'consumer_0', 'E06000001', 'broken'), " XX001 exit 3\n$header", "$name: no row");
		is($answer->('', 'E06000001'), ' XX001 exit 3', "$name: for a superuser too");
		is($answer->('consumer_0', 'E06000001', $given), join(', ', 1 .. $given) . ' exit 0', "$name: what is before it is delivered") if $given;
		is($answer->('consumer_0', 'E06000001', $given + 1), ' XX001 exit 3', "$name: and not passed over");
	};
	is($answer->('consumer_0', 'E06000001'), $whole, 'eight notices');
	$node->safe_psql('broken', "ALTER TABLE $_ DISABLE TRIGGER ALL") for 'cpis.notification', $month;
	foreach (['the first', 'cpis.notification', "$own = 1", 0],
		['one in the middle', 'cpis.notification', "$own = 5", 4],
		['several', 'cpis.notification', "$own IN (3, 4, 5)", 2],
		['all but the newest', 'cpis.notification', "$own < 8", 0],
		['an event', $month, "event_id = $event", 4],
		['the newest event', $month, "event_id = $event + 3", 7])
	{
		my ($name, $table, $which, $given) = @$_;
		$node->safe_psql('broken', "CREATE TABLE removed AS SELECT * FROM $table WHERE $which; DELETE FROM $table WHERE $which");
		$check->("without $name", $given);
		$node->safe_psql('broken', "INSERT INTO $table TABLE removed; DROP TABLE removed");
		is($answer->('consumer_0', 'E06000001'), $whole, 'put back');
	}
	$node->safe_psql('broken', "INSERT INTO cpis.notification SELECT * FROM cpis.notification WHERE $own = 5");
	$check->('one twice', 4);
	$node->safe_psql('broken', "DELETE FROM cpis.notification WHERE ctid = (SELECT max(ctid) FROM cpis.notification WHERE $own = 5)");
	trail_is_whole($node, 'all is back', 'broken');

	# After what was acknowledged.
	is(ask($node, 'consumer_0', q{SELECT cpis_notifications_acknowledge('E06000001', 4)}, 'broken'), '4 exit 0', 'acknowledged');
	$node->safe_psql('broken', "DELETE FROM cpis.notification WHERE $own IN (2, 5)");
	is($answer->('consumer_0', 'E06000001'), ' XX001 exit 3', 'without the next one');
	is($answer->('consumer_0', 'E06000001', 1), ' XX001 exit 3', 'nor is the one after it given in its place');
};

subtest 'hot standby' => sub {
	$node->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
	look_up($node, 3, 3);
	$node->wait_for_catchup($standby, 'replay');
	my $all = q{SELECT * FROM cpis_notifications('E06000001')};
	my $on_primary = ask($node, 'consumer_0', $all);
	is(ask($standby, 'consumer_0', $all), $on_primary, 'the same answer');
	like($on_primary, qr/^\d+ \d+ .*, \d+ \d+ .*, \d+ \d+ .* exit 0$/, 'three notices');
	is(ask($standby, 'consumer_1', "$numbers('E06000002')"), ' exit 0', 'none');
	my ($newest) = ask($node, 'consumer_0', "SELECT max(notification_no) FROM cpis_notifications('E06000001')") =~ /^(\d+)/;
	my $acknowledge = "SELECT cpis_notifications_acknowledge('E06000001', $newest - 1)";
	is(ask($standby, 'consumer_0', $acknowledge), ' 25006 exit 3', 'acknowledging fails');
	is(ask($standby, 'consumer_0', $all), $on_primary, 'and changes nothing');
	is(ask($standby, 'consumer_0', "$numbers('E06000002')"), ' 42501 exit 3', 'another authority');
	is(ask($standby, '', "$numbers('E06999999')"), ' 42704 exit 3', 'an unknown one');
	is(ask($standby, 'consumer_0', "$numbers('E06000001')", 'broken'), ' XX001 exit 3', 'a notice is missing');
	is(ask($node, 'consumer_0', $acknowledge), $newest - 1 . ' exit 0', 'acknowledged on the primary');
	$node->wait_for_catchup($standby, 'replay');
	is(ask($standby, 'consumer_0', "$numbers('E06000001')"), "$newest exit 0", 'holds on the standby');
	$standby->stop;
};

# Pages of every relation of the extension; months count as one.
sub pages
{
	my ($database) = @_;
	my %pages;
	$node->safe_psql($database, 'VACUUM');
	foreach (split /\n/, $node->safe_psql($database, q{
		WITH own AS (SELECT oid, oid::regclass::text AS name, relkind, reltoastrelid FROM pg_class WHERE relnamespace = 'cpis'::regnamespace)
		SELECT name, pg_relation_size(oid) / 8192 FROM own WHERE relkind IN ('r', 'm', 'i')
		UNION ALL
		SELECT 'toast of ' || name, pg_relation_size(reltoastrelid) / 8192 FROM own WHERE reltoastrelid <> 0
		UNION ALL
		SELECT 'index of toast of ' || name, pg_relation_size(indexrelid) / 8192 FROM own JOIN pg_index ON indrelid = reltoastrelid
		UNION ALL
		SELECT name, pg_relation_size(name::regclass) / 8192 FROM (VALUES ('held_back')) AS v (name)}))
	{
		my ($name, $n) = split /\|/;
		$pages{ $name =~ s/_\d{4}_\d\d//r } += $n;
	}
	return %pages;
}

# By how many pages each relation of a new database grows in 20,000 look-ups, an hour's
# worth, by a client for each authority, which collects and acknowledges its notices
# after each five: the same look-ups each time.  They acknowledge one after the other, for
# where many insert at a time, PostgreSQL adds many pages at a time.
sub growth
{
	my ($database, $during) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	make_register($node, $database);
	$node->safe_psql($database, q{
		INSERT INTO cpis.local_authority SELECT 'E0600000' || n, 'Any', NULL, '01632 960003' FROM generate_series(3, 5) n;
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			SELECT nhs_number_synthetic(n), 'child_protection', 'E0600000' || 1 + n % 5, '2026-01-01' FROM generate_series(2001, 3000) n;
		CREATE TABLE held_back (n int, filler text);
		INSERT INTO held_back VALUES (0, repeat('x', 100));
	});
	my %before = pages($database);
	$during->(sub {
		$node->command_ok([ 'pgbench', '-n', '-c', 5, '-j', 1, '-t', 800, '--random-seed=1', '-f', "$directory/growth.sql",
				'-h', $node->host, '-p', $node->port, $database ], "$database: 20,000 look-ups");
		my %after = pages($database);
		$after{$_} -= $before{$_} // 0 for keys %after;
		is($node->safe_psql($database, q{
				SELECT count(*), count(DISTINCT local_authority), max(acknowledged) FROM cpis.acknowledgement;
				SELECT count(*) FROM cpis.notification}), "4000|5|4000\n20000", "$database: acknowledged after each five, all of it");
		return %after;
	});
}

subtest 'a transaction held open makes nothing grow' => sub {
	append_to_file("$directory/growth.sql", join '',
		map({ "\\set n 2001 + 5 * random(0, 199) + (:client_id + 4) % 5\n" . lookup_sql(':n', 'growth') . ";\n" } 1 .. 5),
		"\\set authority 6000001 + :client_id\n",
		"SELECT count(*) AS n, max(notification_no) AS last FROM cpis_notifications('E0' || :authority, 10)\n\\gset\n",
		"BEGIN;\nSELECT pg_advisory_xact_lock(1);\n",
		"SELECT 1 / (cpis_notifications_acknowledge('E0' || :authority, :last) = :last AND :n = 5)::int;\n",
		"UPDATE held_back SET n = n + 1;\nCOMMIT;\n");
	my (%free, %held);
	growth('free', sub { %free = $_[0]->() });
	growth('held', sub {
		my $holder = $node->background_psql('held');
		my $see = 'SELECT pg_current_xact_id(), count(*) FROM cpis.audit_event';
		$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
		my $seen = $holder->query_safe($see);
		%held = $_[0]->();
		is($holder->query_safe($see), $seen, 'the transaction and its snapshot were held');
		$holder->query_safe('ROLLBACK');
		$holder->quit;
	});

	note "held_back: $free{held_back} and $held{held_back} pages";
	cmp_ok(delete $held{held_back}, '>', 10 + delete $free{held_back}, 'it held back what can be held back');
	cmp_ok($held{$_}, '>', 10, "$_ grew") for 'cpis.audit_event', 'cpis.notification', 'cpis.acknowledgement';
	# Each look-up that updated a row would leave more than 100 pages, each acknowledgement
	# more than 20; pages of an index split a little sooner or later.
	my @grown;
	foreach my $name (sort keys %held)
	{
		my $free = $free{$name} // 0;
		note "$name: $free and $held{$name} pages" if $free || $held{$name};
		push @grown, "$name: $held{$name} pages, not $free" if $held{$name} > $free + ($free > 100 ? $free / 10 : 10);
	}
	is(join("\n", @grown), '', 'no table and no index grew more than without it');
	trail_is_whole($node, 'the trail is whole', 'held');
};

$node->stop;

subtest 'nobody is given up on' => sub {
	$node = new_clocked_server('clocked', '2024-01-10 12:00:00', 'log_statement = none');
	$node->safe_psql('postgres', q{
		INSERT INTO cpis.local_authority VALUES ('E06000003', 'Three', '01632 960005', '01632 960006');
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date, end_date)
			VALUES (nhs_number_synthetic(2001), 'child_protection', 'E06000003', '2023-01-01', '2024-01-11');
		CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
		CREATE ROLE consumer_0 LOGIN IN ROLE cpis_local_authority;
	});
	$node->safe_psql('postgres', "SELECT cpis_scope_grant('consumer_0', local_authority => 'E0600000$_')") for 1 .. 3;
	my $stat = sub { return ask($node, 'watcher', 'TABLE cpis_stat_notification') =~ s/, E/\nE/gr };
	my $escalation = sub { return ask($node, 'watcher', 'TABLE cpis_notification_escalation') };
	my $acknowledge = sub { return ask($node, 'consumer_0', "SELECT cpis_notifications_acknowledge('$_[0]', $_[1])") };
	my $none = '0 0 0   ';
	is($stat->(), "E06000001 $none\nE06000002 $none\nE06000003 $none exit 0", 'each authority, without notices');
	is($escalation->(), ' exit 0', 'nobody is to be called');

	look_up($node, 3, 2);
	set_clock('2024-01-10 13:00:00');
	look_up($node, 2001, 1);
	set_clock('2024-01-10 14:30:00');
	look_up($node, 3, 1);
	is($stat->(), "E06000001 3 0 3 2024-01-10 12:00:00+00 02:30:00 \nE06000002 $none\n"
		. 'E06000003 1 0 1 2024-01-10 13:00:00+00 01:30:00  exit 0', 'how many, since when, for how long');
	set_clock('2024-01-11 12:00:00');
	is($escalation->(), ' exit 0', 'a day: not yet');
	set_clock('2024-01-11 12:00:01');
	is($escalation->(), 'E06000001 One 01632 960001 01632 960002 3 2024-01-10 12:00:00+00 1 day 00:00:01 exit 0', 'and a second');
	set_clock('2024-01-12 12:00:00');
	is($escalation->(), 'E06000001 One 01632 960001 01632 960002 3 2024-01-10 12:00:00+00 2 days,'
		. ' E06000003 Three 01632 960005 01632 960006 1 2024-01-10 13:00:00+00 1 day 23:00:00 exit 0', 'the longest first');
	is($acknowledge->('E06000001', 2), '2 exit 0', 'two acknowledged');
	is((split /\n/, $stat->())[0], 'E06000001 3 2 1 2024-01-10 14:30:00+00 1 day 21:30:00 2024-01-12 12:00:00+00', 'the next is the oldest');
	is($escalation->(), 'E06000003 Three 01632 960005 01632 960006 1 2024-01-10 13:00:00+00 1 day 23:00:00,'
		. ' E06000001 One 01632 960001 01632 960002 1 2024-01-10 14:30:00+00 1 day 21:30:00 exit 0', 'the other is the first now');
	is($acknowledge->('E06000001', 3), '3 exit 0', 'all of them');
	is((split /\n/, $stat->())[0], 'E06000001 3 3 0   2024-01-12 12:00:00+00', 'nothing is left');
	is($escalation->(), 'E06000003 Three 01632 960005 01632 960006 1 2024-01-10 13:00:00+00 1 day 23:00:00 exit 0', 'nor to be called for');
	$acknowledge->('E06000001', 2);
	set_clock('2024-01-20 12:00:00');
	look_up($node, 3, 1);
	is((split /\n/, $stat->())[0], 'E06000001 4 3 1 2024-01-20 12:00:00+00 00:00:00 2024-01-12 12:00:00+00', 'a new one');

	# 400 days after the look-up of child 2001, with a term of 30 for the trail, and enough that its month could go.
	$node->safe_psql('postgres', q{SELECT cpis_retention_set('audit_event', 30, 'agreed')});
	$node->safe_psql('postgres', q{SELECT count(*) FROM generate_series(1, 600) n, LATERAL cpis_flag(nhs_number_synthetic(n::integer), 'A', 'RXX', 'nhs_111')});
	set_clock('2025-02-13 13:00:00');
	$node->safe_psql('postgres', q{SELECT count(*) FROM generate_series(1, 600) n, LATERAL cpis_flag(nhs_number_synthetic(n::integer), 'A', 'RXX', 'nhs_111')});
	is($acknowledge->('E06000001', 4), '4 exit 0', 'the others have theirs');
	$node->safe_psql('postgres', 'CALL cpis_purge()');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM cpis.plan WHERE local_authority = 'E06000003'}), 0, 'the plan is gone');
	is($node->safe_psql('postgres', 'SELECT month, obstacle FROM cpis_purge_preview_months() LIMIT 1'),
		'2024-01|notices of it are not acknowledged', 'the notice is what keeps its event');
	my $late = 'E06000003 Three 01632 960005 01632 960006 1 2024-01-10 13:00:00+00 400 days exit 0';
	is($escalation->(), $late, 'after 400 days its authority is still to be called');
	my $notice = 'SELECT notification_no, recorded_at, nhs_number = nhs_number_synthetic(2001), worker_name FROM cpis_notifications';
	is(ask($node, 'consumer_0', "$notice('E06000003')"), '1 2024-01-10 13:00:00+00 t A Nurse exit 0', 'and still gets the notice');

	# The authority is abolished.
	$node->safe_psql('postgres', q{
		SELECT cpis_scope_revoke('consumer_0', local_authority => 'E06000003');
		DELETE FROM cpis.local_authority WHERE code = 'E06000003';
	});
	my @stat = split /\n/, $stat->();
	is($stat[2], 'E06000003 1 0 1 2024-01-10 13:00:00+00 400 days  exit 0', 'an authority that is no more still counts');
	is($escalation->(), 'E06000003    1 2024-01-10 13:00:00+00 400 days exit 0', 'and is still to be cared for');
	$node->safe_psql('postgres', q{INSERT INTO cpis.local_authority VALUES ('E06000003', 'Three', '01632 960005', '01632 960006')});
	is($escalation->(), $late, 'back in the register,');
	is(ask($node, '', "$notice('E06000003')"), '1 2024-01-10 13:00:00+00 t A Nurse exit 0', 'it gets the notice');
	is(ask($node, '', q{SELECT cpis_notifications_acknowledge('E06000003', 1)}), '1 exit 0', 'acknowledges it,');
	is($escalation->(), ' exit 0', 'and that is all');
	trail_is_whole($node, 'the trail is whole');
	$node->stop;
};

done_testing();

# The access history of random trails: cpis_access_history(), which reads newest
# first and no further than it must, agrees with a plain rule that is written
# here from README and reads everything, oldest first.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX qw(strftime);
use Test::More;

use constant {
	HISTORIES => 600,
	SHOWN => 25,
	SECOND => 1_000_000,
	HOUR => 3_600_000_000,
	DAY => 86_400_000_000,
	# How far the accesses reach; four whole months before this one hold that.
	PAST => 115 * 86_400_000_000,
	FUTURE => 20 * 86_400_000_000,
	# Below and above the numbers that the writer gives.
	FIRST_OLDER => -1_000_000,
	FIRST_NEWER => 1_000_000_000,
};

my $seed = $ENV{HISTORY_SEED} // 20161206;
note "seed $seed (HISTORY_SEED)";
srand($seed);

my $node = new_server('history');
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql('postgres',
	q{INSERT INTO cpis.organisation VALUES ('RYY', 'B TRUST'), ('RLONGESTCODE', 'C TRUST')});
my %organisation = (RXX => 'A TRUST', RYY => 'B TRUST', RLONGESTCODE => 'C TRUST');
give_scope($node, 'clinician', $_) foreach 'RYY', 'RLONGESTCODE';
# One that has left the register has accesses, but no name.
my @organisations = (sort(keys %organisation), 'RGONE');

sub any { return $_[ rand @_ ]; }
sub chance { return rand() < $_[0]; }
sub between { my ($low, $high) = @_; return $low + int rand($high - $low + 1); }

# Few spellings for many workers: the same one in two organisations, and as a
# name and an identifier.
sub make_workers
{
	my ($count) = @_;
	my @spelling = map { "Nurse $_" } 1 .. 1 + $count / 4;
	push @spelling, any("Zoë O'Brien", 'RXX i Nurse 1', '日本 n');
	# As long as a name may be, different at the end only.
	my @name = chance(0.2) ? map { 'x' x 197 . sprintf('%03d', $_) } 1 .. 1 + $count / 2 : @spelling;
	my @organisation = chance(0.5) ? any(@organisations) : @organisations;
	return map {
		{
			organisation => any(@organisation),
			chance(0.5)
			? (id => any(@spelling), names => [ any(@name), any(@name) ])
			: (names => [ any(@name) ])
		}
	} 1 .. $count;
}

# Functions that answer with the time between two accesses, in microseconds.
sub make_gap
{
	my ($shape, $workers) = @_;
	my $up_to = sub { my ($most) = @_; return sub { return int rand $most } };

	return $up_to->(60 * SECOND) if $shape eq 'seconds';
	return $up_to->(1.5 * HOUR) if $shape eq 'minutes';
	return $up_to->(12 * HOUR) if $shape eq 'hours';
	return $up_to->(3 * DAY) if $shape eq 'days';
	# Often exactly 24 hours apart, or a microsecond less or more.
	if ($shape eq 'grid')
	{
		my $step = DAY / any(1, 2, 3, 4, 6, 8, 24);
		return sub { return between(0, 2) * $step + (chance(0.2) ? any(-1, 1) : 0) };
	}
	# Each worker, one after the other, again within 24 hours and without end:
	# which accesses are shown depends on the very first.
	if ($shape eq 'chain')
	{
		my $step = int(any(6, 8, 12, 3 + rand 20) * HOUR / $workers);
		return chance(0.5) ? sub { return $step } : sub { return $step - int rand($step / 20) };
	}
	my @gap = map { make_gap($_, $workers) } 'seconds', 'minutes', 'hours', 'days', 'grid', 'chain';
	return sub { return any(@gap)->() };
}

# Functions that answer with who is next.
sub make_turn
{
	my ($manner, @worker) = @_;
	my $n = 0;
	return sub { return $worker[ $n++ % @worker ] } if $manner eq 'in turn';
	return sub { return any(@worker) } if $manner eq 'at random';
	my $stays = any(0.5, 0.9, 0.98);
	my $worker = any(@worker);
	return sub { $worker = any(@worker) unless chance($stays); return $worker };
}

# An access of this worker, or something of that worker's that is no access to
# be shown.
sub make_access
{
	my ($worker, $at, $noise) = @_;
	my %access = (
		at => $at,
		action => 'lookup', outcome => 'found', notify => 't',
		name => any(@{ $worker->{names} }),
		id => $worker->{id},
		organisation => $worker->{organisation},
		care_setting => any('camhs', 'nhs_111'));
	my %other = chance($noise)
	  ? %{ any({ notify => 'f' }, { outcome => 'not_found' }, { outcome => 'refused' }, { action => 'flag' },
			{ action => 'flag', notify => 'f' }) }
	  : ();
	return { %access, %other };
}

# A history that is still to be made: how it goes, and who asks for it.
sub plan_history
{
	my ($child) = @_;
	my $shape = any(qw(seconds minutes hours days grid grid chain chain mixed));
	my $count = any(1, 2, 3, 8, 30, 150);
	$count = any(1, 2, 10, 26, 40) if $shape eq 'chain';
	my @worker = make_workers($count);
	my @known = grep { exists $organisation{ $_->{organisation} } } @worker;
	my %history = (
		child => $child,
		shape => $shape,
		older => any(between(0, 3), between(20, 30), between(60, 70), between(100, 300), between(0, 600), 600),
		newer => any('none', 'of others', 'of anybody', 'of who asked'),
		noise => any(0, 0.1, 0.5),
		turn => make_turn($shape eq 'chain' ? 'in turn' : any('in turn', 'at random', 'in runs'), @worker),
		gap => make_gap($shape, $count));
	# Two may ask, one soon after the other.
	for my $n (1 .. any(1, 1, 1, 2))
	{
		my $worker = @known && chance(0.6) ? any(@known) : { organisation => 'RXX', names => ['Asking'] };
		my $silent = chance(0.1);
		push @{ $history{asking} }, {
			%{ make_access($worker, undef, 0) },
			worker => $worker,
			care_setting => 'emergency_department',
			job_role => "asks $n",
			# Nobody else may look up silently.
			user => $silent ? $superuser : 'clinician',
			notify => $silent ? 'f' : 't' };
	}
	return \%history;
}

sub literal
{
	my ($text) = @_;
	return 'NULL' unless defined $text;
	return "'" . $text =~ s/'/''/gr . "'";
}

# Each output line of a script that must not fail.
sub lines_of
{
	my ($user, @command) = @_;
	my $run = run_sql($node, join("\n", @command), user => $user);
	die "$user: $run->{err}" if $run->{err} ne '';
	return split /\n/, $run->{out};
}

# Look up, as all that ask do.
sub look_up
{
	my (@history) = @_;
	for my $user ('clinician', $superuser)
	{
		my (@asking, @command);
		for my $history (@history)
		{
			for my $asking (grep { $_->{user} eq $user } @{ $history->{asking} })
			{
				push @asking, $asking;
				push @command, "SELECT event_id FROM cpis_lookup(nhs_number_synthetic($history->{child}), "
				  . join(', ', map { literal($_) } @$asking{qw(name organisation care_setting id job_role)})
				  . ", notify => '$asking->{notify}');";
			}
		}
		my @event_id = lines_of($user, @command);
		die 'a look-up is missing' if @event_id != @asking;
		$_->{event_id} = shift @event_id for @asking;
	}
	my %recorded = map { split /\|/ } split /\n/, $node->safe_psql('postgres',
		'SELECT event_id, (extract(epoch FROM recorded_at) * 1000000)::bigint FROM cpis.audit_event');
	$_->{at} = $recorded{ $_->{event_id} } for map { @{ $_->{asking} } } @history;
	return;
}

my ($next_older, $next_newer) = (FIRST_OLDER, FIRST_NEWER);

# Everything around the look-ups that ask: the time is that of the first or the
# last of them, so that others are exactly 24 hours from it.
sub make_rest
{
	my ($history) = @_;
	my ($turn, $gap, $noise) = @$history{qw(turn gap noise)};
	my @asking = sort { $a->{event_id} <=> $b->{event_id} } @{ $history->{asking} };
	my (@older, @newer);

	my $at = $asking[0]{at};
	for (1 .. $history->{older})
	{
		my $before = $at - $gap->();
		# One gap of the grid may be -1.
		$at = $before if $before < $at;
		last if $at < $asking[0]{at} - PAST;
		unshift @older, make_access($turn->(), $at, $noise);
	}

	$at = $asking[-1]{at};
	if ($history->{newer} eq 'of others')
	{
		my $each = between(0, 60 * SECOND);
		push @newer, make_access({ organisation => 'RYY', names => ["Later $_"] }, $at += $each, $noise / 5)
		  for 1 .. between(30, 90);
	}
	elsif ($history->{newer} eq 'of anybody')
	{
		for (1 .. between(1, 150))
		{
			my $after = $at + $gap->();
			$at = $after if $after > $at;
			last if $at > $asking[-1]{at} + FUTURE;
			push @newer, make_access($turn->(), $at, $noise);
		}
	}
	elsif ($history->{newer} eq 'of who asked')
	{
		push @newer, make_access($asking[-1]{worker}, $at += int rand DAY, $noise) for 1 .. between(1, 10);
	}

	# The number tells it apart; a job role may be missing.
	$_->{event_id} = $next_older++ for @older;
	$_->{event_id} = $next_newer++ for @newer;
	$_->{job_role} = chance(0.1) ? undef : "Role $_->{event_id}" for @older, @newer;
	$history->{made} = [ @older, @newer ];
	$history->{all} = [ @older, @asking, @newer ];
	return;
}

# The partitions of the months before this one, as the writer would make them;
# the next one the writer does make.
sub make_partitions
{
	$node->poll_query_until('postgres',
		q{SELECT count(*) >= 2 FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass})
	  or die 'the writer has not made two months';
	$node->safe_psql('postgres', q{
		SET timezone = 'UTC';
		DO $$
		DECLARE
			first timestamptz;
			name text;
		BEGIN
			FOR first IN SELECT date_trunc('month', min(recorded_at)) - n * interval '1 month'
				FROM cpis.audit_event, generate_series(1, 4) n GROUP BY n
			LOOP
				name := to_char(first, '"audit_event_"YYYY_MM');
				EXECUTE format('CREATE TABLE cpis.%I PARTITION OF cpis.audit_event FOR VALUES FROM (%L) TO (%L)',
					name, first, first + interval '1 month');
				EXECUTE format('CREATE INDEX %I ON cpis.%I (event_id)', name || '_event_id_idx', name);
				EXECUTE format('CREATE INDEX %I ON cpis.%I (nhs_number, event_id)', name || '_nhs_number_idx', name);
			END LOOP;
		END $$;
	});
	return;
}

# Put into the trail what was made.
sub load
{
	my (@history) = @_;
	my @number = (undef, split /\n/,
		$node->safe_psql('postgres', 'SELECT nhs_number_synthetic(n) FROM generate_series(1, 1000) n'));
	my $file = $node->basedir . '/events';
	open my $out, '>', $file or die "cannot write $file: $!";
	for my $history (@history)
	{
		for my $access (@{ $history->{made} })
		{
			my $fraction = $access->{at} % SECOND;
			my $at = strftime('%Y-%m-%d %H:%M:%S', gmtime(($access->{at} - $fraction) / SECOND))
			  . sprintf('.%06d+00', $fraction);
			print $out join("\t", $at, $number[ $history->{child} ],
				map { $_ // '\N' } @$access{qw(event_id action outcome name id job_role organisation care_setting notify)},
				'app', 'app', 1, '', ''), "\n";
		}
	}
	close $out or die "cannot write $file: $!";
	$node->safe_psql('postgres', "
		COPY cpis.audit_event (recorded_at, nhs_number, event_id, action, outcome, worker_name, worker_id, job_role,
			organisation, care_setting, notify, session_role, effective_role, backend_pid, salt, leaf_hash)
		FROM '$file'");
	return;
}

sub is_for_all
{
	my ($event) = @_;
	return $event->{action} eq 'lookup' && $event->{outcome} eq 'found' && $event->{notify} eq 't';
}

# The rule; copies of it with something changed are what it must not be.
my %rule = (
	is_told => \&is_for_all,
	worker => sub {
		my ($event) = @_;
		return join "\0", $event->{organisation},
		  defined $event->{id} ? ('identifier', $event->{id}) : ('name', $event->{name});
	},
	apart => DAY,
	counts => sub { return 0 });

# Of these events, oldest first: the accesses that would be shown if nobody
# asked and the history had no end.
sub shown_of
{
	my ($rule, @event) = @_;
	my (%last_shown, @shown);
	for my $event (grep { $rule->{is_told}->($_) } @event)
	{
		my $worker = $rule->{worker}->($event);
		next if exists $last_shown{$worker} && $event->{at} - $last_shown{$worker} < $rule->{apart}
		  && !$rule->{counts}->($event);
		$last_shown{$worker} = $event->{at};
		push @shown, $event;
	}
	return @shown;
}

# The one that asks, unless it was silent, and as many of the newest others as
# there is room for; newest first.
sub history_of
{
	my ($rule, $asking, @event) = @_;
	my @others = grep { $_ != $asking } reverse shown_of($rule, @event);
	my @history = is_for_all($asking) ? $asking : ();
	push @history, shift @others while @others && @history < SHOWN;
	return sort { $b->{event_id} <=> $a->{event_id} } @history;
}

# As psql prints it.
sub as_lines
{
	return join "\n", map {
		join '|', @$_{qw(at name)}, $_->{job_role} // '-', $_->{organisation},
		  $organisation{ $_->{organisation} } // '-', $_->{care_setting}
	} @_;
}

# In how many histories something is tried, so that a change here cannot leave
# it out unnoticed: mostly, in how many another rule would show something else.
my %tried = map { $_ => 0 } (
	'all places are taken',
	'the one that asks is shown though it repeats',
	'the one that asks takes a place though 25 are newer',
	'the one that asks was silent',
	'it matters that the one that asks hides nothing',
	'it matters what came before the 64 newest',
	'it matters what came before the 128 newest',
	'exactly 24 hours matter',
	'a microsecond less than 24 hours matters',
	'silent, missed, refused and flagged matter',
	'the organisation matters',
	'the identifier matters',
	'it matters whether it is an identifier or a name');

sub note_what_is_tried
{
	my ($asking, @event) = @_;
	my $expected = as_lines(history_of(\%rule, $asking, @event));
	my @shown = shown_of(\%rule, @event);
	my @newest_told = reverse grep { is_for_all($_) } @event;
	my $told = is_for_all($asking);
	my $tried = sub { my ($what, $is) = @_; $tried{$what}++ if $is; };
	my $matters = sub {
		my ($what, $change, @of) = @_;
		$tried->($what, as_lines(history_of({ %rule, %$change }, $asking, @of)) ne $expected);
	};

	$tried->('all places are taken', ($expected =~ tr/\n//) == SHOWN - 1);
	$tried->('the one that asks is shown though it repeats', $told && !grep { $_ == $asking } @shown);
	$tried->('the one that asks takes a place though 25 are newer',
		$told && SHOWN <= grep { $_->{event_id} > $asking->{event_id} } @shown);
	$tried->('the one that asks was silent', !$told);
	$matters->('it matters that the one that asks hides nothing',
		{ counts => sub { return $_[0] == $asking } }, @event);
	for my $n (64, 128)
	{
		$matters->("it matters what came before the $n newest", {}, reverse @newest_told[ 0 .. $n - 1 ])
		  if @newest_told > $n;
	}
	$matters->('exactly 24 hours matter', { apart => DAY + 1 }, @event);
	$matters->('a microsecond less than 24 hours matters', { apart => DAY - 1 }, @event);
	$matters->('silent, missed, refused and flagged matter', { is_told => sub { return 1 } }, @event);
	$matters->('the organisation matters',
		{ worker => sub { return $rule{worker}->({ %{ $_[0] }, organisation => '' }) } }, @event);
	$matters->('the identifier matters',
		{ worker => sub { return $rule{worker}->({ %{ $_[0] }, id => undef }) } }, @event);
	$matters->('it matters whether it is an identifier or a name',
		{ worker => sub { return "$_[0]{organisation} " . ($_[0]{id} // $_[0]{name}) } }, @event);
	return;
}

my @histories = map { plan_history(1 + $_) } 1 .. HISTORIES;
# First, for whoever looks up later is given a number above all that is there.
look_up(@histories);
make_partitions();
make_rest($_) for @histories;
load(@histories);
$node->safe_psql('postgres', 'ANALYZE cpis.audit_event');

my %shown;
for my $user ('clinician', $superuser)
{
	my @event_id = map { $_->{event_id} } grep { $_->{user} eq $user } map { @{ $_->{asking} } } @histories;
	for (lines_of($user, map { qq{
			SELECT $_, (extract(epoch FROM accessed_at) * 1000000)::bigint, worker_name, coalesce(job_role, '-'),
				organisation, coalesce(organisation_name, '-'), care_setting
			FROM cpis_access_history($_);} } @event_id))
	{
		my ($event_id, $line) = split /\|/, $_, 2;
		push @{ $shown{$event_id} }, $line;
	}
}

my (%wrong, %asked);
for my $history (@histories)
{
	my ($shape, @event) = ($history->{shape}, @{ $history->{all} });
	for my $asking (@{ $history->{asking} })
	{
		my $expected = as_lines(history_of(\%rule, $asking, @event));
		my $shown = join "\n", @{ $shown{ $asking->{event_id} } // [] };
		$asked{$shape}++;
		note_what_is_tried($asking, @event);
		next if $shown eq $expected;
		diag "child $history->{child}, asked for by event $asking->{event_id}, is shown\n$shown\ninstead of\n$expected"
		  unless %wrong;
		push @{ $wrong{$shape} }, $history->{child};
	}
}
is(join(', ', @{ $wrong{$_} // [] }), '', "$asked{$_} histories, shape $_: children with a wrong one, seed $seed")
  for sort keys %asked;
cmp_ok($tried{$_}, '>=', 10, "tried: $_") for sort keys %tried;
note "$tried{$_} times $_" for sort keys %tried;
note scalar(map { @{ $_->{made} } } @histories) . ' events made';

$node->stop;
done_testing();

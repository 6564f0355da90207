# Files as they come: a million records with every fault there is, damaged ones, and
# whoever is killed, waits or takes back what was begun.

use strict;
use warnings;

use CpisTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $MILLION = 1_000_000;
my $TENTH = $MILLION / 10;
# By how much memory may differ between them, in kB.
my $SPARE = 24 * 1024;

# A million takes its time where others work beside.
$PostgreSQL::Test::Utils::timeout_default *= 10;

my $COLUMNS = 'nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, local_reference';

# Without JIT, for its code takes memory that the records do not.
my $node = new_server('uploads', conf => q{
	shared_buffers = 256MB
	max_wal_size = 4GB
	checkpoint_timeout = 30min
	log_statement = none
	jit = off
});
record_scope($node);
my $directory = PostgreSQL::Test::Utils::tempdir;
chmod 0755, $directory;

$node->safe_psql('postgres', q{
	CREATE ROLE one LOGIN IN ROLE cpis_local_authority, pg_read_server_files;
	CREATE ROLE two LOGIN IN ROLE cpis_local_authority;
	SELECT cpis_scope_grant('one', local_authority => 'E06000001'), cpis_scope_grant('two', local_authority => 'E06000002');
});

sub answer
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

sub copy_from
{
	my ($file, $options) = @_;
	return "\\copy cpis.submission_record ($COLUMNS) FROM '$file' (FORMAT csv" . ($options ? ", $options" : '') . ")\n";
}

# Run a script as the role of an authority: what it printed, and the SQLSTATEs.
sub run_as
{
	my ($role, $script, $database) = @_;
	my $run = run_sql($node, $script, user => $role, database => $database // 'postgres');
	return ($run->{out}, $run->{states}, $run->{err});
}

# Every rule that a record can break: record code, detail code, field, and what is to
# be sent instead of sound values to break it, as SQL over the columns of "base".
my @ways = (
	[ 'CPR04', 'nhs_number_missing', 'nhs_number', nhs_number => q{CASE WHEN k % 2 = 0 THEN '  ' END} ],
	[ 'CPR04', 'nhs_number_format', 'nhs_number', nhs_number => q{left(number::text, 9)} ],
	[ 'CPR04', 'nhs_number_check_digit', 'nhs_number', nhs_number => q{left(number::text, 9) || (right(number::text, 1)::int + 1) % 10} ],
	[ 'CPR04', 'nhs_number_placeholder', 'nhs_number', nhs_number => q{repeat((k % 10)::text, 10)} ],
	[ 'CPR07', 'plan_type_missing', 'plan_type', plan_type => q{NULL} ],
	[ 'CPR07', 'plan_type_unknown', 'plan_type', plan_type => q{'CPPP'} ],
	[ 'CPR07', 'start_date_missing', 'start_date', start_date => q{CASE WHEN k % 2 = 0 THEN '' END} ],
	[ 'CPR07', 'start_date_format', 'start_date', start_date => q{to_char(start, 'DD/MM/YYYY')} ],
	[ 'CPR07', 'start_date_range', 'start_date', start_date => q{'1948-07-04'} ],
	[ 'CPR07', 'end_date_format', 'end_date', end_date => q{'2026-02-30'} ],
	[ 'CPR07', 'end_date_range', 'end_date', end_date => q{'3000-01-01'} ],
	[ 'CPR07', 'end_before_start', 'end_date', end_date => q{(start - 1)::text} ],
	[ 'CPR07', 'delete_date_format', 'delete_date', delete_date => q{'2026-1-1'} ],
	[ 'CPR07', 'delete_date_range', 'delete_date', delete_date => q{'30000101'} ],
	[ 'CPR07', 'date_of_birth_format', 'date_of_birth', date_of_birth => q{'unknown'} ],
	[ 'CPR07', 'date_of_birth_range', 'date_of_birth', date_of_birth => q{CASE WHEN k % 2 = 0 THEN '1899-12-31' ELSE (today + 10)::text END} ],
	[ 'CPR07', 'start_before_birth', 'start_date', plan_type => q{'lac'}, date_of_birth => q{(start + 1)::text} ],
	[ 'CPR07', 'over_eighteen', 'date_of_birth', plan_type => q{'lac'}, date_of_birth => q{'19900101'} ],
	[ 'CPR07', 'local_reference_text', 'local_reference', local_reference => q{n || E'\t' || n} ],
	[ 'CPR07', 'local_reference_length', 'local_reference', local_reference => q{n || repeat('x', 65 - length(n::text))} ],
	[ 'CPR01', 'nhs_number_not_found', 'nhs_number', nhs_number => q{nhs_number_synthetic(900001 + k % 100)::text} ],
	[ 'CPR02', 'nhs_number_sensitive', 'nhs_number', nhs_number => q{nhs_number_synthetic(900101 + k % 100)::text} ],
	[ 'CPR03', 'nhs_number_not_verified', 'nhs_number', nhs_number => q{nhs_number_synthetic(900201 + k % 100)::text} ],
	[ 'CPR05', 'nhs_number_superseded', 'nhs_number', nhs_number => q{nhs_number_synthetic(900301 + k % 200)::text} ],
	[ 'CPR05', 'nhs_number_inactive', 'nhs_number', nhs_number => q{nhs_number_synthetic(900501 + k % 100)::text} ],
	[ 'CPR07', 'duplicate', 'start_date', nhs_number => q{number_before::text}, plan_type => q{type_before}, start_date => q{start_before::text} ],
	[ 'CPR07', 'not_held', 'end_date', start_date => q{(today - 800)::text}, end_date => q{(today - 400)::text} ],
	[ 'CPR07', 'not_held', 'delete_date', delete_date => q{(today - k % 2)::text} ]);

# The demographics service knows these: the last hundred of those superseded only the register does.
my $statuses = q{
	CREATE TABLE public.status (nhs_number nhs_number PRIMARY KEY, status text NOT NULL);
	INSERT INTO public.status SELECT nhs_number_synthetic(900000 + n),
			(ARRAY['not_found', 'sensitive', 'not_verified', 'superseded'])[1 + (n - 1) / 100]
		FROM generate_series(1, 400) n;
	CREATE FUNCTION public.demographics(nhs_number[], date[]) RETURNS TABLE (nhs_number nhs_number, status text)
		LANGUAGE sql STABLE SET search_path = public, pg_temp
		AS $$SELECT n, COALESCE(s.status, 'verified') FROM unnest($1) AS n LEFT JOIN status s ON s.nhs_number = n$$;
	SELECT count(cpis_nhs_number_inactivate(nhs_number_synthetic(900400 + n), nhs_number_synthetic(800000 + n))) FROM generate_series(1, 100) n;
	SELECT count(cpis_nhs_number_inactivate(nhs_number_synthetic(900500 + n))) FROM generate_series(1, 100) n;
};

# SQL of the value that is sent in this column, in such a way or, where it is NULL, a sound one.
sub value_sql
{
	my ($column, $sound) = @_;
	my $cases = '';
	foreach my $i (0 .. $#ways)
	{
		my (undef, undef, undef, %sent) = @{ $ways[$i] };
		$cases .= " WHEN $i THEN $sent{$column}" if exists $sent{$column};
	}
	return $cases eq '' ? $sound : "CASE way$cases ELSE $sound END";
}

# SQL of records: of sound ones, with the plans that they are, but where "way" says otherwise.
# Numbers are sent in all ways they may be written, dates in two, kinds in some.
sub records_sql
{
	my ($lines) = @_;
	my %sound = (
		nhs_number => q{CASE n % 3 WHEN 0 THEN nhs_number_format(number) ELSE number::text END},
		plan_type => q{CASE n % 4 WHEN 0 THEN upper(type) WHEN 1 THEN ' ' || type ELSE type END},
		start_date => q{CASE n % 2 WHEN 0 THEN to_char(start, 'YYYYMMDD') ELSE start::text || ' ' END},
		end_date => q{CASE n % 7 WHEN 0 THEN (today - n % 20)::text END},
		delete_date => q{CASE n % 13 WHEN 0 THEN (today + 30)::text END},
		date_of_birth => q{CASE n % 5 WHEN 0 THEN (today - 3650)::text END},
		local_reference => q{CASE n % 17 WHEN 0 THEN NULL ELSE 'R' || n END});
	my $values = join ', ', map { value_sql($_, $sound{$_}) . " AS $_" } split /, /, $COLUMNS;
	return qq{
		WITH line AS (
			SELECT n, k, way, today, nhs_number_synthetic(1 + (n - 1) % 900000) AS number, today - 30 - n % 28 AS start,
				nhs_number_synthetic(1 + (n - 2) % 900000) AS number_before, today - 30 - (n - 1) % 28 AS start_before,
				CASE WHEN n > 900000 THEN 'looked_after' WHEN n % 11 = 0 THEN 'unborn' ELSE 'cpp' END AS type,
				CASE WHEN n - 1 > 900000 THEN 'looked_after' WHEN (n - 1) % 11 = 0 THEN 'unborn' ELSE 'cpp' END AS type_before
			FROM ($lines) AS l (n, k, way), (SELECT current_date) AS t (today))
		SELECT n::integer, way, $values,
			number, CASE type WHEN 'cpp' THEN 'child_protection' ELSE type END AS plan, start,
			CASE n % 7 WHEN 0 THEN today - (n % 20)::integer END AS ended, CASE n % 13 WHEN 0 THEN today + 30 END AS deleted
		FROM line ORDER BY n};
}

# Seconds that a process has had of the processor.
sub cpu_time
{
	my ($pid) = @_;
	open my $stat, '<', "/proc/$pid/stat" or return;
	my @fields = split ' ', (<$stat> // '') =~ s/.*\) //r;
	return @fields > 12 ? ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK) : undef;
}

# Peak of the private memory of a session while it is in each of its phases, in kB.  A
# phase is over when the file of the next is there.
sub watch_memory
{
	my ($run, $name, @phases) = @_;
	my (%peak, %cpu);
	my $pid;
	my $samples = 0;
	while ($run->{psql}->pumpable)
	{
		$run->{psql}->pump_nb;
		my ($phase) = grep { -e "$directory/$name.$_" } reverse @phases;
		if (defined $phase)
		{
			last if $phase eq $phases[-1];
			$pid //= slurp_file("$directory/$name.pid") + 0;
			if (open my $status, '<', "/proc/$pid/status")
			{
				local $/;
				my ($anonymous) = (<$status> // '') =~ /^RssAnon:\s+(\d+)/m;
				$peak{$phase} = $anonymous if defined $anonymous && $anonymous > ($peak{$phase} // 0);
				$samples++;
			}
			$cpu{$phase} = cpu_time($pid) // $cpu{$phase};
		}
		usleep(50_000);
	}
	note "$name: ", join(', ', map { "$_ up to " . ($peak{$_} // 'unknown') . ' kB, by its end ' . ($cpu{$_} // 'unknown') . ' s of the processor' } @phases[ 0 .. $#phases - 1 ]), " ($samples samples)";
	return \%peak;
}

# Send so many lines of the file for an authority: the answer, and the peaks of memory.
sub send_lines
{
	my ($name, $authority, $lines) = @_;
	my $began = time;
	my $touch = sub { "\\! touch $directory/$name.$_[0]\n" };
	my $run = start_sql($node, "SELECT pg_backend_pid() AS pid \\gset\n\\o $directory/$name.pid\n\\qecho :pid\n\\o\n"
		. "SELECT cpis_submission_open('$authority');\n" . $touch->('copy')
		. "\\copy cpis.submission_record ($COLUMNS) FROM PROGRAM 'head -n " . ($lines + 1) . " $directory/million.csv' (FORMAT csv, HEADER)\n"
		. $touch->('apply') . "SELECT * FROM cpis_submission_apply(NULL, $lines);\n" . $touch->('end'),
		user => "authority_$name", database => 'million');
	my $peak = watch_memory($run, $name, 'copy', 'apply', 'end');
	finish_sql($run);
	is($run->{err}, '', 'no error');
	note sprintf '%s: %d records sent and applied in %.1f s', $name, $lines, time - $began;
	my ($id, $answer) = split /\n/, $run->{out};
	return ($id, $answer, $peak);
}

# Does the answer have each fault, where it is, and nothing else?
sub check_answer
{
	my ($role, $id, $lines) = @_;
	my ($out, $states) = run_as($role, qq{
		CREATE TEMPORARY TABLE answer AS SELECT * FROM cpis_submission_answer($id, true);
		SELECT record_code, detail_code, field, count(*) FROM answer GROUP BY 1, 2, 3;
		\\echo
		SELECT 'missing', * FROM (SELECT * FROM public.expected WHERE line_no <= $lines EXCEPT ALL TABLE answer) m LIMIT 10;
		SELECT 'not expected', * FROM (TABLE answer EXCEPT ALL SELECT * FROM public.expected WHERE line_no <= $lines) m LIMIT 10;
		SELECT count(*) FROM cpis_submission_answer($id) WHERE record_code = 'CPR06' AND num_nulls(detail_code, field, value) = 3;
		SELECT count(*) FROM answer a JOIN (SELECT line_no FROM answer ORDER BY line_no) b USING (line_no);
	}, 'million');
	my ($counts, $differences) = split /\n\n/, $out;
	my %expected;
	$expected{ join '|', @{ $ways[ ($_ - 1) % @ways ] }[ 0 .. 2 ] }++ foreach 1 .. $lines / 10;
	is($states, '', 'the authority may see its answer');
	is(join("\n", sort split /\n/, $counts), join("\n", sort map { "$_|$expected{$_}" } keys %expected), 'so many of each code, rule and field');
	is($differences, $lines * 9 / 10 . "\n" . $lines / 10, 'each is in its line, with what was sent there, and no other; the others are loaded');
	return;
}

# Are the plans of an authority those of the sound lines?
sub check_plans
{
	my ($authority, $lines, $id) = @_;
	my $plans = "SELECT nhs_number, plan_type, start_date, end_date, delete_date, local_reference FROM cpis.plan WHERE local_authority = '$authority'";
	my $sound = "SELECT number, plan, start, ended, deleted, local_reference FROM file WHERE way IS NULL AND n <= $lines";
	is(answer("SELECT 'missing', * FROM ($sound EXCEPT ALL $plans) m LIMIT 10", 'million'), '', 'each sound record is a plan');
	is(answer("SELECT 'not expected', * FROM ($plans EXCEPT ALL $sound) m LIMIT 10", 'million'), '', 'and nothing else is');
	is(answer("SELECT count(*) FROM cpis.plan WHERE local_authority = '$authority' AND submission_id = $id", 'million'), $lines * 9 / 10, 'by that submission');
	return;
}

# What there is, with where it is and who put it there.
sub state_of
{
	my ($database) = @_;
	return answer(q{
		SELECT count(*), sum(hashtextextended(p.xmin || ' ' || p.ctid || ' ' || p.plan_id, 0)) FROM cpis.plan p;
		SELECT count(*), sum(hashtextextended(r.xmin || ' ' || r.ctid, 0)) FROM cpis.submission_record r;
		SELECT count(*), max(answered_at) FROM cpis.submission;
		SELECT max(event_id) FROM cpis.audit_event;
	}, $database);
}

subtest 'a million records, every tenth of which is wrong, in all ways' => sub {
	answer('CREATE DATABASE million');
	make_register($node, 'million');
	record_scope($node, 'million');
	answer($statuses . q{
		INSERT INTO cpis.local_authority VALUES ('E06000003', 'Three', NULL, '01632 960004'), ('E06000004', 'Four', NULL, '01632 960005');
		CREATE ROLE authority_three LOGIN IN ROLE cpis_local_authority;
		CREATE ROLE authority_four LOGIN IN ROLE cpis_local_authority;
		SELECT cpis_scope_grant('authority_three', local_authority => 'E06000003'), cpis_scope_grant('authority_four', local_authority => 'E06000004');
		ALTER DATABASE million SET cpis.demographics_function = 'public.demographics';
	}, 'million');
	my $began = time;
	answer("CREATE UNLOGGED TABLE file AS " . records_sql("SELECT n, n / 10, CASE n % 10 WHEN 0 THEN (n / 10 - 1) % ${\scalar @ways} END FROM generate_series(1, $MILLION) n"), 'million');
	my $codes = join ', ', map { "($_, '" . join("', '", @{ $ways[$_] }[ 0 .. 2 ]) . "')" } 0 .. $#ways;
	answer(qq{
		CREATE UNLOGGED TABLE expected AS
			SELECT n AS line_no, code, detail, w.field, to_jsonb(f) ->> w.field AS value, local_reference
			FROM file f JOIN (VALUES $codes) AS w (way, code, detail, field) USING (way);
		GRANT SELECT ON expected TO PUBLIC;
	}, 'million');
	$node->command_ok([ 'psql', '-XAtq', '-d', $node->connstr('million'), '-c',
		"\\copy (SELECT $COLUMNS FROM file ORDER BY n) TO '$directory/million.csv' (FORMAT csv, HEADER)" ], 'the file');
	note sprintf 'made in %.1f s', time - $began;
	# So that what was known of an empty table does not slow down the comparison.
	answer('ANALYZE file, expected', 'million');

	my ($id, $answer, $less) = send_lines('three', 'E06000003', $TENTH);
	is($answer, 'CPF03|' . $TENTH * 9 / 10 . '|' . $TENTH / 10 . '|0|', 'a hundred thousand: what was loaded, and what was not');
	check_answer('authority_three', $id, $TENTH);
	check_plans('E06000003', $TENTH, $id);

	my ($second, $full_answer, $more) = send_lines('four', 'E06000004', $MILLION);
	is($full_answer, 'CPF03|' . $MILLION * 9 / 10 . '|' . $MILLION / 10 . '|0|', 'a million: what was loaded, and what was not');
	check_answer('authority_four', $second, $MILLION);
	check_plans('E06000004', $MILLION, $second);
	is(answer("SELECT count(*) FROM cpis.plan WHERE local_authority IN ('E06000001', 'E06000002')", 'million'), 1001, 'others have what they had');
	is(answer('SELECT * FROM cpis_retention_reconcile()', 'million'), '', 'it agrees with what was recorded');
	is(answer(q{SELECT detail ~ ', CPR01: \d+, CPR02: \d+, CPR03: \d+, CPR04: \d+, CPR05: \d+, CPR07: \d+$' FROM cpis.audit_event WHERE action = 'rejection'}, 'million'),
		"t\nt", 'what was rejected is recorded, by code');

	foreach my $phase ('copy', 'apply')
	{
		cmp_ok($more->{$phase} // 'unknown', '<=', ($less->{$phase} // 0) + $SPARE, "$phase: memory does not grow with the file")
		  if defined $less->{$phase};
	}

	my $before = state_of('million');
	my ($again, $states) = run_as('authority_four', "SELECT * FROM cpis_submission_apply($second); SELECT * FROM cpis_submission_apply($second, 7);", 'million');
	is("$again $states", "$full_answer\n$full_answer ", 'applied again, the same answer');
	is(state_of('million'), $before, 'and nothing has changed');

	# Every second reference is another one now.
	($again, $states) = run_as('authority_three', qq{
		SELECT cpis_submission_open('E06000003') AS third \\gset
		\\copy cpis.submission_record ($COLUMNS) FROM PROGRAM 'head -n ${\($TENTH + 1)} $directory/million.csv | sed "2~4 s/,R/,S/"' (FORMAT csv, HEADER)
		SELECT * FROM cpis_submission_apply(NULL, $TENTH);
	}, 'million');
	is("$again $states", "$answer ", 'sent again with other references');
	my $changed = answer("SELECT count(*) FROM file WHERE way IS NULL AND n % 4 = 1 AND n <= $TENTH AND local_reference IS NOT NULL", 'million');
	my $unchanged = $TENTH * 9 / 10 - $changed;
	like(answer(q{SELECT detail FROM cpis.audit_event WHERE action = 'submission' ORDER BY event_id DESC LIMIT 1}, 'million'),
		qr/ added: 0, changed: $changed, shortened: 0, unchanged: $unchanged, /, 'those are changed, and no other');
	is(answer("SELECT count(*) FILTER (WHERE local_reference ~ '^S'), count(*) FILTER (WHERE submission_id <> $id), count(*) FROM cpis.plan WHERE local_authority = 'E06000003'", 'million'),
		"$changed|$changed|" . $TENTH * 9 / 10, 'as sent');
	is(answer('SELECT * FROM cpis_retention_reconcile()', 'million'), '', 'all agrees');
};

# Answers are written to where the records were read, whatever the planner believes: else a
# file of some ten thousand records took minutes.
subtest 'no plan goes quadratic' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE plans');
	make_register($node, 'plans');
	foreach my $records (10, 1000, 3000)
	{
		foreach my $kind ('delta', 'full')
		{
			my $run = run_sql($node, qq{
				SELECT cpis_submission_open('E06000001', '$kind') AS id \\gset
				INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date)
					SELECT nhs_number_synthetic(100000 + n)::text, 'lac', '2026-01-01' FROM generate_series(1, $records) n;
				LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET client_min_messages = log;
				SELECT count(*) FROM cpis_submission_apply(:id);
			}, user => $node->safe_psql('postgres', 'SELECT current_user'), database => 'plans');
			my @plans = split /Query Text: /, $run->{err};
			my ($answers) = grep { /^UPDATE cpis.submission_record/ } @plans;
			like($answers, qr/Tid Scan on submission_record/, "$kind, $records: each record where it was read");
			my @nested = grep { /^(?:WITH open|UPDATE cpis.plan p SET end_date = GREATEST|SELECT s.tid)/ && /Nested Loop/ } @plans;
			is(scalar @nested, 0, 'no file is read for each plan') if $records > 64;
		}
		$node->safe_psql('plans', 'ANALYZE');
	}
};

subtest 'of two faults the first one counts' => sub {
	my @pairs;
	# A duplicate needs another record; one that is to be deleted is that, whenever it ended.
	my @single = grep { $ways[$_][1] ne 'duplicate' } 0 .. $#ways - 1;
	foreach my $first (@single)
	{
		my (undef, undef, undef, %first) = @{ $ways[$first] };
		foreach my $second (grep { $_ > $first } @single)
		{
			my (undef, undef, undef, %second) = @{ $ways[$second] };
			push @pairs, [ $first, $second ] unless grep { $first{$_} } keys %second;
		}
	}
	cmp_ok(scalar @pairs, '>', 200, scalar(@pairs) . ' pairs');
	my $values = join ', ', map { "($_->[0], $_->[1])" } @pairs;
	my $line = 0;
	my $expected = join "\n", map { ++$line . '|' . join '|', @{ $ways[ $_->[0] ] }[ 0 .. 2 ] } @pairs;
	# One column from the one, the others from the other.
	my $numbered = "SELECT (row_number() OVER ())::integer AS n, first, second FROM (VALUES $values) AS v (first, second)";
	answer("CREATE TABLE first_faults AS " . records_sql("SELECT n, 1 + n / 10, first FROM ($numbered) p"), 'million');
	answer("CREATE TABLE second_faults AS " . records_sql("SELECT n, 1 + n / 10, second FROM ($numbered) p"), 'million');
	my $chosen = join ', ', map {
		my $column = $_;
		my @of = grep { my (undef, undef, undef, %sent) = @{ $ways[$_] }; exists $sent{$column} } 0 .. $#ways;
		'CASE WHEN a.way IN (' . join(', ', -1, @of) . ") THEN a.$column ELSE b.$column END";
	} split /, /, $COLUMNS;
	$node->command_ok([ 'psql', '-XAtq', '-d', $node->connstr('million'), '-c',
		"\\copy (SELECT $chosen FROM first_faults a JOIN second_faults b USING (n) ORDER BY n) TO '$directory/pairs.csv' (FORMAT csv)" ], 'the file');
	my ($out, $states) = run_as('authority_three', q{SELECT cpis_submission_open('E06000003') AS id \gset} . "\n" . copy_from("$directory/pairs.csv")
		. 'SELECT * FROM cpis_submission_apply(); SELECT line_no, record_code, detail_code, field FROM cpis_submission_answer(:id);', 'million');
	is($states, '', 'no error');
	is($out, 'CPF04|0|' . @pairs . "|0|\n$expected", 'none is loaded, and each answer is the rule that comes first');

	# Of records for one plan that which was sent first, if it can be loaded.
	my $number = answer('SELECT nhs_number_synthetic(905000)');
	my $today = answer('SELECT current_date');
	append_to_file("$directory/twins.csv", join '', map { "$number,$_\n" }
		'cpp,2020-01-01,2021-01-01,,,long ago', 'cpp,2020-01-01,,,,first', 'cpp,2020-01-01,2021-01-01,,,long ago', 'cpp,2020-01-01,,,,second',
		"cpp,2020-01-02,$today,,,first", 'CPP,20200102,,,,second');
	($out, $states) = run_as('authority_three', q{SELECT cpis_submission_open('E06000003') AS id \gset} . "\n" . copy_from("$directory/twins.csv")
		. 'SELECT * FROM cpis_submission_apply(); SELECT line_no, record_code, detail_code, field, value FROM cpis_submission_answer(:id);', 'million');
	is("$out $states", "CPF03|2|4|0|\n1|CPR07|not_held|end_date|2021-01-01\n2|CPR06|||\n3|CPR07|duplicate|start_date|2020-01-01\n"
		. "4|CPR07|duplicate|start_date|2020-01-01\n5|CPR06|||\n6|CPR07|duplicate|start_date|20200102 ", 'of two records for one plan');
	is(answer("SELECT start_date, end_date, local_reference FROM cpis.plan WHERE nhs_number = '$number' ORDER BY 1", 'million'),
		"2020-01-01||first\n2020-01-02|$today|first", 'the first one counts');

	# More than are decided about at a time.
	write_file('same.csv', join '', map { "$number,lac,2020-01-03,,,,$_\n" } 1 .. 20_000);
	($out, $states) = run_as('authority_three', q{SELECT cpis_submission_open('E06000003') AS id \gset} . "\n" . copy_from("$directory/same.csv")
		. 'SELECT * FROM cpis_submission_apply(); SELECT min(line_no), max(line_no), count(*) FROM cpis_submission_answer(:id, true) WHERE detail_code = \'duplicate\';', 'million');
	is("$out $states", "CPF03|1|19999|0|\n2|20000|19999 ", 'of very many records for one plan');
	is(answer("SELECT local_reference FROM cpis.plan WHERE nhs_number = '$number' AND plan_type = 'looked_after'", 'million'), '1', 'the first one, too');
};

# Numbers for the damaged files, each for one record.
my @numbers = split /\n/, answer('SELECT nhs_number_synthetic(2000 + n) FROM generate_series(0, 1999) n');
my $used = 0;

# Lines of sound records, and the plans that they are.
sub sound_lines
{
	my ($n, $reference) = @_;
	my (@lines, @plans);
	foreach my $i (1 .. $n)
	{
		my $number = $numbers[ $used++ ];
		push @lines, qq{$number,cpp,2026-02-$i,,,2015-03-04,} . ($reference // "R$number");
		push @plans, "$number|" . ($reference // "R$number");
	}
	@lines = map { s/-(\d),/-0$1,/r } @lines;
	return (\@lines, \@plans);
}

# What the submission has put into the register, and what has come there otherwise.
sub plans_of
{
	my ($id) = @_;
	return answer("SELECT nhs_number, local_reference FROM cpis.plan WHERE submission_id = $id ORDER BY nhs_number");
}

sub register_without
{
	my (@ids) = @_;
	return answer('SELECT count(*), sum(hashtextextended(p::text, 0)) FROM cpis.plan p WHERE submission_id IS NULL OR submission_id NOT IN (' . join(', ', 0, @ids) . ')');
}

my $HEADER = "NHS_Number,Plan_Type,Start_Date,End_Date,Delete_Date,Date_Of_Birth,Local_Reference\n";
my @damage = (
	# Name, how the file comes of ten lines, options; then either the SQLSTATE of COPY or the
	# answer to the file and those to records.  "records" is given where it says so.
	{ name => 'cut in the middle of a line', make => sub { my $file = join "\n", @_; substr $file, 0, length($file) - 40 }, states => qr/^22P04$/ },
	{ name => 'cut inside a quoted field', make => sub { my $file = join "\n", map { s/,(R\d+)$/,"$1, with a comma"/r } @_; substr $file, 0, length($file) - 5 }, states => qr/^22P04$/ },
	{ name => 'cut at the end of a line', make => sub { join '', map { "$_\n" } @_[ 0 .. 6 ] }, records => 10,
		answer => 'CPF01|0|7|0|record_count', codes => join "\n", map { "$_|CPR07|file_refused||" } 1 .. 7 },
	{ name => 'cut in the last field of a line', make => sub { substr join("\n", @_[ 0 .. 7 ]), 0, -3 }, records => 10,
		answer => 'CPF01|0|8|0|record_count', codes => join "\n", map { "$_|CPR07|file_refused||" } 1 .. 8 },
	{ name => 'sent twice into one submission', make => sub { join '', map { "$_\n" } @_, @_ }, records => 10,
		answer => 'CPF01|0|20|0|record_count', codes => join "\n", map { "$_|CPR07|file_refused||" } 1 .. 20 },
	{ name => 'noise', make => sub { open my $random, '<:raw', '/dev/urandom' or die $!; read $random, my $noise, 100_000; $noise }, states => qr/^(22021|22P04)$/ },
	{ name => 'noise after sound lines', make => sub { my @lines = @_; open my $random, '<:raw', '/dev/urandom' or die $!; read $random, my $noise, 1000; join('', map { "$_\n" } @lines) . $noise },
		states => qr/^(22021|22P04)$/ },
	{ name => '10,000 columns', make => sub { join '', map { $_ . ',x' x 9993 . "\n" } @_ }, states => qr/^22P04$/ },
	{ name => 'semicolons', make => sub { join '', map { tr/,/;/r . "\n" } @_ }, states => qr/^22P04$/ },
	{ name => 'a quotation mark too many', make => sub { join '', map { "$_\n" } $_[0], $_[1] =~ s/,R/,"R/r, @_[ 2 .. 9 ] }, states => qr/^22P04$/ },
	{ name => 'byte order mark, no header', make => sub { join '', "\xef\xbb\xbf", map { "$_\n" } @_ }, loaded => 1 },
	{ name => 'byte order mark and header', make => sub { join '', "\xef\xbb\xbf$HEADER", map { "$_\n" } @_ }, options => 'HEADER', loaded => 1 },
	{ name => 'a header that nobody expects', make => sub { join '', $HEADER, map { "$_\n" } @_ }, loaded => 1,
		answer => 'CPF03|10|1|0|', codes => '1|CPR04|nhs_number_format|nhs_number|NHS_Number' },
	{ name => 'lines end with CR LF', make => sub { join '', map { "$_\r\n" } @_ }, loaded => 1 },
	{ name => 'lines end with CR', make => sub { join '', map { "$_\r" } @_ }, loaded => 1 },
	{ name => 'the last line does not end', make => sub { join "\n", @_ }, loaded => 1 },
	{ name => 'lines end now so, now so', make => sub { my $n = 0; join '', map { $_ . ($n++ % 2 ? "\n" : "\r\n") } @_ }, states => qr/^22P04$/ },
	{ name => 'an empty line', make => sub { join '', map { "$_\n" } @_, '' }, states => qr/^22P04$/ },
	{ name => 'LATIN1, not said', reference => "Zo\xeb", make => sub { join '', map { "$_\n" } @_ }, states => qr/^22021$/ },
	{ name => 'LATIN1', reference => "Zo\xeb", as => 'Zoë', make => sub { join '', map { "$_\n" } @_ }, options => q{ENCODING 'LATIN1'}, loaded => 1 },
	{ name => 'WIN1252', reference => "\x80 \x93x\x94", as => '€ “x”', make => sub { join '', map { "$_\n" } @_ }, options => q{ENCODING 'WIN1252'}, loaded => 1 },
	{ name => 'WIN1252 as LATIN1', reference => "\x80", make => sub { join '', map { "$_\n" } @_ }, options => q{ENCODING 'LATIN1'},
		answer => 'CPF04|0|10|0|', codes => join "\n", map { "$_|CPR07|local_reference_text|local_reference|\xc2\x80" } 1 .. 10 },
	{ name => 'UTF-16', make => sub { "\xff\xfe" . join '', map { "$_\0" } split //, join '', map { "$_\n" } @_ }, states => qr/^22021$/ },
	# psql takes of a line what comes before the first NUL byte, and neither the rest nor its end.
	{ name => 'UTF-16, no byte order mark', make => sub { join '', map { "$_\0" } split //, join '', map { "$_\n" } @_ }, states => qr/^(22021|22P04)$/ },
	{ name => 'a NUL byte', make => sub { join '', map { "$_\n" } $_[0], $_[1] =~ s/5/\0/r, @_[ 2 .. 9 ] }, records => 10,
		answer => 'CPF01|0|9|0|record_count', codes => join "\n", '1|CPR07|file_refused||', '2|CPR04|nhs_number_format|nhs_number|NUMBERS', map { "$_|CPR07|file_refused||" } 3 .. 9 },
	{ name => 'a NUL byte, read by the server', by_server => 1, make => sub { join '', map { "$_\n" } @_[ 0 .. 8 ], $_[9] . "\0" }, states => qr/^22021$/ },
	{ name => 'empty', make => sub { '' }, answer => 'CPF01|0|0|0|no_records', codes => '' },
	{ name => 'empty, as was said', make => sub { '' }, records => 0, answer => 'CPF01|0|0|0|no_records', codes => '' },
	{ name => 'a header only', make => sub { $HEADER }, options => 'HEADER', answer => 'CPF01|0|0|0|no_records', codes => '' },
	{ name => 'compressed', make => sub {
			system('gzip', '-f', write_file('plain.csv', join '', map { "$_\n" } @_)) == 0 or die 'gzip';
			open my $file, '<:raw', "$directory/plain.csv.gz" or die $!;
			read $file, my $content, -s $file; $content }, states => qr/^(22021|22P04)$/ });

sub write_file
{
	my ($name, $content) = @_;
	open my $file, '>:raw', "$directory/$name" or die $!;
	print {$file} $content;
	close $file or die $!;
	return "$directory/$name";
}

subtest 'damaged files' => sub {
	my $n = 0;
	foreach my $damage (@damage)
	{
		my $name = $damage->{name};
		my ($lines, $plans) = sound_lines(10, $damage->{reference});
		my ($sound_lines, $sound_plans) = sound_lines(3);
		my $file = write_file('damaged' . ++$n . '.csv', $damage->{make}->(@$lines));
		my $sound = write_file("sound$n.csv", join '', map { "$_\n" } @$sound_lines);
		my $records = $damage->{records} // 'NULL';
		my $refused = exists $damage->{states};
		my $before = register_without();
		my $next = $refused ? '' : q{SELECT cpis_submission_open('E06000001') AS other} . " \\gset\n";
		my ($out, $states, $err) = run_as('one', q{SELECT cpis_submission_open('E06000001') AS id} . " \\gset\n\\set other :id\n"
			. ($damage->{by_server} ? copy_from($file) =~ s/^\\(.*)/$1;/r : copy_from($file, $damage->{options}))
			. ($refused ? '' : "SELECT * FROM cpis_submission_apply(NULL, $records);\nSELECT line_no, record_code, detail_code, field, value FROM cpis_submission_answer(:id, true);\n")
			. "\\echo then\n$next" . copy_from($sound) . "SELECT * FROM cpis_submission_apply(NULL, 3);\n\\echo :id :other");
		my ($first, $then) = split /^then\n/m, $out;
		my ($id, $other) = $then =~ /^(\d+) (\d+)$/m;
		if ($refused)
		{
			like($states, $damage->{states}, "$name: COPY refuses it, and that is the only error");
			is($first, '', "$name: nothing else is said");
		}
		else
		{
			my $answer = ($damage->{answer} // 'CPF02|10|0|0|') . "\n" . ($damage->{codes} // '');
			$answer .= "\n" if $answer !~ /\n$/;
			$first =~ s/(?<=\|nhs_number\|)\d+$/NUMBERS/m;
			is("$first$states", $answer, "$name: answered");
			is(plans_of($id), $damage->{loaded} ? join("\n", map { defined $damage->{as} ? s/\|.*/|$damage->{as}/r : $_ } @$plans) : '', "$name: loaded is what was answered so");
		}
		is($then, "CPF02|3|0|0|\n$id $other\n" =~ s/\n$//r, "$name: session and submission go on");
		is(plans_of($other), join("\n", @$sound_plans), "$name: with all that is sent then");
		is(register_without($id, $other), $before, "$name: nothing else has changed");
	}
	is(answer('SELECT * FROM cpis_retention_reconcile()'), '', 'all agrees');
};

subtest 'a field of a megabyte' => sub {
	foreach my $column (split /, /, $COLUMNS)
	{
		my ($lines, $plans) = sound_lines(3);
		my $at = 0;
		my %at = map { $_ => $at++ } split /, /, $COLUMNS;
		my @fields = split /,/, $lines->[1], -1;
		$fields[ $at{$column} ] = 'x' x 1_048_576;
		$lines->[1] = join ',', @fields;
		my ($out, $states) = run_as('one', q{SELECT cpis_submission_open('E06000001') AS id} . " \\gset\n"
			. copy_from(write_file("$column.csv", join '', map { "$_\n" } @$lines))
			. 'SELECT * FROM cpis_submission_apply(NULL, 3); SELECT line_no, field, length(value), length(local_reference) FROM cpis_submission_answer(:id, true); SELECT :id;');
		my ($answer, $wrong, $id) = split /\n/, $out;
		is("$answer $states", 'CPF03|2|1|0| ', "$column: the others are loaded");
		like($wrong, qr/^2\|$column\|1048576\|/, 'it is answered, with what was sent');
		is(plans_of($id), join("\n", @$plans[ 0, 2 ]), 'and not loaded');
	}
	is(answer('SELECT * FROM cpis_retention_reconcile()'), '', 'all agrees');
};

subtest 'nobody is in the server log' => sub {
	# A slip of the pen makes no valid number, and the line names somebody all the same.
	my (undef, $states) = run_as('one', q{SELECT cpis_submission_open('E06000001') AS id} . " \\gset\n"
		. copy_from(write_file('slip.csv', "99900 00018,cpp,2026-01-01,,,2015-03-04,SLIP\n99900 00018,cpp,2026-01-01,,,2015-03-04,SLIP,x\n"))
		. "INSERT INTO cpis.submission_record (line_no, nhs_number, local_reference) VALUES (0, '99900 00018', 'SLIP');");
	is($states, '22P04 23514', 'a line too long, and one that has no number');
	my $log = slurp_file($node->logfile);
	unlike($log, qr/SLIP|99900|2015-03-04/, 'of lines that COPY refuses, and rows that a constraint does');
	my @found = grep { index($log, $_) >= 0 || index($log, s/^(...)(...)/$1 $2 /r) >= 0 } @numbers[ 0 .. $used - 1 ];
	is("@found[ 0 .. ($#found < 4 ? $#found : 4) ]", '', 'of those in damaged files');
	# COPY cites the line that it cannot read.
	like($log, qr/ERROR:  (missing data for column|extra data after last expected column)/, 'though it has errors');
	unlike($log, qr/PANIC|FATAL|TRAP|terminated by signal/, 'and nothing went wrong otherwise');
};

# The answers there are, as the register says.
sub submission_state
{
	my ($id) = @_;
	return answer("SELECT file_code, (SELECT count(*) FROM cpis.plan WHERE submission_id = $id), (SELECT count(record_code) FROM cpis.submission_record WHERE submission_id = $id)"
		. " FROM cpis.submission WHERE submission_id = $id");
}

# An open submission of records of the file; its number.
sub open_submission
{
	my ($role, $authority, @lines) = @_;
	my ($out, $states) = run_as($role, "SELECT cpis_submission_open('$authority') AS id \\gset\n"
		. copy_from(write_file('open.csv', join '', map { "$_\n" } @lines)) . 'SELECT :id;');
	is($states, '', 'sent');
	return $out;
}

my $problem = 'SELECT problem, uncommitted FROM cpis_retention_reconcile() ORDER BY 1';

# Wait until a session waits so.
sub waits
{
	my ($name, $event, $test) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = '$name' AND '$event' IN (wait_event, wait_event_type)"), $test);
	return;
}

subtest 'taken back' => sub {
	my ($lines, $plans) = sound_lines(5);
	my $id = open_submission('one', 'E06000001', @$lines, 'x,,,,,,');
	my $before = register_without();
	my ($out, $states) = run_as('one', "BEGIN; SELECT * FROM cpis_submission_apply($id, 6); SELECT * FROM cpis_submission_apply($id); ROLLBACK; SELECT * FROM cpis_submission_answer($id);");
	is($out, "CPF03|5|1|0|\nCPF03|5|1|0|", 'applied, and seen so');
	is($states, '55000', 'afterwards it is open');
	is(submission_state($id), '|0|0', 'nothing of it is there');
	is(register_without(), $before, 'the register is as it was');
	like(answer($problem), qr/^a submission was not answered as announced: submission $id of E06000001, delta: CPF03, accepted: 5, rejected: 1, [^\n]*\|t$/, 'what was announced shows');
	($out, $states) = run_as('one', "BEGIN; SAVEPOINT s; SELECT * FROM cpis_submission_apply($id, 7); ROLLBACK TO s; SELECT * FROM cpis_submission_apply($id, 6); COMMIT; SELECT count(*) FROM cpis_submission_answer($id);");
	is("$out $states", "CPF01|0|6|0|record_count\nCPF03|5|1|0|\n6 ", 'it can be applied again');
	is(plans_of($id), join("\n", @$plans), 'and is loaded then');
	is(answer("SELECT count(*), bool_and(uncommitted) FROM cpis_retention_reconcile()"), '2|t', 'what did not happen is told from what did');
};

subtest 'killed while it is applied' => sub {
	# Whole batches.
	my $records = 12 * 8192;
	my ($lines) = sound_lines(1);
	answer("COPY (SELECT nhs_number_synthetic(100000 + n), 'looked_after', '2026-03-01', NULL, NULL, NULL, 'K' || n FROM generate_series(1, $records) n) TO '$directory/killed.csv' (FORMAT csv)");
	my ($id, $states) = run_as('two', q{SELECT cpis_submission_open('E06000002') AS id} . " \\gset\n" . copy_from("$directory/killed.csv") . 'SELECT :id;');
	is($states, '', 'sent');
	my $before = register_without();
	foreach my $at (1, $records / 2, $records)
	{
		# It cannot come past this one.
		my $blocker = $node->background_psql('postgres');
		$blocker->query_safe("BEGIN; INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES (nhs_number_synthetic(100000 + $at), 'looked_after', 'E06000002', '2026-03-01')");
		my $run = start_sql($node, "SELECT * FROM cpis_submission_apply($id, $records);", user => 'two', application_name => 'killed');
		waits('killed', 'transactionid', "it has come to record $at");
		kill_everything($node);
		finish_sql($run);
		eval { $blocker->quit };
		$node->start;
		is($run->{out}, '', 'nobody was answered');
		is(submission_state($id), '|0|0', 'after the restart nothing of it is there');
		is(register_without(), $before, 'and the register is as it was');
	}
	# Cancelled, it can go on in the same session.
	my $blocker = $node->background_psql('postgres');
	$blocker->query_safe("BEGIN; INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES (nhs_number_synthetic(100001), 'looked_after', 'E06000002', '2026-03-01')");
	my $run = start_sql($node, "SELECT * FROM cpis_submission_apply($id, $records); SELECT pg_advisory_lock(1); SELECT * FROM cpis_submission_apply($id, $records);", user => 'two', application_name => 'cancelled');
	$blocker->query_safe('SELECT pg_advisory_lock(1)');
	waits('cancelled', 'transactionid', 'it waits');
	answer(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'cancelled'});
	waits('cancelled', 'advisory', 'cancelled');
	is(submission_state($id), '|0|0', 'nothing of it is there');
	$blocker->query_safe('ROLLBACK');
	$blocker->quit;
	finish_sql($run);
	is($run->{states}, '57014', 'that is the only error');
	is($run->{out}, "\nCPF02|$records|0|0|", 'then it is applied');
	is(submission_state($id), "CPF02|$records|$records", 'all of it');
	is(answer(q{SELECT count(*) FROM cpis_retention_reconcile() WHERE NOT uncommitted}), 0, 'all agrees');
	trail_is_whole($node, 'the trail is whole');

	# Where the other stays, it is told so, without the record, and can be applied again.
	my ($more) = sound_lines(1);
	my ($number) = split /,/, $more->[0];
	$id = open_submission('two', 'E06000002', @$more);
	$blocker = $node->background_psql('postgres');
	$blocker->query_safe("BEGIN; INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES ('$number', 'child_protection', 'E06000002', '2026-02-01')");
	$run = start_sql($node, "SELECT * FROM cpis_submission_apply($id); SELECT * FROM cpis_submission_apply($id);", user => 'two', application_name => 'met');
	waits('met', 'transactionid', 'it waits for one who adds the same plan');
	$blocker->query_safe('COMMIT');
	$blocker->quit;
	finish_sql($run);
	is("$run->{states} $run->{out}", '23505 CPF02|1|0|0|', 'an error, and then not');
	unlike($run->{err}, qr/$number/, 'which does not name the child');
};

subtest 'two at a time' => sub {
	my ($lines, $plans) = sound_lines(6);
	my $id = open_submission('one', 'E06000001', @$lines[ 0 .. 4 ]);
	my $file = write_file('late.csv', "$id,$lines->[5]\n");
	# One adds and has not committed; two apply.
	my $gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(1), pg_advisory_lock(2)');
	my $adding = start_sql($node, "BEGIN;\n\\copy cpis.submission_record (submission_id, $COLUMNS) FROM '$file' (FORMAT csv)\nSELECT pg_advisory_lock(1);\nCOMMIT;", user => 'one', application_name => 'adding');
	waits('adding', 'advisory', 'one adds');
	my @applying = map { start_sql($node, "SELECT * FROM cpis_submission_apply($id);", user => 'one', application_name => "applying $_") } 1, 2;
	waits("applying $_", 'Lock', 'another applies, and waits') foreach 1, 2;
	is(submission_state($id), '|0|0', 'nothing has been applied');
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	finish_sql($_) foreach $adding, @applying;
	is($adding->{states}, '', 'what was added is committed');
	is("$_->{out} $_->{states}", 'CPF02|6|0|0| ', 'the answer has what was added') foreach @applying;
	is(plans_of($id), join("\n", @$plans), 'all of it is loaded');
	is(answer("SELECT count(*) FROM cpis.audit_event WHERE action = 'submission' AND detail LIKE 'submission $id of %'"), 1, 'once');
	my ($out, $states) = run_as('one', "\\copy cpis.submission_record (submission_id, $COLUMNS) FROM '$file' (FORMAT csv)");
	is($states, '55000', 'nothing is added to what has been answered');

	# Two submissions of one authority, for the same plans: one after the other.
	my ($other_lines) = sound_lines(5);
	my @ids = map { my $i = $_; open_submission('one', 'E06000001', map { s/,R\d+$/,from $i/r } @$other_lines) } 1, 2;
	my $first = start_sql($node, "BEGIN; SELECT * FROM cpis_submission_apply($ids[0]); SELECT pg_advisory_lock(2); COMMIT;", user => 'one', application_name => 'first');
	waits('first', 'advisory', 'the first has been applied');
	my $second = start_sql($node, "SELECT * FROM cpis_submission_apply($ids[1]);", user => 'one', application_name => 'second');
	waits('second', 'Lock', 'the second waits for its end');
	$gate->query_safe('SELECT pg_advisory_unlock(2)');
	$gate->quit;
	finish_sql($_) foreach $first, $second;
	is($first->{out} =~ s/\n.*//sr, 'CPF02|5|0|0|', 'the first is applied');
	is("$second->{out} $second->{states}", 'CPF02|5|0|0| ', 'and the second');
	is(answer("SELECT count(*), min(local_reference), max(local_reference) FROM cpis.plan WHERE submission_id = $ids[1]"), '5|from 2|from 2', 'the second has the last word');
	is(answer(q{SELECT count(*) FROM cpis_retention_reconcile() WHERE NOT uncommitted}), 0, 'all agrees');
};

subtest 'dump and restore' => sub {
	my ($lines, $plans) = sound_lines(8);
	my $open = open_submission('one', 'E06000001', @$lines, 'wrong,,,,,,');
	my $empty = answer(q{SET ROLE one; SELECT cpis_submission_open('E06000001', 'full')});
	my $dump = "$directory/dump";
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dump');
	answer('CREATE DATABASE restored');
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'restore');
	is(answer($problem, 'restored'), answer($problem), 'the copy agrees with what was recorded as the original does');
	foreach my $table ('submission', 'submission_record', 'plan', 'role_scope')
	{
		my $rows = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM cpis.$table t";
		is(answer($rows, 'restored'), answer($rows), "$table is the same");
	}
	my ($out, $states) = run_as('one', "SELECT * FROM cpis_submission_apply($open, 9); SELECT line_no, record_code FROM cpis_submission_answer($open, true);"
		. " SELECT * FROM cpis_submission_apply($empty); SELECT cpis_submission_open('E06000001') > $empty;", 'restored');
	is("$out $states", "CPF03|8|1|0|\n9|CPR04\nCPF01|0|0|0|no_records\nt ", 'what was open can be applied there, and the next one opened');
	is(answer("SELECT nhs_number, local_reference FROM cpis.plan WHERE submission_id = $open ORDER BY nhs_number", 'restored'), join("\n", @$plans), 'and is loaded there');
	is(plans_of($open), '', 'not in the original');
	is(answer($problem, 'restored'), answer($problem), 'all agrees');
	my $answered = answer('SELECT min(submission_id) FROM cpis.submission WHERE answered_at IS NOT NULL');
	my $again = "SELECT * FROM cpis_submission_apply($answered); SELECT * FROM cpis_submission_answer($answered);";
	is(join('', run_as('one', $again, 'restored')), join('', run_as('one', $again)), 'what was answered is answered the same');
	trail_is_whole($node, 'the trail is whole', 'restored');
	($out, $states) = run_as('one', "SELECT * FROM cpis_submission_apply($open, 9)");
	is("$out $states", 'CPF03|8|1|0| ', 'the original goes on');
};

$node->stop;
done_testing();

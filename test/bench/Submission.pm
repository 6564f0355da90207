# How fast what authorities send is loaded: England in one go, each of its authorities
# with a file of its own, from the file to the answer; against a plain COPY of the same
# rows into a table like cpis.plan, which checks no record and answers nobody.
package Submission;

use strict;
use warnings;

use Bench;
use Time::HiRes 'time';

my $records = quick() ? 2000 : 120_000;
my $million = quick() ? 5000 : 1_000_000;
my $sent = 'nhs_number, plan_type, start_date, end_date, delete_date, date_of_birth, local_reference';
my $loaded = 'nhs_number, plan_type, local_authority, start_date, end_date, delete_date, local_reference, submission_id';

# A database with the authorities of England and no plans, the role that sends for each
# of them, and what is to be sent: as files of the authorities, and as one for the COPY.
sub make_empty
{
	my ($database) = @_;
	sql('postgres', "CREATE DATABASE $database");
	sql($database, 'SET client_min_messages = error; CREATE EXTENSION cpis');
	sql('postgres', 'CREATE ROLE la_app LOGIN IN ROLE cpis_local_authority')
	  unless sql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname = 'la_app'");
	my $file = "$ENV{BENCH_TOP}/test/data/local_authorities.csv";
	sql($database, 'CREATE UNLOGGED TABLE authority_file (code text, name text, region text)');
	sql($database, "\\copy authority_file FROM '$file' (FORMAT csv, HEADER)");
	sql($database, q{
		INSERT INTO cpis.local_authority (code, name, office_hours_phone, emergency_duty_phone)
			SELECT code, name, '01632 960001', '01632 960002' FROM authority_file});
	sql($database, q{SELECT count(cpis_scope_grant('la_app', local_authority => code)) FROM cpis.local_authority});
	return;
}

# SQL of the records: England as test/demo/england.sql has it, with references.
sub records_sql
{
	my ($n) = @_;
	return qq{
		SELECT n, nhs_number_synthetic(1 + (n - 1) % 900000) AS nhs_number,
			CASE WHEN n <= 49300 THEN 'child_protection' WHEN n <= 49300 + 1200 THEN 'unborn' ELSE 'looked_after' END AS plan_type,
			code AS local_authority, current_date - 30 - n % 700 AS start_date,
			CASE WHEN n % 10 = 0 THEN greatest(current_date - 30 - n % 700, current_date - n % 360) END AS end_date, NULL::date AS delete_date,
			NULL::date AS date_of_birth, 'CASE-' || n AS local_reference, a.no AS submission_id
		FROM generate_series(1, $n) n
		JOIN (SELECT code, row_number() OVER (ORDER BY code) AS no, count(*) OVER () AS of FROM cpis.local_authority) a
			ON a.no = 1 + n * 7919 % a.of};
}

# Write the files; answers the authorities.
sub write_files
{
	my ($database) = @_;
	sql($database, 'CREATE TABLE england AS ' . records_sql($records));
	my @authorities = split /\n/, sql($database, 'SELECT DISTINCT local_authority FROM england ORDER BY 1');
	foreach my $code (@authorities)
	{
		sql($database, "COPY (SELECT $sent FROM england WHERE local_authority = '$code' ORDER BY n) TO '${\work()}/$code.csv' (FORMAT csv, HEADER)");
	}
	# The submissions of one authority after the other.
	sql($database, "COPY (SELECT $loaded FROM england ORDER BY local_authority, n) TO '${\work()}/england.csv' (FORMAT csv)");
	sql($database, "COPY (SELECT $loaded, cpis.random_salt() FROM england ORDER BY local_authority, n) TO '${\work()}/england_salts.csv' (FORMAT csv)");
	sql($database, qq{
		COPY (SELECT nhs_number_synthetic(1 + (n - 1) % 900000) AS nhs_number, CASE WHEN n <= 900000 THEN 'child_protection' ELSE 'looked_after' END,
				current_date - 30 - n % 700, NULL, NULL, NULL, 'CASE-' || n FROM generate_series(1, $million) n)
			TO '${\work()}/million.csv' (FORMAT csv, HEADER)});
	return @authorities;
}

# What an authority does: as a script of psql.
sub send_script
{
	my ($code, $kind, $file) = @_;
	return "SELECT cpis_submission_open('$code', '$kind') > 0;\n"
	  . "\\copy cpis.submission_record ($sent) FROM '$file' (FORMAT csv, HEADER)\n"
	  . "SELECT file_code, rejected FROM cpis_submission_apply();\n";
}

# Run scripts of psql, each in a session of its own: seconds, and dies if an answer is not
# that everything has been loaded.
sub run_scripts
{
	my ($database, @scripts) = @_;
	my @files;
	foreach my $i (0 .. $#scripts)
	{
		push @files, work() . "/send$i.sql";
		open my $file, '>', $files[-1] or die "cannot write $files[-1]: $!\n";
		print {$file} $scripts[$i];
		close $file or die "cannot write $files[-1]: $!\n";
	}
	sql($database, 'CHECKPOINT');
	my $began = time;
	my @answers = map { Bench::output_of('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-U', 'la_app', '-d', $database, '-f', $_) } @files;
	my $took = time - $began;
	foreach (@answers)
	{
		die "an authority was answered: $_\n" unless /^(t\nCPF02\|0\n?)+$/;
	}
	return $took;
}

# Seconds of a plain COPY; with the salts in the file, or as the default makes them.
sub copy_time
{
	my ($database, $salts) = @_;
	sql($database, q{
		CREATE TABLE copy (LIKE cpis.plan INCLUDING ALL);
		ALTER TABLE copy ADD FOREIGN KEY (plan_type) REFERENCES cpis.plan_type, ADD FOREIGN KEY (local_authority) REFERENCES cpis.local_authority});
	my ($columns, $file) = $salts ? ("$loaded, commitment_salt", 'england_salts.csv') : ($loaded, 'england.csv');
	sql($database, 'CHECKPOINT');
	my $began = time;
	sql($database, "\\copy copy ($columns) FROM '${\work()}/$file' (FORMAT csv)");
	my $took = time - $began;
	die "not all was copied\n" if sql($database, 'SELECT count(*) FROM copy') != $records;
	sql($database, 'DROP TABLE copy');
	return $took;
}

# One round of everything, in a database of its own that has the authorities and nothing
# else.  What is sent again needs what has been sent.
sub round_of
{
	my ($round, $authorities, $time) = @_;
	my @connections = map { send_script($_, 'delta', work() . "/$_.csv") } @$authorities;
	my @again = map { send_script($_, 'full', work() . "/$_.csv") } @$authorities;
	my %variant = (
		connections => \@connections,
		session => [ join '', @connections ]);
	foreach my $what (rotated($round, qw(copy connections session salts)))
	{
		my $database = "bench_submission_${round}_$what";
		if (!$variant{$what})
		{
			push @{ $time->{$what} }, copy_time('bench_submission', $what eq 'salts');
			next;
		}
		make_empty($database);
		push @{ $time->{$what} }, run_scripts($database, @{ $variant{$what} });
		die "not all was loaded\n" if sql($database, 'SELECT count(*) FROM cpis.plan') != $records;
		sql($database, 'VACUUM ANALYZE');
		my @scripts = $what eq 'session' ? join('', @again) : @again;
		push @{ $time->{"$what again"} }, run_scripts($database, @scripts);
		die "sent again, it has changed something\n"
		  if sql($database, q{SELECT count(*) FROM cpis.plan WHERE submission_id > } . @$authorities) != 0;
		die "what was sent does not agree with what was recorded\n" if sql($database, 'SELECT count(*) FROM cpis_retention_reconcile() WHERE problem !~ \'ed_app\'') != 0;
		drop($database);
	}
	return;
}

# One submission of very many: seconds.
sub million_time
{
	my ($authority) = @_;
	my $database = 'bench_submission_million';
	make_empty($database);
	my $took = run_scripts($database, send_script($authority, 'delta', work() . '/million.csv'));
	drop($database);
	return $took;
}

# The writer of events is there for a while yet.
sub drop
{
	my ($database) = @_;
	sql('postgres', "DROP DATABASE $database WITH (FORCE)");
	return;
}

sub measure
{
	my ($report) = @_;
	my $rounds = quick() ? 1 : 5;
	my (%time, @rows);

	make_empty('bench_submission');
	my @authorities = write_files('bench_submission');
	round_of($_, \@authorities, \%time) foreach 1 .. $rounds;
	my $million_time = million_time($authorities[0]);

	my $peer = median(@{ $time{copy} }) <= median(@{ $time{salts} }) ? 'copy' : 'salts';
	foreach my $row (
		[ 'COPY into a table like cpis.plan', 'copy' ],
		[ 'the same, with the salts in the file', 'salts' ],
		[ 'submissions, in one session', 'session' ],
		[ 'submissions, a connection each', 'connections' ],
		[ 'the same files the next night, in one session', 'session again' ],
		[ 'the same files the next night, a connection each', 'connections again' ])
	{
		my ($name, $what) = @$row;
		my $seconds = median(@{ $time{$what} });
		push @rows, [ $name, sprintf('%.2f', $seconds), sprintf('%.0f', $records / $seconds),
			$what eq $peer ? '' : sprintf('%.2f', median_ratio($time{$what}, $time{$peer})) ];
	}
	push @rows, [ "$million records in one submission", sprintf('%.2f', $million_time), sprintf('%.0f', $million / $million_time), '' ];
	$report->section('Submissions',
		"$records records of ${\scalar @authorities} authorities, each with a file of its own, from the file to the answer: opened, copied, applied; all are loaded."
		  . " The next night the same files come as full ones, and nothing changes. The COPY is of the same rows, from one file, into a table with the columns, constraints"
		  . " and indexes of cpis.plan and no triggers: it checks no record, answers nobody and records nothing. Ratios are of the times, to the faster COPY. Medians of $rounds rounds,"
		  . ' of the last line one measurement.');
	$report->table([ '', 'seconds', 'records a second', 'ratio' ], @rows);
	# A connection each is mostly the start of so many programs.
	$report->target('time of submissions in one session / COPY', median_ratio($time{session}, $time{$peer}), '<=', 3);
	return;
}

1;

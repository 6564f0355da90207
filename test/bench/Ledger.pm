# What the ledger costs a look-up, and how fast trail and ledger are verified and an
# event is proved.
package Ledger;

use strict;
use warnings;

use Bench;
use Lookup;
use Time::HiRes 'time';

my %database = (with => 'bench_ledger', without => 'bench_no_ledger');
my $library = "$ENV{BENCH_ROOT}$ENV{BENCH_LIBDIR}/cpis.so";

# A library that makes no leaves, for comparison: built from the same source.
sub build_without
{
	my $copy = "$ENV{BENCH_WORK}/without";
	system('cp', '-R', $ENV{BENCH_SOURCE}, $copy) == 0
	  && system('touch', "$copy/src/ledger_edge.c") == 0
	  && system('make', '-C', $copy, '-s', 'with_llvm=no', 'COPT=-DCPIS_WITHOUT_LEDGER', "PG_CONFIG=$ENV{BENCH_PG_CONFIG}", 'cpis.so') == 0
	  or die "the library without a ledger cannot be built\n";
	return "$copy/cpis.so";
}

# Put a library in the place of the one that is installed.
sub install
{
	my ($file) = @_;
	system('cp', $file, "$library.new") == 0 && rename("$library.new", $library)
	  or die "cannot install $file\n";
	return;
}

sub measure_cost
{
	my ($report) = @_;
	# A lone client waits for the disk each time: many short rounds, for what the disk does changes.
	my %rounds = quick() ? (1 => 1, 32 => 1) : (1 => 121, 32 => 41);
	my %seconds = quick() ? (1 => 1, 32 => 1) : (1 => 1, 32 => 2);
	my %file = (with => "$ENV{BENCH_WORK}/with.so", without => build_without());
	my (@rows, %ratio);

	system('cp', $library, $file{with}) == 0 or die "cannot copy the library\n";
	make_database($database{$_}) for keys %database;
	for my $clients (1, 32)
	{
		my %runs;
		for my $round (1 .. $rounds{$clients})
		{
			for my $name ($round % 2 ? qw(with without) : qw(without with))
			{
				install($file{$name});
				push @{ $runs{$name} }, pgbench(database => $database{$name}, script => 'scripts/cpis.sql',
					clients => $clients, seconds => $seconds{$clients}, variables => $Lookup::hits{variables});
			}
		}
		my %tps = map { my $name = $_; $name => [ map { $_->{tps} } @{ $runs{$name} } ] } keys %runs;
		$ratio{$clients} = median_ratio($tps{with}, $tps{without});
		push @rows, [ $clients, $rounds{$clients}, $seconds{$clients}, (map { sprintf '%.0f', median(@{ $tps{$_} }) } qw(with without)), sprintf '%.3f', $ratio{$clients} ];
	}
	install($file{with});
	die "the ledger has no tiles\n" unless sql($database{with}, 'SELECT count(*) FROM cpis.ledger_tile');
	die "the library without a ledger has made tiles\n" if sql($database{without}, 'SELECT count(*) FROM cpis.ledger_tile');
	sql('postgres', "DROP DATABASE $_ WITH (FORCE)") for values %database;

	$report->section('What the ledger costs',
		"Look-ups a second with the ledger, and with a library that was built without: leaf hashes, but no tree, no tiles."
		  . " Each has a database of its own. Rounds in turns, now the one first, now the other.");
	$report->table([ 'clients', 'rounds', 'seconds each', 'with', 'without', 'with / without' ], @rows);
	$report->target("look-up with the ledger / without, $_ " . ($_ == 1 ? 'client' : 'clients'), $ratio{$_}, '>=', 0.95) for 1, 32;
	return;
}

# Look up until the trail is so long.
sub fill
{
	my ($wanted) = @_;
	Lookup::prepare_database();
	while ((my $events = sql($Lookup::database, 'SELECT tree_size FROM cpis_ledger_status')) < $wanted)
	{
		pgbench(database => $Lookup::database, script => 'scripts/cpis.sql', clients => 64,
			seconds => quick() ? 1 : 30, variables => $Lookup::hits{variables});
	}
	return sql($Lookup::database, 'SELECT tree_size FROM cpis_ledger_status');
}

# Seconds that a verification takes, with so many parallel workers.
sub verification_time
{
	my ($workers, $events) = @_;
	my $began = time;
	my $answer = Bench::output_of('sh', '-c', 'exec psql -XAtq -v ON_ERROR_STOP=1 -d ' . $Lookup::database
		  . " -c 'SET max_parallel_maintenance_workers = $workers' -c 'SELECT * FROM cpis_audit_verify()' 2>&1");
	my $took = time - $began;
	my $progress = $answer =~ s/^NOTICE:  verified \d+ of \d+ events\n//mg;
	die "verification answers $answer\n" if $answer ne "$events||";
	die "verification has not told how far it was\n" if $took > 7 && !$progress;
	return $took;
}

# SHA-256 of so many bytes, a second, as openssl speed measures it.
sub openssl_speed
{
	my ($bytes) = @_;
	my $output = Bench::output_of('sh', '-c', "openssl speed -evp sha256 -bytes $bytes -seconds " . (quick() ? 1 : 3) . ' 2>/dev/null');
	my ($kilobytes) = $output =~ /^sha256\s+([\d.]+)k/mi or die "openssl speed says:\n$output\n";
	return $kilobytes * 1000 / $bytes;
}

sub measure_verification
{
	my ($report, $events) = @_;
	my $rounds = quick() ? 1 : 3;
	my %time;
	sql($Lookup::database, 'VACUUM (FREEZE, ANALYZE)');
	verification_time(1, $events);    # reads it into memory, as far as that goes
	for my $round (0 .. $rounds - 1)
	{
		push @{ $time{$_} }, verification_time($_, $events) for rotated($round, 0, 1);
	}
	my %rate = map { $_ => $events / median(@{ $time{$_} }) } keys %time;

	# A leaf, with the zero before its bytes, and on average a node, of 65 bytes.
	my $leaf = sql($Lookup::database, "SELECT CAST(avg(length(cpis_event_bytes(n)) + 1) AS integer) FROM generate_series(0, $events - 1, greatest($events / 1000, 1)) AS n");
	my $hashing = 1 / (1 / openssl_speed($leaf) + 1 / openssl_speed(65));

	$report->section('Verification',
		"cpis_audit_verify() of the whole trail of $events events, each with a notice, vacuumed; leaves of $leaf bytes on average, and as many nodes of 65."
		  . " openssl speed: as many hashes of these sizes and nothing else, in one process. Medians of $rounds.");
	$report->table([ '', 'processes', 'seconds', 'million events a second', '/ openssl speed' ],
		[ 'cpis_audit_verify()', 1, sprintf('%.1f', median(@{ $time{0} })), sprintf('%.2f', $rate{0} / 1e6), sprintf('%.2f', $rate{0} / $hashing) ],
		[ 'cpis_audit_verify()', 2, sprintf('%.1f', median(@{ $time{1} })), sprintf('%.2f', $rate{1} / 1e6), sprintf('%.2f', $rate{1} / $hashing) ],
		[ 'openssl speed', 1, sprintf('%.1f', $events / $hashing), sprintf('%.2f', $hashing / 1e6), '1' ]);
	$report->target('events verified a second, one process', $rate{0}, '>=', 1_000_000);
	return;
}

# How many pages, in memory or not, the proof of an event looks at.
sub pages
{
	my ($event) = @_;
	my $plan = sql($Lookup::database, "SELECT cpis_inclusion_proof($event); EXPLAIN (ANALYZE, BUFFERS) SELECT cpis_inclusion_proof($event)");
	my ($pages) = $plan =~ /Result .*\n\s+Buffers: shared hit=(\d+)/ or die "EXPLAIN says:\n$plan\n";
	return $pages;
}

sub measure_proofs
{
	my ($report, $events) = @_;
	my $calls = quick() ? 2 : 15;
	my (@first, @cold, @warm, @pages);
	my $dropped = 0;
	for my $call (1 .. $calls)
	{
		my $event = int rand $events;
		for my $times (\@first, \@cold)
		{
			restart();
			$dropped++ if system('sync; { echo 3 >/proc/sys/vm/drop_caches; } 2>/dev/null') == 0;
			my $before = $times == \@cold ? "SELECT cpis_verify_inclusion('', 0, 1, '{}', sha256(''));" : '';
			my (undef, $took, $again) = (split /\n|\|/, ($before ? '' : "\n")
				  . sql($Lookup::database, "$before SELECT bench.proof_time($event), bench.proof_time($event)"));
			push @$times, $took;
			push @warm, $again;
		}
		push @pages, pages($event);
	}
	$report->section('Proof of one event',
		"cpis_inclusion_proof() of a random event among $events, after a restart of the server"
		  . ($dropped ? ', the cache of the operating system emptied as well' : ', files in the cache of the operating system')
		  . ": as the first thing that a session does, which has to load the library; after another function of the library; and once more. Medians of $calls.");
	$report->table([ '', 'ms', 'pages looked at' ],
		[ 'first in the session', milliseconds(median(@first)), '' ],
		[ 'library loaded, nothing of the ledger in memory', milliseconds(median(@cold)), '' ],
		[ 'once more', milliseconds(median(@warm)), sprintf('%.0f', median(@pages)) ]);
	$report->target('proof of one event, cold, ms', median(@cold) / 1000, '<=', 5);
	return;
}

sub measure
{
	my ($report) = @_;
	measure_cost($report);
	my $events = fill(quick() ? 3000 : 10_000_000);
	measure_verification($report, $events);
	script($Lookup::database, 'proof.sql');
	measure_proofs($report, $events);
	return;
}

1;

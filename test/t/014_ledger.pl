# The ledger on a real server: keys and signatures, checked by openssl and by the
# specification written out once more in Perl; checkpoints by themselves; what a
# kept checkpoint tells of a copy; a trail of several chunks.
use strict;
use warnings;

use Digest::SHA qw(sha256);
use FindBin;
use lib $FindBin::Bin;
use CpisTest;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir;
my $key_file = "$directory/key.pem";
my $node = new_server('ledger', init => [], conf => qq{
	wal_level = replica
	max_wal_senders = 4
	cpis.checkpoint_interval = 0
	cpis.signing_key_file = '$key_file'
	cpis.log_origin = 'example.org/cpis'
	cpis.record_timeout = 20s
});

sub ask
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# What psql says on stderr about a statement.
sub said
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);
	return $err;
}

my $looked_up = 0;

# Look up so many times, in one session.
sub look_up
{
	my ($times) = @_;
	$looked_up += $times;
	ask("SELECT count(*) FROM generate_series(1, $times) n,"
		  . " cpis_lookup(nhs_number_synthetic(n % 500 + 1), 'A Nurse', 'RXX', 'emergency_department')");
	return;
}

sub make_key
{
	my ($file, @kind) = @_;
	unlink $file;
	system_or_bail('openssl', 'genpkey', (@kind ? @kind : ('-algorithm', 'ed25519')), '-out', $file);
	chmod 0600, $file;
	return;
}

# The two parts of a note: text, and signature lines.
sub note_parts
{
	my ($note) = @_;
	my ($text, $signatures) = $note =~ /\A(.*?\n)\n(.*)\z/s or die "not a note: $note";
	return ($text, split /\n/, $signatures);
}

# Does openssl verify this signature line of the text with the key in the file?  And is
# the key id the one that C2SP signed-note says?
sub openssl_verifies
{
	my ($text, $line, $file) = @_;
	my ($name, $blob) = $line =~ /^\xe2\x80\x94 (\S+) (\S+)$/ or return 'not a signature line';
	my ($id, $signature) = unpack('a4 a*', decode_base64($blob));
	my $public = `openssl pkey -in $file -pubout -outform DER`;
	my $raw = substr($public, -32);
	return 'another id' if $id ne substr(sha256("$name\n\x01$raw"), 0, 4);

	append_to_file("$directory/text", $text);
	append_to_file("$directory/signature", $signature);
	my $status = system("openssl pkey -in $file -pubout -out $directory/public.pem &&"
		  . " openssl pkeyutl -verify -rawin -pubin -inkey $directory/public.pem -in $directory/text"
		  . " -sigfile $directory/signature >/dev/null 2>&1");
	unlink "$directory/text", "$directory/signature", "$directory/public.pem";
	return $status == 0 ? 'verified' : 'not verified';
}

sub checkpoint
{
	return ask('SELECT cpis_checkpoint()');
}

sub is_whole
{
	my ($name, $server) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(($server // $node)->safe_psql('postgres', 'SELECT event_id, problem FROM cpis_audit_verify()'), '|', $name);
	return;
}

# What a statement that changes the trail or the ledger answers, and verification
# after it; all of it is taken back.
sub tampered
{
	my ($sql) = @_;
	return ask(qq{
		BEGIN;
		DO \$\$ DECLARE month regclass; BEGIN
			FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass LOOP
				EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', month);
			END LOOP;
		END \$\$;
		ALTER TABLE cpis.audit_event DISABLE TRIGGER ALL;
		ALTER TABLE cpis.notification DISABLE TRIGGER ALL;
		ALTER TABLE cpis.ledger DISABLE TRIGGER ALL;
		ALTER TABLE cpis.ledger_tile DISABLE TRIGGER ALL;
		ALTER TABLE cpis.checkpoint DISABLE TRIGGER ALL;
		$sql;
		SELECT event_id, problem FROM cpis_audit_verify();
		ROLLBACK});
}

# Makes the seals of all checkpoints anew, as somebody would who knows how.
my $seal_again = q{DO $$ DECLARE
		c cpis.checkpoint;
		before bytea = (SELECT sha256('cpis/ledger/1\012'::bytea || int8send((extract(epoch FROM created_at) * 1000000)::bigint) || convert_to(origin, 'UTF8')) FROM cpis.ledger);
	BEGIN
		FOR c IN SELECT * FROM cpis.checkpoint ORDER BY tree_size LOOP
			before = sha256('cpis/checkpoint/1\012'::bytea || before || int8send((extract(epoch FROM c.at) * 1000000)::bigint) || convert_to(c.note, 'UTF8'));
			UPDATE cpis.checkpoint SET seal = before WHERE tree_size = c.tree_size;
		END LOOP;
	END $$};

subtest 'without a key: three lines, and everybody is told' => sub {
	my (undef, $out, $err) = $node->psql('postgres', 'SELECT cpis_tlog_proof(0)');
	like($err, qr/event 0 is not in the ledger/, 'no proof of an event that is not there');
	(undef, $out, $err) = $node->psql('postgres', "SELECT cpis_checkpoint_compare(E'example.org/cpis\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n')");
	like($err, qr/another ledger\s+DETAIL:.*no event has been recorded yet/, 'a checkpoint that was kept is not of this ledger');
	is(ask('SELECT count(*) FROM cpis.ledger'), 0, 'which has no name by that');
	is(ask('SELECT cpis_checkpoint()'), "example.org/cpis\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
		'a checkpoint of no events');
	is(ask('SELECT checked, event_id, problem FROM cpis_audit_verify()'), '0||', 'a trail without events is whole');
	look_up(3);
	my $note = checkpoint();
	like($note, qr{\Aexample\.org/cpis\n3\n\S{44}\n\z}, 'an unsigned checkpoint');
	like(said('SELECT cpis_checkpoint()'), qr/WARNING:  checkpoint has not been signed\s+DETAIL:  .*does not exist/, 'a warning');
	is(ask('SELECT key_problem FROM cpis_ledger_status'), 'The file that cpis.signing_key_file names does not exist', 'the status');
	is(ask("SELECT cpis_checkpoint_compare('$note')"), 'consistent', 'it can be compared');
};

subtest 'a file that will not do: not signed, and why' => sub {
	my $problem = sub { ask('SELECT key_problem FROM cpis_ledger_status') };
	make_key($key_file);
	chmod 0640, $key_file;
	like($problem->(), qr/group or world access/, 'readable by the group');
	like(said('SELECT cpis_checkpoint()'), qr/group or world access/, 'the caller of cpis_checkpoint() is told');
	chmod 0604, $key_file;
	like($problem->(), qr/group or world access/, 'readable by all');
	make_key($key_file, '-algorithm', 'RSA');
	like($problem->(), qr/not Ed25519/, 'an RSA key');
	make_key($key_file, '-algorithm', 'ed448');
	like($problem->(), qr/not Ed25519/, 'an Ed448 key');
	make_key($key_file, '-algorithm', 'ed25519', '-aes256', '-pass', 'pass:secret');
	like($problem->(), qr/without passphrase/, 'a key with a passphrase');
	make_key($key_file);
	append_to_file($key_file, "-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n");
	like($problem->(), qr/not Ed25519/, 'a key and nonsense');
	system_or_bail('openssl', 'req', '-x509', '-key', $key_file, '-subj', '/CN=none', '-out', $key_file);
	like($problem->(), qr/something else/, 'a certificate');
	make_key($key_file);
	append_to_file($key_file, slurp_file($key_file));
	like($problem->(), qr/same key twice/, 'the same key twice');
	make_key($key_file);
	my $five = slurp_file($key_file);
	make_key($key_file), $five .= slurp_file($key_file) for 1 .. 4;
	unlink $key_file;
	append_to_file($key_file, $five);
	chmod 0600, $key_file;
	like($problem->(), qr/more than four keys/, 'too many');
	make_key($key_file);
	append_to_file($key_file, "\0-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n");
	like($problem->(), qr/not Ed25519/, 'a key, and nonsense behind a zero byte');
	unlink $key_file;
	append_to_file($key_file, "nonsense\n");
	chmod 0600, $key_file;
	like($problem->(), qr/no private key/, 'nonsense');
	append_to_file($key_file, 'x' x 20000);
	like($problem->(), qr/longer than 16 kB/, 'too long');
	unlink $key_file;
	mkdir $key_file;
	like($problem->(), qr/not a plain file/, 'a directory');
	rmdir $key_file;
	symlink "$directory/nowhere", $key_file;
	like($problem->(), qr/does not exist/, 'a link to nowhere');
	unlink $key_file;
	is(ask('SELECT count(*) FROM cpis.audit_event WHERE action = \'key\''), 0, 'none of that is an event');
	unlike(slurp_file($node->logfile), qr/PRIVATE KEY/, 'nothing of a key in the log');
};

my ($first_key, $second_key);

subtest 'a key: signed as C2SP says, and its first use is an event' => sub {
	make_key($key_file);
	my $note = checkpoint();
	my ($text, @lines) = note_parts($note);
	is(scalar @lines, 1, 'one signature');
	is(openssl_verifies($text, $lines[0], $key_file), 'verified', 'openssl verifies it');
	($first_key) = ask('SELECT verifier_keys[1] FROM cpis_ledger_status');
	is(ask("SELECT detail || ' ' || event_id FROM cpis.audit_event WHERE action = 'key'"),
		"added $first_key " . ((split /\n/, $text)[1] - 1), 'an event, covered by the checkpoint');
	is(ask("SELECT cpis_checkpoint_verify('$note', '$first_key')"), 't', 'cpis_checkpoint_verify() says so');
	is(ask("SELECT cpis_checkpoint_verify('" . ($note =~ s/\n4\n/\n5\n/r) . "', '$first_key')"), 'f', 'not of another text');
	is(ask("SELECT cpis_checkpoint_compare('$note')"), 'consistent', 'it can be compared');
	is(ask('SELECT key_problem IS NULL AND checkpoint_verifier_keys = verifier_keys FROM cpis_ledger_status'), 't', 'the status');
	is(checkpoint(), $note, 'no growth, no other checkpoint');
	look_up(1);
	isnt(checkpoint(), $note, 'growth, another one');
	is(ask("SELECT count(*) FROM cpis.audit_event WHERE action = 'key'"), 1, 'but no other event');
};

# All that a process can write to in its memory, or nothing where it cannot be read.
sub memory_of
{
	my ($pid) = @_;
	my $memory = '';
	open my $maps, '<', "/proc/$pid/maps" or return '';
	open my $mem, '<:raw', "/proc/$pid/mem" or return '';
	while (<$maps>)
	{
		my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw-p/ or next;
		sysseek($mem, hex $from, 0) && sysread($mem, $memory, hex($to) - hex($from), length $memory);
	}
	return $memory;
}

subtest 'a key that has signed is nowhere in memory' => sub {
	my $private = `openssl pkey -in $key_file -outform DER`;
	my $session = $node->background_psql('postgres');
	look_up(1);
	my ($text) = note_parts(checkpoint());
	foreach my $process (
		[ 'the writer', ask('SELECT writer_pid FROM cpis_stat') ],
		[ 'who has seen the status', $session->query_safe('SELECT pg_backend_pid() FROM cpis_ledger_status') ])
	{
		my ($name, $pid) = @$process;
		my $memory = memory_of($pid);
		SKIP:
		{
			skip 'the memory of a process cannot be read here', 3 if $memory eq '';
			isnt(index($memory, 'example.org/cpis'), -1, "$name: the name of the ledger is found");
			is(index($memory, substr($private, -32, 16)), -1, 'the key is not');
			is(index($memory, substr(encode_base64($private, ''), -20)), -1, 'nor its base64');
		}
	}
	$session->quit;
};

subtest 'rotation: an event signed under both keys' => sub {
	my $old = slurp_file($key_file);
	make_key("$directory/new.pem");
	my $new = slurp_file("$directory/new.pem");
	append_to_file("$directory/both.pem", $new . $old);
	chmod 0600, "$directory/both.pem";
	append_to_file("$directory/old.pem", $old);
	rename "$directory/both.pem", $key_file;

	my ($text, @lines) = note_parts(checkpoint());
	is(scalar @lines, 2, 'two signatures');
	is(openssl_verifies($text, $lines[0], "$directory/new.pem"), 'verified', 'of the new key');
	is(openssl_verifies($text, $lines[1], "$directory/old.pem"), 'verified', 'and of the old one');
	($second_key) = ask('SELECT verifier_keys[1] FROM cpis_ledger_status');
	is(ask("SELECT detail FROM cpis.audit_event WHERE event_id = " . ((split /\n/, $text)[1] - 1)),
		"added $second_key", 'the event is the last one that they cover');

	append_to_file("$directory/new only.pem", $new);
	chmod 0600, "$directory/new only.pem";
	rename "$directory/new only.pem", $key_file;
	($text, @lines) = note_parts(checkpoint());
	is(scalar @lines, 1, 'then one');
	is(ask("SELECT detail FROM cpis.audit_event WHERE event_id = " . ((split /\n/, $text)[1] - 1)),
		"removed $first_key", 'and an event that the old one is gone');
	is_whole('checkpoints of all kinds are whole');

	# However soon after another checkpoint: who asks has both signatures.
	$node->append_conf('postgresql.conf', "cpis.checkpoint_interval = 2s\n");
	$node->reload;
	checkpoint();
	append_to_file("$directory/both again.pem", $old . $new);
	chmod 0600, "$directory/both again.pem";
	rename "$directory/both again.pem", $key_file;
	($text, @lines) = note_parts(checkpoint());
	is(scalar @lines, 2, 'two signatures, though it was too early for another checkpoint');
	append_to_file("$directory/new only.pem", $new);
	chmod 0600, "$directory/new only.pem";
	rename "$directory/new only.pem", $key_file;
	($text, @lines) = note_parts(checkpoint());
	is(scalar @lines, 1, 'and one again');
	$node->append_conf('postgresql.conf', "cpis.checkpoint_interval = 0\n");
	$node->reload;
};

subtest 'what hinders for a moment is not recorded as a key that is gone' => sub {
	look_up(1);
	my $keys = ask("SELECT count(*) FROM cpis.audit_event WHERE action = 'key'");
	checkpoint();
	look_up(1);
	my $writer = ask('SELECT writer_pid FROM cpis_stat');
	system_or_bail('prlimit', '--pid', $writer, '--nofile=3:');
	my $run = run_sql($node, 'SELECT cpis_checkpoint()', user => ask('SELECT current_user'));
	system_or_bail('prlimit', '--pid', $writer, '--nofile=1024:');
	is($run->{states}, '53000', 'too many open files: no checkpoint');
	like($run->{err}, qr/could not open the file that cpis\.signing_key_file names/, 'and why');
	my ($text, @lines) = note_parts(checkpoint());
	is(scalar @lines, 1, 'then a signed one');
	is(ask("SELECT count(*) FROM cpis.audit_event WHERE action = 'key'"), $keys, 'and no event of a key');
};

subtest 'no key any more, and one again: events too' => sub {
	my $details = sub { ask("SELECT string_agg(detail, ' ' ORDER BY event_id) FROM (SELECT * FROM cpis.audit_event WHERE action = 'key' ORDER BY event_id DESC LIMIT $_[0]) e") };
	my $signed = checkpoint();
	my ($size) = (split /\n/, $signed)[1];
	rename $key_file, "$directory/aside.pem";
	my $unsigned = checkpoint();
	unlike($unsigned, qr/\n\n/, 'unsigned');
	is($details->(1), "removed $second_key", 'an event: the key is gone');
	is(ask("SELECT cpis_tlog_proof($size - 1)") =~ s/.*?\n\n//sr, $signed, 'the proof of an event leads to the signed checkpoint that covers it');
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT cpis_tlog_proof($size)");
	is($out =~ s/.*?\n\n//sr =~ s/\n\z//r, $unsigned =~ s/\n\z//r, 'of another event to one that is not signed');
	like($err, qr/WARNING:  checkpoint has not been signed/, 'with a warning');
	rename "$directory/aside.pem", $key_file;
	my ($text, @lines) = note_parts(checkpoint());
	is(scalar @lines, 1, 'signed again');
	is($details->(2), "removed $second_key added $second_key", 'and an event');
	is_whole('checkpoints of all kinds are whole');
};

subtest 'checkpoints tampered with, signatures and seals too: events tell' => sub {
	my $checkpoint = sub { ask("SELECT tree_size FROM cpis.checkpoint WHERE cardinality(verifier_keys) $_[0] ORDER BY tree_size LIMIT 1") };
	my ($first, $double, $between) = ($checkpoint->('= 1'), $checkpoint->('= 2'), $checkpoint->('= 1') + 1);
	my $strip = q{UPDATE cpis.checkpoint SET note = split_part(note, E'\n\n', 1) || E'\n', verifier_keys = '{}' WHERE verifier_keys <> '{}'};
	is(tampered($seal_again), '|', 'the seals made anew are the same');
	is(tampered("$strip AND tree_size = $between"), $between - 1 . "|the checkpoint of $between events, or what was before it, has been changed", 'a signature taken away');
	is(tampered("$strip AND tree_size = $between; $seal_again"), $between - 1 . "|the checkpoint of $between events has other signatures than events tell of",
		'and the seals made anew');
	is(tampered("$strip AND tree_size = $first; $seal_again"), $between - 1 . "|the checkpoint of $between events has other signatures than events tell of",
		'that of the first one that is signed');
	is(tampered("$strip; $seal_again"), $first - 1 . '|no checkpoint has the change of keys that the event tells of', 'all of them');
	is(tampered("UPDATE cpis.checkpoint SET note = regexp_replace(note, '[^\\n]*\\n\\Z', ''), verifier_keys = verifier_keys[1:1] WHERE tree_size = $double; $seal_again"),
		$double - 1 . "|the checkpoint of $double events has other signatures than events tell of", 'one of two');
	is(tampered("DELETE FROM cpis.checkpoint WHERE tree_size = $first; $seal_again"), $between - 1 . "|the checkpoint of $between events has other signatures than events tell of",
		'a checkpoint with a change of keys taken away');
	is(tampered("UPDATE cpis.checkpoint SET note = note || E'\\u2014 another AAAAAAAA\\n', verifier_keys = verifier_keys || verifier_keys WHERE tree_size = $between; $seal_again"),
		$between - 1 . "|the checkpoint of $between events has been changed", 'one key twice, where two have signed');
	is(tampered("UPDATE cpis.checkpoint SET at = now() WHERE tree_size = $double"), $double - 1 . "|the checkpoint of $double events, or what was before it, has been changed", 'its time');
	my ($rc, $out, $err) = $node->psql('postgres', q{BEGIN; ALTER TABLE cpis.checkpoint DISABLE TRIGGER ALL;
		UPDATE cpis.checkpoint SET note = regexp_replace(note, E'(\n\\\\d+\n)....', '\1AAAA'); SELECT cpis_tlog_proof(0); ROLLBACK});
	like($err, qr/the ledger is not the one of its checkpoint/, 'a proof that would not hold is not handed out');
	is($out, '', 'nothing of it');
};

# RFC 9162, section 2.1.3.2.
sub root_by_proof
{
	my ($index, $size, $hash, @proof) = @_;
	my ($fn, $sn) = ($index, $size - 1);
	foreach my $p (@proof)
	{
		return 'too long' if $sn == 0;
		if ($fn % 2 || $fn == $sn)
		{
			$hash = sha256("\x01$p$hash");
			while ($fn % 2 == 0 && $fn != 0) { $fn >>= 1; $sn >>= 1 }
		}
		else
		{
			$hash = sha256("\x01$hash$p");
		}
		$fn >>= 1;
		$sn >>= 1;
	}
	return $sn == 0 ? $hash : 'too short';
}

subtest 'tlog-proof: verified offline, from the file and the bytes of the event' => sub {
	look_up(700);
	foreach my $event (0, 5, 255, 256, 511, 700)
	{
		my $file = ask("SELECT cpis_tlog_proof($event)");
		my ($index, $hashes, $note) = $file =~ m{\Ac2sp\.org/tlog-proof\@v1\nindex (\d+)\n((?:\S+\n)*)\n(.*)\z}s
		  or die "not a proof: $file";
		my ($text, @lines) = note_parts($note);
		my ($origin, $size, $root) = split /\n/, $text;
		my $bytes = pack 'H*', ask("SELECT encode(cpis_event_bytes($event), 'hex')");
		is($index, $event, "event $event: its number");
		is(root_by_proof($event, $size, sha256("\0$bytes"), map { decode_base64($_) } split /\n/, $hashes),
			decode_base64($root), 'the hashes lead to the root');
		is(openssl_verifies($text, $lines[0], $key_file), 'verified', 'which is signed');
	}
	# The shell's way, as the README says.
	my $base64 = ask(q{SELECT encode('\x00' || cpis_event_bytes(5), 'base64')});
	my $sum = `echo '$base64' | base64 -d | sha256sum`;
	is((split ' ', $sum)[0], ask("SELECT encode(leaf_hash, 'hex') FROM cpis.audit_event WHERE event_id = 5"), 'sha256sum says the leaf hash');
};

subtest 'checkpoints by themselves: when the writer leaves' => sub {
	look_up(5);
	my $behind = 'SELECT tree_size > checkpoint_tree_size FROM cpis_ledger_status';
	is(ask($behind), 't', 'the newest does not cover the last look-ups');
	$node->poll_query_until('postgres', 'SELECT writer_pid IS NULL FROM cpis_stat') or die 'the writer stays';
	is(ask($behind), 'f', 'the writer has made one before it left');
};

subtest 'cpis.checkpoint_interval: a call waits, and covers what was recorded before' => sub {
	$node->append_conf('postgresql.conf', "cpis.checkpoint_interval = 2s\n");
	$node->reload;
	look_up(1);
	checkpoint();
	look_up(1);
	my ($size) = (split /\n/, checkpoint())[1];
	is($size, ask('SELECT count(*) FROM cpis.audit_event'), 'it covers the last look-up');
	is(ask('SELECT min(pause) >= 2 FROM (SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY tree_size)) AS pause'
			  . ' FROM (SELECT * FROM cpis.checkpoint ORDER BY tree_size DESC LIMIT 2) c) p'), 't', 'two seconds after the one before');
	my $run = start_sql($node, "SET statement_timeout = 500;\n" . lookup_sql(1, 'cancelled') . ";\nSELECT cpis_checkpoint()",
		user => ask('SELECT current_user'));
	finish_sql($run);
	is($run->{states}, '57014', 'the wait can be cancelled');
	$node->append_conf('postgresql.conf', "cpis.checkpoint_interval = 0\n");
	$node->reload;
};

subtest 'somebody locks the checkpoints: look-ups go on, a call fails in time' => sub {
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('BEGIN; LOCK TABLE cpis.checkpoint IN ACCESS EXCLUSIVE MODE');
	$node->append_conf('postgresql.conf', "cpis.record_timeout = 1s\n");
	$node->reload;
	my $run = start_sql($node, lookup_sql(2, 'while locked'));
	finish_sql($run);
	is($run->{states}, '', 'a look-up is answered');
	$run = start_sql($node, 'SELECT cpis_checkpoint()', user => ask('SELECT current_user'));
	finish_sql($run);
	is($run->{states}, '55P03', 'cpis_checkpoint() says what is in the way');
	like($run->{err}, qr/checkpoint could not be made.*cpis\.checkpoint/s, 'and that it is the checkpoint');

	# Beside a call that waits, with the writer's patience longer than theirs.
	$node->append_conf('postgresql.conf', "cpis.record_timeout = 20s\n");
	$node->reload;
	my $waits = start_sql($node, 'SELECT cpis_checkpoint()', user => ask('SELECT current_user'));
	my @beside = map { run_sql($node, "SET cpis.record_timeout = '5s';\n" . lookup_sql(2, 'beside'), user => ask('SELECT current_user'))->{states} } 1 .. 5;
	is("@beside", '    ', 'look-ups beside a call that waits');
	$run = start_sql($node, lookup_sql(2, 'while locked, again'));
	finish_sql($run);
	is($run->{states}, '', 'look-ups go on');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	finish_sql($waits);
	is($waits->{states}, '', 'which gets its checkpoint as soon as it can be made');
	like(checkpoint(), qr/\Aexample/, 'and so do others');
	is_whole('the trail is whole');
};

subtest 'somebody locks another month, or its index: look-ups beside a call that waits go on' => sub {
	my $month = ask("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass");
	my $locks = sub {
		my ($name, $lock) = @_;
		my $holder = $node->background_psql('postgres');
		$holder->query_safe("BEGIN; $lock");
		my $waits = start_sql($node, 'SELECT cpis_checkpoint()', user => ask('SELECT current_user'));
		my @beside = map { run_sql($node, "SET cpis.record_timeout = '3s';\n" . lookup_sql(2, 'beside'), user => ask('SELECT current_user'))->{states} } 1 .. 5;
		is("@beside", '    ', "$name: answered in time");
		$holder->query_safe('ROLLBACK');
		$holder->quit;
		finish_sql($waits);
		is($waits->{states}, '', 'and the call gets its checkpoint then');
	};
	my $begin_anew = sub {
		ask('SELECT pg_terminate_backend(writer_pid, 10000) FROM cpis_stat');
		look_up(1);
	};
	$begin_anew->();
	$locks->('a month', "LOCK TABLE $month IN ACCESS EXCLUSIVE MODE");
	$begin_anew->();
	$locks->('its index', "REINDEX INDEX ${month}_event_id_idx");

	# After a failure that the writer survives, it compares anew.
	checkpoint();
	look_up(1);
	my $writer = ask('SELECT writer_pid FROM cpis_stat');
	system_or_bail('prlimit', '--pid', $writer, '--nofile=3:');
	is(run_sql($node, 'SELECT cpis_checkpoint()', user => ask('SELECT current_user'))->{states}, '53000', 'a checkpoint fails');
	system_or_bail('prlimit', '--pid', $writer, '--nofile=1024:');
	look_up(1);
	$locks->('a month, again', "LOCK TABLE $month IN ACCESS EXCLUSIVE MODE");
};

subtest 'a copy: behind, consistent, forked' => sub {
	my $kept = checkpoint();
	$node->backup('copy');
	look_up(2);
	my $later = checkpoint();
	my $copy = PostgreSQL::Test::Cluster->new('copy');
	$copy->init_from_backup($node, 'copy');
	$copy->start;
	my $compare = sub { $copy->safe_psql('postgres', "SELECT cpis_checkpoint_compare('$_[0]')") };
	is($compare->($kept), 'consistent', 'what was kept before the backup');
	is($compare->($later), 'behind', 'what was kept after it');
	is_whole('the older backup by itself is whole', $copy);
	finish_sql(start_sql($copy, lookup_sql($_, 'fork'))) for 1 .. 3;
	is($compare->($kept), 'consistent', 'when it goes on: before the backup');
	is($compare->($later), 'forked', 'after it: another past');
	is_whole('and the fork by itself is whole', $copy);
	$copy->stop;
};

subtest 'tail cut off, and every trace of it: only a kept checkpoint tells' => sub {
	my $last = ask('SELECT max(event_id) FROM cpis.audit_event');
	# With no full tile among them.
	look_up(1), $last++ while $last % 256 < 3;
	my $kept = checkpoint();
	my $answer = tampered(qq{
		DELETE FROM cpis.audit_event WHERE event_id >= $last - 3;
		DELETE FROM cpis.notification WHERE event_id >= $last - 3;
		DELETE FROM cpis.checkpoint WHERE tree_size > $last - 3;
		SELECT cpis_checkpoint_compare('$kept')});
	is($answer, "behind\n|", 'verification finds nothing, the kept checkpoint does');
	is(tampered("DELETE FROM cpis.audit_event WHERE event_id = 5; SELECT cpis_checkpoint_compare('$kept')"), "consistent\n5|the event is missing",
		'an event under a full tile: the tree is still the same, and verification finds it');
};

subtest 'several chunks: two levels of tiles, in parallel, and interrupted' => sub {
	my @sessions = map {
		start_sql($node, "SELECT count(*) FROM generate_series(1, 9000) n,"
			  . " cpis_lookup(nhs_number_synthetic(n % 500 + 1), 'A Nurse', 'RXX', 'emergency_department')")
	} 1 .. 16;
	finish_sql($_) foreach @sessions;
	is(join(' ', map { $_->{states} } @sessions), ' ' x 15, 'look-ups beside each other');
	cmp_ok(ask('SELECT count(*) FROM cpis.audit_event'), '>=', 2 * 65536, 'two chunks and more');
	is(ask('SELECT count(*) FROM cpis.ledger_tile WHERE level = 1'), 2, 'two tiles of level 1');
	is_whole('the trail is whole');
	is(ask('SELECT checked = (SELECT count(*) FROM cpis.audit_event) FROM cpis_audit_verify()'), 't', 'every row was looked at');
	is(ask('SET max_parallel_maintenance_workers = 0; SELECT event_id, problem FROM cpis_audit_verify()'), '|', 'without workers too');
	my ($size, $root) = (split /\n/, checkpoint())[1, 2];
	is(ask("SELECT bool_and(cpis_verify_inclusion(cpis_event_bytes(n), n, $size, cpis_inclusion_proof(n, $size), decode('$root', 'base64')))"
			  . " FROM generate_series(0, $size - 1, 7919) n"), 't', 'inclusion in the whole tree');
	my ($kept_size, $kept_root) = split /\|/, ask("SELECT tree_size, encode(root, 'hex') FROM cpis.checkpoint WHERE tree_size > 500 ORDER BY tree_size LIMIT 1");
	is(ask("SELECT cpis_verify_consistency($kept_size, $size, cpis_consistency_proof($kept_size, $size), '\\x$kept_root', decode('$root', 'base64'))"),
		't', 'consistency with an earlier one');

	# The caller's own changes, which the workers see as well.
	my $parent = q{ALTER TABLE cpis.ledger_tile DISABLE TRIGGER ALL;};
	foreach my $case (
		[ 'UPDATE cpis.ledger_tile SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE level = 1 AND tile = 1', '65536|tile 1 of level 1 has been changed' ],
		[ 'DELETE FROM cpis.ledger_tile WHERE level = 1 AND tile = 0', '0|tile 0 of level 1 is missing' ],
		[ 'UPDATE cpis.ledger_tile SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE level = 0 AND tile = 300', '76800|tile 300 of level 0 has been changed' ])
	{
		my ($change, $problem) = @$case;
		is(ask("BEGIN; $parent $change; SELECT event_id, problem FROM cpis_audit_verify(); ROLLBACK"), $problem, $change);
	}

	# It tells how far it is: more than five seconds have passed when it can begin to read.
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('BEGIN; LOCK TABLE cpis.notification IN ACCESS EXCLUSIVE MODE');
	my $slow = start_sql($node, "SET max_parallel_maintenance_workers = 0;\nSELECT event_id, problem FROM cpis_audit_verify()", user => ask('SELECT current_user'));
	sleep 6;
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	finish_sql($slow);
	like($slow->{err}, qr/NOTICE: .*verified \d+ of $size events/, 'a notice of its progress');
	is($slow->{states}, '', 'and it goes on');

	# Cancelled while it works, which the leader and its workers notice.
	my $run = start_sql($node, "SET statement_timeout = 5;\nSELECT * FROM cpis_audit_verify()", user => ask('SELECT current_user'));
	finish_sql($run);
	is($run->{states}, '57014', 'it can be cancelled');
	is(ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'"), 0, 'and leaves no worker');
};

subtest 'a name that is none: look-ups go on, without checkpoints' => sub {
	my $writer_again = 'SELECT pg_terminate_backend(writer_pid, 10000) FROM cpis_stat';
	my $name = sub { ask("ALTER TABLE cpis.ledger DISABLE TRIGGER ALL; UPDATE cpis.ledger SET origin = '$_[0]';"
		  . ' ALTER TABLE cpis.ledger ENABLE ALWAYS TRIGGER append_only; ALTER TABLE cpis.ledger ENABLE ALWAYS TRIGGER append_only_truncate;'
		  . " $writer_again") };
	$name->('no name');
	is(run_sql($node, lookup_sql(2, 'without a name'))->{states}, '', 'a look-up is answered');
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT cpis_checkpoint()');
	like($err, qr/checkpoint could not be made\s+DETAIL:  .*the name of the ledger has been changed/, 'a checkpoint is not made');
	is(ask('SELECT count(*) FROM cpis.ledger'), 1, 'nor another name');
	$name->('example.org/cpis');
	is_whole('with its name again, all is well');
};

subtest 'checkpoints and tiles of no tree, put in for good: numbers and checkpoints go on' => sub {
	my $size = ask('SELECT count(*) FROM cpis.audit_event');
	ask(qq{
		INSERT INTO cpis.checkpoint SELECT 1::bigint << number, root, note, verifier_keys, at, seal
			FROM (SELECT * FROM cpis.checkpoint ORDER BY tree_size DESC LIMIT 1) c, unnest(ARRAY[53, 62]) number;
		INSERT INTO cpis.ledger_tile SELECT 0, 1::bigint << number, '', '' FROM unnest(ARRAY[45, 52, 62]) number;
		SELECT pg_terminate_backend(writer_pid, 10000) FROM cpis_stat});
	is(run_sql($node, lookup_sql(2, 'next number'))->{out}, $size, 'a look-up has the next number');
	is((split /\n/, checkpoint())[1], $size + 1, 'a checkpoint covers it');
	like(ask("SELECT cpis_tlog_proof($size)"), qr/\A.*\nindex $size\n/, 'and a proof can be made');
	is(ask('SELECT problem FROM cpis_audit_verify()'), 'the ledger has tiles that no events fill', 'verification finds them');
	ask(q{
		ALTER TABLE cpis.checkpoint DISABLE TRIGGER ALL;
		ALTER TABLE cpis.ledger_tile DISABLE TRIGGER ALL;
		DELETE FROM cpis.checkpoint WHERE tree_size >= 1::bigint << 45;
		DELETE FROM cpis.ledger_tile WHERE tile >= 1::bigint << 45;
		ALTER TABLE cpis.checkpoint ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
		ALTER TABLE cpis.ledger_tile ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate});
	is_whole('without them all is well');
};

# The last here, for what is taken away does not come back.
subtest 'events and tiles taken away for good: look-ups go on, and verification names them' => sub {
	my $kept = checkpoint();
	my $last = ask('SELECT max(event_id) FROM cpis.audit_event');
	my $tile = int($last / 256) - 1;
	my $gone = $last - 1;
	$gone-- while $gone % 256 == 255;
	my $log = -s $node->logfile;
	ask(qq{
		DO \$\$ DECLARE month regclass; BEGIN
			FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'cpis.audit_event'::regclass LOOP
				EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', month);
				EXECUTE format('DELETE FROM %s WHERE event_id = $gone', month);
			END LOOP;
		END \$\$;
		ALTER TABLE cpis.ledger_tile DISABLE TRIGGER ALL;
		DELETE FROM cpis.ledger_tile WHERE level = 0 AND tile = $tile;
		SELECT pg_terminate_backend(writer_pid, 10000) FROM cpis_stat;
	});
	is(run_sql($node, lookup_sql(2, 'afterwards'))->{out}, $last + 1, 'a look-up is answered, with the next number');
	like(slurp_file($node->logfile, $log), qr/something is missing from the ledger/, 'the log says that something is missing');
	is(ask('SELECT event_id, problem FROM cpis_audit_verify()'), $tile * 256 . "|tile $tile of level 0 is missing", 'verification names the tile');
	is(ask("SELECT event_id, problem FROM cpis_audit_verify($gone, $last)"), "$gone|the event is missing", 'and the event');
	is(ask("SELECT problem FROM cpis_audit_verify($tile * 256 + 256, $gone - 1)"),
		"the root of the first $gone events cannot be computed: something is missing from the ledger", 'and what cannot be told without the tile');
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT cpis_checkpoint_compare('$kept')");
	like($err, qr/is missing from the ledger/, 'the kept checkpoint cannot be compared: something is missing');
	look_up(300);
	like(checkpoint(), qr/\Aexample/, 'checkpoints go on');
	is(run_sql($node, lookup_sql(2, 'much later'))->{states}, '', 'and so do look-ups');
};

# In a database of its own, for what these two change does not come back either.
subtest 'a ledger that is not the one of its signed checkpoint: nothing signs' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	my $other = sub { $node->safe_psql('other', $_[0]) };
	my $keys = sub { $other->("SELECT string_agg(split_part(detail, ' ', 1), ' ' ORDER BY event_id) FROM cpis.audit_event WHERE action = 'key'") };
	my $leaf = sub { $other->(qq{
		DO \$\$ DECLARE month regclass = (SELECT tableoid FROM cpis.audit_event WHERE event_id = 0); BEGIN
			EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', month);
			EXECUTE format('UPDATE %s SET leaf_hash = set_byte(leaf_hash, 0, get_byte(leaf_hash, 0) # 1) WHERE event_id = 0', month);
		END \$\$;
		SELECT pg_terminate_backend(writer_pid, 10000) FROM cpis_stat}) };
	my $signed = $other->('CREATE EXTENSION cpis; SELECT cpis_checkpoint()');
	is($keys->(), 'added', 'a signed checkpoint of one event');

	$leaf->();
	my $problem = 'The ledger is not the one of its newest signed checkpoint, as cpis_audit_verify() tells';
	is($other->('SELECT verifier_keys, key_problem FROM cpis_ledger_status'), "{}|$problem", 'the status says so');
	my ($rc, $out, $err) = $node->psql('other', 'SELECT cpis_checkpoint()');
	like($err, qr/checkpoint has not been signed\s+DETAIL:  \Q$problem\E\./, 'the checkpoint too');
	like($out, qr{\Aexample\.org/cpis\n2\n\S{44}\n?\z}, 'which is not signed');
	is($other->("SELECT cpis_checkpoint_compare('$out')"), 'consistent', 'and can be compared');
	is($other->("SELECT cpis_checkpoint_compare('$signed')"), 'forked', 'as the one before it');
	$other->('SELECT pg_terminate_backend(writer_pid, 10000) FROM cpis_stat');
	unlike($other->('SELECT cpis_checkpoint()'), qr/\xe2\x80\x94/, 'nor with another writer');
	is($keys->(), 'added removed', 'an event says so');

	$leaf->();
	like($other->('SELECT cpis_checkpoint()'), qr/\xe2\x80\x94/, 'with the event as it was, the next one is signed');
	is($keys->(), 'added removed added', 'and an event says so');
};

subtest 'keys that are none, in a checkpoint, get into no event' => sub {
	my $other = sub { $node->safe_psql('other', $_[0]) };
	my $kept = $other->('SELECT verifier_keys[1] FROM cpis.checkpoint ORDER BY tree_size DESC LIMIT 1');
	$other->(qq{
		ALTER TABLE cpis.checkpoint DISABLE TRIGGER ALL;
		UPDATE cpis.checkpoint SET verifier_keys = ARRAY[repeat('\xc3\xa9', 150), 'none', repeat('n', 300) || substr('$kept', strpos('$kept', '+'))]
			WHERE tree_size = (SELECT max(tree_size) FROM cpis.checkpoint);
		SELECT pg_terminate_backend(writer_pid, 10000) FROM cpis_stat});
	like($other->('SELECT cpis_checkpoint()'), qr/\xe2\x80\x94/, 'a signed checkpoint');
	is($other->("SELECT string_agg(detail, ', ' ORDER BY event_id) FROM cpis.audit_event WHERE action = 'key' AND event_id > 2"),
		"added $kept", 'and an event of its key alone');
};

# OpenSSL as it is configured where only what a FIPS provider offers is to be used, and there is none.
subtest 'no SHA-256 is to be had: nothing is recorded, and nothing disclosed' => sub {
	my $server = new_server('no_hash');
	append_to_file("$directory/openssl.cnf", <<'END');
openssl_conf = init
[init]
providers = providers
random = random
alg_section = algorithms
[providers]
default = default_provider
[default_provider]
activate = 1
[algorithms]
default_properties = fips=yes
[random]
properties = -fips
seed_properties = -fips
END
	{
		local $ENV{OPENSSL_CONF} = "$directory/openssl.cnf";
		$server->restart;
	}
	my $run = run_sql($server, lookup_sql(2, 'no hash'));
	is($run->{out}, '', 'a look-up is not answered');
	like($run->{err}, qr/access event could not be recorded\nDETAIL:  The writer of the audit trail reported: could not prepare SHA-256\./, 'and is told why');
	like(($server->psql('postgres', 'SELECT * FROM cpis_audit_verify()'))[2], qr/could not prepare SHA-256/, 'nothing is verified, and that is no success');
	$server->restart;
	is($server->safe_psql('postgres', 'SELECT count(*) FROM cpis.audit_event'), '0', 'there is no event');
	is(run_sql($server, lookup_sql(2, 'with it'))->{out}, '0', 'with SHA-256, look-ups work');
	trail_is_whole($server, 'and the trail is whole');
	$server->stop;
};

$node->stop;
done_testing();

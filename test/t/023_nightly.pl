# README's night's work of an authority, and its sample of a demographics function, as they
# stand there.

use strict;
use warnings;

use Cwd;
use CpisTest;
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file(dirname(__FILE__) . '/../../README.md');

# The block of code that follows this text.
sub block_after
{
	my ($text) = @_;
	my ($block) = $readme =~ /\Q$text\E.*?```\w*\n(.*?)```/s or die "README has nothing after \"$text\"\n";
	return $block;
}

my $node = new_server('nightly');
record_scope($node);
my $folder = PostgreSQL::Test::Utils::tempdir;
my $home = getcwd;
$node->safe_psql('postgres', q{
	INSERT INTO cpis.local_authority VALUES ('E08000003', 'Manchester City Council', '01632 960100', '01632 960101')});
$node->safe_psql('postgres', block_after('sends its records and collects its notices over SQL, as a role of its own'));

my $script = block_after('`nightly.sql` sends');
is((() = $script =~ /\n/g), 10, 'ten lines of psql');
append_to_file("$folder/nightly.sql", $script);

# Run it with these plans; answers psql's exit status and what it has left.
sub night
{
	my (@plans) = @_;
	local %ENV = $node->_get_env();
	rename "$folder/plans.csv", "$folder/plans.old";
	my %before = map { $_ => 1 } glob "$folder/*-*.csv";
	append_to_file("$folder/plans.csv", join '', map { "$_\n" } @plans);
	chdir $folder or die;
	my $ok = IPC::Run::run([ $node->installed_command('psql'), '-Xq', '--csv', '-v', 'ON_ERROR_STOP=1',
			'-d', $node->connstr('postgres') . ' user=manchester', '-f', 'nightly.sql' ], '>', \my $out, '2>', \my $err);
	chdir $home or die;
	note($err) if $err ne '';
	return ($ok, map { my ($file) = grep { !$before{$_} } glob "$folder/$_-*.csv"; defined $file ? slurp_file($file) : undef } qw(answer rejected notices));
}

my ($header, $first) = split /\n/, block_after('A first line of `plans.csv`');
my ($ok, $answer, $rejected, $notices) = night($header, $first, '9990000026,LAC,2026-02-01,,,,MCC-18');
ok($ok, 'the first night');
is($answer, "file_code,accepted,rejected,ended,detail_code\nCPF02,2,0,0,\n", 'all loaded');
is($rejected, "line_no,record_code,detail_code,field,value,local_reference\n", 'nothing rejected');
is($notices, "notification_no,event_id,recorded_at,action,nhs_number,superseded_by,worker_name,job_role,organisation,organisation_name,care_setting,detail,leaf_hash\n",
	'nothing has happened');

$node->safe_psql('postgres', "SELECT count(*) FROM cpis_lookup('9990000026', 'Nurse $_', 'RXX', 'ambulance')") for 1, 2;
($ok, $answer, $rejected, $notices) = night($header, $first, '9990000026,LAC,2026-02-31,,,,MCC-18', '9990000034,LAC,2026-02-01,,,,MCC-19');
ok($ok, 'the second night');
is($answer, "file_code,accepted,rejected,ended,detail_code\nCPF03,2,1,0,\n", 'one rejected');
is($rejected, "line_no,record_code,detail_code,field,value,local_reference\n2,CPR07,start_date_format,start_date,2026-02-31,MCC-18\n", 'and why');
is_deeply([ map { [ (split /,/)[ 0, 3, 4, 6 ] ] } (split /\n/, $notices)[ 1, 2 ] ],
	[ [ 1, 'lookup', '9990000026', 'Nurse 1' ], [ 2, 'lookup', '9990000026', 'Nurse 2' ] ], 'two notices');
is($node->safe_psql('postgres', q{SELECT unacknowledged FROM cpis_stat_notification WHERE local_authority = 'E08000003'}), 0, 'acknowledged');

($ok, $answer, $rejected, $notices) = night(join(',', reverse split /,/, $header), join(',', reverse split /,/, $first));
ok(!$ok, 'columns in another order');
($ok, $answer, $rejected, $notices) = night($first, $first);
ok(!$ok, 'no header');
($ok, $answer, $rejected, $notices) = night();
ok(!$ok, 'nothing at all');
($ok, $answer, $rejected, $notices) = night($header);
is($answer, "file_code,accepted,rejected,ended,detail_code\nCPF01,0,0,0,no_records\n", 'nothing but a header');
is((() = glob "$folder/notices-*.csv"), 3, 'no night takes the place of another');
($ok, $answer, $rejected, $notices) = night($header, "$first,too many");
ok(!$ok, 'a file that is damaged');
is($answer // $notices, undef, 'leaves nothing that could be taken for an answer');
($ok, $answer, $rejected, $notices) = night($header, $first);
is($answer, "file_code,accepted,rejected,ended,detail_code\nCPF01,0,1,0,would_end_too_many\n", 'a file that was cut off at its source');

# Every detail code is in README.
my %detail = map { $_ => 1 } (slurp_file(dirname(__FILE__) . '/../../src/record_check.c') =~ /\{"CPR0\d", "(\w+)",/g),
  (slurp_file(dirname(__FILE__) . '/../../src/submission_apply.c') =~ /FILE_\w+, "(\w+)"\)/g), 'nothing_ended';
cmp_ok(scalar keys %detail, '>', 30, 'detail codes');
is_deeply([ grep { $readme !~ /`$_`/ } sort keys %detail ], [], 'each is in README');

# Demographics.
$node->safe_psql('postgres', 'CREATE DATABASE spine TEMPLATE postgres');
my $sample = block_after('Name a function of yours');
$node->safe_psql('spine', $sample);
$node->safe_psql('spine', q{
	INSERT INTO demographics VALUES ('9990000042', '2015-01-01', false, false), ('9990000050', '2015-01-01', true, false), ('9990000069', '2015-01-01', false, true),
		(nhs_number_synthetic(900), '2015-01-01', false, false)});
is($node->safe_psql('spine', q{
	SELECT cpis_submission_open('E08000003');
	INSERT INTO cpis.submission_record (nhs_number, plan_type, start_date, date_of_birth)
		SELECT n, 'CPP', '2026-01-01', b FROM (VALUES ('9990000042', NULL), ('9990000042', '2015-01-02'), ('9990000050', NULL), ('9990000069', NULL), ('9990000034', NULL), (nhs_number_synthetic(900)::text, '2015-01-01')) AS v (n, b);
	SELECT file_code FROM cpis_submission_apply();
	SELECT record_code FROM cpis_submission_answer((SELECT max(submission_id) FROM cpis.submission));}),
	join("\n", $node->safe_psql('spine', 'SELECT max(submission_id) FROM cpis.submission'), 'CPF03', 'CPR03', 'CPR03', 'CPR02', 'CPR05', 'CPR01', 'CPR06'),
	'the sample of a demographics function');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cpis_retention_reconcile() WHERE NOT uncommitted'), 0, 'all agrees');
trail_is_whole($node, 'the trail is whole');
$node->stop;
done_testing();

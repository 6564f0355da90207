# cpis_report() in a real browser: it renders at all widths, light, dark and in print, with nothing on
# the console, nothing fetched, nothing overlapping or cut off, and nothing found by axe.  Its numbers
# are those of the views, no small one of people, accesses or notices is said, and what stands in the
# database stays text.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TestClock;
use WebTest;

# Preloaded, so that what it reads directly leaves an event.
my $node = new_clocked_server('report', '2026-01-05 09:00:00', "shared_preload_libraries = 'cpis'\n");
my $folder = PostgreSQL::Test::Utils::tempdir;
my $hostile = q{<script>alert("x")</script>&<img src=//h/x>};

sub answer
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# The report on these days, as an analyst has it.
sub report
{
	my ($from, $to) = @_;
	return $node->safe_psql('postgres', "SELECT cpis_report('$from', '$to')", extra_params => [ '-U', 'counts' ]);
}

# Look at a page, which is to show nothing that is wrong.
sub check_page
{
	my ($page, $name) = @_;
	subtest $name => sub {
		open my $file, '>', "$folder/page.html" or die "cannot write: $!";
		print {$file} $page;
		close $file or die "cannot write: $!";
		my $seen = page_report("$folder/page.html", $folder);
		is_deeply($seen->{console}, [], 'nothing on the console');
		is_deeply($seen->{requests}, [], 'nothing is fetched');
		is(scalar(@{ $seen->{views} }), 7, 'seven views');
		foreach my $view (@{ $seen->{views} })
		{
			my $where = "$view->{width} pixels, $view->{colorScheme}";
			is($view->{overflow}, 0, "$where: not wider than the page");
			is_deeply($view->{$_}, [], "$where: $_") foreach qw(wide cut overlaps scrolled), $view->{colorScheme} eq 'print' ? () : 'axe';
			cmp_ok($view->{smallest}, '>=', 9, "$where: text of charts is legible");
		}
		cmp_ok(length $page, '<', 500_000, 'size');
	};
	return;
}

answer(q{CREATE ROLE counts LOGIN IN ROLE cpis_analyst;
	CREATE FUNCTION said(n bigint) RETURNS text LANGUAGE sql AS $$SELECT CASE WHEN n BETWEEN 1 AND 7 THEN '1 to 7' ELSE to_char(5 * round(n / 5.0), 'FM999,990') END$$});
check_page(report('2025-01-01', '2026-01-05'), 'nothing has happened yet');

my @settings = split /\n/, answer('SELECT code FROM cpis.care_setting ORDER BY code');
answer(qq{
	INSERT INTO cpis.organisation SELECT 'R' || lpad(n::text, 2, '0'), 'TRUST ' || repeat('OF A PLACE WITH A LONG NAME ', n % 5) || n, 'QX' || n % 3 FROM generate_series(1, 30) n;
	UPDATE cpis.organisation SET name = '$hostile' WHERE code = 'R01';
	UPDATE cpis.local_authority SET name = '$hostile' WHERE code = 'E06000001';
	INSERT INTO cpis.provider SELECT code, 'E06000001', NULL FROM cpis.organisation WHERE code LIKE 'R__' AND code <> 'RXX';
	UPDATE cpis.provider SET champion = 'Name of a champion';
	INSERT INTO cpis.provider_step SELECT organisation, step.code, '2026-01-01', CASE WHEN place < 6 THEN date '2026-01-02' END FROM cpis.provider, cpis.implementation_step step;
	INSERT INTO cpis.group_member SELECT organisation, 'clinical', 'Name of a member' FROM cpis.provider;
	INSERT INTO cpis.escalation (organisation, accountable_officer, reason) VALUES ('R01', 'Name of an officer', 'late');
	SELECT count(cpis_provider_setting_set(organisation, 'camhs', 'integrated', '2026-01-01', '2026-01-02')) FROM cpis.provider;
	INSERT INTO cpis.organisation VALUES ('RFW', 'A SMALL TRUST');
	INSERT INTO cpis.local_authority VALUES ('E06000003', 'Few', NULL, '01632 960005');
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES (nhs_number_synthetic(6000), 'child_protection', 'E06000003', '2026-01-01');
});
foreach my $month (1 .. 3)
{
	set_clock("2026-0$month-06 10:00:00");
	answer("SELECT count(*) FROM generate_series(1, 400) n, LATERAL cpis_lookup(nhs_number_synthetic((n % 90 * $month)::integer + 950), 'Name of a worker', 'R' || lpad((1 + n % 30)::text, 2, '0'), (ARRAY['" . join("','", @settings) . "'])[1 + n % 16], notify => n % 7 > 0)");
	$node->psql('postgres', "SELECT * FROM cpis_lookup(nhs_number_synthetic(1), 'Name of a worker', 'NOPE', 'camhs')");
	answer("SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(6000), 'Name of a worker', 'RFW', 'camhs')");
	set_clock("2026-0$month-07 " . (10 + $month) . ':00:00');
	answer("SELECT cpis_notifications_acknowledge(local_authority, max(notification_no)) FROM cpis.notification GROUP BY local_authority");
	answer("SELECT cpis_plan_put('E06000001', nhs_number_synthetic(3000 + $month), 'looked_after', '2026-01-02'); SELECT cpis_plan_put('E06000001', nhs_number_synthetic(3000 + $month), 'looked_after', '2027-02-02')");
	answer('CALL cpis_purge()');
}
# Notices that are not of accesses, and plans that are to come.
answer(q{
	SELECT cpis_plan_correct(min(plan_id), 'a slip', start_date => '2026-01-03') FROM cpis.plan WHERE local_authority = 'E06000002';
	SELECT cpis_nhs_number_inactivate(nhs_number_synthetic(956));
	INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) SELECT nhs_number_synthetic(5000 + n::integer), 'unborn', 'E06000001', '2900-01-01' FROM generate_series(1, 20) n});

my $size = answer('SELECT tree_size FROM cpis_ledger_status');
my $page = report('2026-01-01', '2026-03-07');
is(answer('SELECT tree_size FROM cpis_ledger_status'), $size, 'who makes it reads nobody');
check_page($page, 'three months');
check_page(report('2026-03-06', '2026-03-06'), 'one day');
check_page(report('2016-12-01', '2026-12-31'), 'ten years');

# Charts and tables of more months, and of larger numbers, than there are here.
check_page(answer(q{
	SELECT '<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Wide</title><style>' || cpis.report_style() || '</style></head><body><main><h1>Wide</h1>'
		|| cpis.report_table('A caption that is longer than the page is wide, on most telephones', ARRAY['Care setting'] || month.labels || ARRAY['Total'],
			(SELECT array_agg(ARRAY['Child and adolescent mental health services'] || array_fill('888,888'::text, ARRAY[13]) || ARRAY['88,888,888']) FROM generate_series(1, 16)))
		|| '<div class="charts">' || cpis.report_chart('Child and adolescent mental health services', month.labels, array_fill(88888888::numeric, ARRAY[13]), 'a month', '1,155,555,544') || '</div></main></body></html>'
	FROM (SELECT array_agg(to_char(date '2026-01-01' + n * interval '1 month', 'Mon YYYY') ORDER BY n) AS labels FROM generate_series(0, 12) AS n) AS month}), 'a wide table');
check_page(report('2025-03-01', '2026-03-07'), 'thirteen months');

# Parts of months at both ends, a whole one between.
foreach (
	[ '2026-01-07', '2026-03-05' ], [ '2026-01-06', '2026-03-05' ], [ '2026-01-07', '2026-03-06' ], [ '2026-01-01', '2026-02-28' ], [ '2025-12-31', '2026-03-31' ], [ '2026-02-06', '2026-02-06' ], [ '2026-02-07', '2026-03-05' ])
{
	my ($from, $to) = @$_;
	my $number = answer("SELECT said((SELECT count(*) FROM cpis.audit_event WHERE action IN ('lookup', 'flag') AND outcome <> 'refused'
		AND (recorded_at AT TIME ZONE 'Europe/London')::date BETWEEN '$from' AND '$to'))");
	like(report($from, $to), qr/Accesses answered<\/dt><dd><strong>\Q$number\E<\/strong>/, "$from to $to: $number");
}

# What it says is what there is.
sub says
{
	my ($what, $sql) = @_;
	my $number = answer("SELECT said((SELECT $sql))");
	like($page, qr/\Q$what\E<\/dt><dd><strong>\Q$number\E<\/strong>/, "$what: $number");
	return;
}
says('Accesses answered', "count(*) FROM cpis.audit_event WHERE action IN ('lookup', 'flag') AND outcome <> 'refused'");
says('Accesses that found a plan', "count(*) FROM cpis.audit_event WHERE outcome = 'found'");
says('Look-ups without a notice', "count(*) FROM cpis.audit_event WHERE action = 'lookup' AND NOT notify AND outcome <> 'refused'");
says('Accesses refused', "count(*) FROM cpis.audit_event WHERE action = 'lookup' AND outcome = 'refused'");
# The text of a cell, by the section of its table, its row and its column.
sub cell
{
	my ($section, $row, $column) = @_;
	my ($table) = $page =~ /<h2 id="$section">(.*?)<\/section>/s or return 'no section';
	my ($cells) = $table =~ /<tr role="row"><th scope="row" role="rowheader">\Q$row\E<\/th>(.*?)<\/tr>/s or return 'no row';
	return $cells =~ /data-label="\Q$column\E">(.*?)</ ? $1 : 'no cell';
}
my $of_march = "date_trunc('month', recorded_at AT TIME ZONE 'Europe/London') = '2026-03-01'";
is(cell('authorities', 'Two (E06000002)', 'Notices'), answer("SELECT said(count(*)) FROM cpis.notification WHERE local_authority = 'E06000002'"), 'notices of an authority');
is(cell('authorities', 'Two (E06000002)', 'Mean lag'), answer("SELECT cpis.report_lag(sum(notices * mean_lag) / sum(notices)) FROM cpis.analyst_acknowledgement WHERE local_authority = 'E06000002'"), 'and how long they waited');
is(cell('lag', 'Mar 2026', 'Sent'), answer("SELECT said(count(*)) FROM cpis.notification JOIN cpis.audit_event USING (event_id) WHERE $of_march"), 'notices of a month');
is(cell('lag', 'Mar 2026', 'Acknowledged'), answer("SELECT said(sum(notices)::bigint) FROM cpis.analyst_acknowledgement WHERE month = '2026-03-01'"), 'those that were acknowledged in it');
cmp_ok(answer('SELECT count(*) FROM cpis.notification n JOIN cpis.audit_event e USING (event_id) WHERE e.action <> \'lookup\''), '>', 0, 'some are not of accesses');
is(cell('headlines', 'Unborn child subject to a child protection plan', 'Children'), '0', 'plans that are to come do not run');
is(cell('headlines', 'Child protection plan', 'Children'), '1,000', 'others do');
is(cell('attendance', '3 or more care settings', 'Children'), answer("SELECT cpis.report_told(children) FROM cpis.analyst_attendance WHERE month = '2026-03-01' AND care_settings = 3"), 'children who were seen');
like($page, qr/aria-label="Mean lag of notices acknowledged, in hours: at most [\d.]+ hours in one column/, 'lags are not added up');
like($page, qr/Looked after child<\/th><td[^>]*><svg [^>]*>(?:<rect class="track"[^>]*\/>)<rect class="fill" width="0\.0"[^>]*\/><\/svg><\/td><td[^>]*>1 to 7</, 'a number that is not told has no bar');
like($page, qr/of the guidance; a child with plans of two kinds counts for both; kinds with 1 to 7 children are left out</, 'nor is it in the sum');

# No small number of accesses or notices is said, and none follows from others: all are rounded.
is(cell('authorities', 'Few (E06000003)', $_->[0]), $_->[1], "few notices of an authority: $_->[0]") foreach [ 'Notices', '1 to 7' ], [ 'Mean lag', '–' ], [ 'Longest lag', '–' ], [ 'Within 24 hours', '–' ];
like($page, qr/<p>[67] other organisations: (?:\d*[05]|1 to 7) accesses\.<\/p>/, 'the sum of those beyond the 25');
like(answer("SELECT cpis.report_chart('Few', ARRAY['a', 'b'], ARRAY[NULL, 0], 'a day', cpis.report_told(NULL))"), qr/^(?!.*height="(?!0\.0)[^"]*"\/><rect).*"Few: 1 to 7 in all, at most 1 to 7 a day in one column, a to b".*>1 to 7 a day</, 'a chart of nothing that is told');
my $rounded = qr/0|[\d,]*[05]|1 to 7/;
foreach ($page, report('2026-03-06', '2026-03-06'), report('2026-01-06', '2026-01-06'), report('2016-12-01', '2026-12-31'))
{
	my %section = /<h2 id="(\w+)">(.*?)<\/section>/gs;
	my @counts = map { $section{$_} =~ /data-label="(?!Guidance|(?:Mean|Longest) lag|Within|Organisations|Authorities notified)[^"]*">([^<]*)</g } qw(headlines accesses organisations authorities lag attendance unusual);
	push @counts, $section{headlines} =~ /<strong>([^<]*)</g;
	push @counts, map { $section{$_} =~ /aria-label="[^"]*: ([^" ]+(?: to 7)?) in all, at most ([^" ]+(?: to 7)?) a (?:day|month|year) in one column/g } qw(accesses lag);
	cmp_ok(scalar @counts, '>', 20, 'numbers are found');
	is_deeply([ grep { !/^(?:$rounded)$/ } @counts ], [], 'and rounded');
	is(scalar(() = /<svg [^>]*><rect class="track"[^>]*><rect class="fill" width="(?!0\.0")[^"]*" height="10"\/><\/svg><\/td><td[^>]*>1 to 7</g), 0, 'nothing that is not told has a bar');
}
like(report('2026-01-07', '2026-02-05'), qr/Accesses answered<\/dt><dd><strong>0</, 'none is none');
like(report('2027-01-01', '2027-12-31'), qr/They were not counted in this period/, 'nothing is shown of another time');
cmp_ok(length report('1948-07-05', '2048-07-04'), '<', 500_000, 'size of a hundred years');
like($page, qr/<dt>Events<\/dt><dd>\Q@{[ answer("SELECT to_char($size, 'FM999,999')") ]}\E<\/dd>/, 'the ledger');
like($page, qr/Letter of agreement returned<\/th><td[^>]*class="bar">.*?<\/td><td[^>]*>30<\/td><td[^>]*>30<\/td>/, 'implementation');
like($page, qr/More than 30 people within an hour<\/th><td[^>]*>@{[ answer("SELECT said(cases) FROM cpis.analyst_unusual WHERE kind = 'bulk' AND day = '2026-03-07'") ]}<\/td>/, 'unusual accesses');
unlike($page, qr/Name of a (?:worker|champion|member|officer)/, 'nobody is named');
unlike($page, qr/\b999\s?\d{3}\s?\d{4}\b/, 'no NHS number');
unlike($page, qr/<(?:script|img|link|iframe|object)|<[^>]*\s(?:src|on\w+)=|href="(?!#)|url\(|\@import/, 'nothing that could be fetched or run');
like($page, qr/&lt;script&gt;alert\(&quot;x&quot;\)&lt;\/script&gt;&amp;&lt;img/, 'what stands in the database stays text');
is(answer("SELECT count(*) FILTER (WHERE session_role = 'counts'), count(*) > 0 FROM cpis.audit_event WHERE action IN ('read', 'direct_read')"), '0|t', 'and is read without reading anybody, which would be seen');

foreach (
	[ 'counts', "SELECT cpis_report(NULL, '2026-01-01')", qr/argument "from_date" must not be null/ ], [ 'counts', "SELECT cpis_report('2026-01-01', NULL)", qr/argument "to_date" must not be null/ ],
	[ 'counts', "SELECT cpis_report('2026-01-02', '2026-01-01')", qr/the first not after the second/ ], [ 'counts', "SELECT cpis_report('-infinity', '2026-01-01')", qr/days from 1948 to 2999/ ], [ 'counts', "SELECT cpis_report('1948-07-05', '2100-01-01')", qr/a hundred years apart/ ],
	[ 'clinician', "SELECT cpis_report('2026-01-01', '2026-01-02')", qr/permission denied for function cpis_report/ ])
{
	my ($role, $statement, $error) = @$_;
	my ($rc, $out, $err) = $node->psql('postgres', $statement, extra_params => [ '-U', $role ]);
	like($err, $error, "$role: $statement");
}
set_clock('2026-03-09 12:00:00');
my ($waiting) = report('2026-03-01', '2026-03-09') =~ /(<p>[^<]* waited for more than a day[^<]*<\/p>)/;
like($waiting, qr/<p>(?:1 authority has|\d+ authorities have) notices that have waited for more than a day now\.<\/p>/, 'how long so few wait is not said');
done_testing();

# Numbers of months that end without an event, that reach into another month of UTC, and of a clock that was ahead, are
# those of the events.
use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Utils;
use Test::More;
use TestClock;

my $node = new_clocked_server('quiet', '2024-05-20 12:00:00');

sub answer
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# At this time (UTC) look these children up, once each, and so many times.
sub look_up
{
	my ($time, $first, $last, $times) = @_;
	set_clock($time);
	answer("SELECT count(*) FROM generate_series($first, $last) n, generate_series(1, @{[ $times // 1 ]}) time, LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'A', 'RXX', 'nhs_111', request_id => time::text)");
	return;
}

my $attendance = 'SELECT month, sum(children) FROM cpis.analyst_attendance GROUP BY month ORDER BY month';

# The last hour of May in UTC is the first of June in England, and goes with June.
answer("SELECT cpis_retention_set('audit_event', 5, 'soon')");
look_up('2024-05-20 12:00:00', 1, 200, 2);
look_up('2024-05-31 23:30:00', 1, 100);
look_up('2024-06-03 12:00:00', 101, 150, 8);
answer('SELECT cpis_notifications_acknowledge(local_authority, max(notification_no)) FROM cpis.notification GROUP BY local_authority');
is(answer($attendance), "2024-05-01|200\n2024-06-01|150", 'May and June');
set_clock('2024-06-29 12:00:00');
answer('CALL cpis_purge()');
is(answer("SELECT count(*) FROM cpis.audit_event WHERE recorded_at < '2024-06-01'") > 0 ? 1 : 0, 1, 'May is kept until June is over in England');
is(answer(q{SELECT obstacle FROM cpis_purge_preview_months() WHERE month = '2024-05'}), 'its last event is of a month that is not over in England', 'and why');
# No event on the last day of June, and none until then.
look_up('2024-07-01 12:00:00', 1, 20);
is(answer($attendance), "2024-05-01|200\n2024-06-01|150\n2024-07-01|20", 'nothing is missing the day after');
answer('CALL cpis_purge()');
is(answer("SELECT count(*) FROM cpis.audit_event WHERE recorded_at < '2024-06-01'"), 0, 'May goes');
is(answer($attendance), "2024-05-01|200\n2024-06-01|150\n2024-07-01|20", 'nothing is missing then');
answer("SELECT cpis_retention_set('audit_event', NULL)");
look_up('2024-07-31 12:00:00', 1, 20);
look_up('2024-08-01 12:00:00', 1, 20);
answer('SELECT cpis_summarise()');
is(answer($attendance), "2024-05-01|200\n2024-06-01|150\n2024-07-01|20\n2024-08-01|20", 'nor a month later');
is(answer('SELECT string_agg(completed_month::text, chr(32) ORDER BY completed_month) FROM cpis.summary'), '2024-05-01 2024-06-01 2024-07-01', 'each month is complete once');

# Three months without any event.
set_clock('2024-12-02 12:00:00');
answer('SELECT cpis_summarise()');
is(answer($attendance), "2024-05-01|200\n2024-06-01|150\n2024-07-01|20\n2024-08-01|20", 'months without events');
is(answer('SELECT max(completed_month) FROM cpis.summary'), '2024-11-01', 'are complete, too');

# One event from a clock that was ahead, and those after it.
look_up('2025-06-11 12:00:00', 1, 1);
look_up('2024-12-03 12:00:00', 1, 60);
look_up('2024-12-04 12:00:00', 1, 60);
set_clock('2024-12-05 12:00:00');
my $by_month = q{SELECT month, sum(accesses) FROM cpis.analyst_access_month WHERE month >= '2024-12-01' GROUP BY month ORDER BY month};
my $accesses = answer($by_month);
is($accesses, "2024-12-01|120\n2025-06-01|1", 'accesses');
cmp_ok(answer('SELECT cpis_summarise()'), '>', 100, 'they are summarised');
is(answer($by_month), $accesses, 'to the same');
look_up('2024-12-06 12:00:00', 1, 60);
set_clock('2024-12-07 12:00:00');
is(answer('SELECT cpis_summarise()'), 60, 'and so are later ones');
is(answer('SELECT event_id, problem FROM cpis_audit_verify()'), '|', 'the trail verifies');
$node->stop;
done_testing();

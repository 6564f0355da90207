# What the TAP tests share: a server with a small register, and look-ups in it.
package CpisTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_server make_register lookup_sql events);

# A started server with the extension and a register in database postgres.
# Options: conf (text appended to postgresql.conf), init (arguments of init()).
sub new_server
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ],
		@{ $option{init} // [] });
	$node->append_conf('postgresql.conf', "fsync = on\n" . ($option{conf} // ''));
	$node->start;
	make_register($node, 'postgres');
	return $node;
}

# The extension, two authorities, an organisation, a clinician who may look up,
# and children 1 to 1000 with a plan each: odd ones of E06000001, even ones of
# E06000002; child 1 has one of each.
sub make_register
{
	my ($node, $database) = @_;
	$node->safe_psql($database, q{
		CREATE EXTENSION cpis;
		INSERT INTO cpis.local_authority VALUES
			('E06000001', 'One', '01632 960001', '01632 960002'),
			('E06000002', 'Two', NULL, '01632 960003');
		INSERT INTO cpis.organisation VALUES ('RXX', 'A TRUST');
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			SELECT nhs_number_synthetic(n), 'child_protection', 'E0600000' || 2 - n % 2, '2026-01-01'
			FROM generate_series(1, 1000) n;
		INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date)
			VALUES (nhs_number_synthetic(1), 'looked_after', 'E06000002', '2026-02-01');
		DO $$ BEGIN
			IF to_regrole('clinician') IS NULL THEN
				CREATE ROLE clinician LOGIN IN ROLE cpis_clinical;
			END IF;
		END $$;
	});
	return;
}

# SQL of a look-up of child n, with a request_id by which its event is found.
sub lookup_sql
{
	my ($n, $request) = @_;
	return "SELECT event_id FROM cpis_lookup(nhs_number_synthetic($n), 'A Nurse', 'RXX',"
	  . " 'emergency_department', request_id => '$request')";
}

# How many events have this request_id, optionally with this outcome.
sub events
{
	my ($node, $request, $outcome, $database) = @_;
	my $and = defined $outcome ? " AND outcome = '$outcome'" : '';
	return $node->safe_psql($database // 'postgres',
		"SELECT count(*) FROM cpis.audit_event WHERE request_id = '$request'$and");
}

1;

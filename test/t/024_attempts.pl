# Nobody where he doesn't belong: attempts by each kind of role, logged in as such, each with its
# expected refusal, or with an answer in which nothing is that the role must not see; and no row of
# a plan without its event.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_server('attempts', conf => "max_prepared_transactions = 2\nwal_level = logical\nmax_wal_senders = 10\n");
my $force = force_parallel($node);

sub answer
{
	return $node->safe_psql('postgres', $_[0]);
}

# Planted where each must not appear: what nobody but a superuser sees, and what some see.
my $reference = 'PLANTEDREF';
my $worker = 'Planted Worker';
my ($number_one, $number_two) = split /\|/, answer('SELECT nhs_number_synthetic(501), nhs_number_synthetic(502)');

answer(qq{
	CREATE EXTENSION dblink;
	CREATE ROLE outsider LOGIN; CREATE ROLE app LOGIN IN ROLE cpis_clinical; CREATE ROLE builder LOGIN IN ROLE cpis_clinical;
	CREATE ROLE authority LOGIN IN ROLE cpis_local_authority; CREATE ROLE analyst LOGIN IN ROLE cpis_analyst; CREATE ROLE steward LOGIN IN ROLE cpis_steward;
	INSERT INTO cpis.organisation VALUES ('RYY', 'ANOTHER TRUST');
	SELECT cpis_scope_grant('app', organisation => 'RXX'), cpis_scope_grant('builder', organisation => 'RXX'), cpis_scope_grant('authority', local_authority => 'E06000001');
	GRANT CREATE ON SCHEMA public TO builder;
	UPDATE cpis.plan SET local_reference = '$reference' WHERE nhs_number IN (nhs_number_synthetic(501), nhs_number_synthetic(502));
	SELECT count(*) FROM cpis_lookup(nhs_number_synthetic(501), '$worker', 'RXX', 'camhs') AS a, cpis_lookup(nhs_number_synthetic(502), '$worker', 'RXX', 'camhs') AS b;
	ANALYZE;
});
answer("CREATE SCHEMA $_ AUTHORIZATION $_") foreach qw(outsider app builder authority analyst steward);
my $event = answer("SELECT max(event_id) FROM cpis.audit_event");

# What each may read, and what of that which is planted it may see there.
my @implementation = map { "implementation_$_" } qw(setting overdue progress by_commissioner by_authority);
my %readable = (
	outsider => [], app => [], builder => [],
	authority => [ map { "authority_$_" } qw(plan submission submission_record notification access) ],
	analyst => [ qw(analyst_event analyst_access_day analyst_access_month analyst_notice analyst_acknowledgement analyst_attendance analyst_submission analyst_answer analyst_removal analyst_register analyst_unusual), @implementation ],
	steward => [ qw(steward_event steward_hold unusual_bulk unusual_misses unusual_hours unusual_distance), @implementation ]);
my %hidden = (
	outsider => [ $number_one, $number_two, $worker, $reference ],
	app => [ $worker, $reference ],
	builder => [ $worker, $reference ],
	authority => [$number_two],
	analyst => [ $number_one, $number_two, $worker, $reference ],
	steward => [$reference]);

my @relations = split /\n/, answer(q{SELECT relname || ' ' || relkind::text FROM pg_class WHERE relnamespace = 'cpis'::regnamespace AND relkind IN ('r', 'p', 'v', 'S') ORDER BY 1});
my @toast = split /\n/, answer(q{SELECT reltoastrelid::regclass FROM pg_class WHERE oid IN ('cpis.plan'::regclass, 'cpis.submission_record'::regclass) AND reltoastrelid <> 0});
my @internal = split /\n/, answer(q{
	-- Arguments that the planner does not know, or it would not ask whether a strict function may be called.
	SELECT format('SELECT %s(%s) FROM (SELECT %s OFFSET 0) AS v', p.oid::regproc, (SELECT string_agg(CASE WHEN p.provariadic <> 0 AND n = p.pronargs THEN 'VARIADIC ' ELSE '' END || 'v.a' || n, ', ' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, n)),
		COALESCE((SELECT string_agg(format('NULL::%s AS a%s', format_type(type, NULL), n), ', ' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, n)), '1'))
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis') AND p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
		AND NOT EXISTS (SELECT FROM aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
	ORDER BY 1});
# What FHIR resources are put together with, which knows nothing but what it is given.
my @fhir = map { "cpis.fhir_$_" } qw(time concept identified patient organisation plan_type care_team practitioner_role access entry agent agents details entities kind);
my %may_call = (
	outsider => [], app => [ qw(cpis_lookup cpis_flag cpis_access_history cpis_lookup_fhir), @fhir ], builder => [ qw(cpis_lookup cpis_flag cpis_access_history cpis_lookup_fhir), @fhir ],
	authority => [qw(cpis_submission_open cpis_submission_apply cpis_submission_answer cpis_plan_put cpis_plan_end cpis_notifications cpis_notifications_acknowledge),
		map { "cpis.authority_$_" } qw(plans submissions submission_records notifications accesses) ],
	analyst => [ qw(cpis.event_person cpis.event_worker cpis.organisation_is_known cpis.care_setting_is_known cpis.attendance_open cpis.told cpis.register_count cpis.ledger_status cpis.notification_escalation cpis.stat_notification cpis.stat_retention cpis_report cpis.html),
		map { "cpis.report_$_" } qw(number told percent day lag cell table bar chart section steps access settings organisations headlines accesses notices attendance submissions implementation retention ledger unusual style) ],
	steward => [ qw(cpis_hold_place cpis_hold_release cpis.record_read cpis_pseudonym cpis_fhir_audit_event cpis.is_device), @fhir ]);

# Attempts of one role: statement, and what it comes to: an SQLSTATE; '' for an answer without an
# error, in which nothing is hidden that must be; 'any' for either.
sub matrix
{
	my ($role) = @_;
	my @attempts;
	foreach (@relations)
	{
		my ($name, $kind) = split / /;
		my $may = grep { $_ eq $name } @{ $readable{$role} };
		my $read = $may ? '' : '42501';
		push @attempts, [ "SELECT * FROM cpis.$name", $read ], [ "COPY (SELECT * FROM cpis.$name) TO STDOUT", $read ],
		  [ "DECLARE c CURSOR WITH HOLD FOR TABLE cpis.$name; FETCH ALL FROM c", $read ];
		next if $kind eq 'S' && push @attempts, [ "SELECT nextval('cpis.$name')", '42501' ], [ "SELECT setval('cpis.$name', 1)", '42501' ], [ "SELECT last_value FROM cpis.$name", '42501' ];
		next if $kind eq 'v';
		push @attempts, [ "DELETE FROM cpis.$name", '42501' ], [ "TRUNCATE cpis.$name", '42501' ], [ "LOCK cpis.$name", '42501' ],
		  [ "ALTER TABLE cpis.$name DISABLE TRIGGER ALL", '42501' ], [ "SELECT ctid, xmin, tableoid FROM cpis.$name", '42501' ],
		  [ "CREATE TRIGGER t BEFORE INSERT ON cpis.$name FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", '42501' ];
	}
	push @attempts, [ "SELECT * FROM $_", '42501' ] foreach @toast;
	foreach my $call (@internal)
	{
		my ($function) = $call =~ /^SELECT (?:public\.)?([\w.]+)\(/;
		push @attempts, [ $call, '42501' ] unless grep { $_ eq $function } @{ $may_call{$role} };
	}
	return @attempts;
}

my $look = "cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'camhs')";
# By every role; where a role fares otherwise, its name says so.
my @all = (
	# The way in.
	[ "SELECT * FROM $look", '42501', app => '', builder => '' ],
	[ "SELECT cpis_flag(nhs_number_synthetic(501), 'A', 'RXX', 'camhs')", '42501', app => '', builder => '' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', 'RYY', 'camhs')", '42501' ],
	[ "SELECT cpis_flag(nhs_number_synthetic(501), 'A', 'RYY', 'camhs')", '42501' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'camhs', notify => false)", '42501' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'camhs', device => true, system_id => 's')", '42501' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', NULL, 'camhs')", '42501', app => '22004', builder => '22004' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', 'RZZ', 'camhs')", '42501', app => '42704', builder => '42704' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), E'A\\nB', 'RXX', 'camhs')", '42501', app => '22023', builder => '22023' ],
	[ "SELECT * FROM cpis_lookup(NULL, 'A', 'RXX', 'camhs')", '42501', app => '22004', builder => '22004' ],
	[ "SELECT * FROM cpis_access_history($event)", '42501' ],
	[ "SELECT * FROM cpis_access_history(NULL)", '42501', app => '22004', builder => '22004' ],
	[ "SELECT * FROM cpis_access_history(-1)", '42501' ],
	[ "SELECT * FROM cpis_notifications('E06000002')", '42501' ],
	[ "SELECT cpis_notifications_acknowledge('E06000002', 1)", '42501' ],
	[ "SELECT cpis_submission_open('E06000002')", '42501' ],
	[ "SELECT cpis_plan_put('E06000002', nhs_number_synthetic(501), 'looked_after', '2026-01-01')", '42501' ],
	[ "SELECT cpis_plan_end('E06000002', nhs_number_synthetic(502), 'child_protection', '2026-01-01')", '42501' ],
	[ "SELECT * FROM cpis_submission_answer(1)", '42501', authority => '22023' ],
	[ "SELECT cpis_hold_place('x', nhs_number => nhs_number_synthetic(501))", '42501', steward => '' ],
	[ "SELECT cpis_hold_release(1, 'x')", '42501', steward => '22023' ],
	[ "SELECT cpis_lookup_fhir(nhs_number_synthetic(501), 'A', 'RXX', 'camhs') -> 'total'", '42501', app => '', builder => '' ],
	[ "SELECT cpis_lookup_fhir(nhs_number_synthetic(501), 'A', 'RYY', 'camhs')", '42501' ],
	[ "SELECT cpis_lookup_fhir(nhs_number_synthetic(501), 'A', 'RXX', 'camhs', notify => false)", '42501' ],
	[ "SELECT cpis_fhir_audit_event($event)", '42501', steward => '' ],
	[ "SELECT cpis_pseudonym(nhs_number_synthetic(501))", '42501', steward => '' ],
	[ "SELECT cpis_provider_setting_set('RXX', 'camhs', live_from => '2026-01-01')", '42501' ],
	[ "SELECT cpis_provider_setting_remove('RXX', 'camhs')", '42501' ],
	[ "SET cpis.require_go_live = off", '42501' ],
	[ "CALL cpis_purge()", '42501' ],
	[ "SELECT cpis_scope_grant(current_user, organisation => 'RYY')", '42501' ],
	[ "SELECT cpis_scope_grant(current_user, local_authority => 'E06000002')", '42501' ],
	[ "SELECT cpis_scope_grant(current_user, organisation => 'RXX', may_read_silently => true)", '42501' ],
	[ "SELECT cpis_scope_revoke('app', organisation => 'RXX')", '42501' ],
	[ "INSERT INTO cpis.role_scope (role_name, organisation, granted_at, event_id) VALUES (current_user, 'RYY', now(), 0)", '42501' ],
	[ "INSERT INTO cpis.audit_event SELECT 0", '42501' ],
	[ "INSERT INTO cpis.notification VALUES ('E06000001', 1, 1)", '42501' ],
	[ "INSERT INTO cpis.plan (nhs_number, plan_type, local_authority, start_date) VALUES (nhs_number_synthetic(700), 'unborn', 'E06000001', '2026-01-01')", '42501' ],
	[ "UPDATE cpis.plan SET end_date = '2026-01-01'", '42501' ],
	[ "MERGE INTO cpis.plan p USING (VALUES (1)) AS v (i) ON p.plan_id = v.i WHEN MATCHED THEN DELETE", '42501' ],
	[ "INSERT INTO cpis.submission_record (submission_id, nhs_number) VALUES (1, 'x') RETURNING *", '42501' ],
	[ "INSERT INTO cpis.submission_record (submission_id, nhs_number, record_code) VALUES (1, 'x', 'CPR06')", '42501' ],
	[ "INSERT INTO cpis.submission_record (submission_id, line_no, nhs_number) VALUES (1, 1, 'x') ON CONFLICT (submission_id, line_no) DO UPDATE SET nhs_number = 'y'", '42501' ],
	# Becoming somebody else.
	[ 'SET ROLE cpis_steward; SELECT * FROM cpis.steward_event', '42501', steward => '' ],
	[ 'SET ROLE cpis_analyst; SELECT * FROM cpis.analyst_event', '42501', analyst => '' ],
	[ "SET ROLE cpis_clinical; SELECT * FROM $look", '42501' ],
	[ 'SET ROLE cpis_local_authority; SELECT * FROM cpis.authority_plan', '42501' ],
	[ 'SET ROLE pg_read_all_data', '42501' ],
	[ 'SET ROLE pg_monitor', '42501' ],
	[ 'SET SESSION AUTHORIZATION app', '42501', app => '' ],
	[ 'SET SESSION AUTHORIZATION steward', '42501', steward => '' ],
	[ 'GRANT cpis_steward TO current_user', '42501' ],
	[ 'GRANT cpis_clinical TO current_user', '42501' ],
	[ 'GRANT pg_read_all_data TO current_user', '42501' ],
	[ 'CREATE ROLE another IN ROLE cpis_clinical', '42501' ],
	[ 'ALTER ROLE current_user SUPERUSER', '42501' ],
	[ 'ALTER ROLE current_user BYPASSRLS', '42501' ],
	[ 'ALTER ROLE cpis_clinical LOGIN', '42501' ],
	[ 'ALTER ROLE cpis_steward RENAME TO mine', '42501' ],
	[ 'DROP ROLE cpis_steward', '42501' ],
	[ 'COMMENT ON ROLE cpis_steward IS NULL', '42501' ],
	# Rights.
	[ 'GRANT SELECT ON cpis.plan TO current_user', '42501' ],
	[ 'GRANT EXECUTE ON FUNCTION cpis_lookup TO PUBLIC', '42501', app => '', builder => '' ],	# a warning: nothing is granted
	[ 'GRANT ALL ON SCHEMA cpis TO current_user', '42501', map { $_ => '' } qw(authority analyst steward) ],
	[ 'REVOKE ALL ON cpis.plan FROM PUBLIC', '42501' ],
	[ 'ALTER TABLE cpis.plan OWNER TO current_user', '42501' ],
	[ 'ALTER TABLE cpis.audit_event OWNER TO current_user', '42501' ],
	[ 'ALTER FUNCTION cpis_flag OWNER TO current_user', '42501' ],
	[ 'REASSIGN OWNED BY CURRENT_USER TO app', '42501', app => '' ],
	[ 'ALTER DEFAULT PRIVILEGES IN SCHEMA cpis GRANT SELECT ON TABLES TO PUBLIC', '' ],	# for what he himself makes there: nothing
	[ 'ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO PUBLIC', 'any' ],
	# The extension and its objects.
	[ 'DROP EXTENSION cpis', '42501' ],
	[ 'SET cpis.allow_drop = on; DROP EXTENSION cpis', '42501' ],
	[ 'ALTER EXTENSION cpis DROP TABLE cpis.plan', '42501' ],
	[ 'ALTER EXTENSION cpis UPDATE', '42501' ],
	[ 'DROP SCHEMA cpis CASCADE', '42501' ],
	[ 'DROP SCHEMA public CASCADE', '42501' ],
	[ 'DROP EVENT TRIGGER cpis_load_library', '42501' ],
	[ 'ALTER EVENT TRIGGER cpis_load_library DISABLE', '42501' ],
	[ 'DROP FUNCTION cpis_flag', '42501' ],
	[ 'DROP VIEW cpis.analyst_event', '42501' ],
	[ 'ALTER VIEW cpis.steward_event SET (security_barrier = false)', '42501' ],
	[ "CREATE OR REPLACE FUNCTION cpis.record_read(view text) RETURNS boolean LANGUAGE sql AS 'SELECT true'", '42501' ],
	[ 'CREATE OR REPLACE VIEW cpis.steward_event AS SELECT 1', '42501' ],
	[ 'CREATE TABLE cpis.audit_event_2099_01 (LIKE pg_class)', '42501' ],
	[ 'CREATE TABLE mine PARTITION OF cpis.audit_event DEFAULT', '42501' ],
	[ 'CREATE TABLE pg_temp.child () INHERITS (cpis.plan)', '42501' ],
	[ 'CREATE RULE r AS ON INSERT TO cpis.plan DO ALSO NOTIFY x', '42501' ],
	[ 'CREATE POLICY p ON cpis.plan USING (true)', '42501' ],
	[ 'ALTER TABLE cpis.plan ENABLE ROW LEVEL SECURITY', '42501' ],
	[ 'CREATE INDEX ON cpis.plan (local_reference)', '42501' ],
	[ 'CREATE STATISTICS s ON nhs_number, plan_type FROM cpis.plan', '42501' ],
	[ 'COMMENT ON TABLE cpis.plan IS NULL', '42501' ],
	[ "SECURITY LABEL ON TABLE cpis.plan IS 'x'", '22023' ],
	[ 'CREATE TEMP TABLE t (i bigint REFERENCES cpis.plan)', '42P16', outsider => '42501', app => '42501', builder => '42501' ],
	[ 'CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION cpis.load_library()', '42501' ],
	[ 'CREATE PUBLICATION p FOR TABLE cpis.plan', '42501' ],
	[ 'CREATE PUBLICATION p FOR ALL TABLES', '42501' ],
	[ "SELECT pg_create_logical_replication_slot('s', 'test_decoding')", '42501' ],
	[ "SELECT * FROM pg_logical_slot_peek_changes('s', NULL, NULL)", '42501' ],
	[ 'ANALYZE cpis.plan', '', map { $_ => '42501' } qw(outsider app builder) ],	# a warning: passed over
	[ 'VACUUM cpis.plan', '25001' ],
	[ 'CLUSTER cpis.plan USING plan_pkey', '42501' ],
	[ 'REINDEX TABLE cpis.plan', '42501' ],
	[ 'REFRESH MATERIALIZED VIEW cpis.plan', '42501' ],
	# Settings.
	[ 'SET cpis.record_timeout = 10', '42501' ],
	[ 'SET cpis.allow_drop = on', '42501' ],
	[ 'SET cpis.record_direct_reads = off', '55P02' ],
	[ "SET cpis.demographics_function = 'public.f'", '42501' ],
	[ 'SET cpis.full_submission_share = 1', '42501' ],
	[ "SET cpis.log_origin = 'x'", '42501' ],
	[ 'SHOW cpis.signing_key_file', '42501' ],
	[ "SELECT set_config('cpis.record_timeout', '10', false)", '42501' ],
	[ 'ALTER ROLE current_user SET cpis.allow_drop = on', '42501' ],
	[ 'ALTER DATABASE postgres SET cpis.record_timeout = 10', '42501' ],
	[ 'ROLLBACK; ALTER SYSTEM SET cpis.record_direct_reads = off', '42501' ],
	[ 'SET session_replication_role = replica', '42501' ],
	[ 'SET row_security = off; TABLE cpis.plan', '42501' ],
	[ "SET session_preload_libraries = 'x'", '42501' ],
	[ "LOAD 'dblink'", '42501' ],
	# Statistics, activity, catalogues.
	[ "SELECT * FROM pg_stats WHERE schemaname = 'cpis'", '' ],
	[ 'SELECT * FROM pg_stats_ext', '' ],
	[ 'SELECT * FROM pg_stats_ext_exprs', '' ],
	[ 'SELECT stavalues1 FROM pg_statistic', '42501' ],
	[ 'SELECT stxdmcv FROM pg_statistic_ext_data', '42501' ],
	[ 'SELECT query, application_name FROM pg_stat_activity', '' ],
	[ "SELECT query FROM pg_stat_activity WHERE usename <> current_user AND query !~ 'insufficient' AND query <> ''", '' ],
	[ 'SELECT * FROM pg_locks', '' ],
	[ 'SELECT * FROM pg_prepared_statements', '' ],
	[ 'SELECT * FROM pg_cursors', '' ],
	[ "SELECT * FROM information_schema.tables WHERE table_schema = 'cpis'", '' ],
	[ 'SELECT rolpassword FROM pg_authid', '42501' ],
	[ 'SELECT * FROM pg_settings WHERE name LIKE \'cpis.signing%\'', '' ],
	[ 'SELECT * FROM pg_file_settings', '42501' ],
	[ 'SELECT * FROM pg_hba_file_rules', '42501' ],
	[ 'SELECT * FROM pg_backend_memory_contexts', '42501' ],
	[ 'SELECT * FROM cpis_stat', '42501' ],
	[ 'SELECT * FROM cpis_stat_notification', '42501', analyst => '' ],
	[ 'SELECT * FROM cpis_notification_escalation', '42501', analyst => '' ],
	[ 'SELECT * FROM cpis_ledger_status', '42501', analyst => '' ],
	[ 'SELECT * FROM cpis_stat_retention', '42501', analyst => '' ],
	# Files, programs, other servers, large objects.
	[ "SELECT pg_read_file('PG_VERSION')", '42501' ],
	[ "SELECT pg_ls_dir('.')", '42501' ],
	[ "COPY (SELECT 1) TO '/tmp/x'", '42501' ],
	[ "COPY (SELECT 1) TO PROGRAM 'cat'", '42501' ],
	[ "COPY cpis.plan TO STDOUT", '42501' ],
	[ "\\copy cpis.plan TO STDOUT", '42501' ],
	[ "\\copy (SELECT * FROM cpis.audit_event) TO STDOUT", '42501' ],
	[ "SELECT lo_import('/etc/passwd')", '42501' ],
	[ "SELECT lo_export(1, '/tmp/x')", '42501' ],
	[ "SELECT lo_from_bytea(0, convert_to(p::text, 'UTF8')) FROM cpis.plan p", '42501' ],
	[ "SELECT * FROM dblink('dbname=postgres', 'TABLE cpis.plan') AS t (a text)", 'any' ],
	[ "SELECT dblink_connect_u('dbname=postgres')", '42501' ],
	[ "CREATE LANGUAGE plperlu", 'any' ],
	[ "CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE c AS '\$libdir/cpis', 'cpis_random_salt'", '42501' ],
	[ "CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE internal AS 'cpis_lookup'", '42501' ],
	[ 'CREATE EXTENSION pageinspect', '42501' ],
	[ 'ROLLBACK; CREATE SUBSCRIPTION s CONNECTION \'\' PUBLICATION p', '42501' ],
	[ 'SELECT pg_switch_wal()', '42501' ],
	[ 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = \'cpis writer\'', 'any' ],
	[ 'SELECT pg_reload_conf()', '42501' ],
	# Somebody else's rights, and names that lead astray.
	[ 'CREATE TEMP VIEW v AS SELECT * FROM cpis.plan; SELECT * FROM v', '42501' ],
	[ 'CREATE TEMP VIEW v WITH (security_invoker) AS TABLE cpis.audit_event; SELECT * FROM v', '42501' ],
	[ 'CREATE TEMP VIEW v AS SELECT * FROM cpis.access_event; SELECT * FROM v', '42501' ],
	[ 'CREATE MATERIALIZED VIEW ME.m AS TABLE cpis.plan', '42501' ],
	[ 'CREATE TABLE ME.t AS TABLE cpis.notification', '42501' ],
	[ 'SELECT * INTO TEMP t FROM cpis.submission_record', '42501' ],
	[ "CREATE FUNCTION ME.f() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT p::text FROM cpis.plan p'; SELECT ME.f()", '42501' ],
	[ "CREATE FUNCTION ME.f() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN QUERY SELECT p::text FROM cpis.plan p; END'; SELECT ME.f()", '42501' ],
	[ 'DO $$ BEGIN PERFORM 1 FROM cpis.plan; END $$', '42501' ],
	[ 'CREATE TEMP TABLE plan (plan_id bigint); SELECT * FROM plan; TABLE cpis.plan', '42501' ],
	[ 'PREPARE p AS TABLE cpis.plan; EXECUTE p', '42501' ],
	[ 'EXPLAIN SELECT * FROM cpis.plan', '42501' ],
	[ "EXPLAIN SELECT * FROM cpis.audit_event WHERE nhs_number = '$number_one'", '42501' ],
	[ "SELECT has_table_privilege('cpis.plan', 'SELECT')", '', outsider => '42501', app => '42501', builder => '42501' ],
	[ "SELECT '$event'::text::bigint, pg_relation_size('cpis.plan')", '', outsider => '42501', app => '42501', builder => '42501' ],
	[ "SELECT currval(pg_get_serial_sequence('cpis.plan', 'plan_id'))", 'any' ],
	[ 'SELECT (p).local_reference FROM (SELECT NULL::cpis.plan AS p) AS t', '', outsider => '42501', app => '42501', builder => '42501' ],
	[ "SELECT query_to_xml('TABLE cpis.plan', true, false, '')", '42501' ],
	[ "SELECT table_to_xml('cpis.audit_event', true, false, '')", '42501' ],
	[ "SELECT schema_to_xml('cpis', true, false, '')", 'any' ],
	[ "SELECT database_to_xml(true, false, '')", 'any' ],
	[ "SELECT ts_stat('SELECT to_tsvector(p::text) FROM cpis.plan p')", '42501' ],
	[ "SELECT * FROM pg_get_publication_tables('p')", 'any' ],
	[ "SELECT cpis.event_person('cpis.plan'::regclass, '(0,1)')", '42501', analyst => '' ],
	[ "SELECT cpis.event_person('cpis.notification'::regclass, '(0,1)')", '42501', analyst => '' ],
	[ "SELECT cpis.event_worker('cpis.audit_event'::regclass, '(99999,1)')", '42501', analyst => '' ],
	[ "SELECT cpis.event_worker('cpis.pseudonym_key'::regclass, '(0,1)')", '42501', analyst => '' ],
	[ "SELECT cpis.record_read('no_such_view')", '42501', steward => '22023' ],
	[ 'LISTEN cpis_e06000001', '' ],
	[ "NOTIFY cpis_e06000001, 'x'", '' ]);

# What is theirs, and asked for in ways that might tell more.
my $leak = q{CREATE FUNCTION ME.leak(v text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$BEGIN RAISE NOTICE 'leaked %', v; RETURN true; END$$;};
my $operator = q{CREATE FUNCTION ME.same(a text, b text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$BEGIN RAISE NOTICE 'leaked %', a; RETURN true; END$$;
	CREATE OPERATOR ME.= (LEFTARG = text, RIGHTARG = text, FUNCTION = ME.same, RESTRICT = eqsel);};
my @look_hijack = map { [ $_, '' ] } (
	"SET search_path = ME, public; CREATE FUNCTION ME.cpis_flag(n text) RETURNS text LANGUAGE sql AS 'SELECT 1'; SELECT * FROM $look",
	"CREATE TEMP TABLE plan AS SELECT 1; CREATE TEMP TABLE organisation (code text); SET search_path = pg_temp, public; SELECT * FROM public.$look",
	"SET search_path = ME, public; CREATE FUNCTION ME.never(public.nhs_number, public.nhs_number) RETURNS boolean LANGUAGE sql AS 'SELECT false'; CREATE OPERATOR ME.= (LEFTARG = public.nhs_number, RIGHTARG = public.nhs_number, FUNCTION = ME.never); SELECT * FROM $look",
	"CREATE FUNCTION ME.int4eq(a integer, b integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'; SET search_path = ME, pg_catalog, public; SELECT * FROM $look",
	"CREATE TEMP TABLE pg_class AS SELECT 1; SET search_path = pg_temp, public; SELECT * FROM public.$look",
	"CREATE TYPE ME.nhs_number AS (a text); SET search_path = ME, public; SELECT * FROM $look",
	"SET TimeZone = 'Pacific/Kiritimati'; SELECT * FROM $look",
	"SET $force = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SELECT * FROM $look",
	"WITH l AS (SELECT * FROM $look) SELECT count(*) FROM l",
	"SELECT EXISTS (SELECT FROM $look)",
	"SELECT (SELECT plan_type FROM $look)",
	"SELECT count(*) FROM generate_series(1, 3), $look",
	"CREATE TEMP TABLE t AS SELECT * FROM $look; TABLE t",
	"PREPARE p AS SELECT * FROM $look; EXECUTE p; EXECUTE p",
	"DECLARE c CURSOR FOR SELECT * FROM $look; FETCH c",
	"COPY (SELECT * FROM $look) TO STDOUT",
	"SELECT l FROM $look l FOR UPDATE",
	"SELECT $look",
	"SELECT CASE WHEN true THEN (SELECT count(*) FROM $look) END",
	"SELECT count(*) FILTER (WHERE (SELECT plan_type IS NOT NULL FROM $look)) FROM generate_series(1, 2)",
	"DO \$\$ BEGIN PERFORM * FROM $look; END \$\$",
	"SET TRANSACTION READ ONLY; SELECT * FROM $look",
	"SAVEPOINT s; SELECT * FROM $look; ROLLBACK TO s",
	"EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM $look");
my @look_errors = (
	[ "SELECT plan_type::integer FROM $look", '22P02' ], [ "SELECT 1 / (event_id - event_id) FROM $look", '22012' ],
	[ "SELECT cpis_flag('$number_one', 'A', 'RXX', 'camhs', request_id => repeat('x', 200))", '22023' ],
	[ "SELECT cpis_flag('9990005010', 'A', 'RXX', 'camhs')", '22P02' ], [ "SELECT * FROM cpis_lookup('1111111111', 'A', 'RXX', 'camhs')", '22023' ],
	[ "PREPARE TRANSACTION 'x'", 'any' ], [ "SELECT raise FROM $look", '42703' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'camhs', device => true)", '22004' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'camhs', notify => NULL)", '22004' ],
	[ "SELECT * FROM cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'no such')", '42704' ],
	[ "EXPLAIN SELECT * FROM $look", '' ], [ "SELECT * FROM $look WHERE false", '' ], [ "SELECT * FROM $look LIMIT 0", '' ]);
my %own = (
	outsider => [],
	app => [ @look_hijack, @look_errors ],
	builder => [ @look_hijack, @look_errors,
		[ "CREATE FUNCTION public.cpis_lookup(public.nhs_number, text, text, text) RETURNS text LANGUAGE sql AS 'SELECT ''forged'''; SELECT * FROM $look", '42725' ],
		[ "CREATE FUNCTION public.textin2(text) RETURNS text LANGUAGE sql AS 'SELECT 1'; SELECT * FROM $look", '' ],
		[ 'CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = nhs_number, FUNCTION = pg_catalog.starts_with)', 'any' ],
		[ 'CREATE OPERATOR CLASS public.o DEFAULT FOR TYPE nhs_number USING btree AS OPERATOR 1 <', '42501' ],
		[ 'CREATE CAST (text AS nhs_number) WITH INOUT AS IMPLICIT', '42501' ],
		[ 'CREATE CAST (nhs_number AS integer) WITHOUT FUNCTION', '42501' ],
		[ 'DROP TYPE nhs_number CASCADE', '42501' ],
		[ 'ALTER TYPE nhs_number SET SCHEMA builder', '42501' ],
		[ "CREATE TABLE public.audit_event (i integer); SELECT * FROM $look", '' ] ],
	authority => [ map({ [ $_, '' ] } (
		"$leak SELECT * FROM cpis.authority_plan WHERE ME.leak(authority_plan::text)", "$leak SELECT * FROM cpis.authority_access a WHERE ME.leak(a::text) ORDER BY ME.leak(a::text)",
		"$leak SELECT * FROM cpis.authority_notification n WHERE ME.leak(n::text)", "$leak SELECT * FROM cpis.authority_submission_record r WHERE ME.leak(r::text)",
		"$leak SELECT ME.leak(p::text), count(*) FROM cpis.authority_plan p GROUP BY 1 HAVING bool_and(ME.leak(p.local_authority)) OR true",
		"$leak SELECT * FROM cpis.authority_plan p JOIN cpis.authority_access a ON ME.leak(p::text || a::text)",
		"$leak SELECT * FROM cpis.authority_plan p, LATERAL (SELECT ME.leak(p::text)) l",
		"$leak SELECT CASE WHEN ME.leak(p::text) THEN 1 END FROM cpis.authority_plan p",
		"$operator SELECT * FROM cpis.authority_plan WHERE local_authority OPERATOR(ME.=) 'x'", "$operator SET search_path = ME, pg_catalog, public; SELECT * FROM cpis.authority_plan WHERE local_authority = 'E06000002'",
		"SELECT * FROM cpis.authority_plan WHERE nhs_number = nhs_number_synthetic(502)", "SELECT count(*) FROM cpis.authority_access WHERE nhs_number = nhs_number_synthetic(502)",
		"SELECT * FROM cpis.authority_plan WHERE local_authority = 'E06000002'", "EXPLAIN SELECT * FROM cpis.authority_plan WHERE nhs_number < nhs_number_synthetic(999)",
		"EXPLAIN ANALYZE SELECT * FROM cpis.authority_plan", "EXPLAIN (VERBOSE) SELECT * FROM cpis.authority_notification",
		"SET $force = on; SELECT count(*) FROM cpis.authority_plan", "CREATE TEMP TABLE plan AS SELECT 1; SET search_path = pg_temp; SELECT * FROM cpis.authority_plan",
		"PREPARE p AS SELECT count(*) FROM cpis.authority_plan; EXECUTE p", "CREATE TEMP VIEW v AS TABLE cpis.authority_plan; SELECT * FROM v", "SELECT * FROM cpis_notifications('E06000001')")),
		[ "SELECT 1 / (plan_id - plan_id) FROM cpis.authority_plan", '22012' ], [ "SELECT local_authority::integer FROM cpis.authority_plan", '22P02' ],
		[ "INSERT INTO cpis.submission_record (submission_id, nhs_number) VALUES (1, 'x')", '22023' ], [ "INSERT INTO cpis.submission_record (nhs_number) VALUES ('x')", '55000' ],
		[ "SELECT * FROM cpis_notifications('E06000001', -1)", '22023' ], [ "SELECT cpis_notifications_acknowledge('E06000001', 100000)", '22023' ],
		[ "UPDATE cpis.authority_plan SET end_date = NULL", '55000' ], [ "DELETE FROM cpis.authority_notification", '55000' ] ],
	analyst => [ map({ [ $_, '' ] } (
		"$leak SELECT * FROM cpis.analyst_event WHERE ME.leak(analyst_event::text)", "$leak SELECT * FROM cpis.analyst_event e ORDER BY ME.leak(e::text)",
		"$leak SELECT count(*) FROM cpis.analyst_event e WHERE ME.leak(person) AND ME.leak(worker)", "$leak SELECT ME.leak(person) FROM cpis.analyst_event GROUP BY 1",
		"$leak SELECT * FROM cpis.analyst_event a JOIN cpis.analyst_event b ON ME.leak(a.person || b.person) LIMIT 5",
		"$operator SELECT * FROM cpis.analyst_event WHERE person OPERATOR(ME.=) 'x'", "$operator SET search_path = ME, pg_catalog, public; SELECT * FROM cpis.analyst_event WHERE organisation = 'x'",
		"EXPLAIN SELECT * FROM cpis.analyst_event WHERE person = 'x'", "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM cpis.analyst_event", "SELECT to_jsonb(e) FROM cpis.analyst_event e",
		"SET $force = on; SET parallel_setup_cost = 0; SELECT person, count(*) FROM cpis.analyst_event GROUP BY 1", "COPY (SELECT * FROM cpis.analyst_event) TO STDOUT",
		"SELECT cpis.event_person(c.oid, format('(%s,%s)', b, i)::tid) FROM pg_class c, generate_series(0, 1) b, generate_series(1, 40) i WHERE relname LIKE 'audit_event%'",
		"SELECT cpis.event_person(c.oid, '(0,1)') FROM pg_class c", "SELECT cpis.event_worker(0, '(0,1)'), cpis.event_worker(NULL, NULL)",
		"SELECT cpis.event_person('cpis.steward_event'::regclass, '(0,1)')", "PREPARE p AS SELECT count(person) FROM cpis.analyst_event; EXECUTE p")),
		[ "SELECT person::integer FROM cpis.analyst_event WHERE person IS NOT NULL", 'any' ], [ "SELECT nhs_number FROM cpis.analyst_event", '42703' ], [ "SELECT ctid FROM cpis.analyst_event", '42703' ],
		[ "SELECT key FROM cpis.pseudonym_key", '42501' ], [ "SELECT cpis.event_person(1)", '42883' ], [ "SELECT cpis.event_person(nhs_number_synthetic(501))", '42883' ],
		[ "DELETE FROM cpis.analyst_event", '42501' ], [ "UPDATE cpis.analyst_event SET outcome = 'found'", '42501' ] ],
	steward => [ map({ [ $_, '' ] } (
		"$leak SELECT count(*) FROM cpis.steward_event e WHERE ME.leak(e.worker_name)", "$operator SELECT count(*) FROM cpis.steward_event WHERE detail OPERATOR(ME.=) 'x'",
		"EXPLAIN SELECT * FROM cpis.steward_event", "SELECT count(*) FROM cpis.steward_event a JOIN cpis.steward_event b USING (event_id)", "SELECT cpis.record_read('steward_event')",
		"SET $force = on; SELECT count(*) FROM cpis.steward_event", "CREATE TEMP VIEW v AS TABLE cpis.steward_hold; TABLE v")),
		[ "DELETE FROM cpis.steward_event", '42501' ], [ "UPDATE cpis.steward_hold SET reason = 'x'", '42501' ], [ "INSERT INTO cpis.steward_hold (reason) VALUES ('x')", '42501' ],
		[ "SELECT * FROM cpis.worker_access", '42501' ], [ "SELECT cpis_hold_place('x')", '22023' ], [ "SELECT cpis_hold_place(NULL, everything => true)", '22004' ] ]);

# Run statements as this role, each in a transaction of its own that is rolled back; answers for each
# what was printed and the SQLSTATE of its last error.
sub attempt
{
	my ($role, @attempts) = @_;
	my $script = "\\set VERBOSITY verbose\n\\set ON_ERROR_STOP off\n";
	foreach my $i (0 .. $#attempts)
	{
		(my $statement = $attempts[$i][0]) =~ s/\bME\./$role./g;
		$statement =~ s/\bME, /$role, /g;
		$statement =~ s/\bcurrent_user\b/$role/g if $statement =~ /^(?:GRANT|ALTER)/;
		$script .= "\\echo =$i=\n\\warn =$i=\nBEGIN;\n$statement" . ($statement =~ /^\\/ ? "\n" : ";\n") . "ROLLBACK;\nDISCARD ALL;\n";
	}
	my ($out, $err) = ('', '');
	local %ENV = $node->_get_env();
	my $file = $node->basedir . "/attempts_$role.sql";
	unlink $file;
	append_to_file($file, $script);
	IPC::Run::run([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') . " user=$role", '-f', $file ], '<', \undef, '>', \$out, '2>', \$err);
	my (@out, @err);
	push @out, $_ foreach (split /^=\d+=\n/m, $out, -1);
	push @err, $_ foreach (split /^=\d+=\n|^psql:\S+ =\d+=\n/m, $err, -1);
	return map { { out => $out[ $_ + 1 ] // 'lost', err => $err[ $_ + 1 ] // 'lost',
		# What comes after it in the transaction says no more.
		state => (grep { $_ ne '25P02' } ($err[ $_ + 1 ] // '') =~ /(?:ERROR|FATAL):  (\w{5}):/g)[-1] // '' } } 0 .. $#attempts;
}

foreach my $role (qw(outsider app builder authority analyst steward))
{
	subtest "attempts: $role" => sub {
		my @attempts = (matrix($role), (map { my ($statement, $expected, %else) = @$_; [ $statement, exists $else{$role} ? $else{$role} : $expected ] } @all), @{ $own{$role} });
		my %different = map { $_->[0] => 1 } @attempts;
		cmp_ok(scalar(keys %different), '>=', 100, scalar(keys %different) . ' different attempts');
		my $by_hand = @all + @{ $own{$role} };
		cmp_ok($by_hand, '>=', 100, "$by_hand of them by hand");
		my @results = attempt($role, @attempts);
		foreach my $i (0 .. $#attempts)
		{
			my ($statement, $expected) = @{ $attempts[$i] };
			my $result = $results[$i];
			is($result->{state}, $expected, $statement) or diag($result->{err}) if $expected ne 'any';
			my @seen = grep { index($result->{out} . $result->{err} =~ s/^psql.*?LINE \d+:.*?\n.*?\n//mgrs, $_) >= 0 && index($statement, $_) < 0 } @{ $hidden{$role} };
			ok(!@seen, "shows nothing: $statement") or diag("@seen in $result->{out}$result->{err}") if @seen || $expected eq 'any';
		}
	};
}

# The same, by who may: what is planted is seen, so the harness would see it.
subtest 'attempts: a superuser sees what was planted' => sub {
	my ($superuser) = answer('SELECT current_user');
	my @results = attempt($superuser, map { [$_] } 'SELECT * FROM cpis.plan', 'SELECT * FROM cpis.audit_event', 'COPY cpis.plan TO STDOUT', '\copy cpis.plan TO STDOUT',
		q{SELECT query_to_xml('TABLE cpis.plan', true, false, '')}, 'SELECT local_reference::integer FROM cpis.plan WHERE local_reference IS NOT NULL');
	like($results[$_]{out}, qr/$number_one/, 'a number') foreach 0 .. 4;
	like($results[0]{out}, qr/$reference/, 'a reference');
	like($results[1]{out}, qr/$worker/, 'a worker');
	is($results[5]{state}, '22P02', 'an error');
};

# Every look-up that told something has its event.
subtest 'attempts: what was disclosed is recorded' => sub {
	my $n = 0;
	foreach my $way ('SELECT plan_type FROM %s', 'WITH l AS (SELECT * FROM %s) SELECT plan_type FROM l', 'SELECT (SELECT plan_type FROM %s)', 'SELECT (l).plan_type FROM (SELECT l FROM %s l) AS t (l)',
		'SELECT plan_type::integer FROM %s', 'COPY (SELECT plan_type FROM %s) TO STDOUT', 'SELECT a.plan_type FROM %s a JOIN generate_series(1, 5) ON true', 'CREATE TEMP TABLE t AS SELECT plan_type FROM %s; TABLE t',
		'DECLARE c CURSOR FOR SELECT plan_type FROM %s; FETCH c', 'SET TRANSACTION READ ONLY; SELECT plan_type FROM %s', 'PREPARE p AS SELECT plan_type FROM %s; EXECUTE p',
		'DO $$ DECLARE p text; BEGIN SELECT plan_type INTO p FROM %s; RAISE NOTICE \'%%\', p; END $$', 'SELECT 1 / (length(plan_type) - length(plan_type)) FROM %s',
		'SELECT plan_type FROM %s ORDER BY random()', 'SELECT DISTINCT plan_type FROM %s UNION SELECT \'x\'', 'SELECT max(plan_type) OVER () FROM %s')
	{
		my $request = 'way ' . ++$n;
		my ($result) = attempt('app', [ sprintf($way, "cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'camhs', request_id => '$request')") ]);
		my $told = ($result->{out} . $result->{err}) =~ /child_protection|22012/ ? 1 : 0;
		is($told, 1, "$way tells");
		cmp_ok(events($node, $request, 'found'), '>=', 1, 'and is recorded');
	}
};

# Cancelled anywhere between its beginning and its answer.
subtest 'attempts: cancelled at every point' => sub {
	my ($told, $cancelled, $script) = (0, 0, '');
	foreach my $i (1 .. 400)
	{
		# From before it begins to after its end: whatever the machine's speed.
		my $microseconds = $i * 10;
		$script .= "\\echo =$i=\nSELECT set_config('statement_timeout', (1 + $i % 4)::text || 'ms', false) \\g /dev/null\n"
		  . "SELECT plan_type, pg_sleep(0.00001 * ($i % 100)) IS NULL FROM pg_sleep($microseconds / 1e6) AS s, cpis_lookup(nhs_number_synthetic(501), 'A', 'RXX', 'camhs', request_id => 'cancel $i');\nSET statement_timeout = 0;\n";
	}
	my $run = run_sql($node, $script, user => 'app');
	my @parts = split /^=(\d+)=\n/m, $run->{out};
	shift @parts;
	while (my ($i, $out) = splice @parts, 0, 2)
	{
		next if !defined $out || $out !~ /child_protection/;
		$told++;
		fail("look-up $i told, and is not recorded") if events($node, "cancel $i", 'found') != 1;
	}
	$cancelled = () = $run->{states} =~ /57014/g;
	note("$told told, $cancelled cancelled");
	# To set the limit may be cancelled, too.
	cmp_ok($told + $cancelled, '>=', 400, 'each told or was cancelled');
	cmp_ok($cancelled, '>', 0, 'some were cancelled');
	trail_is_whole($node, 'and the trail is whole');
};

subtest 'attempts: prepared by one role, executed as another' => sub {
	answer('ALTER ROLE outsider NOINHERIT; GRANT app TO outsider');
	my ($prepared, $back) = attempt('outsider', [ "SET ROLE app; PREPARE p AS SELECT * FROM $look; RESET ROLE; EXECUTE p" ],
		[ "PREPARE p AS SELECT 1; SET ROLE app; PREPARE q AS SELECT plan_type FROM $look; EXECUTE q; SET ROLE none; EXECUTE q" ]);
	is($prepared->{state}, '42501', 'as entitled, executed by who is not');
	is($back->{state}, '42501', 'planned as entitled, and executed again by who is not');
	answer('REVOKE app FROM outsider');
};

subtest 'attempts: a limit is for all sessions of the scope together' => sub {
	answer(q{CREATE ROLE limited LOGIN IN ROLE cpis_clinical; SELECT cpis_scope_grant('limited', organisation => 'RYY', max_lookups_per_minute => 50)});
	my $began = time;
	my @runs = map { start_sql($node, join('', map { "SELECT count(*) FROM cpis_lookup(nhs_number_synthetic($_), 'A', 'RYY', 'camhs', request_id => 'limit');\n" } 1 .. 40), user => 'limited') } 1 .. 3;
	finish_sql($_) foreach @runs;
	my $minutes = 1 + int((time - $began) / 60);
	cmp_ok(events($node, 'limit', 'found'), '<=', 50 * $minutes, 'no more than the limit');
	is(events($node, 'limit', 'found') + events($node, 'limit', 'refused'), 120, 'all are recorded');
	is(answer(q{SELECT DISTINCT detail FROM cpis.audit_event WHERE request_id = 'limit' AND outcome = 'refused'}), 'too many look-ups within a minute', 'and why');
};

subtest 'attempts: for another authority' => sub {
	my $run = run_sql($node, "SELECT * FROM cpis_notifications('E06000002')", user => 'authority');
	like($run->{err}, qr/ERROR:  42501: permission denied to act for the local authority\nDETAIL:  The refusal is recorded in the audit trail\.\n/, 'it is said that this is recorded');
	is(answer('SELECT outcome, session_role FROM cpis.audit_event ORDER BY event_id DESC LIMIT 1'), 'refused|authority', 'and it is');
};

# What the privileges of a role do not decide: event triggers are for superusers, and no role here
# may replicate.
subtest 'attempts: replication' => sub {
	foreach my $role (qw(outsider app authority analyst steward))
	{
		# Without anything for psql to read: it may have ended before that is written.
		my ($out, $err) = run_command([ 'psql', '-XAtq', '-U', $role, '-c', 'IDENTIFY_SYSTEM', '-d', $node->connstr('postgres') . ' replication=database' ]);
		like($err, qr/walsender|WAL sender/, "$role may not replicate");
		is($out, '', 'and sees nothing');
	}
};

trail_is_whole($node, 'after all this the trail is whole');
is(answer(q{SELECT problem FROM cpis_retention_reconcile() WHERE NOT uncommitted AND problem !~ '"clinician"'}), '', 'and all agrees');
$node->stop;
done_testing();

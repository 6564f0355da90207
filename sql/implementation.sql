/*
 * How far providers are with CP-IS: guidance sections 1, 6 and 7, NHS Standard Contract SC32.8.
 *
 * These tables are kept by whoever runs the implementation; nobody else's rights depend on them,
 * but for cpis.provider_setting: a care setting whose record says that it is not live cannot look
 * up (src/provider_setting.c).  Their views have no names of people, and days are those of England;
 * what has a day after today is planned, and not yet so.
 */
CREATE TABLE cpis.implementation_step (
	code text COLLATE "C" NOT NULL
		CONSTRAINT implementation_step_pkey PRIMARY KEY,
	name text NOT NULL,
	place integer NOT NULL
		CONSTRAINT implementation_step_place_key UNIQUE
);
REVOKE ALL ON TABLE cpis.implementation_step FROM PUBLIC;
COMMENT ON TABLE cpis.implementation_step IS 'what a provider does to implement CP-IS, besides going live; part of the extension';
COMMENT ON COLUMN cpis.implementation_step.code IS 'code of the step';
COMMENT ON COLUMN cpis.implementation_step.name IS 'name in words';
COMMENT ON COLUMN cpis.implementation_step.place IS 'place among the steps, from 1';

INSERT INTO cpis.implementation_step (place, code, name) VALUES
	(1, 'agreement_sent', 'Letter of agreement sent'),
	(2, 'agreement_signed', 'Letter of agreement signed'),
	(3, 'agreement_returned', 'Letter of agreement returned'),
	(4, 'champion', 'Clinical champion named'),
	(5, 'task_and_finish_group', 'Task and finish group formed'),
	(6, 'process_mapping', 'Processes mapped'),
	(7, 'baseline_audit', 'Baseline audit'),
	(8, 'privacy_impact_assessment', 'Privacy impact assessment'),
	(9, 'policies', 'Policies updated'),
	(10, 'training', 'Training updated'),
	(11, 'communication', 'Communication strategy'),
	(12, 'follow_on_audit', 'Follow-on audit'),
	(13, 'benefits', 'Benefits reported');
CREATE TRIGGER refuse_change BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON cpis.implementation_step
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Its rows are part of the extension.');
ALTER TABLE cpis.implementation_step ENABLE ALWAYS TRIGGER refuse_change;

CREATE TABLE cpis.provider (
	-- No foreign key: organisations may be loaded anew.
	organisation text COLLATE "C" NOT NULL
		CONSTRAINT provider_pkey PRIMARY KEY
		CONSTRAINT provider_organisation_shape CHECK (organisation ~ '^[A-Z0-9]{3,12}$'),
	local_authority text COLLATE "C"
		CONSTRAINT provider_local_authority_fkey REFERENCES cpis.local_authority,
	champion text
		CONSTRAINT provider_champion_text CHECK (champion ~ '[^[:space:]]' AND champion !~ '[[:cntrl:]]' AND octet_length(champion) <= 200)
);
REVOKE ALL ON TABLE cpis.provider FROM PUBLIC;
COMMENT ON TABLE cpis.provider IS 'NHS organisations that implement CP-IS; their commissioner is in cpis.organisation';
COMMENT ON COLUMN cpis.provider.organisation IS 'ODS code of the organisation';
COMMENT ON COLUMN cpis.provider.local_authority IS 'authority that it implements CP-IS with, whose lead is in the task and finish group';
COMMENT ON COLUMN cpis.provider.champion IS 'name of the clinical champion, up to 200 bytes';

CREATE TABLE cpis.provider_step (
	organisation text COLLATE "C" NOT NULL
		CONSTRAINT provider_step_organisation_fkey REFERENCES cpis.provider,
	step text COLLATE "C" NOT NULL
		CONSTRAINT provider_step_step_fkey REFERENCES cpis.implementation_step,
	due_on date
		CONSTRAINT provider_step_due_on_range CHECK (isfinite(due_on)),
	done_on date
		CONSTRAINT provider_step_done_on_range CHECK (isfinite(done_on)),
	note text
		CONSTRAINT provider_step_note_length CHECK (octet_length(note) <= 1000),
	CONSTRAINT provider_step_pkey PRIMARY KEY (organisation, step)
);
REVOKE ALL ON TABLE cpis.provider_step FROM PUBLIC;
COMMENT ON TABLE cpis.provider_step IS 'when a provider is to have done a step, and has; a step without a row is to do, without a day';
COMMENT ON COLUMN cpis.provider_step.organisation IS 'the provider';
COMMENT ON COLUMN cpis.provider_step.step IS 'the step, see cpis.implementation_step';
COMMENT ON COLUMN cpis.provider_step.due_on IS 'last day for it; NULL: none is set';
COMMENT ON COLUMN cpis.provider_step.done_on IS 'day on which it was done, or is planned; NULL: it is to do';
COMMENT ON COLUMN cpis.provider_step.note IS 'what there is to say, such as what an audit found; up to 1,000 bytes';

CREATE TABLE cpis.group_member (
	organisation text COLLATE "C" NOT NULL
		CONSTRAINT group_member_organisation_fkey REFERENCES cpis.provider,
	part text COLLATE "C" NOT NULL
		CONSTRAINT group_member_part_known CHECK (part IN ('information_technology', 'safeguarding', 'clinical', 'information_governance', 'nhs_digital', 'local_authority')),
	name text NOT NULL
		CONSTRAINT group_member_name_text CHECK (name ~ '[^[:space:]]' AND name !~ '[[:cntrl:]]' AND octet_length(name) <= 200),
	member_from date NOT NULL DEFAULT (now() AT TIME ZONE 'Europe/London')::date,
	member_until date,
	CONSTRAINT group_member_pkey PRIMARY KEY (organisation, part, name, member_from),
	CONSTRAINT group_member_member_until_not_before_from CHECK (member_until >= member_from)
);
REVOKE ALL ON TABLE cpis.group_member FROM PUBLIC;
COMMENT ON TABLE cpis.group_member IS 'members of the task and finish groups of providers';
COMMENT ON COLUMN cpis.group_member.organisation IS 'the provider';
COMMENT ON COLUMN cpis.group_member.part IS 'the part that the member has in it: information_technology, safeguarding, clinical, information_governance, nhs_digital or local_authority';
COMMENT ON COLUMN cpis.group_member.name IS 'name of the member, up to 200 bytes';
COMMENT ON COLUMN cpis.group_member.member_from IS 'first day as a member';
COMMENT ON COLUMN cpis.group_member.member_until IS 'last day; NULL: still a member';

CREATE TABLE cpis.escalation (
	escalation_id bigint GENERATED ALWAYS AS IDENTITY
		CONSTRAINT escalation_pkey PRIMARY KEY,
	organisation text COLLATE "C" NOT NULL
		CONSTRAINT escalation_organisation_fkey REFERENCES cpis.provider,
	accountable_officer text NOT NULL
		CONSTRAINT escalation_accountable_officer_text
			CHECK (accountable_officer ~ '[^[:space:]]' AND accountable_officer !~ '[[:cntrl:]]' AND octet_length(accountable_officer) <= 200),
	reason text NOT NULL
		CONSTRAINT escalation_reason_text CHECK (reason ~ '[^[:space:]]' AND octet_length(reason) <= 1000),
	escalated_on date NOT NULL DEFAULT (now() AT TIME ZONE 'Europe/London')::date,
	resolved_on date,
	CONSTRAINT escalation_resolved_on_not_before_escalated CHECK (resolved_on >= escalated_on)
);
REVOKE ALL ON TABLE cpis.escalation FROM PUBLIC;
COMMENT ON TABLE cpis.escalation IS 'providers that were escalated to the accountable officer of their commissioner: no letter of agreement, or late';
COMMENT ON COLUMN cpis.escalation.escalation_id IS 'identifier';
COMMENT ON COLUMN cpis.escalation.organisation IS 'the provider';
COMMENT ON COLUMN cpis.escalation.accountable_officer IS 'to whom, up to 200 bytes';
COMMENT ON COLUMN cpis.escalation.reason IS 'why, up to 1,000 bytes';
COMMENT ON COLUMN cpis.escalation.escalated_on IS 'on which day';
COMMENT ON COLUMN cpis.escalation.resolved_on IS 'day from which it was no longer needed; NULL: it is open';
COMMENT ON SEQUENCE cpis.escalation_escalation_id_seq IS 'numbers of cpis.escalation.escalation_id';

CREATE TABLE cpis.provider_risk (
	risk_id bigint GENERATED ALWAYS AS IDENTITY
		CONSTRAINT provider_risk_pkey PRIMARY KEY,
	organisation text COLLATE "C" NOT NULL
		CONSTRAINT provider_risk_organisation_fkey REFERENCES cpis.provider,
	risk text NOT NULL
		CONSTRAINT provider_risk_risk_text CHECK (risk ~ '[^[:space:]]' AND octet_length(risk) <= 1000),
	raised_on date NOT NULL DEFAULT (now() AT TIME ZONE 'Europe/London')::date,
	closed_on date,
	CONSTRAINT provider_risk_closed_on_not_before_raised CHECK (closed_on >= raised_on)
);
REVOKE ALL ON TABLE cpis.provider_risk FROM PUBLIC;
COMMENT ON TABLE cpis.provider_risk IS 'risk registers of commissioners: providers that are not able to implement CP-IS';
COMMENT ON COLUMN cpis.provider_risk.risk_id IS 'identifier';
COMMENT ON COLUMN cpis.provider_risk.organisation IS 'the provider';
COMMENT ON COLUMN cpis.provider_risk.risk IS 'what stands in the way, up to 1,000 bytes';
COMMENT ON COLUMN cpis.provider_risk.raised_on IS 'day on which it was entered';
COMMENT ON COLUMN cpis.provider_risk.closed_on IS 'day on which it was closed, from which it does not count; NULL: it is open';
COMMENT ON SEQUENCE cpis.provider_risk_risk_id_seq IS 'numbers of cpis.provider_risk.risk_id';

CREATE TABLE cpis.provider_setting (
	-- What each look-up asks for, in one column and the first, as src/reference.c finds rows.
	code text COLLATE "C" GENERATED ALWAYS AS (organisation || ' ' || care_setting) STORED NOT NULL
		CONSTRAINT provider_setting_pkey PRIMARY KEY,
	organisation text COLLATE "C" NOT NULL
		CONSTRAINT provider_setting_organisation_fkey REFERENCES cpis.provider,
	care_setting text COLLATE "C" NOT NULL
		CONSTRAINT provider_setting_care_setting_fkey REFERENCES cpis.care_setting,
	access_way text COLLATE "C"
		CONSTRAINT provider_setting_access_way_known CHECK (access_way IN ('integrated', 'summary_care_record')),
	go_live_due_on date
		CONSTRAINT provider_setting_go_live_due_on_range CHECK (go_live_due_on BETWEEN '1948-07-05' AND '2999-12-31'),
	live_from date
		CONSTRAINT provider_setting_live_from_range CHECK (live_from BETWEEN '1948-07-05' AND '2999-12-31'),
	live_until date
		CONSTRAINT provider_setting_live_until_range CHECK (live_until BETWEEN '1948-07-05' AND '2999-12-31'),
	set_at timestamptz NOT NULL,
	event_id bigint NOT NULL,
	CONSTRAINT provider_setting_live_until_not_before_from
		CHECK (live_until IS NULL OR (live_from IS NOT NULL AND live_until >= live_from))
);
REVOKE ALL ON TABLE cpis.provider_setting FROM PUBLIC;
COMMENT ON TABLE cpis.provider_setting IS 'care settings that a provider runs, and from when to when they are live: at other times they cannot look up';
COMMENT ON COLUMN cpis.provider_setting.code IS 'organisation and care setting';
COMMENT ON COLUMN cpis.provider_setting.organisation IS 'the provider';
COMMENT ON COLUMN cpis.provider_setting.care_setting IS 'the care setting';
COMMENT ON COLUMN cpis.provider_setting.access_way IS 'how its staff look up: integrated into their own system, or summary_care_record, the Summary Care Record application with a smartcard; NULL: not known';
COMMENT ON COLUMN cpis.provider_setting.go_live_due_on IS 'day by which it is to be live; NULL: none is set';
COMMENT ON COLUMN cpis.provider_setting.live_from IS 'first day on which it is live; NULL: it is not';
COMMENT ON COLUMN cpis.provider_setting.live_until IS 'last such day; NULL: it stays live';
COMMENT ON COLUMN cpis.provider_setting.set_at IS 'when that was set';
COMMENT ON COLUMN cpis.provider_setting.event_id IS 'event by which it was recorded';
CREATE TRIGGER own_change BEFORE UPDATE OR DELETE ON cpis.provider_setting
	FOR EACH ROW EXECUTE FUNCTION cpis.refuse_change('Use cpis_provider_setting_set() and cpis_provider_setting_remove().');
CREATE TRIGGER own_change_truncate BEFORE TRUNCATE ON cpis.provider_setting
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_change('Use cpis_provider_setting_remove().');
CREATE TRIGGER own_insert BEFORE INSERT ON cpis.provider_setting
	FOR EACH STATEMENT EXECUTE FUNCTION cpis.refuse_others('Use cpis_provider_setting_set().');
CREATE TRIGGER reference_changed AFTER INSERT OR UPDATE OR DELETE ON cpis.provider_setting
	FOR EACH ROW EXECUTE FUNCTION cpis.reference_changed();
ALTER TABLE cpis.provider_setting ENABLE ALWAYS TRIGGER own_change, ENABLE ALWAYS TRIGGER own_change_truncate,
	ENABLE ALWAYS TRIGGER own_insert, ENABLE ALWAYS TRIGGER reference_changed;

DO $$
DECLARE
	kept text;
BEGIN
	FOREACH kept IN ARRAY ARRAY['provider', 'provider_step', 'group_member', 'escalation', 'escalation_escalation_id_seq', 'provider_risk', 'provider_risk_risk_id_seq', 'provider_setting']
	LOOP
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('cpis.%I', kept)::pg_catalog.regclass, '');
	END LOOP;
END
$$;

CREATE FUNCTION cpis_provider_setting_set(
	organisation text,
	care_setting text,
	access_way text = NULL,
	go_live_due_on date = NULL,
	live_from date = NULL,
	live_until date = NULL)
	RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_provider_setting_set';
REVOKE ALL ON FUNCTION cpis_provider_setting_set(text, text, text, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION cpis_provider_setting_set(text, text, text, date, date, date) IS
	'set when a care setting of a provider is live, in place of what was set before; recorded; answers the event';

CREATE FUNCTION cpis_provider_setting_remove(organisation text, care_setting text) RETURNS bigint
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'cpis_provider_setting_remove';
REVOKE ALL ON FUNCTION cpis_provider_setting_remove(text, text) FROM PUBLIC;
COMMENT ON FUNCTION cpis_provider_setting_remove(text, text) IS 'take the record of a care setting away, as of one that the provider does not run; recorded; answers the event';

CREATE VIEW cpis.implementation_setting WITH (security_barrier) AS
	SELECT s.organisation, o.name AS organisation_name, o.commissioner, p.local_authority, s.care_setting, s.access_way, s.go_live_due_on, s.live_from, s.live_until,
		COALESCE(s.live_from <= today.day AND COALESCE(s.live_until >= today.day, true), false) AS live,
		COALESCE(s.go_live_due_on < today.day AND COALESCE(s.live_from > today.day, true), false) AS overdue
	FROM cpis.provider_setting s
		JOIN cpis.provider p ON p.organisation = s.organisation
		LEFT JOIN cpis.organisation o ON o.code = s.organisation
		CROSS JOIN (SELECT (now() AT TIME ZONE 'Europe/London')::date) AS today (day);
COMMENT ON VIEW cpis.implementation_setting IS 'care settings of providers, and whether they are live; for cpis_analyst and cpis_steward';
COMMENT ON COLUMN cpis.implementation_setting.organisation IS 'ODS code of the provider';
COMMENT ON COLUMN cpis.implementation_setting.organisation_name IS 'its name; NULL where it is not in the register';
COMMENT ON COLUMN cpis.implementation_setting.commissioner IS 'ODS code of its commissioner';
COMMENT ON COLUMN cpis.implementation_setting.local_authority IS 'authority that it implements CP-IS with';
COMMENT ON COLUMN cpis.implementation_setting.care_setting IS 'the care setting';
COMMENT ON COLUMN cpis.implementation_setting.access_way IS 'integrated or summary_care_record';
COMMENT ON COLUMN cpis.implementation_setting.go_live_due_on IS 'day by which it is to be live';
COMMENT ON COLUMN cpis.implementation_setting.live_from IS 'first day on which it is live';
COMMENT ON COLUMN cpis.implementation_setting.live_until IS 'last such day';
COMMENT ON COLUMN cpis.implementation_setting.live IS 'is it live today? If not, its look-ups are refused';
COMMENT ON COLUMN cpis.implementation_setting.overdue IS 'was it to be live before today, and never was?';

CREATE VIEW cpis.implementation_overdue WITH (security_barrier) AS
	SELECT late.organisation, o.name AS organisation_name, o.commissioner, p.local_authority, late.step, late.care_setting, late.due_on, today.day - late.due_on AS days_overdue,
		(SELECT min(e.escalated_on) FROM cpis.escalation e
		 WHERE e.organisation = late.organisation AND e.escalated_on <= today.day AND COALESCE(e.resolved_on > today.day, true)) AS escalated_on
	FROM (SELECT (now() AT TIME ZONE 'Europe/London')::date) AS today (day)
		CROSS JOIN LATERAL (
			SELECT s.organisation, s.step, NULL AS care_setting, s.due_on FROM cpis.provider_step s WHERE s.due_on < today.day AND COALESCE(s.done_on > today.day, true)
			UNION ALL
			SELECT g.organisation, 'go_live', g.care_setting, g.go_live_due_on FROM cpis.implementation_setting g WHERE g.overdue) AS late
		JOIN cpis.provider p ON p.organisation = late.organisation
		LEFT JOIN cpis.organisation o ON o.code = late.organisation;
COMMENT ON VIEW cpis.implementation_overdue IS 'steps of providers that are overdue; a letter of agreement that is, without a day of escalation, is to be escalated; for cpis_analyst and cpis_steward';
COMMENT ON COLUMN cpis.implementation_overdue.organisation IS 'ODS code of the provider';
COMMENT ON COLUMN cpis.implementation_overdue.organisation_name IS 'its name; NULL where it is not in the register';
COMMENT ON COLUMN cpis.implementation_overdue.commissioner IS 'ODS code of its commissioner';
COMMENT ON COLUMN cpis.implementation_overdue.local_authority IS 'authority that it implements CP-IS with';
COMMENT ON COLUMN cpis.implementation_overdue.step IS 'the step, see cpis.implementation_step; or go_live';
COMMENT ON COLUMN cpis.implementation_overdue.care_setting IS 'care setting that is to go live';
COMMENT ON COLUMN cpis.implementation_overdue.due_on IS 'last day for it';
COMMENT ON COLUMN cpis.implementation_overdue.days_overdue IS 'days that have passed since';
COMMENT ON COLUMN cpis.implementation_overdue.escalated_on IS 'since when the provider is escalated to the accountable officer of its commissioner; NULL: it is not';

CREATE VIEW cpis.implementation_progress WITH (security_barrier) AS
	SELECT p.organisation, o.name AS organisation_name, o.commissioner, p.local_authority,
		step.agreement_sent_on, step.agreement_signed_on, step.agreement_returned_on, p.champion IS NOT NULL AS has_champion,
		ARRAY(SELECT part.name FROM unnest(ARRAY['information_technology', 'safeguarding', 'clinical', 'information_governance', 'nhs_digital', 'local_authority']) AS part (name)
			  WHERE NOT EXISTS (SELECT FROM cpis.group_member m
								WHERE m.organisation = p.organisation AND m.part = part.name AND m.member_from <= today.day AND COALESCE(m.member_until >= today.day, true))
			  ORDER BY part.name) AS group_parts_missing,
		(SELECT count(*) FROM cpis.implementation_step) AS steps, step.done AS steps_done,
		(SELECT count(*) FROM cpis.implementation_overdue late WHERE late.organisation = p.organisation) AS overdue,
		setting.n AS settings, setting.live AS settings_live,
		(SELECT count(*) FROM cpis.escalation e
		 WHERE e.organisation = p.organisation AND e.escalated_on <= today.day AND COALESCE(e.resolved_on > today.day, true)) AS open_escalations,
		(SELECT count(*) FROM cpis.provider_risk r
		 WHERE r.organisation = p.organisation AND r.raised_on <= today.day AND COALESCE(r.closed_on > today.day, true)) AS open_risks
	FROM cpis.provider p
		LEFT JOIN cpis.organisation o ON o.code = p.organisation
		CROSS JOIN (SELECT (now() AT TIME ZONE 'Europe/London')::date) AS today (day)
		CROSS JOIN LATERAL (
			SELECT count(*) AS done,
				min(s.done_on) FILTER (WHERE s.step = 'agreement_sent') AS agreement_sent_on,
				min(s.done_on) FILTER (WHERE s.step = 'agreement_signed') AS agreement_signed_on,
				min(s.done_on) FILTER (WHERE s.step = 'agreement_returned') AS agreement_returned_on
			FROM cpis.provider_step s WHERE s.organisation = p.organisation AND s.done_on <= today.day) AS step
		CROSS JOIN LATERAL (
			SELECT count(*) AS n, count(*) FILTER (WHERE s.live) AS live
			FROM cpis.implementation_setting s WHERE s.organisation = p.organisation) AS setting;
COMMENT ON VIEW cpis.implementation_progress IS 'how far each provider is; for cpis_analyst and cpis_steward';
COMMENT ON COLUMN cpis.implementation_progress.organisation IS 'ODS code of the provider';
COMMENT ON COLUMN cpis.implementation_progress.organisation_name IS 'its name; NULL where it is not in the register';
COMMENT ON COLUMN cpis.implementation_progress.commissioner IS 'ODS code of its commissioner';
COMMENT ON COLUMN cpis.implementation_progress.local_authority IS 'authority that it implements CP-IS with';
COMMENT ON COLUMN cpis.implementation_progress.agreement_sent_on IS 'day on which the letter of agreement was sent to it';
COMMENT ON COLUMN cpis.implementation_progress.agreement_signed_on IS 'day on which it was signed';
COMMENT ON COLUMN cpis.implementation_progress.agreement_returned_on IS 'day on which it came back';
COMMENT ON COLUMN cpis.implementation_progress.has_champion IS 'is a clinical champion named?';
COMMENT ON COLUMN cpis.implementation_progress.group_parts_missing IS 'parts of the task and finish group that nobody has today';
COMMENT ON COLUMN cpis.implementation_progress.steps IS 'how many steps there are';
COMMENT ON COLUMN cpis.implementation_progress.steps_done IS 'how many of them are done';
COMMENT ON COLUMN cpis.implementation_progress.overdue IS 'how many steps, and settings to go live, are overdue';
COMMENT ON COLUMN cpis.implementation_progress.settings IS 'how many care settings it runs';
COMMENT ON COLUMN cpis.implementation_progress.settings_live IS 'how many of them are live today';
COMMENT ON COLUMN cpis.implementation_progress.open_escalations IS 'escalations to the accountable officer that are open';
COMMENT ON COLUMN cpis.implementation_progress.open_risks IS 'open entries in the risk register of its commissioner';

CREATE VIEW cpis.implementation_by_commissioner WITH (security_barrier) AS
	SELECT p.commissioner, count(*) AS providers, count(p.agreement_returned_on) AS agreements_returned, sum(p.settings)::bigint AS settings,
		sum(p.settings_live)::bigint AS settings_live, sum(p.overdue)::bigint AS overdue, sum(p.open_escalations)::bigint AS open_escalations, sum(p.open_risks)::bigint AS open_risks
	FROM cpis.implementation_progress p
	GROUP BY p.commissioner;
COMMENT ON VIEW cpis.implementation_by_commissioner IS 'how far the providers of each commissioner are; for cpis_analyst and cpis_steward';
COMMENT ON COLUMN cpis.implementation_by_commissioner.commissioner IS 'ODS code of the commissioner; NULL: providers without one';

CREATE VIEW cpis.implementation_by_authority WITH (security_barrier) AS
	SELECT p.local_authority, a.name AS local_authority_name, count(*) AS providers, count(p.agreement_returned_on) AS agreements_returned, sum(p.settings)::bigint AS settings,
		sum(p.settings_live)::bigint AS settings_live, sum(p.overdue)::bigint AS overdue, sum(p.open_escalations)::bigint AS open_escalations, sum(p.open_risks)::bigint AS open_risks
	FROM cpis.implementation_progress p LEFT JOIN cpis.local_authority a ON a.code = p.local_authority
	GROUP BY p.local_authority, a.name;
COMMENT ON VIEW cpis.implementation_by_authority IS 'how far the providers are that implement CP-IS with each local authority; for cpis_analyst and cpis_steward';
COMMENT ON COLUMN cpis.implementation_by_authority.local_authority IS 'code of the authority; NULL: providers without one';
COMMENT ON COLUMN cpis.implementation_by_authority.local_authority_name IS 'its name; NULL where it is not in the register';

DO $$
DECLARE
	place text;
BEGIN
	FOREACH place IN ARRAY ARRAY['implementation_by_commissioner', 'implementation_by_authority']
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.providers IS ''how many providers''', place);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.agreements_returned IS ''how many of them have returned the letter of agreement''', place);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.settings IS ''care settings that they run''', place);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.settings_live IS ''how many of them are live today''', place);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.overdue IS ''steps, and settings to go live, that are overdue''', place);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.open_escalations IS ''escalations that are open''', place);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN cpis.%I.open_risks IS ''entries in the risk register that are open''', place);
	END LOOP;
	FOREACH place IN ARRAY ARRAY['implementation_setting', 'implementation_overdue', 'implementation_progress', 'implementation_by_commissioner', 'implementation_by_authority']
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON TABLE cpis.%I FROM PUBLIC', place);
		EXECUTE pg_catalog.format('GRANT SELECT ON TABLE cpis.%I TO cpis_analyst, cpis_steward', place);
	END LOOP;
END
$$;

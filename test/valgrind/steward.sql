SELECT count(*), count(cpis_fhir_audit_event(event_id)) FROM cpis.steward_event WHERE event_id < 20;
SELECT cpis_pseudonym(nhs_number_synthetic(1)) IS NOT NULL;
SELECT count(*) FROM cpis.unusual_bulk;

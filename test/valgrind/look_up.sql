-- Found, not found, silent, as a device, refused, with an error, rolled back, as FHIR, flagged, and the history.
SELECT count(*) FROM generate_series(1, 150) n, LATERAL cpis_lookup(nhs_number_synthetic(n::integer), 'A Nurse', 'RXX', 'nhs_111', 'id', 'Nurse', 'system', 'here', 'request', n % 3 > 0, n % 5 = 0);
SELECT * FROM cpis_lookup(nhs_number_synthetic(9000), 'A Nurse', 'RXX', 'camhs');
SELECT * FROM cpis_lookup(nhs_number_synthetic(1), 'A Nurse', 'NOPE', 'camhs');
SELECT * FROM cpis_lookup(nhs_number_synthetic(1), 'A Nurse', 'RXX', 'nowhere');
SELECT * FROM cpis_lookup(nhs_number_synthetic(1), 'A Nurse', 'RXX', 'dentistry');
SELECT * FROM cpis_lookup('9434765918', NULL, 'RXX', 'camhs');
SELECT * FROM cpis_lookup('943 476 5919', repeat('x', 300), 'RXX', 'camhs');
BEGIN;
SELECT * FROM cpis_lookup(nhs_number_synthetic(2), 'A Nurse', 'RXX', 'camhs') \gset
SELECT * FROM cpis_access_history(:event_id);
ROLLBACK;
SELECT cpis_flag(nhs_number_synthetic(3), 'A Nurse', 'RXX', 'camhs'), length(cpis_lookup_fhir(nhs_number_synthetic(4), 'A Nurse', 'RXX', 'camhs')::text);

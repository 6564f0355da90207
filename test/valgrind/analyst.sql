SELECT count(*), count(person), count(worker) FROM cpis.analyst_event;
SELECT length(cpis_report('2026-01-01', '2026-12-31'));

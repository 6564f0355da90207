-- How long the proof of an event takes, in microseconds; without the planning of
-- the expression that says so.
CREATE OR REPLACE FUNCTION bench.proof_time(event bigint) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz = clock_timestamp();
	ended timestamptz;
BEGIN
	PERFORM cpis_inclusion_proof(event);
	ended = clock_timestamp();
	RETURN extract(epoch FROM ended - began) * 1000000;
END $$;

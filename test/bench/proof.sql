-- How long the proof of an event takes, in microseconds.
CREATE OR REPLACE FUNCTION bench.proof_time(event bigint) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz = clock_timestamp();
BEGIN
	PERFORM cpis_inclusion_proof(event);
	RETURN extract(epoch FROM clock_timestamp() - began) * 1000000;
END $$;

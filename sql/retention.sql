/*
 * Retention: what has an end is held for so many days after it, and not less.
 */

CREATE FUNCTION cpis_retain() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'cpis_retain';
REVOKE ALL ON FUNCTION cpis_retain() FROM PUBLIC;
COMMENT ON FUNCTION cpis_retain() IS
	'trigger (column, days): rows are held for so many days after the date or timestamptz in the column, the last day in England included; attach it ENABLE ALWAYS';

-- Everything of the extension has a comment, columns included.  Array types
-- and row types of tables come by themselves and need none.
WITH member AS (
	SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis')
), object AS (
	SELECT classid, objid, 0 AS objsubid FROM member
	UNION ALL
	SELECT 'pg_class'::regclass, attrelid, attnum
	FROM pg_attribute JOIN member ON classid = 'pg_class'::regclass AND objid = attrelid
	JOIN pg_class c ON c.oid = attrelid
	WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v')
	UNION ALL
	-- The columns of a composite type.
	SELECT 'pg_class'::regclass, attrelid, attnum
	FROM pg_attribute JOIN pg_type t ON typrelid = attrelid
	JOIN member ON classid = 'pg_type'::regclass AND objid = t.oid
	JOIN pg_class c ON c.oid = attrelid
	WHERE attnum > 0 AND NOT attisdropped AND relkind = 'c'
)
SELECT pg_describe_object(classid, objid, objsubid) AS without_comment
FROM object
LEFT JOIN pg_type t ON classid = 'pg_type'::regclass AND t.oid = objid
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE NOT EXISTS (SELECT FROM pg_description d
		WHERE d.classoid = object.classid AND d.objoid = object.objid AND d.objsubid = object.objsubid)
	AND (t.oid IS NULL OR (t.typcategory <> 'A' AND coalesce(c.relkind, 'c') = 'c'))
	AND classid NOT IN ('pg_opfamily'::regclass)
ORDER BY 1;
-- The query sees what there is to see.
SELECT count(*) > 50 AS many FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'cpis');

-- What the applications of compose.yaml use, run once on blue in database app; green gets the schema
-- by pg_dump and the rows by its subscription. Before it, `pgbench --initialize` made its tables.
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    placed_at timestamptz NOT NULL DEFAULT now(),
    item text NOT NULL
);
INSERT INTO orders (item) SELECT 'item ' || n FROM generate_series(1, 1000) AS n;

-- pgbench only ever inserts into its history, which has no key: the whole row names it.
ALTER TABLE pgbench_history REPLICA IDENTITY FULL;

DO $$
DECLARE name regclass;
BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO app', name);
    END LOOP;
END
$$;

CREATE PUBLICATION app_pub FOR ALL TABLES;

-- What every client suite finds: run directly on the server before each run.
DROP SCHEMA IF EXISTS smoke CASCADE;
DROP SCHEMA IF EXISTS smoke_other CASCADE;
CREATE SCHEMA smoke;
CREATE SCHEMA smoke_other;

CREATE TYPE smoke.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN smoke.positive AS int CHECK (VALUE > 0);
CREATE TYPE smoke.place AS (x int, label text);

CREATE TABLE smoke.item (
    id int PRIMARY KEY,
    name text NOT NULL,
    price numeric(10, 2),
    mood smoke.mood,
    amount smoke.positive,
    place smoke.place
);
CREATE TABLE smoke.bulk (id int, body text);
CREATE TABLE smoke.counted (id serial PRIMARY KEY, name text);
CREATE TABLE smoke.note (name text);
CREATE TABLE smoke_other.note (name text);
INSERT INTO smoke.note VALUES ('from smoke');
INSERT INTO smoke_other.note VALUES ('from smoke_other');

CREATE FUNCTION smoke.shout(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'shouting %', what;
    RAISE WARNING 'really';
    RETURN upper(what);
END $$;

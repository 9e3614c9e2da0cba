-- psql: its own commands and the server's answers as they are printed.
\set QUIET off
\pset null '<null>'
\set VERBOSITY verbose
\set SHOW_CONTEXT always
\echo == simple
SELECT 1 AS one, 'two' AS two, NULL AS three, 1.10::numeric AS four;
SELECT 6 * 7 AS answer \gset
\echo answer is :answer
SELECT 'SELECT ' || i || ' AS generated' FROM generate_series(1, 3) i \gexec
SELECT i, j, i * j AS product FROM generate_series(1, 3) i, generate_series(1, 3) j \crosstabview
SELECT 'described' AS name, 1::int AS number \gdesc
\echo == errors
\set VERBOSITY terse
SELEC 1;
SELECT 1/0;
SELECT * FROM nowhere;
\echo sqlstate :SQLSTATE, error :ERROR, last :LAST_ERROR_SQLSTATE
\set VERBOSITY default
SELECT 'recovered' AS state;
\echo sqlstate :SQLSTATE, error :ERROR, rows :ROW_COUNT
\echo == transactions
BEGIN;
INSERT INTO smoke.item VALUES (1, 'one');
SAVEPOINT a;
INSERT INTO smoke.item VALUES (1, 'again');
ROLLBACK TO a;
INSERT INTO smoke.item VALUES (2, 'two');
COMMIT;
BEGIN;
SELECT 1/0;
SELECT 1;
COMMIT;
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO smoke.item VALUES (3, 'three');
INSERT INTO smoke.item VALUES (3, 'again');
COMMIT;
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT off
INSERT INTO smoke.item VALUES (4, 'four');
ROLLBACK;
\set AUTOCOMMIT on
TABLE smoke.item ORDER BY id;
\echo == multi
SELECT 1 AS a\; SELECT 2 AS b\; SELECT 3 AS c;
INSERT INTO smoke.item VALUES (20, 'x')\; SELECT 1/0;
SELECT count(*) FROM smoke.item WHERE id = 20;
;
\echo == fetch count
\set FETCH_COUNT 3
SELECT generate_series(1, 10) AS fetched;
\unset FETCH_COUNT
\echo == settings
SET work_mem = '7MB';
SHOW work_mem;
SET search_path = smoke_other, smoke;
SELECT name FROM note;
SET search_path = smoke;
SELECT name FROM note;
\dT+ mood
\d smoke.item
RESET search_path;
SET app.tenant = 'tenant ''one''';
SELECT current_setting('app.tenant') AS tenant;
SET client_encoding = 'LATIN1';
\encoding
SELECT octet_length('é') AS bytes;
RESET client_encoding;
\encoding
SET ROLE pg_monitor;
SELECT current_user, session_user = current_user AS same;
RESET ROLE;
RESET ALL;
\echo == prepared
PREPARE plus (int, int) AS SELECT $1 + $2 AS sum;
SELECT format('EXECUTE plus (%s, %s)', i, i) FROM generate_series(1, 20) i \gexec
SELECT name, parameter_types, from_sql FROM pg_prepared_statements ORDER BY name;
DEALLOCATE plus;
\echo == cursors
BEGIN;
DECLARE c CURSOR FOR SELECT generate_series(1, 9);
FETCH 2 FROM c;
MOVE 3 FROM c;
FETCH ALL FROM c;
COMMIT;
DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 4);
FETCH 2 FROM held;
FETCH ALL FROM held;
CLOSE held;
\echo == listen
LISTEN smoke_news;
NOTIFY smoke_news, 'first';
SELECT count(*) FROM pg_listening_channels();
UNLISTEN *;
\echo == notice
SELECT smoke.shout('hey');
DO $$ BEGIN RAISE EXCEPTION 'own error' USING ERRCODE = 'XY123', HINT = 'a hint'; END $$;
\echo sqlstate :SQLSTATE
\echo == copy
\copy smoke.bulk FROM PROGRAM 'seq 1 100000 | sed "s/.*/&,row &/"' WITH (FORMAT csv)
SELECT count(*), sum(id), md5(string_agg(body, ',' ORDER BY id)) FROM smoke.bulk;
\copy (SELECT * FROM smoke.bulk ORDER BY id) TO PROGRAM 'md5sum' WITH (FORMAT csv)
COPY smoke.bulk FROM STDIN;
7	seven
8	eight
\.
COPY (SELECT * FROM smoke.bulk WHERE id < 3 ORDER BY id, body) TO STDOUT;
COPY smoke.bulk FROM STDIN;
x	not an int
\.
SELECT count(*) FROM smoke.bulk;
\echo == large
\pset format unaligned
\pset tuples_only on
SELECT md5(repeat('0123456789abcdef', 327680)), length(repeat('0123456789abcdef', 327680));
SELECT string_agg(i || ' AS c' || i, ', ') AS columns FROM generate_series(1, 1600) i \gset
SELECT :columns;
SELECT 'Grüße, Ω, 漢字, 🐘', '\xdeadbeef'::bytea, ARRAY['a', 'b"c', NULL];
\pset tuples_only off
\pset format aligned
\echo == locks
SELECT pg_try_advisory_lock(11) AS first, pg_try_advisory_lock(11) AS second;
SELECT pg_advisory_unlock(11) AS first, pg_advisory_unlock(11) AS second;
SELECT pg_advisory_unlock(11) AS third;
\echo == temp
CREATE TEMP TABLE mine AS SELECT generate_series(1, 9) AS a;
SELECT sum(a) FROM mine;
DROP TABLE mine;
\echo == reconnect
\c -
SELECT 'still here' AS state;
\echo == end

-- What the load programs read, and where they try to write.
DROP TABLE IF EXISTS book, author, visit;
CREATE TABLE author (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE book (
    id int PRIMARY KEY,
    title text NOT NULL,
    author_id int NOT NULL REFERENCES author
);
CREATE TABLE visit (id serial PRIMARY KEY, who text NOT NULL);
INSERT INTO author SELECT i, 'author ' || i FROM generate_series(1, 100) i;
INSERT INTO book SELECT i, 'book ' || i, (i - 1) % 100 + 1 FROM generate_series(1, 1000) i;

"""One connection of one library that reads all the time and tries to write, until its standard
input ends. After each round it prints how often it has written and how often it was refused with
25006; anything else that goes wrong ends it.

Usage: load.py psycopg2 | psycopg3 | asyncpg | sqlalchemy | django. Where to connect is in libpq's
environment variables; the tables are those of load.sql.
"""

import asyncio
import os
import select
import sys

READ_ONLY = "25006"
BOOKS = "SELECT id, title FROM book WHERE author_id = "
COUNT = "SELECT count(*) FROM book"
INSERT = "INSERT INTO visit (who) VALUES ("


def expect(seen, wanted):
    if seen != wanted:
        raise AssertionError(f"{seen!r} instead of {wanted!r}")


def titles(author):
    return [(number, f"book {number}") for number in range(author, 1001, 100)]


class Psycopg2:
    """Plain statements, a transaction, a cursor on the server."""

    def __init__(self):
        import psycopg2  # pylint: disable=import-outside-toplevel
        self.connection = psycopg2.connect("")

    def read(self, author):
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(BOOKS + "%s ORDER BY id", (author,))
            expect(cursor.fetchall(), titles(author))
            cursor.execute("SELECT 1; " + COUNT)
            expect(cursor.fetchone(), (1000,))
        self.connection.autocommit = False
        with self.connection, self.connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT id FROM book ORDER BY id")
            expect(sum(row[0] for row in cursor), 500500)

    def write(self):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(COUNT)
            cursor.execute(INSERT + "'psycopg2')")

    @staticmethod
    def why(error):
        return getattr(error, "pgcode", None)


class Psycopg3:
    """Parameters on the server, statements prepared by themselves, pipelines."""

    def __init__(self):
        import psycopg  # pylint: disable=import-outside-toplevel
        self.connection = psycopg.connect("", autocommit=True)
        self.connection.prepare_threshold = 3

    def read(self, author):
        found = self.connection.execute(BOOKS + "%s ORDER BY id", (author,))
        expect(found.fetchall(), titles(author))
        with self.connection.pipeline():
            asked = [self.connection.execute(COUNT), self.connection.execute("SELECT 'ü' || %s",
                                                                             ("x",))]
        expect([each.fetchone()[0] for each in asked], [1000, "üx"])
        with self.connection.transaction(), self.connection.cursor("named") as cursor:
            cursor.execute("SELECT id FROM book WHERE id <= %s", (10,))
            expect(len(cursor.fetchmany(4) + cursor.fetchall()), 10)

    def write(self):
        with self.connection.transaction():
            self.connection.execute(INSERT + "%s)", ("psycopg3",))

    @staticmethod
    def why(error):
        return getattr(error, "sqlstate", None)


class SqlAlchemy:
    """Mapped classes, a relation, rows in chunks."""

    def __init__(self):
        import sqlalchemy as sa  # pylint: disable=import-outside-toplevel
        from sqlalchemy import orm  # pylint: disable=import-outside-toplevel
        base = orm.declarative_base()

        class Book(base):
            __tablename__ = "book"
            id = sa.Column(sa.Integer, primary_key=True)
            title = sa.Column(sa.Text)
            author_id = sa.Column(sa.ForeignKey("author.id"))

        class Author(base):
            __tablename__ = "author"
            id = sa.Column(sa.Integer, primary_key=True)
            name = sa.Column(sa.Text)
            books = orm.relationship(Book, order_by=Book.id)

        class Visit(base):
            __tablename__ = "visit"
            id = sa.Column(sa.Integer, primary_key=True)
            who = sa.Column(sa.Text)

        self.sa, self.book, self.author, self.visit = sa, Book, Author, Visit
        self.session = orm.Session(sa.create_engine("postgresql+psycopg2://", pool_size=1))

    def read(self, author):
        with self.session.begin():
            found = self.session.get(self.author, author)
            expect([(book.id, book.title) for book in found.books], titles(author))
            every = self.sa.select(self.book).execution_options(yield_per=100)
            expect(sum(book.id for book in self.session.scalars(every)), 500500)
        self.session.expunge_all()

    def write(self):
        with self.session.begin():
            self.session.add(self.visit(who="sqlalchemy"))

    @staticmethod
    def why(error):
        return getattr(getattr(error, "orig", None), "pgcode", None)


class Django:
    """Models, related objects, an iterator on the server, atomic blocks."""

    def __init__(self):
        import django  # pylint: disable=import-outside-toplevel
        from django.conf import settings  # pylint: disable=import-outside-toplevel
        settings.configure(
            DEFAULT_AUTO_FIELD="django.db.models.AutoField",
            DATABASES={"default": {
                "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"],
                "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
                "USER": os.environ["PGUSER"], "CONN_MAX_AGE": None}})
        django.setup()
        from django.db import models, transaction  # pylint: disable=import-outside-toplevel

        def model(name, fields):
            meta = type("Meta", (), {"app_label": "shop", "db_table": name.lower()})
            return type(name, (models.Model,), {**fields, "Meta": meta, "__module__": __name__})

        self.author = model("Author", {"name": models.TextField()})
        self.book = model("Book", {"title": models.TextField(), "author": models.ForeignKey(
            self.author, models.CASCADE, related_name="books")})
        self.visit = model("Visit", {"who": models.TextField()})
        self.atomic = transaction.atomic

    def read(self, author):
        found = self.author.objects.get(pk=author)
        expect(list(found.books.order_by("id").values_list("id", "title")), titles(author))
        expect(self.book.objects.select_related("author").filter(
            author__name=f"author {author}").count(), 10)
        expect(sum(book.id for book in self.book.objects.iterator(chunk_size=100)), 500500)
        with self.atomic(), self.atomic():  # a savepoint
            expect(self.book.objects.count(), 1000)

    def write(self):
        with self.atomic():
            self.visit.objects.create(who="django")

    @staticmethod
    def why(error):
        return getattr(error.__cause__, "pgcode", None)


class Asyncpg:
    """Statements kept by the library, and none; a cursor in a transaction."""

    def __init__(self):
        import asyncpg  # pylint: disable=import-outside-toplevel
        self.loop = asyncio.new_event_loop()
        self.connection = self.loop.run_until_complete(asyncpg.connect())
        self.plain = self.loop.run_until_complete(asyncpg.connect(statement_cache_size=0))
        self.writer = self.plain

    def read(self, author):
        self.writer = self.connection if author % 2 else self.plain
        self.loop.run_until_complete(self.reads(author))

    async def reads(self, author):
        for connection in (self.connection, self.plain):
            rows = await connection.fetch(BOOKS + "$1 ORDER BY id", author)
            expect([tuple(row) for row in rows], titles(author))
            async with connection.transaction():
                total = 0
                async for row in connection.cursor("SELECT id FROM book", prefetch=100):
                    total += row[0]
            expect(total, 500500)

    def write(self):
        self.loop.run_until_complete(self.writer.execute(INSERT + "$1)", "asyncpg"))

    @staticmethod
    def why(error):
        return getattr(error, "sqlstate", None)


def main():
    clients = {"psycopg2": Psycopg2, "psycopg3": Psycopg3, "asyncpg": Asyncpg,
               "sqlalchemy": SqlAlchemy, "django": Django}
    client = clients[sys.argv[1]]()
    written = refused = turn = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        turn += 1
        client.read(turn % 100 + 1)
        try:
            client.write()
            written += 1
        except Exception as error:  # pylint: disable=broad-except
            if client.why(error) != READ_ONLY:
                raise
            refused += 1
        print(written, refused, flush=True)


main()

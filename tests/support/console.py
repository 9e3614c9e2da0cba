"""The console of a proxy in tests: who may use it, and how to ask it."""

import psycopg2

from .wire import Wire, query

ROLES = {"admin": ["ada"], "operator": ["otto"], "viewer": ["vera"]}
# Whoever comes over loopback is who he says.
TRUSTING = {"auth": {"method": "trust"}, "console": ROLES}


class Console:
    """A connection to a proxy's console that keeps what it was last told."""

    def __init__(self, proxy, user="ada", dbname="pgbouncer", **options):
        self.connection = psycopg2.connect(host=proxy.host, port=proxy.port, user=user,
                                           dbname=dbname, connect_timeout=20, **options)
        self.connection.autocommit = True
        self.tag = None

    def run(self, statement):
        """Rows as mappings from columns to values, or nothing for a statement without rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            self.tag = cursor.statusmessage
            if cursor.description is None:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def columns(self, statement):
        """The names of the columns and the OIDs of their types."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return [(column.name, column.type_code) for column in cursor.description or []]

    def error(self, statement):
        """SQLSTATE, message, detail and hint of the error that a statement ends with."""
        try:
            self.run(statement)
        except psycopg2.Error as error:
            diag = error.diag
            return (error.pgcode, diag.message_primary, diag.message_detail or "",
                    diag.message_hint or "")
        raise AssertionError(f"{statement} was done: {self.tag}")

    def notices(self):
        said = "".join(self.connection.notices)
        self.connection.notices.clear()
        return said

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.connection.close()


def console_wire(proxy, user="otto", **options):
    """A console session whose bytes are the test's own."""
    return Wire(proxy.host, proxy.port, user, dbname=options.pop("dbname", "pgsluice"), **options)


def begin(proxy, statement, user="otto"):
    """A session whose statement is sent and not waited for."""
    wire = console_wire(proxy, user)
    wire.send(query(statement))
    return wire

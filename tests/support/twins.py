"""Two independent servers with the same schema, and a proxy that can move sessions between them."""

from .sluice import Sluice
from .wire import Wire

SCHEMA = '''
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE place AS (x int, label text);
CREATE SCHEMA "odd ""schema""";
CREATE TYPE "odd ""schema"""."Odd Type" AS ENUM ('a b', 'c');
CREATE TABLE t (id int PRIMARY KEY, mood mood, amount positive);
CREATE TABLE log (what text);
CREATE TABLE counted (id serial, what text);
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT bob TO alice;
ALTER ROLE alice SET work_mem = '11MB';
GRANT ALL ON ALL TABLES IN SCHEMA public TO alice, bob;
'''
# Types of another number first: the OIDs of all later ones differ from the other server's.
OTHER_OIDS = "CREATE TYPE only_here AS ENUM ('x'); CREATE TABLE only_here_too (a int);"


def make_twins(blue, green):
    blue.query(SCHEMA)
    green.query(OTHER_OIDS)
    green.query(SCHEMA)


class Mover:
    """A proxy over the twins; its sessions and the side they should be on."""

    def __init__(self, blue, green, **options):
        self.servers = {"blue": blue, "green": green}
        self.proxy = Sluice(self.servers, **options)
        self.opened = []

    def connect(self, user="postgres", **options):
        self.opened.append(Wire(self.proxy.host, self.proxy.port, user, **options))
        return self.opened[-1]

    @property
    def side(self):
        return self.proxy.status()["route"]

    @property
    def other(self):
        return "green" if self.side == "blue" else "blue"

    @property
    def server(self):
        """The server that the route names."""
        return self.servers[self.side]

    def move(self):
        """Retargets to the other side; every session must be there afterwards."""
        to = self.other
        self.proxy.ctl("retarget", to)
        assert self.side == to
        return self.servers[to]

    def close_sessions(self):
        for wire in self.opened:
            wire.close()
        self.opened.clear()
        self.proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no session is left")


def side_of(wire):
    """The server that a session is on, by its own word."""
    return wire.value("SHOW cluster_name")

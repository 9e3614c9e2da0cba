"""What tests of cutovers share: a pair of servers with a ledger in it, and the proxy before it."""

import contextlib

import psycopg2

from .ledger import schema
from .pairs import LogicalPair, PhysicalPair
from .sluice import Sluice

DB = "app"
REPLICATION = {"logical": {"kind": "logical", "subscription": "app_sub"},
               "physical": {"kind": "physical"}, "none": {"kind": "none"}}
COUNTED = "INSERT INTO counted SELECT w FROM generate_series(0, 15) w"


def logical_pair(more="", **settings):
    return LogicalPair(dbname=DB, scripts=(schema(fill=False) + more,), data=(COUNTED,),
                       **settings)


def physical_pair(more="", **settings):
    return PhysicalPair(dbname=DB, scripts=(schema(fill=True) + more,), **settings)


def proxy_for(pair, kind, **settings):
    return Sluice({"blue": pair.old, "green": pair.new}, dbname=DB, replication=REPLICATION[kind],
                  **settings)


def connect(proxy):
    connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres", dbname=DB,
                                  connect_timeout=60)
    connection.autocommit = True
    return connection


def one(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchone()[0]


def side(proxy):
    """The name of the server that a new client gets."""
    with contextlib.closing(connect(proxy)) as connection:
        return one(connection, "SHOW cluster_name")


def answer_of(result):
    """(exit code, one flat dictionary) of a cutover."""
    code, answer = result
    assert isinstance(answer, dict), answer
    return code, {**answer, **answer.get("result", {})}


def cutover(proxy, *arguments):
    return answer_of(proxy.ctl("cutover", "--to", "green", *arguments, check=False,
                               timeout_s=120))

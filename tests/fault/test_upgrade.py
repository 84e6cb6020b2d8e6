"""A new version takes over: by a restart under load that nobody notices, with
sockets that outlive the process; and with the databases of older versions."""

import collections
import contextlib
import os
import pathlib
import re
import sqlite3
import struct
import threading
import time

import pytest

import front_nginx
import held
import ledger as rules
import world
from stepped import Stepped, build

import front    # its folder is known from world on
import http1
import wire

CAP = 30        # of each channel, when the old databases were written
LOGS = pathlib.Path(__file__).resolve().parent / "logs"
RESTARTS = int(os.environ.get("HOLDFAST_RESTARTS", "4"))
APART_S = 1.5
# About what the load is.
READERS = {"P": 200, "E": 20, "W": 20}
RATE = 300


class Restarts(threading.Thread):
    """systemctl restart, again and again."""

    def __init__(self, daemon):
        super().__init__()
        self.daemon = daemon
        self.took = []
        self.failure = None

    def restart(self):
        began = time.monotonic()
        self.daemon.stop()      # its exit status is looked at
        stopped = time.monotonic()
        self.daemon.start()
        self.took.append((stopped - began, time.monotonic() - stopped))

    def run(self):
        try:
            for _ in range(RESTARTS):
                time.sleep(APART_S)     # of load
                self.restart()
        except Exception as e:      # noqa: BLE001  (told by the test)
            self.failure = e


@pytest.mark.skipif(bool(front_nginx.missing()),
                    reason=str(front_nginx.missing()))
def test_restart_under_load(tmp_path):
    """No publisher and no poll behind nginx sees an error, no connection is
    refused, streams end as they should, and nobody misses anything."""
    d = held.Held(tmp_path, {"push_stream_message_ttl": "1h"})
    d.start()
    restarts = Restarts(d)
    port = world.protocol.free_port()
    try:
        with front_nginx.nginx(tmp_path, d, port) as complaints, \
                front_nginx.Crowd(world.BUILD, port, m=100, c=32, r=RATE, L=5,
                                  n=0, w=60, t=RESTARTS * 4,
                                  **READERS) as crowd:
            for kind, _ in crowd.lines():
                if kind == "open":
                    restarts.start()
            restarts.join()
            said = complaints()
        published = d.status()["published_messages"]
    finally:
        d.stop()
        d.close()
    assert restarts.failure is None
    total = crowd.total
    print(f"\n{len(restarts.took)} restarts, s to the end and to READY: " +
          ", ".join(f"{a:.2f} + {b:.2f}" for a, b in restarts.took))
    print(total)
    bad = {name: total[name] for name in (
        "refused", "broken", "torn", "lost", "doubled", "strange", "behind",
        "unanswered", "absent") if total[name]}
    assert not bad and said == "", f"{bad}\n{said}"
    assert published == total["published"] >= RATE * RESTARTS * 4 * 0.9
    # All of them met each restart: streams were ended, polls answered, and
    # nginx's connections were kept.
    assert total["ended"] >= RESTARTS * 30
    assert total["timeouts"] >= RESTARTS * 100
    assert d.store.most > 0


# Connections that a front keeps open: what it sends while nobody is there is
# answered by the next process.

@pytest.fixture
def make_held(tmp_path):
    made = []

    def make(**options):
        made.append(held.Held(tmp_path, **options))
        return made[-1].start()

    yield make
    for d in made:
        d.stop()
        d.close()


def test_kept_connections(make_held):
    d = make_held()
    used, fresh, scgi = d.connect(), d.connect(), d.connect(d.scgi)
    proxy = http1.Client(d.http)
    request = wire.fastcgi(wire.publish("a", b"x"), b"x")
    with used, fresh, scgi, proxy:
        used.send(request)
        assert used.answer().status == 200
        assert proxy.ask(http1.publish("a", b"x")).status == 200
        d.wait_for(connections=5)
        d.stop()
        assert sorted(name for name, _ in d.store.kept) == [
            "kept-fastcgi", "kept-fastcgi", "kept-http", "kept-scgi"]
        proxy.send(http1.publish("a", b"x"))
        for client in (used, fresh):
            client.send(request)
        scgi.send(wire.scgi(wire.publish("a", b"x"), b"x"))
        d.start()
        assert used.answer().status == 200
        assert fresh.answer().status == 200
        assert scgi.scgi_answer().status == 200
        assert proxy.answer().status == 200
        # Nobody else holds them: closed by the daemon, they are closed.
        assert scgi.at_end()
        assert d.store.kept == []
        assert d.status()["published_messages"] == 6
    d.wait_for(connections=1)


def test_only_whole_requests_are_kept(make_held):
    """A connection in the middle of a request is no other process's; what is
    asked on a kept one after its last answer is."""
    d = make_held()
    request = wire.fastcgi(wire.publish("a", b"x"), b"x")
    with d.connect() as half, d.connect() as whole:
        half.send(request[:-8])
        whole.send(request)
        assert whole.answer().status == 200
        half.taken()
        d.terminate()
        front.wait_until(lambda: d.store.kept)  # whole
        whole.send(request)
        half.send(request[-8:])
        assert half.answer().status in (200, 503)
        half.send(request)
        d.stop()
        assert len(d.store.kept) == 2
        d.start()
        assert whole.answer().status == 200
        assert half.answer().status == 200


@pytest.mark.parametrize("room", [0, 1])
def test_no_room_to_keep(make_held, room):
    """Then they are closed."""
    d = make_held(store=room)
    with d.connect() as a, d.connect() as b:
        d.wait_for(connections=3)
        d.stop()
        assert len(d.store.kept) == room
        closed = 0
        for client in (a, b):
            client.sock.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                closed += client.at_end()
        assert closed == 2 - room


def test_fronts_come_first(make_held):
    """Where there is room for one, it is not a client's."""
    d = make_held(store=1)
    with http1.Client(d.http), d.connect():
        d.wait_for(connections=3)
        d.stop()
        assert [name for name, _ in d.store.kept] == ["kept-fastcgi"]


# Databases of older versions

def messages_of(database):
    """What a database of any schema holds, read without the daemon: name of
    channel, id, cursor, text, and when it is over.  Of a message in several
    channels the row stays as long as one of them has it."""
    found = collections.defaultdict(lambda: collections.deque(maxlen=CAP))
    with contextlib.closing(sqlite3.connect(database)) as db:
        names = dict(db.execute("SELECT channel, name FROM channel"))
        for cursor, expires, members, body in db.execute(
                "SELECT cursor, expires, members, body FROM message"
                " ORDER BY cursor"):
            for i, (channel, number) in enumerate(
                    struct.iter_unpack(">QQ", members)):
                name = names[channel].decode()
                found[name].append((name, number, cursor + i, body.decode(),
                                    expires))
    return [message for channel in found.values() for message in channel]


def replay(d, channel):
    """The same of one channel, from the daemon."""
    poll = front.polling(d, message_template="~id~|~tag~|~time~|~text~\n")
    answer = poll.get(channel, **front.SINCE_EVER)
    for line in answer.body.decode().splitlines():
        number, tag, date, text = line.split("|")
        yield (channel, int(number), front.seconds(date) << 24 | int(tag),
               text)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("stepclock"))


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_database_of_an_older_version(library, tmp_path, schema):
    """It is opened, nothing in it is missing or changed, and life goes on."""
    sql = (LOGS / f"schema-{schema}.sql").read_text()
    newest_s = int(re.search(r"unix second (\d+)", sql)[1])
    d = Stepped(tmp_path, library, {"push_stream_message_ttl": 86400})
    database = d.settings["database"]
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.executescript(sql)
    held_before = messages_of(database)
    channels = {channel for channel, *_ in held_before}
    assert len(held_before) > 100 and channels == {"a", "b", "c", "d",
                                                   "capped"}
    d.set_clock(newest_s + 10)
    try:
        d.start()
        assert f"schema {schema} becomes {schema + 1}" in d.said()
        for channel in channels:
            assert list(replay(d, channel)) == [
                m[:4] for m in held_before if m[0] == channel]
        assert d.status()["stored_messages"] == len(held_before)
        last = {c: max(m[1] for m in held_before if m[0] == c)
                for c in channels}
        for channel in channels:
            front.publisher(d).post(channel, b"new")
            number, cursor, text = list(replay(d, channel))[-1][1:]
            assert (number, text) == (last[channel] + 1, "new")
            assert cursor > max(m[2] for m in held_before)
        d.restart()
        assert sum(len(list(replay(d, c))) for c in channels) >= \
            len(held_before)
        # What is over after an hour is gone after an hour.
        d.stop()
        d.set_clock(newest_s + 7200)
        d.start()
        for channel in channels:
            assert list(replay(d, channel))[:-1] == [
                m[:4] for m in held_before
                if m[0] == channel and m[4] > newest_s + 7200]
    finally:
        d.stop()
    assert rules.integrity(database) == ["ok"]

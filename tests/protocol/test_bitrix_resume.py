"""Positions in every dialect of Bitrix's queue servers: who comes back with
the last mid he saw gets all that came after it, once and in order, whatever
happened to the daemon meanwhile."""

import contextlib
import json
import threading

import pytest

import bitrix
from bitrix import (FIRST, SHORT, Person, Server, incoming, is_mid, receiver,
                    short, token)


@pytest.fixture(scope="module")
def shared_settings():
    return bitrix.KEYED


def body(n):
    return bitrix.compact({"module_id": "im", "command": "cmd",
                           "params": {"n": n}})


def number(text):
    return json.loads(text)["params"]["n"]


class Dialect:
    """Of one person's client, and of the site that writes to it."""

    def __init__(self, daemon, version, gateway="fastcgi"):
        self.server = Server(daemon, version, gateway)
        self.person = Person()
        self.own, self.shared = self.person.private, self.person.shared

    def query(self, mid=None, person=None):
        ids = (person or self.person).ids(self.server.version)
        return bitrix.joined("CHANNEL_ID=" + ids, mid=mid)

    def publish(self, n, *ids, expiry=86400):
        self.server.publish(ids or [self.own], body(n), expiry)

    def start_publish(self, n, id):
        """Without waiting for the answer."""
        return self.server.start("pub", "POST", "CHANNEL_ID=" + id, body(n),
                                 HTTP_MESSAGE_EXPIRY="86400")

    def read(self, data):
        """[(mid, number)] of what a poll or a frame brought."""
        return [(m, number(t)) for m, t in zip(bitrix.mids(data),
                                               bitrix.texts(data))]

    def poll(self, mid=None, person=None, **settings):
        answer = self.server.but(**settings).poll(self.query(mid, person))
        if answer.status == 304:
            return []
        assert answer.status == 200, answer.raw
        return self.read(answer.body)

    def position(self, mid=None):
        """Of a poll that waited in vain."""
        answer = self.server.but(**SHORT).poll(self.query(mid))
        assert answer.status == 304, answer.raw
        assert is_mid(answer.header("Last-Message-Id"))
        return answer.header("Last-Message-Id")

    def follow(self, mid):
        """All that polls lead to, one after the other, and how many each
        brought."""
        out, sizes = [], []
        while got := self.poll(mid, **SHORT):
            out += got
            sizes.append(len(got))
            mid = got[-1][0]
        return out, sizes

    def socket(self, mid=None, person=None):
        return self.server.socket(self.query(mid, person))

    def heard(self, w, n):
        """The next n messages of a WebSocket."""
        out = []
        while len(out) < n:
            _, data = w.frame()
            if data == b"ping":
                w.say(b"pong")
            else:
                out += self.read(data)
        return out


class Binary(Dialect):
    def query(self, mid=None, person=None):
        return super().query(mid, person) + "&binaryMode=true"

    def data(self, n, *ids, expiry=86400):
        return bitrix.publishing(incoming([receiver(id) for id in ids],
                                          body(n), expiry))

    def publish(self, n, *ids, expiry=86400):
        answer = self.server.send(self.data(n, *(ids or [self.own]),
                                            expiry=expiry))
        assert answer.status == 200, answer.raw

    def start_publish(self, n, id):
        return self.server.start("pub", "POST", "binaryMode=true",
                                 self.data(n, id))

    def read(self, data):
        return [(m.mid, number(m.body)) for m in bitrix.messages(data)]


class Rpc(Dialect):
    def query(self, mid=None, person=None):
        p = person or self.person
        return bitrix.joined("token=" + token(None, [p.private, p.shared]),
                             jsonRpc="true", mid=mid)

    def request(self, n, *ids, expiry=86400):
        return [bitrix.call("publish", {
            "channelList": list(ids), "body": json.loads(body(n)),
            "expiry": expiry})]

    def publish(self, n, *ids, expiry=86400):
        self.server.rpc(self.request(n, *(ids or [self.own]), expiry=expiry))

    def start_publish(self, n, id):
        data = bitrix.compact(self.request(n, id))
        query = bitrix.joined("", hostId="h" * 32,
                              signature=bitrix.sign(data))
        return self.server.start("api", "POST", query, data)

    def read(self, data):
        got = json.loads(data)
        return [(m["params"]["mid"], m["params"]["body"]["params"]["n"])
                for m in (got if isinstance(got, list) else [got])]


DIALECTS = {"3": (Dialect, 3), "4": (Dialect, 4), "4 binary": (Binary, 4),
            "5": (Rpc, 5)}


def make(name, daemon, gateway="fastcgi"):
    kind, version = DIALECTS[name]
    return kind(daemon, version, gateway)


@pytest.fixture(params=DIALECTS)
def name(request):
    return request.param


@pytest.fixture
def dialect(name, daemon):
    return make(name, daemon)


def numbers(got):
    """In order and never twice."""
    mids = [mid for mid, _ in got]
    assert mids == sorted(set(mids))
    return [n for _, n in got]


# Positions

def test_every_position(dialect):
    for n in range(5):
        dialect.publish(n, [dialect.own, dialect.shared][n % 2])
    got = dialect.poll(FIRST)
    assert numbers(got) == [0, 1, 2, 3, 4]
    for at, (mid, _) in enumerate(got[:-1]):
        assert dialect.poll(mid) == got[at + 1:]
        with dialect.socket(mid) as w:
            assert dialect.heard(w, 4 - at) == got[at + 1:]
    with dialect.socket(got[3][0]) as w:
        dialect.publish(5)
        assert numbers(dialect.heard(w, 2)) == [4, 5]


def test_without_a_position(dialect):
    """Only what is new."""
    dialect.publish(1)
    reader = dialect.server.park(dialect.query())
    with dialect.socket() as w:
        dialect.publish(2)
        got = dialect.read(reader.answer().body)
        assert numbers(got) == [2]
        assert dialect.heard(w, 1) == got


@pytest.mark.parametrize("mid", ["", "1", "0" * 25, "0" * 27, "x" * 26,
                                 "-" + "0" * 25, "%00" * 26, "9" * 5000],
                         ids=short)
def test_what_is_no_position(dialect, mid):
    """As if it were not given."""
    dialect.publish(1)
    with dialect.socket(mid) as w:
        dialect.publish(2)
        assert numbers(dialect.heard(w, 1)) == [2]


def test_a_position_of_the_future(dialect):
    """Of a server whose clock or counter was ahead: nothing of what comes is
    kept back for ever."""
    dialect.publish(1)
    position = dialect.position("9" * 26)
    dialect.publish(2)
    assert numbers(dialect.poll(position)) == [2]


def test_a_position_of_another_server(dialect):
    """It was there first, with a counter of its own; what came since its
    start is given, rather too much than too little."""
    dialect.publish(1)
    (mid, _), = dialect.poll(FIRST)
    before = bitrix.mid_of(int(mid[:10]) - 100000, 123456789)
    assert dialect.poll(before) == [(mid, 1)]


def test_positions_of_waiting(dialect):
    """The position of a poll that got nothing is never ahead of what comes,
    and never behind what was seen."""
    seen = FIRST
    for n in range(5):
        position = dialect.position(seen)
        assert position >= seen
        dialect.publish(n)
        (got,) = dialect.poll(position)
        assert got[0] > position
        assert dialect.position(got[0]) >= got[0]
        seen = got[0]


# Several channels

def test_once_for_each_connection(dialect):
    """Published to both of its channels, live and again later."""
    both = [dialect.own, dialect.shared]
    reader = dialect.server.park(dialect.query())
    with dialect.socket() as w:
        dialect.publish(1, *both)
        dialect.publish(2, *reversed(both))
        dialect.publish(3, dialect.own)
        got = dialect.heard(w, 3)
    assert numbers(got) == [1, 2, 3]
    assert dialect.read(reader.answer().body) == got[:1]
    assert dialect.poll(FIRST) == got
    with dialect.socket(FIRST) as w:
        assert dialect.heard(w, 3) == got
        dialect.publish(4, *both)
        dialect.publish(5)
        assert numbers(dialect.heard(w, 2)) == [4, 5]


def test_one_mid_for_all(dialect):
    """Whoever reads it, in whichever of a hundred channels."""
    people = [Person() for _ in range(100)]
    with dialect.socket(person=people[50]) as w:
        dialect.publish(1, *(p.private for p in people))
        got = dialect.heard(w, 1)
    assert numbers(got) == [1]
    for p in people[:3] + people[97:]:
        assert dialect.poll(FIRST, p) == got


def test_channels_are_in_one_order(dialect):
    """By mid, not channel by channel."""
    for n in range(10):
        dialect.publish(n, [dialect.shared, dialect.own][n % 3 == 0])
    assert numbers(dialect.poll(FIRST)) == list(range(10))
    with dialect.socket(FIRST) as w:
        assert numbers(dialect.heard(w, 10)) == list(range(10))


# What is not kept

@pytest.mark.parametrize("name", ["4", "4 binary"])
def test_live_only(dialect):
    dialect.publish(1)
    with dialect.socket() as w:
        dialect.publish(2, expiry=0)
        (live,) = dialect.heard(w, 1)
    dialect.publish(3)
    got = dialect.poll(FIRST)
    assert numbers(got) == [1, 3]
    assert got[0][0] < live[0] < got[1][0]
    assert dialect.poll(live[0]) == got[1:]


# Much of it

@pytest.mark.parametrize("settings", [{}, {"replay_messages": 60}])
def test_all_of_it(make_daemon, name, settings):
    """More than the original servers gave; a poll brings a bounded part, and
    its last mid leads on."""
    d = make_daemon(sync="off", **bitrix.KEYED, **settings)
    dialect = make(name, d)
    every = 260
    for n in range(every):
        dialect.publish(n, *[[dialect.own], [dialect.shared],
                             [dialect.own, dialect.shared]][n % 3])
    got, sizes = dialect.follow(FIRST)
    assert numbers(got) == list(range(every))
    assert max(sizes) <= settings.get("replay_messages", every)
    assert dialect.follow(got[100][0])[0] == got[101:]
    with dialect.socket(FIRST) as w:
        dialect.publish(every)
        assert numbers(dialect.heard(w, every + 1)) == list(range(every + 1))


def test_no_gap_between_then_and_now(name, daemon):
    """Sockets that are opened while much is published miss nothing and get
    nothing twice."""
    dialect = make(name, daemon)
    every = 150
    dialect.publish(0)
    writer = threading.Thread(target=lambda: [
        dialect.publish(n) for n in range(1, every)])
    with contextlib.ExitStack() as stack:
        writer.start()
        try:
            sockets = [stack.enter_context(dialect.socket(FIRST))
                       for _ in range(12)]
            for w in sockets:
                assert numbers(dialect.heard(w, every)) == list(range(every))
        finally:
            writer.join()


# The end of the daemon in the middle of it

def restarted(d, how):
    if how == "stop":
        d.stop()
    else:
        d.kill()
    d.start()


@pytest.mark.parametrize("how", ["stop", "kill -9"])
def test_polls_over_a_restart(make_daemon, name, how):
    """Nothing that was acknowledged is lost, seen twice or out of order."""
    d = make_daemon(**bitrix.KEYED)
    dialect = make(name, d)
    seen = [(FIRST, None)]
    for turn in range(0, 12, 4):
        reader = dialect.server.park(dialect.query(seen[-1][0]))
        dialect.publish(turn)
        if how == "stop":
            seen += dialect.read(reader.answer().body)
        else:
            reader.hang_up()
        dialect.publish(turn + 1, dialect.own, dialect.shared)
        restarted(d, how)
        dialect.publish(turn + 2)
        seen += dialect.follow(seen[-1][0])[0]
        position = dialect.position(seen[-1][0])
        restarted(d, how)
        dialect.publish(turn + 3)
        seen += dialect.follow(position)[0]
    assert numbers(seen) == [None, *range(12)]


def test_sockets_over_a_kill(make_daemon, name):
    d = make_daemon(**bitrix.KEYED)
    dialect = make(name, d)
    seen = [(FIRST, None)]
    for turn in range(0, 12, 4):
        with dialect.socket(seen[-1][0]) as w:
            seen += dialect.heard(w, 3) if turn else []
            dialect.publish(turn)
            seen += dialect.heard(w, 1)
            # These may have reached it; but it does not look.
            for n in 1, 2, 3:
                dialect.publish(turn + n, dialect.own)
            d.kill()
        d.start()
    seen += dialect.follow(seen[-1][0])[0]
    assert numbers(seen) == [None, *range(12)]


def test_publishes_under_way_at_a_kill(make_daemon, name):
    """What was answered is there; what was not is there whole or not at
    all."""
    d = make_daemon(**bitrix.KEYED)
    dialect = make(name, d)
    with contextlib.ExitStack() as stack:
        waiting = [dialect.start_publish(n, dialect.own) for n in range(40)]
        for w in waiting:
            stack.callback(w.hang_up)
        for w in waiting[:10]:
            assert w.answer().status == 200
        d.kill()
        d.start()
        answered = set(range(10))
        for n, w in enumerate(waiting[10:], 10):
            with contextlib.suppress(AssertionError, ConnectionError):
                assert w.answer().status == 200
                answered.add(n)
    got = dialect.follow(FIRST)[0]
    mids = [mid for mid, _ in got]
    assert mids == sorted(set(mids))
    assert len({n for _, n in got}) == len(got)
    assert answered <= {n for _, n in got} <= set(range(40))
    dialect.publish(99)
    assert dialect.poll(mids[-1])[0][1] == 99


@pytest.mark.parametrize("name", ["4", "4 binary"])
def test_mids_of_what_is_not_kept_do_not_come_again(make_daemon, name):
    d = make_daemon(**bitrix.KEYED)
    dialect = make(name, d)
    last = FIRST
    for n in range(4):
        with dialect.socket(last) as w:
            dialect.publish(n, expiry=0)
            ((mid, got),) = dialect.heard(w, 1)
        assert got == n and mid > last
        last = mid
        restarted(d, "kill -9")
    dialect.publish(5)
    assert numbers(dialect.poll(last)) == [5]

"""Bounds of doc/LIMITS.md that belong to Bitrix's dialects: served at the
bound, refused one past it, and counted."""

import json

import pytest

import bitrix
from bitrix import (ANYONE, PLAIN, Person, Server, call, check, incoming,
                    new_id, publishing, receiver, said, signed, token)


@pytest.fixture(scope="module")
def shared_settings():
    return bitrix.KEYED


@pytest.fixture
def v4(daemon):
    return Server(daemon, 4)


@pytest.fixture
def v5(daemon):
    return Server(daemon, 5)


def to(ids, **more):
    return bitrix.joined("CHANNEL_ID=" + "/".join(ids), **more)


def test_channels_of_a_text(daemon, v4):
    """A list of 101 is none: 200, as ever, but nobody gets it."""
    ids = [new_id() for _ in range(101)]
    with v4.socket(to([signed(ids[0])])) as w, daemon.counts(
            limit_bitrix_channels=1):
        v4.publish("/".join(ids), b"never")
        v4.publish("/".join(ids[:100]), b"text")
        assert bitrix.texts(w.text()) == [b"text"]


def test_channels_of_a_reader(daemon, v4):
    ids = [signed(new_id()) for _ in range(101)]
    with daemon.counts(limit_bitrix_channels=0), v4.socket(to(ids[:100])):
        pass
    with daemon.counts(limit_bitrix_channels=1):
        assert v4.poll(to(ids)).status == 400


def sent(v4, data):
    return v4.ask("pub", "POST", to([new_id()], binaryMode="true"), data)


def test_channels_of_a_message(daemon, v4):
    def message(n):
        return publishing(incoming(
            [receiver(new_id()) for _ in range(n)], b"x"))

    with daemon.counts(limit_bitrix_channels=0):
        assert sent(v4, message(100)).status == 200
    with daemon.counts(limit_bitrix_channels=1):
        check(sent(v4, message(101)), 400, PLAIN, ANYONE, body=said(
            4018, "Request exceeded the maximum number of channels."))


def test_messages(daemon, v4):
    def messages(n):
        one = incoming([receiver(new_id())], b"x")
        return publishing(*[one] * n)

    with daemon.counts(limit_bitrix_messages=0):
        assert sent(v4, messages(100)).status == 200
    with daemon.counts(limit_bitrix_messages=1):
        check(sent(v4, messages(101)), 400, PLAIN, ANYONE, body=said(
            4016, "Request exceeded the maximum number of messages."))


def test_connections_per_channel(make_daemon):
    """With one more the oldest goes."""
    d = make_daemon(**bitrix.KEYED, bitrix_max_connections_per_channel=2)
    srv, p = Server(d, 4), Person()
    name = "limit_bitrix_max_connections_per_channel"
    with srv.socket(to([p.ids()])) as a, srv.socket(to([p.ids()])) as b:
        for w in a, b:
            w.settle()
        assert d.status()[name] == 0
        with d.counts(**{name: 1}), srv.socket(to([p.ids()])) as c:
            a.refused(4029, "Too many connections")
            srv.publish(p.private, b"x")
            for w in b, c:
                assert bitrix.texts(w.text()) == [b"x"]


def test_protobuf(daemon, v4):
    """What takes sixteen times its size, or more, is not unpacked."""
    with daemon.counts(limit_protobuf=0):
        assert sent(v4, b"\n\0" * 1000).status == 400
    with daemon.counts(limit_protobuf=1):
        assert sent(v4, b"\n\0" * (1 << 19)).status == 400


def answer(w, id):
    while True:
        data = w.text()
        if data != b"ping":
            got = json.loads(data)
            if got.get("id") == id:
                return got


def test_watches(daemon, v5):
    """Of one connection; who asks about fewer may ask about others."""
    with v5.socket(bitrix.joined("token=" + token(1))) as w:
        for n in range(1000):
            w.say(json.dumps(call("subscribeStatusChange", {
                "userId": 1000 + n}, n + 1)).encode())
            assert "result" in answer(w, n + 1)
        assert daemon.status()["limit_bitrix_watches"] == 0
        with daemon.counts(limit_bitrix_watches=1):
            w.say(json.dumps(call("subscribeStatusChange", {
                "userId": 5000}, 2001)).encode())
            assert "error" in answer(w, 2001)
        w.say(json.dumps(call("unsubscribeStatusChange", {
            "userId": 1000}, 2002)).encode())
        assert "result" in answer(w, 2002)
        w.say(json.dumps(call("subscribeStatusChange", {
            "userId": 5000}, 2003)).encode())
        assert "result" in answer(w, 2003)


def test_json(daemon, v5):
    """Values, which are what costs time."""
    def said_to(n):
        return [call("publish", {
            "userList": [7], "expiry": 10,
            "body": {"list": [0] * n}}, 1)]

    with daemon.counts(limit_json=0):
        assert v5.ask_rpc(said_to(349800)).status == 200
    with daemon.counts(limit_json=1):
        assert v5.ask_rpc(said_to(350001)).status == 400


def test_types(make_daemon):
    """Kinds of messages that are counted apart, in a day."""
    d = make_daemon(**bitrix.KEYED)
    srv = Server(d, 4)

    def send(n):
        one = incoming([receiver(new_id())], b"x", type=b"type%d" % n)
        assert sent(srv, publishing(one)).status == 200

    for n in range(256):
        send(n)
    assert d.status()["limit_bitrix_types"] == 0
    send(0)
    assert d.status()["limit_bitrix_types"] == 0
    send(256)
    assert d.status()["limit_bitrix_types"] == 1

"""A queue server of version 4 in binary mode: RequestBatch and ResponseBatch
on the site's route, on that of browsers, and on WebSockets."""

import contextlib
import json
import time

import pytest

import bitrix
from bitrix import (ANYONE, BACKEND, BINARY, CLIENT, FIRST, PLAIN,
                    SERVER_STATS, Fixed32, Person, Server, Stats, asking,
                    batch, check, event, field, incoming, mac, message,
                    publishing, receiver, said, short, signed, to_public)
from front import GATEWAYS
from ws import CLOSE, PING, PONG, TEXT, close_payload, frame


@pytest.fixture(scope="module")
def shared_settings():
    return bitrix.KEYED


@pytest.fixture(params=GATEWAYS)
def srv(request, daemon):
    return Server(daemon, 4, request.param)


@pytest.fixture
def person():
    return Person()


BODY = (b'{"module_id":"im","command":"hello","params":{"n":1,'
        b'"t":"\xd0\xbf\xd1\x80\xd0\xb8"},"extra":{}}')


def asked(ids, **more):
    return bitrix.joined("CHANNEL_ID=" + ids, **{"binaryMode": "true",
                                                 **more})


def checked(data, body=BODY, expiry=86400, sender=(BACKEND, "")):
    """The only message of a ResponseBatch; its mid."""
    (m,) = bitrix.messages(data)
    assert (m.body, m.expiry) == (body, expiry)
    assert (m.sender_type, m.sender_id) == sender
    assert m.created == int(m.mid[:10])
    assert abs(m.created - time.time()) < 60
    if expiry:          # a default need not be written
        assert data == bitrix.message_bytes(m)
    return m.mid


# What is read

def test_poll(srv, person):
    """To the byte; who reads text gets the same message as text."""
    binary = srv.park(asked(person.ids()))
    text = srv.park(asked(person.ids(), binaryMode=None))
    srv.publish_binary(incoming([receiver(person.private)], BODY, 86400,
                                "im_hello"))
    answer = binary.answer()
    check(answer, 200, BINARY, ANYONE)
    mid = checked(answer.body)
    assert text.answer().body == event(mid, BODY)


def test_text_publishes_reach_binary_readers(srv, person):
    with srv.socket(asked(person.ids())) as w:
        srv.publish(person.shared, BODY, 10)
        checked(w.binary(), expiry=10)
        srv.publish(person.shared, BODY, None)
        checked(w.binary(), expiry=0)


def test_replay(srv, person):
    for n in range(3):
        srv.publish_binary(incoming([receiver(person.private)], b"%d" % n,
                                    86400))
    answer = srv.poll(asked(person.ids(), mid=FIRST))
    check(answer, 200, BINARY, ANYONE)
    got = bitrix.messages(answer.body)
    assert [m.body for m in got] == [b"0", b"1", b"2"]
    with srv.socket(asked(person.ids(), mid=got[0].mid)) as w:
        again = []
        while len(again) < 2:
            again += bitrix.messages(w.binary())
    assert again == got[1:]


@pytest.mark.parametrize("expiry", [None, 0])
def test_without_expiry(srv, person, expiry):
    """For those who are there only; a default may be written or not."""
    with srv.socket(asked(person.ids())) as w:
        srv.publish_binary(incoming([receiver(person.private)], BODY, expiry))
        checked(w.binary(), expiry=0)
    srv.publish(person.private, b"kept")
    (m,) = bitrix.messages(srv.poll(asked(person.ids(), mid=FIRST)).body)
    assert m.body == b"kept"


def test_expiry_is_no_longer_than_a_day(srv, person):
    with srv.socket(asked(person.ids())) as w:
        srv.publish_binary(incoming([receiver(person.private)], BODY,
                                    (1 << 32) - 1))
        (m,) = bitrix.messages(w.binary())
    assert m.expiry >= 86400
    answer = srv.poll(asked(person.ids(), mid=FIRST))
    assert len(bitrix.messages(answer.body)) == 1


def test_several_messages(srv, person):
    """In their order; each with a mid of its own."""
    other = Person()
    with srv.socket(asked(person.ids())) as w, srv.socket(
            asked(other.ids())) as o:
        srv.publish_binary(
            incoming([receiver(person.private)], b"1", 10),
            incoming([receiver(person.shared), receiver(other.private)],
                     b"2", 10),
            incoming([receiver(other.private)], b"3", 10))
        got, others = [], []
        while len(got) < 2:
            got += bitrix.messages(w.binary())
        while len(others) < 2:
            others += bitrix.messages(o.binary())
    assert [m.body for m in got + others] == [b"1", b"2", b"2", b"3"]
    assert got[1] == others[0] and got[0].mid < got[1].mid < others[1].mid


def test_public_id(srv, person):
    """What the site sends to the public twin reaches the private reader, live
    and later; nobody subscribes to a public id alone."""
    for to in receiver(person.public, False), to_public(person.public):
        with srv.socket(asked(person.ids())) as w:
            srv.publish_binary(incoming([to], BODY, 86400))
            checked(w.binary())
    got = bitrix.messages(srv.poll(asked(person.ids(), mid=FIRST)).body)
    assert len(got) == 2
    with srv.socket(asked(signed(person.public))) as w:
        srv.publish_binary(incoming([receiver(person.public, False)],
                                    b"not here", 86400))
        srv.publish(person.public, b"here")
        (m,) = bitrix.messages(w.binary())
        assert m.body == b"here"


def test_ids_are_any_bytes(srv):
    """Zeros too."""
    id = "00" * 8 + "0a0d00ff" * 2
    with srv.socket(asked(signed(id))) as w:
        srv.publish_binary(incoming([receiver(id)], BODY, 10))
        checked(w.binary(), expiry=10)


# The site's requests

def test_only_the_first_request_counts(srv, person):
    one, two = (field(1, field(1, incoming([receiver(person.private)], b, 10)))
                for b in (b"one", b"two"))
    with srv.socket(asked(person.ids())) as w:
        check(srv.send(batch(one, two)), 200, PLAIN, ANYONE, body=b"")
        srv.publish(person.private, b"last")
        got = []
        while b"last" not in got:
            got += [m.body for m in bitrix.messages(w.binary())]
    assert got == [b"one", b"last"]


def test_no_messages(srv):
    check(srv.send(publishing()), 200, PLAIN, ANYONE, body=b"")


def test_unknown_fields_are_skipped(srv, person):
    strange = (field(9, 300) + field(10, b"bytes") + field(11, Fixed32(1)) +
               bitrix.varint(12 << 3 | 1) + bytes(8) +
               field(1000, message((1, b"nested"))))
    one = incoming([receiver(person.private) + strange], BODY, 86400)
    data = field(1, field(1, field(1, one + strange) + strange) +
                 strange) + strange
    with srv.socket(asked(person.ids())) as w:
        check(srv.send(data), 200, PLAIN, ANYONE, body=b"")
        checked(w.binary())


def statistics(answer):
    check(answer, 200, BINARY, ANYONE)
    ((kind, got),) = bitrix.responses(answer.body)
    assert kind == "stats"
    return got


def test_channel_stats(srv, person):
    """All that were asked for, in their order; only the first channel of a
    connection is online, under both of its ids, and for a while after."""
    p = person
    ask = asking(receiver(p.shared), receiver(p.private),
                 receiver(p.public, False), receiver(p.private))

    def expected(online):
        return [Stats(p.shared, True, False), Stats(p.private, True, online),
                Stats(p.public, False, online),
                Stats(p.private, True, online)]

    assert statistics(srv.send(ask)) == expected(False)
    with srv.socket(asked(p.ids())):
        assert statistics(srv.send(ask)) == expected(True)
    assert statistics(srv.send(ask)) == expected(True)


def test_server_stats(srv):
    answer = srv.send(SERVER_STATS)
    check(answer, 200, BINARY, ANYONE)
    ((kind, got),) = bitrix.responses(answer.body)
    assert kind == "json"
    for process in got:
        assert {"pid", "date", "processUniqueId", "channels", "limits",
                "websockets", "pollings"} <= set(process)


# What is refused, wherever it is said

DATA = (4013, "Wrong Request Data.")
NOT_ALLOWED = (4014, "Request command is not allowed.")
MANY_MESSAGES = (4016, "Request exceeded the maximum number of messages.")
NONE = (4017, "No channels found.")
MANY_CHANNELS = (4018, "Request exceeded the maximum number of channels.")
INVALID = (4019, "Request has an invalid channel id.")
PRIVATE = (4020, "Private channel is not allowed.")
SIGNATURE = (4021, "Channel has an invalid signature.")

ID = "fedcba9876543210fedcba9876543210"
GOOD = to_public(ID)
ONE = incoming([GOOD], b"{}", 10)
WRONG = [
    (b"", DATA),
    (b"garbage", DATA),
    (b"{}", DATA),
    (b"\0" * 100, DATA),
    (b"\xff" * 100, DATA),
    (batch(b""), DATA),                                 # no command
    (field(2, b"no request"), DATA),
    (field(1, 1), DATA),                                # not a message
    (field(1, Fixed32(1)), DATA),
    (batch(field(1, 5)), DATA),
    (batch(field(1, field(1, 5))), DATA),
    (publishing(message((1, GOOD), (3, 5))), DATA),
    (publishing(message((1, GOOD), (4, b"10"))), DATA),
    (publishing(message((1, 7), (3, b"x"))), DATA),
    (publishing(ONE)[:-1], DATA),                       # cut short
    (publishing(ONE) + b"\x0a", DATA),
    (b"\x0a\x7f" + publishing(ONE)[2:], DATA),          # past the end
    (b"\x0a\xff\xff\xff\xff\x0f", DATA),
    (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", DATA),
    (b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", DATA),
    (b"\x0b\x0c", DATA),                                # a group
    (b"\x0f\x01", DATA),                                # wire type 7
    (publishing(message((3, b"x"))), NONE),
    (publishing(ONE, message((3, b"x"))), NONE),
    (asking(), NONE),
    (publishing(incoming([to_public(ID)] * 101, b"x")), MANY_CHANNELS),
    (asking(*[GOOD] * 101), MANY_CHANNELS),
    (publishing(*[ONE] * 101), MANY_MESSAGES),
    (publishing(incoming([receiver(ID[:30], False)], b"x")), INVALID),
    (publishing(incoming([receiver(ID + "00", False)], b"x")), INVALID),
    (publishing(incoming([receiver(b"", False)], b"x")), INVALID),
    (publishing(incoming([receiver(ID.encode(), False)], b"x")), INVALID),
    (asking(receiver(ID[:30], False)), INVALID),
    (batch(publishing(ONE)), INVALID),  # in a batch what follows is an id
]
UNTRUSTED = [
    (publishing(incoming([receiver(ID)], b"x")), PRIVATE),
    (publishing(incoming([GOOD, receiver(ID)], b"x")), PRIVATE),
    (publishing(ONE, incoming([receiver(ID)], b"x")), PRIVATE),
    (asking(receiver(ID)), PRIVATE),
    (SERVER_STATS, NOT_ALLOWED),
    *((publishing(incoming([receiver(ID, False, wrong)], b"x")), SIGNATURE)
      for wrong in [
          None, b"", bytes(20), bitrix.public_mac(ID)[:-1],
          bitrix.public_mac(ID) + b"\0", bitrix.public_mac(ID).hex(),
          bitrix.public_mac(ID, "another key"), mac(ID),
          bitrix.public_mac(ID[::-1]), b"x" * 5000]),
    (asking(receiver(ID, False)), SIGNATURE),
]


@pytest.mark.parametrize("data, refusal", WRONG, ids=short)
def test_refused_by_the_sites_route(srv, data, refusal):
    check(srv.send(data), 400, PLAIN, ANYONE, body=said(*refusal))


@pytest.mark.parametrize("data, refusal", [*WRONG, *UNTRUSTED], ids=short)
def test_refused_by_the_browsers_route(srv, data, refusal):
    check(srv.send(data, asked(Person().ids()), "rest"), 400, PLAIN, ANYONE,
          body=said(*refusal))


@pytest.mark.parametrize("data, refusal", [*WRONG, *UNTRUSTED], ids=short)
def test_refused_by_a_socket(srv, data, refusal):
    with srv.socket(asked(Person().ids())) as w:
        w.say_binary(data)
        w.refused(*refusal)


def test_nothing_of_a_refused_request_is_done(srv, person):
    """Not its good half either."""
    with srv.socket(asked(person.ids())) as w:
        for data in (
                publishing(incoming([receiver(person.private)], b"1", 10),
                           incoming([receiver("00")], b"2", 10)),
                publishing(incoming([receiver(person.private),
                                     receiver("00")], b"3", 10)),
                publishing(*[incoming([receiver(person.private)], b"4",
                                      10)] * 101)):
            assert srv.send(data).status == 400
        srv.publish(person.private, b"5", 10)
        checked(w.binary(), b"5", 10)


@pytest.mark.parametrize("bomb", [
    lambda n: batch(field(1, bytes.fromhex("0a00") * (n // 2))),
    lambda n: bytes.fromhex("0a00") * (n // 2),
    lambda n: publishing(bytes.fromhex("0a00") * (n // 2)),
    lambda n: asking(*[b""] * (n // 2)),
    lambda n: publishing(incoming([GOOD], b"x" * n, 10)),
], ids=["messages", "requests", "receivers", "channels", "body"])
def test_a_million_bytes(srv, bomb):
    """Of next to nothing: some refusal, and the memory is there again."""
    answer = srv.send(bomb((1 << 20) - 100))
    assert answer.status in (200, 400, 413), answer.raw
    with open(f"/proc/{srv.daemon.process.pid}/status") as f:
        (rss,) = [int(line.split()[1]) for line in f
                  if line.startswith("VmHWM")]
    # Sanitizers need a few hundred MiB themselves.
    assert rss < 1 << 20


# Browsers publish

def test_rest(srv, person):
    """With the sender's public id, whatever the sender says of himself."""
    to = Person()
    lie = message((1, BACKEND), (2, bytes.fromhex(to.public)))
    data = publishing(incoming([to_public(to.public)], BODY, 10, sender=lie))
    for query in (asked(person.ids()), asked(person.ids(), binaryMode=None),
                  asked(person.ids().replace(":", "%3A").replace("/", "%2F")),
                  asked("/".join(reversed(person.ids().split("/"))))):
        with srv.socket(asked(to.ids())) as w:
            check(srv.send(data, query, "rest"), 200, PLAIN, ANYONE, body=b"")
            checked(w.binary(), expiry=10, sender=(CLIENT, person.public))
    got = bitrix.messages(srv.poll(asked(to.ids(), mid=FIRST)).body)
    assert [(m.sender_type, m.sender_id) for m in got] == [
        (CLIENT, person.public)] * 4


def test_text_readers_of_what_browsers_publish(srv, person):
    reader = srv.park(asked(person.ids(), binaryMode=None))
    data = publishing(incoming([to_public(person.public)], BODY, 10))
    srv.send(data, asked(person.ids()), "rest")
    (text,) = bitrix.texts(reader.answer().body)
    assert text == BODY


@pytest.mark.parametrize("body", [
    b'1,"mid":"99999999990000000000000000"', b"{}#!NGINXNME!##!NGINXNMS!#{}",
    b"{}\n", b'{"a":"#!NGINXNME!#"}', b"{}{}", b"\xff", b'{"a":1,"a":2}'],
    ids=short)
def test_browsers_forge_no_event(srv, person, body):
    """Whatever they say is the text of one event."""
    data = publishing(incoming([to_public(person.public)], body, 10))
    check(srv.send(data, asked(person.ids()), "rest"), 200, PLAIN, ANYONE,
          body=b"")
    for mode in None, "json":
        answer = srv.poll(asked(person.ids(), binaryMode=None, format=mode,
                                mid=FIRST))
        (got,) = (json.loads(answer.body) if mode else
                  bitrix.events(answer.body))
        assert set(got) == {"id", "mid", "channel", "tag", "time", "text"}
        assert got["mid"] < "9" and (
            got["text"] == body.decode(errors="replace") or
            got["text"] == json.loads(body))
    (m,) = bitrix.messages(srv.poll(asked(person.ids(), mid=FIRST)).body)
    assert m.body == body


def test_who_has_no_public_id_does_not_publish(srv, person):
    shared = signed(person.shared)
    for query in ("", "binaryMode=true", asked(""), asked(shared),
                  asked(signed(person.private)), asked(person.ids()[:-1])):
        check(srv.send(publishing(ONE), query, "rest"), 400, PLAIN, ANYONE,
              body=b"4012: Public Channel Id is Required.")
    with srv.socket(asked(shared)) as w:
        w.say_binary(publishing(ONE))
        w.refused(4012, "Public Channel Id is Required.")


def test_stats_for_browsers(srv, person):
    ask = asking(to_public(person.public))
    offline = [Stats(person.public, False, False)]
    online = [Stats(person.public, False, True)]
    other = Person()
    assert statistics(srv.send(ask, asked(other.ids()), "rest")) == offline
    with srv.socket(asked(person.ids())) as w:
        w.say_binary(ask)
        assert bitrix.responses(w.binary()) == [("stats", online)]
        assert statistics(srv.send(ask, asked(other.ids()),
                                   "rest")) == online


# WebSocket

def test_a_socket_publishes(srv, person):
    """To itself too, and says nothing else about it."""
    to = Person()
    with srv.socket(asked(person.ids())) as w, srv.socket(
            asked(to.ids())) as o:
        w.say_binary(publishing(incoming(
            [to_public(person.public), to_public(to.public)], BODY, 10)))
        mine = checked(w.binary(), expiry=10, sender=(CLIENT, person.public))
        assert mine == checked(o.binary(), expiry=10,
                               sender=(CLIENT, person.public))
        w.settle()
        # A message in frames, and several at once.
        data = publishing(incoming([to_public(to.public)], b"1"))
        w.send([frame(2, data[:7], fin=False), frame(0, data[7:]),
                frame(2, data)])
        got = []
        while len(got) < 2:
            got += bitrix.messages(o.binary())
        assert got[0].mid < got[1].mid


def test_text_frames_in_binary_mode(srv, person):
    with srv.socket(asked(person.ids())) as w:
        w.send(frame(TEXT, b"hello"))
        w.refused(*DATA)


def test_the_largest_frame(srv, person):
    """1 MiB may come, more may not."""
    filling = b'"%s"' % (b"x" * ((1 << 20) - 100))
    data = publishing(incoming([to_public(person.public)], filling))
    with srv.socket(asked(person.ids())) as w:
        w.say_binary(data)
        (m,) = bitrix.messages(w.binary())
        assert m.body == filling
    with srv.socket(asked(person.ids())) as w:
        with contextlib.suppress(ConnectionError):
            w.say_binary(data + bytes(200))
        op, got = w.frame()
        assert (op, got[:2]) == (CLOSE, close_payload(1009))


@pytest.mark.parametrize("delay", [{}, {"bitrix_frame_delay": "300ms"}])
def test_pings(srv, person, delay):
    location = srv.but(ping_message_interval="150ms").location("sub")
    location.more.update(delay)
    with bitrix.Socket(location, asked(person.ids())) as w:
        for _ in range(3):
            assert w.frame() == (PING, b"ws ping")
            w.send(frame(PONG, b"ws ping"))


def test_frame_delay(srv, person):
    """Messages that follow closely are one ResponseBatch."""
    location = srv.location("sub")
    location.more["bitrix_frame_delay"] = "300ms"
    with bitrix.Socket(location, asked(person.ids())) as w:
        for n in range(5):
            srv.publish(person.private, b"%d" % n)
        frames = [bitrix.messages(w.binary())]
        while sum(map(len, frames)) < 5:
            frames.append(bitrix.messages(w.binary()))
    assert [m.body for several in frames for m in several] == [
        b"%d" % n for n in range(5)]
    assert len(frames[0]) == 1 and len(frames) < 5

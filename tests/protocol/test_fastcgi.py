"""FastCGI: whatever a front may rightly do works, however it is cut, and
whatever it does wrongly ends in a clear status or in a counted close."""

import os
import random
import subprocess

import pytest

import wire
from wire import (ABORT, BEGIN, COMPLETE, DATA, END, FILTER, GET_VALUES,
                  GET_VALUES_RESULT, OVERLOADED, PARAMS, STDIN, STDOUT,
                  UNKNOWN_ROLE, UNKNOWN_TYPE, begin, fastcgi,
                  fastcgi_records, pair, pairs, poll, publish, record, stream)

BODY = b"What is the answer to life?" * 7
REQUESTS_MAX = 64
MIB = 1 << 20

# Ways to say the same request.  Padding is any byte, records may hold one
# byte or everything, and lengths may take four bytes when one would do.
SHAPES = {
    "plain": {},
    "padded": {"padding": 3},
    "most padding": {"padding": 255, "size": 100},
    "long lengths": {"long": True},
    "records of 1": {"size": 1},
    "records of 7": {"size": 7, "padding": 1},
    "another id": {"id": 65535},
}


def check_published(answer):
    assert answer.protocol_status == COMPLETE
    assert answer.status == 200
    assert answer.header("Content-Type") is not None
    assert answer.body


def cuts_for(shape):
    """Byte by byte a request of one-byte records takes long and shows little
    that the others do not."""
    return wire.CUTS[2:] if shape == "records of 1" else wire.CUTS


@pytest.mark.parametrize("shape, cut", [(s, c) for s in SHAPES
                                        for c in cuts_for(s)],
                         ids=lambda x: getattr(x, "__name__", x))
def test_cut_anywhere(daemon, shape, cut):
    """Three requests in a row, so that each also starts where one ended."""
    options = SHAPES[shape]
    with daemon.connect() as c:
        for _ in range(3):
            c.send(fastcgi(publish("cut", BODY), BODY, **options), cut)
            check_published(c.answer(options.get("id", 1)))


@pytest.mark.parametrize("cut", wire.CUTS)
def test_what_is_published_arrives(daemon, cut):
    """No cut may lose or repeat a byte of a body."""
    with daemon.connect() as reader, daemon.connect() as c:
        daemon.publish("bytes", b"so that it exists")
        reader.send(fastcgi(poll("bytes")))
        daemon.wait_for(parked=1)
        body = b"".join(b"%d," % i for i in range(400))
        c.send(fastcgi(publish("bytes", body), body, size=37, padding=5), cut)
        check_published(c.answer())
        assert body in reader.answer().body


def test_no_content_length(daemon):
    """nginx does not know the length of a chunked body: it sends none, or an
    empty one."""
    with daemon.connect() as c:
        for more in ({}, {"CONTENT_LENGTH": ""}):
            params = publish("open", BODY)
            del params["CONTENT_LENGTH"]
            c.send(fastcgi({**params, **more}, BODY))
            check_published(c.answer())


def test_pipelined(daemon):
    """A front need not wait for an answer before it sends the next request;
    the answers come in the order of the commits."""
    with daemon.connect() as c:
        c.send([fastcgi(publish("pipe", BODY), BODY, id=i)
                for i in range(1, 31)])
        for i in range(1, 31):
            check_published(c.answer(i))


@pytest.mark.parametrize("cut", wire.CUTS)
def test_interleaved(daemon, cut):
    """Records of several requests in turn, the parameters of each cut at
    other places."""
    ids = {1: 11, 2: 64, 300: 5, 65535: 23}
    queues = [fastcgi_records(publish("mixed", BODY), BODY, id=i, size=n)
              for i, n in ids.items()]
    chance = random.Random(1)
    mixed = []
    while queues:
        queue = chance.choice(queues)
        mixed.append(queue.pop(0))
        if not queue:
            queues.remove(queue)
    with daemon.connect() as c:
        c.send(mixed, cut)
        for i in ids:
            check_published(c.answer(i))


def test_kept_connection(daemon):
    with daemon.connect() as c:
        for _ in range(200):
            c.send(fastcgi(publish("keep", BODY), BODY))
            check_published(c.answer())


def test_unkept_connection(daemon):
    with daemon.connect() as c:
        c.send(fastcgi(publish("once", BODY), BODY, keep=False))
        check_published(c.answer())
        assert c.at_end()


def test_unkept_closes_after_the_last(daemon):
    """Other requests of the connection are answered first."""
    daemon.publish("last", b"so that it exists")
    with daemon.connect() as c:
        c.send(fastcgi(poll("last"), id=1, keep=True))
        c.send(fastcgi(publish("other", BODY), BODY, id=2, keep=False))
        check_published(c.answer(2))
        daemon.publish("last", BODY)
        assert c.answer(1).status == 200
        assert c.at_end()


def test_tcp(daemon):
    with daemon.connect(daemon.tcp) as c:
        for _ in range(20):
            c.send(fastcgi(publish("tcp", BODY), BODY))
            check_published(c.answer())


# Management records

def values_of(content):
    out = {}
    while content:
        n, v = content[0], content[1]
        out[content[2:2 + n].decode()] = content[2 + n:2 + n + v].decode()
        content = content[2 + n + v:]
    return out


@pytest.mark.parametrize("cut", wire.CUTS)
@pytest.mark.parametrize("long", [False, True])
def test_get_values(daemon, cut, long):
    asked = {"FCGI_MAX_CONNS": "", "FCGI_MAX_REQS": "",
             "FCGI_MPXS_CONNS": ""}
    with daemon.connect() as c:
        c.send(record(GET_VALUES, 0, pairs(asked, long), padding=7), cut)
        kind, id, content = c.record()
        assert (kind, id) == (GET_VALUES_RESULT, 0)
        values = values_of(content)
        assert set(values) == set(asked)
        assert values["FCGI_MPXS_CONNS"] == "1"
        assert int(values["FCGI_MAX_CONNS"]) > 0
        assert int(values["FCGI_MAX_REQS"]) > 0
        c.send(fastcgi(publish("values", BODY), BODY))
        check_published(c.answer())


def test_get_values_unknown(daemon):
    """Names that we do not know are left out of the answer."""
    with daemon.connect() as c:
        c.send(record(GET_VALUES, 0, pairs({"FCGI_MPXS_CONNS": "",
                                            "FCGI_X": "y"})))
        assert values_of(c.record()[2]) == {"FCGI_MPXS_CONNS": "1"}
        c.send(record(GET_VALUES, 0, pairs({"OTHER": ""})))
        assert c.record() == (GET_VALUES_RESULT, 0, b"")
        c.send(record(GET_VALUES, 0, b""))
        assert c.record() == (GET_VALUES_RESULT, 0, b"")


def test_get_values_between(daemon):
    """In the middle of a request."""
    parts = fastcgi_records(publish("between", BODY), BODY, size=50)
    ask = record(GET_VALUES, 0, pairs({"FCGI_MPXS_CONNS": ""}))
    with daemon.connect() as c:
        for part in parts[:-1]:
            c.send(part + ask)
            assert c.record()[0] == GET_VALUES_RESULT
        c.send(parts[-1])
        check_published(c.answer())


@pytest.mark.parametrize("content", [
    pair("FCGI_MAX_CONNS", "")[:-1], b"\xff\xff\xff\xff\xff\xff\xff\xff",
    pair("x" * 100, "")])
def test_get_values_broken(daemon, content):
    with daemon.counts(close_order=1), daemon.connect() as c:
        c.send(record(GET_VALUES, 0, content))
        assert c.at_end()


@pytest.mark.parametrize("cut", wire.CUTS)
@pytest.mark.parametrize("kind", [0, 12, 77, 255, STDOUT, END])
def test_unknown_type(daemon, kind, cut):
    """Told, skipped, and the connection goes on."""
    with daemon.connect() as c:
        c.send(record(kind, 0, b"abcdefgh" * 20, padding=9) +
               fastcgi(publish("type", BODY), BODY), cut)
        assert c.record() == (UNKNOWN_TYPE, 0, bytes([kind]) + bytes(7))
        check_published(c.answer())


# Requests that are not served

@pytest.mark.parametrize("role", [wire.AUTHORIZER, FILTER, 0, 9, 65535])
def test_unknown_role(daemon, role):
    """The records that follow the refused BEGIN are skipped."""
    parts = fastcgi_records(publish("role", BODY), BODY, id=5)
    parts[0] = begin(5, role=role)
    with daemon.connect() as c:
        c.send(parts)
        answer = c.answer(5)
        assert answer.protocol_status == UNKNOWN_ROLE
        assert answer.raw == b""
        c.send(fastcgi(publish("role", BODY), BODY, id=5))
        check_published(c.answer(5))


def test_unknown_role_unkept(daemon):
    with daemon.connect() as c:
        c.send(begin(5, role=FILTER, keep=False))
        assert c.answer(5).protocol_status == UNKNOWN_ROLE
        assert c.at_end()


def test_data_is_ignored(daemon):
    """DATA is for filters; with a responder it means nothing."""
    parts = fastcgi_records(publish("data", BODY), BODY)
    parts[-1:-1] = stream(DATA, 1, b"x" * 100)
    with daemon.connect() as c:
        c.send(parts)
        check_published(c.answer())


def test_overloaded(daemon):
    daemon.publish("full", b"so that it exists")
    with daemon.connect() as c:
        for i in range(1, REQUESTS_MAX + 1):
            c.send(fastcgi(poll("full"), id=i))
        daemon.wait_for(parked=REQUESTS_MAX)
        c.send(fastcgi(publish("full", BODY), BODY, id=500))
        assert c.answer(500).protocol_status == OVERLOADED
        c.send(record(ABORT, 1))
        c.answer(1)
        c.send(fastcgi(publish("full", BODY), BODY, id=500))
        for i in range(2, REQUESTS_MAX + 1):
            assert c.answer(i).status == 200
        check_published(c.answer(500))


# Ends that the front chooses

@pytest.mark.parametrize("cut", wire.CUTS)
def test_abort_parked(daemon, cut):
    daemon.publish("abort", b"so that it exists")
    with daemon.connect() as c:
        c.send(fastcgi(poll("abort"), id=3))
        daemon.wait_for(parked=1)
        c.send(record(ABORT, 3, padding=4), cut)
        answer = c.answer(3)
        assert (answer.protocol_status, answer.raw) == (COMPLETE, b"")
        daemon.wait_for(parked=0)
        c.send(fastcgi(publish("abort", BODY), BODY, id=3))
        check_published(c.answer(3))


@pytest.mark.parametrize("parts", range(1, 7))
def test_abort_incomplete(daemon, parts):
    """At each stage of a request that is still coming in."""
    records = fastcgi_records(publish("abort", BODY), BODY, size=100)
    with daemon.connect() as c:
        c.send(records[:parts] + [record(ABORT)])
        assert c.answer().raw == b""
        c.send(fastcgi(publish("abort", BODY), BODY))
        check_published(c.answer())


def test_abort_unkept(daemon):
    daemon.publish("abort", b"so that it exists")
    with daemon.connect() as c:
        c.send(fastcgi(poll("abort"), keep=False))
        daemon.wait_for(parked=1)
        c.send(record(ABORT))
        c.answer()
        assert c.at_end()


def test_records_without_request(daemon):
    """Those of an id that was never begun, or is over: they crossed our
    answer, so they are nobody's fault."""
    with daemon.connect() as c:
        c.send([record(ABORT, 9), *stream(PARAMS, 9, b"xyz"),
                *stream(STDIN, 9, b"xyz"), record(STDIN, 0, b"xyz")])
        c.send(fastcgi(publish("stray", BODY), BODY))
        check_published(c.answer())


def test_close_while_parked(daemon):
    daemon.publish("gone", b"so that it exists")
    with daemon.counts(close_gone=1):
        with daemon.connect() as c:
            for i in range(1, 6):
                c.send(fastcgi(poll("gone"), id=i))
            daemon.wait_for(parked=5)
        daemon.wait_for(parked=0)


def test_close_after_publish(daemon):
    """The front's client went away: what it published is published."""
    before = daemon.status()["published_messages"]
    with daemon.connect() as c:
        c.send(fastcgi(publish("fire", BODY), BODY))
    daemon.wait_for(published_messages=before + 1)


def test_close_incomplete(daemon):
    """At each place where a request can be cut off."""
    whole = fastcgi(publish("trunc", BODY), BODY, size=90, padding=2)
    places = [*range(1, 40), *range(40, len(whole) - 2, 17)]
    with daemon.counts(close_truncated=len(places), published_messages=0):
        for n in places:
            with daemon.connect() as c:
                c.send(whole[:n])


def test_close_idle(daemon):
    with daemon.counts(close_idle=2):
        daemon.connect().close()
        with daemon.connect() as c:
            c.send(fastcgi(publish("idle", BODY), BODY))
            check_published(c.answer())


# What contradicts itself

def ordered(*records):
    return b"".join(records)


ORDER = {
    "id in use": ordered(begin(1), begin(1)),
    "id 0": begin(0),
    "short begin": record(BEGIN, 1, b"\0\1\1\0"),
    "long begin": record(BEGIN, 1, b"\0\1\1" + bytes(6)),
    "empty begin": record(BEGIN, 1),
    "body before parameters": ordered(begin(1), record(STDIN, 1, b"x")),
    "body before their end": ordered(
        begin(1), record(PARAMS, 1, pair("a", "b")), record(STDIN, 1)),
    "parameters after their end": ordered(
        begin(1), record(PARAMS, 1), record(PARAMS, 1, pair("a", "b"))),
}


@pytest.mark.parametrize("cut", wire.CUTS)
@pytest.mark.parametrize("name", ORDER)
def test_order(daemon, name, cut):
    with daemon.counts(close_order=1), daemon.connect() as c:
        c.send_until_closed(ORDER[name], cut)
        assert c.at_end()


def test_body_after_its_end(daemon):
    daemon.publish("order", b"so that it exists")
    with daemon.counts(close_order=1), daemon.connect() as c:
        c.send(fastcgi(poll("order")))
        daemon.wait_for(parked=1)
        c.send(record(STDIN, 1))        # a second end harms nobody
        c.send(record(STDIN, 1, b"x"))
        assert c.at_end()
    daemon.wait_for(parked=0)


@pytest.mark.parametrize("sent, said", [
    (BODY, len(BODY) + 1), (BODY, len(BODY) - 1), (BODY, 0), (b"", 1),
    (BODY, "-1"), (BODY, f"{len(BODY)} "), (BODY, "+1"), (BODY, "0x10"),
    (BODY, "9" * 30), (BODY, "\0")])
def test_content_length_is_wrong(daemon, sent, said):
    with daemon.connect() as c:
        params = publish("length", sent, CONTENT_LENGTH=str(said))
        c.send(fastcgi(params, sent))
        assert c.answer().status == 400
        c.send(fastcgi(publish("length", BODY), BODY))
        check_published(c.answer())


@pytest.mark.parametrize("cut", wire.CUTS)
def test_pair_is_cut_off(daemon, cut):
    """The parameters end in the middle of a pair."""
    for data in (pair("A", "b")[:-1], b"\x80\0", b"\1"):
        with daemon.connect() as c:
            c.send([begin(), *stream(PARAMS, 1, data), record(STDIN, 1)],
                   cut)
            assert c.answer().status == 400
            c.send(fastcgi(publish("pair", BODY), BODY))
            check_published(c.answer())


def test_pair_without_name(daemon):
    with daemon.connect() as c:
        c.send(fastcgi({"": ""}))
        assert c.answer().status == 400
        c.send(fastcgi(publish("pair", BODY), BODY))
        check_published(c.answer())


# What is too large

@pytest.mark.parametrize("cut", wire.CUTS)
@pytest.mark.parametrize("head", [
    b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\xff\xff\xff\xff\x00",
    b"\x00\xff\xff\xff\xff", b"\x80\x00\x00\x08\xff\xff\xff\xf7"])
def test_pair_length_overflow(daemon, head, cut):
    """CVE-2025-23016: two lengths whose sum passes 32 bits."""
    with daemon.connect() as c:
        c.send([begin(), *stream(PARAMS, 1, head + b"a" * 64),
                record(STDIN, 1)], cut)
        assert c.answer().status == 413
        c.send(fastcgi(publish("cve", BODY), BODY))
        check_published(c.answer())


@pytest.mark.parametrize("params", [
    {"A": "x" * 70_000}, {"x" * 70_000: ""},
    {f"NAME_{i:04}": "v" * 100 for i in range(1000)},
    {f"N{i}": "" for i in range(5000)}], ids=range(4))
def test_parameters_too_large(daemon, params):
    """Answered at once; the rest of the request is skipped."""
    with daemon.connect() as c:
        c.send(fastcgi(params, BODY))
        assert c.answer().status == 413
        c.send(fastcgi(publish("large", BODY), BODY))
        check_published(c.answer())


def test_body_too_large(daemon):
    body = b"x" * (MIB + 1)
    params = publish("large", body)
    with daemon.connect() as c:
        # Announced: refused before a byte of it is sent.
        c.send([begin(), *stream(PARAMS, 1, pairs(params))])
        assert c.answer().status == 413
        c.send(stream(STDIN, 1, body))
        # Not announced: refused in the middle.
        c.send(fastcgi({**params, "CONTENT_LENGTH": ""}, body))
        assert c.answer().status == 413
        # At the bound it is taken.
        c.send(fastcgi(publish("large", body[1:]), body[1:]))
        check_published(c.answer())


def test_body_too_large_unkept(daemon):
    """We close first, with much still unread: the answer must arrive whole,
    which a reset would prevent."""
    body = b"x" * (4 * MIB)
    for address in (daemon.fastcgi, daemon.tcp):
        with daemon.connect(address) as c:
            c.send(fastcgi(publish("large", body), body, keep=False))
            assert c.answer().status == 413
            assert c.at_end()


# What is no FastCGI

@pytest.mark.parametrize("bytes", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
    wire.scgi(publish("x", BODY), BODY), record(BEGIN, version=2), b"\0" * 99,
    begin() + record(PARAMS, version=0)], ids=range(6))
def test_no_fastcgi(daemon, bytes):
    with daemon.counts(close_record=1), daemon.connect() as c:
        c.send(bytes)
        assert c.at_end()


@pytest.mark.parametrize("seed", range(20))
def test_garbage(daemon, seed):
    """Good requests with bytes changed, and streams of records with any
    content.  It may answer or close; it must go on."""
    chance = random.Random(seed)
    good = fastcgi(publish("fuzz", BODY), BODY, size=chance.choice([9, 500]))
    for _ in range(10):
        data = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for _ in range(20):
            data += record(chance.randrange(13), chance.randrange(4),
                           chance.randbytes(chance.randrange(40)),
                           chance.randrange(9))
        with daemon.connect() as c:
            c.send_until_closed(bytes(data), chance.choice(wire.CUTS[2:]))
    daemon.publish("fuzz", BODY)


# Time

def test_request_comes_too_slowly(make_daemon):
    """A request has so long to become complete; a kept connection without
    one, and a parked one, have all the time they want."""
    d = make_daemon(request_timeout="1s")
    d.publish("slow", b"so that it exists")
    whole = fastcgi(publish("slow", BODY), BODY)
    with d.connect() as idle, d.connect() as parked, d.connect() as used:
        used.send(whole)
        check_published(used.answer())
        parked.send(fastcgi(poll("slow")))
        d.wait_for(parked=1)
        with d.counts(close_late=3):
            late = [d.connect() for _ in range(3)]
            for c, n in zip(late, (20, 200, len(whole) - 8)):
                c.send(whole[:n])
            for c in late:
                assert c.at_end()
                c.close()
        for c in (idle, used):
            c.send(whole)
            check_published(c.answer())
        assert parked.answer().status == 200


def test_front_reads_slowly(daemon):
    """The kernel takes an answer in parts: none may be lost or repeated."""
    text = random.Random(2).randbytes(300_000).hex().encode()
    daemon.publish("slow", b"so that it exists")
    readers = [daemon.connect(rcvbuf=4096) for _ in range(3)]
    for c in readers:
        c.send(fastcgi(poll("slow"), keep=False))
    daemon.wait_for(parked=3)
    daemon.publish("slow", text)
    for c in readers:
        answer = c.answer()
        assert answer.status == 200 and text in answer.body
        assert c.at_end()
        c.close()


def test_front_does_not_read(make_daemon):
    d = make_daemon(request_timeout="1s")
    d.publish("stuck", b"so that it exists")
    with d.connect(rcvbuf=4096) as c:
        c.send(fastcgi(poll("stuck")))
        d.wait_for(parked=1)
        with d.counts(close_slow=1):
            d.publish("stuck", b"x" * 900_000)


def test_front_only_asks(daemon):
    """Management records without end, and no answer read: the answers that
    are kept have a bound."""
    ask = record(GET_VALUES, 0, pairs({"FCGI_MAX_CONNS": ""}))
    with daemon.counts(close_flood=1), daemon.connect() as c:
        with pytest.raises(ConnectionError):
            while True:
                c.send(ask * 1000)


def test_front_asks_ahead(daemon):
    """One by one, and no answer read: the daemon stops reading before its
    answers have passed the bound, and goes on when they are read."""
    ask = record(GET_VALUES, 0, pairs({"FCGI_MAX_CONNS": ""}))
    with daemon.connect() as c:
        sent = 0
        while c.taken(within=0.5):
            c.send(ask)
            sent += 1
            assert sent < 20_000
        for _ in range(sent):
            assert c.record()[0] == GET_VALUES_RESULT
        c.send(fastcgi(publish("ahead", BODY), BODY))
        check_published(c.answer())


def test_front_asks_much(daemon):
    """Many at once, and the answers are read."""
    ask = record(GET_VALUES, 0, pairs({"FCGI_MAX_CONNS": ""}))
    with daemon.connect() as c:
        for _ in range(50):
            c.send(ask * 100)
            for _ in range(100):
                assert c.record()[0] == GET_VALUES_RESULT


# An independent client

def cgi_fcgi(daemon, address, params, body):
    return wire.Answer(subprocess.run(
        ["cgi-fcgi", "-bind", "-connect", address], input=body,
        env={"PATH": os.environ["PATH"], **params}, check=True,
        capture_output=True, timeout=wire.TIMEOUT).stdout)


def test_cgi_fcgi(daemon):
    for address in (daemon.fastcgi, "%s:%d" % daemon.tcp):
        check_published(cgi_fcgi(daemon, address, publish("cgi", BODY), BODY))

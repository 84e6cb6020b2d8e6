"""SCGI: one request, one connection, and every byte of it checked."""

import random

import pytest

import wire
from wire import netstring, poll, publish, scgi, scgi_headers

BODY = b"What is the answer to life?" * 7
MIB = 1 << 20


def check_published(answer):
    assert answer.status == 200
    assert answer.header("Content-Type") is not None
    assert answer.body


def ask(daemon, data, cut=wire.cut_whole, address=None):
    with daemon.connect(address or daemon.scgi) as c:
        c.send(data, cut)
        return c.scgi_answer()


@pytest.mark.parametrize("cut", wire.CUTS)
def test_cut_anywhere(daemon, cut):
    data = scgi(publish("cut", BODY), BODY)
    check_published(ask(daemon, data, cut))


@pytest.mark.parametrize("cut", wire.CUTS)
def test_what_is_published_arrives(daemon, cut):
    daemon.publish("bytes", b"so that it exists")
    with daemon.connect(daemon.scgi) as reader:
        reader.send(scgi(poll("bytes")), cut)
        daemon.wait_for(parked=1)
        body = b"".join(b"%d," % i for i in range(400))
        check_published(ask(daemon, scgi(publish("bytes", body), body), cut))
        assert body in reader.scgi_answer().body


def test_tcp(daemon):
    data = scgi(publish("tcp", BODY), BODY)
    check_published(ask(daemon, data, address=daemon.scgi_tcp))


def test_repeated_client_header(daemon):
    """nginx passes a header as often as its client sent it."""
    params = [("CONTENT_LENGTH", "0"), ("SCGI", "1"),
              *poll("again", HTTP_IF_NONE_MATCH="0").items(),
              ("HTTP_X_FORWARDED_FOR", "10.0.0.1"),
              ("HTTP_X_FORWARDED_FOR", "10.0.0.2")]
    daemon.publish("again", b"so that it exists")
    with daemon.connect(daemon.scgi) as c:
        c.send(netstring(scgi_headers(params)))
        daemon.wait_for(parked=1)


def headers(*pairs):
    return netstring(scgi_headers(pairs))


CL = ("CONTENT_LENGTH", "0")
ONE = ("SCGI", "1")
BAD = {
    "no digits": b":",
    "letters": b"GET / HTTP/1.1\r\n\r\n",
    "FastCGI": wire.fastcgi(publish("x", BODY), BODY),
    "negative": b"-24:" + scgi_headers([CL, ONE]) + b",",
    "leading zero": b"024:" + scgi_headers([CL, ONE]) + b",",
    "many digits": b"1" * 10,
    "no comma": b"24:" + scgi_headers([CL, ONE]) + b";",
    "comma too late": b"23:" + scgi_headers([CL, ONE]) + b",",
    "no headers": b"0:,",
    "no CONTENT_LENGTH": headers(ONE, ("A", "b")),
    "CONTENT_LENGTH not first": headers(ONE, CL),
    "CONTENT_LENGTH empty": headers(("CONTENT_LENGTH", ""), ONE),
    "CONTENT_LENGTH negative": headers(("CONTENT_LENGTH", "-1"), ONE),
    "CONTENT_LENGTH in hex": headers(("CONTENT_LENGTH", "0x1"), ONE),
    "CONTENT_LENGTH endless": headers(("CONTENT_LENGTH", "9" * 40), ONE),
    "no SCGI": headers(CL, ("A", "b")),
    "SCGI of 2": headers(CL, ("SCGI", "2")),
    "CONTENT_LENGTH twice": headers(CL, CL, ONE),
    "a name twice": headers(CL, ONE, ("A", "1"), ("A", "2")),
    "an empty name": headers(CL, ONE, ("", "x")),
    "a name without value": netstring(scgi_headers([CL, ONE]) + b"A\0"),
    "an open value": netstring(scgi_headers([CL, ONE]) + b"A\0b"),
    "more than its body": scgi(publish("x", BODY), BODY) + b"x",
}


@pytest.mark.parametrize("name", BAD)
def test_bad(daemon, name):
    assert ask(daemon, BAD[name]).status == 400


@pytest.mark.parametrize("name", set(BAD) - {"more than its body"})
@pytest.mark.parametrize("cut", wire.CUTS[1:3])
def test_bad_cut(daemon, name, cut):
    """The same answer whatever the cuts, though the rest of the bytes may
    then come too late."""
    with daemon.connect(daemon.scgi) as c:
        c.send_until_closed(BAD[name], cut)
        assert c.scgi_answer().status == 400


def test_more_bytes_later(daemon):
    """When the request has gone to its endpoint already."""
    daemon.publish("extra", b"so that it exists")
    with daemon.counts(close_extra=1), daemon.connect(daemon.scgi) as c:
        c.send(scgi(poll("extra")))
        daemon.wait_for(parked=1)
        c.send(b"x")
        assert c.at_end()
    daemon.wait_for(parked=0)


@pytest.mark.parametrize("data", [
    b"999999999:", b"70000:", scgi({"A": "x" * 70_000}),
    headers(("CONTENT_LENGTH", str(MIB + 1)), ONE),
    headers(("CONTENT_LENGTH", "9" * 18), ONE),
    scgi({f"N{i}": "" for i in range(5000)})], ids=range(6))
def test_too_large(daemon, data):
    assert ask(daemon, data).status == 413


@pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
def test_body_too_large(daemon, size):
    """The whole body is sent before the answer is read: no reset may take
    the answer away."""
    body = b"x" * size
    for address in (daemon.scgi, daemon.scgi_tcp):
        data = scgi(publish("large", body), body)
        assert ask(daemon, data, address=address).status == 413


def test_body_at_the_bound(daemon):
    body = b"x" * MIB
    check_published(ask(daemon, scgi(publish("large", body), body)))


def test_close_while_parked(daemon):
    daemon.publish("gone", b"so that it exists")
    with daemon.counts(close_gone=1):
        with daemon.connect(daemon.scgi) as c:
            c.send(scgi(poll("gone")))
            daemon.wait_for(parked=1)
        daemon.wait_for(parked=0)


def test_close_incomplete(daemon):
    whole = scgi(publish("trunc", BODY), BODY)
    with daemon.counts(close_truncated=len(whole) - 1, close_idle=1):
        for n in range(len(whole)):
            with daemon.connect(daemon.scgi) as c:
                c.send(whole[:n])


def test_request_comes_too_slowly(make_daemon):
    """From the moment of the connection: SCGI keeps none for later."""
    d = make_daemon(request_timeout="1s")
    whole = scgi(publish("slow", BODY), BODY)
    with d.counts(close_late=3):
        late = [d.connect(d.scgi) for _ in range(3)]
        for c, n in zip(late, (0, 20, len(whole) - 1)):
            c.send(whole[:n])
        for c in late:
            assert c.at_end()
            c.close()


def test_front_reads_slowly(daemon):
    text = random.Random(2).randbytes(300_000).hex().encode()
    daemon.publish("slow", b"so that it exists")
    with daemon.connect(daemon.scgi, rcvbuf=4096) as c:
        c.send(scgi(poll("slow")))
        daemon.wait_for(parked=1)
        daemon.publish("slow", text)
        answer = c.scgi_answer()
        assert answer.status == 200 and text in answer.body


@pytest.mark.parametrize("seed", range(20))
def test_garbage(daemon, seed):
    chance = random.Random(seed)
    good = scgi(publish("fuzz", BODY), BODY)
    for _ in range(10):
        data = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with daemon.connect(daemon.scgi) as c:
            c.send_until_closed(bytes(data), chance.choice(wire.CUTS[2:]))
    daemon.publish("fuzz", BODY)

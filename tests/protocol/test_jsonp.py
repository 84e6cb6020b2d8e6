"""JSONP: a poll's answer as the call of a function."""

import pytest

from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, SINCE_EVER, check_head,
                   http_date, long_polling, new_channel, polling, publisher)
from streams import opened, streaming
from test_stream import fill

SCRIPT = ("Content-Type", "application/javascript")
TEXT = ("Content-Type", "text/plain")
OLD_CORS = [("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Methods", "GET"),
            ("Access-Control-Allow-Headers",
             "If-Modified-Since,If-None-Match")]
EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"

# version: type, weak, other fields
HEADS = {"0.6.0": (SCRIPT, "W/", NO_CACHE), "0.4.0": (SCRIPT, "", NO_CACHE),
         "0.3.4": (TEXT, "", OLD_CORS)}
COMPATS = list(HEADS)
CALLBACK = {"query": "callback=cb"}


@pytest.fixture(params=GATEWAYS)
def poll(request, daemon):
    return polling(daemon, request.param, message_template="~id~:~text~",
                   header_template="H", footer_template="F")


@pytest.fixture
def wait(poll):
    return poll.but(subscriber="long-polling")


@pytest.fixture
def pub(daemon):
    return publisher(daemon)


def check(answer, compat, body, status=200, when=None, tag=None):
    """Head and body; the position that is not given is the answer's."""
    kind, weak, fields = HEADS[compat]
    date = http_date(when) if when else answer.header("Last-Modified")
    check_head(answer, status, kind, ("Last-Modified", date),
               ("Etag", f"{weak}{tag or 0}"), *fields,
               *(EMPTY if status == 304 else []))
    assert answer.body.decode() == body


@pytest.mark.parametrize("mode", ["polling", "long-polling"])
@pytest.mark.parametrize("compat, one, two", [
    ("0.6.0", "Hcb([1:a]);F", "Hcb([1:a,2:b]);F"),
    ("0.4.0", "Hcb([1:a,]);F", "Hcb([1:a,2:b,]);F"),
    ("0.3.4", "H\r\ncb\r\n([1:a\r\n,]);\r\nF\r\n",
     "H\r\ncb\r\n([1:a\r\n,2:b\r\n,]);\r\nF\r\n"),
])
def test_old_messages(poll, pub, mode, compat, one, two):
    ch = new_channel()
    poll = poll.but(subscriber=mode, compat=compat)
    (when, tag), = fill(pub, ch, "a")
    check(poll.get(ch, **CALLBACK, **SINCE_EVER), compat, one, 200, when, tag)
    (when, tag), = fill(pub, ch, "b")
    check(poll.get(ch, **CALLBACK, **SINCE_EVER), compat, two, 200, when, tag)


def test_several_channels(poll, pub):
    """Commas run on over the channels."""
    a, b = new_channel(), new_channel()
    fill(pub, b, "b1", "b2")
    fill(pub, a, "a1")
    got = poll.get(f"{a}/{b}", **CALLBACK, **SINCE_EVER)
    assert got.body == b"Hcb([1:a1,1:b1,2:b2]);F"


@pytest.mark.parametrize("compat, body", [
    ("0.6.0", "Hcb([1:x]);F"), ("0.4.0", "Hcb([1:x]);F"),
    ("0.3.4", "H\r\ncb\r\n([1:x\r\n]);\r\nF\r\n"),
])
def test_live(wait, pub, compat, body):
    """No comma behind it; and those who wait with another callback, or
    none, get their own."""
    ch = new_channel()
    wait = wait.but(compat=compat)
    since = {} if compat != "0.3.4" else {"HTTP_LAST_EVENT_ID": "none"}
    readers = [wait.park(ch, query="callback=" + name, **since)
               for name in ("cb", "other", "")]
    (when, tag), = fill(pub, ch, "x")
    first, other, plain = [r.answer() for r in readers]
    check(first, compat, body, 200, when, tag)
    check(other, compat, body.replace("cb", "other"), 200, when, tag)
    end = "\r\n" * (compat == "0.3.4")
    assert plain.body.decode() == f"H{end}1:x{end}F{end}"
    assert plain.header("Content-Type") == "text/plain"


@pytest.mark.parametrize("compat", COMPATS)
def test_timeout(wait, compat):
    a = wait.but(compat=compat, longpolling_connection_ttl="10ms").get(
        new_channel(), **CALLBACK, **SINCE_EVER)
    check(a, compat, "", 304)


@pytest.mark.parametrize("compat", ["0.6.0", "0.4.0"])
def test_polling_for_nothing(poll, compat):
    a = poll.but(compat=compat).get(new_channel(), **CALLBACK)
    check_head(a, 304, SCRIPT, *EMPTY, *NO_CACHE)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_timeout_with_body(make_daemon, gateway):
    """0.3.4 knows none."""
    d = make_daemon(push_stream_timeout_with_body="on")
    wait = long_polling(d, gateway, longpolling_connection_ttl="10ms",
                        header_template="H", footer_template="F")
    since = {**CALLBACK, **SINCE_EVER}
    for compat, size in [("0.6.0", "9"), ("0.4.0", "~size~")]:
        check(wait.but(compat=compat).get("a", **since), compat,
              f"Hcb([{{-3||Timed out|0|{EPOCH}|||{size}}}]);F")
    check(wait.but(compat="0.3.4").get("a", **since), "0.3.4", "", 304)


@pytest.mark.parametrize("compat, body", [
    ("0.6.0", "Hcb([-2:bye]);F"), ("0.4.0", "Hcb([-2:bye]);F"),
    ("0.3.4", "H\r\ncb\r\n([-2:bye\r\n]);\r\nF\r\n"),
])
def test_deletion(wait, pub, compat, body):
    ch = new_channel()
    reader = wait.but(compat=compat).park(ch, **CALLBACK, **SINCE_EVER)
    assert pub.ask("DELETE", ch, b"bye").status == 200
    check(reader.answer(), compat, body)


@pytest.mark.parametrize("compat", COMPATS)
def test_by_header(daemon, pub, compat):
    """Forced polls may have a callback; streams look at none."""
    ch = new_channel()
    fill(pub, ch, "x")
    stream = streaming(daemon, message_template="~text~", compat=compat)
    end = "\r\n" * (compat == "0.3.4")
    with opened(stream, ch, query="callback=a(b)", **SINCE_EVER) as s:
        s.expect("x" + end)
    a = stream.get(ch, **CALLBACK, HTTP_X_NGINX_PUSHSTREAM_MODE="polling",
                   **SINCE_EVER)
    assert a.body.startswith(f"cb{end}([x{end}".encode())


@pytest.mark.parametrize("query, name", [
    ("callback=jQuery_1.a%5B0%5D.$b", "jQuery_1.a[0].$b"),
    ("a=b&callback=%63b", "cb"), ("callback=", None), ("callbacks=x", None),
])
def test_names(poll, pub, query, name):
    ch = new_channel()
    fill(pub, ch, "x")
    want = f"H{name}([1:x]);F" if name else "H1:xF"
    assert poll.get(ch, query=query, **SINCE_EVER).body.decode() == want


@pytest.mark.parametrize("mode", ["polling", "long-polling"])
@pytest.mark.parametrize("name", ["a(b)", "%3Cscript%3E", "a%0ab", "a;b",
                                  "a%20b", "a%00b", "%C3%A9", "a/b", "a,b"])
def test_bad_names(poll, pub, mode, name):
    """Never into a script; and no channel is made for it."""
    ch = new_channel()
    a = poll.but(subscriber=mode).get(ch, query="callback=" + name)
    check_head(a, 400, (EXPLAIN, "The callback argument is no name of a "
                        "function."), *EMPTY, *NO_CACHE)
    assert pub.get(ch).status == 404

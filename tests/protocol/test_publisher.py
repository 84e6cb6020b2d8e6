"""The publisher endpoint, answer by answer: what a site reads when it
publishes, asks or deletes is what the module would have said."""

import json
import sqlite3
import subprocess

import pytest

import conftest
import front
from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, check_head, cors,
                   long_polling, new_channel, polling, publisher)


@pytest.fixture(params=GATEWAYS)
def pub(request, daemon):
    return publisher(daemon, request.param)


@pytest.fixture
def sub(daemon):
    return polling(daemon)


def info(channel, published, stored, subscribers=0, quoted=False):
    q = '"' if quoted else ''
    return (f'{{"channel": "{channel}", "published_messages": '
            f'{q}{published}{q}, "stored_messages": {q}{stored}{q}, '
            f'"subscribers": {q}{subscribers}{q}}}\r\n').encode()


def json_head(body):
    return [("Content-Type", "application/json"),
            ("Content-Length", str(len(body))), *NO_CACHE]


def texts(answer):
    """The texts of a body in the long template."""
    return [m.split("|")[2] for m in answer.body.decode().split("}{")]


@pytest.mark.parametrize("compat, quoted", [("0.6.0", False),
                                            ("0.4.0", True)])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_publish(pub, method, compat, quoted):
    """The answer counts the message, and is the module's to the byte."""
    pub = pub.but(compat=compat)
    ch = new_channel()
    for n in 1, 2:
        a = pub.ask(method, ch, b"hello")
        want = info(ch, n, n, quoted=quoted)
        check_head(a, 200, *json_head(want))
        assert a.body == want


def test_publish_without_storing(pub, sub):
    """Off is the default: ids are used up, nothing is kept."""
    ch = new_channel()
    a = pub.but(store_messages=None).ask("POST", ch, b"gone")
    assert a.body == info(ch, 1, 0)
    assert sub.get(ch, **front.SINCE_EVER).status == 304
    assert pub.post(ch, b"kept").body == info(ch, 2, 1)


def test_subscribers_are_counted_before_they_are_served(pub):
    """The site asks so who is online."""
    ch = new_channel()
    reader = long_polling(pub.daemon).park(ch)
    assert pub.post(ch, b"x").body == info(ch, 1, 1, 1)
    assert reader.answer().status == 200
    assert pub.get(ch).body == info(ch, 1, 1, 0)


def test_info_off(pub):
    ch = new_channel()
    a = pub.but(channel_info_on_publish="off").ask("POST", ch, b"x")
    check_head(a, 200, *EMPTY, *NO_CACHE)
    assert a.body == b""
    assert pub.get(ch).body == info(ch, 1, 1)


def test_get(pub):
    """GET leaves out what does not exist and creates nothing."""
    ch, other, missing = new_channel(), new_channel(), new_channel()
    check_head(pub.get(missing), 404, *EMPTY, *NO_CACHE)
    check_head(pub.get(missing + "/" + ch), 404, *EMPTY, *NO_CACHE)
    pub.post(ch, b"x")
    one = pub.get(missing + "/" + ch)
    check_head(one, 200, *json_head(one.body))
    assert one.body == info(ch, 1, 1)
    pub.post(other, b"x")
    two = pub.get("/".join([ch, missing, other]))
    check_head(two, 200, *json_head(two.body))
    assert [c["channel"] for c in json.loads(two.body)["infos"]] == [ch, other]
    assert pub.get(missing).status == 404


def test_get_with_a_body(pub):
    """The site's online check sends its list as a body too."""
    ch = new_channel()
    pub.post(ch, b"x")
    a = pub.ask("GET", ch, b"/".join([ch.encode()] * 50))
    assert (a.status, a.body) == (200, info(ch, 1, 1))


@pytest.mark.parametrize("origin", [None, "*"])
def test_options(pub, origin):
    """OPTIONS is answered before the path is looked at."""
    a = pub.but(allowed_origins=origin).ask("OPTIONS", "")
    check_head(a, 200, *EMPTY, *NO_CACHE,
               *(cors("GET, POST, PUT, DELETE") if origin else []))


@pytest.mark.parametrize("mode, method, allow", [
    ("normal", "DELETE", "GET, POST, PUT"),
    ("", "HEAD", "GET, POST, PUT"),
    ("NORMAL", "PATCH", "GET, POST, PUT"),
    ("admin", "HEAD", "GET, POST, PUT, DELETE"),
    ("Admin", "get", "GET, POST, PUT, DELETE"),
])
def test_method_not_allowed(pub, mode, method, allow):
    """The method is looked at before the path."""
    a = pub.but(publisher=mode).ask(method, "", b"body")
    check_head(a, 405, *EMPTY, *NO_CACHE, ("Allow", allow))


REFUSALS = [
    ("", 400, "No channel id provided."),
    ("%", 400, "No channel id provided."),
    ("ALL", 403, "Channel id not authorized for this method."),
    ("a*", 403, "Channel id not authorized for this method."),
    ("*", 403, "Channel id not authorized for this method."),
    ("x" * 1025, 400, "Channel id is too large."),
    # The first id that is wrong decides.
    ("ALL/" + "x" * 1025, 403, "Channel id not authorized for this method."),
    ("x" * 1025 + "/ALL", 400, "Channel id is too large."),
]


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
def test_refused_paths(daemon, method):
    for gateway in GATEWAYS:
        pub = publisher(daemon, gateway)
        for path, status, text in REFUSALS:
            a = pub.ask(method, path, b"body")
            check_head(a, status, *EMPTY, *NO_CACHE, (EXPLAIN, text))
        a = pub.ask(method, None, b"body")
        check_head(a, 400, *EMPTY, *NO_CACHE, (EXPLAIN, REFUSALS[0][2]))


def test_longest_id(pub):
    ch = new_channel().ljust(1024, "x")
    assert pub.post(ch, b"x").body == info(ch, 1, 1)


def test_too_many_channels(pub):
    """A thousand ids are taken, one more is not."""
    path = "/".join(["x"] * 1000)
    assert pub.get(path).status == 404
    a = pub.get(path + "/y")
    check_head(a, 400, *EMPTY, *NO_CACHE,
               (EXPLAIN, "Too many channels in one request."))


def test_earlier_ids_of_a_refused_publish_exist(pub):
    ch = new_channel()
    assert pub.ask("POST", ch + "/ALL", b"x").status == 403
    assert pub.get(ch).body == info(ch, 0, 0)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_empty_body(pub, method):
    """Refused, but the channel has been made by then."""
    ch = new_channel()
    a = pub.ask(method, ch)
    check_head(a, 400, *EMPTY, *NO_CACHE,
               (EXPLAIN, "Empty post requests are not allowed."))
    assert pub.get(ch).body == info(ch, 0, 0)


def test_bodies_are_bytes(pub):
    """Whatever was published is delivered, byte for byte."""
    ch = new_channel()
    body = bytes(range(256)) * 3 + b"~id~%d\r\n\r\n'" + b"\0"
    pub.post(ch, body, CONTENT_TYPE="application/x-www-form-urlencoded")
    sub = polling(pub.daemon, message_template="~text~")
    assert sub.get(ch, **front.SINCE_EVER).body == body


def test_several_channels(pub, sub):
    """One body in two channels is two messages: an id and a tag each."""
    a, b = new_channel(), new_channel()
    pub.post(a, b"first")
    answer = pub.post(f"{a}/{b}", b"both")
    got = json.loads(answer.body)["infos"]
    assert [(c["channel"], c["published_messages"], c["stored_messages"])
            for c in got] == [(a, 2, 2), (b, 1, 1)]
    both = [sub.get(f"{ch}.b1") for ch in (a, b)]
    assert [m.body.split(b"|")[0] for m in both] == [b"{2", b"{1"]
    assert front.position(both[1]) == (front.position(both[0])[0],
                                       front.position(both[0])[1] + 1)


def test_a_channel_named_twice(pub, sub):
    """It gets the message twice and is listed twice."""
    ch = new_channel()
    got = json.loads(pub.post(f"{ch}/{ch}", b"x").body)["infos"]
    assert [c["published_messages"] for c in got] == [2, 2]
    assert texts(sub.get(ch, **front.SINCE_EVER)) == ["x", "x"]


def test_slash_and_backtrack_are_no_part_of_an_id(pub):
    ch = new_channel()
    assert pub.post(ch + "/", b"x").body == info(ch, 1, 1)
    assert pub.post(ch + ".b7", b"x").body == info(ch, 2, 2)
    assert pub.post(ch + ".bx", b"x").body == info(ch + ".bx", 1, 1)
    assert pub.post(ch + ".b1.b2", b"x").body == info(ch + ".b1", 1, 1)


@pytest.mark.parametrize("raw, ids", [
    ("@a%2Fb", ["@a", "b"]),
    ("@%41", ["@A"]),
    ("@a+b", ["@a+b"]),
    ("@a%zzb", ["@azzb"]),
    ("@a%4zb", ["@ab"]),
    ("@a%", ["@a"]),
    ("@a%3Fb", ["@a?"]),
    ("@a?b", ["@a?b"]),
    ("@%2525", ["@%25"]),
])
def test_decoding(pub, raw, ids):
    """The path is decoded once, with nginx's rules."""
    at = new_channel()
    got = json.loads(pub.post(raw.replace("@", at), b"x").body)
    got = got.get("infos", [got])
    assert [c["channel"] for c in got] == [i.replace("@", at) for i in ids]


def test_event_id_and_type(pub, sub):
    ch = new_channel()
    pub.post(ch, b"x", HTTP_EVENT_ID="e 1", HTTP_EVENT_TYPE="t/1")
    pub.post(ch, b"x", HTTP_EVENT_ID="")
    got = sub.get(ch, **front.SINCE_EVER).body.split(b"}{")
    assert got[0].split(b"|")[5:7] == [b"e 1", b"t/1"]
    assert got[1].split(b"|")[5:7] == [b"", b""]


@pytest.mark.parametrize("mode, methods", [
    ("normal", "GET, POST, PUT"), ("admin", "GET, POST, PUT, DELETE")])
def test_cors(pub, mode, methods):
    """Each field once on every answer, whatever the request's Origin."""
    pub = pub.but(publisher=mode, allowed_origins="http://a.example")
    fields = cors(methods, "http://a.example")
    ch = new_channel()
    ok = pub.ask("POST", ch, b"x", HTTP_ORIGIN="http://evil.example")
    check_head(ok, 200, *json_head(ok.body), *fields)
    for method, path, status, more in [
            ("POST", "ALL", 403, [(EXPLAIN, REFUSALS[2][2])]),
            ("POST", "", 400, [(EXPLAIN, REFUSALS[0][2])]),
            ("GET", new_channel(), 404, []),
            ("HEAD", ch, 405, [("Allow", methods)])]:
        a = pub.ask(method, path, b"x")
        check_head(a, status, *EMPTY, *NO_CACHE, *fields, *more)


def test_delete(pub, sub):
    """The channel is gone at once, and a new one starts at 1."""
    ch = new_channel()
    check_head(pub.ask("DELETE", ch), 404, *EMPTY, *NO_CACHE)
    for _ in range(3):
        pub.post(ch, b"old")
    before = pub.daemon.status()
    a = pub.ask("DELETE", ch)
    check_head(a, 200, *EMPTY, *NO_CACHE, (EXPLAIN, "Channel deleted."))
    now = pub.daemon.status()
    assert before["stored_messages"] - now["stored_messages"] == 3
    assert before["published_messages"] == now["published_messages"]
    assert pub.get(ch).status == 404
    assert sub.get(ch, **front.SINCE_EVER).status == 304
    assert pub.post(ch, b"new").body == info(ch, 1, 1)
    assert texts(sub.get(ch, **front.SINCE_EVER)) == ["new"]


def test_delete_some_of_several(pub):
    """One that exists is enough for 200."""
    ch = new_channel()
    pub.post(ch, b"x")
    assert pub.ask("DELETE", f"{new_channel()}/{ch}/{ch}").status == 200
    assert pub.ask("DELETE", ch).status == 404


@pytest.mark.parametrize("body, text", [
    (b"", "Channel deleted"), (b"bye ~id~", "bye ~id~")])
def test_delete_tells_those_who_wait(pub, body, text):
    """A long poll ends with message -2, also when it waits for more."""
    ch, other = new_channel(), new_channel()
    reader = long_polling(pub.daemon, header_template="H~id~",
                          footer_template="F", allowed_origins="*")
    reader = reader.park(f"{other}/{ch}", **front.SINCE_EVER)
    pub.post(new_channel(), b"x")
    assert pub.ask("DELETE", ch, body).status == 200
    a = reader.answer()
    check_head(a, 200, ("Content-Type", "text/plain"), *NO_CACHE, *cors("GET"),
               ("Etag", "W/0"),
               ("Last-Modified", a.header("Last-Modified")))
    assert a.body.decode() == (
        f"H~id~{{-2|{ch}|{text}|0|Thu, 01 Jan 1970 00:00:00 GMT|||"
        f"{len(text)}}}F")
    pub.daemon.wait_for(subscribers=0)
    assert pub.get(other).body == info(other, 0, 0)


def test_deleted_text_of_the_configuration(make_daemon):
    d = make_daemon(push_stream_channel_deleted_message_text="farewell")
    reader = long_polling(d, message_template="~text~").park("a")
    publisher(d).ask("DELETE", "a")
    assert reader.answer().body == b"farewell"


def test_wildcards_are_counted_apart(make_daemon):
    d = make_daemon(push_stream_wildcard_channel_prefix="w_")
    pub = publisher(d)
    pub.post("w_1/w_2/n", b"x")
    a = json.loads(pub.get("w_1/n").body)
    assert (a["channels"], a["wildcard_channels"]) == (1, 2)
    assert d.status()["wildcard_channels"] == 2


def test_number_of_channels(make_daemon):
    """What would be one channel too many is refused; deleting makes room."""
    d = make_daemon(push_stream_max_number_of_channels=2,
                    push_stream_max_number_of_wildcard_channels=1,
                    push_stream_wildcard_channel_prefix="w_")
    pub = publisher(d)
    too_many = [*EMPTY, *NO_CACHE,
                (EXPLAIN, "Number of channels were exceeded.")]
    pub.post("a/b", b"x")
    check_head(pub.ask("POST", "c", b"x"), 403, *too_many)
    check_head(pub.ask("POST", "a/c", b"x"), 403, *too_many)
    pub.post("w_1", b"x")
    check_head(pub.ask("POST", "w_2", b"x"), 403, *too_many)
    check_head(polling(d).get("a/c"), 403, *too_many)
    assert pub.get("a").body == info("a", 1, 1)
    assert pub.ask("DELETE", "a").status == 200
    pub.post("c", b"x")


def test_cap(make_daemon):
    """The oldest message makes way; numbers say so; ids go on."""
    d = make_daemon(push_stream_max_messages_stored_per_channel=3)
    pub, sub = publisher(d), polling(d)
    for n in range(1, 8):
        assert pub.post("a", b"%d" % n).body == info("a", n, min(n, 3))
    assert texts(sub.get("a", **front.SINCE_EVER)) == ["5", "6", "7"]
    assert texts(sub.get("a.b9")) == ["5", "6", "7"]
    assert d.status()["stored_messages"] == 3
    # What is not stored pushes nothing out.
    pub.but(store_messages="off").post("a", b"live")
    assert texts(sub.get("a", **front.SINCE_EVER)) == ["5", "6", "7"]


def test_body_size(make_daemon):
    """A body over client_max_body_size is 413; just as large is not."""
    d = make_daemon(client_max_body_size=1000)
    for gateway in GATEWAYS:
        pub = publisher(d, gateway)
        pub.post("a", b"x" * 1000)
        a = pub.ask("POST", "a", b"x" * 1001)
        assert a.status == 413 and a.body == b""
        assert a.header("Content-Length") == "0"
        assert pub.get("a").status == 200
    assert d.status()["published_messages"] == 2


def expiries(daemon, tmp_path):
    """{text: seconds to live} of what the database holds."""
    copy = tmp_path / "copy.db"
    subprocess.run([conftest.HOLDFASTCTL, "-s", daemon.control, "backup",
                    str(copy)], check=True, timeout=20)
    with sqlite3.connect(copy) as db:
        return {body.decode(): expires - (cursor >> 24) for cursor, expires,
                body in db.execute("SELECT cursor, expires, body "
                                   "FROM message")}


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_message_expiry(make_daemon, tmp_path, gateway):
    """1..message_ttl is honoured, more is cut; what is no number of seconds
    counts as absent; 0 is for those who wait."""
    ttl = 5000
    d = make_daemon(push_stream_message_ttl=ttl)
    pub = publisher(d, gateway)
    wanted = {"100": 100, "5000": ttl, "0004999": 4999, "5001": ttl,
              "99999999999999999999999999": ttl, "": ttl, "-1": ttl,
              "1.5": ttl, "60s": ttl, " 60": ttl, "soon": ttl, "0x10": ttl}
    for value in wanted:
        pub.post("a", value.encode() or b"(empty)", HTTP_MESSAGE_EXPIRY=value)
    pub.post("a", b"absent")
    reader = long_polling(d).park("a")
    a = pub.post("a", b"live only", HTTP_MESSAGE_EXPIRY="0")
    assert a.body == info("a", len(wanted) + 2, len(wanted) + 1, 1)
    assert texts(reader.answer()) == ["live only"]
    pub.post("a", b"000", HTTP_MESSAGE_EXPIRY="000")
    got = expiries(d, tmp_path)
    want = {text or "(empty)": s for text, s in wanted.items()}
    # The clock may move on between the request and the commit.
    assert got.keys() == want.keys() | {"absent"}
    assert all(0 <= want.get(text, ttl) - s <= 2 for text, s in got.items())


def test_empty_id_is_a_channel(pub):
    assert pub.post("/", b"x").body == info("", 1, 1)
    names = [c["channel"] for c in
             json.loads(pub.post("/" + new_channel(), b"x").body)["infos"]]
    assert names[0] == "" and len(names) == 2
    assert pub.ask("DELETE", ".b5").status == 200


def test_the_empty_id_survives(make_daemon):
    """Also as a name in the database."""
    d = make_daemon()
    pub = publisher(d)
    pub.post("/", b"x")
    d.stop()
    d.start()
    assert pub.post("/", b"x").body == info("", 2, 2)
    assert pub.ask("DELETE", "/").status == 200
    d.kill()
    d.start()
    assert pub.get("/").status == 404



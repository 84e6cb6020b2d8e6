"""The statistics endpoint, to the byte: monitoring parses it with whatever it
has."""

import re
import socket

import pytest

import front
from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, check_head,
                   long_polling, new_channel, publisher)
from test_info import ACCEPTS, FORMATS, LISTS, of_list

VERSION = [("X-Nginx-PushStream-Tag", "0.5.5"),
           ("X-Nginx-PushStream-Commit",
            "3bc016f811d50374251960db091557571dfd7393")]


def statistics(daemon, gateway="fastcgi", **settings):
    return front.Location(daemon, gateway, **{
        "channels_statistics": "", **settings})


@pytest.fixture(params=GATEWAYS)
def stat(request, daemon):
    return statistics(daemon, request.param)


@pytest.fixture
def pub(daemon):
    return publisher(daemon)


def listed(answer):
    """The ids of a list in JSON."""
    head, *items, end = answer.body.decode().split("\r\n")[:-1]
    assert head.endswith('"infos": [') and end == "]}"
    assert [i[-1] for i in items] == [","] * (len(items) - 1) + \
        ["}"] * bool(items)
    return [re.match(r'\{"channel": "([^"]*)", "published_messages": ',
                     i).group(1) for i in items]


def check_list(answer, *ids):
    check_head(answer, 200, ("Content-Type", "application/json"),
               ("Content-Length", str(len(answer.body))), *VERSION, *NO_CACHE)
    assert listed(answer) == list(ids)


# One channel, and some

@pytest.mark.parametrize("kind", FORMATS)
def test_single(stat, pub, kind):
    ch = new_channel()
    pub.post(ch, b"x")
    pub.but(store_messages="off").post(ch, b"x")
    want = FORMATS[kind].format(id=ch, p=2, s=1, u=0).encode()
    for path in (ch, f"missing/{ch}", f"{ch}/", ch + ".b1"):
        a = stat.get(path, HTTP_ACCEPT=kind)
        check_head(a, 200, ("Content-Type", kind),
                   ("Content-Length", str(len(want))), *VERSION, *NO_CACHE)
        assert a.body == want


@pytest.mark.parametrize("kind", FORMATS)
def test_list(make_daemon, kind):
    """In the order of the path, twice what is named twice."""
    d = make_daemon(push_stream_wildcard_channel_prefix="w_")
    publisher(d).post("a/b", b"x")
    publisher(d).post("b/w_1", b"x")
    items = [("b", (2, 2, 0)), ("w_1", (1, 1, 0)), ("b", (2, 2, 0))]
    a = statistics(d).get("b/missing/w_1.b7/b", HTTP_ACCEPT=kind)
    check_head(a, 200, ("Content-Type", kind),
               ("Content-Length", str(len(a.body))), *VERSION, *NO_CACHE)
    assert re.fullmatch(of_list(kind, items, c=2, w=1), a.body.decode())


@pytest.mark.parametrize("accept, kind", ACCEPTS)
@pytest.mark.parametrize("path", [None, "*"])
def test_accept(daemon, path, accept, kind):
    fields = {} if accept is None else {"HTTP_ACCEPT": accept}
    a = statistics(daemon).get(path, **fields)
    assert (a.status, a.header("Content-Type")) == (200, kind)


def test_counts_readers(stat, daemon, pub):
    ch = new_channel()
    parked = long_polling(daemon).park(f"{ch}/{ch}")
    assert b'"subscribers": 2}' in stat.get(ch).body
    pub.post(ch, b"x")
    parked.answer()
    assert b'"subscribers": 0}' in stat.get(ch).body


# All channels, or those that begin with something

@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_to_list(make_daemon, kind):
    """A list all the same, and complete."""
    d = make_daemon()
    for path in ("ALL", "*", "x*"):
        a = statistics(d).get(path, HTTP_ACCEPT=kind)
        check_head(a, 200, ("Content-Type", kind),
                   ("Content-Length", str(len(a.body))), *VERSION, *NO_CACHE)
        end = {"application/json": "]}\r\n", "text/x-json": "]}\r\n",
               "application/xml": "  </infos>\r\n</root>\r\n"}
        head = re.escape(LISTS[kind][0].format(
            h=socket.gethostname(), t="\x01", c=0, w=0, up="\x02"))
        head = head.replace("\x01", r"[-\d]{10}T[:\d]{8}")
        assert re.fullmatch(head.replace("\x02", r"\d+") +
                            re.escape(end.get(kind, "\r\n")),
                            a.body.decode()), a.body


@pytest.mark.parametrize("kind", FORMATS)
def test_all(make_daemon, kind):
    d = make_daemon(push_stream_wildcard_channel_prefix="w_")
    publisher(d).post("w_1/b", b"x")
    publisher(d).post("a/b", b"x")
    a = statistics(d).get("ALL", HTTP_ACCEPT=kind)
    items = [("w_1", (1, 1, 0)), ("b", (2, 2, 0)), ("a", (1, 1, 0))]
    assert re.fullmatch(of_list(kind, items, c=2, w=1), a.body.decode())


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_patterns(make_daemon, gateway):
    """What stands before the first '*' is the prefix, and the rest of the
    path is not looked at; order is that of creation."""
    d = make_daemon()
    stat = statistics(d, gateway)
    publisher(d).post("zb/a/ab/b/aa/A", b"x")
    every = ["zb", "a", "ab", "b", "aa", "A"]
    for path in ("ALL", "*", "***", "*a", "ALL/b", "b/ALL", "missing/*",
                 "b/missing/ALL/" + "x" * 2000, "%41LL", "ALL.b3", "%2A"):
        check_list(stat.get(path), *every)
    for path in ("a*", "a*zzz", "b/a*", "a*/b", "a*/*", "a%2a"):
        check_list(stat.get(path), "a", "ab", "aa")
    check_list(stat.get("ab*"), "ab")
    check_list(stat.get("abc*"))
    check_list(stat.get("ALLx*"))
    for path in ("all", "ALLx", "xALL"):
        assert stat.get(path).status == 404


def test_order_outlives_a_restart(make_daemon):
    d = make_daemon()
    names = [f"{n * 7919 % 997}" for n in range(300)]
    publisher(d).post("/".join(names), b"x")
    check_list(statistics(d).get("ALL"), *names)
    assert publisher(d).ask("DELETE", names[10]).status == 200
    publisher(d).post(names[10], b"x")
    names.append(names.pop(10))
    d.stop()
    d.start()
    check_list(statistics(d).get("ALL"), *names)


def test_a_slice(make_daemon):
    """The longest list that is one piece, with its length."""
    d = make_daemon()
    names = [f"c{n}" for n in range(1000)]
    publisher(d).post("/".join(names), b"x")
    check_list(statistics(d).get("ALL"), *names)
    check_list(statistics(d).get("/".join(names)), *names)


def long_list(d):
    """3,000 channels."""
    names = [f"c{n}" for n in range(3000)]
    for at in range(0, 3000, 1000):
        publisher(d).post("/".join(names[at:at + 1000]), b"x")
    return names


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_slices(make_daemon, gateway):
    """A long list comes in parts, and is no different for it."""
    d = make_daemon()
    names = long_list(d)
    for _ in range(20):
        a = statistics(d, gateway).get("ALL")
        check_head(a, 200, ("Content-Type", "application/json"), *VERSION,
                   *NO_CACHE)
        assert listed(a) == names
    d.wait_for(connections=1)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_slices_given_up(make_daemon, gateway):
    """Readers of long lists that go leave nothing behind: there is room for
    16 at a time."""
    d = make_daemon()
    names = long_list(d)
    for _ in range(20):
        statistics(d, gateway).start("GET", "ALL").hang_up()
        d.wait_for(connections=1)
    assert listed(statistics(d, gateway).get("ALL")) == names


# Refusals

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD",
                                    "OPTIONS"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_method(daemon, gateway, method):
    """GET only; the version is not told."""
    stat = statistics(daemon, gateway, allowed_origins="*")
    with daemon.counts(refused_requests=1):
        a = stat.ask(method, "ALL")
    check_head(a, 405, ("Allow", "GET"), *EMPTY, *NO_CACHE)


def test_no_cors(stat, pub):
    """Statistics are not for other sites' scripts."""
    ch = new_channel()
    pub.post(ch, b"x")
    stat = stat.but(allowed_origins="*")
    for path in (ch, "missing", "x" * 2000, "ALL", None):
        assert stat.get(path).header("Access-Control-Allow-Origin") is None


def test_unknown(stat):
    for path in ("missing", "missing/gone", "/"):
        check_head(stat.get(path), 404, *VERSION, *EMPTY, *NO_CACHE)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_too_long(make_daemon, gateway):
    """Ids are looked at in order, so one that is too long does not matter
    behind a list."""
    d = make_daemon(push_stream_max_channel_id_length=4)
    stat = statistics(d, gateway)
    publisher(d).post("abcd/x", b"x")
    for path in ("abcde", "x/abcde", "abcde/ALL", "abcd*"):
        a = stat.get(path)
        check_head(a, 400, (EXPLAIN, "Channel id is too large."), *VERSION,
                   *EMPTY, *NO_CACHE)
    check_list(stat.get("ALL/abcde"), "abcd", "x")
    assert stat.get("abcd.b12345").status == 200


def test_too_many(stat):
    check_head(stat.get("x/" * 1001), 400,
               (EXPLAIN, "Too many channels in one request."), *VERSION,
               *EMPTY, *NO_CACHE)


# The whole

XML = '<?xml version="1.0" encoding="UTF-8" ?>\r\n'
FIELDS = {
    "0.6.0": ["channels", "wildcard_channels", "published_messages",
              "stored_messages", "messages_in_trash", "channels_in_delete",
              "channels_in_trash", "subscribers", "uptime"],
    "0.4.0": ["channels", "wildcard_channels", "published_messages",
              "stored_messages", "messages_in_trash", "channels_in_trash",
              "subscribers", "uptime"],
    "0.3.4": ["channels", "broadcast_channels", "published_messages",
              "subscribers", "uptime"],
}


def of_summary(kind, compat, **numbers):
    """A regular expression: time and uptime are what they are."""
    numbers = {"messages_in_trash": 0, "channels_in_delete": 0,
               "channels_in_trash": 0, "uptime": "\x02", **numbers}
    host, mark, u = socket.gethostname(), "\x01", numbers["subscribers"]
    pid = numbers.pop("pid")
    values = [(n, numbers[n]) for n in FIELDS[compat]]
    if "json" in kind:
        q = "" if compat == "0.6.0" else '"'
        body = (f'{{"hostname": "{host}", "time": "{mark}", ' +
                "".join(f'"{n}": {q}{v}{q}, ' for n, v in values) +
                f'"by_worker": [\r\n{{"pid": "{pid}", "subscribers": '
                f'{q}{u}{q}, "uptime": {q}\x02{q}}}\r\n]}}\r\n')
    elif "xml" in kind:
        values = [("hostname", host), ("time", mark), *values]
        body = (XML + "<infos>\r\n" +
                "".join(f"  <{n}>{v}</{n}>\r\n" for n, v in values) +
                f"  <by_worker><worker>\r\n  <pid>{pid}</pid>\r\n"
                f"  <subscribers>{u}</subscribers>\r\n"
                "  <uptime>\x02</uptime>\r\n</worker>\r\n"
                "</by_worker>\r\n</infos>\r\n")
    else:
        yaml = "yaml" in kind
        indent = "  " * yaml
        values = [("hostname", host), ("time", mark), *values]
        body = ("".join(f"{indent}{n}: {v}\r\n" for n, v in values) +
                f"{indent}by_worker:\r\n" + "   -\r\n" * yaml +
                "".join(f"{indent}  {n}: {v}\r\n" for n, v in (
                    ("pid", pid), ("subscribers", u), ("uptime", "\x02"))))
    pattern = re.escape(body).replace("\x01", r"[-\d]{10}T[:\d]{8}")
    return pattern.replace("\x02", r"\d+")


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("compat", FIELDS)
def test_summary(make_daemon, compat, gateway):
    """No channel named: the whole in figures, and the daemon as the one
    worker."""
    d = make_daemon(push_stream_wildcard_channel_prefix="w_")
    publisher(d).post("a/b/w_1", b"x")
    publisher(d).but(store_messages="off").post("a", b"x")
    parked = long_polling(d).park("a/c")
    numbers = {"channels": 3, "wildcard_channels": 1, "broadcast_channels": 1,
               "published_messages": 4, "stored_messages": 3,
               "subscribers": 1, "pid": d.process.pid}
    version = VERSION if compat == "0.6.0" else [(VERSION[0][0], compat)]
    cache = [] if compat == "0.3.4" else NO_CACHE
    stat = statistics(d, gateway, compat=compat)
    for kind in FORMATS:
        for path in (None, ""):
            a = stat.get(path, HTTP_ACCEPT=kind)
            check_head(a, 200, ("Content-Type", kind),
                       ("Content-Length", str(len(a.body))), *version,
                       *cache)
            assert re.fullmatch(of_summary(kind, compat, **numbers),
                                a.body.decode()), a.body
    parked.hang_up()


# Older versions

@pytest.mark.parametrize("compat", ["0.4.0", "0.3.4"])
def test_older(stat, pub, compat):
    """JSON's numbers in quotes, and the version's name in every answer;
    0.3.4 says nothing of caches."""
    cache = [] if compat == "0.3.4" else NO_CACHE
    ch = new_channel()
    pub.post(ch, b"x")
    stat = stat.but(compat=compat)
    tag = ("X-Nginx-PushStream-Tag", compat)
    a = stat.get(ch)
    check_head(a, 200, ("Content-Type", "application/json"),
               ("Content-Length", str(len(a.body))), tag, *cache)
    assert a.body == (f'{{"channel": "{ch}", "published_messages": "1", '
                      '"stored_messages": "1", "subscribers": "0"}\r\n'
                      ).encode()
    for path, status, fields in (
            ("missing", 404, [tag]),
            ("x" * 2000, 400, [tag, (EXPLAIN, "Channel id is too large.")])):
        check_head(stat.get(path), status, *fields, *EMPTY, *cache)
    check_head(stat.ask("POST", ch), 405, ("Allow", "GET"), *EMPTY, *cache)


def test_list_of_0_3_4(make_daemon):
    """Wildcard channels went by another name."""
    d = make_daemon(push_stream_wildcard_channel_prefix="w_")
    publisher(d).post("b/w_1", b"x")
    stat = statistics(d, compat="0.3.4")
    a = stat.get("ALL")
    items = [("b", (1, 1, 0)), ("w_1", (1, 1, 0))]
    want = of_list("application/json", items, True, c=1, w=1)
    assert re.fullmatch(want.replace("wildcard_", "broadcast_"),
                        a.body.decode()), a.body
    for kind in FORMATS:
        body = stat.get("b*", HTTP_ACCEPT=kind).body
        assert b"broadcast_channels" in body and b"wildcard" not in body


def test_id_of_0_3_4(make_daemon):
    """Its variable holds one id as it is: not cut, not decoded."""
    d = make_daemon(more="""
location "/old" {
    push_stream_channels_statistics = ""
    push_stream_compat = "0.3.4"
    push_stream_channel_id = "$arg_id"
}
""")
    # The path of 0.6.0 is cut and decoded once.
    publisher(d).post("a/b/a%2541/c.b3.b0/%25", b"x")
    stat = statistics(d, compat="0.3.4")
    old = front.Location(d, uri="/old")
    for id in ("a%41", "c.b3", "%"):
        want = FORMATS["text/plain"].format(id=id, p=1, s=1, u=0).encode()
        for a in (stat.get(id, HTTP_ACCEPT="text/plain"),
                  stat.get(None, HTTP_ACCEPT="text/plain",
                           push_stream_channel_id=id),
                  old.get(None, query="id=" + id, HTTP_ACCEPT="text/plain")):
            assert a.status == 200 and a.body == want
    for id in ("a/b", "a/", "/a", "a.b1", "%61", "aA", "/"):
        assert stat.get(id).status == 404
        assert old.get(None, query="id=" + id).status == 404
    assert len(listed(old.get(None, query="id=x/*"))) == 0
    assert len(listed(old.get(None, query="id=ALL"))) == 5
    assert b"by_worker" in old.get(None).body
    assert b"by_worker" in old.get(None, query="id=").body

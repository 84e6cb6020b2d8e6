"""What is said about channels, in every format, to the byte: sites parse it
with whatever they have."""

import re
import socket

import pytest

import front
from front import GATEWAYS, NO_CACHE, check_head, new_channel, publisher


@pytest.fixture(params=GATEWAYS)
def pub(request, daemon):
    return publisher(daemon, request.param)


FORMATS = {
    "application/json":
        '{{"channel": "{id}", "published_messages": {p}, '
        '"stored_messages": {s}, "subscribers": {u}}}\r\n',
    "text/plain":
        "channel: {id}\r\npublished_messages: {p}\r\n"
        "stored_messages: {s}\r\nactive_subscribers: {u}\r\n",
    "application/yaml":
        "  channel: {id}\r\n  published_messages: {p}\r\n"
        "  stored_messages: {s}\r\n  subscribers: {u}\r\n",
    "application/xml":
        '<?xml version="1.0" encoding="UTF-8" ?>\r\n<channel>\r\n'
        "  <name>{id}</name>\r\n"
        "  <published_messages>{p}</published_messages>\r\n"
        "  <stored_messages>{s}</stored_messages>\r\n"
        "  <subscribers>{u}</subscribers>\r\n</channel>\r\n\r\n",
}
FORMATS["text/x-json"] = FORMATS["application/json"]
FORMATS["text/x-yaml"] = FORMATS["application/yaml"]

HEAD = ("{{\"hostname\": \"{h}\", \"time\": \"{t}\", \"channels\": {c}, "
        "\"wildcard_channels\": {w}, \"uptime\": {up}, \"infos\": [\r\n")
LISTS = {
    # head, before an item, between two, after the last
    "application/json": (HEAD, "", ",\r\n", "\r\n]}\r\n"),
    "text/plain": ("hostname: {h}, time: {t}, channels: {c}, "
                   "wildcard_channels: {w}, uptime: {up}, infos: \r\n",
                   "", ",\r\n", "\r\n"),
    "application/yaml": ("hostname: {h}\r\ntime: {t}\r\nchannels: {c}\r\n"
                         "wildcard_channels: {w}\r\nuptime: {up}\r\n"
                         "infos: \r\n", " -\r\n", "\r\n", "\r\n"),
    "application/xml": ('<?xml version="1.0" encoding="UTF-8" ?>\r\n'
                        "<root>\r\n  <hostname>{h}</hostname>\r\n"
                        "  <time>{t}</time>\r\n"
                        "  <channels>{c}</channels>\r\n"
                        "  <wildcard_channels>{w}</wildcard_channels>\r\n"
                        "  <uptime>{up}</uptime>\r\n  <infos>\r\n",
                        "", "\r\n", "\r\n  </infos>\r\n</root>\r\n"),
}
LISTS["text/x-json"] = LISTS["application/json"]
LISTS["text/x-yaml"] = LISTS["application/yaml"]
XML = '<?xml version="1.0" encoding="UTF-8" ?>\r\n'


@pytest.mark.parametrize("kind", FORMATS)
def test_single(pub, kind):
    ch = new_channel()
    pub.post(ch, b"x")
    pub.but(store_messages="off").post(ch, b"x")
    for a in (pub.get(ch, HTTP_ACCEPT=kind),
              pub.get(ch + "/missing", HTTP_ACCEPT=kind)):
        want = FORMATS[kind].format(id=ch, p=2, s=1, u=0).encode()
        check_head(a, 200, ("Content-Type", kind),
                   ("Content-Length", str(len(want))), *NO_CACHE)
        assert a.body == want
    published = pub.post(ch, b"x", HTTP_ACCEPT=kind)
    assert published.body == FORMATS[kind].format(
        id=ch, p=3, s=2, u=0).encode()


def of_list(kind, items, quoted=False, **head):
    """A regular expression: time and uptime are what they are."""
    q = '"{}"' if quoted else "{}"
    start, before, between, end = LISTS[kind]
    mark = "\x01"
    start = start.format(h=socket.gethostname(), t=mark, up=q.format("\x02"),
                         **{n: q.format(v) for n, v in head.items()})
    single = FORMATS[kind].removeprefix(XML)
    single = single.removesuffix("\r\n").removesuffix("\r\n")
    body = between.join(
        before + single.format(id=i, **{n: q.format(v) for n, v in
                                        zip("psu", numbers)})
        for i, numbers in items)
    pattern = re.escape(start + body + end)
    pattern = pattern.replace(re.escape(mark), r"[-\d]{10}T[:\d]{8}")
    return pattern.replace(re.escape("\x02"), r"\d+")


@pytest.mark.parametrize("kind", FORMATS)
def test_list(make_daemon, kind):
    """Two or more: the head tells about all channels, and no item of the
    list is missing or doubled."""
    d = make_daemon(push_stream_wildcard_channel_prefix="w_")
    pub = publisher(d)
    pub.post("a/b", b"x")
    pub.post("b/w_1", b"x")
    items = [("b", (2, 2, 0)), ("w_1", (1, 1, 0)), ("b", (2, 2, 0))]
    for quoted in (False, True) if "json" in kind else (False,):
        a = pub.but(compat="0.4.0" if quoted else "0.6.0").get(
            "b/missing/w_1/b", HTTP_ACCEPT=kind)
        check_head(a, 200, ("Content-Type", kind),
                   ("Content-Length", str(len(a.body))), *NO_CACHE)
        assert re.fullmatch(of_list(kind, items, quoted, c=2, w=1),
                            a.body.decode()), a.body


ACCEPTS = [
    (None, "application/json"),
    ("", "application/json"),
    ("*/*", "application/json"),
    ("text/plain", "text/plain"),
    ("text/xml", "application/xml"),
    ("text/html, application/xml", "application/xml"),
    ("application/jsonp", "application/json"),
    ("text/JSON", "application/json"),
    ("application/PLAIN", "application/json"),
    ("a/yaml;q=0.1, b/plain", "application/yaml"),
    ("application/x-json", "text/x-json"),
    ("text/x-yaml2", "text/x-yaml"),
    ("plain", "application/json"),
    ("a//xml", "application/xml"),
    ("a/", "application/json"),
]


@pytest.mark.parametrize("accept, kind", ACCEPTS)
def test_accept(pub, accept, kind):
    """What stands after a slash decides, the first that is known."""
    fields = {} if accept is None else {"HTTP_ACCEPT": accept}
    a = pub.post(new_channel(), b"x", **fields)
    assert a.header("Content-Type") == kind


@pytest.mark.parametrize("path, kind, shown", [
    ("a\"b\\c%01%0a", "application/json",
     "a\\\"b\\\\c\\u0001\\u000a"),
    ("<a>%26b", "application/xml", "&lt;a&gt;&amp;b"),
    ("<a>\"%26", "text/plain", "<a>\"&"),
    ("при", "application/json", "при"),
])
def test_escapes(pub, path, kind, shown):
    """An id cannot break out of the format."""
    at = new_channel()
    a = pub.post(at + path, b"x", HTTP_ACCEPT=kind)
    assert a.body.decode() == FORMATS[kind].format(id=at + shown, p=1, s=1,
                                                   u=0)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_capture_of_0_4_0(make_daemon, gateway):
    """The recorded answer of the module on the vendor's machine."""
    d = make_daemon()
    pub = front.Location(d, gateway, uri="/bitrix/pub/", compat="0.4.0",
                         publisher="admin", store_messages="on")
    one = "0123456789abcdef0123456789abcdef"
    two = "f" * 32
    a = pub.post(one, b"x", HTTP_ACCEPT="*/*")
    assert a.header("Content-Length") == "120"
    assert a.body == (b'{"channel": "0123456789abcdef0123456789abcdef", '
                      b'"published_messages": "1", "stored_messages": "1", '
                      b'"subscribers": "0"}\r\n')
    a = pub.post(f"{one}/{two}", b"x", HTTP_ACCEPT="*/*")
    head, first, second, end = a.body.decode().split("\r\n", 3)
    assert re.fullmatch(
        r'\{"hostname": "[^"]*", "time": "[-\d]{10}T[:\d]{8}", '
        r'"channels": "2", "wildcard_channels": "0", "uptime": "\d+", '
        r'"infos": \[', head)
    assert first == (f'{{"channel": "{one}", "published_messages": "2", '
                     '"stored_messages": "2", "subscribers": "0"},')
    assert second == (f'{{"channel": "{two}", "published_messages": "1", '
                      '"stored_messages": "1", "subscribers": "0"}')
    assert end == "]}\r\n"
    a = pub.get(f"{one}%2F{two}")
    assert len(a.body.split(b"\r\n")) == 5

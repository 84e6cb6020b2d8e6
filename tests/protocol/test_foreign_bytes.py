"""Names are bytes that anybody may choose: of channels, of paths, of files.
None of them may break an answer that others read, or write a line of the log."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import urllib.parse
import xml.etree.ElementTree

import pytest

import conftest
import wire
from conftest import HOLDFASTCTL, HOLDFASTD
from front import (GATEWAYS, SINCE_EVER, new_channel, polling, publisher,
                   wait_until)
from streams import opened, streaming
from test_statistics import statistics
from ws import WebSocket, websocket

# No UTF-8: a byte of Latin 1, half a character, a surrogate, too long a form.
BROKEN = b"\xe4\xc3\xed\xa0\x80\xc0\xaf"
SHOWN = "\ufffd" * len(BROKEN)


def quoted(name):
    return urllib.parse.quote_from_bytes(name)


# Where a name is shown

@pytest.fixture(params=GATEWAYS)
def gateway(request):
    return request.param


def test_a_name_in_a_websocket(daemon, gateway):
    """A browser would drop the connection, and come back for the same."""
    at = new_channel()
    sock = websocket(daemon, gateway,
                     message_template="~channel~ ~event-id~ ~text~")
    path = quoted(at.encode() + BROKEN)
    with WebSocket(sock, path) as w:
        publisher(daemon).post(path, b"live", HTTP_EVENT_ID=BROKEN)
        assert w.text().decode() == f"{at}{SHOWN} {SHOWN} live"
    with WebSocket(sock, path, **SINCE_EVER) as w:
        assert w.text().decode() == f"{at}{SHOWN} {SHOWN} live"


def test_a_body_goes_as_it_came(daemon, gateway):
    """It is its publisher's; the module's clients get it so, too."""
    at = new_channel()
    with WebSocket(websocket(daemon, gateway), at) as w:
        publisher(daemon).post(at, BROKEN)
        assert w.text() == BROKEN
    assert polling(daemon, gateway, message_template="~text~").get(
        at, **SINCE_EVER).body == BROKEN


def test_a_name_in_statistics(daemon, gateway):
    at = new_channel()
    name = at.encode() + b"\r\n\x1b" + BROKEN
    publisher(daemon).post(quoted(name), b"x")

    def shown(kind):
        return statistics(daemon, gateway).get(
            quoted(name), HTTP_ACCEPT=kind).body.decode()

    assert json.loads(shown("application/json"))["channel"] == (
        f"{at}\r\n\x1b{SHOWN}")
    assert xml.etree.ElementTree.fromstring(
        shown("application/xml")).find("name").text == f"{at}\n\ufffd{SHOWN}"
    for kind in "text/plain", "application/yaml":
        text = shown(kind)
        assert f"channel: {at}\\x0d\\x0a\\x1b{SHOWN}\r\n" in text
        assert text.count("\n") == shown("application/json").count("\n") + 3


def test_a_name_in_events(make_daemon, gateway):
    d = make_daemon(push_stream_events_channel_id="ev")
    reader = streaming(d, gateway, message_template="~text~|",
                       allow_connections_to_events_channel="on")
    with opened(reader, "ev") as s:
        publisher(d).post(quoted(b"a\"" + BROKEN), b"x")
        event = json.loads(s.until(b"|")[:-1].decode())
        assert event == {"type": "channel_created", "channel": 'a"' + SHOWN}


def raw_ask(daemon, gateway, params, body):
    with daemon.connect(getattr(daemon, gateway)) as c:
        if gateway == "scgi":
            c.send(wire.scgi(params, body))
            return c.scgi_answer()
        c.send(wire.fastcgi({**params, "CONTENT_LENGTH": str(len(body))},
                            body, keep=False))
        return c.answer()


SPLIT = "x\r\nX-Evil: 1\r\n\r\nbody"


@pytest.mark.parametrize("of", [
    {"allowed_origins": SPLIT}, {"content_type": SPLIT},
    {"HTTP_ORIGIN": SPLIT}, {"HTTP_IF_NONE_MATCH": SPLIT},
    {"HTTP_IF_MODIFIED_SINCE": SPLIT}, {"HTTP_EVENT_ID": SPLIT},
    {"HTTP_ACCEPT": SPLIT}, {"QUERY_STRING": "o=" + quoted(SPLIT.encode())}],
    ids=lambda of: next(iter(of)))
def test_no_value_makes_a_header(daemon, gateway, of):
    """Of a setting that the front expanded, of a field, of a query that we
    expand; whoever asks, and whoever comes after."""
    fields = {n: v for n, v in of.items() if n.isupper()}
    settings = {n: v for n, v in of.items() if n.islower()}
    if "QUERY_STRING" in fields:
        settings["allowed_origins"] = "$arg_o"
        fields["holdfast_expand"] = "on"
    at = new_channel()
    for make in publisher, polling, statistics:
        for method in "POST", "GET", "OPTIONS", "DELETE":
            location = make(daemon, gateway, **settings)
            params = {**location.parameters(method, at),
                      **SINCE_EVER, **fields}
            answer = raw_ask(daemon, gateway, params, b"x")
            assert answer.status in (200, 304, 400, 403, 404, 405, 500)
            assert not answer.header("X-Evil"), answer.raw


# The log

# A line of its own, a title for the terminal, and what no terminal may see:
# C1 as one character, a right-to-left override, bytes that are none.
FORGED = "2026-01-01T00:00:00+0000 [error] forged"
HOSTILE = (b"h\n" + FORGED.encode() + b"\r\n\x1b]0;x\x07\x7f" +
           "\u009b2J\u202e\u2028".encode() + BROKEN)
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[(error|warn|notice|info|debug)"
    r"\] .*")
HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e"
                     "\u2066-\u2069]")


def check_log(log, *about):
    """Lines of ours only; what is about each of these was forged in it."""
    lines = log.decode().split("\n")        # it is UTF-8
    assert lines.pop() == ""
    for line in lines:
        assert LINE.fullmatch(line), line
        assert not HARMFUL.search(line), line
        assert not line.startswith(FORGED)
    for text in about:
        assert [line for line in lines if text in line and
                re.search(r"h\\x0a.*forged", line)], (text, lines)


def ask(d, params=()):
    """A request, with some of its parameters otherwise."""
    with d.connect() as c:
        c.send(wire.fastcgi({**wire.cgi("GET", "/push"), **dict(params)},
                            keep=False))
        return c.answer()


def test_the_log_of_requests(make_daemon):
    """Of a path, of a parameter's name and value, of the control socket's
    backup; and nothing else that is sent leaves more there."""
    d = make_daemon(log_level="debug", push_stream_events_channel_id="ev",
                    bitrix_version=5, bitrix_route="sub",
                    signature_key="k")
    assert ask(d, {"DOCUMENT_URI": HOSTILE,
                   "push_stream_publisher": HOSTILE}).status == 500
    ask(d, {b"push_stream_" + HOSTILE: HOSTILE})
    for name in ("REMOTE_ADDR", "HTTP_HOST", "HTTP_ORIGIN", "HTTP_EVENT_ID",
                 "HTTP_LAST_EVENT_ID", "HTTP_USER_AGENT", "QUERY_STRING",
                 "HTTP_IF_NONE_MATCH", "HTTP_SEC_WEBSOCKET_KEY",
                 "HTTP_MESSAGE_EXPIRY", "REQUEST_METHOD", "HTTP_UPGRADE"):
        ask(d, {name: HOSTILE})
    for query in ("CHANNEL_ID=%s", "token=%s.%s.%s", "CHANNEL_ID=" + 32 * "a" +
                  ".%s", "clientId=%s", "mid=%s"):
        ask(d, {"QUERY_STRING": query.replace("%s", quoted(HOSTILE))})
    done = subprocess.run(
        [HOLDFASTCTL, "-s", d.control, "backup",
         os.fsencode(d.folder / "none") + b"/" + HOSTILE],
        capture_output=True)
    assert done.returncode != 0
    for head in (b"GET /" + HOSTILE + b" HTTP/1.1\r\n\r\n",
                 b"GET /%0a%1b%ff HTTP/1.1\r\nHost: " + HOSTILE + b"\r\n\r\n",
                 HOSTILE):
        with socket.create_connection(d.http) as s:
            s.sendall(head)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
    check_log(d.log.read_bytes(), "wrong setting: push_stream_publisher",
              "there is no such setting", "backup ")
    assert b"request h\\x0a" in d.log.read_bytes()


CONF = HOSTILE.replace(b"\x7f", b"")        # libconfuse takes 0x7f for an end


def escaped(value):
    """Of bytes, as they can stand between quotes of holdfast.conf."""
    return b'"' + b"".join(b"\\x%02x" % byte for byte in value) + b'"'


@pytest.mark.parametrize("setting", [
    b"database = %s", b"log_file = %s", b"socket_group = %s",
    b"fastcgi = {%s}", b"https = {%s}", b"fronts = {%s}", b"sync = %s",
    b"signature_key_file = %s", b"signature_algo = %s",
    b"tls_certificate = {%s}\ntls_certificate_key = {%s}",
    b"push_stream_publisher = %s", b"push_stream_message_ttl = %s",
    b"licence %s { signature_key = \"x\" }", b"location %s { nonsense = 1 }",
    b"licence \"" + b"a" * 32 + b"\" { signature_key = \"x\" hosts = {%s} }",
    b"licence \"" + b"a" * 32 + b"\" { signature_key = x valid_until = %s }",
], ids=lambda s: s.split()[0].decode())
def test_the_log_of_a_configuration(make_daemon, setting):
    """Every kind of value that it is told about in a refusal."""
    d = make_daemon(start=False)
    d.conf.write_bytes(
        re.sub(rb"(?m)^database = .*", b"", d.conf.read_bytes()) +
        setting.replace(b"%s", escaped(b"/none/" + CONF)) + b"\n")
    done = subprocess.run([HOLDFASTD, "-c", str(d.conf)], timeout=wire.TIMEOUT,
                          capture_output=True, env=d.environment())
    assert done.returncode == 1, done.stderr
    check_log(done.stderr)
    assert b"\\x0a" in done.stderr or b"/none" not in done.stderr


def test_the_log_of_a_file_that_is_no_configuration(make_daemon):
    d = make_daemon(start=False)
    path = os.fsencode(d.folder) + b"/" + HOSTILE.replace(b"/", b"")
    with open(path, "wb") as f:
        f.write(HOSTILE + b" = 1\n" + HOSTILE)
    done = subprocess.run([HOLDFASTD, "-c", path], capture_output=True,
                          timeout=wire.TIMEOUT, env=d.environment())
    assert done.returncode == 1
    check_log(done.stderr, "")


def test_the_log_of_the_environment(make_daemon):
    """Names of inherited sockets, and where to notify."""
    d = make_daemon(start=False)
    done = subprocess.run(
        ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', HOLDFASTD, "-c",
         str(d.conf)], capture_output=True, timeout=wire.TIMEOUT,
        env={**os.environb, b"LISTEN_FDS": b"1", b"LISTEN_FDNAMES": HOSTILE,
             b"NOTIFY_SOCKET": b"/" + HOSTILE})
    assert done.returncode == 1
    check_log(done.stderr, "NOTIFY_SOCKET")
    assert b"must be fastcgi" in done.stderr


def test_the_log_of_a_database(make_daemon):
    """Whose schema somebody wrote who can write the file: SQLite quotes it."""
    d = make_daemon()
    d.stop()
    with sqlite3.connect(d.folder / "holdfast.db") as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET name = ?, tbl_name = name, "
                   "sql = 'CREATE TABLE ' || ? WHERE name = 'message'",
                   (CONF.decode(errors="replace"),) * 2)
    db.close()
    before = len(d.log.read_bytes())
    done = subprocess.run([HOLDFASTD, "-c", str(d.conf)], timeout=wire.TIMEOUT,
                          capture_output=True, env=d.environment())
    assert done.returncode == 1
    check_log(done.stderr, "")
    assert len(d.log.read_bytes()) == before


def test_the_log_of_a_reload(make_daemon):
    d = make_daemon()
    d.conf.write_bytes(d.conf.read_bytes() + b"sync = " + escaped(CONF))
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "was not reloaded" in d.said())
    check_log(d.log.read_bytes(), "sync")

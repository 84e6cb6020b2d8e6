"""holdfastctl check: what it takes, and what it says where nobody answers.
Through real fronts it is tried in tests/e2e/test_check.py."""

import contextlib
import http.server
import socketserver
import subprocess
import threading
import time

import pytest

import conftest
import wire

NOBODY = "http://127.0.0.1:9/"


def check(*words, before=()):
    r = subprocess.run([conftest.HOLDFASTCTL, *before, "check", *words],
                       capture_output=True, text=True, timeout=wire.TIMEOUT)
    assert "Sanitizer" not in r.stderr and "runtime error" not in r.stderr
    return r


@pytest.mark.parametrize("words", [
    [], [NOBODY, NOBODY], ["ftp://127.0.0.1/"], ["ws://127.0.0.1/"],
    ["/bitrix/sub/"], [""], ["--publish", "127.0.0.1:8895", NOBODY],
    ["--stream", "file:///etc/passwd", NOBODY],
    ["--websocket", "tcp://127.0.0.1/", NOBODY],
    ["--websocket", NOBODY], ["--wait", "soon", NOBODY],
    ["--wait", "3600", NOBODY], ["--wait", "-1", NOBODY],
    ["--version", "6", NOBODY], ["--version", "4a", NOBODY], ["--https", NOBODY], ["-x", NOBODY],
    ["http://127.0.0.1/" + "x" * 5000]])
def test_wrong_usage(words):
    r = check(*words)
    assert r.returncode == 2 and r.stdout == ""
    assert "usage: holdfastctl" in r.stderr and " check " in r.stderr


def test_the_word_is_a_command_in_its_place_only():
    """A file may have that name."""
    r = subprocess.run(
        [conftest.HOLDFASTCTL, "-s", "/nonexistent", "backup", "check"],
        capture_output=True, text=True, timeout=wire.TIMEOUT)
    assert r.returncode == 1 and "is holdfastd running" in r.stderr


def test_key_file(tmp_path):
    """What is wrong with it is said, and never what is in it."""
    keys = tmp_path / "keys"
    r = check("--key-file", str(keys), NOBODY)
    assert r.returncode == 1 and r.stdout == ""
    assert r.stderr == f"holdfastctl: {keys}: No such file or directory\n"
    for text in "", "\nsecret\n":
        keys.write_text(text)
        r = check("--key-file", str(keys), NOBODY)
        assert r.returncode == 1 and r.stdout == ""
        assert r.stderr == f"holdfastctl: {keys}: it has no key\n"


@pytest.mark.parametrize("before", [(), ("-s", "/nonexistent")])
@pytest.mark.parametrize("words", [
    ["--publish", NOBODY, NOBODY], [NOBODY, "--publish", NOBODY],
    ["--bitrix", "--insecure", "--wait", "0", "--publish", NOBODY, NOBODY]])
def test_nobody_there(before, words):
    """It is told at once, and what builds on it is not tried."""
    began = time.monotonic()
    r = check(*words, before=before)
    assert time.monotonic() - began < 5
    assert r.returncode == 1 and r.stderr == ""
    table, advice = r.stdout.split("\nWhat to change:\n")
    rows = table.splitlines()[1:]
    assert rows[0].startswith("  publish              not ok ")
    assert all(row[23:].startswith("not tried") for row in rows[1:])
    assert "does it listen there" in advice


def test_front_that_says_nothing(make_daemon):
    """A FastCGI listener is none: every wait has its end."""
    d = make_daemon(request_timeout="1m")
    began = time.monotonic()
    r = check("--publish", "http://%s:%d/" % d.tcp, NOBODY)
    assert r.returncode == 1 and "  publish " in r.stdout
    assert time.monotonic() - began < 15


class Front(http.server.BaseHTTPRequestHandler):
    """Publisher, long poll and WebSocket of a front that is up to no good."""

    protocol_version = "HTTP/1.1"
    REASON = b"\x1b[2J\x07evil\xc2\x9b31m\x9b\x7f"

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.texts.append(text)
        self.answer()

    def do_DELETE(self):
        self.answer()

    def answer(self, body=b"", fields=()):
        self.send_response(200)
        for name, value in [*fields, ("Content-Length", len(body))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if "Upgrade" not in self.headers:
            self.answer(b"".join(self.server.texts), [
                ("Last-Modified", "Thu, 01 Jan 1970 00:00:01 GMT"),
                ("Etag", "\x1b]0;title\x07")])
            return
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept",
                         "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.end_headers()
        self.wfile.write(bytes([0x88, len(self.REASON) + 2]) +
                         (4010).to_bytes(2, "big") + self.REASON)

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def serving(handler, server=http.server.ThreadingHTTPServer):
    """Its address."""
    with server(("127.0.0.1", 0), handler) as s:
        s.texts = []
        thread = threading.Thread(target=s.serve_forever, daemon=True)
        thread.start()
        try:
            yield "127.0.0.1:%d" % s.server_address[1]
        finally:
            s.shutdown()
            thread.join()


def test_nothing_of_an_answer_orders_a_terminal_about():
    with serving(Front) as where:
        r = subprocess.run(
            [conftest.HOLDFASTCTL, "check", "--wait", "0", "--publish",
             f"http://{where}/pub", "--websocket", f"ws://{where}/ws",
             f"http://{where}/sub"], capture_output=True,
            timeout=wire.TIMEOUT)
    assert r.returncode == 1 and r.stderr == b""
    assert all(b in b"\n" or 0x20 <= b < 0x7f for b in r.stdout), r.stdout
    assert rb"closed: \x1b[2J\x07evil\xc2\x9b31m\x9b\x7f" in r.stdout
    assert rb"Etag \x1b]0;title\x07" in r.stdout


class Other(socketserver.BaseRequestHandler):
    """Somebody who reads, says this, and closes."""

    says = b""

    def handle(self):
        self.request.recv(65536)
        self.request.sendall(self.says)


@pytest.mark.parametrize("says, scheme, advice", [
    (b"", "http", "gives no answer in HTTP"),
    (b"\x01\x06\x00\x01", "http", "gives no answer in HTTP"),
    (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 51\r\n\r\n"
     b"The plain HTTP request was sent to an HTTPS port.\r\n", "http",
     "This port speaks TLS only"),
    (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "https",
     "No TLS could be agreed on")])
def test_something_else_listens(says, scheme, advice):
    class Handler(Other):
        pass

    Handler.says = says
    with serving(Handler, socketserver.ThreadingTCPServer) as where:
        r = check("--publish", f"{scheme}://{where}/", NOBODY)
    assert r.returncode == 1 and advice in r.stdout, r.stdout

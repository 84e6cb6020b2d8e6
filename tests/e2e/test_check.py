"""holdfastctl check: it passes a front that works, and names what is wrong
with one that does not."""

import contextlib
import http.server
import itertools
import re
import subprocess
import threading
import time

import pytest

import cases
import conftest

TRIALS = ["publish", "read what is stored", "position fields", "replay",
          "keep-alive", "compression", "caching, origin", "clocks",
          "long poll", "client that leaves", "stream", "WebSocket",
          "end of a poll"]


class Check:
    """A run; every trial stands in its table once, in order."""

    def __init__(self, *words, control="/run/holdfast/control.sock"):
        self.process = subprocess.Popen(
            [conftest.protocol.HOLDFASTCTL, "-s", control, "check", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def result(self):
        self.text, _ = self.process.communicate(timeout=60)
        self.status = self.process.returncode
        table, _, rest = self.text.partition("\nWhat ")
        self.advice = rest if rest.startswith("to change:\n") else ""
        self.head, *rows = table.splitlines()
        rows = [re.fullmatch(r"  (.{20}) (ok|not ok|not tried|limit) +(\S.*)", row)
                for row in rows]
        assert all(rows), table
        self.verdict = {row[1].strip(): row[2] for row in rows}
        self.detail = {row[1].strip(): row[3] for row in rows}
        assert list(self.verdict) == TRIALS
        assert self.status == ("not ok" in self.verdict.values())
        assert (self.advice == "") == (self.status == 0)
        return self

    def failed(self):
        return [t for t in TRIALS if self.verdict[t] == "not ok"]

    def not_tried(self):
        return [t for t in TRIALS if self.verdict[t] == "not tried"]



@pytest.fixture(scope="module")
def shipped(certificate, daemon):
    server = conftest.shipped(certificate, "bitrix-0.4.0.conf",
                              [8893, 8894, 8895]).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def patient(shipped, daemon):
    """The end of a poll takes forty seconds there: it begins first and is
    looked at last."""
    before = daemon.status()
    check = Check("--bitrix", "--insecure", "https://127.0.0.1:8894/")
    yield check, before
    check.process.kill()
    check.process.wait()


@pytest.fixture(autouse=True)
def in_time(patient):
    """It runs beside all other tests of this file."""


LOCATIONS = (conftest.SOURCE /
             "nginx-examples/bx/conf/im_subscrider.conf").read_text()
STREAM = """
    location /stream {
        include fastcgi_params;
        fastcgi_param push_stream_subscriber     eventsource;
        fastcgi_param push_stream_channels_path  $arg_id;
        fastcgi_pass unix:/run/holdfast/fastcgi.sock;
    }
"""
numbers = itertools.count()
URL = "http://127.0.0.1:8081/bitrix/sub/?CHANNEL_ID=%"
WORDS = ["--websocket", "ws://127.0.0.1:8081/bitrix/subws/?CHANNEL_ID=%",
         "--stream", "http://127.0.0.1:8081/stream?id=%"]


@pytest.fixture
def front(certificate, shipped):
    """The shipped locations, a stream, and polls that last for two seconds;
    with something put in place of something else."""
    made = []

    def make(*changes, more="", listen=""):
        text = LOCATIONS + STREAM
        for old, new in [("connection_ttl  40;", "connection_ttl 2s;"),
                         *changes]:
            assert old in text
            text = text.replace(old, new)
        name = f"check-{next(numbers)}"
        made.append(conftest.nginx(
            certificate, name,
            f"server {{ listen 127.0.0.1:8081 {listen}; {more}\n{text}\n}}",
            [8081]).start())

    yield make
    for server in made:
        server.stop()


def check(*words, url=URL, **options):
    return Check(*words, url, **options).result()


TUNNEL = LOCATIONS[LOCATIONS.index("location ^~ /bitrix/subws/"):]


def instead(text, *changes):
    """A change of the location: this text with other things in it."""
    new = text
    for old, other in changes:
        assert old in new
        new = new.replace(old, other)
    return text, new


def also(line):
    """The location of the polls has this line, too."""
    return "gzip off;", "gzip off; " + line


# What is changed in the front, the trial that fails, what that says, and what
# is to be changed.
MISTAKES = {
    "buffering": (
        instead(STREAM, ("include", "fastcgi_ignore_headers "
                         "X-Accel-Buffering; include")),
        "stream", "held back", "fastcgi_buffering off;"),
    "gzip": (("gzip off;", "gzip on;"),
             "compression", "Etag .* becomes nothing", "gzip off;"),
    "expires": (also("expires 1h;"), "caching, origin",
                "Cache-Control: max-age=3600", "expires off;"),
    "caching": (also("add_header Cache-Control max-age=60;"),
                "caching, origin", "Cache-Control: max-age=60",
                "no add_header for Expires"),
    "origin": (also("add_header Access-Control-Allow-Origin *;"),
               "caching, origin", "Allow-Origin comes twice",
               "add_header Access-Control-Allow-Origin"),
    "other etag": (also("""fastcgi_hide_header Etag;
                        add_header Etag '"5f-60"';"""),
                   "position fields", '"5f-60"', "fastcgi_hide_header"),
    "wrong etag": (also("fastcgi_hide_header Etag; add_header Etag 777;"),
                   "position fields", "777: the message itself says another",
                   "fastcgi_hide_header"),
    "no etag": (also("fastcgi_hide_header Etag;"),
                "position fields", "Etag is missing", "fastcgi_hide_header"),
    "two times": (also("add_header Last-Modified "
                       "'Thu, 01 Jan 2026 00:00:00 GMT';"),
                  "position fields", "another one", "add_header"),
    "read timeout": (("fastcgi_read_timeout 90s;",
                      "fastcgi_read_timeout 1s;"),
                     "end of a poll", "504 after 1.0 s",
                     "fastcgi_read_timeout 90s;"),
    "abort": (also("fastcgi_ignore_client_abort on;"), "client that leaves",
              "still waits for the client", "fastcgi_ignore_client_abort off;"),
    "tunnel": (instead(TUNNEL, ("scgi_send", "#"), ("scgi", "fastcgi")),
               "WebSocket", "no frame", "scgi_pass unix:/run/holdfast/scgi.sock;"),
    "keep-alive": (also("keepalive_timeout 0;"),
                   "keep-alive", "each request", "keepalive_timeout 75s;"),
    "socket": (("holdfast/fastcgi.sock", "holdfast/nobody.sock"),
               "read what is stored", "502", "SocketGroup="),
    "redirect": (("gzip off;", "return 301 https://example.com/;"),
                 "read what is stored", "301: https://example.com/",
                 "the address it leads to"),
    "location": (("gzip off;", "return 200 hello;"),
                 "read what is stored", "message 1 is missing", "same channel"),
    "polling": (("long-polling;", "polling;"),
                "long poll", "304 at once", "long-polling"),
}


class TestFronts:
    """One mistake each, in nginx."""

    def test_none(self, front):
        """A stream may be compressed."""
        front(instead(STREAM, ("include",
                               "gzip_types text/event-stream; include")))
        c = check(*WORDS)
        assert c.failed() == [] and c.not_tried() == [], c.text
        assert c.head == URL + ", by nginx"
        assert c.detail["end of a poll"].startswith("304 after 2.")

    def test_http2(self, front):
        """All requests share a connection; the WebSocket has its own."""
        front(listen="ssl http2", more="include bx/conf/ssl.conf;")
        words = [w.replace("http:", "https:").replace("ws:", "wss:")
                 for w in WORDS]
        c = check("--insecure", *words, url=URL.replace("http:", "https:"))
        assert c.failed() == [] and c.not_tried() == [], c.text

    @pytest.mark.parametrize("name", MISTAKES)
    def test_mistake(self, front, name):
        change, trial, says, advice = MISTAKES[name]
        front(change)
        c = check(*WORDS)
        assert c.failed() == [trial], c.text
        assert re.search(says, c.detail[trial]), c.text
        assert advice in c.advice

    def test_how_a_position_comes(self, front):
        """A location may read fields."""
        front(("last_received_message_tag   $arg_tag;",
               "content_type text/html;"))
        c = check()
        assert c.failed() == [], c.text
        assert c.detail["replay"].endswith("by fields")

    def test_nobody_counts(self, front):
        """Without the publisher's word on its readers the daemon is asked,
        if it can be."""
        front(more="""
            location /pub {
                limit_except POST DELETE { deny all; }
                include fastcgi_params;
                fastcgi_param push_stream_publisher       admin;
                fastcgi_param push_stream_store_messages  on;
                fastcgi_param push_stream_channels_path   $arg_id;
                fastcgi_pass unix:/run/holdfast/fastcgi.sock;
            }""")
        publisher = ["--publish", "http://127.0.0.1:8081/pub?id=%"]
        c = check(*publisher)
        assert c.failed() == [] and c.verdict["client that leaves"] == "ok"
        c = check(*publisher, control="/nonexistent")
        assert c.failed() == [], c.text
        assert c.verdict["client that leaves"] == "not tried"

    def test_poll_beyond_patience(self, front):
        front(("connection_ttl 2s;", "connection_ttl 1m;"))
        c = check("--wait", "1")
        assert c.status == 0
        assert "end of a poll" in c.not_tried()
        assert c.detail["end of a poll"] == "no end within 1 s"


class TestPublisher:
    """What fails first is told alone."""

    @pytest.mark.parametrize("url, says, advice", [
        ("http://127.0.0.1:8893/bitrix/pub/?CHANNEL_ID=%", "403",
         "publish_from"),
        ("http://127.0.0.1:9/", "[Cc]onnect", "does it listen"),
        ("https://127.0.0.1:8894/", "certificate", "--insecure"),
        ("http://127.0.0.1:8893/bitrix/sub?CHANNEL_ID=%", "405",
         "Another location")])
    def test_refused(self, shipped, url, says, advice):
        c = check("--publish", url)
        assert c.failed() == ["publish"], c.text
        assert c.not_tried() == TRIALS[1:]
        assert re.search(says, c.detail["publish"]) and advice in c.advice

    def test_not_stored(self, front):
        front(more="""
            location /pub {
                include fastcgi_params;
                fastcgi_param push_stream_publisher      admin;
                fastcgi_param push_stream_channels_path  $arg_CHANNEL_ID;
                fastcgi_param push_stream_store_messages off;
                fastcgi_pass unix:/run/holdfast/fastcgi.sock;
            }""")
        c = check("--publish", "http://127.0.0.1:8081/pub")
        assert c.failed() == ["read what is stored"], c.text
        assert "push_stream_store_messages on" in c.advice


class Liar(http.server.BaseHTTPRequestHandler):
    """A front of our own before nginx, which does what nginx cannot."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Liar", ""
    ahead_s = 0
    answers_conditions = False

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + self.ahead_s)

    def reply(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            if name not in ("Date", "Server", "Connection", "Content-Length",
                            "Transfer-Encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def do_GET(self):
        since = self.headers.get("If-Modified-Since", "")
        headers = {"If-Modified-Since": since} if since else {}
        if self.answers_conditions:
            self.path = self.path.split("&tag=")[0]
            if since and "1970" not in since:
                self.reply(304)
                return
        a = cases.ask("GET", 8893, self.path, headers=headers)
        self.reply(a.status, a.headers, a.body)

    def log_message(self, *words):
        pass


@pytest.fixture
def liar(shipped):
    class Another(Liar):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 8082),
                                         Another) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Another
        server.shutdown()
        thread.join()


class TestLiar:
    SITE = "http://127.0.0.1:8082"

    @pytest.mark.parametrize("ahead_s", [-100, 100])
    def test_clocks(self, liar, ahead_s):
        liar.ahead_s = ahead_s
        c = Check("--wait", "0", self.SITE + "/bitrix/sub").result()
        assert c.failed() == ["clocks", "client that leaves"], c.text
        assert re.search(r"the front is at [+-](99|100|101) s, the daemon "
                         r"at [+-][01] s", c.detail["clocks"])
        assert c.head.endswith("by an unknown server")
        assert "time service" in c.advice

    def test_conditions(self, liar):
        """A 304 that is not the daemon's, where a position comes by
        fields."""
        liar.answers_conditions = True
        c = Check("--wait", "0", self.SITE + "/bitrix/sub").result()
        assert c.failed() == ["replay"], c.text
        assert c.detail["replay"] == "304"
        assert "a position here, no condition" in c.advice.replace(
            "\n   ", "")


class TestShipped:
    """The files as they are."""

    def test_all(self, daemon, patient):
        check, before = patient
        c = check.result()
        assert c.failed() == [] and c.not_tried() == ["stream"], c.text
        assert c.head == ("https://127.0.0.1:8894/bitrix/sub/?CHANNEL_ID=%, "
                          "by nginx")
        assert re.match(r"304 after (39|4\d)\.\d s", c.detail["end of a poll"])
        assert c.detail["replay"] == (
            "6 messages, each once, in order, by arguments")
        # Nothing stays of all the runs of this file.
        after = daemon.status()
        for name in "channels", "stored_messages", "subscribers":
            assert after[name] == before[name], name

    def test_shortest(self, certificate, shipped):
        """The lines of the README."""
        shipped.stop()
        short = conftest.shipped(certificate, "minimal.conf", [8893]).start()
        try:
            c = Check("--bitrix", "--wait", "0", "--publish",
                      "http://127.0.0.1:8893/bitrix/pub/",
                      "http://127.0.0.1:8893").result()
        finally:
            short.stop()
            shipped.start()
        assert c.failed() == [], c.text

    def test_oldest(self, certificate, shipped):
        """0.3.4, where the tag comes by an argument, the time by a field."""
        shipped.stop()
        old = conftest.shipped(certificate, "bitrix-0.3.4.conf",
                               [8893, 8894, 8895]).start()
        try:
            c = Check("--bitrix", "--wait", "0",
                      "http://127.0.0.1:8893").result()
        finally:
            old.stop()
        assert c.failed() == [], c.text
        assert c.not_tried() == ["stream", "end of a poll"]
        assert c.detail["replay"].endswith("by fields")


class TestVersions:
    """Bitrix's own servers: another position, and ids that are signed."""

    KEY = "a key that both sides have"

    @pytest.fixture(scope="class")
    @classmethod
    def signing(cls, shipped, daemon):
        shipped.stop()
        text = daemon.conf.read_text()
        daemon.stop()
        daemon.conf.write_text(text + f'signature_key = {{"{cls.KEY}"}}\n')
        daemon.start()
        yield
        daemon.stop()
        daemon.conf.write_text(text)
        daemon.start()

    @pytest.mark.parametrize("version, file", [
        (3, "bitrix-push-1.0.conf"), (4, "bitrix-push-2.0.conf"),
        (5, "bitrix-push-3.0.conf")])
    def test_version(self, certificate, signing, tmp_path, version, file):
        keys = tmp_path / "keys"
        keys.write_text(self.KEY + "\nanother\n")
        server = conftest.shipped(certificate, file,
                                  [8893, 8894, 8895]).start()
        words = ["--bitrix", "--insecure", "--wait", "0", "--version",
                 str(version), "https://127.0.0.1:8894"]
        try:
            c = Check("--key-file", str(keys), *words).result()
            unsigned = Check(*words).result()
            words.remove("--version"), words.remove(str(version))
            older = Check(*words).result()
            mistaken = Check("--key-file", str(keys), *words).result()
        finally:
            server.stop()
        assert c.failed() == [], c.text
        assert c.not_tried() == ["stream", "end of a poll"]
        assert re.fullmatch(r"mid \d{26}", c.detail["position fields"])
        assert unsigned.failed() == ["read what is stored"], unsigned.text
        assert "signature_key" in unsigned.advice
        # Who forgets the version is told.
        for c in older, mistaken:
            assert c.failed() == ["read what is stored"], c.text
            assert "--version" in c.advice

"""nginx-examples/ under a stock nginx."""

import subprocess
import time

import pytest

import cases
import conftest
from cases import frame, tunnel
from streams import CLOSE, Stream, WebSocket


@pytest.fixture(scope="module")
def example():
    return conftest.Example("nginx", "bitrix-0.4.0.conf", [8893, 8894, 8895])


@pytest.fixture(scope="module")
def patient(front, daemon):
    """A poll that nobody ever answers; the other tests go on meanwhile."""
    ch = cases.new_channel()
    cases.publish(ch, b"old")
    position = cases.poll(ch + ".b1").position
    began = time.monotonic()
    return ch, cases.Poll(daemon, ch, position), began


@pytest.fixture(autouse=True)
def in_time(request, patient):
    """It begins to wait before the first test of this file."""


class TestBitrix(cases.Bitrix):
    def test_client_that_hangs_up(self, front, daemon):
        """nginx tells, and the daemon forgets it."""
        cases.check_hang_up(daemon)

    def test_unavailable(self, front, daemon):
        """nginx's own error can be read by a page of another origin."""
        a = cases.ask("GET", 8893, "/holdfast-unavailable")
        assert a.status == 404


class TestWebSocket(cases.WebSocket):
    """The location subws, through scgi_pass."""

    def test_reload(self, front, daemon, port):
        """nginx reloads: who is there stays, who comes is served."""
        ch = cases.new_channel()
        cases.publish(ch, b"old")
        with tunnel(port, ch) as ws:
            front.reload()
            with tunnel(port, ch) as newcomer:
                cases.publish(ch, b"new")
                assert cases.texts(ws.text()) == ["new"]
                assert cases.texts(newcomer.text()) == ["new"]


class TestPatience:
    def test_forty_seconds(self, patient):
        """Then a poll ends with 304, each field once, and a position from
        which nothing is missed."""
        ch, reader, began = patient
        a = reader.answer()
        assert 39 <= time.monotonic() - began <= 45
        assert (a.status, a.body) == (304, b"")
        cases.check_reader_headers(a)
        assert a.header("Etag") == "0"
        cases.publish(ch, b"new")
        assert cases.poll(ch, a.position).texts() == ["new"]


class TestRestart(cases.Restart):
    def test_nobody_there(self, front, daemon):
        """502 with the origin once, so that a page can read it."""
        daemon.stop()
        a = cases.poll(cases.new_channel())
        daemon.start()
        assert a.status == 502
        assert a.header("Access-Control-Allow-Origin") == "*"
        assert a.header("Retry-After") == "1"


@pytest.fixture(scope="class")
def alone(front):
    """The other files listen on the same ports: the first server goes."""
    front.stop()
    yield
    front.start()


@pytest.mark.usefixtures("alone")
class TestMinimal:
    """Few lines, and the paths of the built-in layout."""

    @pytest.fixture(scope="class")
    @classmethod
    def minimal(cls, certificate, daemon, alone):
        server = conftest.shipped(certificate, "minimal.conf", [8893]).start()
        yield server
        server.stop()

    @staticmethod
    def publish(channel, body, **options):
        return cases.ask("POST", 8893, "/bitrix/pub/?CHANNEL_ID=" + channel,
                         body, **options).status

    def test_poll(self, minimal, daemon):
        ch = cases.new_channel()
        assert self.publish(ch, b"one") == 200
        a = cases.poll(ch + ".b1")
        cases.check_reader_headers(a)
        assert a.texts() == ["one"]
        reader = cases.Poll(daemon, ch)
        assert self.publish(ch, b"two") == 200
        assert reader.answer().texts() == ["two"]
        assert self.publish(ch, b"x", connection=cases.connect(
            8893, conftest.OUTSIDE)) == 403

    def test_websocket(self, minimal, daemon):
        ch = cases.new_channel()
        for n in range(3):
            assert self.publish(ch, b"%d" % n) == 200
        position = cases.poll(ch + ".b2").last_frame
        with tunnel(8893, ch) as live, tunnel(8893, ch + ".b2") as ws:
            assert cases.texts(ws.text()) == ["1"]
            assert ws.text() == frame(ch, 3, 2, position)
            assert self.publish(ch, b"3") == 200
            assert cases.texts(ws.text()) == ["3"]
            assert cases.texts(live.text()) == ["3"]
        with tunnel(8893, ch, position) as ws:
            assert cases.texts(ws.text()) == ["3"]


@pytest.mark.usefixtures("alone")
class Test034:
    """bitrix-0.3.4.conf: the dialect of the oldest version."""

    @pytest.fixture(scope="class")
    @classmethod
    def old(cls, certificate, daemon, alone):
        server = conftest.shipped(certificate, "bitrix-0.3.4.conf",
                                  [8893, 8894, 8895]).start()
        yield server
        server.stop()

    @staticmethod
    def frame(number, text, position):
        when, tag = position
        return ('#!NGINXNMS!#{"id":%d,"tag":"%s","time":"%s","text":%s}'
                '#!NGINXNME!#' % (number, tag, when, text))

    def test_publish(self, old):
        """Numbers in quotes; a / is part of the id; no PUT."""
        for ch in cases.new_channel(), "a/b":
            a = cases.publish(ch, b"{}")
            assert a.body.decode() == (
                f'{{"channel": "{ch}", "published_messages": "1", '
                '"stored_messages": "1", "subscribers": "0"}\r\n')
            assert a.header("Content-Type") == "application/json"
            assert a.header("Access-Control-Allow-Origin") == "*"
            assert cases.pub("GET", ch).body == a.body
            assert cases.pub("DELETE", ch).status == 200
            assert cases.pub("GET", ch).status == 404
        assert cases.pub("PUT", ch, b"x").status == 405
        a = cases.pub("POST", "", b"x")
        assert a.status == 400
        assert (a.header("X-Nginx-PushStream-Explain") ==
                "No channel id provided.")
        outside = cases.connect(8893, conftest.OUTSIDE)
        assert cases.ask("GET", 8893, "/", connection=outside).status == 403

    @staticmethod
    def check_headers(a):
        for name in ("Access-Control-Allow-Origin",
                     "Access-Control-Allow-Headers"):
            assert len(a.all(name)) == 1, (name, a.headers)
        assert a.header("Access-Control-Allow-Origin") == "*"

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_poll(self, old, daemon, port):
        """Everything without a position, a line end behind each message."""
        ch = cases.new_channel()
        for n in range(3):
            cases.publish(ch, b"%d" % n)
        a = cases.poll(ch, port=port)
        found = a.positions()
        assert a.body.decode() == "".join(
            self.frame(n + 1, n, at) + "\r\n" for n, at in enumerate(found))
        assert a.status == 200 and len(found) == 3
        assert a.header("Content-Type") == "text/html; charset=utf-8"
        assert a.position == found[2] and found[2][1].isdigit()
        self.check_headers(a)
        assert not a.all("Expires") and not a.all("Cache-Control")
        # The time is the header's here, the tag the argument's.
        for n, (when, tag) in enumerate(found[:2]):
            a = cases.ask("GET", port,
                          f"/bitrix/sub?CHANNEL_ID={ch}&tag={tag}",
                          headers={"If-Modified-Since": when})
            assert a.texts() == [str(m) for m in range(n + 1, 3)]
        parked = daemon.status()["parked"]
        c = cases.connect(port)
        c.request("GET", f"/bitrix/sub?CHANNEL_ID={ch}&tag={found[2][1]}",
                  headers={"If-Modified-Since": found[2][0]})
        daemon.wait_for(parked=parked + 1)
        cases.publish(ch, b"3")
        a = cases.Answer(c.getresponse())
        c.close()
        assert a.body.decode() == self.frame(4, 3, a.last_frame) + "\r\n"
        self.check_headers(a)

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_poll_refused(self, old, port):
        """A page can read that too."""
        a = cases.poll(cases.new_channel(), port=port)
        assert a.status == 403
        self.check_headers(a)

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_websocket(self, old, daemon, port):
        """Live, or the last N; a refusal instead of a 101."""
        ch = cases.new_channel()
        for n in range(3):
            cases.publish(ch, b"%d" % n)
        found = cases.poll(ch).positions()
        # This version looks at no position.
        with tunnel(port, ch, found[0]) as live, \
                tunnel(port, ch + ".b2") as ws:
            assert ws.text().rstrip("\r\n") == self.frame(2, 1, found[1])
            assert cases.texts(ws.text()) == ["2"]
            cases.publish(ch, b"3")
            assert cases.texts(ws.text()) == ["3"]
            assert cases.texts(live.text()) == ["3"]
            ws.send(CLOSE)
            assert ws.closed() == b""
        refused = WebSocket(port, "/bitrix/subws/?CHANNEL_ID=" +
                            cases.new_channel())
        assert refused.status == 403
        refused.close()

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_websocket_reload(self, old, daemon, port):
        ch = cases.new_channel()
        cases.publish(ch, b"old")
        with tunnel(port, ch) as ws:
            old.reload()
            with tunnel(port, ch) as newcomer:
                cases.publish(ch, b"new")
                assert cases.texts(ws.text()) == ["new"]
                assert cases.texts(newcomer.text()) == ["new"]


# Streams by both gateways, with nothing said about buffering.
STREAMS = """
    server {
        listen 127.0.0.1:8893;
        location /fastcgi {
            include fastcgi_params;
            fastcgi_param push_stream_subscriber       $arg_mode;
            fastcgi_param push_stream_channels_path    $arg_channel;
            fastcgi_param push_stream_header_template  HEAD;
            fastcgi_pass unix:/run/holdfast/fastcgi.sock;
        }
        location /scgi {
            include scgi_params;
            scgi_param push_stream_subscriber       $arg_mode;
            scgi_param push_stream_channels_path    $arg_channel;
            scgi_param push_stream_header_template  HEAD;
            scgi_pass unix:/run/holdfast/scgi.sock;
        }
    }
    server {
        listen 127.0.0.1:8895;
        location / {
            include scgi_params;
            scgi_param push_stream_publisher      admin;
            scgi_param push_stream_channels_path  $arg_CHANNEL_ID;
            scgi_pass unix:/run/holdfast/scgi.sock;
        }
    }
"""


@pytest.mark.usefixtures("alone")
class TestStreams:
    """Each piece arrives when it is published, not at the end: the test goes
    on only when it is there."""

    @pytest.fixture(scope="class")
    @classmethod
    def own(cls, certificate, daemon, alone):
        server = conftest.nginx(certificate, "streams", STREAMS,
                                [8893, 8895]).start()
        yield server
        server.stop()

    @pytest.mark.parametrize("gateway", ["fastcgi", "scgi"])
    @pytest.mark.parametrize("mode, kind, head, piece", [
        ("streaming", "text/plain", b"HEAD", b"%s"),
        ("eventsource", "text/event-stream", b": HEAD\n", b"data: %s\n\n")])
    def test_pieces(self, own, daemon, gateway, mode, kind, head, piece):
        ch = cases.new_channel()
        streams = daemon.status()["streams"]
        with Stream(8893, f"/{gateway}?mode={mode}&channel={ch}") as s:
            assert s.headers["content-type"].startswith(kind)
            assert "x-accel-buffering" not in s.headers
            s.expect(head)
            for text in b"1", b"22", b"x" * 100000, b"3":
                cases.publish(ch, text)
                s.expect(piece % text)
            # The end is told as well.
            assert cases.pub("DELETE", ch).status == 200
            s.expect(piece % b"Channel deleted")
            s.expect_end()
        daemon.wait_for(streams=streams)


@pytest.mark.usefixtures("alone")
class TestHttp2:
    """http2.conf, by a client that speaks it: curl."""

    @pytest.fixture(scope="class")
    @classmethod
    def two(cls, certificate, daemon, alone):
        server = conftest.shipped(certificate, "http2.conf", [8892]).start()
        yield server
        server.stop()

    def test_events(self, two, daemon):
        """Each event arrives when it is published; of several streams on one
        connection, and the daemon learns that the client has left."""
        channels = [cases.new_channel() for _ in range(10)]
        streams = daemon.status()["streams"]
        words = ["curl", "-skN", "--http2", "--parallel",
                 "--parallel-max", "10", "--write-out", "%{http_version}\n"]
        for ch in channels:
            words += [f"https://127.0.0.1:8892/push/events?id={ch}"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as curl:
            daemon.wait_for(streams=streams + len(channels))
            for n in range(3):
                for ch in channels:
                    daemon.publish(ch, b"%d of %s" % (n, ch.encode()))
                    want = b"data: %d of %s\n" % (n, ch.encode())
                    while curl.stdout.readline() != want:
                        pass
            curl.terminate()
        daemon.wait_for(streams=streams)


@pytest.mark.usefixtures("alone")
class TestPublisherLimits:
    """publisher-limits.conf"""

    KEY = {"X-Push-Key": "change me"}

    @pytest.fixture(scope="class")
    @classmethod
    def limits(cls, certificate, daemon, alone):
        server = conftest.shipped(certificate, "publisher-limits.conf",
                                  [8891]).start()
        yield server
        server.stop()

    @staticmethod
    def publish(channel, body=b"x", headers=KEY, connection=None):
        return cases.ask("POST", 8891, "/push/pub?id=" + channel, body,
                         headers, connection).status

    def test_who(self, limits, daemon):
        ch = cases.new_channel()
        with daemon.counts(published_messages=1):
            assert self.publish(ch, headers={}) == 403
            assert self.publish(ch, headers={"X-Push-Key": "x"}) == 403
            assert self.publish(ch + "/other") == 400
            assert self.publish(ch + "%2fother") == 400
            assert self.publish("") == 400
            assert self.publish(ch) == 200
            assert self.publish(ch, b"x" * 65537) == 413

    def test_how_fast(self, limits, daemon):
        """What is beyond the burst is refused, and not stored."""
        ch, c = cases.new_channel(), cases.connect(8891)
        before = daemon.status()["stored_messages"]
        said = [self.publish(ch, connection=c) for _ in range(300)]
        assert set(said) == {200, 429}
        assert said[:100] == [200] * 100
        daemon.wait_for(stored_messages=before + said.count(200))
        # Strangers sooner.
        said = [self.publish(ch, headers={}) for _ in range(20)]
        assert set(said) == {403, 429}

"""What a site and its clients see, whichever web server stands in front."""

import email.utils
import hashlib
import http.client
import itertools
import json
import re
import select
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

import streams
from front import wait_until
from streams import CLOSE, PING, PONG

TLS_PORTS = (8891, 8892, 8894)
names = (hashlib.md5(b"%d" % n).hexdigest() for n in itertools.count())
OLD = "Thu, 01 Jan 1970 00:00:01 GMT"
ONCE = ["Content-Type", "Last-Modified", "Etag", "Expires", "Cache-Control",
        "Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers", "Date"]


def new_channel():
    return next(names)


def connect(port, host="127.0.0.1"):
    if port in TLS_PORTS:
        return http.client.HTTPSConnection(
            host, port, timeout=60, context=ssl._create_unverified_context())
    return http.client.HTTPConnection(host, port, timeout=60)


def positions(body):
    """(time, tag) of each message, as the site's own script reads them."""
    return [(when, tag) for tag, when in re.findall(
        r'"tag":"(\d+)","time":"([^"]*)"', body)]


def last_frame(body):
    """The position of a client that has read this."""
    return positions(body)[-1]


def texts(body):
    return re.findall(r'"text":(.*?)}#!NGINXNME!#', body)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read()

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        value, = self.all(name)
        return value

    @property
    def position(self):
        return self.header("Last-Modified"), self.header("Etag")

    @property
    def last_frame(self):
        """The same from the body."""
        return last_frame(self.body.decode())

    def positions(self):
        return positions(self.body.decode())

    def texts(self):
        return texts(self.body.decode())


def ask(method, port, path, body=None, headers=None, connection=None):
    c = connection or connect(port)
    c.request(method, path, body, headers or {})
    answer = Answer(c.getresponse())
    if connection is None:
        c.close()
    return answer


def pub(method, channel, body=None, **options):
    return ask(method, 8895, "/bitrix/pub/?CHANNEL_ID=" + channel, body,
               **options)


def publish(channel, body, **options):
    a = pub("POST", channel, body, **options)
    assert a.status == 200, (a.status, a.headers)
    return a


def sub_path(channel, position=None):
    path = "/bitrix/sub?CHANNEL_ID=" + channel
    if position is not None:
        path += f"&tag={position[1]}&time=" + urllib.parse.quote(position[0])
    return path


def poll(channel, position=None, port=8893, **options):
    return ask("GET", port, sub_path(channel, position), **options)


class Poll:
    """A poll that waits; the daemon has it."""

    def __init__(self, daemon, channel, position=None, port=8893):
        parked = daemon.status()["parked"]
        self.connection = connect(port)
        self.connection.request("GET", sub_path(channel, position))
        daemon.wait_for(parked=parked + 1)

    def answer(self):
        a = Answer(self.connection.getresponse())
        self.connection.close()
        return a


def raw(port, text):
    """Send bytes; the socket."""
    s = socket.create_connection(("127.0.0.1", port), 60)
    s.sendall(text.encode())
    return s


def rest(s):
    out = b""
    while more := s.recv(65536):
        out += more
    s.close()
    return out


def check_reader_headers(a, *missing):
    """Exactly once each: a browser refuses a doubled origin."""
    for name in ONCE:
        assert len(a.all(name)) == (name not in missing), (name, a.headers)
    assert a.header("Access-Control-Allow-Origin") == "*"
    assert a.header("Expires") == OLD
    assert not a.all("Status") and not a.all("Content-Encoding")


def check_hang_up(daemon):
    """Polls whose clients go away are forgotten, where the front tells."""
    ch = new_channel()
    publish(ch, b"x")
    parked = daemon.status()["parked"]
    readers = [Poll(daemon, ch) for _ in range(10)]
    for r in readers:
        r.connection.close()
    daemon.wait_for(parked=parked)


class Bitrix:
    """Every case once for each front."""

    # What the front itself says to a request that it will not pass on.
    REFUSED = 400

    def test_publish(self, front):
        """The answers that the site parses."""
        ch, other = new_channel(), new_channel()
        a = publish(ch, b'{"a":1}', headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Message-Expiry": "86400", "Connection": "close"})
        assert a.body.decode() == (
            f'{{"channel": "{ch}", "published_messages": "1", '
            '"stored_messages": "1", "subscribers": "0"}\r\n')
        assert a.header("Content-Type") == "application/json"
        assert a.header("Expires") == OLD
        assert not a.all("Access-Control-Allow-Origin")
        publish(other, b"x")
        # The online check: a GET with a body.
        a = pub("GET", f"{ch}/{other}", f"{ch}/{other}")
        infos = json.loads(a.body)["infos"]
        assert [c["channel"] for c in infos] == [ch, other]
        assert pub("GET", f"{ch}%2F{other}").body == a.body or \
            len(json.loads(a.body)["infos"]) == 2
        assert pub("PUT", ch, b"x").status == 200
        a = pub("OPTIONS", ch)
        assert (a.status, a.body) == (200, b"")
        a = pub("DELETE", ch)
        assert a.status == 200
        assert a.header("X-Nginx-PushStream-Explain") == "Channel deleted."
        a = pub("GET", ch)
        assert (a.status, a.body) == (404, b"")
        a = pub("POST", "x" * 33, b"x")
        assert a.status == 400
        assert (a.header("X-Nginx-PushStream-Explain") ==
                "Channel id is too large.")

    def test_bytes(self, front):
        """Bodies pass as they are, also large ones."""
        ch = new_channel()
        for body in bytes(range(256)) * 3, b"y" * 500000, b"\0":
            publish(ch, body)
            assert b'"text":' + body + b"}#!NGIN" in poll(ch + ".b1").body

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_replay(self, front, port):
        """By tag and time, by the headers, by the last N."""
        ch = new_channel()
        for n in range(5):
            publish(ch, b"%d" % n)
        a = poll(f"{ch}.b5", port=port)
        assert a.status == 200 and a.texts() == list("01234")
        check_reader_headers(a)
        assert a.header("Content-Type") == "text/html"
        frames = a.positions()
        for n, (when, tag) in enumerate(frames[:-1]):
            want = [str(m) for m in range(n + 1, 5)]
            assert poll(ch, (when, tag), port=port).texts() == want
            headers = {"If-Modified-Since": when}
            a = ask("GET", port, f"/bitrix/sub?CHANNEL_ID={ch}&tag={tag}",
                    headers=headers)
            assert a.status == 200 and a.texts() == want
        a = poll(ch, (OLD, ""), port=port)
        assert a.texts() == list("01234")

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_parked(self, front, daemon, port):
        """One that waits gets the message when it comes."""
        ch = new_channel()
        position = publish(ch, b"old") and poll(ch + ".b1").position
        reader = Poll(daemon, ch, position, port)
        publish(ch, b"new")
        a = reader.answer()
        assert a.status == 200 and a.texts() == ["new"]
        check_reader_headers(a)
        publish(ch, b"newer")
        assert poll(ch, a.position, port=port).texts() == ["newer"]

    def test_connection_is_kept(self, front):
        """A client polls again on its connection."""
        ch = new_channel()
        publish(ch, b"x")
        c = connect(8893)
        for _ in range(20):
            a = poll(ch + ".b1", connection=c)
            assert a.status == 200 and a.texts() == ["x"]
        c.close()

    def test_curl(self, front, daemon):
        """The lines of the README by another client."""
        ch = new_channel()
        url = "http://127.0.0.1:8895/bitrix/pub/?CHANNEL_ID=" + ch
        curl = ["curl", "-sk", "--max-time", "30"]
        out = subprocess.run([*curl, "-d", "{}", url], check=True,
                             capture_output=True).stdout
        assert b'"published_messages": "1"' in out
        parked = daemon.status()["parked"]
        with subprocess.Popen(
                [*curl, "-i", "--compressed", "https://127.0.0.1:8894" +
                 sub_path(ch)], stdout=subprocess.PIPE) as reader:
            daemon.wait_for(parked=parked + 1)
            subprocess.run([*curl, "-d", "{2}", url], check=True,
                           capture_output=True)
            out = reader.stdout.read().decode()
        assert '"text":{2}}#!NGINXNME!#' in out
        assert out.lower().count("access-control-allow-origin: *") == 1

    def test_refusals(self, front):
        """They pass with their explanation, and each field once."""
        ch = new_channel()
        a = poll(ch)
        assert (a.status, a.body) == (403, b"")
        assert (a.header("X-Nginx-PushStream-Explain") ==
                "Subscriber could not create channels.")
        for name in ("Access-Control-Allow-Origin", "Expires",
                     "Cache-Control", "X-Nginx-PushStream-Explain"):
            assert len(a.all(name)) == 1
        a = ask("GET", 8893, "/bitrix/sub")
        assert a.status == 400
        assert (a.header("X-Nginx-PushStream-Explain") ==
                "No channel id provided.")
        a = ask("OPTIONS", 8893, sub_path(ch))
        assert a.status == 200
        assert len(a.all("Access-Control-Allow-Methods")) == 1
        assert ask("POST", 8893, sub_path(ch), b"x").status == 405

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_callback(self, front, port):
        """JSONP would be somebody else's script."""
        ch = new_channel()
        publish(ch, b"x")
        a = ask("GET", port, sub_path(ch + ".b1") + "&callback=alert")
        assert a.status == self.REFUSED and b"NGINXNMS" not in a.body

    def test_other_locations(self, front):
        """What is not named is denied; publishing is for this machine."""
        for port, path, status in [
                (8893, "/", 403), (8893, "/bitrix/pub/?CHANNEL_ID=a", 403),
                (8894, "/bitrix/", 403),
                (8895, "/", 403), (8895, "/bitrix/sub?CHANNEL_ID=a", 403)]:
            assert ask("GET", port, path).status == status, (port, path)
        outside = "10.1.2.3"
        assert ask("GET", 8893, "/bitrix/sub",
                   connection=connect(8893, outside)).status == 400
        with pytest.raises(ConnectionRefusedError):
            ask("GET", 8895, "/bitrix/pub/",
                connection=connect(8895, outside))

    def test_nothing_can_be_smuggled_in(self, front):
        """Neither by headers nor by variables in arguments."""
        ch = new_channel()
        publish(ch, b"secret")
        a = ask("GET", 8893, "/bitrix/sub?CHANNEL_ID=$arg_x&x=" + ch + ".b1",
                headers={"push_stream_authorized_channels_only": "off",
                         "push-stream-authorized-channels-only": "off",
                         "Holdfast-Expand": "on", "X": ch})
        assert a.status == 403
        a = ask("GET", 8893, "/bitrix/sub?CHANNEL_ID=$http_x",
                headers={"X": ch + ".b1"})
        assert a.status == 403
        a = publish("$arg_x", b"x")
        assert a.body.startswith(b'{"channel": "$arg_x", ')

    def test_publisher_that_hangs_up(self, front, daemon):
        """Older sites close right after writing and never read: it counts
        all the same."""
        ch = new_channel()
        n = 20
        with daemon.counts(published_messages=n, stored_messages=n):
            for i in range(n):
                raw(8895, f"POST /bitrix/pub/?CHANNEL_ID={ch} HTTP/1.0\r\n"
                    f"Host: 127.0.0.1\r\nContent-Length: 2\r\n\r\n"
                    f"{i:02}").close()
        assert sorted(poll(f"{ch}.b{n}").texts()) == [
            f"{i:02}" for i in range(n)]

    def test_site_checker(self, front, daemon):
        """The form behind which every administrator sits, step by step."""
        text = new_channel()
        ch = hashlib.md5(text.encode()).hexdigest()
        raw(8895, f"POST /bitrix/pub/?CHANNEL_ID={ch} HTTP/1.0\r\n"
            f"Host: localhost\r\nContent-Length: {len(text) + 2}\r\n\r\n"
            f"{text}\r\n").close()
        wait_until(lambda: b'"stored_messages": "1"' in pub("GET", ch).body)
        yesterday = email.utils.formatdate(time.time() - 86400)
        s = raw(8893, f"GET /bitrix/sub?CHANNEL_ID={ch} HTTP/1.0\r\n"
                f"If-Modified-Since: {yesterday.replace('-0000', '+0000')}"
                "\r\nHost: localhost\r\n\r\n")
        # It sleeps for a second; the answer of step 1 is there by then.
        select.select([s], [], [], 20)
        publish(ch, text.encode())
        answer = s.recv(4096)
        assert answer.startswith(b"HTTP/1.") and b" 200 " in answer
        assert b'"text":' + text.encode() in answer
        assert b"chunked" not in answer.lower()
        s.close()
        # A site that does not send step 1: the text comes to one who waits.
        ch = new_channel()
        publish(ch, b"so that it exists")
        parked = daemon.status()["parked"]
        s = raw(8893, f"GET /bitrix/sub?CHANNEL_ID={ch} HTTP/1.0\r\n"
                "Host: localhost\r\n\r\n")
        daemon.wait_for(parked=parked + 1)
        publish(ch, text.encode())
        answer = s.recv(4096)
        assert b" 200 " in answer and b'"text":' + text.encode() in answer
        assert rest(s) == b""
        a = rest(raw(8895, f"DELETE /bitrix/pub/?CHANNEL_ID={ch} HTTP/1.0"
                     "\r\nHost: localhost\r\n\r\n"))
        assert b" 200 " in a.split(b"\r\n")[0]

    def test_conditions_are_ours(self, front):
        """If-Modified-Since and If-None-Match are a position here, not a
        condition: no server in between may make a 304 of a 200."""
        ch = new_channel()
        while True:
            publish(ch, b"1")
            publish(ch, b"2")
            frames = poll(ch + ".b2").positions()
            if frames[0][0] == frames[1][0]:
                break
        (when, tag), (_, last) = frames
        for value in last, tag, f'"{last}"', "*", f"W/{last}":
            a = ask("GET", 8893, f"/bitrix/sub?CHANNEL_ID={ch}&tag={tag}",
                    headers={"If-Modified-Since": when,
                             "If-None-Match": value})
            assert a.status == 200 and a.texts()[-1] == "2"
        later = email.utils.formatdate(time.time() + 1000, usegmt=True)
        a = ask("GET", 8893, sub_path(ch + ".b1"), headers={
            "If-Modified-Since": later})
        assert a.status == 200

    def test_keepalive_publishing(self, front, daemon):
        """Thousands of publishes on kept connections, and not one 502."""
        channels = [new_channel() for _ in range(4)]
        each, failures = 750, []

        def site(ch):
            c = connect(8895)
            for n in range(each):
                a = pub("POST", ch, b"%d" % n, connection=c)
                if a.status != 200:
                    failures.append(a.status)
            c.close()

        with daemon.counts(stored_messages=each * len(channels)):
            threads = [threading.Thread(target=site, args=(ch,))
                       for ch in channels]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        assert not failures
        for ch in channels:
            assert poll(ch, (OLD, "")).texts() == [
                str(n) for n in range(each)]

    def test_no_gzip(self, front):
        """Half of the position is the Etag, which compression would change
        or take away."""
        ch = new_channel()
        publish(ch, b"x" * 1000)
        a = ask("GET", 8893, sub_path(ch + ".b1"),
                headers={"Accept-Encoding": "gzip"})
        check_reader_headers(a)
        assert a.header("Etag").isdigit() and a.texts() == ["x" * 1000]

    def test_large_body(self, front):
        """Over a mebibyte is 413; a mebibyte is not."""
        ch = new_channel()
        publish(ch, b"x" * (1 << 20))
        a = pub("POST", ch, b"x" * ((1 << 20) + 1))
        assert a.status == 413
        assert b'"published_messages": "1"' in pub("GET", ch).body


def tunnel(port, channel, position=None):
    """A WebSocket on the shipped location."""
    path = "/bitrix/subws/?CHANNEL_ID=" + channel
    if position is not None:
        path += f"&tag={position[1]}&time=" + urllib.parse.quote(position[0])
    ws = streams.WebSocket(port, path)
    assert ws.status == 101, ws.status
    return ws


def frame(channel, number, text, position):
    """As the site's script expects it."""
    when, tag = position
    return ('#!NGINXNMS!#{"id":%d,"channel":"%s","tag":"%s","time":"%s",'
            '"eventid":"","text":%s}#!NGINXNME!#' % (
                number, channel, tag, when, text))


@pytest.mark.parametrize("port", [8893, 8894])
class WebSocket:
    """The location subws."""

    # To one that asks for no WebSocket.
    NO_UPGRADE = 400

    def test_live(self, front, daemon, port):
        """A message comes as the script wants it; a large one too."""
        ch = new_channel()
        publish(ch, b"old")
        with tunnel(port, ch) as ws:
            for n, text in enumerate([b"{}", b"x" * 200, b"y" * 70000], 2):
                publish(ch, text)
                position = poll(ch + ".b1").last_frame
                assert ws.text() == frame(ch, n, text.decode(), position)

    def test_replay(self, front, daemon, port):
        """By tag and time of any message, or the last N; then live."""
        ch = new_channel()
        for n in range(5):
            publish(ch, b"%d" % n)
        positions = poll(ch + ".b5").positions()
        for at in range(5):
            with tunnel(port, ch, positions[at]) as ws:
                for n in range(at + 1, 5):
                    assert ws.text() == frame(
                        ch, n + 1, n, positions[n])
        with tunnel(port, ch, positions[4]) as ws, \
                tunnel(port, ch + ".b2") as last:
            publish(ch, b"5")
            assert texts(ws.text()) == ["5"]
            for n in range(3, 6):
                assert texts(last.text()) == [str(n)]

    def test_ping_and_close(self, front, daemon, port):
        """The client's ping is answered, its close too, and nothing of it
        stays behind."""
        ch = new_channel()
        publish(ch, b"old")
        streams = daemon.status()["streams"]
        with tunnel(port, ch) as ws:
            daemon.wait_for(streams=streams + 1)
            ws.send(PING, b"there?")
            assert ws.frame() == (PONG, b"there?")
            ws.send(CLOSE, b"\x03\xe8bye")
            assert ws.closed()[:2] == b"\x03\xe8"
        daemon.wait_for(streams=streams)
        tunnel(port, ch).close()
        daemon.wait_for(streams=streams)

    def test_refusals(self, front, port):
        """A channel that holds nothing is refused behind the 101; a request
        that asks for no WebSocket before it."""
        with tunnel(port, new_channel()) as ws:
            said = ws.closed()
        assert said[:2] == b"\x03\xf0"
        assert json.loads(said[2:]) == {
            "http_status": 403,
            "explain": "Subscriber could not create channels."}
        a = ask("GET", port, "/bitrix/subws/?x")
        assert a.status == self.NO_UPGRADE


class Restart:
    """holdfastd goes away beneath the front."""

    # What the front says when it is cut off in the middle.
    CUT = (502, 503)
    KILLS = 5

    def start(self, daemon):
        daemon.start()

    def test_end_of_the_daemon(self, front, daemon):
        """Those who wait get the module's 304 with a position, each field
        once, and come back to the next daemon with it."""
        ch = new_channel()
        publish(ch, b"old")
        readers = [Poll(daemon, ch, port=port) for port in (8893, 8894)]
        daemon.stop()
        answers = [r.answer() for r in readers]
        for a in answers:
            assert (a.status, a.body) == (304, b"")
            check_reader_headers(a, *[n for n in ("Content-Type",)
                                      if not a.all(n)])
        self.start(daemon)
        publish(ch, b"new")
        for a in answers:
            assert poll(ch, a.position).texts()[-1:] == ["new"]

    def test_kill(self, front, daemon):
        """kill -9: a client that got an error comes back with what it had
        and misses nothing.  It has it from the body: right after a kill
        times may run ahead, and Apache lowers such a Last-Modified."""
        ch = new_channel()
        for n in range(3):
            publish(ch, b"%d" % n)
        position = poll(ch + ".b3").last_frame
        end = 3 + self.KILLS
        for n in range(3, end):
            reader = Poll(daemon, ch, position)
            daemon.kill()
            a = reader.answer()
            assert a.status in self.CUT, a.status
            a = poll(ch, position)
            assert a.status in (502, 503), "nobody is there"
            self.start(daemon)
            wait_until(lambda: pub("POST", ch, b"%d" % n).status == 200)
            a = poll(ch, position)
            assert a.texts() == [str(n)]
            position = a.last_frame
        assert poll(ch, (OLD, "")).texts() == [str(n) for n in range(end)]

    @pytest.mark.parametrize("port", [8893, 8894])
    def test_websocket(self, front, daemon, port):
        """The daemon ends with a close frame, or is cut off: the client
        comes back with its last message's position."""
        ch = new_channel()
        publish(ch, b"0")
        position = poll(ch + ".b1").last_frame
        for n, end in enumerate([daemon.stop, daemon.kill], 1):
            with tunnel(port, ch, position) as ws:
                end()
                if end == daemon.stop:
                    assert ws.closed() == b""
                else:
                    assert ws.at_end()
            refused = streams.WebSocket(port, "/bitrix/subws/?CHANNEL_ID=" + ch)
            assert refused.status in (502, 503)
            refused.close()
            self.start(daemon)
            publish(ch, b"%d" % n)
            with tunnel(port, ch, position) as ws:
                text = ws.text()
            assert texts(text) == [str(n)]
            position = last_frame(text)

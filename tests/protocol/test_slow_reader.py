"""A reader of a stream that is slow or has stopped: what waits for it is
bounded, others do not notice, and with its position it loses nothing."""

import os
import pathlib
import threading
import time

import pytest

import wire
import ws
from front import GATEWAYS, SINCE_EVER, Location, publisher

MODES = ["streaming", "eventsource", "websocket"]
SIZE, MANY = 65000, 320         # 20 MB


@pytest.fixture
def make(make_daemon, monkeypatch):
    """Daemons whose memory can be looked at: a sanitizer keeps little."""
    monkeypatch.setenv("ASAN_OPTIONS", ":".join([
        os.environ.get("ASAN_OPTIONS", ""), "quarantine_size_mb=1",
        "thread_local_quarantine_size_kb=64"]))
    return lambda **settings: make_daemon(
        sync="off", push_stream_max_messages_stored_per_channel=5000,
        **settings)


def resident(d):
    """In bytes."""
    text = pathlib.Path(f"/proc/{d.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


class Reader:
    """One who comes back with the time and tag of his last message."""

    def __init__(self, d, mode, gateway, **settings):
        template = "~time~|~tag~|~text~" + (
            "\n" if mode == "streaming" else "")
        self.location = Location(d, gateway, subscriber=mode,
                                 message_template=template, **settings)
        self.mode = mode
        self.position = {}
        self.numbers = []       # of the messages it has seen
        self.stream = None

    def open(self, path="a", **fields):
        kind = ws.WebSocket if self.mode == "websocket" else ws.Stream
        self.stream = kind(self.location, path, **{**self.position, **fields})
        if self.mode != "websocket":
            assert self.stream.head().startswith(b"Status: 200 ")
        return self

    def close(self):
        self.stream.close()

    def take(self):
        """The next message."""
        if self.mode == "websocket":
            text = self.stream.text().decode()
        else:
            text = ""
            while "|" not in text:
                text = self.stream.line()
        date, tag, text = text.removeprefix("data: ").split("|")
        self.position = {"HTTP_IF_MODIFIED_SINCE": date,
                         "HTTP_IF_NONE_MATCH": tag}
        self.numbers.append(int(text.split()[0]))

    def take_to(self, number):
        while not self.numbers or self.numbers[-1] != number:
            self.take()

    def take_what_is_left(self):
        """Until the connection ends, which it does in the middle."""
        with pytest.raises((AssertionError, ConnectionError)):
            while True:
                self.take()
        self.close()


def message(n, size=SIZE):
    return (b"%d " % n).ljust(size, b".")


class Taking:
    """A reader on its own thread, up to the last message."""

    def __init__(self, reader, last):
        self.reader = reader
        self.thread = threading.Thread(target=reader.take_to, args=(last,))
        self.thread.start()

    def done(self):
        self.thread.join(wire.TIMEOUT)
        assert not self.thread.is_alive()
        self.reader.close()
        return self.reader.numbers


@pytest.mark.parametrize("mode, gateway", [
    ("streaming", "fastcgi"), ("eventsource", "scgi"),
    ("websocket", "fastcgi"), ("websocket", "scgi")])
def test_one_stops_reading(make, mode, gateway):
    """20 MB pass by one who does not read.  The database's cache grows with
    20 MB anyway: that much they may cost when nobody reads."""
    d = make(subscriber_buffer_size="2m")
    pub = publisher(d)
    pub.post("warm", message(0))
    empty = resident(d)
    for n in range(MANY):
        pub.post("warm", message(n))
    usual = resident(d) - empty
    others = [Taking(Reader(d, m, g).open(), MANY - 1)
              for m, g in zip(MODES, GATEWAYS * 2)]
    slow = Reader(d, mode, gateway).open()
    d.wait_for(streams=4)
    before = most = resident(d)
    for n in range(MANY):
        pub.post("a", message(n))
        most = max(most, resident(d))
    for other in others:
        assert other.done() == list(range(MANY))
    d.wait_for(close_behind_bytes=1, close_behind_time=0, streams=0)
    assert most - before - usual < 16 << 20
    slow.take_what_is_left()
    assert 0 < len(slow.numbers) < MANY // 2
    slow.open().take_to(MANY - 1)
    assert slow.numbers == list(range(MANY))
    slow.close()


@pytest.mark.parametrize("mode, gateway", [
    ("streaming", "scgi"), ("eventsource", "fastcgi"),
    ("websocket", "scgi")])
def test_buffer_time(make, mode, gateway):
    """A message may not wait for ever, be it the only one; who waits for
    messages may."""
    d = make(subscriber_buffer_size="64m", subscriber_buffer_time="300ms")
    pub = publisher(d)
    idle = Reader(d, mode, gateway).open("idle")
    slow = Reader(d, mode, gateway).open()
    for n in range(20):
        pub.post("a", message(n))
    assert d.status()["close_behind_time"] == 0
    d.wait_for(close_behind_time=1, close_behind_bytes=0, streams=1)
    slow.take_what_is_left()
    slow.open().take_to(19)
    assert slow.numbers == list(range(20))
    slow.close()
    pub.post("idle", message(0))
    idle.take_to(0)
    idle.close()


@pytest.mark.parametrize("mode, gateway", [
    ("streaming", "fastcgi"), ("eventsource", "scgi"), ("websocket", "scgi")])
def test_large_replay(make, mode, gateway):
    """It comes as fast as it is taken, however much it is: the store is not
    asked for more meanwhile."""
    d = make(subscriber_buffer_size="256k")
    pub = publisher(d)
    for n in range(MANY):
        pub.post("a", message(n))
    before = resident(d)
    reader = Reader(d, mode, gateway).open(**SINCE_EVER)
    d.wait_for(store_reads=1)
    for n in range(MANY, MANY + 10):
        pub.post("a", message(n))
    time.sleep(0.2)
    assert d.status()["store_reads"] == 1
    assert resident(d) - before < 12 << 20
    reader.take_to(MANY + 9)
    assert reader.numbers == list(range(MANY + 10))
    status = d.status()
    assert status["store_reads"] > 10
    assert status["close_behind_bytes"] == status["close_behind_time"] == 0
    reader.close()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_live_behind_the_last_slice(make, gateway):
    """What comes while the last slice is being taken waits its turn, and
    does not make a slow reader of one that has just come."""
    d = make()
    pub = publisher(d)
    for n in range(15):
        pub.post("a", message(n))
    reader = Reader(d, "websocket", gateway).open(**SINCE_EVER)
    d.wait_for(store_reads=1)
    for n in range(15, 25):
        pub.post("a", message(n))
    reader.take_to(24)
    assert reader.numbers == list(range(25))
    reader.close()
    assert d.status()["close_behind_bytes"] == 0


@pytest.mark.parametrize("mode", ["streaming", "eventsource"])
def test_padded_replay(make, mode):
    """A slice of small messages that the padding makes large is one slice
    still."""
    d = make()
    pub = publisher(d)
    many = 600
    for n in range(many):
        pub.post("a", b"%d " % n)
    reader = Reader(d, mode, "fastcgi", padding_by_user_agent=".,0,8192")
    reader.open(HTTP_USER_AGENT="x", **SINCE_EVER)
    reader.take_to(many - 1)
    assert reader.numbers == list(range(many))
    reader.close()

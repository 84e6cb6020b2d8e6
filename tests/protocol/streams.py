"""A client of an answer that goes on: what has come so far, byte by byte."""

import contextlib
import re
import select

import front
import wire

UNBUFFERED = ("X-Accel-Buffering", "no")


class Stream:
    """Opened once its head is there: then it is subscribed, and everything
    that is published from now on reaches it."""

    def __init__(self, location, path, **fields):
        self.daemon = location.daemon
        self.waiting = location.start("GET", path, **fields)
        self.client = self.waiting.client
        self.bytes = b""
        self.ended = False
        self.head = wire.Answer(self.until(b"\r\n\r\n"))

    def more(self):
        """Wait for the next bytes, or for the end."""
        assert not self.ended, f"ended with {self.bytes!r}"
        if self.waiting.gateway == "scgi":
            got = self.client.sock.recv(65536)
            self.ended = not got
        else:
            kind, _, got = self.client.record()
            if kind == wire.END:
                assert got == bytes(8) and self.client.at_end()
                self.ended, got = True, b""
        self.bytes += got

    def read(self, n):
        while len(self.bytes) < n:
            self.more()
        out, self.bytes = self.bytes[:n], self.bytes[n:]
        return out

    def until(self, mark):
        """Up to the next mark, which is part of it."""
        while mark not in self.bytes:
            self.more()
        return self.read(self.bytes.index(mark) + len(mark))

    def expect(self, *pieces):
        """Exactly these bytes come next."""
        for piece in pieces:
            want = piece if isinstance(piece, bytes) else piece.encode()
            got = self.read(len(want))
            assert got == want, f"{got + self.bytes!r}, not {want!r}"

    def place(self):
        """An id without data: where an EventSource begins that gets nothing
        yet."""
        line = self.until(b"\n\n").decode()
        assert re.fullmatch(r"id: \d+\.\d+\n\n", line), line
        return line[4:-2]

    def expect_end(self, *pieces):
        """These bytes, then nothing more."""
        self.expect(*pieces)
        while not self.ended:
            self.more()
        assert self.bytes == b""
        self.client.close()

    def expect_silence(self):
        """Nothing has come.  The daemon answered somebody else in between,
        so what it had to send before is sent."""
        self.daemon.status()
        assert self.bytes + self.client.input == b""
        assert not select.select([self.client.sock], [], [], 0)[0]

    def hang_up(self):
        self.client.close()


@contextlib.contextmanager
def opened(location, path, **fields):
    """A stream that is hung up at the end, if it has not ended before."""
    stream = Stream(location, path, **fields)
    try:
        yield stream
    finally:
        stream.hang_up()


def streaming(daemon, gateway="fastcgi", **settings):
    return front.polling(daemon, gateway, **{
        "subscriber": "streaming", **settings})


def eventsource(daemon, gateway="fastcgi", **settings):
    return front.Location(daemon, gateway, **{
        "subscriber": "eventsource", **settings})

"""Daemons that are killed, and clients that come back: whatever these see
they write into a ledger (ledger.py)."""

import importlib.util
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "protocol"))
spec = importlib.util.spec_from_file_location(
    "protocol_conftest", TESTS / "protocol" / "conftest.py")
protocol = importlib.util.module_from_spec(spec)
spec.loader.exec_module(protocol)

import front    # noqa: E402  (its folder is known from here on)
import wire     # noqa: E402

from ledger import (ACKNOWLEDGED, KEPT, LIVE, SHORT, Message,  # noqa: E402,F401
                    View)

Daemon = protocol.Daemon
BUILD = pathlib.Path(os.environ.get("builddir") or os.getcwd())
CHANNELS = ["c%d" % n for n in range(5)]
TEMPLATE = "~id~|~channel~|~tag~|~time~|~text~\n"
SHARES = {KEPT: 0.55, SHORT: 0.1, LIVE: 0.35}   # how often
SHORT_S = 1
MEMBER = re.compile(rb'"channel": "([^"]*)", "published_messages": (\d+)')


class Cut(Exception):
    """The daemon went away before its answer was complete."""


class Connection:
    """One that is made again when the daemon was killed."""

    def __init__(self, daemon, stop):
        self.daemon = daemon
        self.stop = stop
        self.client = None

    def connected(self):
        while self.client is None:
            try:
                self.client = self.daemon.connect()
            except OSError:
                if self.stop.is_set():
                    raise Cut from None
                time.sleep(0.002)
        return self.client

    def ask(self, params, body=b""):
        client = self.connected()
        try:
            client.send(wire.fastcgi(params, body))
            return client.answer()
        except (OSError, struct.error):
            why = "cut"
        except AssertionError as e:
            why = str(e)
            if "closed before" not in why and "cut short" not in why:
                raise
        self.close()
        raise Cut(why)

    def close(self):
        if self.client is not None:
            self.client.close()
        self.client = None


def told_ids(answer):
    """What a publisher's answer says of ids: each channel's newest is its
    own."""
    return {channel.decode(): int(number)
            for channel, number in MEMBER.findall(answer.body)}


class Publisher:
    """Publishes until it is told to stop; channels, kinds and sizes are the
    seed's choice."""

    def __init__(self, daemon, ledger, number, seed, stop,
                 channels=tuple(CHANNELS), statuses=(200,)):
        self.chance = random.Random(f"{seed} publisher {number}")
        self.connection = Connection(daemon, stop)
        self.ledger = ledger
        self.stop = stop
        self.number = number
        self.channels = channels
        self.statuses = statuses    # any but 200 refuses the message
        self.stored = front.publisher(daemon)
        self.unstored = self.stored.but(store_messages="off")
        self.n = 0

    def publish(self, kind=None):
        """One.  Cut: no answer came."""
        self.n += 1
        channels = self.chance.sample(self.channels, min(
            self.chance.choice([1, 1, 1, 2, 3]), len(self.channels)))
        if kind is None:
            kind, = self.chance.choices(list(SHARES), SHARES.values())
        text = f"{self.number}.{self.n}"
        body = (text + "x" * self.chance.choice([0, 0, 10, 3000])).encode()
        location = self.unstored if kind == LIVE else self.stored
        fields = {"CONTENT_LENGTH": str(len(body))}
        if kind == SHORT:
            fields["HTTP_MESSAGE_EXPIRY"] = str(SHORT_S)
        p = self.ledger.publish(text, channels, kind,
                                SHORT_S if kind == SHORT else None)
        answer = self.connection.ask(location.parameters(
            "POST", "/".join(channels), **fields), body)
        assert answer.status in self.statuses, answer.raw
        if answer.status == 200:
            self.ledger.acknowledge(p, told_ids(answer))
        else:
            self.ledger.refuse(p)
        return answer

    def run(self):
        while not self.stop.is_set():
            try:
                self.publish()
            except Cut:
                pass


def parse(body):
    messages = []
    for line in body.decode().splitlines():
        ident, channel, tag, date, text = line.split("|")
        messages.append(Message(channel, int(ident), front.seconds(date),
                                int(tag), text.rstrip("x")))
    return messages


class Reader:
    """Comes back with its last position, whatever gave it."""

    def __init__(self, daemon, view, stop, ttl="20ms"):
        self.view = view
        self.connection = Connection(daemon, stop)
        self.stop = stop
        self.location = front.long_polling(
            daemon, message_template=TEMPLATE, longpolling_connection_ttl=ttl)
        self.at = dict(front.SINCE_EVER)

    def step(self):
        sent = time.monotonic()
        answer = self.connection.ask(self.location.parameters(
            "GET", "/".join(self.view.channels), **self.at))
        assert answer.status in (200, 304), answer.raw
        self.at = front.after(answer)
        self.view.saw(sent, front.position(answer), parse(answer.body))
        return answer.status == 200

    def run(self):
        """When the publishers have gone, up to the first empty answer."""
        more = True
        while more:
            last = self.stop.is_set()
            try:
                more = self.step() or not last
            except Cut:
                pass


class Crowd:
    """Publishers and readers, each in a thread of its own."""

    def __init__(self, daemon, ledger, seed, publishers=5, readers=8):
        self.ledger = ledger
        self.failures = []
        self.no_publish = threading.Event()
        self.no_read = threading.Event()
        chance = random.Random(f"{seed} crowd")
        self.publishers = [
            Publisher(daemon, ledger, n, seed, self.no_publish)
            for n in range(publishers)]
        self.readers = [
            Reader(daemon, ledger.reader(chance.sample(
                CHANNELS, chance.choice([1, 2, 3, 5]))), self.no_read,
                chance.choice(["20ms", "50ms"]))
            for _ in range(readers)]
        self.publishing, self.reading = [], []

    def thread(self, what):
        def body():
            try:
                what()
            except Exception as e:      # noqa: BLE001  (told by check)
                self.failures.append(repr(e))
        thread = threading.Thread(target=body)
        thread.start()
        return thread

    def check(self):
        assert not self.failures, self.failures

    def __enter__(self):
        self.publishing = [self.thread(p.run) for p in self.publishers]
        self.reading = [self.thread(r.run) for r in self.readers]
        return self

    def __exit__(self, *why):
        """The daemon runs: what was asked is answered, and all is read."""
        self.no_publish.set()
        for thread in self.publishing:
            thread.join()
        self.no_read.set()
        for thread in self.reading:
            thread.join()
        for client in [*self.publishers, *self.readers]:
            client.connection.close()


class Hammer:
    """Publishers and readers of hammer.c, thousands of publishes a second."""

    ENTRY = struct.Struct("=BBHIQQQq5I4x")
    SENT, ANSWERED, READER, MESSAGE, READ = range(1, 6)
    KINDS = [KEPT, SHORT, LIVE]

    def __init__(self, daemon, seed, publishers=48, readers=6, large=2,
                 first=0):
        """`large` percent of the texts are; they are numbers above the first,
        and filled up."""
        self.record = daemon.folder / f"record.{first}"
        self.command = [
            str(BUILD / "tests/fault/hammer"), "-a", "unix:" + daemon.fastcgi,
            "-o", str(self.record), "-p", str(publishers), "-r", str(readers),
            "-s", str(seed), "-l", str(large), "-n", str(first)]
        self.process = None
        self.quitted = False
        self.acknowledged = 0

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        return self

    def quit(self):
        """At once, since there is no daemon any more."""
        self.quitted = True

    def __exit__(self, *why):
        """With a daemon that runs, or killed with the test."""
        if any(why):
            self.process.kill()
        said = self.process.communicate(
            b"quit" if self.quitted else b"stop")[1].decode()
        assert any(why) or self.process.returncode == 0, said

    def check(self):
        assert self.process.poll() is None, self.process.stderr.read()

    def write_into(self, ledger):
        """What was seen, in the order in which it happened."""
        views, messages, asked = {}, [], {}
        for (kind, more, bits, who, at, got, cursor, wall, *ids) in \
                self.ENTRY.iter_unpack(self.record.read_bytes()):
            if kind == self.MESSAGE:
                messages.append(Message(
                    CHANNELS[more], ids[0], cursor >> 24, cursor & 0xffffff,
                    str(ids[1])))
            elif kind == self.READ:
                views[who].saw(at / 1e9, (cursor >> 24, cursor & 0xffffff),
                               messages, got / 1e9, wall)
                messages = []
            elif kind == self.SENT:
                what = self.KINDS[more]
                asked[who] = ledger.publish(
                    str(who), [c for i, c in enumerate(CHANNELS)
                               if bits >> i & 1],
                    what, SHORT_S if what == SHORT else None, at / 1e9)
            elif kind == self.ANSWERED:
                self.acknowledged += 1
                ledger.acknowledge(asked.pop(who), {
                    c: n for c, n in zip(CHANNELS, ids) if n}, at / 1e9)
            else:
                views[who] = ledger.reader(
                    [c for i, c in enumerate(CHANNELS) if bits >> i & 1],
                    began=at / 1e9)
                views[who].cut_short = self.quitted


def look_back(daemon, ledger, channels=tuple(CHANNELS)):
    """A new client's view of all, and the counters."""
    view = View(channels)
    reader = Reader(daemon, view, threading.Event())
    while reader.step():
        pass
    reader.connection.close()
    publisher = front.publisher(daemon)
    last_ids = {}
    for channel in channels:
        answer = publisher.get(channel, HTTP_ACCEPT="text/plain")
        if answer.status == 404:
            continue        # nobody has published there
        fields = dict(line.split(": ")
                      for line in answer.body.decode().splitlines())
        last_ids[channel] = int(fields["published_messages"])
    ledger.look_back(view, last_ids, daemon.status()["published_messages"])

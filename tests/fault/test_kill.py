"""kill -9 under load, again and again: nothing that was acknowledged is lost,
doubled or out of order for a client that comes back with its position.

HOLDFAST_KILL_ROUNDS sets how often (20), HOLDFAST_KILL_SEED repeats a run's
choices, though not its timing."""

import collections
import contextlib
import copy
import importlib.util
import os
import pathlib
import random
import sqlite3
import struct
import sys
import threading
import time

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "protocol"))
spec = importlib.util.spec_from_file_location(
    "protocol_conftest", TESTS / "protocol" / "conftest.py")
protocol = importlib.util.module_from_spec(spec)
spec.loader.exec_module(protocol)

import front    # noqa: E402  (its folder is known from here on)
import wire     # noqa: E402

ROUNDS = int(os.environ.get("HOLDFAST_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("HOLDFAST_KILL_SEED") or random.randrange(1 << 32))
PUBLISHERS = 5
READERS = 8
CHANNELS = ["c%d" % n for n in range(5)]
TEMPLATE = "~id~|~channel~|~tag~|~time~|~text~\n"
AHEAD_S = 3         # how far a time may run ahead of the clock

# What becomes of a message, and how often it is published so.
KEPT, SHORT, LIVE = "kept", "short", "live"
SHARES = {KEPT: 0.55, SHORT: 0.1, LIVE: 0.35}
SHORT_S = 1

Message = collections.namedtuple("Message", "channel id time tag text")


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
        client.close()
        self.client = None
        raise Cut(why)


class Publisher:
    """Publishes until it is told to stop, and keeps a record."""

    def __init__(self, daemon, number, stop):
        self.chance = random.Random(f"{SEED} publisher {number}")
        self.connection = Connection(daemon, stop)
        self.stop = stop
        self.number = number
        self.stored = front.publisher(daemon)
        self.unstored = self.stored.but(store_messages="off")
        self.acknowledged = []      # (text, channels, KEPT, ...)
        self.unknown = []           # the same; cut off before the answer

    def run(self):
        n = 0
        while not self.stop.is_set():
            n += 1
            channels = self.chance.sample(CHANNELS, self.chance.choice(
                [1, 1, 1, 2, 3]))
            kind, = self.chance.choices(list(SHARES), SHARES.values())
            text = f"{self.number}.{n}"
            body = (text + "x" * self.chance.choice([0, 0, 10, 3000])).encode()
            location = self.unstored if kind == LIVE else self.stored
            fields = {"CONTENT_LENGTH": str(len(body))}
            if kind == SHORT:
                fields["HTTP_MESSAGE_EXPIRY"] = str(SHORT_S)
            record = (text, channels, kind)
            try:
                answer = self.connection.ask(location.parameters(
                    "POST", "/".join(channels), **fields), body)
            except Cut:
                self.unknown.append(record)
                continue
            assert answer.status == 200, answer.raw
            self.acknowledged.append(record)


def parse(answer):
    messages = []
    for line in answer.body.decode().splitlines():
        ident, channel, tag, date, text = line.split("|")
        messages.append(Message(channel, int(ident), front.seconds(date),
                                int(tag), text.rstrip("x")))
    return messages


class Reader:
    """Comes back with its last position, whatever gave it."""

    def __init__(self, daemon, number, stop):
        chance = random.Random(f"{SEED} reader {number}")
        self.channels = chance.sample(CHANNELS, chance.choice([1, 2, 3, 5]))
        self.connection = Connection(daemon, stop)
        self.stop = stop
        self.location = front.long_polling(
            daemon, message_template=TEMPLATE,
            longpolling_connection_ttl=chance.choice(["20ms", "50ms"]))
        self.at = dict(front.SINCE_EVER)
        self.messages = []
        self.positions = []
        self.ahead = 0
        self.empty = 0

    def step(self):
        answer = self.connection.ask(self.location.parameters(
            "GET", "/".join(self.channels), **self.at))
        assert answer.status in (200, 304), answer.raw
        self.at = front.after(answer)
        self.positions.append(front.position(answer))
        self.ahead = max(self.ahead, self.positions[-1][0] - time.time())
        if answer.status == 304:
            self.empty += 1
        self.messages += parse(answer)
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


class Run:
    """All that was seen."""

    def __init__(self):
        self.publishers = []
        self.readers = []
        self.failures = []
        self.replay = []        # from the beginning, at the end
        self.published = 0      # the daemon's counter
        self.last_ids = {}      # the channels' counters
        self.integrity = []

    def thread(self, what):
        def body():
            try:
                what()
            except Exception as e:      # noqa: BLE001  (told by the test)
                self.failures.append(repr(e))
        thread = threading.Thread(target=body)
        thread.start()
        return thread


def kill_and_restart(daemon, chance):
    time.sleep(chance.uniform(0.02, 0.25))
    daemon.kill()
    if chance.random() < 0.25:      # also before it is ready
        daemon.spawn()
        time.sleep(chance.uniform(0, 0.02))
        daemon.kill()
    daemon.start()


def load(daemon, run):
    no_publish, no_read = threading.Event(), threading.Event()
    run.publishers = [Publisher(daemon, n, no_publish)
                      for n in range(PUBLISHERS)]
    run.readers = [Reader(daemon, n, no_read) for n in range(READERS)]
    publishers = [run.thread(p.run) for p in run.publishers]
    readers = [run.thread(r.run) for r in run.readers]
    chance = random.Random(SEED)
    try:
        for _ in range(ROUNDS):
            kill_and_restart(daemon, chance)
            assert not run.failures, run.failures
    finally:
        no_publish.set()
        for thread in publishers:
            thread.join()
        no_read.set()
        for thread in readers:
            thread.join()
    for client in [*run.publishers, *run.readers]:
        if client.connection.client is not None:
            client.connection.client.close()


def look_back(daemon, run):
    """A new client's view, and the counters."""
    reader = Reader(daemon, -1, threading.Event())
    reader.channels = CHANNELS
    while reader.step():
        pass
    reader.connection.client.close()
    run.replay = reader.messages
    run.published = daemon.status()["published_messages"]
    publisher = front.publisher(daemon)
    for channel in CHANNELS:
        body = publisher.get(channel, HTTP_ACCEPT="text/plain").body.decode()
        fields = dict(line.split(": ") for line in body.splitlines())
        run.last_ids[channel] = int(fields["published_messages"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    daemon = protocol.Daemon(tmp_path_factory.mktemp("kill"), {
        "push_stream_max_messages_stored_per_channel": 10000000,
        "push_stream_channel_inactivity_time": "1h",
        "replay_messages": 40, "replay_size": "64k"}).start()
    run = Run()
    try:
        load(daemon, run)
        look_back(daemon, run)
    finally:
        daemon.stop()
    with contextlib.closing(sqlite3.connect(
            daemon.settings["database"])) as db:
        run.integrity = [row[0] for row in
                         db.execute("PRAGMA integrity_check")]
    return run


# The checks, each of a whole run

def records(run):
    """(text, channel): (kind, acknowledged) of all that was published."""
    return {(text, channel): (kind, known)
            for p in run.publishers
            for known, what in ((True, p.acknowledged), (False, p.unknown))
            for text, channels, kind in what for channel in channels}


def views(run):
    """What each client has seen, of which channels."""
    return [(r.channels, r.messages) for r in run.readers] + [
        (CHANNELS, run.replay)]


def check_nothing_lost(run):
    must = {what for what, how in records(run).items()
            if how == (KEPT, True)}
    for channels, messages in views(run):
        seen = {(m.text, m.channel) for m in messages}
        lost = {what for what in must - seen if what[1] in channels}
        assert not lost, f"lost: {sorted(lost)[:5]} of {len(lost)}"


def check_nothing_doubled(run):
    for _, messages in views(run):
        seen = collections.Counter((m.text, m.channel) for m in messages)
        twice = [what for what, n in seen.items() if n > 1]
        assert not twice, f"doubled: {twice[:5]} of {len(twice)}"


def check_nothing_invented(run):
    known = records(run)
    for channels, messages in views(run):
        strange = [m for m in messages if (m.text, m.channel) not in known or
                   m.channel not in channels]
        assert not strange, f"invented: {strange[:5]}"
    live = [m for m in run.replay if known[m.text, m.channel][0] == LIVE]
    assert not live, f"stored, but was not to be: {live[:5]}"


def check_order(run):
    """Per channel, ids and positions only grow; and a message is the same to
    everybody."""
    ids = {}
    for _, messages in views(run):
        last = {}
        for m in messages:
            before = last.get(m.channel)
            assert before is None or before.id < m.id, (before, m)
            assert before is None or (before.time, before.tag) < (
                m.time, m.tag), (before, m)
            last[m.channel] = m
            assert ids.setdefault((m.channel, m.id), m) == m
    cursors = collections.Counter((m.time, m.tag) for m in ids.values())
    assert max(cursors.values()) == 1, cursors.most_common(1)
    by_id = sorted(ids.values(), key=lambda m: (m.channel, m.id))
    for a, b in zip(by_id, by_id[1:]):
        assert a.channel != b.channel or (a.time, a.tag) < (b.time, b.tag)


def check_positions(run):
    for r in run.readers:
        assert r.positions == sorted(r.positions)


def check_counters(run):
    per_channel = collections.Counter()
    unknown = collections.Counter()
    for (_, channel), (_, known) in records(run).items():
        (per_channel if known else unknown)[channel] += 1
    for channel in CHANNELS:
        counted = run.last_ids[channel]
        assert per_channel[channel] <= counted
        assert counted <= per_channel[channel] + unknown[channel]
    assert run.published == sum(run.last_ids.values())


def check_clock(run):
    ahead = max(r.ahead for r in run.readers)
    assert ahead <= AHEAD_S, f"{ahead:.1f} s ahead of the clock"


def check_integrity(run):
    assert run.integrity == ["ok"]


CHECKS = [check_nothing_lost, check_nothing_doubled, check_nothing_invented,
          check_order, check_positions, check_counters, check_clock,
          check_integrity]


@pytest.mark.parametrize("check", CHECKS)
def test_kill(run, check):
    """The promise, one side of it at a time."""
    print(f"HOLDFAST_KILL_SEED={SEED}")
    assert not run.failures, run.failures
    check(run)


def test_the_load_was_one(run):
    """The run has met what it is about."""
    known = records(run)
    kinds = collections.Counter(known.values())
    assert min(kinds[kind, True] for kind in SHARES) > 20
    assert sum(len(p.unknown) for p in run.publishers) >= ROUNDS // 2
    assert all(r.empty and r.messages for r in run.readers)
    seen = {known[m.text, m.channel][0]
            for r in run.readers for m in r.messages}
    assert seen == set(SHARES)


# The checks themselves: each kind of damage is noticed.

def acknowledged_at(run, messages):
    """Indexes of those that were stored and acknowledged."""
    known = records(run)
    return [i for i, m in enumerate(messages)
            if known[m.text, m.channel] == (KEPT, True)]


def lose(run):
    messages = run.readers[0].messages
    del messages[random.choice(acknowledged_at(run, messages))]


def lose_the_last(run):
    messages = run.readers[-1].messages
    del messages[acknowledged_at(run, messages)[-1]]


def lose_in_replay(run):
    del run.replay[acknowledged_at(run, run.replay)[0]]


def double(run):
    r = run.readers[1]
    r.messages.append(random.choice(r.messages))


def swap(run):
    messages = run.readers[0].messages
    for i in range(len(messages) - 1):
        if messages[i].channel == messages[i + 1].channel:
            messages[i:i + 2] = reversed(messages[i:i + 2])
            return


def reuse_an_id(run):
    m = run.readers[0].messages[-1]
    run.readers[0].messages[-1] = m._replace(id=m.id + 1)
    run.replay.append(m._replace(id=m.id + 1, text="other"))


def invent(run):
    run.readers[0].messages.append(Message(CHANNELS[0], 1, 1, 1, "x.1"))


def go_back(run):
    run.readers[0].positions.append((1, 1))


def forget_a_publish(run):
    run.last_ids[CHANNELS[0]] -= 1


def run_ahead(run):
    run.readers[0].ahead = AHEAD_S + 1


def damage_the_file(run):
    run.integrity = ["row 1 missing from index"]


@pytest.mark.parametrize("damage, check", [
    (lose, check_nothing_lost),
    (lose_the_last, check_nothing_lost),
    (lose_in_replay, check_nothing_lost),
    (double, check_nothing_doubled),
    (swap, check_order),
    (reuse_an_id, check_order),
    (invent, check_nothing_invented),
    (go_back, check_positions),
    (forget_a_publish, check_counters),
    (run_ahead, check_clock),
    (damage_the_file, check_integrity),
])
def test_the_check_can_fail(run, damage, check):
    """One message taken out of a record is enough."""
    record = Run()
    for r in run.readers:
        twin = copy.copy(r)
        twin.messages, twin.positions = list(r.messages), list(r.positions)
        record.readers.append(twin)
    record.publishers = run.publishers
    record.replay = list(run.replay)
    record.published = run.published
    record.last_ids = dict(run.last_ids)
    record.integrity = list(run.integrity)
    check(record)
    damage(record)
    with pytest.raises(AssertionError):
        check(record)

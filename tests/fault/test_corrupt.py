"""Bits that flip in a database that nobody looks at, files that are cut off,
and others that are none: what was damaged is said, and nothing is served that was
not published so.

HOLDFAST_CORRUPT_FLIPS is how many single bits are tried, each on a copy of its
own (40); HOLDFAST_CORRUPT_SEED repeats a run."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import time

import pytest

import world
from ledger import Message

import front    # (world knows their folder)

FLIPS = int(os.environ.get("HOLDFAST_CORRUPT_FLIPS", "40"))
SEED = int(os.environ.get("HOLDFAST_CORRUPT_SEED") or
           random.randrange(1 << 32))
CHANNELS = ["c%d" % n for n in range(8)]
MESSAGES = 400
TAIL = 40       # of them after the kill that leaves them in the WAL

# The one thing that nobody can tell from a WAL that never was any longer.
HALF_A_WAL = "half a WAL"

NOT_STARTED, ENDED, SERVED = "not started", "ended", "served"


class Files:
    """The database's files, to be copied and damaged."""
    ENDS = ["", "-wal"]

    def __init__(self, folder):
        self.folder = folder
        self.database = folder / "holdfast.db"

    def path(self, end=""):
        return self.folder / f"holdfast.db{end}"

    def copy_to(self, folder):
        folder.mkdir(exist_ok=True)
        for path in self.folder.glob("holdfast.db*"):
            shutil.copy(path, folder)
        return Files(folder)

    def flip(self, end, at, bit):
        with open(self.path(end), "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << bit]))


def fill(daemon):
    """Messages of all sizes, in one channel or several; some went already, so
    that there are free pages."""
    stored = front.publisher(daemon)
    for n in range(MESSAGES):
        path = "/".join({CHANNELS[n % 8], CHANNELS[n * 7 % 5]})
        body = b"%d|" % n + b"\0\xff x" * (n * n % 3000)
        stored.post(path, body, HTTP_EVENT_ID=f"e{n}")
        if n == MESSAGES // 4:
            for name in ("gone", "away"):
                for _ in range(40):
                    stored.post(name, b"y" * 9000)
                assert stored.ask("DELETE", name).status == 200
        if n == MESSAGES - TAIL:
            daemon.stop()
            daemon.start()


class View:
    """Every message of every channel: what a client gets that comes with no
    position."""

    def __init__(self, daemon):
        self.texts = {}
        reader = front.polling(daemon, message_template="~id~|~channel~|"
                               "~tag~|~time~|~event-id~|~size~|~text~")
        for channel in CHANNELS:
            at = dict(front.SINCE_EVER)
            while True:
                got = reader.get(channel, **at)
                if got.status != 200:
                    break
                self.take(got.body, channel)
                at = front.after(got)

    def take(self, body, asked):
        while body:
            ident, channel, tag, date, event, size, rest = body.split(b"|", 6)
            text, body = rest[:int(size)], rest[int(size):]
            assert channel.decode() == asked
            m = Message(asked, int(ident), front.seconds(date.decode()),
                        int(tag), (event, text))
            assert m not in self.texts
            self.texts[m] = True


class Victim(world.Daemon):
    """A daemon on damaged files."""

    def __init__(self, folder, database):
        super().__init__(folder, SETTINGS | {"database": str(database)})

    def live(self):
        """What became of it, and what it served; it is asked for everything,
        and publishes something."""
        view = None
        try:
            self.start()
        except AssertionError:
            return NOT_STARTED, None
        with contextlib.suppress(OSError, AssertionError, world.Cut):
            view = View(self)
            self.left_out = self.status()["store_corrupt"]
            for channel in CHANNELS:
                front.publisher(self).ask("POST", channel, b"new")
        deadline = time.monotonic() + 0.1
        while time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.01)
        if self.process.poll() is not None:
            return ENDED, view
        return SERVED, view

    def close(self):
        """Its exit status."""
        process, self.process = self.process, None
        process.terminate()
        return process.wait(20)

    def verify(self):
        """What -C finds, of files that nobody has opened since."""
        return subprocess.run(
            [world.protocol.HOLDFASTD, "-C", "-c", str(self.conf)],
            capture_output=True, text=True, timeout=60,
            env=self.environment())


SETTINGS = {"push_stream_channel_inactivity_time": "1h",
            "replay_messages": 50}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Files as a kill leaves them, and what is in them."""
    folder = tmp_path_factory.mktemp("whole")
    daemon = world.Daemon(folder, SETTINGS).start()
    fill(daemon)
    view = View(daemon)
    daemon.kill()
    files = Files(folder)
    assert files.path("-wal").stat().st_size > 50000
    assert len(view.texts) > MESSAGES
    return files, view


@pytest.fixture(scope="module")
def stopped(whole, tmp_path_factory):
    """The same after an ordinary stop: all is in the database itself."""
    files, view = whole
    folder = tmp_path_factory.mktemp("stopped")
    files = files.copy_to(folder / "db")
    daemon = Victim(folder, files.database).start()
    daemon.stop()
    assert files.path("-wal").stat().st_size == 0
    return files, view


def test_whole(whole, tmp_path):
    """A file that has nothing is found to have nothing."""
    files, view = whole
    victim = Victim(tmp_path, files.copy_to(tmp_path / "db").database)
    done = victim.verify()
    assert done.returncode == 0 and "all whole" in done.stderr, done.stderr
    how, got = victim.live()
    assert how == SERVED and got.texts == view.texts
    assert victim.left_out == 0
    assert victim.close() == 0
    done = victim.verify()
    assert done.returncode == 0 and "all whole" in done.stderr, done.stderr


def test_verify_keeps_out(tmp_path):
    """A database that is in use is left alone, and one line says so."""
    daemon = world.Daemon(tmp_path, SETTINGS).start()
    done = Victim.verify(daemon)
    line, = done.stderr.splitlines()
    assert done.returncode == 1 and "locked" in line
    daemon.stop()


def judge(whole, folder, files, what):
    """A damaged copy: whatever becomes of the daemon, it is no crash and no
    lie.  Silence there must be only where -C speaks, or nothing is wrong."""
    _, view = whole
    victim = Victim(folder, files.database)
    found = victim.verify()
    assert found.returncode in (0, 1), (what, found)
    how, got = victim.live()
    try:
        said = victim.said()
        victim.check_sanitizer()
        if how == SERVED:
            assert victim.close() in (0, 1), (what, said)
        else:
            assert victim.process.wait(20) == 1, (what, said)
            assert "database " in said and str(files.database) in said, (
                what, said)
            assert how == NOT_STARTED or "corrupt" in said, (what, said)
        if got is None:
            return how
        strange = [m for m in got.texts if m not in view.texts and
                   m.text[1] != b"new"]
        assert not strange, (what, strange[:2], said)
        missing = [m for m in view.texts if m not in got.texts]
        if not missing:
            return how
        if what == HALF_A_WAL:
            return "cut off in silence"
        told = "damage" in said or "are lost" in said
        assert told or found.returncode == 1, (what, missing[:2], said)
        return "left out, and said" if told else "left out, and -C says so"
    finally:
        if victim.process is not None and victim.process.poll() is None:
            victim.kill()


def test_flipped_bits(whole, stopped, tmp_path):
    """One bit, anywhere."""
    print(f"HOLDFAST_CORRUPT_SEED={SEED}")
    chance = random.Random(SEED)
    became = {}
    for n in range(FLIPS):
        folder = tmp_path / str(n)
        folder.mkdir()
        start, end = chance.choice([
            (stopped, ""), (stopped, ""), (whole, ""), (whole, "-wal")])
        copy = start[0].copy_to(folder / "db")
        size = copy.path(end).stat().st_size
        # Heads are few bytes, and the most interesting.
        at = (chance.randrange(size) if chance.random() < 0.7 else
              chance.randrange(size // 8192) * 8192 + chance.randrange(110))
        bit = chance.randrange(8)
        copy.flip(end, at, bit)
        how = judge(start, folder, copy, f"{end or 'database'} {at}.{bit}")
        became[how] = became.get(how, 0) + 1
        shutil.rmtree(folder)
    print(became)


def cut(files, end, share):
    path = files.path(end)
    os.truncate(path, int(path.stat().st_size * share))


def overwrite(files, end, at, data):
    with open(files.path(end), "r+b") as f:
        f.seek(at)
        f.write(data)


@pytest.mark.parametrize("what, damage", [
    ("half a database", lambda f: cut(f, "", 0.5)),
    ("a database without its end", lambda f: cut(f, "", 0.97)),
    ("an empty database", lambda f: cut(f, "", 0)),
    ("a head that is none", lambda f: overwrite(f, "", 0, b"garbage!" * 12)),
    ("a page of zeros", lambda f: overwrite(f, "", 8192 * 3, bytes(8192))),
    ("the schema's page", lambda f: overwrite(f, "", 5000, b"\xa5" * 3000)),
    ("somebody else's file", lambda f: f.path().write_text("hello\n" * 2000)),
])
def test_damage(stopped, tmp_path, what, damage):
    """What happens to a database as a whole."""
    files, _ = stopped
    copy = files.copy_to(tmp_path / "db")
    damage(copy)
    how = judge(stopped, tmp_path, copy, what)
    print(how)
    assert how != SERVED


@pytest.mark.parametrize("what, damage", [
    (HALF_A_WAL, lambda f: cut(f, "-wal", 0.5)),
    ("a head that is none",
     lambda f: overwrite(f, "-wal", 0, b"garbage!" * 4)),
    ("torn in its middle",
     lambda f: overwrite(f, "-wal", 50000, b"\0" * 512)),
])
def test_damaged_wal(whole, tmp_path, what, damage):
    files, _ = whole
    copy = files.copy_to(tmp_path / "db")
    damage(copy)
    how = judge(whole, tmp_path, copy, what)
    print(how)
    assert how != SERVED


def test_wal_that_is_damaged_is_said(whole, tmp_path):
    """SQLite passes it over in silence: to it, it is a commit cut short."""
    files, view = whole
    copy = files.copy_to(tmp_path / "db")
    copy.flip("-wal", 32 + 24 + 5000, 3)
    victim = Victim(tmp_path, copy.database)
    how, got = victim.live()
    assert how == SERVED and len(got.texts) < len(view.texts)
    assert victim.left_out == 1
    assert "its WAL ends after 0 frames" in victim.said()
    assert victim.close() == 0
    assert sqlite3.connect(copy.database).execute(
        "PRAGMA integrity_check").fetchone() == ("ok",)


def body_page(files, text):
    """Where in the database a message's text stands."""
    data = files.path().read_bytes()
    at = data.find(text)
    assert at > 0
    return at


def test_body(whole, tmp_path):
    """One message is left out, counted and said; all others are there."""
    files, view = whole
    copy = files.copy_to(tmp_path / "db")
    copy.flip("", body_page(copy, b"100|"), 0)
    victim = Victim(tmp_path, copy.database)
    assert victim.verify().returncode == 1
    how, got = victim.live()
    assert how == SERVED
    missing = [m for m in view.texts if m not in got.texts]
    assert missing and {m.text[1][:4] for m in missing} == {b"100|"}
    assert victim.left_out == len(missing)
    assert "is damaged and left out" in victim.said()
    assert victim.close() == 0

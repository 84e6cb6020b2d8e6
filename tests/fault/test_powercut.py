"""The power goes, under load, at any moment that could matter: powercut.c
keeps of what was not synced what chance wants.  With sync = full nothing that
was acknowledged is lost; with normal and off, the end of the log at most.

HOLDFAST_POWERCUTS sets how often (30), HOLDFAST_POWERCUT_SEED repeats a run's
choices, though not the moments that depend on timing."""

import collections
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

import ledger as rules
import world
from ledger import ACKNOWLEDGED, KEPT, UNKNOWN, Broken, Ledger

CUTS = int(os.environ.get("HOLDFAST_POWERCUTS", "30"))
SEED = int(os.environ.get("HOLDFAST_POWERCUT_SEED") or
           random.randrange(1 << 32))
SHIM = world.BUILD / "tests/fault/powercut.so"
CUT = 137           # the status of a daemon that lost its power
LIVES = 5           # of one database, with sync = full
LIFE_S = 2          # then the power goes whatever it does
BOOT_S = 4          # where positions may be lost, time passes
WRONG_S = 2         # else the clock may be as wrong after a boot
WINDOW_S = 2        # what sync = normal may lose
LARGE = 30          # percent of texts, so that checkpoints come often
SYNCS = ["full", "full", "full", "normal", "off"]

# How often to cut where: an operation of powercut.c, and which of them at most.
# It need not come to that within life_s; then the daemon is asked to stop, or
# the power goes.
Place = collections.namedtuple("Place", "often op most life_s stop")
PLACES = [
    Place(30, "walsync", 250, LIFE_S, False),  # a group commit
    Place(15, "walwrite", 600, LIFE_S, False),
    Place(18, "dbwrite", 120, LIFE_S, False),  # a checkpoint
    Place(7, "dbsync", 2, LIFE_S, False),
    Place(8, "walhead", 2, LIFE_S, False),   # the WAL begins anew
    Place(10, "any", 40, LIFE_S, False),      # a start
    Place(5, "dbwrite", 10, 0.8, True),     # the checkpoint at the end
    Place(3, "truncate", 1, 0.8, True),
    Place(4, "any", 500, 0.8, True),
]

# What powercut.c reports: what was in the WAL at `synced` is there for sure.
End = collections.namedtuple("End", "op keep synced at")


class Machine(world.Daemon):
    """A daemon on a disk that forgets."""

    def __init__(self, folder, sync, chance):
        super().__init__(folder, {
            "sync": sync,
            "push_stream_max_messages_stored_per_channel": 10000000,
            "push_stream_channel_inactivity_time": "1h",
            "replay_messages": 400, "replay_size": "256k"})
        self.chance = chance
        self.report = self.folder / "report"
        self.power = {}
        self.boot_s = 0

    def environment(self):
        env = {**super().environment(), **self.power}
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return env

    def cut(self):
        """A life that ends with a cut.  None: it ended in order."""
        place, = self.chance.choices(PLACES, [p.often for p in PLACES])
        # What a cut may take shows only where it comes later than that.
        if self.settings["sync"] == "normal" and self.chance.random() < 0.5:
            place = Place(0, "any", 1 << 62, WINDOW_S + 1.5, False)
        self.power = {
            "LD_PRELOAD": str(SHIM), "POWERCUT_REPORT": str(self.report),
            "POWERCUT_AT": f"{place.op}:{self.chance.randint(1, place.most)}",
            "POWERCUT_SEED": str(self.chance.randrange(1 << 32)),
            "POWERCUT_SECTOR": self.chance.choice(["512", "4096"]),
            "POWERCUT_SYNC_US": str(self.chance.choice([0, 300, 2000])),
            "POWERCUT_BOOT_S": str(self.boot_s)}
        self.spawn()
        status = self.ended(place.life_s if not place.stop else
                            self.chance.uniform(0.1, place.life_s))
        if status is None:
            self.process.send_signal(
                signal.SIGTERM if place.stop else signal.SIGUSR2)
            status = self.ended(world.wire.TIMEOUT)
        self.process = None
        # It may be asked to stop before it knows what that means.
        assert status in (0, CUT, -signal.SIGTERM), (status, self.said())
        if status != CUT:
            return None
        op, _, keep, synced_ns, cut_ns = self.report.read_text().split()
        return End(op, keep, int(synced_ns) / 1e9, int(cut_ns) / 1e9)

    def ended(self, timeout_s):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def boot(self):
        """The power is back, and stays."""
        self.power = {"LD_PRELOAD": str(SHIM),
                      "POWERCUT_BOOT_S": str(self.boot_s)}
        self.start()


def quiet_night(folder, seed):
    """A position that no message has, then a crash and a clock set back: what
    is published in the morning must be above it."""
    daemon = Machine(folder, "full", random.Random(seed))
    ledger = Ledger()
    stop = threading.Event()
    publisher = world.Publisher(daemon, ledger, 0, seed, stop, ["c0"])
    reader = world.Reader(daemon, ledger.reader(["c0"]), stop)
    ledger.boot_s = WRONG_S
    daemon.boot()
    try:
        publisher.publish(KEPT)
        while reader.step():
            pass
        evening = reader.view.position()[0]
        while reader.view.position()[0] < evening + 2:
            reader.step()
        daemon.kill()
        daemon.boot_s = -WRONG_S
        daemon.boot()
        for client in (publisher, reader):
            client.connection.close()
        publisher.publish(KEPT)
        while reader.step():
            pass
        world.look_back(daemon, ledger, ["c0"])
    finally:
        for client in (publisher, reader):
            client.connection.close()
        daemon.stop()
    return ledger


class Run:
    """All machines: what was broken, and how much it was."""

    def __init__(self, mktemp, cuts, seed):
        self.mktemp = mktemp
        self.goal = cuts
        self.seed = seed
        self.chance = random.Random(seed)
        self.broken = {}            # by check
        self.cuts = collections.Counter()       # by sync
        self.ops = collections.Counter()
        self.keeps = collections.Counter()
        self.outcomes = collections.Counter()   # by sync, of publishes
        self.read = collections.Counter()       # messages, by sync
        self.acknowledged = self.lost = 0

    def over(self):
        return self.broken or self.cuts.total() >= self.goal

    def machine(self):
        """A database's whole life.  One with sync = full has several cuts, so
        they take turns by the number of those."""
        sync = min(set(SYNCS), key=lambda sync: (
            self.cuts[sync] / SYNCS.count(sync), sync))
        folder = self.mktemp("power")
        daemon = Machine(folder, sync, self.chance)
        ledger = Ledger()
        try:
            if sync == "full":
                self.keeps_all(daemon, ledger)
            else:
                self.keeps_most(daemon, ledger)
            world.look_back(daemon, ledger)
        finally:
            daemon.stop()
        ledger.look_at(daemon.settings["database"])
        self.judge(sync, ledger)
        if not self.broken:
            shutil.rmtree(folder)

    def cut(self, daemon, ledger, sync):
        """One, and the file it leaves."""
        end = None
        while end is None:
            end = daemon.cut()
        self.cuts[sync] += 1
        self.ops[end.op] += 1
        self.keeps[end.keep] += 1
        ledger.look_at(daemon.settings["database"])
        return end

    def keeps_all(self, daemon, ledger):
        """Clients come back with what they had, life after life."""
        hammer = world.Hammer(daemon, self.chance.randrange(1 << 32),
                              large=LARGE)
        with hammer:
            ledger.boot_s = 2 * WRONG_S
            for _ in range(min(LIVES, self.goal - self.cuts.total())):
                self.cut(daemon, ledger, "full")
                hammer.check()
                daemon.boot_s = self.chance.choice([0, 0, -WRONG_S, WRONG_S])
            daemon.boot()
            time.sleep(0.1)
        self.record(hammer, ledger)

    def keeps_most(self, daemon, ledger):
        """Others come, and what they do must be as ever."""
        hammer = world.Hammer(daemon, self.chance.randrange(1 << 32),
                              large=LARGE)
        with hammer:
            end = self.cut(daemon, ledger, daemon.settings["sync"])
            hammer.check()
            hammer.quit()
        self.record(hammer, ledger)
        daemon.boot_s = BOOT_S
        safe = end.synced
        if daemon.settings["sync"] == "normal":
            safe = max(safe, end.at - WINDOW_S)
        ledger.cut(safe, BOOT_S)
        daemon.boot()
        hammer = world.Hammer(daemon, self.chance.randrange(1 << 32),
                              large=LARGE, first=10000000)
        with hammer:
            time.sleep(0.1)
        self.record(hammer, ledger)

    def record(self, hammer, ledger):
        hammer.write_into(ledger)
        self.acknowledged += hammer.acknowledged

    def judge(self, sync, ledger):
        self.outcomes.update((sync, p.outcome)
                             for p in ledger.publishes.values())
        self.read[sync] += sum(len(v.messages) for v in ledger.all_views())
        self.lost += sum(
            ledger.publishes[text].kind == KEPT and
            ledger.publishes[text].outcome == ACKNOWLEDGED
            for text in ledger.lost())
        for check in rules.CHECKS:
            try:
                check(ledger)
            except Broken as e:
                self.broken.setdefault((sync, check), str(e))

    def __str__(self):
        def counts(counter):
            return " ".join(f"{name} {n}" for name, n in counter.items())
        return (f"{self.cuts.total()} cuts ({counts(self.cuts)}), in "
                f"{counts(self.ops)}; kept: {counts(self.keeps)}; "
                f"{self.acknowledged} publishes acknowledged, {self.lost} of "
                f"them lost where that may be; HOLDFAST_POWERCUT_SEED="
                f"{self.seed}")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp, CUTS, SEED)
    while not run.over():
        run.machine()
        print(run, flush=True)
    return run


@pytest.mark.parametrize("check", rules.CHECKS)
@pytest.mark.parametrize("sync", sorted(set(SYNCS)))
def test_power_cut(run, sync, check):
    """The promise, one side of it at a time."""
    why = run.broken.get((sync, check))
    assert why is None, f"{why} after {run}"


def test_quiet_night(tmp_path):
    quiet_night(tmp_path, SEED).check()


def test_the_cuts_were_some(run):
    """The run has met what it is about."""
    assert run.cuts.total() >= CUTS
    assert set(run.cuts) == set(SYNCS) or CUTS < len(SYNCS) + LIVES
    assert len(run.ops) >= 3 and len(run.keeps) >= 3 or CUTS < 30
    assert run.outcomes["full", ACKNOWLEDGED] > 20 * run.cuts["full"]
    assert run.outcomes["full", UNKNOWN] > run.cuts["full"]
    assert run.read["full"] > run.outcomes["full", ACKNOWLEDGED]

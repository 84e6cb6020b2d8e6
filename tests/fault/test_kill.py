"""kill -9 under load, again and again: nothing that was acknowledged is lost,
doubled or out of order for a client that comes back with its position.

HOLDFAST_KILL_ROUNDS sets how often (20), HOLDFAST_KILL_SEED repeats a run's
choices, though not its timing.  After so many kills as are in an epoch all is
checked, and a new database begins."""

import collections
import os
import random
import shutil
import time

import pytest

import ledger as rules
import world
from ledger import ACKNOWLEDGED, KEPT, UNKNOWN, Broken, Ledger

ROUNDS = int(os.environ.get("HOLDFAST_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("HOLDFAST_KILL_SEED") or random.randrange(1 << 32))
EPOCH = 20


class Run:
    """All epochs: what was broken, and how much it was."""

    def __init__(self, seed):
        self.seed = seed
        self.chance = random.Random(seed)
        self.ledger = None      # the last epoch's
        self.broken = {}        # by check
        self.rounds = self.acknowledged = self.read = 0
        self.up_s = 0.0

    def kill(self, daemon, ledger):
        """Once, after a moment of load, and back again."""
        began = time.monotonic()
        time.sleep(self.chance.uniform(0.02, 0.25))
        daemon.kill()
        self.up_s += time.monotonic() - began
        if self.chance.random() < 0.25:     # also before it is ready
            daemon.spawn()
            time.sleep(self.chance.uniform(0, 0.02))
            daemon.kill()
        ledger.look_at(daemon.settings["database"])
        daemon.start()
        self.rounds += 1

    def epoch(self, folder, rounds):
        daemon = world.Daemon(folder, {
            "push_stream_max_messages_stored_per_channel": 10000000,
            "push_stream_channel_inactivity_time": "1h",
            "replay_messages": self.chance.choice([40, 400]),
            "replay_size": "256k"}).start()
        ledger = Ledger()
        hammer = world.Hammer(daemon, self.chance.randrange(1 << 32))
        try:
            with hammer:
                for _ in range(rounds):
                    self.kill(daemon, ledger)
                    hammer.check()
            hammer.write_into(ledger)
            world.look_back(daemon, ledger)
        finally:
            daemon.stop()
        ledger.look_at(daemon.settings["database"])
        self.acknowledged += hammer.acknowledged
        self.read += sum(len(view.messages) for view in ledger.all_views())
        self.judge(ledger)

    def judge(self, ledger):
        self.ledger = ledger
        for check in rules.CHECKS:
            try:
                check(ledger)
            except Broken as e:
                self.broken.setdefault(check, str(e))

    def rate(self):
        return self.acknowledged / self.up_s

    def __str__(self):
        return (f"{self.rounds} kills, {self.acknowledged} publishes "
                f"acknowledged ({self.rate():.0f}/s while it ran), "
                f"{self.read} messages read; HOLDFAST_KILL_SEED={self.seed}")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(SEED)
    for done in range(0, ROUNDS, EPOCH):
        folder = tmp_path_factory.mktemp("kill")
        run.epoch(folder, min(EPOCH, ROUNDS - done))
        print(run, flush=True)
        if run.broken:
            break
        shutil.rmtree(folder)
    return run


@pytest.fixture
def ledger(run):
    return run.ledger


@pytest.mark.parametrize("check", rules.CHECKS)
def test_kill(run, check):
    """The promise, one side of it at a time."""
    why = run.broken.get(check)
    assert why is None, f"{why} after {run}"


def test_the_load_was_one(run, ledger):
    """The run has met what it is about."""
    published = ledger.publishes.values()
    kinds = collections.Counter((p.kind, p.outcome) for p in published)
    assert min(kinds[kind, ACKNOWLEDGED] for kind in world.SHARES) > 20
    assert sum(p.outcome == UNKNOWN for p in published) > 20
    assert all(view.empty and view.messages for view in ledger.views)
    seen = {ledger.publishes[m.text].kind
            for view in ledger.views for m in view.messages}
    assert seen == set(world.SHARES)


# The checks themselves: each kind of damage is noticed.

def acknowledged_at(ledger, messages):
    """Indexes of those that were stored and acknowledged."""
    return [i for i, m in enumerate(messages)
            if ledger.publishes[m.text].kind == KEPT and
            ledger.publishes[m.text].outcome == ACKNOWLEDGED]


def lose(ledger):
    messages = ledger.views[0].messages
    del messages[random.choice(acknowledged_at(ledger, messages))]


def lose_the_last(ledger):
    messages = ledger.views[-1].messages
    del messages[acknowledged_at(ledger, messages)[-1]]


def lose_in_replay(ledger):
    messages = ledger.replay.messages
    del messages[acknowledged_at(ledger, messages)[0]]


def double(ledger):
    messages = ledger.views[1].messages
    messages.append(random.choice(messages))


def swap(ledger):
    messages = ledger.views[0].messages
    for i in range(len(messages) - 1):
        if messages[i].channel == messages[i + 1].channel:
            messages[i:i + 2] = reversed(messages[i:i + 2])
            return


def change(ledger, name):
    """One of a reader's, which others have too."""
    messages = ledger.views[0].messages
    at = acknowledged_at(ledger, messages)[-1]
    messages[at] = messages[at]._replace(
        **{name: getattr(messages[at], name) + 1})


def tell_otherwise(ledger):
    change(ledger, "tag")


def reuse_an_id(ledger):
    change(ledger, "id")


def reuse_a_cursor(ledger):
    a, b = ledger.replay.messages[-2:]
    ledger.replay.messages.append(
        b._replace(channel="other", time=a.time, tag=a.tag))


def invent(ledger):
    ledger.views[0].messages.append(rules.Message(
        ledger.views[0].channels[0], 1, 1, 1, "x.1"))


def go_back(ledger):
    ledger.views[0].saw(0, (1, 1), [])


def give_too_early(ledger):
    """A position, to somebody, before what came after it was sent."""
    m = ledger.replay.messages[-1]
    sent = ledger.publishes[m.text].sent
    ledger.reader([]).saw(sent - 2, (m.time, m.tag), [], got=sent - 1)


def read_too_late(ledger):
    view = next(view for view in ledger.views if any(
        ledger.publishes[m.text].ttl_s and ledger.publishes[m.text].answered
        for m in view.messages))
    for read in view.reads:
        read.sent += 2


def forget_a_publish(ledger):
    ledger.last_ids[world.CHANNELS[0]] -= 1


def run_ahead(ledger):
    ledger.views[0].ahead = rules.AHEAD_S + 1


def damage_the_file(ledger):
    ledger.integrity.append("row 1 missing from index")


@pytest.mark.parametrize("damage, check", [
    (lose, rules.check_nothing_lost),
    (lose_the_last, rules.check_nothing_lost),
    (lose_in_replay, rules.check_nothing_lost),
    (double, rules.check_nothing_doubled),
    (swap, rules.check_order),
    (go_back, rules.check_order),
    (tell_otherwise, rules.check_order),
    (reuse_an_id, rules.check_ids),
    (reuse_a_cursor, rules.check_cursors),
    (give_too_early, rules.check_in_time),
    (read_too_late, rules.check_nothing_expired),
    (invent, rules.check_nothing_invented),
    (forget_a_publish, rules.check_counters),
    (run_ahead, rules.check_clock),
    (damage_the_file, rules.check_integrity),
])
def test_the_check_can_fail(ledger, damage, check):
    """One entry changed in the ledger is enough."""
    twin = ledger.copy()
    check(twin)
    damage(twin)
    with pytest.raises(rules.Broken):
        check(twin)

"""The wall clock steps, backwards and forwards, a little and by decades, while
the daemon runs and while it does not: cursors only grow, and a message lives
as long as it was to, by no clock's opinion.

The rule.  A daemon takes the wall clock when it starts and counts on from
there: steps while it runs move nothing.  A step forwards while it is stopped
is time that has passed.  One backwards lets what is stored live so much
longer, if it is a day at most; by more than that no clock is right, and time
goes on where the log ends."""

import time

import pytest

import ledger as rules
import world
from ledger import EVER, Ledger
from stepped import Stepped, build

import front    # its folder is known from world on

DAY_S = 86400
TTL_S = 3600
# Two minutes before the seconds of 32 bits end, with and without a sign.
IN_2038, IN_2106 = (1 << 31) - 120, (1 << 32) - 120
IN_1970, IN_2099 = 1000, 4070908800

# Where the clock is set to, seen from the true one.
STEPS = {
    "a day on": lambda: DAY_S,
    "a day back": lambda: -DAY_S,
    "a leap second": lambda: -1,
    "a leap second left out": lambda: 1,
    "2038": lambda: IN_2038 - int(time.time()),
    "2106": lambda: IN_2106 - int(time.time()),
    "1970": lambda: IN_1970 - int(time.time()),
    "ten days back": lambda: -10 * DAY_S,
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("stepclock"))


@pytest.fixture
def make(library, tmp_path_factory):
    made = []

    def make(**settings):
        made.append(Stepped(tmp_path_factory.mktemp("clock"), library, {
            "push_stream_message_ttl": TTL_S,
            "push_stream_max_messages_stored_per_channel": 10000000,
            "push_stream_channel_inactivity_time": "1h", **settings}))
        return made[-1]

    yield make
    for d in made:
        d.stop()


class Chain:
    """A publisher, and a reader who comes back with his last position."""

    def __init__(self, d):
        self.d = d
        self.publisher = front.publisher(d)
        self.poll = front.polling(d, message_template=world.TEMPLATE)
        self.at = dict(front.SINCE_EVER)
        self.positions = [EVER]
        self.n = 0

    def publish(self, **fields):
        self.n += 1
        self.publisher.post("a", b"%d" % self.n, **fields)

    def read(self):
        """The texts of what is new; each cursor above all before."""
        answer = self.poll.get("a", **self.at)
        assert answer.status in (200, 304), answer.raw
        messages = world.parse(answer.body)
        cursors = [(m.time, m.tag) for m in messages]
        now = front.position(answer)
        assert cursors == sorted(set(cursors))
        assert not cursors or self.positions[-1] < cursors[0]
        assert max([self.positions[-1], *cursors]) <= now
        self.positions.append(now)
        self.at = front.after(answer)
        return [int(m.text) for m in messages]

    def kept(self):
        """All that a new client gets."""
        answer = self.poll.get("a", **front.SINCE_EVER)
        return [int(m.text) for m in world.parse(answer.body)]


def short_life(d, chain):
    """A message of two seconds lives for two, less what of a second was over
    when it came, and is collected then: so the daemon has looked for expired
    ones, and found no other."""
    stored = d.status()["stored_messages"]
    began = time.monotonic()
    with d.counts(store_collected=1):
        chain.publish(HTTP_MESSAGE_EXPIRY="2")
        assert chain.kept()[-1] == chain.n
        front.wait_until(lambda: chain.n not in chain.kept())
        lived = time.monotonic() - began
    assert 0.9 <= lived < 4, f"it lived for {lived:.1f} s"
    assert d.status()["stored_messages"] == stored
    chain.read()


@pytest.mark.parametrize("where, settings", [
    *((where, {}) for where in STEPS),
    ("a day on", {"database": "memory"})])
def test_step(make, where, settings):
    """While it runs: nothing expires early or late, no cursor goes back."""
    d = make(**settings).start()
    chain = Chain(d)
    chain.publish()
    assert chain.read() == [1]
    chain.publish()
    for offset in (STEPS[where](), 0):
        d.step(offset)
        chain.publish()
        assert chain.read() == [chain.n - 1, chain.n]
        short_life(d, chain)
        chain.publish()
    assert chain.kept() == [1, 2, 3, 5, 6, 8]


@pytest.mark.parametrize("where", ["a day on", "a day back", "1970"])
def test_waits_go_by_their_own_clock(make, where):
    """A poll of two seconds ends after two seconds; one of an hour waits on,
    and gets what is published then."""
    d = make().start()
    front.publisher(d).post("a", b"old")
    poll = front.long_polling(d, longpolling_connection_ttl="2s",
                              message_template="~text~")
    patient = poll.but(longpolling_connection_ttl="1h").park("a")
    began = time.monotonic()
    waiting = poll.park("b")
    d.step(STEPS[where]())
    assert waiting.answer().status == 304
    assert 1.9 <= time.monotonic() - began < 6
    assert d.status()["parked"] == 1
    front.publisher(d).post("a", b"new")
    assert patient.answer().body == b"new"


def test_steps_under_load(make):
    """Many steps, while many publish and read: the ledger is whole."""
    d = make().start()
    ledger = Ledger()
    with world.Crowd(d, ledger, seed=1) as crowd:
        for step in [s for s in STEPS.values() for _ in range(2)]:
            for offset in (step(), 0):
                d.step(offset)
                time.sleep(0.05)    # of load under this clock
                crowd.check()
    d.step(0)
    world.look_back(d, ledger)
    d.stop()
    ledger.look_at(d.settings["database"])
    ledger.check()
    assert len(ledger.publishes) > 100
    d.start()


def test_a_step_while_it_is_stopped(make):
    """Forwards, that is how long it was stopped."""
    d = make().start()
    chain = Chain(d)
    chain.publish()
    d.step(TTL_S // 2)
    d.restart()
    chain.publish()
    assert chain.read() == [1, 2]
    d.step(TTL_S + 10)
    d.restart()
    assert chain.kept() == [2]
    chain.publish()
    assert chain.read() == [3]
    short_life(d, chain)


def test_an_hour_back_while_it_is_stopped(make):
    """That is believed: new messages live as long as they are to, and cursors
    go on above the old ones until the clock is there again."""
    d = make().start()
    chain = Chain(d)
    chain.publish()
    assert chain.read() == [1]
    before = chain.positions[-1]
    d.step(-3600)
    d.restart()
    chain.publish()
    assert chain.read() == [2]
    assert before[0] <= chain.positions[-1][0] <= before[0] + rules.AHEAD_S
    short_life(d, chain)
    assert chain.kept() == [1, 2]


@pytest.mark.parametrize("where", ["ten days back", "1970"])
def test_a_clock_set_back_while_it_is_stopped(make, where):
    """A machine that lost its clock: time goes on where the log ends, and
    stays there when the clock is put right."""
    d = make().start()
    chain = Chain(d)
    chain.publish()
    assert chain.read() == [1]
    chain.publish()
    d.stop()
    d.step(STEPS[where]())
    d.start()
    assert "behind the newest message" in d.said()
    chain.publish()
    assert chain.read() == [2, 3]
    short_life(d, chain)
    d.step(0)
    short_life(d, chain)
    chain.publish()
    assert chain.read() == [6]
    d.restart()
    assert chain.kept() == [1, 2, 3, 6]
    chain.publish()
    assert chain.read() == [7]
    short_life(d, chain)


def test_a_new_log_in_1970(make):
    """The same, but there is no log yet: it begins in 1970.  Put right, it is
    nothing to the running daemon; a restart takes the new clock, and then what
    was stored in 1970 is old."""
    d = make()
    d.set_clock(IN_1970)
    d.start()
    chain = Chain(d)
    chain.publish()
    assert chain.read() == [1]
    d.step(0)
    chain.publish()
    assert chain.read() == [2]
    short_life(d, chain)
    assert chain.kept() == [1, 2]
    chain.publish()
    d.restart()
    assert chain.kept() == []
    chain.publish()
    assert chain.read() == [5]
    short_life(d, chain)


@pytest.mark.parametrize("year", [IN_2099, IN_2106, IN_2038])
def test_a_log_in_the_future(make, year):
    """Over the end of 32 bits too.  Put right, the log's time stays ahead, or
    its cursors would go back; but no message lives the longer for it."""
    d = make()
    d.set_clock(year)
    d.start()
    chain = Chain(d)
    chain.publish()
    assert chain.read() == [1]
    assert chain.positions[-1][0] >= year
    d.step(0)
    chain.publish()
    assert chain.read() == [2]
    d.restart()
    assert chain.kept() == [1, 2]
    chain.publish()
    assert chain.read() == [3]
    assert chain.positions[-1][0] >= year
    short_life(d, chain)


def test_a_cursor_beyond_32_bits(make):
    """Seconds that need 33 bits: stored, read back, resumed."""
    d = make()
    d.set_clock((1 << 32) - 1)
    d.start()
    chain = Chain(d)
    while chain.positions[-1][0] <= 1 << 32:
        chain.publish()
        assert chain.read() == [chain.n]
    chain.publish()
    d.restart()
    assert chain.read() == [chain.n]
    assert len(chain.kept()) == min(chain.n, 1000)


def test_kills_do_not_lead_ahead(make):
    """Each kill leaves the log's end a moment ahead of the clock; however many
    there are, its time stays near, also with a clock that was set back."""
    d = make().start()
    chain = Chain(d)
    for offset in (0, -10 * DAY_S):
        d.step(offset)
        for _ in range(8):
            chain.publish()
            d.kill()
            d.start()
        ahead = chain_ahead(chain)
        assert ahead <= rules.AHEAD_S, f"{ahead} s"


def chain_ahead(chain):
    chain.publish()
    chain.read()
    return chain.positions[-1][0] - time.time()

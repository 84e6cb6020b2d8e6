"""What was published, what was answered, what each reader got; and what must
be true of it, whatever happened to the daemon meanwhile.

A ledger knows no sockets: whoever publishes or reads writes down what he saw,
and in the end check() says what is wrong, or nothing.  Times are those of
time.monotonic(), so that a step of the clock confuses nobody.

    ledger = Ledger()
    p = ledger.publish("text", ["a", "b"], KEPT)    # before it is sent
    ledger.acknowledge(p, {"a": 7, "b": 3})         # or refuse(); or nothing,
                                                    # when no answer came
    view = ledger.reader(["a"])                     # from the beginning
    view.saw(sent, position, messages)              # each answer
    ledger.look_back(view)                          # a reader at the end
    ledger.check()

A reader's position is what it comes back with: (seconds, tag), of a message or
of a 304.  Texts are unique.

Where less was promised (sync = normal or off), cut() says what a power cut may
have taken: what is missing must be the end of the log."""

import bisect
import collections
import contextlib
import pathlib
import shutil
import sqlite3
import tempfile
import time

# What becomes of a message: it is stored; it is, but expires soon; it is not.
KEPT, SHORT, LIVE = "kept", "short", "live"

# What its publisher knows.
ACKNOWLEDGED, UNKNOWN, REFUSED = "acknowledged", "unknown", "refused"

EVER = (1, 0)       # the position of a reader that wants everything
AHEAD_S = 3         # how far a position may run ahead of the clock
EXPIRY_SLACK_S = 0.1

Message = collections.namedtuple("Message", "channel id time tag text")


class Broken(AssertionError):
    """A promise was not kept; .check is the name of which."""

    def __init__(self, check, why):
        super().__init__(f"{check}: {why}")
        self.check = check


class Publish:
    __slots__ = ("text", "channels", "kind", "ttl_s", "sent", "answered",
                 "outcome", "ids")

    def __init__(self, text, channels, kind, ttl_s, sent):
        self.text = text
        self.channels = channels
        self.kind = kind
        self.ttl_s = ttl_s          # of a SHORT one
        self.sent = sent
        self.answered = None
        self.outcome = UNKNOWN
        self.ids = {}               # by channel, as far as they were told


class Read:
    """One answer: messages[first:end] of the view's."""
    __slots__ = ("sent", "got", "position", "first", "end")

    def __init__(self, sent, got, position, first, end):
        self.sent = sent
        self.got = got
        self.position = position
        self.first = first
        self.end = end


class View:
    """A reader's cursor chain: each answer continues the one before."""

    def __init__(self, channels, begin=EVER, began=None):
        self.channels = list(channels)
        self.begin = begin
        self.began = time.monotonic() if began is None else began
        self.cut_short = False      # it has not read all there was
        self.reads = []
        self.messages = []
        self.ahead = 0.0        # how far positions were before the clock
        self.empty = 0

    def saw(self, sent, position, messages, got=None, wall=None):
        """An answer to what was sent then: Message after Message."""
        first = len(self.messages)
        self.messages += messages
        self.reads.append(Read(
            sent, time.monotonic() if got is None else got, position, first,
            len(self.messages)))
        self.empty += not messages
        self.ahead = max(self.ahead, position[0] - (
            time.time() if wall is None else wall))

    def position(self):
        return self.reads[-1].position if self.reads else self.begin

    def copy(self):
        twin = View(self.channels, self.begin, self.began)
        twin.cut_short = self.cut_short
        twin.reads = [Read(r.sent, r.got, r.position, r.first, r.end)
                      for r in self.reads]
        twin.messages = list(self.messages)
        twin.ahead, twin.empty = self.ahead, self.empty
        return twin


class Ledger:
    def __init__(self):
        self.publishes = {}     # by text
        self.views = []
        self.replay = None      # the view of one who came at the very end
        self.last_ids = {}      # the channels' counters, then
        self.published = None   # and the daemon's
        self.integrity = []     # what SQLite said of the file, each time
        self.cut_at = None      # a power cut that may have lost something,
        self.safe = 0.0         # but nothing that was acknowledged by then
        self.boot_s = 0         # how far the daemon's clock may be off ours

    # What happens

    def publish(self, text, channels, kind=KEPT, ttl_s=None, sent=None):
        p = Publish(text, channels, kind, ttl_s,
                    time.monotonic() if sent is None else sent)
        assert text not in self.publishes, f"{text} is published twice"
        self.publishes[text] = p
        return p

    @staticmethod
    def acknowledge(p, ids=None, answered=None):
        p.answered = time.monotonic() if answered is None else answered
        p.outcome = ACKNOWLEDGED
        p.ids = ids or {}

    @staticmethod
    def refuse(p):
        """It was answered, but not with 200: it must not exist."""
        p.outcome = REFUSED

    def reader(self, channels, begin=EVER, began=None):
        view = View(channels, begin, began)
        self.views.append(view)
        return view

    def look_back(self, view, last_ids=None, published=None):
        """What a new client sees from the beginning, and what the daemon
        counts, when all is over."""
        self.replay = view
        self.last_ids = last_ids or {}
        self.published = published

    def cut(self, safe, boot_s):
        """The power is off; what was acknowledged after `safe` may be lost.
        When it comes back, so much time has passed."""
        self.cut_at = time.monotonic()
        self.safe = safe
        self.boot_s = boot_s

    def at_risk(self, p):
        return self.cut_at is not None and p.sent < self.cut_at and (
            p.answered is None or p.answered > self.safe)

    def lost(self):
        """The texts that the cut took."""
        if self.cut_at is None:
            return set()
        here = {m.text for m in self.replay.messages}
        return {p.text for p in self.publishes.values()
                if self.at_risk(p) and p.text not in here}

    def look_at(self, database):
        """Ask SQLite about the file; the daemon must not run."""
        self.integrity += integrity(database)

    def copy(self):
        """Deep enough to be damaged."""
        twin = Ledger()
        twin.publishes = self.publishes
        twin.views = [view.copy() for view in self.views]
        twin.replay = self.replay and self.replay.copy()
        twin.last_ids = dict(self.last_ids)
        twin.published = self.published
        twin.integrity = list(self.integrity)
        twin.cut_at, twin.safe, twin.boot_s = (
            self.cut_at, self.safe, self.boot_s)
        return twin

    # What must be so

    def all_views(self):
        return self.views + ([self.replay] if self.replay else [])

    def check(self):
        for check in CHECKS:
            check(self)


def integrity(database):
    """What SQLite says of the database, its WAL included: ["ok"].  A copy is
    looked at, since looking alone would write the WAL's pages back."""
    database = pathlib.Path(database)
    with tempfile.TemporaryDirectory(dir=database.parent) as folder:
        copy = pathlib.Path(folder) / database.name
        for end in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{database}{end}", f"{copy}{end}")
        with contextlib.closing(sqlite3.connect(copy)) as db:
            try:
                return [row[0] for row in db.execute("PRAGMA integrity_check")]
            except sqlite3.DatabaseError as e:
                return [str(e)]


def expect(good, check, why):
    if not good:
        raise Broken(check.__name__.removeprefix("check_"), why())


def some(what):
    what = list(what)
    return f"{what[:5]} of {len(what)}"


def cursor(position):
    return position[0] << 24 | position[1]


def message_cursor(m):
    return m.time << 24 | m.tag


def check_nothing_lost(ledger):
    """Nothing acknowledged is missing from what a reader got since its first
    position: not one answer may have moved the position past a message."""
    must = [p for p in ledger.publishes.values()
            if p.outcome == ACKNOWLEDGED and p.kind == KEPT]
    # Where a message stands, as far as anybody saw it.
    cursors = {what: message_cursor(m)
               for what, m in known_messages(ledger).items()}
    for view in ledger.all_views():
        seen = {(m.text, m.channel) for m in view.messages}
        mine = set(view.channels)
        after_cut = ledger.cut_at is not None and view.began > ledger.cut_at
        begin, end = cursor(view.begin), cursor(view.position())
        lost = []
        for p in must:
            if after_cut and ledger.at_risk(p):
                continue
            for channel in mine.intersection(p.channels):
                what = (p.text, channel)
                at = cursors.get(what)
                if what not in seen and (
                        view.begin <= EVER or at and begin < at) and (
                        not view.cut_short or at and at <= end):
                    lost.append(what)
        expect(not lost, check_nothing_lost, lambda: some(lost))


def check_window(ledger):
    """What a power cut took is the end of the log: nothing is gone that was
    acknowledged before something else that is there was sent."""
    lost = ledger.lost()
    latest = max((ledger.publishes[m.text].sent
                  for m in ledger.replay.messages
                  if m.text in ledger.publishes and
                  ledger.at_risk(ledger.publishes[m.text])), default=0)
    holes = [p.text for p in ledger.publishes.values()
             if p.text in lost and p.kind == KEPT and
             p.outcome == ACKNOWLEDGED and p.answered < latest]
    expect(not holes, check_window, lambda: some(holes))


def check_nothing_doubled(ledger):
    for view in ledger.all_views():
        seen = collections.Counter((m.text, m.channel) for m in view.messages)
        twice = [what for what, n in seen.items() if n > 1]
        expect(not twice, check_nothing_doubled, lambda: some(twice))


def check_nothing_invented(ledger):
    """Only what was published is read, only where; what was refused never;
    and what was not to be stored was not."""
    check = check_nothing_invented
    for view in ledger.all_views():
        mine = set(view.channels)
        for m in view.messages:
            p = ledger.publishes.get(m.text)
            expect(p is not None and m.channel in p.channels and
                   m.channel in mine, check, lambda: m)
            expect(p.outcome != REFUSED, check, lambda: f"refused: {m}")
            expect(view is not ledger.replay or p.kind != LIVE, check,
                   lambda: f"stored, but was not to be: {m}")


def check_order(ledger):
    """Along a chain each channel's ids and cursors grow, and positions never
    go back; a message is the same to everybody."""
    check = check_order
    everybody = {}
    for view in ledger.all_views():
        last = {}
        for m in view.messages:
            before = last.get(m.channel)
            expect(before is None or before.id < m.id and
                   message_cursor(before) < message_cursor(m),
                   check, lambda: (before, m))
            last[m.channel] = m
            expect(everybody.setdefault((m.text, m.channel), m) == m,
                   check, lambda: (everybody[m.text, m.channel], m))
        at = view.begin
        for read in view.reads:
            expect(at <= read.position, check, lambda:
                   f"a position went back from {at} to {read.position}")
            at = read.position


def told_ids(ledger):
    """(channel, id, text) of all that was acknowledged or read, but for what
    a power cut took."""
    lost = ledger.lost()
    for p in ledger.publishes.values():
        for channel, number in p.ids.items():
            if p.text not in lost:
                yield channel, number, p.text
    for view in ledger.all_views():
        for m in view.messages:
            if m.text not in lost:
                yield m.channel, m.id, m.text


def check_ids(ledger):
    """An id is given once in a channel's life, and only one to a message."""
    texts, ids = {}, {}
    for channel, number, text in told_ids(ledger):
        other = texts.setdefault((channel, number), text)
        expect(other == text, check_ids, lambda:
               f"{channel} {number} is {other} and {text}")
        other = ids.setdefault((channel, text), number)
        expect(other == number, check_ids, lambda:
               f"{text} in {channel} is {other} and {number}")


def known_messages(ledger):
    return {(m.text, m.channel): m
            for view in ledger.all_views() for m in view.messages}


def check_cursors(ledger):
    """A cursor is never given again, not in a later life either; and per
    channel cursors grow as ids do."""
    check = check_cursors
    known = known_messages(ledger).values()
    users = collections.Counter(map(message_cursor, known))
    twice = [c for c, n in users.items() if n > 1]
    expect(not twice, check, lambda: f"used again: {some(twice)}")
    lost = ledger.lost()
    known = sorted((m for m in known if m.text not in lost),
                   key=lambda m: (m.channel, m.id))
    for a, b in zip(known, known[1:]):
        expect(a.channel != b.channel or
               message_cursor(a) < message_cursor(b), check, lambda: (a, b))


class Highest:
    """The highest of some values up to a time."""

    def __init__(self, events):
        self.times, self.values = [], []
        for at, value in sorted(events):
            if not self.values or value > self.values[-1]:
                self.times.append(at)
                self.values.append(value)

    def before(self, at):
        i = bisect.bisect_left(self.times, at)
        return self.values[i - 1] if i else 0


def check_in_time(ledger):
    """What is sent when a position has been given to anybody, or a cursor been
    acknowledged, gets a higher one: from that position on nothing is hidden
    behind it, in whatever life either happened.  Ids likewise."""
    check = check_in_time
    lost = ledger.lost()
    known = known_messages(ledger)
    given = [(read.got, cursor(read.position))
             for view in ledger.all_views() for read in view.reads]
    ids = collections.defaultdict(list)
    for (text, channel), m in known.items():
        p = ledger.publishes.get(text)
        if p is not None and p.outcome == ACKNOWLEDGED:
            given.append((p.answered, message_cursor(m)))
    for p in ledger.publishes.values():
        for channel, number in p.ids.items():
            if p.text not in lost:
                ids[channel].append((p.answered, number))
    highest = Highest(given)
    highest_ids = {channel: Highest(told) for channel, told in ids.items()}
    for (text, channel), m in known.items():
        p = ledger.publishes.get(text)
        if p is None:
            continue    # another check's matter
        before = highest.before(p.sent)
        expect(before < message_cursor(m), check, lambda:
               f"{m} is not above {before >> 24, before & 0xffffff}, "
               "which had been given before it was sent")
        if channel in highest_ids and text not in lost:
            expect(highest_ids[channel].before(p.sent) < m.id, check, lambda:
                   f"{m} has an id below an earlier one's")


def check_nothing_expired(ledger):
    """Who asks when a message has expired does not get it any more."""
    for view in ledger.all_views():
        for read in view.reads:
            for m in view.messages[read.first:read.end]:
                p = ledger.publishes.get(m.text)
                if p is None or p.ttl_s is None or p.answered is None:
                    continue
                late = read.sent - p.answered - p.ttl_s - ledger.boot_s
                expect(late < EXPIRY_SLACK_S, check_nothing_expired,
                       lambda: f"{m}, {late:.2f} s after its end")


def check_counters(ledger):
    """The daemon's counters lie between what must and what may have been."""
    check = check_counters
    least, most = collections.Counter(), collections.Counter()
    for p in ledger.publishes.values():
        for channel in p.channels:
            least[channel] += (p.outcome == ACKNOWLEDGED and
                               not ledger.at_risk(p))
            most[channel] += p.outcome != REFUSED
    for channel, counted in ledger.last_ids.items():
        expect(least[channel] <= counted <= most[channel], check, lambda:
               f"{channel}: {counted}, not {least[channel]}..{most[channel]}")
    if ledger.published is not None:
        total = sum(ledger.last_ids.values())
        expect(ledger.published == total, check, lambda:
               f"{ledger.published} in all, but {total} in the channels")


def check_clock(ledger):
    ahead = max((view.ahead for view in ledger.all_views()), default=0)
    expect(ahead <= AHEAD_S + ledger.boot_s, check_clock, lambda:
           f"{ahead:.1f} s ahead of the clock")


def check_integrity(ledger):
    expect(set(ledger.integrity) <= {"ok"}, check_integrity, lambda:
           some(ledger.integrity))


CHECKS = [check_nothing_lost, check_window, check_nothing_doubled, check_nothing_invented,
          check_order, check_ids, check_cursors, check_in_time,
          check_nothing_expired, check_counters, check_clock,
          check_integrity]

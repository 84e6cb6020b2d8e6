"""One life of a daemon in which the n-th call of some kind fails: a small
scenario through all that it does, what it may answer then, how it may end, and
what must be found on its disk afterwards.  failnth.c makes the call fail."""

import contextlib
import errno
import mmap
import os
import pathlib
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import world
from ledger import KEPT, LIVE, SHORT, Ledger

import front    # (world knows their folder)
import http1
import wire
import ws

SHIM = os.environ.get("HOLDFAST_FAILNTH") or str(
    pathlib.Path(os.environ.get("builddir", ".")) / "tests/fault/failnth.so")
CHANNELS = ["a", "b"]
ANSWER_S = 4.0      # of a pause in accepting: 1
JUMP_S = 5          # the wall clock goes forward, so that messages expire
AHEAD_OK_S = 8

# In the order of failnth.c; what its calls may fail with.
FSYNC, CORRUPT = 1034, 11       # SQLite's codes
NOMEM, BUSY, FULL, IOERR_WRITE = 7, 5, 13, 778
KINDS = {
    "malloc": [errno.ENOMEM],
    "sqlite": [NOMEM, BUSY, FULL, IOERR_WRITE, FSYNC, CORRUPT],
    "open": [errno.EMFILE, errno.EACCES],
    "read": [errno.EIO],
    "write": [errno.EIO, errno.ENOSPC, errno.EROFS],
    "say": [errno.EIO],
    "send": [errno.EPIPE, errno.EAGAIN],
    "recv": [errno.ECONNRESET, errno.EINTR],
    "sync": [errno.EIO],
    "folder": [errno.EIO],
    "truncate": [errno.EIO],
    "lock": [errno.EAGAIN],
    "accept": [errno.EMFILE, errno.ECONNABORTED],
    "socket": [errno.EMFILE],
    "eventfd": [errno.EMFILE],
    "epoll": [errno.ENOMEM],
    "thread": [errno.EAGAIN],
}
FOR_EVER = 0
# What may fail again and again, and everybody still gets an answer.
LASTING = ["malloc", "sqlite", "open", "read", "write", "sync", "folder",
           "truncate", "lock", "socket", "eventfd", "epoll", "thread"]


class Fault:
    """The numbers that driver and daemon share."""
    HEAD = ["kind", "at", "times", "error", "ahead", "fired", "unfreed"]

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.write_bytes(bytes(8 * (len(self.HEAD) + len(KINDS))))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)

    def get(self, index):
        return struct.unpack_from("q", self.map, 8 * index)[0]

    def put(self, name, value):
        struct.pack_into("q", self.map, 8 * self.HEAD.index(name), value)

    def __getattr__(self, name):
        return self.get(Fault.HEAD.index(name))

    def arm(self, kind, at, times, error):
        self.put("kind", list(KINDS).index(kind))
        self.put("times", times)
        self.put("error", error)
        self.put("at", at)

    def counts(self):
        return {kind: self.get(len(self.HEAD) + i)
                for i, kind in enumerate(KINDS)}

    def close(self):
        self.map.close()

    def reset(self):
        ahead = self.ahead
        self.map[:] = bytes(len(self.map))
        self.put("ahead", ahead)


# Where a library ends the process for want of memory, whoever uses it: libc
# when it looks up a user or a group, OpenSSL when it is used for the first
# time (so that is at the start, when nobody is served), and libconfuse's
# scanner.
THEIRS = {"getgrnam": [-signal.SIGSEGV, -signal.SIGABRT],
          "getpwnam": [-signal.SIGSEGV, -signal.SIGABRT],
          "initgroups": [-signal.SIGSEGV, -signal.SIGABRT],
          "OPENSSL_init_crypto": [-signal.SIGSEGV],
          "cfg_parse_fp": [2, -signal.SIGABRT]}


class Defect(AssertionError):
    """What must not happen, whatever fails."""


class Daemon(world.Daemon):
    """One under failnth.so; what fails is seen by whoever asks it."""

    def __init__(self, folder, fault, more):
        self.fault = fault
        super().__init__(folder, {
            "fastcgi": ["unix:" + str(folder / "fcgi.sock")],
            "scgi": ["unix:" + str(folder / "scgi.sock")],
            "http": ["unix:" + str(folder / "http.sock")],
            "push_stream_channel_inactivity_time": "1h",
            "sync": "full", **more})
        self.http = str(folder / "http.sock")

    def environment(self):
        env = super().environment()
        env["LD_PRELOAD"] = SHIM
        env["FAILNTH"] = str(self.fault.path)
        env["FAILNTH_TRACE"] = str(self.folder / "trace")
        # What was freed is no longer what it was.
        env["MALLOC_PERTURB_"] = "165"
        # The sanitizer's library is behind ours, as it has to be.
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        theirs = self.folder / "suppressions"
        theirs.write_text("leak:dl_open\nleak:libcrypto\nleak:initgroups\n"
                          "leak:getgrnam\nleak:libconfuse\n")
        env["LSAN_OPTIONS"] = f"suppressions={theirs}:print_suppressions=0"
        return env

    def serves(self):
        """Wait until it answers, or has ended.  Should it have nothing left to
        answer with, it is enough that it has become ready."""
        deadline = time.monotonic() + wire.TIMEOUT
        while self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.ask("control", scgi("/status")) is not None:
                    return True
            if self.fault.fired and "] ready" in self.said():
                return True
            if time.monotonic() > deadline:
                raise Defect("it does not get ready")
            time.sleep(0.002)
        return False

    def ask(self, where, data, read=wire.Client.scgi_answer):
        """An answer, or None: the connection ended without one."""
        with contextlib.suppress(OSError, struct.error), \
                self.connect(getattr(self, where)) as c:
            c.send_until_closed(data)
            return answer(c, read)
        return None

    def counters(self):
        got = self.ask("control", scgi("/status"))
        if got is None or got.status != 200:
            return {}
        return {n: int(v) for n, v in
                (line.split() for line in got.body.decode().splitlines())}


def answer(client, read):
    """What came, whole; None if it was cut.  That nothing comes and nobody
    hangs up is the one thing that a client cannot bear."""
    client.sock.settimeout(ANSWER_S)
    try:
        got = read(client)
    except TimeoutError:
        raise Defect("a request is never answered") from None
    except (OSError, struct.error):
        return None
    except AssertionError as e:
        if re.search("closed before|cut short|^ended after", str(e)):
            return None
        raise
    return got if got.headers else None


def scgi(uri, body=b"", **more):
    return wire.scgi(wire.cgi("GET", uri, **more), body)


class Reader:
    """A chain of long polls, through one of the gateways."""

    def __init__(self, life, gateway, channels):
        self.life = life
        self.gateway = gateway
        self.view = life.book.reader(channels)
        self.at = dict(front.SINCE_EVER)
        self.client = None

    def begin(self, ttl="1s"):
        """Ask for what comes next; it may have to wait."""
        location = front.long_polling(
            self.life.daemon, self.gateway, message_template=world.TEMPLATE,
            longpolling_connection_ttl=ttl)
        self.sent = self.life.now()
        try:
            self.client = location.start(
                "GET", "/".join(self.view.channels), **self.at).client
        except OSError:
            self.client = None

    def waits(self):
        if self.client is None:
            return False
        poll = select.poll()
        poll.register(self.client.sock, select.POLLIN)
        return not poll.poll(0)

    def end(self):
        """True: there were messages; False: none; None: it was refused."""
        if self.client is None:
            return None
        read = (wire.Client.scgi_answer if self.gateway == "scgi" else
                wire.Client.answer)
        with self.client:
            got = answer(self.client, read)
        self.client = None
        if got is None or got.status not in (200, 304):
            return None
        if got.header("Last-Modified") is None:
            return False        # nothing was ever published
        self.at = front.after(got)
        self.view.saw(self.sent, front.position(got), world.parse(got.body),
                      got=self.life.now(), wall=time.time() +
                      self.life.fault.ahead)
        return got.status == 200

    def step(self, ttl="10ms"):
        self.begin(ttl)
        return self.end()

    def catch_up(self):
        while self.step():
            pass


class Life:
    """start .. scenario .. SIGTERM, then a second one without a fault."""

    def __init__(self, fail=None):
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nth", dir=shm))
        self.fault = Fault(self.folder / "fault")
        self.daemon = Daemon(self.folder, self.fault, {})
        self.book = Ledger()
        self.fail = fail            # (kind, n, times, error)
        self.readers = []
        self.n = 0
        self.fired = None           # when it has ended

    def now(self):
        return time.monotonic() + self.fault.ahead

    # The scenario

    def publish(self, how, channels, kind=KEPT):
        """By FastCGI, SCGI, HTTP or WebSocket."""
        self.n += 1
        text = f"m{self.n}"
        fields = {"HTTP_MESSAGE_EXPIRY": "1"} if kind == SHORT else {}
        late = self.fault.fired and self.must_end()
        p = self.book.publish(text, channels, kind,
                              1 if kind == SHORT else None, self.now())
        location = front.publisher(
            self.daemon, store_messages="off" if kind == LIVE else "on")
        params = location.parameters("POST", "/".join(channels),
                                     CONTENT_LENGTH=str(len(text)), **fields)
        if how == "fastcgi":
            got = self.daemon.ask(how, wire.fastcgi(
                params, text.encode(), keep=False), wire.Client.answer)
        else:
            got = self.daemon.ask(how, wire.scgi(params, text.encode()))
        if got is not None and got.status == 200:
            if late:
                raise Defect("acknowledged after a sync had failed")
            self.book.acknowledge(p, world.told_ids(got), self.now())

    def http(self, *args, **fields):
        """Bitrix's layout, without a front."""
        with contextlib.suppress(OSError):
            with http1.Client(self.daemon.http) as c:
                c.send_until_closed(http1.request(*args, **fields))
                return answer(c, http1.Client.answer)
        return None

    def stream(self, gateway, subscriber, **fields):
        """A reader whose answer goes on; what it gets is looked at later."""
        location = front.Location(
            self.daemon, gateway, subscriber=subscriber,
            message_template=world.TEMPLATE)
        with contextlib.suppress(OSError):
            return location.start("GET", "a", **fields).client
        return None

    def parked(self):
        """All readers wait, or have their answer."""
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and self.alive():
            waiting = [r for r in self.readers if r.waits()]
            if self.daemon.counters().get("parked", 0) >= len(waiting):
                return

    def collected(self):
        """Until the message that expired is gone; a fault may delay that."""
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline and self.alive():
            if self.daemon.counters().get("store_collected", 0):
                return
            self.readers[0].step()

    def alive(self):
        return self.daemon.process.poll() is None

    def scenario(self):
        chain_a = Reader(self, "fastcgi", ["a"])
        chain_ab = Reader(self, "scgi", ["a", "b"])
        self.readers = [chain_a, chain_ab]
        self.publish("fastcgi", ["a"])
        self.publish("scgi", ["a", "b"])
        self.publish("fastcgi", ["b"], SHORT)
        self.publish("scgi", ["a"], LIVE)
        for r in self.readers:
            r.catch_up()
            r.begin()
        self.parked()
        streams = [
            self.stream("scgi", "eventsource"),
            self.stream("scgi", "websocket", **ws.HANDSHAKE),
            self.stream("fastcgi", "streaming",
                        **{**front.SINCE_EVER})]
        self.http("POST", "/bitrix/pub/?CHANNEL_ID=c", b"x" * 3000)
        self.http("GET", "/bitrix/sub?CHANNEL_ID=c",
                  If_Modified_Since=front.http_date(1))
        self.publish("fastcgi", ["a", "b"])
        for r in self.readers:
            r.end()
        self.fault.put("ahead", JUMP_S)
        self.collected()
        self.publish("scgi", ["b"])
        chain_ab.catch_up()
        publisher = front.publisher(self.daemon)
        for method, path in (("GET", "a"), ("DELETE", "c")):
            self.daemon.ask("scgi", wire.scgi(
                publisher.parameters(method, path)))
        self.daemon.ask("control", scgi(
            "/backup", str(self.folder / "copy").encode()))
        self.daemon.process.send_signal(signal.SIGHUP)
        self.publish("fastcgi", ["a"])
        chain_a.begin()
        self.parked()
        self.daemon.terminate()
        chain_a.end()
        for s in streams:
            if s is not None:
                s.close()

    # How it may end

    def may_end(self):
        """What cannot be synced or read is no ground to stand on.  To SQLite a
        page that cannot be read is a damaged one."""
        kind, _, _, error = self.fail
        return kind in ("sync", "read") or (
            kind == "sqlite" and error in (FSYNC, CORRUPT))

    def must_end(self):
        """After this no acknowledgement may leave.  A backup's file is another
        matter."""
        return self.may_end() and self.fail[0] != "read" and not self.said(
            f"backup {self.folder}/copy: cannot")

    def said(self, what):
        return what in self.daemon.said()

    def wait(self):
        """Its status; it was told to stop, once."""
        try:
            return self.daemon.process.wait(10)
        except subprocess.TimeoutExpired:
            raise Defect("it does not end") from None

    def ended(self, served):
        status = self.status
        if any(name in self.stack() and status in how
               for name, how in THEIRS.items()):
            return
        if status < 0 or status > 1:
            raise Defect(f"it ended with {status}")
        if not self.fault.fired:
            if status != 0:
                raise Defect("it failed without a fault")
            return
        kind = self.fail[0]
        if status == 1 and kind != "say" and not self.said("[err"):
            raise Defect("it failed without a word")
        if status == 1 and served and not self.may_end():
            raise Defect("a request has ended the process")
        if status == 0 and self.must_end():
            raise Defect("it went on after a sync had failed")

    def run(self):
        try:
            if self.fail is not None:
                self.fault.arm(*self.fail)
            self.daemon.spawn()
            served = self.daemon.serves()
            if served:
                self.scenario()
            self.status = self.wait()
            self.counts = self.fault.counts()
            self.fired = self.fault.fired
            self.unfreed = self.fault.unfreed
            self.daemon.check_sanitizer()
            self.ended(served)
            self.look_back()
        finally:
            with contextlib.suppress(Exception):
                self.daemon.process.kill()
                self.daemon.process.wait()

    def look_back(self):
        """A healthy daemon has all that was acknowledged."""
        self.fault.reset()
        self.daemon.start()
        for r in self.readers:
            if r.client is not None:
                r.client.close()
            r.catch_up()
        last = Reader(self, "fastcgi", CHANNELS)
        self.book.views.remove(last.view)
        last.catch_up()
        self.book.look_back(last.view)
        self.daemon.stop()
        self.book.look_at(self.daemon.settings["database"])
        for view in self.book.all_views():
            view.ahead = max(0, view.ahead - AHEAD_OK_S)
        self.book.check()

    def stack(self):
        """Where it failed."""
        path = self.folder / "trace"
        return path.read_text() if path.exists() else ""

    def forget(self):
        self.fault.close()
        shutil.rmtree(self.folder, ignore_errors=True)

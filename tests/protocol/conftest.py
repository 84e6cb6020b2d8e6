"""Start holdfastd for a test, look at its counters, and see it off: it must
end with status 0 and without a word from a sanitizer."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

import wire

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

from ports import free_port     # noqa: E402  (its folder is known from here on)

HOLDFASTD = os.environ.get("HOLDFASTD", "./holdfastd")
HOLDFASTCTL = os.environ.get("HOLDFASTCTL", "./holdfastctl")


def conf_text(settings):
    """holdfast.conf: strings, numbers, lists of strings."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, list):
            value = "{" + ", ".join(f'"{v}"' for v in value) + "}"
        elif isinstance(value, str):
            value = f'"{value}"'
        lines.append(f"{name} = {value}\n")
    return "".join(lines)


class Daemon:
    """A holdfastd of its own in a folder of its own."""

    def __init__(self, folder, settings=None, more=""):
        self.folder = pathlib.Path(folder)
        self.fastcgi = str(self.folder / "fcgi.sock")
        self.scgi = str(self.folder / "scgi.sock")
        self.control = str(self.folder / "control.sock")
        self.tcp = ("127.0.0.1", free_port())
        self.scgi_tcp = ("127.0.0.1", free_port())
        self.http = ("127.0.0.1", free_port())
        self.conf = self.folder / "holdfast.conf"
        self.log = self.folder / "log"
        self.settings = {
            "fastcgi": ["unix:" + self.fastcgi, "%s:%d" % self.tcp],
            "scgi": ["unix:" + self.scgi, "%s:%d" % self.scgi_tcp],
            "http": ["%s:%d" % self.http],
            "control": "unix:" + self.control,
            "database": str(self.folder / "holdfast.db"),
            **({"user": "root", "group": "root"} if os.geteuid() == 0
               else {}),
            **(settings or {}),
        }
        if "tls_certificate" in self.settings:
            self.https = ("127.0.0.1", free_port())
            self.settings.setdefault("https", ["%s:%d" % self.https])
        self.conf.write_text(conf_text(self.settings) + more)
        self.process = None

    def environment(self):
        log = self.folder / "sanitizer"
        common = f":log_path={log}:abort_on_error=0:exitcode=99"
        env = dict(os.environ, NOTIFY_SOCKET=str(self.folder / "notify"))
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + common
        env["UBSAN_OPTIONS"] = (env.get("UBSAN_OPTIONS", "") + common +
                                ":print_stacktrace=1")
        return env

    def start(self, before=(), **popen):
        """Run it and wait until it says READY; `before` stands before the
        command, for programs that pass sockets on."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(self.folder / "notify"))
            ready.settimeout(0.1)
            self.spawn(before, **popen)
            try:
                self.wait_ready(ready)
            finally:
                os.unlink(self.folder / "notify")
        return self

    def spawn(self, before=(), **popen):
        self.stopping = False
        popen.setdefault("stdin", subprocess.DEVNULL)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*before, HOLDFASTD, "-c", str(self.conf)], stdout=log,
                stderr=log, env=self.environment(), **popen)

    def wait_ready(self, ready):
        deadline = time.monotonic() + wire.TIMEOUT
        while True:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in ready.recv(4096).split(b"\n"):
                    return
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, "it does not get ready"

    def terminate(self):
        """Ask it to stop, once."""
        if not self.stopping:
            self.process.terminate()
        self.stopping = True

    def stop(self):
        if self.process is None:
            return
        self.terminate()
        process, self.process = self.process, None
        try:
            status = process.wait(wire.TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        self.check_sanitizer()
        assert status == 0, self.said()

    def kill(self):
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def said(self):
        """Its log."""
        return self.log.read_text(errors="replace")

    def check_sanitizer(self):
        found = [p.read_text() for p in self.folder.glob("sanitizer.*")]
        assert not found, "\n".join(found)
        assert "runtime error:" not in self.said(), self.said()

    def status(self):
        """All counters, by name."""
        out = subprocess.run([HOLDFASTCTL, "-s", self.control, "status"],
                             check=True, capture_output=True, text=True,
                             timeout=wire.TIMEOUT).stdout
        return {line.split()[0]: int(line.split()[1])
                for line in out.splitlines()
                if len(line.split()) == 2 and line.split()[1].isdigit()}

    def wait_for(self, **expected):
        """Until the counters have these values."""
        deadline = time.monotonic() + wire.TIMEOUT
        while True:
            status = self.status()
            seen = {name: status.get(name) for name in expected}
            if seen == expected:
                return
            assert time.monotonic() < deadline, f"{seen}, not {expected}"

    @contextlib.contextmanager
    def counts(self, **steps):
        """Within this block the counters go up by so much, no more."""
        before = self.status()
        yield
        self.wait_for(**{name: before[name] + n
                         for name, n in steps.items()})

    def connect(self, address=None, **options):
        return wire.Client(address or self.fastcgi, **options)

    def publish(self, channel, body):
        """A publish that must succeed."""
        with self.connect() as c:
            c.send(wire.fastcgi(wire.publish(channel, body), body,
                                keep=False))
            answer = c.answer()
        assert answer.status == 200
        return answer

    def cpu_seconds(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@pytest.fixture
def make_daemon(tmp_path_factory):
    """Daemons with settings of their own: make_daemon(request_timeout="1s");
    start=False leaves starting to the test."""
    made = []

    def make(start=True, more="", **settings):
        d = Daemon(tmp_path_factory.mktemp("hf"), settings, more)
        made.append(d)
        return d.start() if start else d

    yield make
    for d in made:
        d.stop()


@pytest.fixture(scope="module")
def shared_settings():
    """Of the file's one daemon; a file may say it otherwise."""
    return {}


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory, shared_settings):
    d = Daemon(tmp_path_factory.mktemp("hf"), shared_settings).start()
    yield d
    d.stop()


@pytest.fixture
def daemon(shared_daemon):
    """One daemon for a whole file: it must still run after every test, with
    nothing of the test left in it."""
    yield shared_daemon
    assert shared_daemon.process.poll() is None, shared_daemon.said()
    # The connection that asks is one itself.
    shared_daemon.wait_for(connections=1, parked=0)
    shared_daemon.check_sanitizer()

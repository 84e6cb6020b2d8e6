"""holdfast.service takes from the daemon all that it has no use for: its
whole life is watched by strace(1), and whatever it does then the unit must
admit.  A call that the filter refuses would show months later, on a system
that nobody here has."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

import bitrix
import conftest
import http1
import tls
import wire
from front import (SINCE_EVER, long_polling, new_channel, polling, publisher,
                   wait_until)
from streams import opened, streaming
from ws import WebSocket, websocket

UNIT = pathlib.Path(os.environ["srcdir"]) / "systemd/holdfast.service.in"

# To become the user that the unit's User= is from the start.
OF_ROOT = {"setgroups", "setgid", "setuid"} if os.geteuid() == 0 else set()

# What nobody needs who serves requests.  (chown: of a socket's file.)
NEVER = ["@clock", "@cpu-emulation", "@debug", "@keyring", "@memlock",
         "@module", "@mount", "@obsolete", "@raw-io", "@reboot", "@resources",
         "@setuid", "@swap", "@aio"]


def has(program):
    return pytest.mark.skipif(shutil.which(program) is None,
                              reason=f"there is no {program}")


def unit():
    """All values of each of its settings."""
    out = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            out.setdefault(name, []).append(value)
    return out


def calls_of(name):
    """Of a set of systemd's, with the sets in it; or a call itself."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter",
                           name], check=True, capture_output=True,
                          text=True).stdout
    words = [w for line in text.splitlines()[1:] for w in line.split("#")[0]
             .split()]
    return set().union(*map(calls_of, words))


def admitted():
    """As systemd reads the lines: the first says what kind of list it is."""
    out = set()
    lines = unit()["SystemCallFilter"]
    assert not lines[0].startswith("~")
    for line in lines:
        calls = set().union(*map(calls_of, line.removeprefix("~").split()))
        out = out - calls if line.startswith("~") else out | calls
    # execve() and the rest of this set systemd always admits.
    return out | calls_of("@default")


class Trace:
    """What the daemon did, call by call."""

    def __init__(self, path):
        self.path = path
        self.before = ["strace", "-D", "-f", "-qq", "-o", str(path)]

    def calls(self):
        """[(name, arguments)]; what was resumed counts once."""
        text = self.path.read_text(errors="replace")
        found = re.findall(r"^\d+ +(\w+)\((.*)", text, re.M)
        assert len(found) > 100, "strace saw nothing"
        return found


@pytest.fixture
def trace(tmp_path):
    found = Trace(tmp_path / "trace")
    if subprocess.run([*found.before, "true"]).returncode != 0:
        pytest.skip("strace may not trace here")
    program = pathlib.Path(conftest.HOLDFASTD).read_bytes()
    if b"__asan_init" in program or b"__tsan_init" in program:
        pytest.skip("a sanitizer has calls of its own")
    return found


def use(d):
    """All that its users make it do."""
    at = new_channel()
    pub = publisher(d)
    waiting = long_polling(d).park(at)
    with WebSocket(websocket(d, "scgi"), at), opened(streaming(d), at):
        pub.post(at, b"x" * 100000)
        waiting.answer()
    polling(d).get(at, **SINCE_EVER)
    with d.connect(d.tcp) as c:
        c.send(wire.fastcgi(wire.publish("a", b"x"), b"x", keep=False))
        assert c.answer().status == 200
    with d.connect(d.scgi_tcp) as c:
        c.send(wire.scgi(wire.publish("a", b"x"), b"x"))
        assert c.scgi_answer().status == 200
    for address in d.http, tls.address(d.https):
        with http1.Client(address) as c:
            c.send(http1.publish("a", b"x"))
            assert c.answer().status == 200
    rpc = bitrix.Server(d, 5)
    with rpc.socket("token=" + bitrix.token(7)):
        assert rpc.ask("stat", "GET").status == 200


def live(d, trace):
    """From start to end, with a reload, a rotation, a backup, and a kill in
    the middle; old messages are collected."""
    d.start(trace.before)
    use(d)
    publisher(d, message_ttl="1s").post("short", b"x",
                                        HTTP_MESSAGE_EXPIRY="1")
    d.process.send_signal(signal.SIGHUP)
    pathlib.Path(d.settings["log_file"]).unlink()
    d.process.send_signal(signal.SIGUSR1)
    wait_until(pathlib.Path(d.settings["log_file"]).exists)
    assert subprocess.run([conftest.HOLDFASTCTL, "-s", d.control, "backup",
                           str(d.folder / "copy")]).returncode == 0
    wait_until(lambda: d.status()["store_collected"] > 0)
    d.kill()
    first = trace.calls()
    d.start(trace.before)
    use(d)
    d.stop()
    return first + trace.calls()


@has("strace")
@has("systemd-analyze")
def test_what_the_daemon_does_is_admitted(make_daemon, trace, tmp_path,
                                          monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    cert = tls.Cert(tmp_path, "one", "one.example")
    d = make_daemon(start=False, log_file=str(tmp_path / "holdfast.log"),
                    scgi=["unix:" + str(tmp_path / "scgi"),
                          "localhost:%d" % conftest.free_port()],
                    **bitrix.KEYED, **tls.settings(cert))
    d.scgi = str(tmp_path / "scgi")
    d.scgi_tcp = "127.0.0.1", int(d.settings["scgi"][1].split(":")[1])
    calls = live(d, trace)
    refused = {name for name, _ in calls} - admitted() - OF_ROOT
    assert not refused, refused
    families = {re.match(r"AF_\w+", what)[0] for name, what in calls
                if name == "socket"}
    # getaddrinfo() asks the kernel which families there are, and does without.
    assert families - {"AF_NETLINK"} <= set(
        unit()["RestrictAddressFamilies"][0].split())
    assert unit()["MemoryDenyWriteExecute"] == ["yes"]
    for name, what in calls:
        assert not (name in ("mprotect", "pkey_mprotect") and
                    "PROT_EXEC" in what), (name, what)
        assert not (name == "mmap" and "PROT_WRITE" in what and
                    "PROT_EXEC" in what), (name, what)
    assert unit()["ProcSubset"] == ["pid"]
    # initgroups() asks for the number of groups, as root; free() in a thread
    # whether the system overcommits, and takes no answer for "no".
    assert not [what for name, what in calls if name == "openat" and
                re.search(r'"/proc/(?!self|thread-self|\d)', what) and
                "overcommit_memory" not in what and
                not (OF_ROOT and "ngroups_max" in what)]


@has("systemd-analyze")
def test_what_nobody_needs_is_refused():
    allowed = admitted() - calls_of("@default")
    # The loop makes a batch of itself; real time is refused all the same.
    assert unit()["RestrictRealtime"] == ["yes"]
    allowed.remove("sched_setscheduler")
    for name in NEVER:
        assert not calls_of(name) & allowed, name
    assert {"accept4", "epoll_wait", "fsync", "fchownat"} <= allowed


@has("systemd-analyze")
def test_exposure(tmp_path):
    """What systemd itself thinks of the unit."""
    path = tmp_path / "holdfast.service"
    path.write_text(UNIT.read_text().replace("@sbindir@", "/usr/sbin")
                    .replace("@sysconfdir@", "/etc"))
    done = subprocess.run(["systemd-analyze", "--no-pager", "security",
                           "--offline=yes", str(path)],
                          capture_output=True, text=True)
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze needs a running systemd")
    level = re.search(r"Overall exposure level .*: ([\d.]+)", done.stdout)
    assert float(level[1]) <= 1.5, done.stdout

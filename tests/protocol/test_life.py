"""Start, reload and end: signals, systemd's notifications, and the sentence
with which a start is refused."""

import contextlib
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess

import pytest

import conftest
import wire
from front import (SINCE_EVER, long_polling, polling, position, publisher,
                   wait_until)
from test_durability import under_strace


def log_has(d, *words, path=None):
    text = (path or d.log).read_text() if (path or d.log).exists() else ""
    return [line for line in text.splitlines()
            if all(w in line for w in words)]


# Scheduling

def policies(d):
    """Of the loop, and of the daemon's other threads."""
    pid = d.process.pid
    others = {int(t) for t in os.listdir(f"/proc/{pid}/task")} - {pid}
    return (os.sched_getscheduler(pid),
            {os.sched_getscheduler(t) for t in others})


@pytest.fixture
def ordinary():
    """Nobody has given us a policy, and a process may choose one."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        pytest.skip("these tests were started under a policy")
    if shutil.which("chrt") is None or subprocess.run(
            ["chrt", "--batch", "0", "true"]).returncode != 0:
        pytest.skip("no policy may be set here")


def test_loop_is_a_batch(ordinary, make_daemon):
    """It interrupts nobody who is about to feed it; the store's thread, for
    which all wait, is as it was."""
    assert policies(make_daemon()) == (os.SCHED_BATCH, {os.SCHED_OTHER})


def test_policy_of_the_administrator(ordinary, make_daemon):
    d = make_daemon(start=False)
    d.start(before=["chrt", "--idle", "0"])
    assert policies(d) == (os.SCHED_IDLE, {os.SCHED_IDLE})


def test_policy_refused(ordinary, make_daemon):
    """As a container may, or a drop-in of the unit's."""
    d = make_daemon(start=False)
    d.start(under_strace(d, "-e", "trace=sched_setscheduler", "-e",
                         "inject=sched_setscheduler:error=EPERM"))
    assert policies(d) == (os.SCHED_OTHER, {os.SCHED_OTHER})
    publisher(d).post("a", b"x")
    assert polling(d).get("a", **SINCE_EVER).status == 200


# Signals

def reload(d, **settings):
    """Write the file anew and wait until it was read."""
    before = len(log_has(d, "reloaded"))
    d.conf.write_text(conftest.conf_text({**d.settings, **settings}))
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(log_has(d, "reloaded")) > before)


def test_reload(make_daemon):
    """SIGHUP: new requests have the new settings; those who wait keep their
    own and stay."""
    d = make_daemon(push_stream_message_template="old ~text~")
    pub = publisher(d)
    wait = long_polling(d, message_template=None)
    reader = wait.park("a")
    reload(d, push_stream_message_template="new ~text~",
           push_stream_max_messages_stored_per_channel=2,
           push_stream_max_channel_id_length=5, client_max_body_size=100,
           push_stream_channel_deleted_message_text="bye")
    younger = wait.park("a")
    pub.post("a", b"x")
    assert reader.answer().body == b"old x"
    assert younger.answer().body == b"new x"
    assert wait.get("a.b1").body == b"new x"
    assert pub.get("abcdef").status == 400
    assert pub.ask("POST", "a", b"x" * 101).status == 413
    for _ in range(3):
        a = pub.post("a", b"y")
    assert b'"published_messages": 4, "stored_messages": 2,' in a.body
    reader = wait.park("a")
    pub.ask("DELETE", "a")
    assert reader.answer().body == b"new bye"


def test_reload_of_publish_from(make_daemon):
    d = make_daemon()
    params = wire.publish("a", b"x", REMOTE_ADDR="192.0.2.1")
    with d.connect() as c:
        for publish_from, status in [(["192.0.2.0/24"], 200), ([], 403)]:
            reload(d, publish_from=publish_from)
            c.send(wire.fastcgi(params, b"x"))
            assert c.answer().status == status


@pytest.mark.parametrize("wrong", [
    "nonsense = 1\n", "push_stream_message_ttl = 0\n", "{{{\n", None])
def test_reload_of_a_bad_file(make_daemon, wrong):
    """The old settings stay in force, and the log says why."""
    d = make_daemon(push_stream_message_template="old ~text~")
    if wrong is None:
        d.conf.unlink()
    else:
        d.conf.write_text(wrong)
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: log_has(d, str(d.conf), "not reloaded"))
    assert len(log_has(d, str(d.conf))) >= 2
    publisher(d).post("a", b"x")
    poll = polling(d, message_template=None)
    assert poll.get("a", **SINCE_EVER).body == b"old x"


def test_reload_of_keys(make_daemon, tmp_path):
    """A reload reads the file of keys again; without a key in it the old ones
    stay.  Nobody gets to see one."""
    keys = tmp_path / "keys"
    keys.write_text("SECRET1\n")
    keys.chmod(0o600)
    d = make_daemon(signature_key=["SECRET2"], signature_key_file=str(keys))
    reload(d)
    assert not log_has(d, str(keys))
    keys.write_text("\r\n\n")
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: log_has(d, str(d.conf), "not reloaded"))
    assert log_has(d, str(d.conf), str(keys), "no key")
    keys.write_text("SECRET3\n")
    keys.chmod(0o644)
    reload(d)
    assert len(log_has(d, "[warn]", str(keys))) == 1
    shown = subprocess.run([conftest.HOLDFASTD, "-T", "-c", str(d.conf)],
                           capture_output=True, check=True).stdout
    assert b"# signature_key: 1 key\n" in shown and b"SECRET" not in shown
    assert not log_has(d, "SECRET")


def test_reload_of_what_needs_a_restart(make_daemon):
    """It is said, and nothing of it is half done."""
    d = make_daemon()
    publisher(d).post("a", b"x")
    reload(d, database=str(d.folder / "other.db"), sync="off",
           fastcgi=["unix:" + str(d.folder / "other.sock")])
    assert log_has(d, "[warn]", "restart")
    assert not (d.folder / "other.db").exists()
    assert polling(d).get("a", **SINCE_EVER).status == 200


def test_reopen_log(make_daemon):
    """SIGUSR1 after logrotate has moved the file."""
    d = make_daemon(start=False)
    log, moved = d.folder / "holdfast.log", d.folder / "holdfast.log.1"
    d.conf.write_text(d.conf.read_text() + f'log_file = "{log}"\n')
    d.start()
    wait_until(lambda: log_has(d, "ready", path=log))
    log.rename(moved)
    publisher(d, nonsense_1="").ask("POST", "a", b"x")
    assert log_has(d, "nonsense_1", path=moved)
    d.process.send_signal(signal.SIGUSR1)
    wait_until(log.exists)
    publisher(d, nonsense_2="").ask("POST", "a", b"x")
    assert log_has(d, "nonsense_2", path=log)
    assert not log_has(d, "nonsense_2", path=moved)
    # A place that is not there: the old file stays in use.
    d.log_moved = log.rename(d.folder / "holdfast.log.2")
    log.mkdir()
    d.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: log_has(d, "cannot reopen", path=d.log_moved))


def test_signals_while_starting(make_daemon):
    """A reload and a log rotation that are asked for before the loop runs, here
    while the daemon waits for somebody to read its log, neither end it nor are
    they lost."""
    d = make_daemon(start=False)
    log = d.folder / "holdfast.fifo"
    os.mkfifo(log)
    d.conf.write_text(d.conf.read_text() + f'log_file = "{log}"\n')
    d.spawn()
    status = pathlib.Path(f"/proc/{d.process.pid}/status")
    hangup = 1 << (signal.SIGHUP - 1)
    wait_until(lambda: int(re.search(
        r"SigBlk:\s*(\w+)", status.read_text())[1], 16) & hangup)
    d.process.send_signal(signal.SIGHUP)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    said = bytearray()

    def says(word):
        with contextlib.suppress(BlockingIOError):
            said.extend(os.read(reader, 65536))
        return word in said

    wait_until(lambda: says(b"reloaded"))
    assert says(b"] ready")
    d.stop()
    os.close(reader)


def test_reopen_without_a_file(make_daemon):
    """On standard error there is nothing to reopen."""
    d = make_daemon()
    d.process.send_signal(signal.SIGUSR1)
    publisher(d, nonsense="").ask("POST", "a", b"x")
    assert log_has(d, "nonsense")


def test_one_request_is_one_line(make_daemon):
    """What a client sends cannot forge a line of the log."""
    d = make_daemon()
    pub = publisher(d, nonsense="")
    pub.uri = "/x\n2026-01-01T00:00:00+0000 [error] forged"
    pub.ask("POST", "a", b"x")
    line, = log_has(d, "nonsense")
    assert r"/x\x0a2026" in line


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_end(make_daemon, sig):
    """With readers and idle connections: they get their 304, exit 0, and the
    sockets are gone.  A second signal changes nothing."""
    d = make_daemon()
    readers = [long_polling(d, gateway).park("a")
               for gateway in ("fastcgi", "scgi") for _ in range(20)]
    idle = d.connect()
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError):
            d.process.send_signal(sig)
    for reader in readers:
        a = reader.answer()
        assert a.status == 304 and position(a)[1] == 0
    assert idle.at_end()
    idle.close()
    assert d.process.wait(20) == 0
    d.process = None
    assert not os.path.exists(d.fastcgi) and not os.path.exists(d.scgi)
    assert log_has(d, "stopping")


def test_end_with_a_body(make_daemon):
    """timeout_with_body holds for the lame duck, too."""
    d = make_daemon(push_stream_timeout_with_body="on")
    reader = long_polling(d, message_template="~id~ ~text~").park("a")
    d.process.terminate()
    a = reader.answer()
    assert (a.status, a.body) == (200, b"-3 Timed out")


# systemd

@pytest.fixture
def notified(make_daemon):
    """A daemon that is not started yet, and what it tells systemd."""
    @contextlib.contextmanager
    def make(abstract=False, **environment):
        d = make_daemon(start=False)
        name = str(d.folder / "systemd")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind("\0" + name if abstract else name)
            s.settimeout(wire.TIMEOUT)
            plain = d.environment
            d.environment = lambda: {
                **plain(), "NOTIFY_SOCKET": "@" + name if abstract else name,
                **environment}
            yield d, lambda: s.recv(4096).decode()
    return make


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(notified, abstract):
    """READY when it can be connected to, STOPPING when it goes."""
    with notified(abstract) as (d, say):
        d.spawn()
        assert say() == "READY=1"
        publisher(d).post("a", b"x")
        d.process.terminate()
        assert say() == "STOPPING=1"


def test_watchdog(notified):
    """At least twice in the time that systemd waits, also when idle; for
    another process's watchdog there is nothing to do."""
    with notified(WATCHDOG_USEC="600000") as (d, say):
        d.spawn()
        assert say() == "READY=1"
        for _ in range(4):
            began = conftest.time.monotonic()
            assert say() == "WATCHDOG=1"
            assert conftest.time.monotonic() - began < 0.6


def test_watchdog_of_another(notified):
    with notified(WATCHDOG_USEC="1000", WATCHDOG_PID="1") as (d, say):
        d.spawn()
        assert say() == "READY=1"
        publisher(d).post("a", b"x")
        d.process.terminate()
        assert say() == "STOPPING=1"


# Refusals to start

def refuses(d, *words, sockets=False):
    """It ends with status 1 and a sentence that has these words; and it
    leaves no socket behind, where it may remove them."""
    at = d.log.stat().st_size if d.log.exists() else 0
    d.spawn()
    process, d.process = d.process, None
    assert process.wait(wire.TIMEOUT) == 1
    d.check_sanitizer()
    said = d.log.read_text()[at:]
    assert any(all(w in line for w in words)
               for line in said.splitlines()), said
    assert os.path.exists(d.fastcgi) == sockets


def test_locked_database(make_daemon):
    """A second daemon keeps out, and the first does not notice."""
    first = make_daemon()
    publisher(first).post("a", b"x")
    db = first.settings["database"]
    refuses(make_daemon(start=False, database=db), db, "in use by another")
    publisher(first).post("a", b"x")
    first.kill()
    # What is left of a killed one is in nobody's way.
    second = make_daemon(database=db)
    assert second.status()["stored_messages"] == 2


def test_database_of_a_newer_version(make_daemon):
    d = make_daemon()
    publisher(d).post("a", b"x")
    d.stop()
    db = d.settings["database"]
    with contextlib.closing(sqlite3.connect(db)) as c:
        c.execute("PRAGMA user_version = 77")
    size = os.stat(db).st_size
    refuses(d, db, "newer version", "77")
    assert os.stat(db).st_size == size


def test_database_of_another_program(make_daemon):
    d = make_daemon(start=False)
    db = d.settings["database"]
    with contextlib.closing(sqlite3.connect(db)) as c:
        c.execute("CREATE TABLE mine (x)")
        c.execute("PRAGMA application_id = 1234")
        c.commit()
    refuses(d, db, "another program")
    with contextlib.closing(sqlite3.connect(db)) as c:
        assert c.execute("SELECT name FROM sqlite_master").fetchall() == [
            ("mine",)]


@pytest.mark.parametrize("kind", ["garbage", "text", "first page"])
def test_corrupt_database(make_daemon, kind):
    d = make_daemon()
    publisher(d).post("a", b"x" * 50000)
    d.stop()
    path = d.folder / "holdfast.db"
    data = bytearray(path.read_bytes())
    if kind == "garbage":
        data = random.Random(1).randbytes(50000)
    elif kind == "text":
        data = b"This is my diary.\n" * 1000
    else:
        data[100:4096] = bytes(3996)
    path.write_bytes(data)
    refuses(d, str(path), "database")
    assert path.read_bytes() == data, "it was written to"


@pytest.mark.parametrize("path, words", [
    ("/nonexistent/folder/holdfast.db", ["No such file"]),
    ("/proc/holdfast.db", []),
    ("@", []),          # a folder
])
def test_unwritable_database(make_daemon, path, words):
    d = make_daemon(start=False)
    path = path.replace("@", str(d.folder))
    d = make_daemon(start=False, database=path)
    refuses(d, path, *words)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_database_of_another_user(make_daemon):
    d = make_daemon(user="nobody", group="nogroup", start=False)
    refuses(d, d.settings["database"], sockets=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
@pytest.mark.parametrize("key", ["user", "group"])
def test_unknown_user(make_daemon, key):
    d = make_daemon(start=False, **{key: "nobody-of-that-name"})
    refuses(d, "nobody-of-that-name", key)


def test_log_file_that_cannot_be_written(make_daemon):
    d = make_daemon(start=False, log_file="/nonexistent/log")
    refuses(d, "/nonexistent/log")


def test_a_port_in_use(make_daemon):
    with socket.create_server(("127.0.0.1", 0)) as s:
        address = "127.0.0.1:%d" % s.getsockname()[1]
        refuses(make_daemon(start=False, scgi=[address]), address)
        assert not select.select([s], [], [], 0)[0]

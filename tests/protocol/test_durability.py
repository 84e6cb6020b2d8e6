"""The 200 for a stored message means that it is on disk; what cannot be
stored is said to be so, and nothing else suffers."""

import contextlib
import os
import re
import select
import shutil
import stat
import subprocess
import time

import pytest

import conftest
import front
from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, SINCE_EVER, after,
                   check_head, long_polling, polling, position, publisher,
                   wait_until)


def restarted(d, how):
    if how == "stop":
        d.stop()
    else:
        d.kill()
    return d.start()


def texts(answer):
    return [m.split("|")[2] for m in answer.body.decode().split("}{")]


# Over restarts

@pytest.mark.parametrize("how", ["stop", "kill -9"])
def test_replay_after_a_restart(make_daemon, how):
    """Messages, ids, counters and positions are what they were, to the
    byte."""
    d = make_daemon()
    pub, poll = publisher(d), polling(d)
    live = pub.but(store_messages="off")
    bodies = [bytes(range(256)), b"\0", b"x" * 300000, "да".encode()]
    for n, body in enumerate(bodies):
        pub.post("a", body, HTTP_EVENT_ID=f"e{n}", HTTP_EVENT_TYPE="t\x7f")
        live.post("a/live", b"gone")
        pub.post("a/b", b"both", HTTP_MESSAGE_EXPIRY="1000")
    pub.post("deleted", b"x")
    pub.ask("DELETE", "deleted")
    middle = poll.get("a.b3")
    asked = [("a", SINCE_EVER), ("b/a", SINCE_EVER), ("a.b2/b", {}),
             ("a", after(poll.get("b.b1"))),
             ("a", {"HTTP_LAST_EVENT_ID": "e1"}),
             ("b", SINCE_EVER), ("a/b", after(middle))]
    before = [poll.get(path, **fields).raw for path, fields in asked]
    info = [pub.get(path).body for path in ("a", "b")]
    counters = ["published_messages", "stored_messages"]
    status = [d.status()[n] for n in counters]
    restarted(d, how)
    assert [poll.get(path, **fields).raw for path, fields in asked] == before
    assert [pub.get(path).body for path in ("a", "b")] == info
    assert [d.status()[n] for n in counters] == status
    assert pub.get("deleted").status == 404
    # What comes now is newer than every position that was given.
    last = poll.get("a/b/live", **SINCE_EVER)
    assert b'"published_messages": 13, ' in pub.post("a", b"new").body
    got = poll.get("a/b/live", **after(last))
    assert texts(got) == ["new"] and position(got) > position(last)


@pytest.mark.parametrize("how", ["stop", "kill -9"])
def test_positions_without_a_message_survive(make_daemon, how):
    """The position of a 304, and of a message that was not stored, is not
    given again to a later message."""
    d = make_daemon()
    pub, poll = publisher(d), polling(d)
    wait = long_polling(d, longpolling_connection_ttl="5ms")
    pub.post("a", b"0")
    for n in range(1, 4):
        empty = wait.get("a", **after(poll.get("a.b1")))
        assert empty.status == 304
        reader = long_polling(d).park("a")
        pub.but(store_messages="off").post("a", b"live")
        alive = reader.answer()
        restarted(d, how)
        pub.post("a", b"%d" % n)
        for answer in empty, alive:
            got = poll.get("a", **after(answer))
            assert texts(got) == [str(n)]


def test_memory(make_daemon):
    """Nothing survives, and nothing pretends to."""
    d = make_daemon(database="memory")
    pub, poll = publisher(d), polling(d)
    pub.post("a", b"x")
    assert texts(poll.get("a", **SINCE_EVER)) == ["x"]
    d.stop()
    d.start()
    assert pub.get("a").status == 404
    assert not list(d.folder.glob("*memory*"))
    backup = subprocess.run([conftest.HOLDFASTCTL, "-s", d.control, "backup",
                             str(d.folder / "copy")], capture_output=True)
    assert backup.returncode == 1


# What strace sees

def strace():
    """The command, if it may be used."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"],
                           capture_output=True)
    if probe.returncode != 0:
        pytest.skip("strace may not trace here")
    return ["strace", "-f", "-y", "-s", "80"]


def no_leak_check(d):
    """It cannot run in a process that is traced at its end."""
    plain = d.environment
    d.environment = lambda: {
        **plain(), "ASAN_OPTIONS":
        plain()["ASAN_OPTIONS"] + ":detect_leaks=0"}


def under_strace(d, *options):
    """What d is to be started under."""
    no_leak_check(d)
    return [*strace(), "-D", "-o", str(d.folder / "trace"), *options]


@contextlib.contextmanager
def slow_disk(d, ms=200):
    """Every sync takes this long meanwhile."""
    with subprocess.Popen(
            [*strace(), "-o", "/dev/null", "-e", "trace=fdatasync,fsync",
             "-e", f"inject=fdatasync,fsync:delay_exit={ms * 1000}",
             "-p", str(d.process.pid)], stderr=subprocess.PIPE,
            text=True) as tracer:
        try:
            assert "attached" in tracer.stderr.readline()
            yield
        finally:
            tracer.terminate()


@pytest.mark.parametrize("sync", ["full", "normal", "off"])
def test_a_200_comes_after_the_sync(make_daemon, sync):
    """Between the last write to the WAL and the answer stands an fdatasync
    that has returned; with sync=off there is none, and with normal only the
    one of each second may happen to stand there."""
    d = make_daemon(start=False, sync=sync)
    d.start(under_strace(d, "-e", "trace=pwrite64,fdatasync,write,writev,"
                         "sendmsg,sendto"))
    pub = publisher(d)
    n = 12
    began = time.monotonic()
    for _ in range(n):
        pub.post("a/b", b"x" * 2000)
    took_s = time.monotonic() - began
    d.stop()
    written = synced = False
    answers = after_sync = 0
    for line in wait_until(finished_trace, d).splitlines():
        if "pwrite64(" in line and "holdfast.db-wal" in line:
            written, synced = True, False
        elif "fdatasync" in line and "holdfast.db-wal" in line:
            synced = "<unfinished" not in line
        elif "<... fdatasync resumed>" in line:
            synced = True
        elif "Status: 200" in line and "<... " not in line:
            assert written, "answered before it was written"
            after_sync += synced
            written = False
            answers += 1
    assert answers == n
    if sync == "full":
        assert after_sync == n
    else:
        assert after_sync <= (took_s + 2 if sync == "normal" else 0)


def finished_trace(d):
    text = (d.folder / "trace").read_text(errors="replace")
    return text if "+++ exited with 0 +++" in text else ""


def requests_come_in(d, n):
    """Until so many more requests are with the daemon.  Its own status
    requests count too."""
    start = d.status()["requests"]

    def came(asked=[0]):
        asked[0] += 1
        return d.status()["requests"] - start >= n + asked[0]

    return came


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_lame_duck(make_daemon, gateway):
    """SIGTERM: those who wait get their ordinary 304, what is queued is
    stored and answered 200, and the end is a clean one."""
    d = make_daemon(start=False)
    no_leak_check(d)
    d.start()
    pub = publisher(d, gateway)
    pub.post("a", b"first")
    wait = long_polling(d, gateway, allowed_origins="*")
    place = after(polling(d).get("a.b1"))
    readers = [wait.park("other/b", **place) for _ in range(5)]
    with slow_disk(d):
        came = requests_come_in(d, 30)
        waiting = [pub.start("POST", "a", b"%d" % n) for n in range(30)]
        wait_until(came)
        d.process.terminate()
        for reader in readers:
            seen = reader.answer()
            check_head(seen, 304, ("Content-Type", "text/plain"),
                       ("Last-Modified", seen.header("Last-Modified")),
                       ("Etag", seen.header("Etag")), *EMPTY, *NO_CACHE,
                       *front.cors("GET"))
        assert [w.answer().status for w in waiting] == [200] * 30
        assert d.process.wait(20) == 0
    d.process = None
    d.start()
    got = polling(d).get("a", **SINCE_EVER)
    assert sorted(texts(got)[1:], key=int) == [str(n) for n in range(30)]
    # From the position of the 304 nothing of what follows is missed.
    pub.post("b", b"later")
    assert texts(polling(d).get("other/b", **after(seen))) == ["later"]


def test_queue_full(make_daemon):
    """More than may wait: 503 with Retry-After, nothing stored of it, and
    all is well when the disk has caught up."""
    d = make_daemon(store_queue_size="8k")
    pub = publisher(d, allowed_origins="*")
    with slow_disk(d):
        waiting = [pub.start("POST", "a", b"%03d" % n + b"x" * 1000)
                   for n in range(40)]
        answers = [w.answer() for w in waiting]
    stored = [n for n, a in enumerate(answers) if a.status == 200]
    refused = [a for a in answers if a.status != 200]
    assert stored and refused
    for a in refused:
        check_head(a, 503, ("Retry-After", "1"),
                   (EXPLAIN, "the store's queue is full"), *EMPTY, *NO_CACHE,
                   *front.cors("GET, POST, PUT, DELETE"))
    status = d.status()
    assert status["store_queue_full"] == len(refused)
    assert status["stored_messages"] == len(stored)
    assert status["store_queue_bytes"] == 0
    got = polling(d).get("a", **SINCE_EVER)
    assert sorted(int(t[:3]) for t in texts(got)) == stored
    # What was refused has none, and leaves no gap.
    ids = [int(m.split("|")[0].strip("{"))
           for m in got.body.decode().split("}{")]
    assert ids == list(range(1, len(stored) + 1))
    pub.post("a", b"again")


def test_a_deletion_overtakes_publishes(make_daemon):
    """What was published before it is answered 200 and goes with the
    channel; what came after it belongs to the next channel of that name."""
    d = make_daemon()
    pub = publisher(d)
    pub.post("a", b"0")
    with slow_disk(d):
        before = [pub.start("POST", "a", b"1")]
        wait_until(lambda: d.status()["store_queue_bytes"])
        came = requests_come_in(d, 3)
        before += [pub.start("POST", "a", b"%d" % n) for n in (2, 3, 4)]
        wait_until(came)
        deletion = pub.start("DELETE", "a")
        wait_until(lambda: pub.get("a").status == 404)
        assert [w.answer().status for w in before] == [200] * 4
        assert deletion.answer().status == 200
        pub.post("a", b"new")
        deletion = pub.start("DELETE", "a")
        wait_until(lambda: pub.get("a").status == 404)
        pub.post("a", b"newer")
        assert deletion.answer().status == 200
    for _ in range(2):
        assert polling(d).get("a", **SINCE_EVER).body.startswith(b"{1|a|")
        assert texts(polling(d).get("a", **SINCE_EVER)) == ["newer"]
        status = d.status()
        assert status["published_messages"] == 7
        assert status["stored_messages"] == status["channels"] == 1
        restarted(d, "kill -9")


def test_the_loop_does_not_wait_for_the_disk(make_daemon):
    """While the store syncs, what needs no store is answered at once, and
    readers park."""
    d = make_daemon()
    pub = publisher(d)
    with slow_disk(d, 1000):
        publish = pub.start("POST", "a", b"x")
        wait_until(lambda: d.status()["store_queue_bytes"])
        assert polling(d).get("b").status == 304
        assert pub.get("a").status == 200
        reader = long_polling(d).park("a")
        assert not select.select([publish.client.sock], [], [], 0)[0]
        assert publish.answer().status == 200
        assert texts(reader.answer()) == ["x"]


# A full database

def fill_up(pub, size=10000, **fields):
    """Publish until it is refused; how many were taken."""
    n = 0
    while (a := pub.ask("POST", "a", b"%05d" % n + b"x" * size,
                        **fields)).status == 200:
        n += 1
        assert n < 10000, "it never gets full"
    check_head(a, 507, (EXPLAIN, "disk or database is full, or read-only"),
               *EMPTY, *NO_CACHE)
    return n


def test_full_database(make_daemon):
    """507 says that nothing was stored; reads go on; live messages too; what
    expires or is deleted makes room again, without a restart."""
    d = make_daemon(max_database_size="1m", replay_size="32m")
    pub, poll = publisher(d), polling(d)
    n = fill_up(pub, HTTP_MESSAGE_EXPIRY="3")
    assert d.status()["store_full"] == 1
    got = poll.get("a", **SINCE_EVER)
    if got.status == 200:       # the first of them may be gone by now
        numbers = [int(t[:5]) for t in texts(got)]
        assert numbers == list(range(numbers[0], n))
    assert pub.get("a").status == 200
    d.wait_for(stored_messages=0)
    m = fill_up(pub)
    assert m >= n * 3 // 4
    size = sum(p.stat().st_size for p in d.folder.glob("holdfast.db"))
    assert size <= 1 << 20
    assert pub.ask("DELETE", "a").status == 200
    wait_until(lambda: pub.ask("POST", "a", b"x" * 10000).status == 200)
    d.stop()
    d.start()
    assert texts(poll.get("a", **SINCE_EVER)) == ["x" * 10000]
    # One line for each kind of trouble, not one for each request.
    assert d.log.read_text().count("disk or database is full") < 20


# Backups

def holdfastctl(d, *words):
    return subprocess.run([conftest.HOLDFASTCTL, "-s", d.control, *words],
                          capture_output=True, text=True, timeout=20,
                          cwd=d.folder)


def test_backup(make_daemon):
    """A copy made while the daemon goes on replays the same elsewhere."""
    d = make_daemon()
    pub, poll = publisher(d), polling(d)
    for n in range(50):
        pub.post("a/b", b"%d" % n * 3000, HTTP_EVENT_ID=str(n))
    done = holdfastctl(d, "backup", "copy.db")
    assert (done.returncode, done.stderr) == (0, "")
    pub.post("a", b"after the backup")
    asked = [("a.b3", {}), ("b", SINCE_EVER),
             ("a", {"HTTP_LAST_EVENT_ID": "30"})]
    before = [poll.get(path, **fields) for path, fields in asked[1:2]]
    other = make_daemon(database=str(d.folder / "copy.db"))
    again = polling(other)
    assert [again.get(p, **f).body for p, f in asked[1:2]] == [
        a.body for a in before]
    assert texts(again.get("a.b1")) == ["49" * 3000]
    assert other.status()["stored_messages"] == 100
    publisher(other).post("a", b"own way")
    assert texts(again.get("a.b1")) == ["own way"]


def test_backup_that_cannot_be_made(make_daemon):
    d = make_daemon()
    publisher(d).post("a", b"x")
    (d.folder / "other").write_text("not mine")
    for path in "/nonexistent/folder/copy", str(d.folder):
        done = holdfastctl(d, "backup", path)
        assert done.returncode == 1 and done.stderr
        assert path in d.log.read_text()
    assert holdfastctl(d, "status").returncode == 0
    publisher(d).post("a", b"x")


def test_backup_never_touches_the_database(make_daemon):
    """A copy renamed over the live file would lose what is acknowledged
    afterwards."""
    d = make_daemon()
    pub = publisher(d)
    pub.post("a", b"x")
    path = str(d.folder / "holdfast.db")
    assert os.path.exists(path)
    for target in path, path + "-wal", path + ".lock":
        assert holdfastctl(d, "backup", target).returncode == 1
    pub.post("a", b"y")
    restarted(d, "kill -9")
    assert texts(polling(d).get("a.b9")) == ["x", "y"]


@pytest.mark.parametrize("link", ["copy.db.part", "copy.db"])
def test_backup_follows_no_link(make_daemon, link):
    """What lies at FILE.part or FILE is replaced, not written through."""
    d = make_daemon()
    publisher(d).post("a", b"x")
    victim = d.folder / "victim"
    victim.write_text("precious")
    (d.folder / link).symlink_to(victim)
    assert holdfastctl(d, "backup", "copy.db").returncode == 0
    assert victim.read_text() == "precious"
    copy = (d.folder / "copy.db").lstat()
    assert stat.S_ISREG(copy.st_mode)
    assert stat.S_IMODE(copy.st_mode) == 0o640


def test_readers_do_not_keep_publishers_out(make_daemon):
    """Replays that nobody waits for any more are not run, and a channel named
    many times is read once."""
    d = make_daemon(push_stream_authorized_channels_only="on")
    pub = publisher(d)
    for n in range(200):
        pub.post("a", b"%d" % n)
    path = "/".join(["a.b200"] * 200)
    reads = d.status()["store_reads"]
    for _ in range(300):
        polling(d).start("GET", path).hang_up()
    assert pub.post("a", b"after").status == 200
    d.wait_for(parked=0)
    assert texts(polling(d).get(path)) == [
        str(n) for n in range(1, 200)] + ["after"]
    assert d.status()["store_reads"] - reads <= 301


def test_status(make_daemon):
    """Every line is a name and a number."""
    d = make_daemon()
    out = holdfastctl(d, "status").stdout
    assert all(re.fullmatch(r"[a-z0-9_]+ \d+", line)
               for line in out.splitlines())
    for name in ("connections", "parked", "published_messages",
                 "stored_messages", "channels", "subscribers",
                 "store_groups", "store_appends"):
        assert f"\n{name} " in "\n" + out
    assert out.startswith("connections 1\n")


def test_nobody_there(make_daemon):
    d = make_daemon(start=False)
    done = holdfastctl(d, "status")
    assert done.returncode == 1 and d.control in done.stderr
    assert holdfastctl(d, "nonsense").returncode == 2
    assert holdfastctl(d).returncode == 2
    assert not os.path.exists(d.control)


@pytest.mark.parametrize("how", ["stop", "kill -9"])
def test_ids_of_what_expired_are_not_given_again(make_daemon, how):
    """Not even when the message was collected before it was indexed."""
    d = make_daemon()
    pub = publisher(d)
    pub.post("a", b"kept")
    pub.post("a", b"short", HTTP_MESSAGE_EXPIRY="1")
    d.wait_for(stored_messages=1)
    restarted(d, how)
    assert b'"published_messages": 3, "stored_messages": 2,' in pub.post(
        "a", b"new").body

"""The sockets: who may connect, where they come from, what is left of them,
and what happens when descriptors run out."""

import contextlib
import grp
import itertools
import os
import resource
import select
import shutil
import socket
import stat
import sys
import time

import pytest

import conftest
import http1
import wire
from wire import Client, fastcgi, publish, scgi

BODY = b"body"


def check_fastcgi(address, **options):
    with Client(address, **options) as c:
        c.send(fastcgi(publish("listen", BODY), BODY, keep=False))
        assert c.answer().status == 200


def check_scgi(address):
    with Client(address) as c:
        c.send(scgi(publish("listen", BODY), BODY))
        assert c.scgi_answer().status == 200


def refuses_to_start(d, *words):
    """It ends with an error that names what is wrong."""
    d.spawn()
    status = d.process.wait(wire.TIMEOUT)
    d.process = None
    d.check_sanitizer()
    log = d.said()
    assert status not in (0, 99) and status > 0, log
    for word in words:
        assert word in log
    return log


# Files

def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_socket_mode(make_daemon):
    d = make_daemon()
    assert mode_of(d.fastcgi) == 0o660
    assert mode_of(d.scgi) == 0o660
    assert mode_of(d.control) & 0o007 == 0
    other = make_daemon(socket_mode="0666")
    assert mode_of(other.fastcgi) == 0o666
    assert mode_of(other.control) & 0o007 == 0


def a_group():
    """One that we may give a file to, and that is not the usual one."""
    if os.geteuid() == 0:
        return grp.getgrnam("daemon")
    for gid in os.getgroups():
        if gid != os.getegid():
            return grp.getgrgid(gid)
    pytest.skip("this user is in one group only")


def test_socket_group(make_daemon):
    group = a_group()
    d = make_daemon(socket_group=group.gr_name)
    assert os.stat(d.fastcgi).st_gid == group.gr_gid
    assert os.stat(d.scgi).st_gid == group.gr_gid


def test_files_are_removed(make_daemon):
    d = make_daemon()
    d.stop()
    for path in (d.fastcgi, d.scgi, d.control):
        assert not os.path.exists(path)


def test_stale_files_are_replaced(make_daemon):
    """What a killed daemon leaves behind."""
    d = make_daemon()
    d.kill()
    assert os.path.exists(d.fastcgi)
    d.start()
    check_fastcgi(d.fastcgi)
    check_scgi(d.scgi)


def test_live_socket_is_left_alone(make_daemon):
    first = make_daemon()
    second = make_daemon(start=False, fastcgi=["unix:" + first.fastcgi])
    refuses_to_start(second, first.fastcgi, "in use")
    check_fastcgi(first.fastcgi)


def test_other_file_is_left_alone(make_daemon):
    d = make_daemon(start=False)
    with open(d.fastcgi, "w") as f:
        f.write("precious")
    refuses_to_start(d, d.fastcgi)
    with open(d.fastcgi) as f:
        assert f.read() == "precious"


def test_successors_socket_is_left_alone(make_daemon):
    """The file is no longer ours when another process made it anew."""
    d = make_daemon()
    os.unlink(d.fastcgi)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(d.fastcgi)
        d.stop()
        assert os.path.exists(d.fastcgi)


@pytest.mark.parametrize("address", [
    "unix:relative", "unix:", "unix:/nonexistent/folder/sock",
    "unix:/" + "x" * 200, "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999",
    "::1:9000", "192.0.2.1:9000", "nonsense"])
def test_bad_address(make_daemon, address):
    d = make_daemon(start=False, fastcgi=[address])
    refuses_to_start(d, address)
    assert not os.path.exists(d.scgi) and not os.path.exists(d.control)


def test_port_in_use(make_daemon):
    first = make_daemon()
    address = "%s:%d" % first.tcp
    second = make_daemon(start=False, fastcgi=[address])
    refuses_to_start(second, address)


# TCP

def has_ipv6():
    try:
        conftest.free_port("::1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_ipv6(make_daemon):
    port = conftest.free_port("::1")
    make_daemon(fastcgi=[f"[::1]:{port}"])
    check_fastcgi(("::1", port))


def test_all_addresses(make_daemon):
    """IPv4 and IPv6 side by side, on one port."""
    port = conftest.free_port()
    make_daemon(fastcgi=[f"*:{port}"])
    check_fastcgi(("127.0.0.1", port))
    if has_ipv6():
        check_fastcgi(("::1", port))


def refused(address, **options):
    with Client(address, **options) as c:
        with contextlib.suppress(ConnectionError):
            c.send(fastcgi(publish("listen", BODY), BODY))
        return c.at_end()


def test_fronts(make_daemon):
    d = make_daemon(fronts=["127.0.0.2", "10.0.0.0/8"])
    with d.counts(connections_refused=2):
        assert refused(d.tcp)
        assert refused(d.scgi_tcp, source="127.0.0.3")
        check_fastcgi(d.tcp, source="127.0.0.2")
        check_fastcgi(d.fastcgi)        # files have modes instead


def test_fronts_default(make_daemon):
    d = make_daemon()
    check_fastcgi(d.tcp, source="127.1.2.3")


# Sockets that were opened by somebody else

SYSTEMD = """
import os, sys
fds = [int(n) for n in sys.argv[1].split(",")]
spare = [os.dup(fd) for fd in fds]
while min(spare) < 3 + len(fds):
    spare = [os.dup(fd) for fd in fds]
for i, fd in enumerate(spare):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[2]))
os.environ["LISTEN_FDS"] = str(len(fds))
if sys.argv[3]:
    os.environ["LISTEN_FDNAMES"] = sys.argv[3]
os.execvp(sys.argv[4], sys.argv[4:])
"""


def as_systemd(fds, names, wrong_pid=False):
    return {"before": [sys.executable, "-c", SYSTEMD,
                       ",".join(map(str, fds)), str(int(wrong_pid)), names],
            "pass_fds": fds}


@pytest.fixture
def listening(tmp_path):
    """Listening sockets by name, and where they are."""
    with contextlib.ExitStack() as stack:
        def make(name):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.bind(str(tmp_path / name))
            s.listen(100)
            return s, str(tmp_path / name)
        yield make


@pytest.mark.parametrize("names", [
    "fastcgi:scgi:control",
    "holdfast-fastcgi.socket:holdfast-scgi.socket:holdfast-control.socket"])
def test_systemd_sockets(make_daemon, listening, names):
    """They replace what the file names, and outlive us."""
    fcgi, scgi_, control = [listening(n) for n in "abc"]
    d = make_daemon(start=False)
    d.start(**as_systemd([s.fileno() for s, _ in (fcgi, scgi_, control)],
                         names))
    assert not os.path.exists(d.fastcgi) and not os.path.exists(d.scgi)
    d.control = control[1]
    assert d.status()["connections"] == 1
    check_fastcgi(fcgi[1])
    check_scgi(scgi_[1])
    d.stop()
    for _, path in (fcgi, scgi_, control):
        assert os.path.exists(path)
    # Who connects now waits for the next process.
    with Client(fcgi[1]) as c:
        c.send(fastcgi(publish("listen", BODY), BODY))


def test_systemd_socket_without_name(make_daemon, listening):
    sock, path = listening("a")
    d = make_daemon(start=False)
    d.start(**as_systemd([sock.fileno()], ""))
    check_fastcgi(path)
    check_scgi(d.scgi)


def test_systemd_tcp_socket(make_daemon):
    """The list of fronts holds for inherited sockets too."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(100)
        d = make_daemon(start=False, fronts=["127.0.0.2"])
        d.start(**as_systemd([s.fileno()], "fastcgi"))
        check_fastcgi(s.getsockname(), source="127.0.0.2")
        assert refused(s.getsockname())


def test_systemd_http(make_daemon):
    """The list of fronts is not for clients."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(100)
        d = make_daemon(start=False, fronts=["127.0.0.2"])
        d.start(**as_systemd([s.fileno()], "holdfast-http.socket"))
        answer = http1.ask(s.getsockname(), http1.publish("listen", BODY))
        assert answer.status == 200
        with pytest.raises(ConnectionRefusedError):
            Client(d.http)


def test_systemd_unknown_name(make_daemon, listening):
    sock, _ = listening("a")
    d = make_daemon(start=False)
    d.spawn(**as_systemd([sock.fileno()], "ftp"))
    assert d.process.wait(wire.TIMEOUT) > 0
    d.process = None
    assert "ftp" in d.said()


def test_systemd_kept_connection(make_daemon, listening):
    """What the process before us kept is a connection, and no listener."""
    sock, path = listening("a")
    ours, theirs = socket.socketpair()
    d = make_daemon(start=False)
    with ours, theirs:
        d.start(**as_systemd([sock.fileno(), theirs.fileno()],
                             "fastcgi:kept-scgi"))
        ours.sendall(scgi(publish("listen", BODY), BODY))
        assert b"Status: 200" in ours.recv(65536)
        check_fastcgi(path)
    d.stop()
    d.spawn(**as_systemd([sock.fileno()], "kept-fastcgi"))
    assert d.process.wait(wire.TIMEOUT) > 0
    d.process = None
    assert "is no connection" in d.said()


def test_systemd_sockets_of_another_process(make_daemon, listening):
    """LISTEN_PID is not ours: the descriptors are none of our business."""
    sock, path = listening("a")
    d = make_daemon(start=False)
    d.start(**as_systemd([sock.fileno()], "fastcgi", wrong_pid=True))
    check_fastcgi(d.fastcgi)


@pytest.mark.skipif(not shutil.which("spawn-fcgi"), reason="no spawn-fcgi")
def test_spawn_fcgi(make_daemon, tmp_path):
    """The socket is descriptor 0."""
    path = str(tmp_path / "spawned")
    d = make_daemon(start=False)
    d.start(["spawn-fcgi", "-n", "-s", path, "--"])
    check_fastcgi(path)
    assert not os.path.exists(d.fastcgi)
    check_scgi(d.scgi)


def test_stdin_is_no_socket(make_daemon):
    """Nor a connection: only what listens is taken."""
    a, b = socket.socketpair()
    with a, b:
        d = make_daemon(start=False)
        d.start(stdin=a)
        check_fastcgi(d.fastcgi)


# Running out

def open_files_limit(d, spare):
    """Leave the daemon room for so many more descriptors."""
    used = set(map(int, os.listdir(f"/proc/{d.process.pid}/fd")))
    free = (n for n in itertools.count() if n not in used)
    limit = list(itertools.islice(free, spare))[-1] + 1
    old = resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (limit, old[1]))
    return old


def cpu_in(d, seconds):
    """What it uses in this time, with almost nothing to do."""
    before = d.cpu_seconds()
    time.sleep(seconds)
    return d.cpu_seconds() - before


def test_descriptors_run_out(make_daemon):
    """Accepting rests, those that have a connection are served, and the
    others are when there is room again."""
    d = make_daemon()
    check_fastcgi(d.fastcgi)
    d.wait_for(connections=1)
    limits = open_files_limit(d, 4)
    clients = [d.connect() for _ in range(30)]
    for c in clients:
        c.send(fastcgi(publish("few", BODY), BODY))
    assert cpu_in(d, 2) < 0.3
    served = [c for c in clients
              if select.select([c.sock], [], [], 0) != ([], [], [])]
    assert 0 < len(served) <= 4
    for c in served:
        assert c.answer().status == 200
    for _ in range(3):
        served[0].send(fastcgi(publish("few", BODY), BODY))
        assert served[0].answer().status == 200
    resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, limits)
    for c in clients:
        if c not in served:
            assert c.answer().status == 200
        c.close()
    assert d.status()["accept_pauses"] > 0


def test_max_connections(make_daemon):
    """Others wait, and the administrator still gets in, at once."""
    d = make_daemon(max_connections=3)
    clients = [d.connect() for _ in range(5)]
    for c in clients:
        c.send(fastcgi(publish("few", BODY), BODY))
    for c in clients[:3]:
        assert c.answer().status == 200
    before = time.monotonic()
    for _ in range(4):
        assert d.status()["connections"] >= 3
    assert time.monotonic() - before < 1.5      # a rest takes 1 s
    for c in clients[:3]:
        c.close()
    for c in clients[3:]:
        assert c.answer().status == 200
        c.close()
    assert d.status()["accept_pauses"] > 0


def test_many_at_once(make_daemon):
    """More than one wake accepts, and more than the usual backlog."""
    d = make_daemon()
    clients = [d.connect() for _ in range(400)]
    for c in clients:
        c.send(fastcgi(publish("many", BODY), BODY))
    for c in clients:
        assert c.answer().status == 200
        c.close()
    d.wait_for(connections=1)


# The end

def test_lame_duck(make_daemon):
    """Parked polls get their ordinary empty answer, idle connections close,
    a request that is coming in is waited for, and the exit status is 0."""
    d = make_daemon()
    d.publish("duck", b"so that it exists")
    request = fastcgi(publish("duck", BODY), BODY)
    with d.connect() as idle, d.connect() as kept, d.connect(d.scgi) as one, \
            d.connect() as half:
        kept.send(fastcgi(wire.poll("duck")))
        one.send(scgi(wire.poll("duck")))
        d.wait_for(parked=2)
        half.send(request[:-8])
        half.taken()
        d.terminate()
        assert idle.at_end()
        assert kept.answer().status == 304
        assert kept.at_end()
        assert one.scgi_answer().status == 304
        assert d.process.poll() is None
        half.send(request[-8:])
        assert half.answer().status in (200, 503)
        assert half.at_end()
        d.stop()

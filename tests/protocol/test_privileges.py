"""What is left of root once the daemon runs, and who can open its files."""

import contextlib
import grp
import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import pytest

import conftest
from front import polling, publisher, wait_until

NOBODY = "nobody"

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another")


@pytest.fixture
def folder():
    """One that the other user reaches and owns: pytest's own he does not."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-"))
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def no_umask():
    old = os.umask(0)
    try:
        yield
    finally:
        os.umask(old)


@contextlib.contextmanager
def running(folder, before=(), settings=None):
    d = conftest.Daemon(folder, {"log_file": str(folder / "holdfast.log"),
                                 **(settings or {})})
    try:
        with no_umask():        # so that all may write to NOTIFY_SOCKET
            d.start(before)
        yield d
    finally:
        d.stop()


def own(folder, name):
    user = pwd.getpwnam(name)
    os.chown(folder, user.pw_uid, user.pw_gid)
    os.chmod(folder, 0o755)
    return user.pw_uid, user.pw_gid


def group_of(gid):
    return grp.getgrgid(gid).gr_name


def rights(d):
    """Of every thread, from /proc."""
    out = []
    for task in pathlib.Path(f"/proc/{d.process.pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in
                      (task / "status").read_text().splitlines())
        out.append({name: fields[name].split() for name in (
            "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb",
            "NoNewPrivs")})
    assert len(out) > 1, "the store has a thread of its own"
    return out


def nothing_left(d, uid, gid):
    for one in rights(d):
        assert one["Uid"] == [str(uid)] * 4     # the saved one among them
        assert one["Gid"] == [str(gid)] * 4
        for caps in "CapInh", "CapPrm", "CapEff", "CapAmb":
            assert int(one[caps][0], 16) == 0, one
        assert one["NoNewPrivs"] == ["1"]


@needs_root
def test_root_is_given_up(folder):
    """Users, groups, capabilities; none of root's groups stays."""
    uid, gid = own(folder, NOBODY)
    with running(folder, ["setpriv", "--groups", "0,4,27"],
                 {"user": NOBODY, "group": group_of(gid)}) as d:
        nothing_left(d, uid, gid)
        for one in rights(d):
            assert one["Groups"] == [str(gid)]
        publisher(d).post("a", b"x")
        for path in folder.iterdir():
            if path.name not in ("holdfast.conf", "log"):
                assert path.lstat().st_uid == uid, path
                assert (path.lstat().st_gid == gid or
                        path.name == "control.sock"), path


@needs_root
def test_capabilities_are_given_up(folder):
    """Those of a daemon that was not root, but might bind a low port."""
    uid, gid = own(folder, NOBODY)
    port = next(p for p in range(600, 1024) if can_bind(p))
    before = ["setpriv", "--reuid", NOBODY, "--regid", str(gid),
              "--clear-groups", "--inh-caps", "+net_bind_service,+chown",
              "--ambient-caps", "+net_bind_service,+chown"]
    with running(folder, before, {"http": [f"127.0.0.1:{port}"]}) as d:
        nothing_left(d, uid, gid)
        d.http = "127.0.0.1", port
        with d.connect(d.http):
            pass


def can_bind(port):
    with contextlib.suppress(OSError), socket.socket() as s:
        s.bind(("127.0.0.1", port))
        return True
    return False


@pytest.mark.parametrize("start", ["new", "again"])
def test_modes(folder, start):
    """Though whoever started it has no umask at all; of a log that is begun
    again and of a copy, too."""
    with running(folder) as d:
        publisher(d).post("a", b"x")
        if start == "again":
            d.kill()
            with no_umask():
                d.start()
        (folder / "holdfast.log").unlink()
        d.process.send_signal(signal.SIGUSR1)
        wait_until((folder / "holdfast.log").exists)
        subprocess.run([conftest.HOLDFASTCTL, "-s", d.control, "backup",
                        str(folder / "copy")], check=True)
        modes = {p.name: stat.S_IMODE(p.lstat().st_mode)
                 for p in folder.iterdir()}
        assert {name: modes[name] for name in modes
                if name not in ("holdfast.conf", "log")} == {
            "fcgi.sock": 0o660, "scgi.sock": 0o660, "control.sock": 0o600,
            "holdfast.db": 0o640, "holdfast.db-wal": 0o640,
            "holdfast.db.lock": 0o640, "holdfast.log": 0o640, "copy": 0o640}
        assert polling(d).get("a").status in (200, 304)


@needs_root
def test_who_reaches_the_sockets(folder):
    """The socket's group connects, others do not; the control socket is the
    user's own, whatever socket_mode says."""
    uid, gid = own(folder, NOBODY)
    other = grp.getgrnam("daemon").gr_gid
    with running(folder, (), {"user": NOBODY, "group": group_of(gid),
                              "socket_group": "daemon"}) as d:
        def connects(path, *who):
            return subprocess.run(
                ["setpriv", *who, "/usr/bin/python3", "-c",
                 "import socket, sys; socket.socket(socket.AF_UNIX)"
                 ".connect(sys.argv[1])", path],
                stderr=subprocess.DEVNULL).returncode == 0

        somebody = ["--reuid", "4242", "--regid"]
        member = [*somebody, "4242", "--groups", str(other)]
        stranger = [*somebody, "4242", "--clear-groups"]
        for path in d.fastcgi, d.scgi:
            assert connects(path, *member)
            assert not connects(path, *stranger)
        for who in member, stranger, [*somebody, str(gid), "--clear-groups"]:
            assert not connects(d.control, *who)
        assert connects(d.control, "--reuid", str(uid), "--regid", str(gid),
                        "--clear-groups")

"""A disk that fills up, or can only be read any more: publishers are told so
(507), readers notice nothing, nothing that was acknowledged is lost, and when
there is room again everything goes on by itself."""

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
import threading

import pytest

import nth
import world
from ledger import KEPT, LIVE, Ledger

import front    # (world knows their folder)

ROUNDS = 5

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nsenter"),
    reason="mounting takes root, unshare and nsenter")


class Disk:
    """A small file system in a mount namespace of its own.  `mount` is a shell
    command that mounts it on $1."""

    def __init__(self, folder, mount):
        self.folder = folder
        folder.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c",
             f"{mount} && echo mounted && exec cat", "sh", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "mounted\n":
            why = self.holder.communicate()[1]
            pytest.skip(f"no such disk here: {why}")
        self.inside = ["nsenter", "-t", str(self.holder.pid), "-m", "--"]
        self.path = pathlib.Path(f"/proc/{self.holder.pid}/root{folder}")

    def run(self, command):
        return subprocess.run([*self.inside, "sh", "-c", command, "sh",
                               str(self.folder)], check=True, text=True,
                              capture_output=True).stdout

    def ballast(self):
        return self.path / "ballast"

    def fill(self):
        """To the last byte."""
        with contextlib.suppress(OSError), open(
                self.ballast(), "ab", buffering=0) as f:
            for size in 1 << 16, 1 << 12, 1:
                with contextlib.suppress(OSError):
                    while f.write(bytes(size)) == size:
                        pass

    def make_room(self):
        self.ballast().unlink()

    def close(self):
        self.holder.communicate()


TMPFS = 'mount -t tmpfs -o size=8m none "$1"'
# Without a journal it can be repaired while this test waits.
EXT4 = ('truncate -s 16m "$1.image" && PATH=$PATH:/sbin:/usr/sbin '
        'mkfs.ext4 -q -O ^has_journal "$1.image" && '
        'mount -o loop,errors=remount-ro "$1.image" "$1"')


@pytest.fixture
def make_disk(tmp_path):
    disks = []

    def make(mount):
        disks.append(Disk(tmp_path / f"disk{len(disks)}", mount))
        return disks[-1]

    yield make
    for disk in disks:
        disk.close()


class House:
    """A daemon, its publisher, a reader, and the ledger."""

    def __init__(self, daemon, before=()):
        self.daemon = daemon
        self.before = before
        self.book = Ledger()
        self.n = 0
        self.deleted = False
        self.chain = world.Reader(self.daemon, self.book.reader(["a", "b"]),
                                  threading.Event())

    def start(self):
        self.daemon.start(before=self.before)

    def publish(self, kind=KEPT, size=2000, **fields):
        """One; its status."""
        self.n += 1
        text = f"m{self.n}"
        p = self.book.publish(text, ["a"], kind)
        got = front.publisher(
            self.daemon, store_messages="off" if kind == LIVE else "on").ask(
                "POST", "a", (text + "x" * size).encode(), **fields)
        if got.status == 200:
            self.book.acknowledge(p, world.told_ids(got))
        elif got.status == 507:
            self.book.refuse(p)
        return got.status

    def publish_until(self, status):
        for _ in range(20000):
            got = self.publish()
            if got == status:
                return
            assert got in (200, 507)
        raise AssertionError(f"no {status} comes")

    def reads_go_on(self):
        """Replays, and polls that end empty; from the beginning too."""
        while self.chain.step():
            pass
        world.look_back(self.daemon, self.book, ["a", "b", *world.CHANNELS])
        if self.deleted:
            self.book.published = None      # it counts those as well
        self.book.check()

    def kill(self):
        self.daemon.kill()
        self.chain.connection.close()

    def stop(self):
        self.daemon.stop()
        self.chain.connection.close()

    def check(self, folder):
        """Once more in a new life.  `folder` is where its database is found
        from here."""
        self.stop()
        self.start()
        self.reads_go_on()
        self.stop()
        for path in folder.glob("holdfast.db*"):
            shutil.copy(path, self.daemon.folder / f"copy-of-{path.name}")
        self.book.look_at(self.daemon.folder / "copy-of-holdfast.db")
        self.book.check()


@pytest.fixture
def make_house(tmp_path):
    houses = []

    def make(disk, **settings):
        daemon = world.Daemon(tmp_path, {
            "database": str(disk.folder / "holdfast.db"),
            "push_stream_max_messages_stored_per_channel": 1000000,
            "replay_messages": 100, **settings})
        houses.append(House(daemon, disk.inside))
        return houses[-1]

    yield make
    for house in houses:
        if house.daemon.process is not None:
            house.daemon.kill()


def test_full_disk(make_disk, make_house):
    """Also for one who starts on a full disk."""
    disk = make_disk(TMPFS)
    house = make_house(disk)
    house.start()
    for _ in range(50):
        assert house.publish() == 200
    disk.fill()
    house.publish_until(507)
    assert house.daemon.status()["store_full"] == 1
    house.reads_go_on()
    house.kill()
    house.start()
    house.publish_until(507)
    house.reads_go_on()
    disk.make_room()
    house.publish_until(200)
    for _ in range(50):
        assert house.publish() == 200
    house.check(disk.path)


def test_full_now_and_then(make_disk, make_house):
    """Whatever a publisher is told in the moment when it happens is true."""
    disk = make_disk(TMPFS.replace("8m", "100m"))
    house = make_house(disk)
    house.start()
    stop = threading.Event()
    publishers = [world.Publisher(house.daemon, house.book, n, "full", stop,
                                  statuses=(200, 507)) for n in range(4)]
    threads = [threading.Thread(target=p.run) for p in publishers]
    for t in threads:
        t.start()
    try:
        for n in range(1, ROUNDS + 1):
            disk.fill()
            front.wait_until(lambda: house.daemon.status()["store_full"] > n)
            disk.make_room()
            before = house.daemon.status()["store_appends"]
            front.wait_until(
                lambda: house.daemon.status()["store_appends"] > before + 20)
    finally:
        stop.set()
        for t in threads:
            t.join()
    for p in publishers:
        p.connection.close()
    house.check(disk.path)


def test_full_database(make_disk, make_house):
    """At max_database_size messages that are not stored still reach who waits,
    and what is deleted makes room."""
    disk = make_disk(TMPFS)
    house = make_house(disk, max_database_size="1m")
    house.start()
    house.publish_until(507)
    house.reads_go_on()
    waiting = front.long_polling(
        house.daemon, message_template=world.TEMPLATE).park("a")
    assert house.publish(LIVE) == 200
    assert f"|m{house.n}x".encode() in waiting.answer().body
    assert front.publisher(house.daemon).ask("DELETE", "a").status == 200
    house.book, house.deleted = Ledger(), True  # a new life of the channel
    house.chain = world.Reader(house.daemon, house.book.reader(["a"]),
                               threading.Event())
    front.wait_until(lambda: house.publish() == 200)
    house.reads_go_on()
    house.check(disk.path)


def test_read_only(make_disk, make_house):
    """The kernel takes a disk with errors out of use, under open files; when
    it was repaired, all is there."""
    disk = make_disk(EXT4)
    house = make_house(disk)
    house.start()
    for _ in range(50):
        assert house.publish() == 200
    disk.run('echo 1 >/sys/fs/ext4/$(basename $(findmnt -no SOURCE "$1"))'
             '/trigger_fs_error')
    assert house.publish() == 507
    assert house.publish(LIVE) == 507
    house.reads_go_on()
    house.kill()
    disk.run('umount "$1" && PATH=$PATH:/sbin:/usr/sbin && '
             '{ e2fsck -fy "$1.image" || [ $? -le 2 ]; } && '
             'mount -o loop "$1.image" "$1"')
    house.start()
    assert house.publish() == 200
    house.check(disk.path)


@pytest.mark.skipif(not os.path.exists(nth.SHIM),
                    reason=f"there is no {nth.SHIM}")
def test_read_only_for_a_while(tmp_path):
    """Once writing works again, nobody has to start anything anew."""
    fault = nth.Fault(tmp_path / "fault")
    daemon = nth.Daemon(tmp_path, fault, {})
    house = House(daemon)
    house.start()
    try:
        for _ in range(50):
            assert house.publish() == 200
        for _ in range(3):
            fault.arm("write", 1, nth.FOR_EVER, errno.EROFS)
            assert house.publish() == 507
            house.reads_go_on()
            fault.reset()
            assert house.publish() == 200
        house.reads_go_on()
        house.check(tmp_path)
    finally:
        if daemon.process is not None:
            daemon.kill()

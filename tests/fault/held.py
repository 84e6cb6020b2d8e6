"""A daemon on sockets that outlive it: they are opened here and passed on as
systemd does, so a restart finds in their backlogs who came meanwhile.  So are
connections that the daemon leaves in systemd's store of descriptors."""

import array
import os
import socket
import sys
import threading

import world

BACKLOG = 4096      # as the shipped .socket files have it

# Run before the daemon, with the descriptors that it is to get and their
# names: moves them to 3, 4, ... and says so.
PASS_ON = """
import os, sys
fds = [int(n) for n in sys.argv[1].split(",")]
spare = [os.dup(fd) for fd in fds]
while min(spare) < 3 + len(fds):
    spare = [os.dup(fd) for fd in spare]
for i, fd in enumerate(spare):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
for fd in fds:
    if fd >= 3 + len(fds):
        os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(fds))
os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Store(threading.Thread):
    """NOTIFY_SOCKET, and what is given to it by FDSTORE=1."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.kept = []      # (name, descriptor)
        self.ready = threading.Event()
        self.most = 0
        self.start()

    def run(self):
        while True:
            text, control, _, _ = self.sock.recvmsg(
                4096, socket.CMSG_SPACE(array.array("i").itemsize))
            lines = dict(line.split("=", 1)
                         for line in text.decode().split("\n"))
            if "END" in lines:
                return
            if "READY" in lines:
                self.ready.set()
            if "FDSTORE" in lines:
                for _, _, data in control:
                    self.kept += [(lines["FDNAME"], fd)
                                  for fd in array.array("i", data)]
                self.most = max(self.most, len(self.kept))
            if "FDSTOREREMOVE" in lines:
                for name, fd in self.kept:
                    if name == lines["FDNAME"]:
                        os.close(fd)
                self.kept = [k for k in self.kept
                             if k[0] != lines["FDNAME"]]

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"END=1", self.sock.getsockname())
        self.join()
        self.sock.close()
        for _, fd in self.kept:
            os.close(fd)


class Held(world.Daemon):
    """fastcgi: how many sockets there are of it; one of scgi.  store: how
    many descriptors are kept."""

    def __init__(self, folder, settings=None, fastcgi=1, store=512):
        super().__init__(folder, settings)
        self.fastcgis = [self.fastcgi, *(
            f"{self.fastcgi}-{n}" for n in range(1, fastcgi))]
        self.sockets = [self.hold(path) for path in
                        [*self.fastcgis, self.scgi]]
        self.names = ["fastcgi"] * fastcgi + ["scgi"]
        self.room = store
        self.store = Store(str(self.folder / "systemd"))

    @staticmethod
    def hold(path):
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        os.chmod(path, 0o666)
        s.listen(BACKLOG)
        return s

    def environment(self):
        env = dict(super().environment(),
                   NOTIFY_SOCKET=str(self.folder / "systemd"))
        if self.room:
            env["FDSTORE"] = str(self.room)
        return env

    def spawn(self, before=(), **popen):
        kept = list(self.store.kept)
        fds = [s.fileno() for s in self.sockets] + [fd for _, fd in kept]
        names = self.names + [name for name, _ in kept]
        super().spawn([*before, sys.executable, "-c", PASS_ON,
                       ",".join(map(str, fds)), ":".join(names)],
                      pass_fds=fds, **popen)

    def start(self, before=(), **popen):
        self.store.ready.clear()
        self.spawn(before, **popen)
        while not self.store.ready.wait(0.1):
            assert self.process.poll() is None, self.said()
        return self

    def close(self):
        """At the end, when it has stopped."""
        self.store.close()
        for s in self.sockets:
            s.close()

"""The rig of the benchmarks: a private nginx, holdfastd, the do-nothing
responder and caster, the clients, all in temporary folders and on loopback.

Requests and replies are not made up here: a request is recorded as nginx
sends it for the shipped locations, a reply as holdfastd gives it, and the
responder answers with those very bytes.
"""
import contextlib
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from templates import (
    CHANNEL,
    HOLDFAST_CONF,
    HTTP_STREAMS,
    LIVE_PATH,
    NGINX_CONF,
    NGINX_RETURN,
    NGINX_SIDE,
    SIGNATURE_KEY,
    TEMPLATE,
    http_direct,
    http_poll,
    http_publish,
)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.dirname(HERE))

from ports import free_port     # noqa: E402  (its folder is known from here on)

TOP = os.path.dirname(os.path.dirname(HERE))
FILES_MAX = 20000
FCGI_END_REQUEST, FCGI_STDIN = 3, 5


class Failed(Exception):
    """A benchmark could not be carried out; the text says why."""


def named(request):
    """A template's request to one certain channel."""
    return request.replace(CHANNEL.encode(), b"0123456789abcdef" * 2)


def fcgi_ends(data, kind):
    """Does data hold, as its last record, one of this kind that is the
    end?  END_REQUEST ends a reply, an empty STDIN a request."""
    at = 0
    while at + 8 <= len(data):
        rtype, length, padding = struct.unpack("!xBxxHBx", data[at : at + 8])
        at += 8 + length + padding
        if rtype == kind and at <= len(data):
            if kind == FCGI_END_REQUEST or length == 0:
                return True
    return False


def fcgi_asked(data):
    return fcgi_ends(data, FCGI_STDIN)


def fcgi_replied(data):
    return fcgi_ends(data, FCGI_END_REQUEST)


def scgi_asked(data):
    """Is the netstring of a request without a body whole?"""
    length, colon, rest = data.partition(b":")
    return bool(colon) and len(rest) > int(length)


def read_until(conn, ended, data=b""):
    conn.settimeout(10)
    while not ended(data):
        try:
            more = conn.recv(65536)
        except socket.timeout:
            raise Failed(f"nothing more after {data!r}") from None
        if not more:
            raise Failed(f"connection closed after {data!r}")
        data += more
    return data


def tcp_connect(port):
    return socket.create_connection(("127.0.0.1", port), 10)


def unix_connect(path):
    conn = socket.socket(socket.AF_UNIX)
    conn.settimeout(10)
    conn.connect(path)
    return conn


def reply_body(reply):
    """The bytes after the CGI header of a recorded reply."""
    out, at = b"", 0
    while at + 8 <= len(reply):
        rtype, length, padding = struct.unpack("!xBxxHBx", reply[at : at + 8])
        if rtype == 6:
            out += reply[at + 8 : at + 8 + length]
        at += 8 + length + padding
    return out.partition(b"\r\n\r\n")[2]


def cpu_seconds(pid):
    """CPU of a process by thread: {name: seconds}, the first one "loop"."""
    used = {}
    tick = os.sysconf("SC_CLK_TCK")
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/stat") as f:
            comm, _, rest = f.read().partition("(")[2].rpartition(")")
        fields = rest.split()
        name = "main" if int(tid) == pid else comm
        seconds = (int(fields[11]) + int(fields[12])) / tick
        used[name] = used.get(name, 0) + seconds
    return used


def cpu_now(pid):
    """CPU seconds of a process, all threads, finer than the ticks of /proc:
    by the kernel's clock of that process (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(child) for child in f.read().split()]


def memory(pid):
    """Resident and private anonymous bytes of a process."""
    got = {}
    for path, name in (("status", "VmRSS"), ("smaps_rollup", "Pss_Anon")):
        with open(f"/proc/{pid}/{path}") as f:
            for line in f:
                if line.startswith(name + ":"):
                    got[name] = int(line.split()[1]) * 1024
    return got


class Cpu:
    """CPU seconds by side and process, over the measured spans only."""

    def __init__(self):
        self.used = {}

    def add(self, side, process, seconds):
        sums = self.used.setdefault(side, {})
        sums[process] = sums.get(process, 0) + seconds

    @contextlib.contextmanager
    def span(self, side, pids):
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        yield
        for name, pid in pids.items():
            for thread, seconds in cpu_seconds(pid).items():
                label = name if thread == "main" else f"{name}/{thread}"
                self.add(side, label, seconds - before[name].get(thread, 0))


class Rig:
    """Everything that runs, and what stops it."""

    def __init__(self, builddir):
        self.builddir = builddir
        self.run = tempfile.mkdtemp(prefix="holdfast-bench-")
        self.data = self.make_data_folder()
        self.children = []
        self.fastcgi = self.in_run("holdfast.sock")
        self.scgi = self.in_run("holdfast-scgi.sock")
        self.control = self.in_run("control.sock")
        self.base = self.in_run("responder.sock")
        self.caster = self.in_run("caster.sock")
        self.recorder = self.in_run("recorder.sock")
        sides = ("hf", "base", "rec", "return", "http", "caster", "nchan")
        self.ports = {n: free_port() for n in sides}
        self.nginx = self.nginx_pid = None
        self.daemon = None
        self.filled = False  # are the prepared databases there?
        self.requests = {}
        self.replies = {}
        self.names = {}
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.files = FILES_MAX if hard < 0 else min(FILES_MAX, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, hard))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for child in reversed(self.children):
            self.stop(child)
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)

    def in_run(self, name):
        return os.path.join(self.run, name)

    # Where the database lies: it must be a disk, or a sync costs nothing.

    def make_data_folder(self):
        for parent in (self.builddir, TOP):
            if os.access(parent, os.W_OK) and self.is_disk(parent):
                return tempfile.mkdtemp(prefix="bench-data-", dir=parent)
        raise Failed("neither build nor source folder is on a disk")

    @staticmethod
    def filesystem(path):
        """(device, type) of the mount that path is on."""
        path, best = os.path.realpath(path), ("", "?", "?")
        with open("/proc/mounts") as f:
            for line in f:
                device, mount, kind = line.split()[:3]
                inside = (path + "/").startswith(mount.rstrip("/") + "/")
                if inside and len(mount) >= len(best[0]):
                    best = (mount, device, kind)
        return best[1:]

    @classmethod
    def is_disk(cls, path):
        return cls.filesystem(path)[1] not in ("tmpfs", "ramfs")

    # Processes.

    def program(self, name):
        for folder in ("", "tests/bench"):
            path = os.path.join(self.builddir, folder, name)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                return path
        raise Failed(f"{name}: not built in {self.builddir}")

    def start(self, argv, **kwargs):
        child = subprocess.Popen(argv, text=True, **kwargs)
        self.children.append(child)
        return child

    def stop(self, child):
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child in self.children:
            self.children.remove(child)
        return child.returncode

    def stop_all_but_nginx(self):
        for child in reversed(self.children[:]):
            if child is not self.nginx:
                self.stop(child)

    def wait_for(self, what, ready, seconds=30):
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {seconds} s")
            time.sleep(0.01)

    def is_listening(self, port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def run_nginx(self, folder, sides, port, modules=""):
        """An nginx of these sides, the last one at this port; returns it and
        the pid of its worker."""
        os.makedirs(os.path.join(folder, "tmp"))
        conf = os.path.join(folder, "nginx.conf")
        with open(conf, "w") as f:
            f.write(
                NGINX_CONF
                % {
                    "modules": modules,
                    "user": "user root;" if os.geteuid() == 0 else "",
                    "files": self.files,
                    "connections": self.files * 9 // 10,
                    "sides": sides,
                }
            )
        log = os.path.join(folder, "nginx.log")
        with open(log, "w") as err:
            nginx = self.start(
                ["nginx", "-p", folder, "-c", conf], stderr=err
            )
        self.wait_for(
            "nginx",
            lambda: nginx.poll() is not None
            or self.is_listening(port)
            and children(nginx.pid),
        )
        if nginx.poll() is not None:
            raise Failed(open(log).read())
        return nginx, children(nginx.pid)[0]

    def start_nginx(self, return_body):
        """nginx with one side for each of ours, the baselines' and the
        recorder's sockets, alike in all but the socket."""
        sides = NGINX_RETURN % {
            "port": self.ports["return"],
            "body": return_body,
        }
        sockets = (
            ("hf", self.fastcgi, self.scgi),
            ("base", self.base, self.caster),
            ("rec", self.recorder, self.recorder),
        )
        for name, path, scgi in sockets:
            sides += NGINX_SIDE % {
                "name": name,
                "socket": path,
                "port": self.ports[name],
                "scgi": scgi,
                "params": "/etc/nginx/fastcgi_params",
                "scgi_params": "/etc/nginx/scgi_params",
                "template": TEMPLATE,
            }
        self.nginx, self.nginx_pid = self.run_nginx(
            self.run, sides, self.ports["rec"]
        )

    def stop_nginx(self):
        self.stop(self.nginx)
        shutil.rmtree(self.in_run("tmp"))

    def database(self, name):
        """The path of a database in a folder of its own."""
        folder = os.path.join(self.data, name)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, "holdfast.db")

    def start_daemon(self, database):
        """Start holdfastd; seconds from exec to its READY."""
        user = ""
        if os.geteuid() == 0:
            user = 'user = "root"\ngroup = "root"'
        conf, log = self.in_run("holdfast.conf"), self.in_run("holdfast.log")
        with open(conf, "w") as f:
            f.write(
                HOLDFAST_CONF
                % {
                    "fastcgi": self.fastcgi,
                    "scgi": self.scgi,
                    "http": self.ports["http"],
                    "control": self.control,
                    "database": database,
                    "log": log,
                    "signature_key": SIGNATURE_KEY,
                    "user": user,
                }
            )
        notify = self.in_run("notify.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, open(
            log, "a"
        ) as err:
            s.bind(notify)
            s.settimeout(0.5)
            begin = time.monotonic()
            self.daemon = self.start(
                [self.program("holdfastd"), "-c", conf],
                env=dict(os.environ, NOTIFY_SOCKET=notify),
                stderr=err,
            )
            for _ in range(120):
                with contextlib.suppress(socket.timeout):
                    if b"READY=1" in s.recv(4096):
                        return time.monotonic() - begin
                if self.daemon.poll() is not None:
                    break
        raise Failed("holdfastd did not start:\n" + open(log).read()[-2000:])

    def stop_daemon(self):
        code = self.stop(self.daemon)
        if code != 0:
            log = open(self.in_run("holdfast.log")).read()[-2000:]
            raise Failed(f"holdfastd ended with {code}:\n{log}")

    def status(self):
        out = subprocess.run(
            [self.program("holdfastctl"), "-s", self.control, "status"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        pairs = (line.split() for line in out.splitlines())
        return {p[0]: int(p[1]) for p in pairs if p[-1].isdigit()}

    def wait_status(self, name, n):
        self.wait_for(f"{n} {name}", lambda: self.status()[name] == n)

    def wait_parked(self, n):
        self.wait_status("parked", n)

    def start_ready(self, *argv, **kwargs):
        child = self.start(list(argv), stdout=subprocess.PIPE, **kwargs)
        if child.stdout.readline() != "ready\n":
            raise Failed(f"{argv[0]} did not start")
        return child

    def start_responder(self, publish, poll=None, park=0):
        argv = [self.program("responder"), "--publish-reply", publish]
        if park:
            argv += ["--poll-reply", poll, "--park", str(park)]
        return self.start_ready(*argv, self.base)

    def start_caster(self, head, frame, most, address):
        return self.start_ready(
            *(self.program("caster"), "--head", head, "--frame", frame),
            *("--max", str(most), address),
            stdin=subprocess.PIPE,
            bufsize=1,
        )

    def load(self, *args):
        """Run the load client to its end: the numbers it printed."""
        out = subprocess.run(
            [self.program("load"), "publish", *map(str, args)],
            stdout=subprocess.PIPE,
            text=True,
        )
        if out.returncode != 0:
            raise Failed(f"load ended with {out.returncode}")
        return self.clean(self.numbers(out.stdout))

    @staticmethod
    def numbers(line):
        words = line.split()
        return dict(zip(words[::2], map(float, words[1::2])))

    @staticmethod
    def clean(result):
        """A run with refused requests or lost connections is no result."""
        if result.get("refused") or result.get("broken"):
            raise Failed(f"requests went wrong: {result}")
        return result

    def start_told(self, name, *args):
        """A program that takes commands, one line each."""
        return self.start(
            [self.program(name), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=1,
        )

    def start_parker(self, *args):
        return self.start_told("load", "park", *args)

    @staticmethod
    def ask(child, command):
        child.stdin.write(command + "\n")

    def hear(self, child):
        line = child.stdout.readline()
        if not line:
            raise Failed(f"{child.args[0]} ended")
        return self.clean(self.numbers(line))

    def tell(self, child, command):
        self.ask(child, command)
        return self.hear(child)

    def held_memory(self, start, command, gauge, n, warm):
        """holdfastd's own memory for each of n held requests of the client
        that start(count) makes: RSS before, and twice the bytes of each.

        A few are held and released first, so that code and caches are warm;
        as many as are measured would leave the allocator a pool that hides
        the cost.  Then all are held, released and held again."""
        warmer = start(warm)
        self.tell(warmer, command)
        self.wait_status(gauge, warm)
        self.stop(warmer)
        self.wait_status(gauge, 0)
        before = memory(self.daemon.pid)
        client = start(n)
        each = []
        for _ in range(2):
            self.tell(client, command)
            self.wait_status(gauge, n)
            after = memory(self.daemon.pid)
            each.append({k: (after[k] - before[k]) / n for k in after})
            self.tell(client, "close")
            self.wait_status(gauge, 0)
        self.stop(client)
        return before, each

    # Recordings.

    def keep(self, table, name, data):
        path = self.in_run(name)
        with open(path, "wb") as f:
            f.write(data)
        table[name] = path

    def record_request(self, http, asked):
        """What nginx sends to a responder for this request; asked(data)
        tells whether that was all."""
        got = []

        def serve(listener):
            conn = listener.accept()[0]
            with conn:
                got.append(read_until(conn, asked))

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.recorder)
            listener.settimeout(10)
            listener.listen(1)
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
            client = socket.create_connection(("127.0.0.1", self.ports["rec"]))
            with client:
                client.sendall(http)
                thread.join(15)
        os.unlink(self.recorder)
        if not got:
            raise Failed("nginx sent no request")
        return got[0]

    def record(self, publish_len, fill_len, live_len, more):
        """Make all the request templates, those in `more` too, and with a
        daemon of its own the replies to a publish and to a parked poll."""
        publish, poll = http_publish(publish_len), http_poll()
        fill = http_publish(fill_len)
        live = http_publish(live_len, LIVE_PATH)
        self.keep(self.requests, "publish.http", publish)
        self.keep(self.requests, "poll.http", poll)
        for name, data in http_direct(publish_len, live_len).items():
            self.keep(self.requests, name, data)
        self.start_nginx("")
        publish = self.record_request(publish, fcgi_asked)
        poll = self.record_request(poll, fcgi_asked)
        fill = self.record_request(fill, fcgi_asked)
        live = self.record_request(live, fcgi_asked)
        for kind, http in HTTP_STREAMS.items():
            scgi = self.record_request(http, scgi_asked)
            self.keep(self.requests, kind + ".http", http)
            self.keep(self.requests, kind + ".scgi", scgi)
        for kind, http in more.items():
            fcgi = self.record_request(http, fcgi_asked)
            self.keep(self.requests, kind + ".http", http)
            self.keep(self.requests, kind + ".fcgi", fcgi)
        self.stop_nginx()
        self.keep(self.requests, "publish.fcgi", publish)
        self.keep(self.requests, "poll.fcgi", poll)
        self.keep(self.requests, "fill.fcgi", fill)
        self.keep(self.requests, "live.fcgi", live)
        self.start_daemon(self.database("record"))
        with unix_connect(self.fastcgi) as p, unix_connect(self.fastcgi) as s:
            p.sendall(named(publish))
            reply = read_until(p, fcgi_replied)
            s.sendall(named(poll))
            self.wait_parked(1)
            p.sendall(named(publish))
            self.keep(self.replies, "poll.reply", read_until(s, fcgi_replied))
            self.keep(self.replies, "publish.reply", reply)
            read_until(p, fcgi_replied)
        self.stop_daemon()
        self.start_nginx("x" * len(reply_body(reply)))

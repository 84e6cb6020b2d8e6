"""The rig of the benchmarks: a private nginx, holdfastd, the do-nothing
responder and the load client, all in temporary folders and on loopback.

Requests and replies are not made up here: a request is recorded as nginx
sends it for the shipped locations, a reply as holdfastd gives it, and the
responder answers with those very bytes.
"""
import contextlib
import os
import pwd
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
FILES_MAX = 20000
CHANNEL = "@" * 32  # the load client's mark for "a channel's name here"
PUBLISH_PATH = "/bitrix/pub/?CHANNEL_ID="
POLL_PATH = "/bitrix/sub/?CHANNEL_ID="
FCGI_END_REQUEST, FCGI_STDIN = 3, 5

NGINX_CONF = """\
worker_processes 1;
worker_rlimit_nofile %(files)d;
daemon off;
%(user)s
pid nginx.pid;
error_log error.log warn;
events { worker_connections %(connections)d; }
http {
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path tmp;
    fastcgi_temp_path tmp;
    proxy_temp_path tmp;
    scgi_temp_path tmp;
    uwsgi_temp_path tmp;
    server {
        listen 127.0.0.1:%(return_port)d backlog=4096;
        location / { return 200 "%(return_body)s"; }
    }
%(sides)s}
"""

# The publisher's and the subscriber's locations of the Bitrix layout.
NGINX_SIDE = """\
    upstream %(name)s {
        server unix:%(socket)s;
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location ^~ /bitrix/pub/ {
            fastcgi_pass %(name)s;
            fastcgi_keep_conn on;
            fastcgi_ignore_client_abort on;
            include %(params)s;
            fastcgi_param push_stream_publisher admin;
            fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;
            fastcgi_param push_stream_store_messages on;
            allow 127.0.0.0/8;
            deny all;
        }
        location ^~ /bitrix/sub {
            if ($arg_callback) { return 400; }
            fastcgi_pass unix:%(socket)s;
            include %(params)s;
            fastcgi_param push_stream_subscriber long-polling;
            fastcgi_param push_stream_allowed_origins "*";
            fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;
            fastcgi_param push_stream_last_received_message_tag $arg_tag;
            fastcgi_param push_stream_last_received_message_time
                $arg_time if_not_empty;
            fastcgi_param push_stream_longpolling_connection_ttl 40;
            fastcgi_param push_stream_authorized_channels_only on;
            fastcgi_param push_stream_message_template '%(template)s';
        }
    }
"""
TEMPLATE = (
    '#!NGINXNMS!#{"id":~id~,"channel":"~channel~","tag":"~tag~",'
    '"time":"~time~","eventid":"~event-id~","text":~text~}#!NGINXNME!#'
)

POLL_HEADERS = """\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101\r
Accept: */*\r
Accept-Language: ru-RU,ru;q=0.8,en-US;q=0.5,en;q=0.3\r
Accept-Encoding: gzip, deflate\r
Origin: http://portal.example\r
Referer: http://portal.example/\r
"""

HOLDFAST_CONF = """\
fastcgi = {"unix:%(fastcgi)s"}
scgi = {}
control = "unix:%(control)s"
database = "%(database)s"
sync = full
log_file = "%(log)s"
# The messages of a run stay until it ends, and so do quiet channels.
push_stream_message_ttl = 86400
push_stream_channel_inactivity_time = 3600
%(user)s
"""


class Failed(Exception):
    """A benchmark could not be carried out; the text says why."""


def body(length):
    """Printable text that a JSON template can carry: a quoted string."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 "
    return '"' + "".join(rng.choice(letters) for _ in range(length - 2)) + '"'


def http_publish(length):
    return (
        f"POST {PUBLISH_PATH}{CHANNEL} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        f"Content-Length: {length}\r\n\r\n{body(length)}"
    ).encode()


def http_poll():
    return (
        f"GET {POLL_PATH}{CHANNEL}&tag=&time= HTTP/1.1\r\n"
        f"Host: 127.0.0.1\r\n{POLL_HEADERS}\r\n"
    ).encode()


def named(request):
    """A template's request to one certain channel."""
    return request.replace(CHANNEL.encode(), b"0123456789abcdef" * 2)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


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


def read_until(conn, kind):
    data = b""
    conn.settimeout(10)
    while not fcgi_ends(data, kind):
        more = conn.recv(65536)
        if not more:
            raise Failed(f"connection closed after {data!r}")
        data += more
    return data


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
        self.control = self.in_run("control.sock")
        self.base = self.in_run("responder.sock")
        self.recorder = self.in_run("recorder.sock")
        self.ports = {n: free_port() for n in ("hf", "base", "rec", "return")}
        self.nginx = self.nginx_pid = None
        self.daemon = None
        self.filled = False  # are the prepared databases there?
        self.requests = {}
        self.replies = {}
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

    def start_nginx(self, return_body):
        """nginx with one side for each of ours, the baseline's and the
        recorder's socket, alike in all but the socket."""
        os.mkdir(self.in_run("tmp"))
        sides = ""
        sockets = (
            ("hf", self.fastcgi),
            ("base", self.base),
            ("rec", self.recorder),
        )
        for name, path in sockets:
            sides += NGINX_SIDE % {
                "name": name,
                "socket": path,
                "port": self.ports[name],
                "params": "/etc/nginx/fastcgi_params",
                "template": TEMPLATE,
            }
        user = "user root;" if os.geteuid() == 0 else ""
        with open(self.in_run("nginx.conf"), "w") as f:
            f.write(
                NGINX_CONF
                % {
                    "user": user,
                    "files": self.files,
                    "connections": self.files * 9 // 10,
                    "return_port": self.ports["return"],
                    "return_body": return_body,
                    "sides": sides,
                }
            )
        log = open(self.in_run("nginx.log"), "w")
        nginx = self.start(
            ["nginx", "-p", self.run, "-c", self.in_run("nginx.conf")],
            stderr=log,
        )
        self.wait_for(
            "nginx",
            lambda: nginx.poll() is not None
            or self.is_listening(self.ports["rec"]),
        )
        if nginx.poll() is not None:
            raise Failed(open(self.in_run("nginx.log")).read())
        with open(f"/proc/{nginx.pid}/task/{nginx.pid}/children") as f:
            self.nginx_pid = int(f.read().split()[0])
        self.nginx = nginx

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
                    "control": self.control,
                    "database": database,
                    "log": log,
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

    def wait_parked(self, n):
        self.wait_for(
            f"{n} parked requests", lambda: self.status()["parked"] == n
        )

    def start_responder(self, publish, poll=None, park=0):
        argv = [self.program("responder"), "--publish-reply", publish]
        if park:
            argv += ["--poll-reply", poll, "--park", str(park)]
        child = self.start(argv + [self.base], stdout=subprocess.PIPE)
        if child.stdout.readline() != "ready\n":
            raise Failed("the responder did not start")
        return child

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

    def start_parker(self, *args):
        return self.start(
            [self.program("load"), "park", *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=1,
        )

    def tell(self, parker, command):
        parker.stdin.write(command + "\n")
        line = parker.stdout.readline()
        if not line:
            raise Failed(f"load ended at {command}")
        return self.clean(self.numbers(line))

    # Recordings.

    def keep(self, table, name, data):
        path = self.in_run(name)
        with open(path, "wb") as f:
            f.write(data)
        table[name] = path

    def record_request(self, http):
        """What nginx sends to a FastCGI responder for this request."""
        got = []

        def serve(listener):
            conn = listener.accept()[0]
            with conn:
                got.append(read_until(conn, FCGI_STDIN))

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
            raise Failed("nginx sent no FastCGI request")
        return got[0]

    def record(self, publish_len, fill_len):
        """Make all the request templates, and with a daemon of its own the
        replies to a publish and to a parked poll."""
        self.start_nginx("")
        self.keep(self.requests, "publish.http", http_publish(publish_len))
        self.keep(self.requests, "poll.http", http_poll())
        publish = self.record_request(http_publish(publish_len))
        poll = self.record_request(http_poll())
        fill = self.record_request(http_publish(fill_len))
        self.stop_nginx()
        self.keep(self.requests, "publish.fcgi", publish)
        self.keep(self.requests, "poll.fcgi", poll)
        self.keep(self.requests, "fill.fcgi", fill)
        self.start_daemon(self.database("record"))
        with unix_connect(self.fastcgi) as p, unix_connect(self.fastcgi) as s:
            p.sendall(named(publish))
            reply = read_until(p, FCGI_END_REQUEST)
            s.sendall(named(poll))
            self.wait_parked(1)
            p.sendall(named(publish))
            self.keep(
                self.replies, "poll.reply", read_until(s, FCGI_END_REQUEST)
            )
            self.keep(self.replies, "publish.reply", reply)
            read_until(p, FCGI_END_REQUEST)
        self.stop_daemon()
        self.start_nginx("x" * len(reply_body(reply)))

"""The shipped configurations, unchanged, under a real nginx, Apache, lighttpd
and Caddy.

They name fixed ports and /run/holdfast, so the tests move into a network and
a mount namespace of their own first, with an empty /run: nothing of the
machine is touched or met."""

import ctypes
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import typing

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
SOURCE = TESTS.parent
sys.path.insert(0, str(TESTS / "protocol"))
spec = importlib.util.spec_from_file_location(
    "protocol_conftest", TESTS / "protocol" / "conftest.py")
protocol = importlib.util.module_from_spec(spec)
spec.loader.exec_module(protocol)

import wire     # noqa: E402  (its folder is known from here on)
from front import wait_until    # noqa: E402

RUN = pathlib.Path("/run")
WORK = RUN / "e2e"
PARAMS = ["/etc/nginx/fastcgi_params", "/etc/nginx/scgi_params"]
# Empty in the tests; the last two are where files name the certificate.
OURS = ["/run", "/etc/lighttpd", "/etc/caddy"]
OUTSIDE = "10.1.2.3"            # an address of this machine, not loopback

# Of versions 3 to 5, as the head of an example has it.
KEY = "the key of the admin page"

CHROMIUM = ["--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
            "--disable-background-networking", "--disable-component-update",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000


def call(function, *args):
    if function(*args) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def enter_namespaces():
    libc = ctypes.CDLL(None, use_errno=True)
    call(libc.unshare, CLONE_NEWNS | CLONE_NEWNET)
    call(libc.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    for folder in OURS:
        if os.path.isdir(folder):
            call(libc.mount, b"none", folder.encode(), b"tmpfs", 0,
                 b"mode=0755")
    (RUN / "holdfast").mkdir()
    WORK.mkdir()
    for words in (["link", "set", "lo", "up"],
                  ["address", "add", OUTSIDE + "/32", "dev", "lo"]):
        subprocess.run(["ip", *words], check=True)


@pytest.fixture(scope="session")
def namespaces():
    if os.geteuid() != 0:
        pytest.skip("only root can have a network of its own")
    if shutil.which("ip") is None:
        pytest.skip("there is no ip(8)")
    try:
        enter_namespaces()
    except OSError as e:
        pytest.skip(f"no namespaces here: {e}")


@pytest.fixture(scope="session")
def certificate(namespaces):
    """For port 8894; the files name ssl/holdfast.crt and .key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl(1)")
    folder = WORK / "ssl"
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "basicConstraints=CA:FALSE",
                    "-keyout", folder / "holdfast.key", "-out",
                    folder / "holdfast.crt"], check=True,
                   capture_output=True)
    return folder


def conf_blocks(example):
    """What an example's head tells to write into holdfast.conf, paragraph by
    paragraph."""
    blocks, open_block = [], False
    for line in (SOURCE / example).read_text().splitlines():
        found = re.fullmatch(
            r'#     (\w+ = .*|location ".*" \{|    \w+ = .*|\})', line)
        if found and open_block:
            blocks[-1] += found[1] + "\n"
        elif found:
            blocks.append(found[1] + "\n")
        open_block = found is not None
    return blocks


def installed(folder, more="", **settings):
    """holdfastd as it is installed: its sockets are where the files say."""
    (folder / "keys").write_text(KEY + "\n")
    d = protocol.Daemon(folder, {
        "fastcgi": ["unix:/run/holdfast/fastcgi.sock"],
        "scgi": ["unix:/run/holdfast/scgi.sock"],
        "control": "unix:/run/holdfast/control.sock",
        "socket_group": "www-data", **settings},
        more.replace("/etc/holdfast", str(folder)))
    d.fastcgi = "/run/holdfast/fastcgi.sock"
    d.control = "/run/holdfast/control.sock"
    return d.start()


class Example(typing.NamedTuple):
    """A shipped file, and what belongs to it."""
    front: str
    file: str
    ports: list
    # How many paragraphs of its head go into holdfast.conf.
    paragraphs: int = 9
    # What else stands there.
    more: str = ""
    version: int = 2        # of Bitrix's queue server

    def path(self):
        return f"{self.front}-examples/{self.file}"

    def holdfast_conf(self):
        return "".join(conf_blocks(self.path())[:self.paragraphs]) + self.more


@pytest.fixture(scope="module")
def example():
    """Test files say which: each with a front and a daemon of its own."""
    return None


@pytest.fixture(scope="module")
def daemon(example, namespaces, tmp_path_factory):
    d = installed(tmp_path_factory.mktemp("hf"),
                  "" if example is None else example.holdfast_conf())
    yield d
    d.stop()


@pytest.fixture(scope="module")
def front(example, certificate, daemon):
    server = FRONTS[example.front](certificate, example.file,
                                   example.ports).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser(namespaces, tmp_path_factory):
    """Its network is the loopback of this namespace, there is no other."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in CHROMIUM:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={folder}")
    options.accept_insecure_certs = True    # nobody vouches for ours
    env = {name: value for name, value in os.environ.items()
           if not name.lower().endswith("_proxy")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        driver = webdriver.Chrome(options=options, service=Service(
            shutil.which("chromedriver"),
            log_path=str(folder / "driver.log"),
            env={**env, "HOME": str(folder)}))
        driver.set_page_load_timeout(wire.TIMEOUT)
        driver.set_script_timeout(wire.TIMEOUT)
        yield driver
        driver.quit()


class Server:
    """A web server in the foreground, with files in a folder of its own."""

    def __init__(self, folder, command, ports, user=None,
                 environment=None):
        self.folder = folder
        self.user = user
        self.environment = {**os.environ, **(environment or {})}
        self.command = command
        self.ports = ports
        self.process = None

    def start(self):
        with open(self.folder / "output", "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.folder, env=self.environment,
                user=self.user, group=self.user,
                extra_groups=None if self.user is None else [],
                start_new_session=True)
        wait_until(self.listens)
        return self

    def listens(self):
        assert self.process.poll() is None, self.said()
        for port in self.ports:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) != 0:
                    return False
        return True

    def said(self):
        return "".join(p.read_text(errors="replace") for p in
                       (self.folder / "output", self.folder / "error.log")
                       if p.exists())

    def workers(self):
        pid = self.process.pid
        return set(pathlib.Path(
            f"/proc/{pid}/task/{pid}/children").read_text().split())

    def reload(self):
        """New workers are there; the old ones end with their last client."""
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.workers() - old)

    def stop(self):
        """Those that wait for streams whose clients have left without their
        knowing are not waited for."""
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(wire.TIMEOUT)


def find(program):
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        pytest.skip(f"there is no {program}")
    return path


def file_of(front, example):
    """Of a shipped file; or one that was made of it, by its whole path."""
    return SOURCE / f"{front}-examples" / example


def include(example):
    return f"include {file_of('nginx', example)};"


def new_folder(name):
    """Several test files start the same example."""
    name = name.replace("/", "-")
    folder = WORK / f"{name}-{sum(1 for _ in WORK.iterdir())}"
    folder.mkdir()
    return folder


def nginx_folder(certificate, name, http):
    """As the examples' heads tell to install them."""
    folder = new_folder("nginx-" + name)
    shutil.copytree(SOURCE / "nginx-examples" / "bx", folder / "bx")
    shutil.copytree(certificate, folder / "bx" / "ssl")
    for params in PARAMS:
        shutil.copy(params, folder)
    (folder / "nginx.conf").write_text(f"""
user www-data;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    gzip on;
    gzip_types text/plain application/json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
""")
    return folder


def nginx(certificate, name, http, ports):
    path = find("nginx")
    for params in PARAMS:
        if not os.path.exists(params):
            pytest.skip(f"nginx is here without {params}")
    folder = nginx_folder(certificate, name, http)
    command = [path, "-p", str(folder), "-c", str(folder / "nginx.conf"),
               "-e", str(folder / "error.log")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    return Server(folder, command, ports)


def shipped(certificate, example, ports):
    """One of the shipped files, unchanged."""
    return nginx(certificate, example, include(example), ports)


MODULES = """mpm_event unixd authz_core authz_host alias env macro proxy
proxy_fcgi proxy_scgi proxy_http rewrite ssl socache_shmcb deflate
filter""".split()


def apache(certificate, example, ports):
    path = find("apache2")
    modules = pathlib.Path("/usr/lib/apache2/modules")
    folder = new_folder(f"apache-{example}")
    shutil.copytree(certificate, folder / "ssl")
    (folder / "httpd.conf").write_text("".join(
        f"LoadModule {m}_module {modules}/mod_{m}.so\n" for m in MODULES
        if (modules / f"mod_{m}.so").exists()) + f"""
ServerRoot {folder}
ServerName localhost
User www-data
Group www-data
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
AddOutputFilterByType DEFLATE text/html text/plain text/event-stream \\
    application/json
Include {file_of("apache", example)}
""")
    command = [path, "-D", "FOREGROUND", "-f", str(folder / "httpd.conf")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    return Server(folder, command, ports)


def lighttpd(certificate, example, ports):
    path = find("lighttpd")
    folder = new_folder(f"lighttpd-{example}")
    (folder / "www").mkdir()
    shutil.copytree(certificate, "/etc/lighttpd/ssl", dirs_exist_ok=True)
    (folder / "lighttpd.conf").write_text(f"""
server.modules = ("mod_deflate")
# As Debian has it.
server.http-parseopts = (
    "header-strict" => "enable", "host-strict" => "enable",
    "host-normalize" => "enable", "url-normalize-unreserved" => "enable",
    "url-normalize-required" => "enable", "url-ctrls-reject" => "enable",
    "url-path-2f-decode" => "enable", "url-path-dotseg-remove" => "enable")
server.document-root = "{folder}/www"
server.username = "www-data"
server.groupname = "www-data"
server.bind = "127.0.0.1"
server.port = 8079
deflate.mimetypes = ("text/", "application/json")
include "{file_of("lighttpd", example)}"
""")
    command = [path, "-D", "-f", str(folder / "lighttpd.conf")]
    subprocess.run([*command, "-tt"], check=True, capture_output=True)
    return Server(folder, command, ports)


def caddy(certificate, example, ports):
    """It does not change its user; systemd does that."""
    path = find("caddy")
    folder = new_folder(f"caddy-{example}")
    shutil.chown(folder, "www-data")
    shutil.copytree(certificate, "/etc/caddy/ssl", dirs_exist_ok=True)
    for f in pathlib.Path("/etc/caddy/ssl").iterdir():
        shutil.chown(f, "www-data")
    command = [path, "run", "--adapter", "caddyfile", "--config",
               str(file_of("caddy", example))]
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder),
            "XDG_DATA_HOME": str(folder)}
    return Server(folder, command, ports, user="www-data",
                  environment=home)


FRONTS = {"nginx": shipped, "apache": apache, "lighttpd": lighttpd,
          "caddy": caddy}

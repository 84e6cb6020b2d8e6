"""The shipped configurations, unchanged, under a real nginx and Apache.

They name fixed ports and /run/holdfast, so the tests move into a network and
a mount namespace of their own first, with an empty /run: nothing of the
machine is touched or met."""

import ctypes
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

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
OUTSIDE = "10.1.2.3"            # an address of this machine, not loopback

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
    call(libc.mount, b"none", b"/run", b"tmpfs", 0, b"mode=0755")
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


def installed(folder, **settings):
    """holdfastd as it is installed: its sockets are where the files say."""
    d = protocol.Daemon(folder, {
        "fastcgi": ["unix:/run/holdfast/fastcgi.sock"],
        "scgi": ["unix:/run/holdfast/scgi.sock"],
        "control": "unix:/run/holdfast/control.sock",
        "socket_group": "www-data", **settings})
    d.control = "/run/holdfast/control.sock"
    return d.start()


@pytest.fixture(scope="module")
def daemon(namespaces, tmp_path_factory):
    d = installed(tmp_path_factory.mktemp("hf"))
    yield d
    d.stop()


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

    def __init__(self, name, command, ports):
        self.folder = WORK / name
        self.name = name
        self.command = command
        self.ports = ports
        self.process = None

    def start(self):
        with open(self.folder / "output", "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
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
        self.process.terminate()
        self.process.wait(wire.TIMEOUT)


def include(example):
    return f"include {SOURCE}/nginx-examples/{example};"


def nginx_folder(certificate, name, http):
    """As the examples' heads tell to install them."""
    folder = WORK / name
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
    path = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        pytest.skip("there is no nginx")
    for params in PARAMS:
        if not os.path.exists(params):
            pytest.skip(f"nginx is here without {params}")
    name = "nginx-" + name
    folder = nginx_folder(certificate, name, http)
    command = [path, "-p", str(folder), "-c", str(folder / "nginx.conf"),
               "-e", str(folder / "error.log")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    return Server(name, command, ports)


def shipped(certificate, example, ports):
    """One of the shipped files, unchanged."""
    return nginx(certificate, example, include(example), ports)


MODULES = """mpm_event unixd authz_core authz_host env macro proxy proxy_fcgi
rewrite ssl socache_shmcb deflate filter""".split()


def apache(certificate, example):
    path = shutil.which("apache2", path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        pytest.skip("there is no Apache")
    modules = pathlib.Path("/usr/lib/apache2/modules")
    name = "apache-" + example
    folder = WORK / name
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
AddOutputFilterByType DEFLATE text/html application/json
Include {SOURCE}/apache-examples/{example}
""")
    command = [path, "-D", "FOREGROUND", "-f", str(folder / "httpd.conf")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    return Server(name, command, [8893, 8894, 8895])

"""A real nginx before a daemon, for the tests of load: the layout that
tests/soak/crowd expects."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

FILES = 20000
CONF = """\
worker_processes %(workers)d;
worker_rlimit_nofile %(files)d;
daemon off;
%(user)s
pid nginx.pid;
error_log error.log error;
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
    upstream publisher {
        server unix:%(fastcgi)s;
        keepalive 64;
    }
    # Of several sockets none is given up since the daemon was killed.
    upstream reader {
        %(readers)s
    }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location /pub/ {
            fastcgi_pass publisher;
            fastcgi_keep_conn on;
            include /etc/nginx/fastcgi_params;
            fastcgi_param push_stream_publisher admin;
            fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;
            fastcgi_param push_stream_store_messages on;
        }
        location /poll/ {
            fastcgi_pass reader;
            include /etc/nginx/fastcgi_params;
            fastcgi_param push_stream_subscriber long-polling;
            fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;
            fastcgi_param push_stream_longpolling_connection_ttl 40;
            fastcgi_param push_stream_message_template '%(template)s';
        }
        location /sse/ {
            scgi_pass unix:%(scgi)s;
            scgi_read_timeout 1h;
            scgi_buffering off;
            include /etc/nginx/scgi_params;
            scgi_param push_stream_subscriber eventsource;
            scgi_param push_stream_channels_path $arg_CHANNEL_ID;
            scgi_param push_stream_replay_by_cursor on;
            scgi_param push_stream_message_template '%(template)s';
        }
        location /ws/ {
            scgi_pass unix:%(scgi)s;
            scgi_read_timeout 1h;
            include /etc/nginx/scgi_params;
            scgi_param push_stream_subscriber websocket;
            scgi_param push_stream_channels_path $arg_CHANNEL_ID;
            scgi_param push_stream_replay_by_cursor on;
            scgi_param push_stream_message_template '%(template)s';
        }
    }
}
"""
TEMPLATE = "#<~channel~|~tag~|~time~|~text~>#"


def missing():
    """What is not here, or nothing."""
    if shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") is None:
        return "there is no nginx"
    if not os.path.exists("/etc/nginx/fastcgi_params"):
        return "nginx is here without its fastcgi_params"
    return None


@contextlib.contextmanager
def nginx(folder, daemon, port, workers=1, fastcgis=()):
    """It listens on the port; yields what it complains of, as a function.
    Polls go to all sockets of fastcgis, else to the daemon's one."""
    front = pathlib.Path(folder) / f"nginx-{port}"
    (front / "tmp").mkdir(parents=True)
    (front / "nginx.conf").write_text(CONF % {
        "user": "user root;" if os.geteuid() == 0 else "",
        "workers": workers, "files": FILES, "connections": FILES - 1000,
        "fastcgi": daemon.fastcgi, "scgi": daemon.scgi, "port": port,
        "template": TEMPLATE, "readers": " ".join(
            f"server unix:{path} max_fails=0;"
            for path in fastcgis or [daemon.fastcgi])})
    with open(front / "output", "wb") as log:
        process = subprocess.Popen(
            ["nginx", "-p", str(front), "-c", str(front / "nginx.conf"),
             "-e", str(front / "error.log")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        while not (front / "nginx.pid").exists():
            assert process.poll() is None, (front / "output").read_text()
            time.sleep(0.01)
        yield lambda: (front / "error.log").read_text()
    finally:
        process.terminate()
        process.wait(30)


class Crowd:
    """tests/soak/crowd, and what it says at the end."""

    def __init__(self, builddir, port, **options):
        self.process = subprocess.Popen(
            [str(pathlib.Path(builddir) / "tests" / "soak" / "crowd"),
             "-a", f"127.0.0.1:{port}",
             *(str(word) for name, value in options.items()
               for word in ("-" + name, value))],
            stdout=subprocess.PIPE, text=True)
        self.total = None

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.kill()
        self.process.wait()

    def lines(self):
        """(kind, {name: value}), as they come; the total is the last."""
        for line in self.process.stdout:
            kind, *words = line.split()
            words = words if len(words) % 2 == 0 else [kind, *words]
            values = dict(zip(words[::2], map(float, words[1::2])))
            if kind == "total":
                self.total = values
            yield kind, values
        self.process.wait()
        assert self.process.returncode == 0 and self.total is not None, \
            f"the crowd ended with {self.process.returncode}"

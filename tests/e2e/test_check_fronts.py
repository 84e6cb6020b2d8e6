"""holdfastctl check before the shipped files with one mistake each: it names
what is wrong, and the line that it tells to write is the one that was taken
away, or one that works.  For nginx's FastCGI see test_check.py."""

import re

import pytest

import conftest
from conftest import OUTSIDE, Example
from test_check import TRIALS, Check

PORT = 8890
SITE = f"http://127.0.0.1:{PORT}"
WORDS = ["--publish", SITE + "/push/pub?id=%", "--stream",
         SITE + "/push/stream?id=%", "--websocket", SITE + "/push/ws?id=%"]
POLL = SITE + "/push/poll?id=%"
EXAMPLES = {
    "nginx": Example("nginx", "http-proxy.conf", [PORT]),
    "apache": Example("apache", "push.conf", [PORT]),
    "lighttpd": Example("lighttpd", "push.conf", [PORT]),
    "caddy": Example("caddy", "push.Caddyfile", [PORT]),
}
NAMES = {"nginx": "nginx", "apache": "Apache", "lighttpd": "lighttpd",
         "caddy": "Caddy"}
# By their nature: see TROUBLESHOOTING.md.
LIMITS = {"nginx": [], "apache": ["client that leaves"],
          "lighttpd": ["client that leaves"], "caddy": ["client that leaves"]}

SOCKET = "/run/holdfast/fastcgi.sock"
FASTCGI = f"unix:{SOCKET}|fcgi://holdfast"
LIGHTTPD_WS = """proxy.server = ("" => ((
            "host" => "127.0.0.1", "port" => 8080, "disable-time" => 0)))
        proxy.header = ("upgrade" => "enable")"""
CADDY_WS = "reverse_proxy 127.0.0.1:8080"
SMALL = """
StartServers 1
ServerLimit 1
ThreadsPerChild 1
MaxRequestWorkers 1
MinSpareThreads 1
MaxSpareThreads 1
"""

# What is changed in the file, the trial that fails first, what that says, and
# what is to be changed.
MISTAKES = {
    ("nginx", "no upgrade"): (
        [("proxy_set_header Upgrade         $http_upgrade;", "")],
        "WebSocket", "400 and not 101: Don't have",
        "proxy_set_header Upgrade $http_upgrade;"),
    ("nginx", "no connection"): (
        [("Connection      $holdfast_connection;", 'Connection "";')],
        "WebSocket", "400 and not 101",
        'proxy_set_header Connection "upgrade";'),
    ("nginx", "another port"): (
        [("server 127.0.0.1:8080", "server 127.0.0.1:8081")],
        "publish", "502", "the address of http in holdfast.conf"),
    ("nginx", "impatience"): (
        [("proxy_read_timeout 90s", "proxy_read_timeout 1s")],
        "end of a poll", "504 after 1.", "fastcgi_ is scgi_ or proxy_"),
    ("apache", "buffering"): (
        [('push/stream" flushpackets=on', 'push/stream"')],
        "stream", "held back", "flushpackets=on"),
    ("apache", "impatience"): (
        [("flushpackets=on timeout=90", "flushpackets=on timeout=1")],
        "end of a poll", "504 after 1.", "ProxyTimeout 90"),
    ("apache", "no upgrade"): (
        [("upgrade=websocket", "")],
        "WebSocket", "400 and not 101: Don't have", "upgrade=websocket"),
    ("apache", "no tunnel"): (
        [('http://127.0.0.1:8080/push/ws" upgrade=websocket',
          FASTCGI + '/push/ws"')],
        "WebSocket", "101, then nothing", "upgrade=websocket"),
    ("apache", "another port"): (
        [("127.0.0.1:8080", "127.0.0.1:8081")],
        "WebSocket", "503 and not 101", 'http = {"127.0.0.1:8080"}'),
    ("apache", "another socket"): (
        [(FASTCGI + "/push/poll", FASTCGI.replace("fast", "s") +
          "/push/poll")],
        "read what is stored", "503", FASTCGI),
    ("apache", "denied"): (
        [('poll">\n        Require all granted',
          'poll">\n        Require all denied')],
        "read what is stored", "403", "Require all granted"),
    ("apache", "no expansion"): (
        [("SetEnv holdfast_expand                         on", "")],
        "read what is stored", "304", "SetEnv holdfast_expand on"),
    ("apache", "few workers"): (
        [("Listen 8890", "Listen 8890" + SMALL)],
        "stream", "no answer within 5 s|head does not come",
        "MaxRequestWorkers"),
    ("lighttpd", "buffering"): (
        [("    server.stream-response-body = 2\n", "")],
        "stream", "held back", "server.stream-response-body = 2"),
    ("lighttpd", "impatience"): (
        [('"check-local"', '"read-timeout" => 1, "check-local"')],
        "end of a poll", "504 after", '"read-timeout" => 90'),
    ("lighttpd", "no upgrade"): (
        [('        proxy.header = ("upgrade" => "enable")\n', "")],
        "WebSocket", "400 and not 101: Don't have",
        'proxy.header = ("upgrade" => "enable")'),
    ("lighttpd", "no tunnel"): (
        [(LIGHTTPD_WS, f"""fastcgi.server = ("" => ((
            "socket" => "{SOCKET}", "check-local" => "disable")))""")],
        "WebSocket", "101", 'proxy.header = ("upgrade" => "enable")'),
    ("lighttpd", "another port"): (
        [('"port" => 8080', '"port" => 8081')],
        "WebSocket", "503 and not 101", 'http = {"127.0.0.1:8080"}'),
    ("lighttpd", "another socket"): (
        [(SOCKET, "/run/holdfast/nobody.sock")], "publish", "503", SOCKET),
    ("lighttpd", "another gateway"): (
        [(SOCKET, "/run/holdfast/scgi.sock")],
        "publish", "500", "fastcgi.sock what belongs to scgi.sock"),
    ("lighttpd", "files first"): (
        [('            "check-local"  => "disable",\n', "")],
        "publish", "404", '"check-local" => "disable"'),
    ("lighttpd", "few connections"): (
        [("server.modules +=", "server.max-connections = 2\n"
          "server.modules +=")],
        "WebSocket", "no answer within 5 s", "server.max-fds"),
    ("caddy", "buffering"): (
        [("\t\t\tflush_interval -1\n", "")],
        "stream", "held back", "flush_interval -1"),
    ("caddy", "impatience"): (
        [("transport fastcgi {", "transport fastcgi {\nread_timeout 1s")],
        "end of a poll", "504 after 1.", "read_timeout 90s"),
    ("caddy", "no upgrade"): (
        [(CADDY_WS, CADDY_WS + " {\nheader_up -Upgrade\n}")],
        "WebSocket", "400 and not 101: Don't have", "header_up"),
    ("caddy", "no tunnel"): (
        [(CADDY_WS, f"reverse_proxy unix/{SOCKET} {{\ntransport fastcgi\n}}")],
        "WebSocket", "200 and not 101", "reverse_proxy PATH* 127.0.0.1:8080"),
    ("caddy", "another port"): (
        [("127.0.0.1:8080", "127.0.0.1:8081")],
        "WebSocket", "502 and not 101", 'http = {"127.0.0.1:8080"}'),
    ("caddy", "another socket"): (
        [(SOCKET, "/run/holdfast/nobody.sock")], "publish", "502", SOCKET),
    ("caddy", "no etag"): (
        [("header_down -Status", "header_down -Status\nheader_down -Etag")],
        "position fields", "Etag is missing", "header_down"),
    ("caddy", "caching"): (
        [("http://:8890 {", "http://:8890 {\nheader Cache-Control max-age=9")],
        "caching, origin", "max-age=9", "no header line for Expires"),
}


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request):
    return (EXAMPLES | BITRIX)[request.param]


@pytest.fixture(scope="module")
def daemon(example, namespaces, tmp_path_factory):
    """Polls are short; lighttpd looks at its own times not so often."""
    ttl = "4s" if example.front == "lighttpd" else "2s"
    d = conftest.installed(
        tmp_path_factory.mktemp("hf"), example.holdfast_conf().replace(
            'connection_ttl = "40s"', f'connection_ttl = "{ttl}"'))
    yield d
    d.stop()


@pytest.fixture
def front(example, certificate, daemon):
    """The shipped file, with some texts in place of others."""
    made = []

    def make(changes):
        text = re.sub(
            r"(connection_ttl +)40s", r"\g<1>2s",
            conftest.file_of(example.front, example.file).read_text())
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        file = conftest.new_folder("changed") / example.file
        file.write_text(text)
        made.append(conftest.FRONTS[example.front](
            certificate, str(file), example.ports).start())
        return made[-1]

    yield make
    for server in made:
        if server.process.poll() is None:
            server.stop()


def check(patient=False, url=POLL):
    return Check(*WORDS, *[] if patient else ["--wait", "0"], url).result()


def test_none(example, front):
    front([])
    c = check(patient=True)
    assert c.failed() == [] and c.not_tried() == [], c.text
    assert c.head == f"{POLL}, by {NAMES[example.front]}"
    assert [t for t in TRIALS if c.verdict[t] == "limit"] == \
        LIMITS[example.front]


@pytest.mark.parametrize("example, name", MISTAKES, indirect=["example"])
def test_mistake(example, front, name):
    changes, trial, says, advice = MISTAKES[example.front, name]
    front(changes)
    c = check(patient=trial == "end of a poll")
    assert c.failed() == [trial], c.text
    assert re.search(says, c.detail[trial]), c.text
    assert advice in c.advice, c.text


# What stands in the file for WebSockets, something that does not work instead,
# and with which line of the advice the right one begins.
REPAIRS = {
    "nginx": ("location = /push/ws     { proxy_pass http://holdfast_http; }",
              "location = /push/ws { return 400; }", "location"),
    "apache": ('ProxyPass "http://127.0.0.1:8080/push/ws" upgrade=websocket '
               "timeout=90 retry=0",
               f'ProxyPass "{FASTCGI}/push/ws"', "ProxyPass"),
    "lighttpd": (LIGHTTPD_WS, 'proxy.server = ("" => (("host" => "127.0.0.1", '
                 '"port" => 8080)))', "proxy.server"),
    "caddy": (CADDY_WS, f"reverse_proxy unix/{SOCKET} {{\ntransport fastcgi\n}}",
              "reverse_proxy"),
}


def lines_of(advice, first):
    """Its lines of configuration that stand together with this one."""
    lines = [line[8:] if line.startswith(" " * 8) else None
             for line in advice.splitlines()]
    at = next(n for n, line in enumerate(lines)
              if line and line.startswith(first))
    end = next(n for n in range(at, len(lines)) if lines[n] is None)
    return "\n".join(lines[at:end])


def test_what_is_told_works(example, front):
    """The lines for WebSockets, where they belong."""
    right, wrong, first = REPAIRS[example.front]
    server = front([(right, wrong)])
    c = check()
    assert c.failed() == ["WebSocket"], c.text
    server.stop()
    told = lines_of(c.advice, first).replace("PATH", "/push/ws")
    if example.front == "apache":   # within a <Location> it has none
        told = told.replace('"/push/ws" ', "", 1)
    front([(right, told)])
    assert check().failed() == []


# Of these, 8893 is for http and 8894 for https.
BITRIX = {
    "nginx-tls": Example("nginx", "bitrix-0.4.0.conf", [8893, 8894]),
    "apache-tls": Example("apache", "bitrix.conf", [8893, 8894]),
    "lighttpd-tls": Example("lighttpd", "bitrix.conf", [8893, 8894], 1),
    "caddy-tls": Example("caddy", "Caddyfile", [8893, 8894], 1),
}


@pytest.mark.parametrize("example", BITRIX, indirect=True)
def test_tls(example, front):
    """TLS where there is none, and none where there is TLS.  lighttpd has no
    word for the second."""
    front([])
    for url, says, advice in [
            ("http://127.0.0.1:8894", "400|Empty reply", "https://"),
            ("https://127.0.0.1:8893", "", "Otherwise it is http:// here"),
            ("https://127.0.0.1:8894", "certificate", "--insecure")]:
        c = Check("--bitrix", "--wait", "0", url).result()
        assert c.failed() == ["read what is stored"], c.text
        assert re.search(says, c.detail["read what is stored"]), c.text
        assert advice in c.advice, c.text
    c = Check("--bitrix", "--wait", "0", "--insecure",
              "https://127.0.0.1:8894").result()
    assert c.failed() == [], c.text

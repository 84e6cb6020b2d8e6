"""The HTTPS listener: who gets which certificate, what is refused, and that
neither a slow nor a rude client, nor a reload, is felt by the others.  What
is asked over it is in test_http.py."""

import os
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

import http1
import tls
import wire
import ws
from conftest import HOLDFASTD, conf_text
from front import new_channel, wait_until
from http1 import Client, ask, publish, request
from test_http import LOCATIONS, Socket, messages, park, published
from test_listen import refuses_to_start


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    return {"one": tls.Cert(folder, "one", "one.example", "both.example"),
            "two": tls.Cert(folder, "two", "*.two.example", "both.example"),
            "cn": tls.Cert(folder, "cn", cn="cn.example"),
            "new": tls.Cert(folder, "new", "one.example"),
            "rsa": tls.Cert(folder, "rsa", "rsa.example",
                            key=["rsa:2048"])}


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory, certs):
    import conftest
    d = conftest.Daemon(tmp_path_factory.mktemp("hf"), tls.settings(
        certs["one"], certs["two"], certs["cn"], certs["rsa"]),
        LOCATIONS).start()
    d.http = tls.address(d.https)
    yield d
    d.stop()


def context(**how):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    for name, value in how.items():
        setattr(c, name, value)
    return c


V1_2 = {"minimum_version": ssl.TLSVersion.TLSv1_2,
        "maximum_version": ssl.TLSVersion.TLSv1_2}


def served(daemon, name):
    """The certificate that a client gets who asks for this host."""
    with tls.shaken(daemon.https, name=name) as c:
        return c.sock.getpeercert(True)


# Certificates

@pytest.mark.parametrize("name, cert", [
    (None, "one"), ("one.example", "one"), ("ONE.example", "one"),
    ("unknown.example", "one"), ("a.two.example", "two"),
    ("two.example", "one"), ("a.b.two.example", "one"),
    ("both.example", "one"), ("cn.example", "cn"), ("rsa.example", "rsa")])
def test_certificate_by_name(daemon, certs, name, cert):
    assert served(daemon, name) == certs[cert].der()


def test_a_client_who_checks(daemon, certs):
    c = ssl.create_default_context(cafile=certs["two"].pem)
    with Client(tls.address(daemon.https, c, "www.two.example")) as client:
        assert client.ask(request("GET", "/")).status == 404
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(tls.address(daemon.https, c, "one.example"))
    daemon.wait_for(connections=1)


def test_chain(make_daemon, tmp_path):
    """What stands behind the certificate in its file is sent with it."""
    root = tls.Cert(tmp_path, "root")
    for name, by, more in (
            ("middle", "root", "basicConstraints=critical,CA:TRUE"),
            ("leaf", "middle", "subjectAltName=DNS:leaf.example")):
        key, csr = tmp_path / (name + ".key"), tmp_path / (name + ".csr")
        (tmp_path / "ext").write_text(more)
        tls.openssl("req", "-new", "-newkey", *tls.EC, "-nodes", "-subj",
                    "/CN=" + name, "-keyout", key, "-out", csr, folder=tmp_path)
        tls.openssl("x509", "-req", "-in", csr, "-CA", by + ".pem", "-CAkey",
                    by + ".key", "-CAcreateserial", "-days", "9", "-extfile",
                    "ext", "-out", name + ".pem", folder=tmp_path)
    leaf = tmp_path / "leaf.pem"
    leaf.write_text(leaf.read_text() + (tmp_path / "middle.pem").read_text())
    d = make_daemon(tls_certificate=[str(leaf)],
                    tls_certificate_key=[str(tmp_path / "leaf.key")])
    c = ssl.create_default_context(cafile=root.pem)
    assert ask(tls.address(d.https, c, "leaf.example"),
               request("GET", "/")).status == 404


# Versions, protocols, sessions

def s_client(daemon, *args, said=b"", **how):
    """What openssl's own client prints about it."""
    if isinstance(said, bytes):
        how["input"] = said
    return subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % daemon.https, *args],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=wire.TIMEOUT, **how).stdout.decode(errors="replace")


@pytest.mark.parametrize("version, good", [
    ("1", False), ("1_1", False), ("1_2", True), ("1_3", True)])
def test_versions(daemon, version, good):
    out = s_client(daemon, "-tls" + version, "-cipher", "ALL:@SECLEVEL=0")
    assert ("New, TLSv" + version.replace("_", ".") in out) == good
    assert good or "alert protocol version" in out
    assert "Compression: NONE" in out


def test_old_ciphers(daemon):
    """Without forward secrecy there is nothing."""
    with daemon.counts(close_handshake=1):
        out = s_client(daemon, "-tls1_2", "-cipher",
                       "AES128-GCM-SHA256:AES256-SHA:@SECLEVEL=0")
        assert "alert handshake failure" in out


def test_alpn(daemon):
    def agreed(*offered):
        c = context()
        c.set_alpn_protocols(offered)
        with tls.shaken(daemon.https, context=c) as client:
            return client.sock.selected_alpn_protocol()

    assert agreed("h2", "http/1.1") == "http/1.1"
    assert agreed("http/1.1") == "http/1.1"
    assert agreed() is None
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        agreed("h2")


@pytest.mark.parametrize("how", [V1_2, {}])
def test_resumption(daemon, how):
    c = context(**how)
    with daemon.counts(tls_handshakes=2, tls_resumed=1):
        with Client(tls.address(daemon.https, c, "one.example")) as first:
            assert first.ask(request("GET", "/")).status == 404
            session = first.sock.session
        sock = socket.create_connection(daemon.https)
        with c.wrap_socket(sock, server_hostname="one.example",
                           session=session) as again:
            assert again.session_reused
            again.sendall(request("GET", "/"))
            assert again.recv(100).startswith(b"HTTP/1.1 404")


def test_resumption_without_tickets(daemon):
    out = s_client(daemon, "-tls1_2", "-reconnect", "-no_ticket")
    assert out.count("Reused, TLSv1.2") == 5


def test_no_renegotiation(daemon):
    """It is refused; what the connection is for goes on."""
    with subprocess.Popen(
            ["openssl", "s_client", "-tls1_2", "-connect",
             "%s:%d" % daemon.https], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        out = b""
        while b"---\n" not in out.split(b"SSL-Session", 1)[-1] or \
                b"SSL-Session" not in out:
            out += os.read(p.stdout.fileno(), 65536)
        p.stdin.write(b"R\n")
        p.stdin.flush()
        out, _ = p.communicate(timeout=wire.TIMEOUT)
    assert b"no renegotiation" in out
    daemon.wait_for(connections=1)
    assert ask(daemon.http, request("GET", "/")).status == 404


# Requests

def test_forwarded(daemon):
    """A proxy may stand before this listener too."""
    ch = new_channel()
    assert published(ask(daemon.http, publish(ch, b"y"))) == 1
    assert ask(daemon.http, publish(
        ch, b"y", X_Forwarded_For="192.0.2.1")).status == 403


def test_absolute_target(daemon):
    a = ask(daemon.http, request("POST", "https://h/bitrix/pub/?CHANNEL_ID=" +
                                 new_channel(), b"x"))
    assert published(a) == 1


def test_large_and_small(daemon):
    """More than one record holds, and many at once, both ways."""
    ch = new_channel()
    texts = [b"%d" % i * 20000 for i in range(10)]
    with Client(daemon.http) as c, park(daemon, ch) as p:
        c.send(b"".join(publish(ch, t) for t in texts))
        for i in range(len(texts)):
            assert published(c.answer()) == i + 1
        assert p.answer().status == 200
        c.send(request("GET", "/poll?id=" + ch, If_Modified_Since=
                       "Thu, 01 Jan 1970 00:00:01 GMT"))
        assert messages(c.answer().body) == texts


def test_slow_reader_gets_everything(daemon):
    """What waits is put into records together, and none of it is lost where
    one of them was cut."""
    ch = new_channel()
    with Client(daemon.http, rcvbuf=4096) as c:
        c.send(request("GET", "/events?id=" + ch))
        c.head()
        texts = [b"<%d>" % i + b"z" * (i * 37 % 3000) for i in range(600)]
        for t in texts:
            daemon.publish(ch, t)
        got = b""
        while len(got) < sum(map(len, texts)):
            got += c.chunk()
        assert got == b"".join(texts)


def test_leaving_behind_a_full_pipe(make_daemon, certs):
    """Who does not read, and goes, is noticed though we do not read either."""
    d = make_daemon(**tls.settings(certs["one"]), more=LOCATIONS,
                    subscriber_buffer_size="1g",
                    subscriber_buffer_time="1h", request_timeout="1h")
    ch = new_channel()
    c = Client(tls.address(d.https), rcvbuf=4096)
    c.send(request("GET", "/events?id=" + ch))
    c.head()
    for _ in range(200):
        d.publish(ch, b"z" * 60000)
    c.close()
    d.wait_for(connections=1, streams=0)


def test_websocket(daemon):
    ch = new_channel()
    with Socket(daemon, "/ws?id=" + ch) as w:
        assert http1.Answer(w.head()[:-4]).status == 101
        for n in (1, 125, 126, 16384, 60000):
            w.say(b"x" * n)
            assert w.text() == b"x" * n


def test_plain_http(daemon):
    """A clear word, and all of it, though the client has more to say."""
    for method in ("GET", "POST", "DELETE"):
        with daemon.counts(close_plain=1), Client(daemon.https) as c:
            c.send(request(method, "/", b"x" * 1000))
            a = c.answer()
            assert a.status == 400 and a.header("Connection") == "close"
            assert b"HTTPS port" in a.body
            c.send_until_closed(b"x" * 1000)
            assert c.at_end()
            c.close()


def test_tls_on_the_plain_port(daemon):
    plain = daemon.settings["http"][0].rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(plain))) as sock:
        sock.settimeout(wire.TIMEOUT)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context().wrap_socket(sock)


@pytest.mark.parametrize("rubbish", [
    b"\x16\x03\x01\xff\xff" + b"x" * 100, b"\0" * 64, b"\x80\x2e\x01\0\x02",
    b"\x16\x03\x01\0\x05\x01\0\0\x01\0", b"SSH-2.0-x\r\n", b"\r\nGET / "],
    ids=["long", "zeros", "sslv2", "short", "ssh", "blank"])
def test_rubbish(daemon, rubbish):
    with wire.Client(daemon.https) as c:
        try:
            c.send(rubbish)
            c.sock.shutdown(socket.SHUT_WR)
            c.rest()
        except OSError:
            pass    # it is no longer connected
    daemon.wait_for(connections=1)


def test_goodbye(daemon):
    """Who is sent away after his answer is told that it was all of it."""
    with Client(daemon.http) as c:
        assert c.ask(request("GET", "/", Connection="close")).status == 404
        assert c.rest() == b""      # else an SSLEOFError


def test_client_who_says_goodbye(daemon):
    """In the middle of a poll he is gone, as if he had closed."""
    ch = new_channel()
    c = park(daemon, ch)
    with daemon.counts(close_gone=1):
        c.sock.settimeout(0.3)
        try:
            c.sock.unwrap().close()
        except (TimeoutError, OSError):
            c.close()
        daemon.wait_for(parked=0, connections=1)


def hello(**how):
    """The first bytes of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = context(**how).wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        o.do_handshake()
    return outgoing.read()


def test_byte_by_byte(daemon):
    """A handshake in crumbs is one all the same."""
    a = socket.create_connection(daemon.https)
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    a.settimeout(wire.TIMEOUT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = context().wrap_bio(incoming, outgoing)

    def flush():
        for b in outgoing.read():
            a.sendall(bytes([b]))

    while True:
        try:
            o.do_handshake()
            break
        except ssl.SSLWantReadError:
            flush()
            incoming.write(a.recv(3))
    o.write(request("GET", "/"))
    flush()
    while True:
        try:
            assert o.read(12) == b"HTTP/1.1 404"
            break
        except ssl.SSLWantReadError:
            incoming.write(a.recv(3))
    a.close()


def test_slow_handshake(make_daemon, certs):
    """It has the time that a head has, the head included, and others do not
    wait for it."""
    d = make_daemon(**tls.settings(certs["one"]), http_header_timeout="500ms")
    whole = hello()
    start = time.monotonic()
    with d.counts(close_handshake_late=3), Client(d.https) as silent, \
            Client(d.https) as half, Client(d.https) as drops, \
            Client(tls.address(d.https)) as shaken:
        half.send(whole[:100])
        for b in whole[:20]:
            drops.send_until_closed(bytes([b]))
            time.sleep(0.01)
        assert ask(tls.address(d.https), request("GET", "/")).status == 404
        for c in (silent, half, drops, shaken):
            assert c.at_end()
    assert 0.4 < time.monotonic() - start < 5


def test_many_handshakes(daemon):
    """More of them than a turn of the loop takes: all come through."""
    n = 100
    sockets = []
    for _ in range(n):
        s = socket.create_connection(daemon.https)
        s.settimeout(wire.TIMEOUT)
        sockets.append(s)
    c = context()
    bios = []
    with daemon.counts(tls_handshakes=n):
        for s in sockets:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            o = c.wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                o.do_handshake()
            bios.append((s, o, incoming, outgoing))
        for s, _, _, outgoing in bios:
            s.sendall(outgoing.read())
        for s, o, incoming, outgoing in bios:
            while True:
                try:
                    o.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(s.recv(65536))
            s.sendall(outgoing.read())
    for s in sockets:
        s.close()


def test_limit_per_address(make_daemon, certs):
    d = make_daemon(**tls.settings(certs["one"]),
                    trusted_proxies=["192.0.2.1"],
                    http_max_connections_per_address=2)
    with Client(d.https), Client(d.http), Client(d.https) as third:
        with d.counts(connections_refused=0):
            assert third.at_end()
    assert d.status()["connections_refused"] == 1


def test_rude_clients_leave_nothing(daemon):
    """Ends and resets at any byte of a handshake."""
    before = daemon.descriptors()
    whole = hello()
    for n in (0, 1, 5, 6, 100, len(whole) - 1, len(whole)):
        for reset in (False, True):
            c = wire.Client(daemon.https)
            c.send(whole[:n])
            if reset:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                  struct.pack("ii", 1, 0))
            c.close()
    daemon.wait_for(connections=1)
    wait_until(lambda: daemon.descriptors() <= before)


def test_key_updates(daemon):
    """s_client asks for one with each K: reading makes us write."""
    with subprocess.Popen(
            ["openssl", "s_client", "-tls1_3", "-connect",
             "%s:%d" % daemon.https], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        out = b""

        def say(line, answer, times=1):
            nonlocal out
            p.stdin.write(line)
            p.stdin.flush()
            while out.count(answer) < times:
                more = os.read(p.stdout.fileno(), 65536)
                assert more, out
                out += more

        for i in range(10):
            say(b"K\n", b"KEYUPDATE", i + 1)
        say(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 404")


# Reload

def reload(d, said):
    seen = len(d.said())
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: said in d.said()[seen:])
    return d.said()[seen:]


def copies(folder, cert):
    """As an ACME client would replace them."""
    for path, name in ((cert.pem, "live.pem"), (cert.key, "live.key")):
        (folder / name).write_bytes(path.read_bytes())
        os.chmod(folder / name, 0o600)
    return {"tls_certificate": [str(folder / "live.pem")],
            "tls_certificate_key": [str(folder / "live.key")]}


def test_reload(make_daemon, certs, tmp_path):
    """Open connections do not feel it, new ones get the new certificate."""
    d = make_daemon(**copies(tmp_path, certs["one"]), more=LOCATIONS)
    d.http = tls.address(d.https)
    ch = new_channel()
    c = context(**V1_2)
    with park(d, ch) as waiting, Client(d.https) as shaking, \
            Client(tls.address(d.https, c)) as open_:
        shaking.send(hello()[:50])
        assert open_.ask(request("GET", "/")).status == 404
        copies(tmp_path, certs["new"])
        reload(d, "holdfast.conf reloaded")
        assert served(d, "one.example") == certs["new"].der()
        assert published(open_.ask(publish(ch, b"x"))) == 1
        assert messages(waiting.answer().body) == [b"x"]
        assert open_.sock.getpeercert(True) == certs["one"].der()


@pytest.mark.parametrize("damage, said", [
    (lambda f, c: (f / "live.pem").unlink(), "live.pem: No such file"),
    (lambda f, c: (f / "live.key").write_bytes(c["new"].key.read_bytes()),
     "it is not the key of the certificate"),
    (lambda f, c: (f / "live.pem").write_text(""), "there is no certificate"),
])
def test_bad_reload(make_daemon, certs, tmp_path, damage, said):
    """The old ones stay, and all else of the file is taken."""
    d = make_daemon(**copies(tmp_path, certs["one"]))
    damage(tmp_path, certs)
    d.settings["client_max_body_size"] = "1k"
    d.conf.write_text(conf_text(d.settings))
    log = reload(d, "holdfast.conf reloaded")
    assert said in log and "old certificates stay in use" in log
    assert served(d, None) == certs["one"].der()
    assert ask(tls.address(d.https),
               publish("x", b"y" * 2000)).status == 413
    copies(tmp_path, certs["new"])
    reload(d, "holdfast.conf reloaded")
    assert served(d, None) == certs["new"].der()


def test_reload_without_certificates(make_daemon, certs):
    d = make_daemon(**tls.settings(certs["one"]))
    for name in ("https", "tls_certificate", "tls_certificate_key"):
        del d.settings[name]
    d.conf.write_text(conf_text(d.settings))
    assert "no tls_certificate any more" in reload(d, "reloaded")
    assert served(d, None) == certs["one"].der()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
def test_root_keeps_the_key(make_daemon, certs, tmp_path):
    """It is read before the user changes; a reload cannot, and says so."""
    folder = tmp_path
    for f in (folder, *folder.parents):
        if str(f) == "/tmp":
            break
        os.chmod(f, 0o755)
    s = copies(folder, certs["one"])
    os.chmod(folder / "live.pem", 0o644)
    d = make_daemon(start=False, **s, user="nobody", group="nogroup",
                    database="memory")
    os.chmod(d.folder, 0o777)
    os.chmod(d.folder.parent, 0o755)
    d.start()
    assert served(d, None) == certs["one"].der()
    os.chmod(d.conf, 0o644)
    log = reload(d, "reloaded")
    assert "live.key: Permission denied" in log
    assert "old certificates stay in use" in log
    assert served(d, None) == certs["one"].der()


# Checking

def check(d):
    p = subprocess.run([HOLDFASTD, "-t", "-c", str(d.conf)],
                       capture_output=True, text=True, timeout=wire.TIMEOUT)
    return p.returncode, p.stderr


def line_of(d, name):
    lines = d.conf.read_text().split("\n")
    at = [i for i, text in enumerate(lines) if text.startswith(name + " ")]
    return "%s:%d: %s: " % (d.conf, at[0] + 1, name)


@pytest.mark.parametrize("pem, key, name, said", [
    ("/nowhere/x.pem", "one", "tls_certificate", "No such file"),
    ("one", "/nowhere/x.key", "tls_certificate_key", "No such file"),
    ("one", "two", "tls_certificate_key",
     "it is not the key of the certificate"),
    ("/dev/null", "one", "tls_certificate", "there is no certificate in it"),
    ("one", "/dev/null", "tls_certificate_key", "there is no private key"),
    ("key of one", "one", "tls_certificate", "there is no certificate in it"),
])
def test_wrong_files(make_daemon, certs, pem, key, name, said):
    """-t and the start name the key, the line and the file."""
    pem = str(certs[pem].pem if pem in certs else
              certs["one"].key if pem == "key of one" else pem)
    key = str(certs[key].key) if key in certs else key
    d = make_daemon(start=False, tls_certificate=[pem],
                    tls_certificate_key=[key])
    status, log = check(d)
    wrong = pem if name == "tls_certificate" else key
    assert status == 1
    assert line_of(d, name) + wrong + ": " + said in log
    assert said in refuses_to_start(d, name, wrong)


def test_unreadable(make_daemon, certs, tmp_path):
    """A folder can be opened and not be read, by root neither."""
    (tmp_path / "folder").mkdir()
    d = make_daemon(start=False, tls_certificate=[str(certs["one"].pem)],
                    tls_certificate_key=[str(tmp_path / "folder")])
    assert check(d)[0] == 1
    if os.geteuid() == 0:
        return
    s = copies(tmp_path, certs["one"])
    os.chmod(tmp_path / "live.key", 0)
    d = make_daemon(start=False, **s)
    status, log = check(d)
    assert status == 1 and "live.key: Permission denied" in log


def test_passphrase(make_daemon, certs, tmp_path):
    """Nobody is asked for it."""
    tls.openssl("ec", "-in", certs["one"].key, "-aes128", "-passout",
                "pass:secret", "-out", "locked.key", folder=tmp_path)
    d = make_daemon(start=False, tls_certificate=[str(certs["one"].pem)],
                    tls_certificate_key=[str(tmp_path / "locked.key")])
    status, log = check(d)
    assert status == 1 and "the key has a passphrase" in log


def test_weak_key(make_daemon, tmp_path):
    weak = tls.Cert(tmp_path, "weak", key=["rsa:512"])
    d = make_daemon(start=False, **tls.settings(weak))
    status, log = check(d)
    assert status == 1 and "too small" in log


def test_pairs(make_daemon, certs):
    d = make_daemon(start=False, **{
        **tls.settings(certs["one"], certs["two"]),
        "tls_certificate_key": [str(certs["one"].key)]})
    status, log = check(d)
    assert status == 1 and "make pairs, and here are 2 and 1" in log
    d = make_daemon(start=False, https=["127.0.0.1:1"])
    status, log = check(d)
    assert status == 1 and "https needs a tls_certificate" in log
    refuses_to_start(d, "https needs a tls_certificate")


def test_every_pair_is_told(make_daemon, certs):
    d = make_daemon(start=False, tls_certificate=["/no/a", "/no/b"],
                    tls_certificate_key=[str(certs["one"].key)] * 2)
    _, log = check(d)
    assert "/no/a" in log and "/no/b" in log


def test_expired(make_daemon, tmp_path):
    """It starts all the same: some clients do not look."""
    cert = tls.Cert(tmp_path, "old", "old.example")
    tls.openssl("req", "-new", "-key", cert.key, "-subj", "/CN=old", "-out",
                "old.csr", folder=tmp_path)
    for name in ("index", "serial"):
        (tmp_path / name).write_text("01\n" if name == "serial" else "")
    (tmp_path / "ca.conf").write_text(
        "[ca]\ndefault_ca=c\n[c]\ndatabase=index\nserial=serial\n"
        "new_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
        "[p]\ncommonName=supplied\n")
    tls.openssl("ca", "-batch", "-config", "ca.conf", "-selfsign", "-keyfile",
                cert.key, "-startdate", "20200101000000Z", "-enddate",
                "20200201000000Z", "-in", "old.csr", "-out", cert.pem,
                "-notext", folder=tmp_path)
    d = make_daemon(**tls.settings(cert))
    status, log = check(d)
    assert status == 0
    assert line_of(d, "tls_certificate") + str(cert.pem) + \
        ": the certificate has expired" in log
    assert "has expired" in d.said()
    assert served(d, None) == cert.der()


def test_open_key(make_daemon, certs, tmp_path):
    s = copies(tmp_path, certs["one"])
    os.chmod(tmp_path / "live.key", 0o644)
    d = make_daemon(start=False, **s)
    status, log = check(d)
    assert status == 0 and "others can read this key" in log


def test_inherited(make_daemon, certs):
    """From systemd, under its name."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        def start(d):
            script = ("import os, sys; os.dup2(int(sys.argv[1]), 3); "
                      "os.environ.update(LISTEN_PID=str(os.getpid()), "
                      "LISTEN_FDS='1', LISTEN_FDNAMES='https'); "
                      "os.execv(sys.argv[2], sys.argv[2:])")
            before = ("/usr/bin/python3", "-c", script, str(s.fileno()))
            return d.start(before, pass_fds=[s.fileno(), 3])

        d = start(make_daemon(start=False, **tls.settings(certs["one"])))
        d.https = s.getsockname()
        assert served(d, None) == certs["one"].der()
        bare = make_daemon(start=False)
        with pytest.raises(AssertionError, match="needs a tls_certificate"):
            start(bare)
        bare.process = None


def test_stopping(make_daemon, certs):
    """The lame duck says goodbye to everybody, and a crowd at the door does
    not keep it."""
    d = make_daemon(**tls.settings(certs["one"]), more=LOCATIONS)
    d.http = tls.address(d.https)
    with Client(d.http) as idle, park(d, "a") as waiting, \
            Client(d.https) as silent:
        crowd = [Client(d.https) for _ in range(100)]
        for c in crowd:
            c.send(hello())
        assert idle.ask(request("GET", "/")).status == 404
        d.terminate()
        a = waiting.answer()
        assert a.header("Connection") == "close"
        assert waiting.rest() == b"" and idle.rest() == b""
        assert silent.at_end()
        d.stop()
        for c in crowd:
            c.close()

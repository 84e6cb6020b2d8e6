"""The keys of a Bitrix queue server: where they stand, that several are good
at once, and that nobody learns them."""

import contextlib
import signal
import subprocess

import pytest

import bitrix
import conftest
import tls
from bitrix import (Person, Server, check, claims, incoming, jwt, new_id,
                    public_mac, publishing, receiver, said, signed, token)
from front import GATEWAYS, wait_until
from test_life import reload
from ws import frame

WRONG = (4010, "Wrong Channel Id.")
BODY = b'{"module_id":"im","command":"hello","params":{"n":1}}'


def asked(ids, **more):
    return bitrix.joined("CHANNEL_ID=" + ids, **more)


def accepted(d, ids, version=4):
    with Server(d, version).socket(asked(ids)) as w:
        w.send(frame(9, b"x"))
        op, data = w.frame()
        return (op, data) == (10, b"x")


# Several at once

def test_two_keys(make_daemon):
    """While a key is replaced, what either of them signed is good, wherever
    something is signed."""
    d = make_daemon(signature_key=["new", "old"])
    srv, rpc = Server(d, 4), Server(d, 5)
    for key in "new", "old":
        p = Person()
        assert accepted(d, p.ids(4, key))
        assert accepted(d, signed(p.shared, key) + "/" + signed(p.private,
                                                                 "new"))
        with srv.socket(asked(p.ids(4, key), binaryMode="true")) as w:
            w.say_binary(publishing(incoming([receiver(
                p.public, False, public_mac(p.public, key))], BODY)))
            assert bitrix.messages(w.binary())[0].body == BODY
        with rpc.socket("token=" + jwt(claims(7), key)) as w:
            rpc.rpc([bitrix.call("publish", {
                "userList": [7], "body": {"module_id": "im"},
                "expiry": 10})], key)
            assert b"incoming.message" in w.text()
    assert not accepted(d, Person().ids(4, "third"))
    answer = rpc.ask_rpc([], "third")
    assert (answer.status, answer.body) == (
        400, b"4026: Wrong request signature.")


def test_a_key_is_replaced(make_daemon):
    """Without a restart, and without a reader who is thrown out."""
    d = make_daemon(signature_key=["old"])
    old, new = Person(), Person()
    with Server(d, 4).socket(asked(old.ids(4, "old"))) as w:
        reload(d, signature_key=["new", "old"])
        assert accepted(d, old.ids(4, "old"))
        assert accepted(d, new.ids(4, "new"))
        reload(d, signature_key=["new"])
        assert not accepted(d, old.ids(4, "old"))
        assert accepted(d, new.ids(4, "new"))
        Server(d, 4).publish(old.private, BODY)
        assert bitrix.texts(w.text()) == [BODY]


def test_key_file(make_daemon, tmp_path):
    """One a line, beside those of holdfast.conf."""
    keys = tmp_path / "keys"
    keys.write_bytes(b"first of the file\nsecond: \"quoted\" \xff\n")
    keys.chmod(0o600)
    d = make_daemon(signature_key=["of the conf"],
                    signature_key_file=str(keys))
    for key in "of the conf", "first of the file":
        assert accepted(d, signed(new_id(), key))
    assert not accepted(d, signed(new_id(), "second"))
    assert not accepted(d, signed(new_id(), ""))


@pytest.mark.parametrize("settings", [
    {"signature_key_file": "/nonexistent/keys"}, {"signature_key": [""]},
    {"signature_algo": "sha0"}, {"signature_algo": ""}])
def test_wrong_settings(make_daemon, settings):
    d = make_daemon(start=False, **{**bitrix.KEYED, **settings})
    done = subprocess.run([conftest.HOLDFASTD, "-t", "-c", str(d.conf)],
                          capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr


@pytest.mark.parametrize("name", ["signature_key", "signature_key_file",
                                  "signature_algo"])
def test_keys_do_not_come_with_a_request(daemon, name):
    """A location may not bring a key of its own."""
    srv = Server(daemon, 4)
    location = srv.location("sub")
    location.more.update({name: "brought", "bitrix_" + name: "brought"})
    answer = location.ask("GET", None, query=asked(signed(new_id(),
                                                          "brought")))
    assert answer.status in (400, 500)


@pytest.mark.parametrize("algo", ["sha256", "sha512", "md5"])
def test_another_algorithm(make_daemon, algo):
    d = make_daemon(**bitrix.KEYED, signature_algo=algo)
    p, key = Person(), bitrix.KEY
    assert accepted(d, p.ids(4, key, algo))
    assert not accepted(d, p.ids())
    with Server(d, 4).socket(asked(p.ids(4, key, algo),
                                   binaryMode="true")) as w:
        w.say_binary(publishing(incoming([receiver(
            p.public, False, public_mac(p.public, key, algo))], BODY)))
        assert bitrix.messages(w.binary())[0].body == BODY
    # Tokens are always HS256.
    with Server(d, 5).socket("token=" + token(7)) as w:
        w.settle()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_no_key(make_daemon, gateway):
    """Ids come unsigned; what is signed cannot be checked, so it is not
    believed."""
    d = make_daemon()
    p = Person()
    for version, ids in (3, p.private), (4, f"{p.private}/{p.shared}"):
        srv = Server(d, version, gateway)
        with srv.socket(asked(ids)) as w:
            srv.publish(p.private, BODY)
            assert bitrix.texts(w.text()) == [BODY]
    srv = Server(d, 4, gateway)
    pair = f"{p.private}:{p.public}"
    for ids in (signed(p.private), p.ids(), pair, signed(pair, ""),
                signed(p.private, "")):
        check(srv.poll(asked(ids)), 400, bitrix.PLAIN, bitrix.ANYONE,
              bitrix.EXPOSED, body=said(*WRONG))
    rpc = Server(d, 5, gateway)
    for key in bitrix.KEY, "":
        with rpc.socket("token=" + jwt(claims(7), key)) as w:
            w.refused(*WRONG)
    answer = srv.send(publishing(incoming([receiver(
        p.public, False, public_mac(p.public, ""))], BODY)),
        asked(signed(pair, "")), "rest")
    assert answer.body == b"4012: Public Channel Id is Required."


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_open_key_file(make_daemon, tmp_path, mode):
    """It works, but is said."""
    keys = tmp_path / "keys"
    keys.write_text("of a file\n")
    keys.chmod(mode)
    d = make_daemon(signature_key_file=str(keys))
    assert accepted(d, Person().ids(4, "of a file"))
    assert ("others can read" in d.said()) == (mode == 0o644)


# Secrets

SECRETS = ["T0p-secret", "Th1rd-of-a-file", "L1cence-key"]


def test_nothing_of_a_key_is_told(make_daemon, tmp_path):
    """Neither in the log, however loud, nor in what -T and -t show, nor in an
    answer."""
    keys = tmp_path / "keys"
    keys.write_text(SECRETS[1] + "\n")
    d = make_daemon(
        log_level="debug", signature_key=SECRETS[:1],
        signature_key_file=str(keys),
        more=f'licence "{"c" * 32}" {{ signature_key = {{"{SECRETS[2]}"}} }}')
    heard = []
    for version in 3, 4, 5:
        srv = Server(d, version)
        for key in *SECRETS, "wrong":
            p = Person()
            for ids in p.ids(version, key), p.private, "x" * 40:
                for client in None, "c" * 32:
                    with contextlib.suppress(AssertionError):
                        with srv.socket(asked(ids, clientId=client)) as w:
                            w.send(frame(2, b"garbage") + frame(8))
                            heard.append(w.rest())
            answer = srv.but(longpolling_connection_ttl="10ms").poll(
                "token=" + jwt({"exp": 1, "iss": "x", "sub": "7"}, key))
            heard.append(answer.raw)
            heard.append(srv.ask_rpc([], key).raw)
            heard.append(srv.ask("stat", "GET").raw)
            heard.append(srv.ask("pub", "GET", asked(p.private)).raw)
            heard.append(srv.send(b"garbage").raw)
    for command in ["status"], ["bitrix", "--version", "4", "portal.example"]:
        done = subprocess.run(
            [conftest.HOLDFASTCTL, "-s", d.control, *command],
            capture_output=True)
        assert done.stdout
        heard += [done.stdout, done.stderr]
    for option in "-T", "-t":
        done = subprocess.run([conftest.HOLDFASTD, option, "-c", str(d.conf)],
                              capture_output=True)
        assert done.returncode == 0
        heard += [done.stdout, done.stderr]
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(d.conf.read_text() + "\nnonsense = 1\n")
    done = subprocess.run([conftest.HOLDFASTD, "-t", "-c", str(wrong)],
                          capture_output=True)
    assert done.returncode != 0
    heard += [done.stdout, done.stderr]
    d.stop()
    told = b"".join(heard) + d.log.read_bytes()
    for secret in SECRETS:
        assert secret.encode() not in told


@pytest.mark.parametrize("wrong", [
    "signature_key = %s more", 'signature_key = "%s', "signature_key = {%s",
    'signature_key = {"%s", }, }', 'signature_key = {"%s"} "%s"',
    'signature_key = "%s" }', "signature_key %s", "signature_key = %s = %s",
    'signature_key = {"a" %s}', 'signature_key = {"\\x%s"}\n}',
    f'licence "{"c" * 32}" {{ signature_key = {{"%s"}} nonsense = 1 }}',
    f'licence "{"c" * 32}" {{ signature_key = %s nonsense }}',
    'licence "short" { signature_key = {"%s"} }',
    'signature_key = "%s"\nsignature_algo = "none"',
    'signature_key = "%s"\ntls_certificate = {"/dev/null"}\n'
    'tls_certificate_key = {"/dev/null"}'])
def test_nothing_of_a_key_in_an_error(make_daemon, wrong):
    """The parser stumbles over the key itself, or near it."""
    d = make_daemon(start=False)
    d.conf.write_text(d.conf.read_text() + "\n" +
                      wrong.replace("%s", SECRETS[0]) + "\n")
    for options in [], ["-t"], ["-T"]:
        done = subprocess.run(
            [conftest.HOLDFASTD, *options, "-c", str(d.conf)],
            capture_output=True, timeout=20)
        assert done.returncode != 0 and done.stderr
        for part in SECRETS[0], SECRETS[0][4:]:
            assert part.encode() not in done.stdout + done.stderr


def test_nothing_of_a_private_key_is_told(make_daemon, tmp_path):
    """Of the listener's, whole or cut short, or in the certificate's place."""
    cert, other = (tls.Cert(tmp_path, name, "one.example")
                   for name in ("one", "two"))
    lines = cert.key.read_text().splitlines()
    secrets = [line for line in lines if "PRIVATE" not in line]
    cut = tmp_path / "cut.key"
    cut.write_text("\n".join(lines[:2]) + "\n")
    d = make_daemon(log_level="debug", **tls.settings(cert))
    with d.connect(tls.address(d.https)) as c:
        c.send(b"garbage\r\n\r\n")
        told = c.rest()
    told += subprocess.run([conftest.HOLDFASTD, "-T", "-c", str(d.conf)],
                           capture_output=True).stdout
    for pem, key in ((cert.pem, cut), (cert.key, cert.pem),
                     (cert.pem, other.key), (cert.key, cert.key)):
        reload_refused(d, tls_certificate=[str(pem)],
                       tls_certificate_key=[str(key)])
    d.stop()
    told += d.log.read_bytes()
    for secret in secrets:
        assert secret.encode() not in told


def reload_refused(d, **settings):
    before = d.said().count("old certificates stay")
    d.conf.write_text(conftest.conf_text({**d.settings, **settings}))
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: d.said().count("old certificates stay") > before)

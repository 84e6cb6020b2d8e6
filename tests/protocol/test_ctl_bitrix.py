"""holdfastctl bitrix: what it tells the site is what the shipped files serve,
what it finds missing is missing, and it never knows a key."""

import pathlib
import re
import signal
import subprocess
import urllib.parse

import pytest

import conftest
import wire
from front import wait_until

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLES = SOURCE / "nginx-examples"
FILES = {
    1: ["bitrix-0.3.4.conf"],
    2: ["bitrix-0.4.0.conf", "bx/conf/im_subscrider.conf"],
    3: ["bitrix-push-1.0.conf", "bx/conf/push-1.0.conf"],
    4: ["bitrix-push-2.0.conf", "bx/conf/push-2.0.conf"],
    5: ["bitrix-push-3.0.conf", "bx/conf/push-3.0.conf"],
}
KEYS = ["Br4xton-new-key", "Br4xton-old-key"]
LICENCE = "0123456789abcdef0123456789abcdef"
NOBODY = "/nonexistent/control.sock"


def run(*words, socket=NOBODY):
    return subprocess.run([conftest.HOLDFASTCTL, "-s", str(socket), *words],
                          capture_output=True, text=True,
                          timeout=wire.TIMEOUT)


def bitrix(*words, socket=NOBODY):
    """The fields of the page, those of the file, and how it ended."""
    r = run("bitrix", *words, socket=socket)
    assert "Sanitizer" not in r.stderr and "runtime error" not in r.stderr
    above, below = r.stdout.split(".settings.php")
    page = re.findall(r"^  \S.*?  +([a-z_]+)  +(\S.*)$", above, re.M)
    array = re.findall(r"^      '([a-z_]+)' => '([^']*)',$", below, re.M)
    assert len(dict(page)) == len(page) and len(dict(array)) == len(array)
    return dict(page), dict(array), r


@pytest.mark.parametrize("version", FILES)
def test_page_and_file_agree(version):
    page, array, _ = bitrix("--version", str(version), "example.com")
    said = {"nginx": "Use local server", "signature_key": "(empty)",
            "websocket": "yes" if version > 1 else "no"}
    for name, value in page.items():
        assert value in (array[name], said.get(name)), name
    assert array["nginx_version"] == str(version)
    assert array["nginx_headers"] == ("Y" if version < 3 else "N")
    assert (array["signature_key"] == "") == (version < 3)
    assert ("path_to_publish_web" in page) == (version >= 4)
    assert ("path_to_json_rpc" in page) == (version == 5)
    assert ("path_to_websocket" in page) == (version > 1)


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize("version", FILES)
def test_addresses_are_those_of_the_shipped_files(version, https):
    text = "".join((EXAMPLES / f).read_text() for f in FILES[version])
    served = re.findall(r"^ *location \^~ (\S+) \{", text, re.M)
    _, array, _ = bitrix("--version", str(version),
                         *["--https"] * https, "example.com")
    urls = {name: urllib.parse.urlsplit(value)
            for name, value in array.items() if name.startswith("path_")}
    assert len(urls) >= 7
    for name, url in urls.items():
        # Beside / itself, which is refused.
        assert [p for p in served if p != "/" and url.path.startswith(p)], name
        if url.port is not None:
            assert re.search(rf"listen [0-9.:]*\b{url.port}\b", text), name
        if url.hostname == "127.0.0.1":
            assert (url.scheme, url.port) == ("http", 8895)
        else:
            assert url.hostname == "example.com"
            secure = https or name.endswith("_secure")
            kind = "ws" if "websocket" in name else "http"
            assert url.scheme == kind + "s" * secure, name
            assert url.port in (None, 8894 if secure else 8893)


def test_version_4_is_the_default():
    assert (run("bitrix", "a.example").stdout ==
            run("bitrix", "--version", "4", "a.example").stdout)


@pytest.mark.parametrize("host", [
    "a", "a-b.example", "192.0.2.1", "[2001:db8::1]", "#DOMAIN#",
    ".".join(["a" * 63] * 4)[:253]])
def test_hosts(host):
    _, array, r = bitrix(host)
    assert r.returncode == 1
    assert array["path_to_websocket"] == f"ws://{host}/bitrix/subws/"


@pytest.mark.parametrize("words", [
    ["bitrix"], ["bitrix", "a", "b"], ["bitrix", ""], ["bitrix", "a/b"],
    ["bitrix", "a:80"], ["bitrix", "http://a"], ["bitrix", "a'b"],
    ["bitrix", "[::1"], ["bitrix", "[]"], ["bitrix", "пример.рф"],
    ["bitrix", "a" * 254], ["bitrix", ".a"],
    ["bitrix", "--version", "0", "a"], ["bitrix", "--version", "6", "a"],
    ["bitrix", "--version", "44", "a"], ["bitrix", "--version", "", "a"],
    ["bitrix", "--nonsense", "a"], ["--https", "status"],
    ["--version", "4", "status"]])
def test_usage(words):
    r = run(*words)
    assert (r.returncode, r.stdout) == (2, "")
    assert "usage: holdfastctl" in r.stderr


def test_nobody_answers():
    """The settings are printed all the same."""
    _, array, r = bitrix("a.example")
    assert array["path_to_publish"] == "http://127.0.0.1:8895/bitrix/pub/"
    assert r.returncode == 1
    assert "is holdfastd running?" in r.stderr
    assert "nothing was checked" in r.stderr


# Against a daemon

def check(d, version, *words, keys=KEYS):
    """Exit status and what is missing."""
    page, array, r = bitrix("--version", str(version), *words, "a.example",
                            socket=d.control)
    for key in keys:
        assert key not in r.stdout + r.stderr
    assert (r.returncode == 0) == (r.stderr == "")
    return r.returncode, r.stderr, array


def test_no_key(make_daemon):
    """Versions 1 and 2 need none."""
    d = make_daemon()
    for version in FILES:
        status, said, _ = check(d, version)
        assert status == (version >= 3)
        assert ("no signature_key" in said) == (version >= 3)


def test_keys(make_daemon):
    d = make_daemon(signature_key=KEYS)
    for version in FILES:
        status, said, array = check(d, version)
        assert (status, said) == (0, "")
        assert array.get("signature_key", "") in ("", "KEY")


def test_keys_never_leave(make_daemon):
    """Not even on the control socket."""
    d = make_daemon(signature_key=KEYS)
    with d.connect(d.control) as c:
        c.send(wire.scgi({"REQUEST_METHOD": "GET",
                          "DOCUMENT_URI": "/bitrix"}))
        body = c.scgi_answer().body
    assert b"signature_keys 2\n" in body
    assert not [key for key in KEYS if key.encode() in body]


def test_key_after_a_reload(make_daemon):
    d = make_daemon()
    assert check(d, 4)[0] == 1
    d.conf.write_text(d.conf.read_text() +
                      conftest.conf_text({"signature_key": KEYS}))
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in d.said())
    assert check(d, 4)[:2] == (0, "")


def test_algorithm(make_daemon):
    """The site is told another one than its default."""
    d = make_daemon(signature_key=KEYS, signature_algo="sha256")
    assert check(d, 4)[2]["signature_algo"] == "sha256"
    assert check(d, 2)[2].get("signature_algo") is None


def test_licences_alone(make_daemon):
    """A site with a local server names no licence."""
    d = make_daemon(more=f'licence "{LICENCE}" {{\n'
                    f'    signature_key = {{"{KEYS[0]}"}}\n}}\n')
    status, said, _ = check(d, 4)
    assert status == 1 and "names no licence" in said
    assert check(d, 2)[0] == 0


def test_keys_and_licences(make_daemon):
    """Beside licences whoever publishes has to sign: version 5 does."""
    d = make_daemon(signature_key=KEYS,
                    more=f'licence "{LICENCE}" {{\n'
                    f'    signature_key = {{"{KEYS[0]}"}}\n}}\n')
    for version in FILES:
        status, said, _ = check(d, version)
        assert status == ("has to sign" in said) == (version in (3, 4))


def test_no_scgi(make_daemon):
    """No WebSockets, then; version 1 has none."""
    d = make_daemon(scgi=[], signature_key=KEYS)
    for version in FILES:
        status, said, _ = check(d, version)
        assert status == ("SCGI" in said) == (version >= 2)


def test_small_bodies(make_daemon):
    d = make_daemon(client_max_body_size="1023k", signature_key=KEYS)
    for version in FILES:
        status, said, _ = check(d, version)
        assert status == ("client_max_body_size" in said) == (version >= 4)

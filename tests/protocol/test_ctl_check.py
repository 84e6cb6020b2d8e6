"""holdfastctl check: what it takes, and what it says where nobody answers.
Through real fronts it is tried in tests/e2e/test_check.py."""

import subprocess
import time

import pytest

import conftest
import wire

NOBODY = "http://127.0.0.1:9/"


def check(*words, before=()):
    r = subprocess.run([conftest.HOLDFASTCTL, *before, "check", *words],
                       capture_output=True, text=True, timeout=wire.TIMEOUT)
    assert "Sanitizer" not in r.stderr and "runtime error" not in r.stderr
    return r


@pytest.mark.parametrize("words", [
    [], [NOBODY, NOBODY], ["ftp://127.0.0.1/"], ["ws://127.0.0.1/"],
    ["/bitrix/sub/"], [""], ["--publish", "127.0.0.1:8895", NOBODY],
    ["--stream", "file:///etc/passwd", NOBODY],
    ["--websocket", "tcp://127.0.0.1/", NOBODY],
    ["--websocket", NOBODY], ["--wait", "soon", NOBODY],
    ["--wait", "3600", NOBODY], ["--wait", "-1", NOBODY],
    ["--version", "6", NOBODY], ["--version", "4a", NOBODY], ["--https", NOBODY], ["-x", NOBODY],
    ["http://127.0.0.1/" + "x" * 5000]])
def test_wrong_usage(words):
    r = check(*words)
    assert r.returncode == 2 and r.stdout == ""
    assert "usage: holdfastctl" in r.stderr and " check " in r.stderr


def test_the_word_is_a_command_in_its_place_only():
    """A file may have that name."""
    r = subprocess.run(
        [conftest.HOLDFASTCTL, "-s", "/nonexistent", "backup", "check"],
        capture_output=True, text=True, timeout=wire.TIMEOUT)
    assert r.returncode == 1 and "is holdfastd running" in r.stderr


def test_key_file(tmp_path):
    """What is wrong with it is said, and never what is in it."""
    keys = tmp_path / "keys"
    r = check("--key-file", str(keys), NOBODY)
    assert r.returncode == 1 and r.stdout == ""
    assert r.stderr == f"holdfastctl: {keys}: No such file or directory\n"
    for text in "", "\nsecret\n":
        keys.write_text(text)
        r = check("--key-file", str(keys), NOBODY)
        assert r.returncode == 1 and r.stdout == ""
        assert r.stderr == f"holdfastctl: {keys}: it has no key\n"


@pytest.mark.parametrize("before", [(), ("-s", "/nonexistent")])
@pytest.mark.parametrize("words", [
    ["--publish", NOBODY, NOBODY], [NOBODY, "--publish", NOBODY],
    ["--bitrix", "--insecure", "--wait", "0", "--publish", NOBODY, NOBODY]])
def test_nobody_there(before, words):
    """It is told at once, and what builds on it is not tried."""
    began = time.monotonic()
    r = check(*words, before=before)
    assert time.monotonic() - began < 5
    assert r.returncode == 1 and r.stderr == ""
    table, advice = r.stdout.split("\nWhat to change:\n")
    rows = table.splitlines()[1:]
    assert rows[0].startswith("  publish              not ok ")
    assert all(row[23:].startswith("not tried") for row in rows[1:])
    assert "does it listen there" in advice


def test_front_that_says_nothing(make_daemon):
    """A FastCGI listener is none: every wait has its end."""
    d = make_daemon(request_timeout="1m")
    began = time.monotonic()
    r = check("--publish", "http://%s:%d/" % d.tcp, NOBODY)
    assert r.returncode == 1 and "  publish " in r.stdout
    assert time.monotonic() - began < 15

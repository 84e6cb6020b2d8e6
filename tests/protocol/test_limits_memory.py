"""What doc/LIMITS.md computes, against what the system says the daemon has: with
a bound reached, its memory is not above the sum, and not far below it either,
or the bound would count what is not there."""

import contextlib
import pathlib

import pytest

import conftest
import http1
import wire
from front import publisher
from test_limits import BODY, Stopped, until
from test_slow_reader import resident

MB = 1 << 20
TOTAL = 64 * MB
# Beside what is counted: connections, and what the allocator keeps.
SLACK = 8 * MB

pytestmark = pytest.mark.skipif(
    b"__asan_init" in pathlib.Path(conftest.HOLDFASTD).read_bytes() or
    b"__tsan_init" in pathlib.Path(conftest.HOLDFASTD).read_bytes(),
    reason="a sanitizer needs memory of its own")


def test_incoming(make_daemon):
    """More requests with the largest bodies than have room: seven eighths."""
    d = make_daemon(max_incoming_size=str(TOTAL))
    d.publish("a", b"x")
    before = resident(d)
    data = http1.publish("a", b"x" * MB)[:-1]
    with contextlib.ExitStack() as all:
        for _ in range(80):
            c = all.enter_context(http1.Client(d.http))
            c.send_until_closed(data)
        until(lambda: d.status()["limit_max_incoming_size"] >= 10)
        status = d.status()
        grown = resident(d) - before
        print(f"incoming_bytes {status['incoming_bytes']}, RSS {grown}")
        assert (TOTAL * 7 // 8 - 2 * MB < status["incoming_bytes"] <=
                TOTAL * 7 // 8)
        assert TOTAL / 2 < grown < TOTAL + SLACK
    until(lambda: d.status()["incoming_bytes"] < BODY)
    assert resident(d) - before < SLACK


def test_outgoing(make_daemon):
    """More for readers who do not read, each its own, than may wait."""
    d = make_daemon(max_outgoing_size=str(TOTAL), subscriber_buffer_size="1m",
                    subscriber_buffer_time="60s")
    pub = publisher(d, store_messages="off")
    pub.post("warm", b"x" * 100000)
    before = resident(d)
    with contextlib.ExitStack() as all:
        for n in range(100):
            all.enter_context(Stopped(d, f"r{n}"))
        d.wait_for(streams=100)
        most = 0
        for turn in range(12):
            for n in range(100):
                pub.post(f"r{n}", b"x" * 100000)
            most = max(most, resident(d) - before)
        status = d.status()
        print(f"outgoing_bytes {status['outgoing_bytes']}, RSS at most {most}")
        assert status["close_behind_all"] > 0
        assert TOTAL / 2 < status["outgoing_bytes"] <= TOTAL
        assert TOTAL / 2 < most < TOTAL + SLACK
    d.wait_for(outgoing_bytes=0)


def test_memory_store(make_daemon):
    """A database in memory, up to its bound."""
    d = make_daemon(database="memory", max_database_size=str(TOTAL),
                    push_stream_max_messages_stored_per_channel=100000)
    pub = publisher(d)
    pub.post("warm", b"x" * 1000)
    before = resident(d)
    n = 0
    with d.connect() as c:
        answer = None
        while answer is None or answer.status == 200:
            assert (n := n + 1) < 100000
            body = b"x" * 10000
            c.send(wire.fastcgi(pub.parameters(
                "POST", f"c{n % 50}", CONTENT_LENGTH=str(len(body))), body))
            answer = c.answer()
    grown = resident(d) - before
    print(f"{n} messages, RSS {grown}")
    assert answer.status == 507
    assert TOTAL * 0.9 < grown < TOTAL + SLACK

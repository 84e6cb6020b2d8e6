"""nginx-examples/ under a stock nginx."""

import time

import pytest

import cases
import conftest


@pytest.fixture(scope="module")
def front(certificate, daemon):
    server = conftest.nginx(certificate, "bitrix-0.4.0.conf",
                            [8893, 8894, 8895]).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def patient(front, daemon):
    """A poll that nobody ever answers; the other tests go on meanwhile."""
    ch = cases.new_channel()
    cases.publish(ch, b"old")
    position = cases.poll(ch + ".b1").position
    began = time.monotonic()
    return ch, cases.Poll(daemon, ch, position), began


@pytest.fixture(autouse=True)
def in_time(request, patient):
    """It begins to wait before the first test of this file."""


class TestBitrix(cases.Bitrix):
    def test_client_that_hangs_up(self, front, daemon):
        """nginx tells, and the daemon forgets it."""
        ch = cases.new_channel()
        cases.publish(ch, b"x")
        parked = daemon.status()["parked"]
        readers = [cases.Poll(daemon, ch) for _ in range(10)]
        for r in readers:
            r.connection.close()
        daemon.wait_for(parked=parked)

    def test_unavailable(self, front, daemon):
        """nginx's own error can be read by a page of another origin."""
        a = cases.ask("GET", 8893, "/holdfast-unavailable")
        assert a.status == 404


class TestPatience:
    def test_forty_seconds(self, patient):
        """Then a poll ends with 304, each field once, and a position from
        which nothing is missed."""
        ch, reader, began = patient
        a = reader.answer()
        assert 39 <= time.monotonic() - began <= 45
        assert (a.status, a.body) == (304, b"")
        cases.check_reader_headers(a)
        assert a.header("Etag") == "0"
        cases.publish(ch, b"new")
        assert cases.poll(ch, a.position).texts() == ["new"]


class TestRestart(cases.Restart):
    def test_nobody_there(self, front, daemon):
        """502 with the origin once, so that a page can read it."""
        daemon.stop()
        a = cases.poll(cases.new_channel())
        daemon.start()
        assert a.status == 502
        assert a.header("Access-Control-Allow-Origin") == "*"
        assert a.header("Retry-After") == "1"


class TestOtherFiles:
    """They listen on the same ports: the first server has to go."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def alone(cls, front):
        front.stop()
        yield
        front.start()

    def test_minimal(self, certificate, daemon):
        """Three lines, and the paths of the built-in layout."""
        server = conftest.nginx(certificate, "minimal.conf", [8893]).start()
        ch = cases.new_channel()
        path = "/bitrix/pub/?CHANNEL_ID=" + ch
        assert cases.ask("POST", 8893, path, b"one").status == 200
        a = cases.poll(ch + ".b1")
        cases.check_reader_headers(a)
        assert a.texts() == ["one"]
        reader = cases.Poll(daemon, ch)
        assert cases.ask("POST", 8893, path, b"two").status == 200
        assert reader.answer().texts() == ["two"]
        assert cases.ask("POST", 8893, path, b"x", connection=cases.connect(
            8893, conftest.OUTSIDE)).status == 403
        server.stop()

    def test_0_3_4(self, certificate, daemon):
        """nginx takes the file; the dialect is said to be missing."""
        server = conftest.nginx(certificate, "bitrix-0.3.4.conf",
                                [8893, 8894, 8895]).start()
        for method, port, path in [
                ("POST", 8895, "/bitrix/pub/?CHANNEL_ID=a"),
                ("GET", 8893, "/bitrix/sub?CHANNEL_ID=a"),
                ("GET", 8894, "/bitrix/sub?CHANNEL_ID=a")]:
            a = cases.ask(method, port, path, b"x")
            assert a.status == 501
            assert "0.3.4" in a.header("X-Nginx-PushStream-Explain")
        assert cases.ask("GET", 8893, "/").status == 403
        server.stop()

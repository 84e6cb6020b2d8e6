"""apache-examples/bitrix.conf under Apache 2.4."""

import pytest

import cases
import conftest


@pytest.fixture(scope="module")
def front(certificate, daemon):
    server = conftest.apache(certificate, "bitrix.conf").start()
    yield server
    server.stop()


class TestBitrix(cases.Bitrix):
    @pytest.mark.parametrize("port", [8893, 8894])
    def test_no_websocket(self, front, port):
        """Apache has no tunnel to a responder and says so: the client stays
        with long-polling."""
        assert cases.ask("GET", port, "/bitrix/subws/?x").status == 501


class TestRestart(cases.Restart):
    pass

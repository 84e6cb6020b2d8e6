"""caddy-examples/Caddyfile under Caddy 2."""

import pytest

import cases
from conftest import Example


@pytest.fixture(scope="module")
def example():
    return Example("caddy", "Caddyfile", [8893, 8894, 8895], 1)


class TestBitrix(cases.Bitrix):
    def test_client_that_hangs_up(self, front, daemon):
        """Caddy tells, and the daemon forgets it."""
        cases.check_hang_up(daemon)


class TestWebSocket(cases.WebSocket):
    pass


class TestRestart(cases.Restart):
    pass

"""lighttpd-examples/bitrix.conf under lighttpd 1.4."""

import pytest

import cases
from cases import wait_until
from conftest import Example


@pytest.fixture(scope="module")
def example():
    return Example("lighttpd", "bitrix.conf", [8893, 8894, 8895], 1)


class TestBitrix(cases.Bitrix):
    REFUSED = 403       # lighttpd has no other word


class TestWebSocket(cases.WebSocket):
    pass


def answers(port, path, **headers):
    return cases.ask("GET", port, path, headers=headers).status != 503


class TestRestart(cases.Restart):
    CUT = (500,)
    KILLS = 2           # see start()

    def start(self, daemon):
        """lighttpd looks once a second whether a server is back, for each of
        its locations."""
        daemon.start()
        wait_until(answers, 8895, "/bitrix/pub/")
        for port in 8893, 8894:
            wait_until(lambda: answers(port, "/bitrix/sub"))
            wait_until(lambda: answers(port, "/bitrix/subws/",
                                       Upgrade="websocket",
                                       Connection="Upgrade"))

"""apache-examples/ under Apache 2.4: FastCGI or SCGI, and HTTP for
WebSockets."""

import pytest

import cases
from conftest import Example

PORTS = [8893, 8894, 8895]


@pytest.fixture(scope="module", params=["bitrix.conf", "bitrix-scgi.conf"])
def example(request):
    return Example("apache", request.param, PORTS)


class TestBitrix(cases.Bitrix):
    pass


class TestWebSocket(cases.WebSocket):
    pass


class TestRestart(cases.Restart):
    # By FastCGI, and by SCGI.
    CUT = (503, 500)

"""apache-examples/bitrix.conf under Apache 2.4."""

import pytest

import cases
import conftest


@pytest.fixture(scope="module")
def front(certificate, daemon):
    server = conftest.apache(certificate).start()
    yield server
    server.stop()


class TestBitrix(cases.Bitrix):
    pass


class TestRestart(cases.Restart):
    pass

"""The helpers of Bitrix's tests say what Bitrix itself says: bytes that were
computed by its own code."""

import bitrix
import pytest
from bitrix import (BACKEND, CLIENT, SERVER_STATS, Outgoing, Stats, asking,
                    event, incoming, jwt, publishing, receiver, sign)

PRIVATE = "0123456789abcdef0123456789abcdef"
PUBLIC = "fedcba9876543210fedcba9876543210"
SHARED = "11112222333344445555666677778888"
MID = "17953749170000000000000001"


@pytest.mark.parametrize("text, signature", [
    (f"{PRIVATE}:{PUBLIC}", "8452476169565073d1816a2c2a7ce6aef15089ae"),
    (SHARED, "5f261bdf25b6747ae60dbcc9da7a96ebaf3a5c65"),
    ("public:" + PUBLIC, "9289d72e2236eeba38df9f19d140d57fd88fff55"),
    (PRIVATE, "c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5a5"),
    ('{"jsonrpc":"2.0","method":"getUsersLastSeen","params":'
     '{"userList":[1,2]}}', "08eec52dc4a7c270417a5d9dd9d34de9e11c4e6d"),
])
def test_signatures(text, signature):
    assert sign(text) == signature


REQUESTS = [
    (publishing(incoming([receiver(PRIVATE)], '{"a":1}', 86400, "im_hello")),
     "0a310a2f0a2d0a140a100123456789abcdef0123456789abcdef10011a077b2261223a31"
     "7d2080a3052a08696d5f68656c6c6f"),
    (publishing(incoming([receiver(PRIVATE)], '{"a":1}')),
     "0a230a210a1f0a140a100123456789abcdef0123456789abcdef10011a077b2261223a31"
     "7d"),
    (publishing(incoming([bitrix.to_public(PUBLIC)],
                         '{"module_id":"im","command":"cmd","params":{"x":1}}',
                         10)),
     "0a650a630a610a280a10fedcba9876543210fedcba98765432101a149289d72e2236eeba"
     "38df9f19d140d57fd88fff551a337b226d6f64756c655f6964223a22696d222c22636f6d"
     "6d616e64223a22636d64222c22706172616d73223a7b2278223a317d7d200a"),
    (asking(receiver(PRIVATE), receiver(SHARED)),
     "0a2e122c0a140a100123456789abcdef0123456789abcdef10010a140a10111122223333"
     "444455556666777788881001"),
    (SERVER_STATS, "0a021a00"),
]


@pytest.mark.parametrize("made, known", REQUESTS)
def test_requests(made, known):
    assert made.hex() == known


BACKENDS = Outgoing(MID, b'{"module_id":"im","command":"hello",'
                    b'"params":{"n":1},"extra":{}}', 86400, 1795374917,
                    BACKEND, "")
CLIENTS = Outgoing(MID[:-1] + "2", b'{"module_id":"im","command":"cmd",'
                   b'"params":{"x":1}}', 10, 1795374917, CLIENT, PUBLIC)


@pytest.mark.parametrize("known, out", [
    ("0a620a600a5e0a0d1795374917000000000000000112407b226d6f64756c655f696422"
     "3a22696d222c22636f6d6d616e64223a2268656c6c6f222c22706172616d73223a7b22"
     "6e223a317d2c226578747261223a7b7d7d1880a30525453f036b2a020802",
     BACKENDS),
    ("0a650a630a610a0d1795374917000000000000000212337b226d6f64756c655f696422"
     "3a22696d222c22636f6d6d616e64223a22636d64222c22706172616d73223a7b227822"
     "3a317d7d180a25453f036b2a1408011210fedcba9876543210fedcba9876543210",
     CLIENTS),
])
def test_responses(known, out):
    assert bitrix.messages(bytes.fromhex(known)) == [out]
    assert bitrix.message_bytes(out).hex() == known


def test_stats():
    known = bytes.fromhex(
        "0a3212300a160a100123456789abcdef0123456789abcdef100118010a160a10111"
        "1222233334444555566667777888810011800")
    assert bitrix.responses(known) == [
        ("stats", [Stats(PRIVATE, True, True), Stats(SHARED, True, False)])]


def test_tokens():
    """The example that everybody knows."""
    claims = {"sub": "1234567890", "name": "John Doe", "iat": 1516239022}
    header = {"alg": "HS256", "typ": "JWT"}
    assert jwt(claims, "your-256-bit-secret", header) == (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5"
        "MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c")


def test_events():
    """As version 4 wrote one, but for the tag, which was of no use."""
    text = b'{"module_id":"im","command":"hello"}'
    one = event(MID, text)
    assert one == (
        b'#!NGINXNMS!#{"id":1,"mid":"17953749170000000000000001",'
        b'"channel":"-","tag":"1","time":"Sun, 22 Nov 2026 19:15:17 GMT",'
        b'"text":{"module_id":"im","command":"hello"}}#!NGINXNME!#')
    assert bitrix.texts(one + one) == [text, text]
    assert bitrix.mids(one + one) == [MID, MID]
    with pytest.raises(AssertionError):
        bitrix.events(one + b"\r\n")

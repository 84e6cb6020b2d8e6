"""A queue server of version 5: JSON-RPC of the site and of browsers, tokens,
text pings.  Only what both of its clients rely on is looked at."""

import contextlib
import json
import time
from urllib.parse import quote

import pytest

import bitrix
from bitrix import (ANYONE, EXPIRED, EXPOSED, KEY, PLAIN, SHORT, Server,
                    base64url, call, check, compact, is_mid, jwt, mac, new_id,
                    public_mac, said, short, sign, signed, token)
from front import GATEWAYS, SINCE_EVER, polling, publisher
from ws import CLOSE, TEXT, close_payload, frame

HOST_ID = "h" * 32


@pytest.fixture(scope="module")
def shared_settings():
    return {**bitrix.KEYED, "bitrix_host_id": HOST_ID}


@pytest.fixture(params=GATEWAYS)
def srv(request, daemon):
    return Server(daemon, 5, request.param)


users = iter(range(1000, 10 ** 6))


def new_user():
    """A number that no test has used yet."""
    return next(users)


WRONG = (4010, "Wrong Channel Id.")
BODY = {"module_id": "im", "command": "hello",
        "params": {"n": 1, "t": "привет"}, "extra": {"server_time_unix": 1}}


def asked(text, **more):
    return bitrix.joined("token=" + text, jsonRpc="true", **more)


def by_user(user, *channels):
    return asked(token(user, channels), revision="19")


def publishing(body=BODY, id=None, expiry=86400, **to):
    return call("publish", {**to, "body": body, "expiry": expiry,
                            "type": "im_hello"}, id)


def publish(srv, body=BODY, **to):
    """By the site."""
    assert srv.rpc([publishing(body, **to)]) is not None


def requests(data):
    """What a client is told: an object, an array of them, or several of
    either, one to a line."""
    got = json.loads(data)
    got = got if isinstance(got, list) else [got]
    for one in got:
        assert one["jsonrpc"] == "2.0" and one["method"] == "incoming.message"
        assert is_mid(one["params"]["mid"])
        assert set(one["params"]["sender"]) >= {"type", "id"}
    return [one["params"] for one in got]


def heard(w):
    """The next text that is no ping."""
    while (data := w.text()) == b"ping":
        w.say(b"pong")
    return data


def received(w, n=1):
    got = []
    while len(got) < n:
        got += requests(heard(w))
    assert len(got) == n
    return got


def reply(w, id):
    """The answer to a call of the client, past what else comes."""
    while True:
        got = json.loads(heard(w))
        for one in got if isinstance(got, list) else [got]:
            if "method" not in one and one["id"] == id:
                assert one["jsonrpc"] == "2.0"
                assert ("result" in one) != ("error" in one), one
                return one


def failed(answer, code):
    assert "result" not in answer
    assert answer["jsonrpc"] == "2.0"
    assert answer["error"]["code"] == code
    assert isinstance(answer["error"]["message"], str)


# The site

def test_publish(srv):
    """To users and to channels, in one request; what came is what went."""
    a, b, channel = new_user(), new_user(), new_id()
    with srv.socket(by_user(a)) as wa, srv.socket(
            by_user(b, channel)) as wb, srv.socket(
            asked(token(None, [channel]))) as guest:
        publish(srv, userList=[a], channelList=[channel])
        got = received(wa) + received(wb) + received(guest)
        assert [m["body"] for m in got] == [BODY] * 3
        assert len({m["mid"] for m in got}) == 1
        assert abs(int(got[0]["mid"][:10]) - time.time()) < 60
        assert got[0]["sender"]["type"] == 2
        publish(srv, userList=[b])
        assert received(wb)[0]["mid"] > got[0]["mid"]


def test_recorded_request(srv):
    """As PHP sent it, with its signature."""
    body = ('[{"jsonrpc":"2.0","method":"publish","params":{"channelList":'
            '["a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"],"userList":[1,2],"body":'
            '{"module_id":"im","command":"hello","params":{"n":1,"t":"привет"}'
            ',"extra":{"server_time_unix":1}},"expiry":86400,'
            '"type":"im_hello"}}]').encode()
    query = ("hostId=" + HOST_ID +
             "&signature=7e2b99a8d01ef64b5286a88201d7dbd14502a2f4")
    with srv.socket(by_user(2)) as w:
        answer = srv.ask(
            "api", "POST", query, body,
            CONTENT_TYPE="application/x-www-form-urlencoded")
        assert answer.status == 200 and answer.body
        json.loads(answer.body)
        (m,) = received(w)
        assert m["body"] == BODY


def test_once_to_each(srv):
    """Who is named as a user, by a private and by a shared channel gets it
    once."""
    user, a, b = new_user(), new_id(), new_id()
    with srv.socket(by_user(user, a, b)) as w:
        publish(srv, userList=[user, user], channelList=[a, b])
        publish(srv, {**BODY, "command": "last"}, channelList=[b])
        got = received(w, 2)
    assert [m["body"]["command"] for m in got] == ["hello", "last"]


def test_user_params_and_dictionary(srv):
    """Each user gets his own, and nobody another's; the client puts them
    into the message's params."""
    a, b, c = new_user(), new_user(), new_user()
    params = {str(a): {"secret": "of a"}, str(b): {"secret": "of b"}}

    def merged(m):
        out = dict(m["body"]["params"])
        out.update(m.get("user_params") or {})
        out.update(m.get("dictionary") or {})
        return out

    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(srv.socket(by_user(u)))
                   for u in (a, b, c)]
        srv.rpc([call("publish", {
            "userList": [a, b, c], "body": BODY, "user_params": params,
            "dictionary": {"word": "слово"}, "expiry": 10})])
        got = [heard(w) for w in sockets]
    for data, secret in zip(got, [{"secret": "of a"}, {"secret": "of b"},
                                  {}]):
        (m,) = requests(data)
        assert merged(m) == {**BODY["params"], **secret, "word": "слово"}
    assert b"of b" not in got[0] and b"of a" not in got[1]
    assert b"of a" not in got[2] and b"of b" not in got[2]


def test_the_body_is_carried_on_as_it_came(srv):
    """Numbers, escapes and the order of members are nobody's business."""
    user = new_user()
    inner = (rb'{"module_id":"im","command":"x","params":{"big":'
             rb'9223372036854775807,"f":1.10e+05,"s":"a\/b\u0041","z":1,"a":2}'
             rb'}')
    data = (b'[{"jsonrpc":"2.0","method":"publish","params":{"userList":['
            b'%d],"body":%s,"expiry":10}}]' % (user, inner))
    with srv.socket(by_user(user)) as w:
        srv.rpc(data)
        assert inner in heard(w)


def last_seen(srv, *ids):
    got = srv.rpc(call("getUsersLastSeen", {"userList": list(ids)}, 1))
    assert got["jsonrpc"] == "2.0" and "error" not in got
    # PHP's empty map is an empty list.
    return dict(got["result"] or {})


def test_last_seen(srv):
    """0: online.  Users who were never seen are left out."""
    a, b = new_user(), new_user()
    assert last_seen(srv, a, b) == {}
    with srv.socket(by_user(a)):
        assert last_seen(srv, a, b) == {str(a): 0}
    assert last_seen(srv, a, b)[str(a)] < 60
    got = srv.rpc(call("updateUsersLastSeen",
                       {str(b): int(time.time()) - 1000}))
    assert "result" in got and "error" not in got
    assert 1000 <= last_seen(srv, b)[str(b)] < 1060


@pytest.mark.parametrize("query", [
    {"signature": None}, {"signature": ""}, {"signature": "0" * 40},
    {"signature": sign("another body")}, {"signature": "x"},
    {"signature": "0" * 5000}, {"signature": "%00" * 20}])
def test_wrong_signature(srv, query):
    user = new_user()
    with srv.socket(by_user(user)) as w:
        answer = srv.ask_rpc([publishing(userList=[user])], **query)
        assert answer.status == 400
        assert answer.body == b"4026: Wrong request signature."
        answer = srv.ask_rpc([publishing(userList=[user])], "another key")
        assert answer.status == 400
        good = sign(compact([publishing(userList=[user])]))
        for wrong in good.upper(), good[:-1], good + "0", good + "00":
            answer = srv.ask_rpc([publishing(userList=[user])],
                                 signature=wrong)
            assert answer.status == 400
        w.settle()


def test_another_host(srv):
    answer = srv.ask_rpc([publishing(userList=[1])], hostId="x" * 32)
    assert answer.status == 400


@pytest.mark.parametrize("body, code", [
    (b"", -32700), (b"garbage", -32700), (b"{", -32700), (b"[", -32700),
    (b"\xff\xfe", -32700), (b"{}\0", -32700), (b'{"jsonrpc":"2.0"', -32700),
    (b"[" * 100000, -32700), (b'{"a":' * 100000, -32700),
    (b"[" * 500 + b"]" * 500, None),
    (b'{"jsonrpc":"2.0","jsonrpc":"2.0","method":"publish","params":{}}',
     None),
    (b"1", -32600), (b'"publish"', -32600), (b"null", -32600),
    (b"{}", -32600), (b'{"jsonrpc":"2.0"}', -32600),
    (b'{"jsonrpc":"2.0","method":1}', -32600),
    (b'{"jsonrpc":"2.0","method":"nonsense","params":{},"id":1}', -32601),
    (b'{"jsonrpc":"2.0","method":"publish","params":{},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"publish","params":[],"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"publish","params":"x","id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[1]},"id":1}',
     -32602),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":"1","body":'
     b'{}},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[-1],"body":'
     b'{}},"id":1}', None),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[1.5],"body":'
     b'{}},"id":1}', None),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"channelList":["x"],'
     b'"body":{}},"id":1}', None),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"channelList":["a\\u0000'
     + b"b" * 30 + b'"],"body":{}},"id":1}', None),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[1],"body":{}'
     b',"expiry":"soon"},"id":1}', None),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":'
     b'[99999999999999999999],"body":{}},"id":1}', None),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[1],"body":{}'
     b',"expiry":1e999},"id":1}', None),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[],'
     b'"channelList":null,"body":{}},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[1],'
     b'"body":{},"user\\u005fparams":{"1":{}}},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{},"id":1}',
     -32602),
    (b'{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":'
     b'[1,0]},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":'
     b'{"x":1},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":'
     b'{"1":-1},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":'
     b'[1],"id":1}', -32602),
], ids=short)
def test_wrong_requests(srv, body, code):
    """Signed well, but no good: an error, and which one where that is
    plain."""
    answer = srv.ask_rpc(body)
    assert answer.status in (200, 400), answer.raw
    got = json.loads(answer.body)
    got = got[0] if isinstance(got, list) else got
    failed(got, code or got["error"]["code"])


def test_a_batch_half_of_which_is_wrong(srv):
    """The other half is done."""
    user = new_user()
    with srv.socket(by_user(user)) as w:
        got = srv.rpc([call("nonsense", {}, 1),
                       publishing(userList=[user], id=2), 5])
        assert len(received(w)) == 1
    codes = {one.get("id"): one.get("error", {}).get("code") for one in got}
    assert codes == {1: -32601, 2: None, None: -32600}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods(srv, method):
    answer = srv.ask("api", method, "hostId=" + HOST_ID, b"[]")
    assert answer.status in (400, 404, 405)


# Tokens

NOW = int(time.time())
CHANNEL = "0123456789abcdef0123456789abcdef"
GOOD = {"iss": HOST_ID, "iat": NOW, "exp": NOW + 3600, "sub": "7"}
NONE = {"typ": "JWT", "alg": "none"}


def without(*names):
    return {n: v for n, v in GOOD.items() if n not in names}


def unsigned(header):
    head, body, _ = jwt(GOOD, header=header).split(".")
    return f"{head}.{body}."


def cut(text, n):
    head, body, signature = text.split(".")
    return f"{head}.{body}.{signature[:n]}"


def resigned(signature):
    text = jwt(GOOD).rpartition(".")[0]
    return f"{text}.{signature(text)}"


BAD_TOKENS = {
    "empty": "",
    "no token": "garbage",
    "two parts": "a.b",
    "dots": "..",
    "four parts": jwt(GOOD) + ".x",
    "another key": jwt(GOOD, "another key"),
    "changed": jwt(GOOD).replace(".", ".e", 1),
    "signature of another": jwt(GOOD).rpartition(".")[0] + "." +
    jwt({**GOOD, "sub": "8"}).rpartition(".")[2],
    "no signature": cut(jwt(GOOD), 0),
    "truncated": cut(jwt(GOOD), 42),
    "a byte": cut(jwt(GOOD), 2),
    "over-long": jwt(GOOD) + "AAAA",
    "hex": resigned(lambda t: mac(t, KEY, "sha256").hex()),
    "sha1": resigned(lambda t: base64url(mac(t))),
    "alg none": unsigned(NONE),
    "alg None": unsigned({"typ": "JWT", "alg": "None"}),
    "alg none, signed": jwt(GOOD, header=NONE),
    "alg RS256": jwt(GOOD, header={"typ": "JWT", "alg": "RS256"}),
    "alg HS512": jwt(GOOD, header={"typ": "JWT", "alg": "HS512"}),
    "alg hs256": jwt(GOOD, header={"typ": "JWT", "alg": "hs256"}),
    "alg empty": jwt(GOOD, header={"typ": "JWT", "alg": ""}),
    "alg number": jwt(GOOD, header={"typ": "JWT", "alg": 256}),
    "alg twice": jwt(GOOD, header=b'{"alg":"none","alg":"HS256"}'),
    "no alg": jwt(GOOD, header={"typ": "JWT"}),
    "header no object": jwt(GOOD, header=b'["HS256"]'),
    "expired": jwt({**GOOD, "exp": NOW - 3600}),
    "never expires": jwt(without("exp")),
    "exp 0": jwt({**GOOD, "exp": 0}),
    "exp text": jwt({**GOOD, "exp": str(NOW + 3600)}),
    "exp negative": jwt({**GOOD, "exp": -NOW}),
    "exp huge": jwt(compact(GOOD).replace(
        b'"exp":%d' % (NOW + 3600), b'"exp":' + b"9" * 400)),
    "future iat": jwt({**GOOD, "iat": NOW + 7200, "exp": NOW + 10000}),
    "future nbf": jwt({**GOOD, "nbf": NOW + 7200}),
    "wrong iss": jwt({**GOOD, "iss": "x" * 32}),
    "iss number": jwt({**GOOD, "iss": 5}),
    "no iss": jwt(without("iss")),
    "nobody": jwt(without("sub")),
    "sub word": jwt({**GOOD, "sub": "admin"}),
    "sub negative": jwt({**GOOD, "sub": "-7"}),
    "sub huge": jwt({**GOOD, "sub": "9" * 30}),
    "sub with NUL": jwt({**GOOD, "sub": "7\0"}),
    "chan wrong": jwt({**without("sub"), "chan": "x"}),
    "chan with NUL": jwt({**without("sub"), "chan": CHANNEL + "\0"}),
    "payload no JSON": jwt(b"garbage"),
    "payload no object": jwt(b"[]"),
    "payload deep": jwt(b'{"a":' * 500 + b"1" + b"}" * 500),
    "claims twice": jwt(compact(GOOD)[:-1] + b',"sub":"8"}'),
    "no base64": jwt(GOOD).replace(".", ".*", 1),
    "NUL": jwt(GOOD) + "%00",
    "8 KiB": jwt({**GOOD, "x": "y" * 8192}),
}


@pytest.mark.parametrize("why", BAD_TOKENS)
def test_refused_token(srv, why):
    bad = BAD_TOKENS[why]
    check(srv.poll(asked(bad)), 400, PLAIN, ANYONE, EXPOSED,
          body=said(*WRONG))
    with srv.socket(asked(bad)) as w:
        w.refused(*WRONG)


@pytest.mark.parametrize("given", [
    GOOD, {**GOOD, "iat": NOW + 20}, {**GOOD, "chan": CHANNEL},
    {**without("sub"), "chan": CHANNEL}, {**GOOD, "x": {"y": [1, 2]}},
    {**GOOD, "nbf": NOW}, {**GOOD, "sub": str(2 ** 53)}], ids=str)
def test_accepted_token(srv, given):
    with srv.socket(asked(jwt(given))) as w:
        w.say_json(call("ping", {}, 1))
        assert "result" in reply(w, 1)


def test_a_token_of_another_key_of_ours(make_daemon):
    """Both keys of a change are good."""
    d = make_daemon(signature_key=["new", "old"])
    for key in "new", "old":
        with Server(d, 5).socket(asked(jwt(GOOD, key))) as w:
            w.say_json(call("ping", {}, 1))
            assert "result" in reply(w, 1)
    with Server(d, 5).socket(asked(jwt(GOOD))) as w:
        w.refused(*WRONG)


LEEWAY = 60                 # seconds that clocks may differ


def short_lived(user):
    """A token that is good for two seconds more, and until when."""
    end = int(time.time()) + 2
    return asked(token(user, exp=end - LEEWAY)), end


def test_a_socket_ends_with_its_token(srv):
    """Not before, with what a new one would be told: the browser fetches
    another token for that."""
    user = new_user()
    query, end = short_lived(user)
    with srv.socket(query) as w:
        publish(srv, userList=[user])
        assert received(w)
        w.refused(*WRONG)
        assert end <= time.time() < end + 5
    with srv.socket(query) as w:
        w.refused(*WRONG)


def test_a_poll_ends_with_its_token(srv):
    query, end = short_lived(new_user())
    assert srv.poll(query).status == 304
    assert end <= time.time() < end + 5
    check(srv.poll(query), 400, PLAIN, ANYONE, EXPOSED, body=said(*WRONG))


# Long polls

def test_poll(srv):
    user = new_user()
    reader = srv.park(by_user(user))
    publish(srv, userList=[user])
    answer = reader.answer()
    assert answer.status == 200 and ANYONE in answer.headers
    (first,) = requests(answer.body)
    assert first["body"] == BODY
    publish(srv, userList=[user])
    publish(srv, userList=[user])
    again = srv.poll(asked(token(user), mid=first["mid"]))
    mids = [m["mid"] for m in requests(again.body)]
    assert len(mids) == 2 and first["mid"] < mids[0] < mids[1]


def test_timeout(srv):
    user = new_user()
    short = srv.but(**SHORT)
    answer = short.poll(by_user(user))
    mid = answer.header("Last-Message-Id")
    check(answer, 304, PLAIN, ANYONE, EXPOSED, EXPIRED,
          ("Last-Message-Id", mid), body=b"")
    assert is_mid(mid)
    publish(srv, userList=[user])
    (got,) = requests(short.poll(asked(token(user), mid=mid)).body)
    assert got["mid"] > mid


def test_channel_ids_instead_of_a_token(srv):
    """Of a client that was given no token."""
    id = new_id()
    with srv.socket("CHANNEL_ID=" + signed(id) + "&jsonRpc=true") as w:
        publish(srv, channelList=[id])
        assert received(w)[0]["body"] == BODY
    with srv.socket("CHANNEL_ID=" + id + "&jsonRpc=true") as w:
        w.refused(*WRONG)
    with srv.socket("jsonRpc=true") as w:
        w.refused(*WRONG)


def test_users_are_no_channels(srv):
    """A user's number is not another's channel, nor a channel's id a
    user's."""
    user = new_user()
    id = "%032d" % user
    with srv.socket(by_user(user)) as w, srv.socket(
            asked(token(None, [id]))) as c:
        publish(srv, channelList=[id])
        assert received(c)
        publish(srv, {**BODY, "command": "mine"}, userList=[user])
        assert received(w)[0]["body"]["command"] == "mine"


@pytest.mark.parametrize("compat", ["0.3.4", "0.4.0", "0.6.0"])
def test_what_only_a_token_opens(srv, compat):
    """A user's number can be guessed and a public id is known, but no
    endpoint of the module reads or writes what is sent to them."""
    user, public = new_user(), new_id()
    names = [f"user/{user}", f"public/{public}", f"user:{user}",
             f"public:{public}", str(user), public]
    poll = polling(srv.daemon, srv.gateway, compat=compat)
    pub = publisher(srv.daemon, srv.gateway, compat=compat)
    with srv.socket(by_user(user)) as w, srv.socket(
            asked(token(None, [public]))) as guest:
        publish(srv, userList=[user])
        Server(srv.daemon, 4, srv.gateway).publish_binary(
            bitrix.incoming([bitrix.receiver(public, False)], compact(BODY),
                            86400))
        first = received(w)[0]
        assert received(guest)[0]["body"] == first["body"] == BODY
        for name in names:
            for path in name, quote(name, safe=""):
                assert b"hello" not in poll.get(path, **SINCE_EVER).body
                pub.ask("POST", path, b'{"forged":1}')
        publish(srv, {**BODY, "command": "last"}, userList=[user])
        last = received(w)[0]
        assert last["body"]["command"] == "last"
        assert last["mid"] > first["mid"]


# WebSocket

@pytest.mark.parametrize("delay", [{}, {"bitrix_frame_delay": "300ms"}])
def test_pings(srv, delay):
    """Text, every ten seconds unless it is said otherwise."""
    user = new_user()
    location = srv.but(ping_message_interval="150ms").location("sub")
    location.more.update(delay)
    with bitrix.Socket(location, by_user(user)) as w:
        for _ in range(4):
            assert w.text() == b"ping"
            w.say(b"pong")
        publish(srv, userList=[user])
        assert received(w)


def test_what_else_clients_say(srv):
    """Acknowledgements in both forms, and nonsense, which is an error and no
    more."""
    user = new_user()
    with srv.socket(by_user(user)) as w:
        publish(srv, userList=[user])
        mid = received(w)[0]["mid"]
        w.say(b"pong")
        w.say(b"mack:" + mid.encode())
        w.say(b"mack:garbage")
        w.say_json({"jsonrpc": "2.0", "id": 7, "result": {}})
        w.say_json({"jsonrpc": "2.0", "id": 8, "error": {"code": 1,
                                                         "message": "x"}})
        w.say_json(call("ping", {}))    # wants no answer
        w.say_json(call("ping", {}, 1))
        assert "result" in reply(w, 1)


@pytest.mark.parametrize("text, code", [
    (b"garbage", -32700), (b"{", -32700), (b"[" * 100000, -32700),
    (b"\xff", None), (b"1", -32600), (b'{"id":1}', -32600),
    (b'{"jsonrpc":"2.0","method":"x","params":{},"id":1}', -32601),
    (b'{"jsonrpc":"2.0","method":"publish","params":{},"id":1}', -32602),
    (b'{"jsonrpc":"2.0","method":"publish","params":{"userList":[1],"body":{}'
     b',"expiry":1e999},"id":1}', None),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","params":{}}', None),
    (b'{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"1":1},'
     b'"id":1}', None),                 # the site's only
], ids=short)
def test_wrong_calls(srv, text, code):
    """An error, or a close: never the end of the daemon, nor silence."""
    with srv.socket(by_user(new_user())) as w:
        w.say(text)
        op, data = w.frame()
        if op == CLOSE:
            assert code is None
            return
        got = json.loads(data)
        failed(got, code or got["error"]["code"])
        w.say_json(call("ping", {}, 5))
        assert "result" in reply(w, 5)


def test_a_client_publishes(srv):
    """To users, with his own number as the sender, whatever he says."""
    a, b = new_user(), new_user()
    with srv.socket(by_user(a)) as wa, srv.socket(by_user(b)) as wb:
        body = {"module_id": "im", "command": "cmd", "params": {"x": 1}}
        wa.say_json(call("publish", {
            "userList": [b], "body": body, "expiry": 10,
            "sender": {"type": 2, "id": 0}}, 1))
        assert "result" in reply(wa, 1)
        (m,) = received(wb)
        assert m["body"] == body
        assert m["sender"]["type"] == 1
        assert str(m["sender"]["id"]) == str(a)


def test_a_batch(srv):
    """As the client sends several messages."""
    a, b = new_user(), new_user()
    with srv.socket(by_user(a)) as wa, srv.socket(by_user(b)) as wb:
        wa.say_json([publishing({"n": n}, n, 10, userList=[b])
                     for n in (1, 2, 3)])
        got = json.loads(heard(wa))
        assert [one["id"] for one in got] == [1, 2, 3]
        assert all("result" in one and "error" not in one for one in got)
        assert [m["body"]["n"] for m in received(wb, 3)] == [1, 2, 3]


def test_a_client_publishes_much(make_daemon):
    """He waits for the store, and each of his calls is answered."""
    d = make_daemon(store_queue_size="200k", **bitrix.KEYED)
    srv = Server(d, 5, "scgi")
    with srv.socket(by_user(new_user())) as w:
        w.send([frame(TEXT, bitrix.compact(
            publishing({"n": n}, n, 60, userList=[new_user()])))
            for n in range(1000)])
        for n in range(1000):
            assert "result" in reply(w, n)
    assert d.status()["store_queue_full"] == 0


def test_half_a_call(make_daemon):
    d = make_daemon(request_timeout="300ms", **bitrix.KEYED)
    with Server(d, 5).socket(by_user(new_user())) as w:
        w.send(frame(TEXT, b"{")[:-1])
        assert w.frame() == (CLOSE, close_payload(1008))


def test_a_client_publishes_to_public_ids(srv):
    """Only with the site's signature of them."""
    public, private = new_id(), new_id()
    with srv.socket(by_user(new_user())) as w, srv.socket(
            asked(token(None, [private, public]))) as guest:
        def to(*channels):
            w.say_json(publishing({"n": 1}, 1, 10, channelList=channels))
            return reply(w, 1)

        good = public_mac(public).hex()
        for wrong in [{"publicId": public}, {"publicId": public,
                                             "signature": ""},
                      {"publicId": public, "signature": good.upper()},
                      {"publicId": public, "signature": good[:-1]},
                      {"publicId": public, "signature": sign(public)},
                      {"publicId": private, "signature": good},
                      {"publicId": "x", "signature": good}, public, private]:
            assert "error" in to(wrong), wrong
        assert "result" in to({"publicId": public, "signature": good})
        assert received(guest)[0]["body"] == {"n": 1}


def test_limits(srv):
    """A request is as long as one of version 4."""
    with srv.socket(by_user(new_user())) as w:
        ids = ["%032x" % n for n in range(101)]
        to = [{"publicId": id, "signature": public_mac(id).hex()}
              for id in ids]
        w.say_json(publishing(id=1, channelList=to))
        assert "error" in reply(w, 1)
        w.say_json(publishing(id=2, channelList=to[1:]))
        assert "result" in reply(w, 2)
    with srv.socket(by_user(new_user())) as w:
        with contextlib.suppress(ConnectionError):
            w.send(frame(TEXT, b" " * ((1 << 20) + 1)))
        op, data = w.frame()
        assert (op, data[:2]) == (CLOSE, close_payload(1009))


def test_list_channels(srv):
    with srv.socket(by_user(new_user(), new_id())) as w:
        w.say_json(call("listChannels", {}, 4))
        assert "result" in reply(w, 4)


def test_users_last_seen(srv):
    a, b = new_user(), new_user()
    with srv.socket(by_user(a)) as w:
        w.say_json(call("getUsersLastSeen", {"userList": [a, b]}, 3))
        assert reply(w, 3)["result"] == {str(a): 0}


@pytest.mark.parametrize("method, params", [
    ("getUsersLastSeen", {"userList": [0]}),
    ("getUsersLastSeen", {"userList": list(range(1, 102))}),
    ("subscribeStatusChange", {}), ("subscribeStatusChange", {"userId": -1}),
    ("unsubscribeStatusChange", {}),
    ("unsubscribeStatusChange", {"userId": "x"}),
], ids=short)
def test_wrong_questions(srv, method, params):
    with srv.socket(by_user(new_user())) as w:
        w.say_json(call(method, params, 1))
        assert reply(w, 1)["error"]["code"] == -32602


def test_a_guest_asks_for_nobody(srv):
    """Who has no number of a user writes under the public id of the token and
    is told of no users."""
    public = new_id()
    with srv.socket(asked(token(None, [new_id(), public]))) as w:
        for method, params in [
                ("publish", {"userList": [7], "body": {}}),
                ("getUsersLastSeen", {"userList": [7]}),
                ("subscribeStatusChange", {"userId": 7})]:
            w.say_json(call(method, params, 1))
            assert "error" in reply(w, 1), method


def test_status_changes(srv):
    """Of the users one asks for, until one does not any more."""
    me, friend, other = new_user(), new_user(), new_user()
    with srv.socket(by_user(me)) as w:
        w.say_json(call("subscribeStatusChange", {"userId": friend}, 6))
        assert "result" in reply(w, 6)
        with srv.socket(by_user(other)), srv.socket(by_user(friend)):
            (m,) = received(w)
        assert m["body"]["module_id"] == "online"
        assert m["body"]["command"] == "userStatusChange"
        params = m["body"]["params"]
        assert (int(params["user_id"]), bool(params["online"])) == (friend,
                                                                    True)
        w.say_json(call("unsubscribeStatusChange", {"userId": friend}, 7))
        assert "result" in reply(w, 7)


def test_status_change_behind_what_is_held(srv):
    """Its mid is the position of one who has all the messages before."""
    me, friend = new_user(), new_user()
    location = srv.location("sub")
    location.more["bitrix_frame_delay"] = "10s"
    with bitrix.Socket(location, by_user(me)) as w:
        w.say_json(call("subscribeStatusChange", {"userId": friend}, 1))
        assert "result" in reply(w, 1)
        publish(srv, userList=[me])
        first = received(w)
        for _ in range(2):
            publish(srv, userList=[me])
        with srv.socket(by_user(friend)):
            held = received(w, 2)
            (change,) = received(w)
    assert change["body"]["module_id"] == "online"
    assert [m["body"] for m in first + held] == [BODY] * 3
    assert first[0]["mid"] < held[0]["mid"] < held[1]["mid"]
    with srv.socket(by_user(me) + "&mid=" + change["mid"]) as w:
        publish(srv, {"n": 2}, userList=[me])
        assert received(w)[0]["body"] == {"n": 2}


def test_mids_of_status_changes(srv):
    """Clients drop a mid that they have seen, and come back with the last
    one: neither may cost them a message."""
    me, friend = new_user(), new_user()
    with srv.socket(by_user(me)) as w:
        w.say_json(call("subscribeStatusChange", {"userId": friend}, 1))
        assert reply(w, 1)["result"] is True
        publish(srv, {"module_id": "first"}, userList=[me])
        seen = received(w)
        with srv.socket(by_user(friend)):
            seen += received(w)
        seen += received(w)
    assert [m["body"]["params"]["online"] for m in seen[1:]] == [True, False]
    assert len({m["mid"] for m in seen}) == 3
    publish(srv, {"module_id": "second"}, userList=[me])
    with srv.socket(by_user(me) + "&mid=" + seen[-1]["mid"]) as w:
        (m,) = received(w)
        assert m["body"] == {"module_id": "second"}


def test_pings_where_frames_are_delayed(srv):
    location = srv.but(ping_message_interval="100ms").location("sub")
    location.more["bitrix_frame_delay"] = "300ms"
    with bitrix.Socket(location, by_user(new_user())) as w:
        for _ in range(3):
            assert w.text() == b"ping"
            w.say(b"pong")


@pytest.mark.parametrize("body, status", [
    (b"mack:17953749170000000000000009", 200), (b"mack", 400), (b"", 400)])
def test_receipts_of_who_polls(srv, body, status):
    """They come where version 4 takes what clients publish."""
    a = srv.ask("rest", "POST", asked(token(new_user())), body)
    assert a.status == status
    if status == 200:
        assert a.body == b""
        assert a.header("Access-Control-Allow-Origin") == "*"

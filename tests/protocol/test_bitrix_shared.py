"""Several sites behind one daemon: each has a licence with its client id, its
keys and hosts, and nothing of it is within another's reach."""

import signal
import subprocess

import pytest

import bitrix
import conftest
from bitrix import (ANYONE, FIRST, PLAIN, Person, Server, Stats, asking,
                    check, claims, incoming, jwt, public_mac, publishing,
                    receiver, said, short, sign)
from front import GATEWAYS, SINCE_EVER, polling, publisher
from ws import CLOSE, PING, PONG, WebSocket, close_payload, frame

A, B, OVER = "a1" * 16, "b2" * 16, "c3" * 20
KEYS = {A: "the key of a", B: "the key of b", OVER: "over"}
BODY = b'{"module_id":"im","command":"hello","params":{"n":1}}'
MORE = "".join(
    f'licence "{id}" {{\n\tsignature_key = {{"{KEYS[id]}"}}\n{more}}}\n'
    for id, more in [
        (A, '\thosts = {"a.example", "www.a.example"}\n'
            '\tvalid_until = "2999-01-31"\n'),
        (B, ""),
        (OVER, '\tvalid_until = "2001-01-31"\n')])

NO_CLIENT = (4036, "Wrong Client Id.")
REQUIRED = (4025, "Client Id is required.")
SIGNATURE = (4026, "Wrong request signature.")
CHANNEL = (4010, "Wrong Channel Id.")


@pytest.fixture(scope="module")
def licensed(tmp_path_factory):
    """A daemon with licences and no key of its own."""
    d = conftest.Daemon(tmp_path_factory.mktemp("hf"), more=MORE).start()
    yield d
    d.stop()


@pytest.fixture(params=GATEWAYS)
def srv(request, licensed):
    yield Server(licensed, 4, request.param)
    assert licensed.process.poll() is None, licensed.said()
    licensed.wait_for(connections=1, parked=0)
    licensed.check_sanitizer()


def asked(ids, client=A, **more):
    return bitrix.joined("", clientId=client, CHANNEL_ID=ids, **more)


def host(name):
    return {} if name is None else {"HTTP_HOST": name}


def post(srv, client, ids, body=BODY, key=None, where="a.example", **query):
    """The site's text publish, signed as its licence wants it."""
    query = {"clientId": client, "CHANNEL_ID": ids,
             "signature": sign(body, key or KEYS.get(client, "none")),
             **query}
    return srv.ask("pub", "POST", bitrix.joined("", **query), body,
                   HTTP_MESSAGE_EXPIRY="86400", **host(where))


def socket(srv, client, ids, where="a.example", **more):
    return srv.socket(asked(ids, client, **more), **host(where))


# Who is known

@pytest.mark.parametrize("client, where", [
    (None, "a.example"), ("", "a.example"), ("d" * 32, "a.example"),
    (A[:-1], "a.example"), (A + "0", "a.example"), ("x", "a.example"),
    (A + "%00", "a.example"), ("x" * 5000, "a.example"),
    (A, "b.example"), (A, "a.example.evil"), (A, "evil.a.example"),
    (A, None), (A, ""), (OVER, "a.example")], ids=short)
def test_refused_clients(srv, client, where):
    """Unknown, another site's, or over."""
    key = KEYS.get(client, KEYS[A])
    ids = Person().ids(4, key)
    answer = srv.poll(asked(ids, client), **host(where))
    assert (answer.status, answer.body) == (400, said(*NO_CLIENT))
    assert ANYONE in answer.headers
    with WebSocket(srv.location("sub"), None, head=False,
                   query=asked(ids, client), **host(where)) as w:
        assert reason(w) == said(*NO_CLIENT)


def reason(w):
    """Of a refusal before there is a WebSocket or right after."""
    if b"Status: 101" in w.head():
        op, data = w.frame()
        assert op == CLOSE
        return data[2:]
    return w.answer().raw


@pytest.mark.parametrize("where", ["a.example", "A.Example", "a.example:443",
                                   "www.a.example"])
@pytest.mark.parametrize("client", [A, A.upper()])
def test_accepted_clients(srv, client, where):
    with socket(srv, client, Person().ids(4, KEYS[A]), where) as w:
        w.settle()


def test_keys_are_not_shared(srv):
    for client, key in (A, KEYS[B]), (B, KEYS[A]), (A, bitrix.KEY):
        with socket(srv, client, Person().ids(4, key)) as w:
            w.refused(*CHANNEL)


# The site

def test_publish(srv):
    p = Person()
    with socket(srv, A, p.ids(4, KEYS[A])) as w:
        check(post(srv, A, f"{p.private}/{p.shared}"), 200, PLAIN, ANYONE,
              body=b"")
        assert bitrix.texts(w.text()) == [BODY]


def test_what_clients_have_signs_no_publish(srv):
    """Ids are signed with the key that signs bodies."""
    p, key = Person(), KEYS[A]
    with socket(srv, A, p.ids(4, key)) as w:
        for words in (p.shared, f"{p.private}:{p.public}",
                      "public:" + p.public, jwt(claims(7), key)):
            check(post(srv, A, p.shared, words.encode()), 400, PLAIN, ANYONE,
                  body=said(*SIGNATURE))
        post(srv, A, p.shared)
        assert bitrix.texts(w.text()) == [BODY]


def test_refused_publishes(srv):
    """Nothing of them is heard."""
    p = Person()
    with socket(srv, A, p.ids(4, KEYS[A])) as w:
        for client, more, refusal in [
                (None, {}, REQUIRED), ("", {}, REQUIRED),
                ("d" * 32, {"key": KEYS[A]}, NO_CLIENT),
                (A, {"where": "b.example"}, NO_CLIENT),
                (OVER, {}, NO_CLIENT),
                (A, {"signature": None}, SIGNATURE),
                (A, {"signature": ""}, SIGNATURE),
                (A, {"signature": "0" * 40}, SIGNATURE),
                (A, {"signature": sign(BODY, KEYS[A]).upper()}, SIGNATURE),
                (A, {"signature": sign(BODY, KEYS[A])[:-1]}, SIGNATURE),
                (A, {"signature": sign(BODY, KEYS[A]) + "00"}, SIGNATURE),
                (A, {"key": KEYS[B]}, SIGNATURE),
                (A, {"signature": sign(p.private, KEYS[A])}, SIGNATURE)]:
            check(post(srv, client, p.private, **more), 400, PLAIN, ANYONE,
                  body=said(*refusal))
        assert post(srv, A, p.private, b"last").status == 200
        assert bitrix.texts(w.text()) == [b"last"]


def test_protobuf(srv):
    """The signature is of the whole body."""
    p = Person()
    data = publishing(incoming([receiver(p.private)], BODY, 86400))

    def send(data, signature):
        return srv.ask("pub", "POST", bitrix.joined(
            "clientId=" + A, binaryMode="true", signature=signature), data,
            **host("a.example"))

    with socket(srv, A, p.ids(4, KEYS[A]), binaryMode="true") as w:
        check(send(data + bitrix.field(9, 1), sign(data, KEYS[A])), 400,
              PLAIN, ANYONE, body=said(*SIGNATURE))
        check(send(data, sign(data, KEYS[A])), 200, PLAIN, ANYONE, body=b"")
        (m,) = bitrix.messages(w.binary())
        assert m.body == BODY
        stats = asking(receiver(p.private), receiver(p.shared))
        answer = send(stats, sign(stats, KEYS[A]))
        assert bitrix.responses(answer.body) == [("stats", [
            Stats(p.private, True, True), Stats(p.shared, True, False)])]


def test_online(srv):
    """A GET is signed by its list of channels."""
    p = Person()
    ids = f"{p.private}/{p.shared}"

    def get(client, signature):
        return srv.ask("pub", "GET", asked(ids, client, signature=signature),
                       **host("a.example"))

    with socket(srv, A, p.ids(4, KEYS[A])):
        answer = get(A, sign(ids, KEYS[A]))
        check(answer, 200, PLAIN, ANYONE,
              body=b'{"infos":[{"channel":"%s","subscribers":1}]}'
              % p.private.encode())
        assert get(B, sign(ids, KEYS[B])).body == b'{"infos":[]}'
    for signature in None, sign("", KEYS[A]), sign(ids, KEYS[B]):
        answer = get(A, signature)
        assert (answer.status, answer.body) == (400, said(*SIGNATURE))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_licence_that_a_reload_ends(make_daemon, version):
    """Who is connected under it goes with the next ping, others stay."""
    def site(client, until):
        return (f'licence "{client}" {{\n'
                f'signature_key = {{"{KEYS[client]}"}}\n'
                f'valid_until = "{until}"\n}}\n')

    d = make_daemon(more=site(A, "2999-01-31") + site(B, "2999-01-31"))
    srv = Server(d, version, ping_message_interval="100ms")
    p = Person()
    with socket(srv, A, p.ids(version, KEYS[A])) as a, socket(
            srv, B, p.ids(version, KEYS[B])) as b:
        d.conf.write_text(conftest.conf_text(d.settings) +
                          site(A, "2001-01-31") + site(B, "2999-01-31"))
        d.process.send_signal(signal.SIGHUP)
        op, data = a.frame()
        while op != CLOSE:
            a.send(frame(PONG, data) if op == PING else b"")
            op, data = a.frame()
        assert data == close_payload(4036, said(*NO_CLIENT))
        assert b.frame()[0] != CLOSE


# One from the other

def test_the_same_ids_are_others(srv):
    """Private, shared and public; live, later, and who is online."""
    p = Person()
    with socket(srv, A, p.ids(4, KEYS[A]), binaryMode="true") as a, socket(
            srv, B, p.ids(4, KEYS[B]), binaryMode="true") as b:
        for n, client in enumerate([A, B, A, B]):
            body = b"%d of %s" % (n, client.encode())
            assert post(srv, client, f"{p.private}/{p.shared}",
                        body).status == 200
            (m,) = bitrix.messages((a if client == A else b).binary())
            assert m.body == body
        data = publishing(incoming([receiver(
            p.public, False, public_mac(p.public, KEYS[A]))], b'"to public"'))
        a.say_binary(data)
        assert bitrix.messages(a.binary())[0].body == b'"to public"'
        b.say_binary(data)
        b.refused(4021, "Channel has an invalid signature.")
    for client in A, B:
        answer = srv.poll(asked(p.ids(4, KEYS[client]), client, mid=FIRST),
                          **host("a.example"))
        for text in bitrix.texts(answer.body):
            assert text.endswith(client.encode())
        assert len(bitrix.texts(answer.body)) == 2


@pytest.mark.parametrize("compat", ["0.3.4", "0.4.0", "0.6.0"])
@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_no_endpoint_of_the_module_reaches_them(srv, compat, slash):
    """A path's slash divides ids, and where it does not it is refused."""
    p = Person()
    path = f"{A}{slash}{p.private}"
    pub = publisher(srv.daemon, srv.gateway, compat=compat)
    with socket(srv, A, p.ids(4, KEYS[A])) as w:
        pub.ask("POST", path, b'"forged"')
        pub.ask("DELETE", path)
        assert post(srv, A, p.private, b'"true"').status == 200
        assert bitrix.texts(w.text()) == [b'"true"']
    assert b"true" not in polling(srv.daemon, srv.gateway, compat=compat).get(
        path, **SINCE_EVER).body


def test_the_same_users_are_others(srv):
    rpc = Server(srv.daemon, 5, srv.gateway)

    def of(client):
        return rpc.socket(bitrix.joined(
            "token=" + jwt(claims(7), KEYS[client]), jsonRpc="true",
            clientId=client), **host("a.example"))

    def publish(client, word):
        body = bitrix.compact([bitrix.call("publish", {
            "userList": [7], "body": {"module_id": word}, "expiry": 10})])
        answer = rpc.ask("api", "POST", bitrix.joined(
            "", clientId=client, hostId="h" * 32,
            signature=sign(body, KEYS[client])), body, **host("a.example"))
        assert answer.status == 200, answer.raw

    with of(A) as a, of(B) as b:
        publish(A, "for a")
        publish(B, "for b")
        assert b'"for a"' in a.text()
        assert b'"for b"' in b.text()
    with rpc.socket(bitrix.joined("token=" + jwt(claims(7), KEYS[A]),
                                  clientId=B), **host("b.example")) as w:
        w.refused(*CHANNEL)


# A site of one's own beside them

def test_personal_site(make_daemon):
    """It has a key, so who names no client is its own; but where others can
    reach the publisher's route it signs as they do."""
    d = make_daemon(more=MORE, **bitrix.KEYED)
    srv, p = Server(d, 4), Person()
    with srv.socket("CHANNEL_ID=" + p.ids()) as own, socket(
            srv, B, p.ids(4, KEYS[B])) as other:
        query = "CHANNEL_ID=" + p.private
        check(srv.ask("pub", "POST", query, b"forged",
                      HTTP_MESSAGE_EXPIRY="86400"),
              400, PLAIN, ANYONE, body=said(*SIGNATURE))
        check(srv.ask("pub", "POST",
                      query + "&signature=" + sign(b"own"), b"own",
                      HTTP_MESSAGE_EXPIRY="86400"),
              200, PLAIN, ANYONE, body=b"")
        assert bitrix.texts(own.text()) == [b"own"]
        assert post(srv, B, p.private, b"other").status == 200
        assert bitrix.texts(other.text()) == [b"other"]
    with srv.socket("CHANNEL_ID=" + p.ids(4, KEYS[B])) as w:
        w.refused(*CHANNEL)


@pytest.mark.parametrize("more", [
    'licence "short" { signature_key = {"x"} }',
    f'licence "{"x" * 65}" {{ signature_key = {{"x"}} }}',
    f'licence "{A}" {{ signature_key = {{""}} }}',
    f'licence "{A}" {{ signature_key = {{"x"}} valid_until = "soon" }}',
    f'licence "{A}" {{ signature_key = {{"x"}} nonsense = 1 }}',
    f'licence "{A}" {{ signature_key = {{"x"}} }}\n' * 2], ids=short)
def test_wrong_licences(make_daemon, more):
    d = make_daemon(start=False, more=more)
    done = subprocess.run([conftest.HOLDFASTD, "-t", "-c", str(d.conf)],
                          capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr

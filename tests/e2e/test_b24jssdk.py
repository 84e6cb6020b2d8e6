"""The vendor's own client, as it is published, in a real browser in front of
a stock nginx with the shipped files: every acknowledged message arrives once
and in order, whatever becomes of the daemon."""

import base64
import contextlib
import copy
import datetime
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile

import pytest

import bitrix
import cases
import conftest
import walk
from bitrix import Person

PACKAGE = "@bitrix24/b24jssdk@2.2.0"
SHA512 = ("zqN7y8r2D3g0dAGKq3+0zOEsRtz2MbjoZR70XrTXKKN5l0OUmPK6jy2BEn6TXiqf"
          "5ApsvYrcz9nEn2t2jDR4cw==")
BUNDLE = "package/dist/umd/index.min.js"

TLS_PORT = 8894
PORTS = [8080, 8893, TLS_PORT, 8895]
# The site's own server, with the pages; the clients' other one is 8893.
SITE = """
    server {
        listen 127.0.0.1:8080;
        include bx/conf/errors.conf;
        include bx/conf/push-%s.conf;

        location ^~ /pages/ {
            root .;
            types { text/html html; text/javascript js; }
        }
    }
"""
# The names that the shipped files give to versions.
SERVERS = {3: "1.0", 4: "2.0", 5: "3.0"}
EXPIRY = "86400"
WHOLE_S = 40                    # a poll's time


def folder():
    """For what is fetched: beside the programs."""
    f = pathlib.Path(os.environ.get("builddir", ".")) / "tests" / "e2e"
    f.mkdir(parents=True, exist_ok=True)
    return f.resolve()


def fetch(into):
    """With the machine's network, that of whoever started us."""
    outside = ["nsenter", f"--target={os.getppid()}", "--net", "--mount"]
    done = subprocess.run(
        [*outside, "npm", "pack", "--silent", "--pack-destination", into,
         "--cache", into / "npm-cache", PACKAGE],
        cwd=into, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return into / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def bundle(namespaces):
    """The client as one script."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm(1)")
    script = folder() / "b24jssdk.js"
    if not script.exists():
        archive = fetch(folder())
        digest = hashlib.sha512(archive.read_bytes()).digest()
        assert base64.b64encode(digest).decode() == SHA512
        with tarfile.open(archive) as tar:
            script.write_bytes(tar.extractfile(BUNDLE).read())
    return script


@pytest.fixture(scope="module")
def daemon(namespaces, tmp_path_factory):
    """Polls are short, so that clients see their ends; pings are frequent."""
    d = conftest.installed(
        tmp_path_factory.mktemp("hf"), **bitrix.KEYED,
        push_stream_longpolling_connection_ttl="500ms",
        push_stream_ping_message_interval="1s")
    yield d
    d.stop()


def reload(d, settings):
    before = d.said().count(" reloaded")
    d.conf.write_text(conftest.protocol.conf_text(settings))
    d.process.send_signal(signal.SIGHUP)
    conftest.wait_until(lambda: d.said().count(" reloaded") > before)


@contextlib.contextmanager
def whole_polls(d):
    """As long as without a setting."""
    reload(d, {name: value for name, value in d.settings.items()
               if name != "push_stream_longpolling_connection_ttl"})
    yield
    reload(d, d.settings)


@pytest.fixture(scope="class")
def front(request, certificate, daemon, bundle):
    name = SERVERS[request.cls.version]
    server = conftest.nginx(
        certificate, f"b24jssdk-{name}", SITE % name +
        conftest.include(f"bitrix-push-{name}.conf"), PORTS)
    pages = server.folder / "pages"
    shutil.copytree(conftest.TESTS / "e2e" / "pages", pages)
    shutil.copy(bundle, pages)
    server.start()
    yield server
    server.stop()


# The site

users = itertools.count(1)


def lifetime():
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"start": now.isoformat(),
            "end": (now + datetime.timedelta(hours=12)).isoformat()}


class User(Person):
    """Somebody with a number, too."""

    def __init__(self):
        super().__init__()
        self.user = next(users)

    def channels(self, version, key):
        own = (self.private if version == 3 else
               f"{self.private}:{self.public}")
        return {"private": {"id": bitrix.signed(own, key),
                            "public_id": self.public_channel, **lifetime(),
                            "type": "private"},
                "shared": {"id": bitrix.signed(self.shared, key),
                           **lifetime(), "type": "shared"}}

    @property
    def public_signature(self):
        return bitrix.public_mac(self.public).hex()

    @property
    def public_channel(self):
        return f"{self.public}.{self.public_signature}"

    @property
    def public_object(self):
        return {"publicId": self.public, "signature": self.public_signature}

    @property
    def descriptor(self):
        return {"user_id": self.user, "public_id": self.public,
                "signature": self.public_signature, **lifetime()}


def config(me, version, port, websocket=True, friends=(), key=bitrix.KEY,
           token=None):
    """What the site answers to pull.config.get."""
    tls = "s" * (port == TLS_PORT)
    http, ws = (f"{scheme}{tls}://127.0.0.1:{port}"
                for scheme in ("http", "ws"))
    if version == 5 and token is None:
        token = bitrix.jwt(bitrix.claims(me.user, [me.shared]), key)
    return {
        "server": {
            "version": version, "server_enabled": True, "mode": "personal",
            "hostname": "", "config_timestamp": 0,
            "long_polling": http + "/bitrix/sub/",
            "websocket_enabled": websocket,
            "websocket": ws + "/bitrix/subws/",
            "publish_enabled": version > 3,
            "publish": http + "/bitrix/rest/"},
        "api": {"revision_web": 19, "revision_mobile": 3},
        "channels": me.channels(version, key),
        "publicChannels": {f.user: f.descriptor for f in friends},
        "jwt": token, "exp": 0, "serverTime": lifetime()["start"]}


def body(n):
    return {"module_id": "test", "command": "number", "params": {"n": n},
            "extra": {"server_name": "127.0.0.1"}}


def post(path, data):
    """By the site: the answer."""
    return cases.ask("POST", 8895, path, data, {
        "Content-Type": "application/x-www-form-urlencoded",
        "Connection": "close", "Message-Expiry": EXPIRY})


def publish_text(person, n):
    """To both of the person's channels at once."""
    ids = f"{person.private}/{person.shared}"
    a = post("/bitrix/pub/?CHANNEL_ID=" + ids, bitrix.compact(body(n)))
    return a.status == 200


def send(data):
    return post("/bitrix/pub/?binaryMode=true&hostname=", data)


def publish_binary(person, n):
    to = [bitrix.receiver(i) for i in (person.private, person.shared)]
    return send(bitrix.publishing(bitrix.incoming(
        to, bitrix.compact(body(n)), int(EXPIRY), "test"))).status == 200


def api(value):
    data = bitrix.compact(value)
    return post(f"/bitrix/api/?hostId={'h' * 32}"
                f"&signature={bitrix.sign(data)}", data)


def publish_json(person, n):
    """To the user and to the shared channel at once."""
    a = api([bitrix.call("publish", {
        "userList": [person.user], "channelList": [person.shared],
        "body": body(n), "expiry": int(EXPIRY), "type": "test"})])
    if a.status != 200:
        return False
    one, = json.loads(a.body)
    assert "error" not in one, one
    return True


def ask_site(method, params):
    a = api(bitrix.call(method, params))
    assert a.status == 200, a.body
    answer = json.loads(a.body)
    assert answer["jsonrpc"] == "2.0" and not answer.get("error"), answer
    return answer["result"]


# The page

# While the daemon is away, and when it comes and goes.
EXPECTED = ("Pull: WebSocket connection error",
            "Pull: Long polling connection error",
            "scheduleReconnect", "Could not connect")


class Client(walk.Page):
    """Of a user, in the browser."""

    def __init__(self, browser, me, settings):
        super().__init__(browser, "b24jssdk.html")
        self.begin(me, settings)

    def begin(self, me, settings):
        self.user = me.user
        self.browser.execute_script(
            "begin(arguments[0], arguments[1])", self.user,
            {"pull.config.get": settings})

    def value(self, script, *args):
        return self.browser.execute_script(
            f"with (people[{self.user}]) return {script}", *args)

    def as_well(self, me, settings):
        """Another client in the same page."""
        other = copy.copy(self)
        other.begin(me, settings)
        return other

    def wait_for(self, script):
        try:
            super().wait_for(script)
        except AssertionError as e:
            raise AssertionError(self.value("complaints")) from e

    def connected(self):
        self.wait_for("client.isConnected()")
        return self

    def call(self, script, *args):
        """What a promise brings."""
        done = self.browser.execute_async_script(
            f"const done = arguments[arguments.length - 1];"
            f"with (people[{self.user}])"
            f" {script}.then((r) => done([true, r ?? null]),"
            f"   (e) => done([false, String(e.message ?? e)]))", *args)
        assert done[0], done
        return done[1]

    def write(self, friend, params, expiry=10):
        self.call("client.sendMessage([arguments[0]], 'test', 'hello', "
                  "arguments[1], arguments[2])", friend.user, params, expiry)

    def write_to_channel(self, channel, params):
        self.call("client.sendMessageToChannels([arguments[0]], 'test', "
                  "'hello', arguments[1], 10)", channel, params)

    def mode(self):
        return self.value("client.getDebugInfo()['WebSocket mode']")

    def check_complaints(self):
        """Of connections only: nothing that it could not read, and nothing
        that came twice."""
        assert not [c for c in self.value("complaints")
                    if not any(e in c for e in EXPECTED)]

    def leave(self):
        self.check_complaints()
        return super().leave()


def check_walk(daemon, client, publish, me):
    """It has seen something before it begins: who has no position yet can
    only ask for what is new."""
    client.connected()
    assert publish(me, 0)
    client.wait_for("seen.length")
    publisher = walk.Publisher(lambda n: publish(me, n))
    publisher.acknowledged.append(0)
    walk.check_walk(daemon, client, publisher, [daemon.kill, daemon.stop] * 2)


@pytest.fixture
def me():
    return User()


@pytest.fixture
def friend():
    return User()


class Versions:
    """What they have in common."""

    version = None
    publish = None

    def config(self, me, port=8080, **options):
        return config(me, self.version, port, **options)

    def test_websocket(self, front, browser, daemon, me):
        """On the site's own server."""
        check_walk(daemon, Client(browser, me, self.config(me)),
                   self.publish, me)

    def test_long_polling(self, front, browser, daemon, me):
        """On a server of another origin."""
        client = Client(browser, me, self.config(me, 8893, websocket=False))
        check_walk(daemon, client, self.publish, me)

    @pytest.mark.parametrize("websocket", [True, False])
    def test_over_tls(self, front, browser, daemon, me, websocket):
        """On the clients' server of https and wss."""
        client = Client(browser, me, self.config(
            me, TLS_PORT, websocket=websocket))
        check_walk(daemon, client, self.publish, me)

    def test_next_page(self, front, browser, daemon, me):
        """Nothing is missed between two pages of the site."""
        client = Client(browser, me, self.config(me)).connected()
        for n in 0, 1, 2:
            assert self.publish(me, n)
        client.wait_for_number(2)
        assert client.leave() == [0, 1, 2]
        for n in 3, 4:
            assert self.publish(me, n)
        client = Client(browser, me, self.config(me))
        client.wait_for_number(4)
        assert self.publish(me, 5)
        client.wait_for_number(5)
        assert client.leave() == [3, 4, 5]

    def test_ends_of_polls(self, front, browser, daemon, me):
        """A 304 is a position too: of one that has seen nothing yet when
        the daemon is killed, and of one that nothing comes to for long."""
        client = Client(browser, me, self.config(me, 8893, websocket=False))
        client.connected()
        daemon.kill()
        client.wait_for("cut > 0")
        daemon.start()
        for n in range(3):
            assert self.publish(me, n)
        client.wait_for_number(2)
        mid = client.value("client.session.mid")
        polls = ("performance.getEntriesByType('resource').filter("
                 "(e) => e.name.includes('/bitrix/sub/')).length")
        before = client.value(polls)
        client.wait_for(f"{polls} > {before + 1}")
        assert client.value("client.session.mid") == mid
        assert self.publish(me, 3)
        client.wait_for_number(3)
        assert client.leave() == [0, 1, 2, 3]


class Writing:
    """Versions in which clients write, too, and are told why they are cut
    off."""

    def test_wrong_signature(self, front, browser, daemon, me):
        """The client is told, and asks the site for another configuration."""
        client = Client(browser, me, self.config(me, key="another"))
        client.wait_for("closed.length")
        assert client.value("closed") == [4010]
        client.value("answers['pull.config.get'] = arguments[0]",
                     self.config(me))
        client.connected()
        asked = [method for method, _ in client.value("asked")]
        assert asked == ["pull.config.get"] * 2
        assert self.publish(me, 0)
        client.wait_for_number(0)
        assert client.leave() == [0]

    def test_client_message_outlives_a_kill(self, front, browser, daemon, me,
                                            friend):
        """Written by a client while its reader is away."""
        client = Client(browser, me, self.config(
            me, friends=[friend])).connected()
        other = client.as_well(friend, self.config(friend)).connected()
        assert self.publish(friend, 0)
        other.wait_for("seen.length")
        other.value("client.stop()")
        with daemon.counts(stored_messages=3):
            for n in range(3):
                client.write(friend, {"n": n}, 60)
        cut = client.value("cut")
        daemon.kill()
        client.wait_for(f"cut > {cut}")
        daemon.start()
        other.value("client.connect()")
        other.wait_for("told.length >= 3")
        assert other.value("told.map(([p]) => p.n)") == [0, 1, 2]
        other.check_complaints()
        client.leave()


class Test3(Versions):
    version = 3
    publish = staticmethod(publish_text)


class Test4(Versions, Writing):
    version = 4
    publish = staticmethod(publish_binary)

    def test_text_published(self, front, browser, daemon, me):
        """As a site without protobuf does, to clients that have it."""
        client = Client(browser, me, self.config(me)).connected()
        assert client.mode() == "protobuf"
        for n in range(3):
            assert publish_text(me, n)
        client.wait_for_number(2)
        assert client.leave() == [0, 1, 2]

    @pytest.mark.parametrize("websocket", [True, False])
    def test_text_mode(self, front, browser, daemon, me, websocket):
        """A client without protobuf: it holds the server for an older
        one, and keeps its ids of this one."""
        settings = self.config(me, 8893, websocket=websocket)
        settings["server"]["version"] = 3
        client = Client(browser, me, settings)
        if websocket:
            assert client.connected().mode() == "text"
        check_walk(daemon, client, self.publish, me)

    @pytest.mark.parametrize("websocket", [True, False])
    def test_client_publishes(self, front, browser, daemon, me, friend,
                              websocket):
        """To a user, and to a public channel in both of its forms; the
        server says who it was."""
        client = Client(browser, me, self.config(
            me, 8893, websocket=websocket, friends=[friend])).connected()
        other = client.as_well(friend, self.config(friend)).connected()
        client.write(friend, {"n": 0})
        other.wait_for("told.length")
        client.write_to_channel(friend.public_channel, {"n": 1})
        other.wait_for("told.length > 1")
        client.write_to_channel(friend.public_object, {"n": 2})
        other.wait_for("told.length > 2")
        assert other.value("told") == [
            [{"n": n}, {"type": 1, "id": me.public}] for n in range(3)]
        assert client.value("told") == client.value("seen") == []
        other.check_complaints()
        client.leave()

    def test_forged_receiver(self, front, browser, daemon, me, friend):
        """It is refused, and the friend never hears of it."""
        client = Client(browser, me, self.config(me)).connected()
        other = client.as_well(friend, self.config(friend)).connected()
        client.write_to_channel(
            f"{friend.public}.{me.public_signature}", {"n": 1})
        client.wait_for("closed.length")
        assert client.value("closed") == [4021]
        client.connected()
        client.write_to_channel(friend.public_channel, {"n": 2})
        other.wait_for("told.length")
        assert other.value("told.map(([p]) => p.n)") == [2]
        client.leave()

    def test_statistics(self, front, browser, daemon, me, friend):
        """The site asks who is there."""
        channels = [bitrix.receiver(p.private) for p in (me, friend)]

        def online():
            a = send(bitrix.asking(*channels))
            (kind, found), = bitrix.responses(a.body)
            assert (a.status, kind) == (200, "stats")
            assert [s.id for s in found] == [me.private, friend.private]
            return [s.online for s in found]

        assert online() == [False, False]
        client = Client(browser, me, self.config(me)).connected()
        assert online() == [True, False]
        a = cases.pub("GET", f"{me.private}/{friend.private}")
        assert json.loads(a.body)["infos"] == [
            {"channel": me.private, "subscribers": 1}]
        client.leave()


    def test_a_whole_poll(self, front, browser, daemon, me):
        """One that lasts as long as it does without a setting, and ends with
        nothing: through the front, over TLS, and the client goes on."""
        with whole_polls(daemon):
            self.wait_whole(browser, daemon, me)

    def wait_whole(self, browser, daemon, me):
        client = Client(browser, me, self.config(
            me, TLS_PORT, websocket=False))
        client.deadline += WHOLE_S
        client.connected()
        ended = """performance.getEntriesByType('resource').filter(
            (e) => e.name.includes('/bitrix/sub/') && e.responseEnd > 0)
            .map((e) => e.duration)"""
        client.wait_for(f"{ended}.some((ms) => ms > {WHOLE_S - 1} * 1000)")
        assert max(client.value(ended)) < (WHOLE_S + 3) * 1000
        daemon.wait_for(parked=1)
        assert self.publish(me, 0)
        client.wait_for_number(0)
        assert client.value("cut") == 0
        assert client.leave() == [0]


class Test5(Versions, Writing):
    version = 5
    publish = staticmethod(publish_json)

    def test_pings(self, front, browser, daemon, me):
        """It is pinged, answers, and stays."""
        client = Client(browser, me, self.config(me)).connected()
        client.wait_for("client._pingWaitTimeout")
        client.call("client.ping()")
        client.call("client.listChannels()")
        assert client.value("cut") == 0
        client.leave()

    def test_client_publishes(self, front, browser, daemon, me, friend):
        """To a user and to a public channel, but not with another's
        signature; the server says that it was a client."""
        token = bitrix.token(None, [friend.private, friend.public])
        guest = User()
        client = Client(browser, me, self.config(me)).connected()
        other = client.as_well(friend, self.config(friend)).connected()
        third = client.as_well(
            guest, self.config(guest, token=token)).connected()
        forged = {**friend.public_object,
                  "signature": me.public_signature}
        with pytest.raises(AssertionError):
            client.write_to_channel(forged, {"n": 0})
        client.write(friend, {"n": 1})
        client.write_to_channel(friend.public_object, {"n": 2})
        for reader, n in (other, 1), (third, 2):
            reader.wait_for("told.length")
            (params, sender), = reader.value("told")
            assert (params, sender["type"]) == ({"n": n}, 1)
            reader.check_complaints()
        client.leave()

    def test_user_params(self, front, browser, daemon, me):
        """They and the dictionary become parameters of the message."""
        client = Client(browser, me, self.config(me)).connected()
        a = api([bitrix.call("publish", {
            "userList": [me.user], "body": body(None), "expiry": 10,
            "user_params": {str(me.user): {"n": 7}}, "type": "test"})])
        assert a.status == 200, a.body
        client.wait_for("seen.length")
        assert client.leave() == [7]

    def test_last_seen(self, front, browser, daemon, me, friend):
        """The site and a client ask who is there and who was."""
        stranger = User()
        client = Client(browser, me, self.config(me)).connected()
        people = [me.user, friend.user, stranger.user]
        assert ask_site("getUsersLastSeen", {"userList": people}) == {
            str(me.user): 0}
        other = client.as_well(friend, self.config(friend)).connected()
        found = client.call(
            "client._jsonRpcAdapter.executeOutgoingRpcCommand("
            "'getUsersLastSeen', {userList: arguments[0]})", people)
        assert found == {str(me.user): 0, str(friend.user): 0}
        # Who is unknown here it asks the site for.
        client.value("answers['pull.api.user.getLastSeen'] = {}")
        client.call("client.getUsersLastSeen(arguments[0])", people)
        assert client.value("asked.at(-1)") == [
            "pull.api.user.getLastSeen",
            {"userIds": [stranger.user], "sendToQueueSever": True}]
        other.value("client.destroy()")
        conftest.wait_until(lambda: ask_site("getUsersLastSeen", {
            "userList": [friend.user]})[str(friend.user)] > 0)
        client.leave()

    def test_presence(self, front, browser, daemon, me, friend):
        """Who asked to be told about a user is told; a client asks again
        when it comes back."""
        client = Client(browser, me, self.config(me)).connected()
        client.call("client.subscribeUserStatusChange(arguments[0], "
                    "(who) => presence.push([who.userId, who.isOnline]))",
                    friend.user)
        other = client.as_well(friend, self.config(friend)).connected()
        client.wait_for("presence.length")
        other.value("client.destroy()")
        client.wait_for("presence.length > 1")
        daemon.kill()
        client.wait_for("cut > 0")
        daemon.start()
        assert self.publish(me, 0)
        client.wait_for("seen.length")
        other.begin(friend, self.config(friend))
        client.wait_for("presence.length > 2")
        assert client.value("presence") == [
            [friend.user, there] for there in (True, False, True)]
        client.leave()

"""A location of a front: the parameters it sends with every request, and the
requests of its clients, through either gateway."""

import email.utils
import itertools
import time

import wire

GATEWAYS = ["fastcgi", "scgi"]

# {id|channel|text|tag|time|event id|event type|size}
TEMPLATE = ("{~id~|~channel~|~text~|~tag~|~time~|~event-id~|~event-type~|"
            "~size~}")

NO_CACHE = [("Expires", "Thu, 01 Jan 1970 00:00:01 GMT"),
            ("Cache-Control", "no-cache, no-store, must-revalidate")]
EMPTY = [("Content-Length", "0")]
EXPLAIN = "X-Nginx-PushStream-Explain"


def cors(methods, origin="*"):
    return [("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", "If-Modified-Since,If-None-Match,"
             "Etag,Event-Id,Event-Type,Last-Event-Id")]


def check_head(answer, status, *fields):
    """Exactly this status and these header fields, each once.  A front puts
    them in an order of its own, so theirs is free."""
    name, value = answer.headers[0]
    assert (name, value.split()[0]) == ("Status", str(status)), answer.raw
    got, want = sorted(answer.headers[1:]), sorted(fields)
    assert got == want, f"\n{got}\nis not\n{want}"


def http_date(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


def seconds(date):
    return int(email.utils.parsedate_to_datetime(date).timestamp())


def position(answer):
    """(time, tag) of an answer."""
    return (seconds(answer.header("Last-Modified")),
            int(answer.header("Etag").removeprefix("W/")))


def after(answer):
    """The headers of a client that comes back with this answer."""
    return {"HTTP_IF_MODIFIED_SINCE": answer.header("Last-Modified"),
            "HTTP_IF_NONE_MATCH": answer.header("Etag")}


SINCE_EVER = {"HTTP_IF_MODIFIED_SINCE": http_date(1)}

names = ("ch%d" % n for n in itertools.count())


def new_channel():
    """A name that no test has used yet."""
    return next(names)


class Waiting:
    """A request that was sent."""

    def __init__(self, client, gateway):
        self.client = client
        self.gateway = gateway

    def answer(self):
        with self.client:
            return (self.client.answer() if self.gateway == "fastcgi" else
                    self.client.scgi_answer())

    def hang_up(self):
        self.client.close()


class Location:
    """Location(daemon, publisher="admin", store_messages="on")"""

    def __init__(self, daemon, gateway="fastcgi", uri="/push", more=None,
                 **settings):
        self.daemon = daemon
        self.gateway = gateway
        self.uri = uri
        self.settings = settings
        self.more = more or {}

    def but(self, **settings):
        """The same location with some settings otherwise; None: not set."""
        return Location(self.daemon, self.gateway, self.uri, self.more,
                        **{**self.settings, **settings})

    def parameters(self, method, path, query="", **fields):
        settings = dict(self.settings)
        if path is not None:
            settings["channels_path"] = path
        return {**wire.cgi(method, self.uri, query, **fields),
                **{"push_stream_" + name: value
                   for name, value in settings.items() if value is not None},
                **self.more}

    def start(self, method, path, body=b"", query="", **fields):
        params = self.parameters(method, path, query, **fields)
        client = self.daemon.connect(getattr(self.daemon, self.gateway))
        if self.gateway == "fastcgi":
            if body:
                params.setdefault("CONTENT_LENGTH", str(len(body)))
            client.send(wire.fastcgi(params, body, keep=False))
        else:
            client.send(wire.scgi(params, body))
        return Waiting(client, self.gateway)

    def ask(self, *args, **fields):
        return self.start(*args, **fields).answer()

    def get(self, path, **fields):
        return self.ask("GET", path, **fields)

    def post(self, path, body, **fields):
        """A publish that must succeed."""
        answer = self.ask("POST", path, body, **fields)
        assert answer.status == 200, answer.raw
        return answer

    def park(self, path, **fields):
        """A long poll that waits."""
        parked = self.daemon.status()["parked"]
        waiting = self.start("GET", path, **fields)
        self.daemon.wait_for(parked=parked + 1)
        return waiting


def publisher(daemon, gateway="fastcgi", **settings):
    return Location(daemon, gateway, **{
        "publisher": "admin", "store_messages": "on", **settings})


def polling(daemon, gateway="fastcgi", **settings):
    return Location(daemon, gateway, **{
        "subscriber": "polling", "message_template": TEMPLATE, **settings})


def long_polling(daemon, gateway="fastcgi", **settings):
    return polling(daemon, gateway, **{
        "subscriber": "long-polling", **settings})


def wait_until(what, *args):
    """Until it is so; its value then."""
    deadline = time.monotonic() + wire.TIMEOUT
    while not (value := what(*args)):
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.005)
    return value

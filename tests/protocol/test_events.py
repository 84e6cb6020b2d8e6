"""The events channel: who came, who went, what was made and forgotten."""

import json
import time

import pytest

from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, SINCE_EVER, check_head,
                   long_polling, polling, publisher)
from streams import eventsource, opened, streaming
from test_statistics import statistics

EVENT = '{{"type": "{}", "channel": "{}"}}'


@pytest.fixture(params=GATEWAYS)
def world(request, make_daemon):
    """A daemon with an events channel, and a way to read it."""
    d = make_daemon(push_stream_events_channel_id="ev")
    return d, streaming(d, request.param, message_template="~text~",
                        allow_connections_to_events_channel="on")


def expect(stream, *events):
    for event in events:
        stream.expect(EVENT.format(*event.split()))


def test_created(world):
    """By a publish, an empty one too, and by a reader of any kind; told
    once."""
    d, reader = world
    pub = publisher(d)
    with opened(reader, "ev") as s:
        pub.post("a", b"x")
        pub.post("a", b"x")
        expect(s, "channel_created a")
        assert pub.ask("POST", "b").status == 400
        expect(s, "channel_created b")
        polling(d).get("c/a")
        expect(s, "channel_created c")
        pub.post("d/e", b"x")
        expect(s, "channel_created d", "channel_created e")
        pub.get("none")
        s.expect_silence()


def test_subscribed(world):
    """One for each channel of a stream or a poll that waits."""
    d, reader = world
    with opened(reader, "ev") as s:
        for make in streaming, eventsource:
            name = make.__name__
            with opened(make(d), f"{name}/b"):
                expect(s, f"channel_created {name}",
                       *["channel_created b"] * (make is streaming),
                       f"client_subscribed {name}", "client_subscribed b")
            expect(s, f"client_unsubscribed {name}", "client_unsubscribed b")
        waiting = long_polling(d).park("b")
        expect(s, "client_subscribed b")
        publisher(d).post("b", b"x")
        assert waiting.answer().status == 200
        expect(s, "client_unsubscribed b")
        polling(d).get("b", **SINCE_EVER)
        # Whoever reads the events is no event.
        with opened(reader, "ev"):
            pass
        s.expect_silence()


def test_at_once(world):
    """Nothing else has to happen for an event to leave."""
    d, reader = world
    took = []
    with opened(reader, "ev") as s:
        polling(d).get("a")
        expect(s, "channel_created a")
        for _ in range(3):
            with opened(streaming(d), "a"):
                expect(s, "client_subscribed a")
                start = time.monotonic()
            expect(s, "client_unsubscribed a")
            took.append(time.monotonic() - start)
    assert min(took) < 0.5


def test_destroyed(world):
    """After those who read it are gone."""
    d, reader = world
    publisher(d).post("a", b"x")
    with opened(reader, "ev") as s, opened(streaming(d), "a") as a:
        expect(s, "client_subscribed a")
        assert publisher(d).ask("DELETE", "a").status == 200
        a.until(b"}")
        expect(s, "client_unsubscribed a", "channel_destroyed a")


def test_forgotten(make_daemon):
    """By inactivity, which the events channel does not know."""
    d = make_daemon(push_stream_events_channel_id="ev",
                    push_stream_channel_inactivity_time="100ms")
    reader = eventsource(d, allow_connections_to_events_channel="on",
                         message_template="~id~ ~text~")
    publisher(d).but(store_messages="off").post("a", b"x")
    with opened(reader, "ev", **SINCE_EVER) as s:
        s.expect(": \n", "event: channel_created\ndata: 1 ",
                 EVENT.format("channel_created", "a"), "\n\n")
        s.expect("event: channel_destroyed\ndata: 2 ",
                 EVENT.format("channel_destroyed", "a"), "\n\n")
    assert publisher(d).get("ev").status == 200


def test_stored(world):
    """Events are messages with ids, in no total; they outlive a kill."""
    d, reader = world
    for ch in "abc":
        publisher(d).but(store_messages="off").post(ch, b"x")
    with opened(reader, "ev.b2") as s:
        expect(s, "channel_created b", "channel_created c")
    status = d.status()
    assert (status["published_messages"], status["stored_messages"]) == (3, 0)
    assert status["channels"] == 4
    d.kill()
    d.start()
    with opened(reader, "ev", **SINCE_EVER) as s:
        expect(s, *[f"channel_created {ch}" for ch in "abc"])
    d.wait_for(streams=0)
    assert json.loads(publisher(d).get("ev").body) == {
        "channel": "ev", "published_messages": 3, "stored_messages": 3,
        "subscribers": 0}
    listed = json.loads(statistics(d).get("ALL").body)["infos"]
    assert "ev" in [c["channel"] for c in listed]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_not_for_everybody(make_daemon, gateway):
    """Nobody else publishes there, or reads without leave; GET is free."""
    d = make_daemon(push_stream_events_channel_id="ev")
    pub = publisher(d, gateway)
    why = "Only internal routines can change events channel."
    for method, path in [("POST", "ev"), ("PUT", "ev"), ("DELETE", "ev"),
                         ("POST", "a/ev")]:
        check_head(pub.ask(method, path, b"x"), 403, (EXPLAIN, why), *EMPTY,
                   *NO_CACHE)
    assert pub.get("ev").status == statistics(d).get("ev").status == 200
    why = "Subscription to events channel is not allowed."
    for mode in "streaming", "eventsource", "polling", "long-polling":
        for path in "ev", "b/ev":
            a = polling(d, gateway, subscriber=mode).get(path)
            check_head(a, 403, (EXPLAIN, why), *EMPTY, *NO_CACHE)
    assert pub.get("b").status == 404
    allowed = polling(d, gateway, allow_connections_to_events_channel="on")
    assert allowed.get("ev/b").status == 304

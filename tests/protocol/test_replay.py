"""A stream's replay and what a reader may be behind: a slice of it is one part
of the answer, whatever it has grown to, so who reads at his pace gets all."""

from front import SINCE_EVER, Location, new_channel, publisher

MESSAGES = 100


def reading(stream, last):
    """Read up to and with `last`."""
    got = b""
    while last not in got[-100000:]:
        more = stream.client.read(1)
        assert more, "it was closed after %d bytes" % len(got)
        got += more + stream.client.input
        stream.client.input = b""
    return got


def stored(daemon, size):
    channel = new_channel()
    pub = publisher(daemon)
    for i in range(MESSAGES):
        pub.post(channel, b"%d:%s;" % (i, b"x" * size))
    return channel


def numbers(got):
    text = got.partition(b"\r\n\r\n")[2]
    return [int(part.split(b":")[0]) for part in text.split(b";")
            if b":" in part]


def test_padding(daemon):
    """It counts as little as the messages that it follows."""
    ch = stored(daemon, 1)
    stream = Location(
        daemon, "scgi", subscriber="streaming",
        padding_by_user_agent="slow,0,60000").start(
            "GET", ch, HTTP_USER_AGENT="slow", **SINCE_EVER)
    got = reading(stream, b"%d:x;" % (MESSAGES - 1))
    stream.hang_up()
    assert numbers(got) == list(range(MESSAGES))


def test_live_behind_replay(daemon):
    """What comes while the last slice is on its way waits for its end."""
    ch = stored(daemon, 9000)
    stream = Location(
        daemon, "scgi", subscriber="streaming",
        message_template="~text~~text~").start("GET", ch, **SINCE_EVER)
    assert stream.client.read(1)
    for _ in range(3):
        publisher(daemon, store_messages="off").post(ch, b"100:live;")
    got = reading(stream, b"100:live;" * 6)
    stream.hang_up()
    assert numbers(got) == sorted(list(range(MESSAGES)) * 2) + [100] * 6

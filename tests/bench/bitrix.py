"""Benchmarks of Bitrix's queue server, version 4, against push-stream's way to
do the same: publishing as text and as protobuf, one message to a hundred
channels, and polls whose channel ids are signed."""
import hashlib
import hmac
import statistics

from report import median, say
from rig import cpu_now
from templates import (
    POLL_HEADERS,
    POLL_PATH,
    SIGNATURE_KEY,
    V4_PUB,
    V4_SUB,
    body,
    http_get,
)
from turns import (
    CHANNELS,
    CONNECTIONS,
    in_turns,
    latencies,
    ratio_of,
    requests_of,
)

ID_LEN = 32
SIGNED_LEN = ID_LEN + 1 + 40
MANY = 100  # channels of one publish, the most that the site names
POLL_MAX = 1229  # 1.2 KiB


# Names: as each has the length of its mark, they fit the recorded requests.


def made_up(what, n):
    """Ids, as the site makes them: digests."""
    return [
        hashlib.md5(f"{what} {i}".encode()).hexdigest() for i in range(n)
    ]


def signed(text):
    key = SIGNATURE_KEY.encode()
    mac = hmac.new(key, text.encode(), hashlib.sha1).hexdigest()
    return f"{text}.{mac}"


SHARED = made_up("shared", 1)[0]


def people(n):
    """What their browsers read: a channel each, and one for all."""
    return made_up("private", n)


def load_names(rig, name, names):
    """What `load` is told so that requests have these names."""
    names = [n if isinstance(n, bytes) else n.encode() for n in names]
    rig.keep(rig.names, name, b"".join(names))
    return ("-l", rig.names[name], "-L", len(names[0]))


# Requests, with marks of '@'.


def length(data):
    """Of a field in a protobuf message, and the field's bytes."""
    n, out = len(data), b""
    while n > 127:
        out += bytes((n & 127 | 128,))
        n >>= 7
    return out + bytes((n,)) + data


def request_batch(text, private):
    """One message to one channel, for a day, as PHP writes it."""
    kind = b"\x10\x01" if private else b""
    receiver = b"\x0a" + length(b"@" * 16) + kind
    message = (
        b"\x0a" + length(receiver) + b"\x1a" + length(text)
        + b"\x20\x80\xa3\x05" + b"\x2a" + length(b"im_hello")
    )
    for _ in range(3):
        message = b"\x0a" + length(message)
    return message


def http_post(path, data, headers=""):
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def requests(publish_len):
    """All that are to be recorded, by name."""
    text = body(publish_len).encode()
    binary = V4_PUB + "?binaryMode=true&hostname="

    def publish(length):
        path = f"{V4_PUB}?CHANNEL_ID={'@' * length}"
        return http_post(path, text, "Message-Expiry: 86400\r\n")

    def poll(path, length):
        return http_get(f"{path}{'@' * length}", POLL_HEADERS)

    sub = V4_SUB + "?revision=19&CHANNEL_ID="
    return {
        "v4-text": publish(ID_LEN),
        "v4-many": publish((ID_LEN + 1) * MANY - 1),
        "v4-protobuf": http_post(binary, request_batch(text, True)),
        "v4-public": http_post(binary, request_batch(text, False)),
        "poll-two": poll(POLL_PATH, ID_LEN * 2 + 1),
        "v4-one": poll(sub, SIGNED_LEN),
        "v4-two": poll(sub, SIGNED_LEN * 2 + 1),
        "v4-pair": poll(sub, ID_LEN + 1 + SIGNED_LEN * 2 + 1),
    }


# Publishing


def bench_publish(rig, size, report):
    """As text and as protobuf, through nginx."""
    rig.start_daemon(rig.database("bitrix-publish"))
    pids = {"holdfastd": rig.daemon.pid, "nginx": rig.nginx_pid}

    def side(request, *more):
        address = f"127.0.0.1:{rig.ports['hf']}"
        return ("-a", address, "-r", rig.requests[request], *more), pids

    ids = people(CHANNELS)
    written = load_names(rig, "written", ids)
    packed = load_names(rig, "packed", [bytes.fromhex(i) for i in ids])
    sides = {
        "push-stream": side("publish.http", *written),
        "text": side("v4-text.http", *written),
        "protobuf": side("v4-protobuf.http", *packed),
    }
    results, cpu = in_turns(rig, size, "bitrix-publish", sides)
    rig.stop_daemon()
    rates = {name: median(runs, "rate") for name, runs in results.items()}
    for name in "text", "protobuf":
        ratio = ratio_of(results, name, "push-stream")
        report.row(
            f"bitrix-publish: 1 KiB, version 4, {name} / push-stream, "
            "requests/s",
            f"{rates[name]:,.0f}",
            f"{rates['push-stream']:,.0f}",
            ratio,
            ">= 0.85",
            ratio >= 0.85,
        )
    report.remark("bitrix-publish", latencies(results))
    report.processes("bitrix-publish", cpu, requests_of(results), "request")


def bench_channels(rig, size, report):
    """One message to a hundred channels against a message to each, on the
    FastCGI socket, so that nginx does not hide the store."""
    rig.start_daemon(rig.database("bitrix-channels"))
    pids = {"holdfastd": rig.daemon.pid}
    ids = people(CHANNELS)
    lists = ["/".join(ids[i : i + MANY]) for i in range(0, len(ids), MANY)]

    def side(request, names):
        address = "unix:" + rig.fastcgi
        named = load_names(rig, request + ".names", names)
        return ("-a", address, "-r", rig.requests[request], *named), pids

    sides = {
        "one channel": side("v4-text.fcgi", ids),
        f"{MANY} channels": side("v4-many.fcgi", lists),
    }
    results, cpu = in_turns(rig, size, "bitrix-channels", sides)
    rig.stop_daemon()
    one, many = (1e6 / median(results[n], "rate") for n in sides)
    ratio = ratio_of(results, *sides) / MANY
    report.row(
        f"bitrix-channels: one publish of 1 KiB to {MANY} channels / {MANY} "
        "publishes, us",
        f"{many:,.0f}",
        f"{one * MANY:,.0f}",
        ratio,
        "<= 0.3",
        ratio <= 0.3,
    )
    report.remark("bitrix-channels", latencies(results))
    report.processes("bitrix-channels", cpu, requests_of(results), "publish")


# Polls


def publish_to(rig, request, names, n):
    """A message to each of these, so that the channels are there before what
    reads them is measured."""
    rig.load(
        *("-a", "unix:" + rig.fastcgi, "-r", rig.requests[request]),
        *("-c", min(CONNECTIONS, n), "-m", n, "-q", "-n", n, *names),
    )


def make_channels(rig, n):
    """Private ones and the one that is shared."""
    names = load_names(rig, "made", people(n) + [SHARED])
    publish_to(rig, "v4-text.fcgi", names, n + 1)


def poller(rig, request, names, n, channels):
    return rig.start_parker(
        *("-a", "unix:" + rig.fastcgi, "-r", rig.requests[request]),
        *("-c", n, "-m", channels, *names),
    )


def polls_in_turns(rig, size, what, sides):
    """The daemon's CPU seconds for each poll that parks: {side: median}."""
    n = size.polls
    pollers = {
        name: poller(rig, request, names, n, n)
        for name, (request, names) in sides.items()
    }
    used_s = {name: [] for name in sides}
    for turn in range(size.poll_rounds + 1):
        for name, client in pollers.items():
            before = cpu_now(rig.daemon.pid)
            rig.tell(client, "park")
            rig.wait_parked(n)
            each_s = (cpu_now(rig.daemon.pid) - before) / n
            rig.tell(client, "close")
            rig.wait_parked(0)
            if turn > 0:  # the first one warms up
                used_s[name].append(each_s)
                say(f"bitrix-poll, {what}, {name}: {each_s * 1e6:.1f} us/poll")
    for client in pollers.values():
        rig.stop(client)
    return {name: statistics.median(each) for name, each in used_s.items()}


def bench_poll(rig, size, report):
    """Polls with signed ids against push-stream's with the same ids as they
    are."""
    rig.start_daemon(rig.database("bitrix-poll"))
    make_channels(rig, size.polls)
    ids = people(size.polls)
    kinds = {
        "one id": ("poll.fcgi", ids, "v4-one.fcgi", [signed(i) for i in ids]),
        "two ids": (
            *("poll-two.fcgi", [f"{i}/{SHARED}" for i in ids]),
            *("v4-two.fcgi", [f"{signed(i)}/{signed(SHARED)}" for i in ids]),
        ),
    }
    for what, (plain, names, checked, signed_names) in kinds.items():
        sides = {
            "push-stream": (plain, load_names(rig, "plain", names)),
            "signed": (checked, load_names(rig, "signed", signed_names)),
        }
        used_s = polls_in_turns(rig, size, what, sides)
        base, ours = (1 / used_s[name] for name in sides)
        ratio = ours / base
        report.row(
            f"bitrix-poll: {what}, check, subscribe, park / push-stream's "
            "unsigned, polls a CPU second of holdfastd",
            f"{ours:,.0f}",
            f"{base:,.0f}",
            ratio,
            ">= 0.9",
            ratio >= 0.9,
        )
    rig.stop_daemon()


def bench_rss(rig, size, report):
    """holdfastd's own memory for a parked poll of version 4."""
    n = size.parked
    ids, public = people(n), made_up("public", n)
    pairs = [
        f"{signed(f'{private}:{twin}')}/{signed(SHARED)}"
        for private, twin in zip(ids, public)
    ]
    kinds = {
        "on one channel": ("v4-one.fcgi", [signed(SHARED)]),
        "on a channel each": ("v4-one.fcgi", [signed(p) for p in ids]),
        "each on a channel, its public twin and a shared one": (
            "v4-pair.fcgi",
            pairs,
        ),
    }
    for i, (what, (request, names)) in enumerate(kinds.items()):
        rig.start_daemon(rig.database(f"bitrix-rss-{i}"))
        make_channels(rig, n)
        twins = [bytes.fromhex(p) for p in public]
        publish_to(rig, "v4-public.fcgi", load_names(rig, "twins", twins), n)
        named = load_names(rig, "polls", names)
        before, each = rig.held_memory(
            lambda held: poller(rig, request, named, held, len(names)),
            *("park", "parked", n, size.parked_warm),
        )
        rig.stop_daemon()
        report.memory(
            "bitrix-rss",
            f"parked version 4 poll, {n:,} {what}",
            before,
            each,
            POLL_MAX,
        )

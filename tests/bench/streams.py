"""Benchmarks of streams: WebSockets and EventSources, over SCGI, behind nginx
and on the socket itself, held against the caster; their memory; and what the
number of templates costs."""
import statistics

from report import median, say
from rig import (
    Cpu,
    Failed,
    cpu_now,
    fcgi_replied,
    named,
    read_until,
    unix_connect,
)
from templates import body
from turns import in_order, ratio_of

TEXT_LEN = 100
PUBLISHERS = 64
IDLE_MAX = 1229  # 1.2 KiB


def ws_frame(text):
    return bytes((0x81, len(text))) + text


def sse_event(text):
    return b"data: " + text + b"\n\n"


FRAMES = {"ws": ws_frame, "sse": sse_event}
NAMES = {"ws": "WebSocket", "sse": "SSE stream"}


def text():
    return body(TEXT_LEN).encode()


def contents(path):
    with open(path, "rb") as f:
        return f.read()


def record_answer(rig, kind, gateway, s, frame):
    """Keep holdfastd's head and frame, and what it sends between them."""
    request = named(contents(rig.requests[f"{kind}.{gateway}"]))
    publish = named(contents(rig.requests["live.fcgi"]))
    with s, unix_connect(rig.fastcgi) as p:
        s.sendall(request)
        data = read_until(s, lambda data: b"\r\n\r\n" in data)
        status = data.split(b"\r\n")[0]
        if status.split()[1] not in (b"101", b"200"):
            raise Failed(f"no {kind}: {status!r}")
        rig.wait_status("subscribers", 1)
        p.sendall(publish)
        read_until(p, fcgi_replied)
        data = read_until(s, lambda data: data.endswith(frame), data)
    rig.wait_status("subscribers", 0)
    head, end, preamble = data[: -len(frame)].partition(b"\r\n\r\n")
    rig.keep(rig.replies, kind + ".head", head + end + preamble)
    rig.keep(rig.replies, kind + ".preamble", preamble)
    rig.keep(rig.replies, kind + ".frame", frame)


def record_stream(rig, kind):
    """The same for a reader on the SCGI socket."""
    frame = FRAMES[kind](text())
    record_answer(rig, kind, "scgi", unix_connect(rig.scgi), frame)


def start_listener(rig, kind, address, n, asked=None):
    """n streams of this kind.  asked: pairs of files, what a stream asks for
    and the frame that it gets."""
    if asked is None:
        gateway = "scgi" if address.startswith("unix:") else "http"
        request = rig.requests[f"{kind}.{gateway}"]
        asked = [(request, rig.replies[kind + ".frame"])]
    args = ["-a", address, "-c", n]
    args += ["-s", len(contents(rig.replies[kind + ".preamble"]))]
    for request, frame in asked:
        args += ["-r", request, "-f", frame]
    return rig.start_told("listen", *args)


def publish_frames(rig, n, connections):
    """Messages that nobody keeps, so that only the fan-out is measured."""
    return rig.load(
        *("-a", "unix:" + rig.fastcgi, "-r", rig.requests["live.fcgi"]),
        *("-c", connections, "-n", n),
    )


def cast_in_turns(rig, size, kind, hop, casters):
    """Send frames on both sides in turns: {side: results}, CPU.  casters:
    {side: (address, processes, what sends n frames)}."""
    listeners = {}
    results, cpu = {name: [] for name in casters}, Cpu()
    for name, (address, _, _) in casters.items():
        listeners[name] = start_listener(rig, kind, address, size.streams)
        rig.tell(listeners[name], "open")
    rig.wait_status("subscribers", size.streams)
    for turn in range(size.stream_rounds + 1):
        for name, (_, pids, cast) in in_order(casters, turn):
            pids = dict(pids, listen=listeners[name].pid)
            counted = cpu if turn > 0 else Cpu()
            with counted.span(name, pids):
                rig.ask(listeners[name], f"expect {size.frames}")
                sent = cast(size.frames)
                result = rig.hear(listeners[name])
            if "cpu_s" in sent:
                counted.add(name, "load", sent["cpu_s"])
            took_s = result["ended_s"] - sent["began_s"]
            result["rate"] = result["deliveries"] / took_s
            if turn > 0:  # the first one warms up
                results[name].append(result)
                say(f"{kind}, {hop}, {name}: {result['rate']:.0f}/s")
    for listener in listeners.values():
        rig.stop(listener)
    rig.wait_status("subscribers", 0)
    return results, cpu


def bench_hop(rig, size, report, kind, hop, caster):
    """Publishing, flat out, against the caster's constant frames."""

    def cast(frames):
        used = rig.tell(caster, f"cast {frames}")
        if used["connections"] != size.streams:
            raise Failed(f"the caster had {used['connections']:.0f} readers")
        return used

    def publish(frames):
        return publish_frames(rig, frames, PUBLISHERS)

    ours, base = {"holdfastd": rig.daemon.pid}, {"caster": caster.pid}
    if hop == "nginx":
        addresses = [f"127.0.0.1:{rig.ports[n]}" for n in ("hf", "base")]
        ours["nginx"] = base["nginx"] = rig.nginx_pid
        through = "through nginx"
    else:
        addresses = ["unix:" + path for path in (rig.scgi, rig.caster)]
        through = "on the SCGI socket"
    sides = {
        "Holdfast": (addresses[0], ours, publish),
        "caster": (addresses[1], base, cast),
    }
    results, cpu = cast_in_turns(rig, size, kind, hop, sides)
    ours, base = (median(results[s], "rate") for s in sides)
    ratio = ratio_of(results, *sides)
    report.row(
        f"{kind}: {TEXT_LEN} B to {size.streams:,} {NAMES[kind]}s {through}, "
        "deliveries/s",
        f"{ours:,.0f}",
        f"{base:,.0f}",
        ratio,
        ">= 0.9",
        ratio >= 0.9,
    )
    counts = {
        name: sum(r["deliveries"] for r in runs)
        for name, runs in results.items()
    }
    report.processes(f"{kind}, {hop}", cpu, counts, "delivery")


def bench_streams(rig, size, report, kind):
    rig.start_daemon(rig.database(kind))
    record_stream(rig, kind)
    for hop in ("nginx", "direct"):
        caster = rig.start_caster(
            rig.replies[kind + ".head"],
            rig.replies[kind + ".frame"],
            size.streams,
            "unix:" + rig.caster,
        )
        bench_hop(rig, size, report, kind, hop, caster)
        rig.stop(caster)
    rig.stop_daemon()
    report.remark(
        kind,
        f"{size.frames:,} messages a round, not stored, {PUBLISHERS} publishes "
        "under way on the FastCGI socket; the caster writes them by itself. "
        "From the first request to the last byte of the last reader, who "
        "compares them all",
    )


def bench_ws(rig, size, report):
    """One publisher, many WebSockets."""
    bench_streams(rig, size, report, "ws")


def bench_sse(rig, size, report):
    """One publisher, many EventSources."""
    bench_streams(rig, size, report, "sse")


def bench_rss(rig, size, report):
    """holdfastd's own memory for a stream that waits, over SCGI."""
    for kind, name in NAMES.items():
        rig.start_daemon(rig.database("rss-" + kind))
        record_stream(rig, kind)
        before, each = rig.held_memory(
            lambda n: start_listener(rig, kind, "unix:" + rig.scgi, n),
            *("open", "subscribers", size.idle, size.idle_warm),
        )
        rig.stop_daemon()
        what = f"idle {name}, {size.idle:,} over SCGI"
        report.memory("stream-rss", what, before, each, IDLE_MAX)


def scgi_with(request, name, value):
    """The request with another value of a parameter."""
    pairs = request.partition(b":")[2][:-2].split(b"\0")
    pairs[pairs.index(name) + 1] = value
    headers = b"\0".join(pairs) + b"\0"
    return b"%d:%s," % (len(headers), headers)


def asked_with_templates(rig, n):
    """What listeners of n locations ask for: each has a template of its own,
    all of one length."""
    request = contents(rig.requests["sse.scgi"])
    asked = []
    for i in range(n):
        name, mark = f"sse-{i}.scgi", b"%04d " % i
        changed = scgi_with(
            request, b"push_stream_message_template", mark + b"~text~"
        )
        rig.keep(rig.requests, name, changed)
        rig.keep(rig.replies, name + ".frame", sse_event(mark + text()))
        asked.append((rig.requests[name], rig.replies[name + ".frame"]))
    return asked


def rendered_once(rig, size, listener, templates):
    """Publish, one after the other, to readers of so many templates: CPU
    seconds of the daemon for each message."""
    rig.tell(listener, "open")
    rig.wait_status("subscribers", size.streams)
    before = rig.status()["renders"]
    used_s = cpu_now(rig.daemon.pid)
    rig.ask(listener, f"expect {size.rendered}")
    publish_frames(rig, size.rendered, 1)
    rig.hear(listener)
    used_s = cpu_now(rig.daemon.pid) - used_s
    renders = rig.status()["renders"] - before
    if renders != templates * size.rendered:
        raise Failed(
            f"{renders} renders of {size.rendered} messages in "
            f"{templates} templates"
        )
    rig.tell(listener, "close")
    rig.wait_status("subscribers", 0)
    return used_s / size.rendered


def bench_renders(rig, size, report):
    """A message is rendered once for each template, however many read it,
    and that is cheap beside sending it."""
    rig.start_daemon(rig.database("renders"))
    record_stream(rig, "sse")
    used_s = {1: [], size.templates: []}
    listeners = {
        n: start_listener(
            *(rig, "sse", "unix:" + rig.scgi, size.streams),
            asked_with_templates(rig, n),
        )
        for n in used_s
    }
    for turn in range(size.render_rounds + 1):
        for n, listener in listeners.items():
            each_s = rendered_once(rig, size, listener, n)
            if turn > 0:  # the first one warms up
                used_s[n].append(each_s)
                say(f"renders, {n} templates: {each_s * 1e6:.0f} us/publish")
    for listener in listeners.values():
        rig.stop(listener)
    rig.stop_daemon()
    one, many = (statistics.median(s) for s in used_s.values())
    report.row(
        f"renders: counted for a message to {size.streams:,} readers of "
        f"{size.templates} templates",
        f"{size.templates}",
        "1",
        size.templates,
        f"= {size.templates}",
        True,  # or else it had failed
    )
    report.row(
        f"renders: {size.templates} templates / one, CPU us of a publish to "
        f"{size.streams:,} SSE streams",
        f"{many * 1e6:,.0f}",
        f"{one * 1e6:,.0f}",
        many / one,
        "<= 2",
        many <= one * 2,
    )

"""The HTTP listener without a web server: what it saves, what it holds, and
how it stands beside Nchan."""
import nchan
from report import median
from rig import tcp_connect
from streams import (
    PUBLISHERS,
    TEXT_LEN,
    cast_in_turns,
    record_answer,
    text,
    ws_frame,
)
from turns import in_turns, latencies, ratio_of, requests_of


def at(rig, port, request):
    """What `load` is told to send this request there."""
    return (
        *("-a", f"127.0.0.1:{rig.ports[port]}"),
        *("-r", rig.requests[request]),
    )


def bench_publish(rig, size, report):
    """Durable publish straight to the listener against the same through
    nginx and FastCGI, and against Nchan, who keeps messages in RAM only."""
    rig.start_daemon(rig.database("direct"))
    rival = nchan.start(rig)
    ours = {"holdfastd": rig.daemon.pid}
    sides = {
        "direct": (at(rig, "http", "direct-publish.http"), ours),
        "nginx": (
            at(rig, "hf", "publish.http"),
            {"nginx": rig.nginx_pid, **ours},
        ),
    }
    if rival is not None:
        request = at(rig, "nchan", "direct-publish.http")
        sides["Nchan"] = (request, {"nginx": rival[1]})
    results, cpu = in_turns(rig, size, "http-publish", sides)
    rig.stop_daemon()
    if rival is not None:
        rig.stop(rival[0])
    rates = {name: median(runs, "rate") for name, runs in results.items()}
    bars = {
        "nginx": ("through nginx", 1.5, ">= 1.5"),
        "Nchan": ("to Nchan's RAM", 0.35, ">= 0.35, aim 0.5"),
    }
    for name in list(sides)[1:]:
        what, least, bar = bars[name]
        ratio = ratio_of(results, "direct", name)
        report.row(
            "http-publish: 1 KiB, 64 connections, sync=full, straight / "
            f"{what}, requests/s",
            f"{rates['direct']:,.0f}",
            f"{rates[name]:,.0f}",
            ratio,
            bar,
            ratio >= least,
        )
    nchan.remark(
        *(report, "http-publish", rival),
        "messages in RAM, the last 10 of a channel (the default)",
    )
    report.remark("http-publish", latencies(results))
    report.processes("http-publish", cpu, requests_of(results), "request")


def bench_ws(rig, size, report):
    """One publisher, many WebSockets, without a web server: against the
    caster's constant frames, and against Nchan."""
    kind = "direct-ws"
    rig.start_daemon(rig.database(kind))
    record_answer(
        *(rig, kind, "http", tcp_connect(rig.ports["http"])),
        ws_frame(text()),
    )
    rival = nchan.start(rig)
    caster = rig.start_caster(
        rig.replies[kind + ".head"],
        rig.replies[kind + ".frame"],
        size.streams,
        f"127.0.0.1:{rig.ports['caster']}",
    )

    def publish(port):
        live = at(rig, port, "direct-live.http")
        return lambda n: rig.load(*live, "-c", PUBLISHERS, "-n", n)

    def side(port, pids, cast):
        return f"127.0.0.1:{rig.ports[port]}", pids, cast

    sides = {
        "Holdfast": side(
            "http", {"holdfastd": rig.daemon.pid}, publish("http")
        ),
        "caster": side(
            *("caster", {"caster": caster.pid}),
            lambda n: rig.tell(caster, f"cast {n}"),
        ),
    }
    if rival is not None:
        sides["Nchan"] = side("nchan", {"nginx": rival[1]}, publish("nchan"))
    results, cpu = cast_in_turns(rig, size, kind, "direct", sides)
    rig.stop(caster)
    rig.stop_daemon()
    if rival is not None:
        rig.stop(rival[0])
    rates = {name: median(runs, "rate") for name, runs in results.items()}
    bars = {"caster": 0.9, "Nchan": 1.2}
    for name in list(sides)[1:]:
        ratio = ratio_of(results, "Holdfast", name)
        report.row(
            f"http-ws: {TEXT_LEN} B to {size.streams:,} WebSockets on the "
            f"HTTP listener / from {name}, deliveries/s",
            f"{rates['Holdfast']:,.0f}",
            f"{rates[name]:,.0f}",
            ratio,
            f">= {bars[name]}",
            ratio >= bars[name],
        )
    nchan.remark(
        *(report, "http-ws", rival),
        "not stored there either, published by the same client",
    )
    report.remark(
        "http-ws",
        f"{size.frames:,} messages a round, {PUBLISHERS} publishes under way "
        "at the server measured; the caster has them all and writes one by "
        "one, as Nchan does, holdfastd writes together what was committed "
        "together",
    )
    counts = {
        name: sum(r["deliveries"] for r in runs)
        for name, runs in results.items()
    }
    report.processes("http-ws", cpu, counts, "delivery")


def bench_rss(rig, size, report):
    """holdfastd's own memory for a long-poll parked by HTTP."""
    address = f"127.0.0.1:{rig.ports['http']}"
    for what, channels in (
        ("one channel", 1),
        ("a channel each", size.parked),
    ):
        rig.start_daemon(rig.database(f"http-rss-{channels}"))
        rig.load(
            *("-a", address, "-r", rig.requests["direct-publish.http"]),
            *("-q", "-n", channels, "-m", channels),
        )
        poll = ("-a", address, "-r", rig.requests["direct-poll.http"])
        before, each = rig.held_memory(
            lambda n, m=channels: rig.start_parker(*poll, "-m", m, "-c", n),
            *("park", "parked", size.parked, size.parked_warm),
        )
        rig.stop_daemon()
        what = f"poll parked by HTTP, {size.parked:,} on {what}"
        report.memory("http-rss", what, before, each, 1536)

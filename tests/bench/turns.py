"""Sides that send requests in turns, so that what else the machine does
touches them alike.

Sides are compared round by round: what changes in the course of a run, a
channel that is full or a disk that gets slow, then changes both.  Every second
round goes backwards, so that none is always the first."""
import statistics

from report import median, say
from rig import Cpu

CONNECTIONS = 64
CHANNELS = 1000


def in_order(sides, turn):
    return list(sides.items())[:: -1 if turn % 2 else 1]


def ratio_of(results, ours, base):
    """How many times as fast: the median of the rounds' ratios."""
    pairs = zip(results[ours], results[base])
    return statistics.median(a["rate"] / b["rate"] for a, b in pairs)


def in_turns(rig, size, bench, sides):
    """Each side sends as much as it can: {side: results}, CPU.  A side is
    what `load` is told, and the processes behind it."""
    results, cpu = {name: [] for name in sides}, Cpu()
    common = ("-c", CONNECTIONS, "-m", CHANNELS)
    for args, _ in sides.values():
        rig.load(*args, *common, "-s", 0, "-n", size.warm)
    for turn in range(size.rounds):
        for name, (args, pids) in in_order(sides, turn):
            with cpu.span(name, pids):
                result = rig.load(*args, *common, "-s", turn + 1, *size.span)
            cpu.add(name, "load", result["cpu_s"])
            results[name].append(result)
            say(f"{bench}, {name}: {result['rate']:.0f}/s")
    return results, cpu


def requests_of(results):
    return {
        name: sum(r["requests"] for r in runs) for name, runs in results.items()
    }


def latencies(results):
    return "; ".join(
        f"{name} p50 {median(runs, 'p50_us') / 1e3:.2f} ms, "
        f"p99 {median(runs, 'p99_us') / 1e3:.2f} ms"
        for name, runs in results.items()
    )

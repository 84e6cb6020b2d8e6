"""What the benchmarks found, and how it is told."""
import statistics
import sys


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def median(results, name):
    return statistics.median(r[name] for r in results)


class Report:
    """What the benchmarks found: rows with a bar, CPU, remarks."""

    def __init__(self):
        self.rows = []
        self.cpu = []
        self.remarks = []
        self.values = []
        self.missed = 0

    def row(self, what, ours, base, value, bar, passed):
        self.missed += not passed
        self.values.append(value)
        verdict = "pass" if passed else "**miss**"
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        self.rows.append((what, ours, base, shown, bar, verdict))

    def remark(self, bench, text):
        self.remarks.append(f"{bench}: {text}")
        say(f"{bench}: {text}")

    def memory(self, bench, what, before, each, bar):
        """Rows and remark of what Rig.held_memory() measured; the dearer
        time counts."""
        value = max(e["VmRSS"] for e in each)
        self.row(
            f"{bench}: bytes per {what}",
            f"{value:,.0f}",
            "",
            value,
            f"<= {bar}",
            value <= bar,
        )
        first, again = each
        self.remark(
            bench,
            f"{what}: RSS before {before['VmRSS'] / 1024:,.0f} KiB; each "
            f"{first['VmRSS']:.0f} B, held again {again['VmRSS']:.0f} B "
            f"(anonymous {first['Pss_Anon']:.0f} and "
            f"{again['Pss_Anon']:.0f} B)",
        )

    def processes(self, bench, cpu, counts, unit):
        """CPU seconds of each process, and all of them for one request."""
        for side, used in cpu.used.items():
            each = ", ".join(f"{n} {s:.2f}" for n, s in used.items())
            one = sum(used.values()) / counts[side] * 1e6
            self.cpu.append((bench, side, each, f"{one:.1f} us/{unit}"))

    def markdown(self, about):
        def table(head, rows):
            lines = [head, ("---",) * len(head), *rows]
            return "\n".join("| " + " | ".join(r) + " |" for r in lines)

        head = ("benchmark", "measured", "against", "value", "bar", "")
        parts = [table(head, self.rows), about]
        head = ("benchmark", "side", "CPU seconds", "all together")
        parts += [table(head, self.cpu)] if self.cpu else []
        parts += ["\n".join("- " + r for r in self.remarks)]
        return "\n\n".join(parts) + "\n"

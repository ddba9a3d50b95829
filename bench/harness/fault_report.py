"""From the records of bench_load arrivals to figures, a table and a picture."""

import dataclasses
import html


@dataclasses.dataclass
class Record:
    at: float  # intended begin, seconds of the monotonic clock
    latency: float  # seconds to the end
    first: float  # seconds to the first token; 0: none came
    status: int
    outcome: str
    retry_after: bool
    attempts: int
    stream: bool = False

    @property
    def good(self):
        return self.outcome == "ok"

    @property
    def told_to_wait(self):
        """429 or 503 with Retry-After: refused, but said when to come again."""
        return self.status in (429, 503) and self.retry_after

    @property
    def kind(self):
        return f"status {self.status}" if self.outcome == "status" else self.outcome


def read(path):
    records = []
    with open(path) as file:
        for line in file:
            at, latency, first, status, outcome, retry, attempts, stream = line.split()
            records.append(Record(int(at) / 1e9, int(latency) / 1e9, int(first) / 1e9, int(status), outcome,
                                  retry == "1", int(attempts), stream == "1"))
    return sorted(records, key=lambda one: one.at)


def percentile(values, q):
    ordered = sorted(values)
    return ordered[round(q * (len(ordered) - 1))] if ordered else None


def latencies(records, key="latency"):
    """In milliseconds. What failed counts with the time it took: a quick refusal must not look fast, so
    the failures are told beside it."""
    values = [getattr(one, key) * 1000 for one in records if one.good]
    return {"p50_ms": percentile(values, 0.5), "p99_ms": percentile(values, 0.99),
            "max_ms": max(values, default=None),
            "mean_ms": sum(values) / len(values) if values else None}


def against_calm(calm, faulty):
    """The p99 of whole answers, and of the first token of streams: calm, with faults, and the worse ratio."""
    out, ratios = {}, []
    for name, key, stream in (("whole", "latency", False), ("first_token", "first", True)):
        before, after = (latencies([one for one in part if one.stream == stream], key) for part in (calm, faulty))
        out[name] = {"calm": before, "faulty": after}
        if before["p99_ms"] and after["p99_ms"]:
            ratios.append(after["p99_ms"] / before["p99_ms"])
    return out | {"p99_ratio": max(ratios, default=None)}


def totals(records):
    kinds = {}
    for one in records:
        if not one.good:
            kinds[one.kind] = kinds.get(one.kind, 0) + 1
    return {"requests": len(records), "good": sum(one.good for one in records), "failed": kinds,
            "failures": sum(kinds.values()), "told_to_wait": sum(one.told_to_wait for one in records),
            "retried": sum(one.attempts > 1 for one in records)}


def first_failed(records, base, most=50):
    """The first failed ones, each by itself."""
    return [{"second": round(one.at - base, 3), "how": one.kind, "stream": one.stream, "seconds": round(one.latency, 3),
             "attempts": one.attempts, "began": one.first > 0} for one in records if not one.good][:most]


def by_second(records, base):
    """[{second, requests, failures, p99_ms}, ...] by intended begin."""
    seconds = {}
    for one in records:
        seconds.setdefault(int(one.at - base), []).append(one)
    rows = []
    for second in sorted(seconds):
        part = seconds[second]
        p99 = percentile([one.latency * 1000 for one in part if one.good], 0.99)
        rows.append({"second": second, "requests": len(part), "failures": sum(not one.good for one in part),
                     "p99_ms": p99})
    return rows


# --- the picture

WIDTH, LEFT, RIGHT, PANEL, GAP = 1000, 70, 20, 90, 34
SHADES = {"kill": "#f3c2c2", "stall": "#f6e3b4", "500": "#d3d0f0", "down": "#f3c2c2"}


def _panel(top, seconds, values, most, colour, label, *, bars=False, log=False):
    """One row: its axis, its name and its line or bars."""
    import math

    def height(value):
        if log:
            return PANEL * max(0.0, math.log10(max(value, 1)) / math.log10(max(most, 10)))
        return PANEL * value / most if most else 0

    def x(second):
        return LEFT + (WIDTH - LEFT - RIGHT) * second / max(1, seconds)

    out = [f'<line x1="{LEFT}" y1="{top + PANEL}" x2="{WIDTH - RIGHT}" y2="{top + PANEL}" stroke="#999"/>',
           f'<text x="{LEFT}" y="{top - 5}" font-size="12" fill="{colour}">{html.escape(label)}</text>',
           f'<text x="{LEFT - 6}" y="{top + 10}" font-size="11" text-anchor="end">{most:.0f}</text>',
           f'<text x="{LEFT - 6}" y="{top + PANEL}" font-size="11" text-anchor="end">{1 if log else 0}</text>']
    if bars:
        wide = max(1.0, x(1) - x(0) - 0.5)
        out += [f'<rect x="{x(second):.1f}" y="{top + PANEL - height(value):.1f}" width="{wide:.1f}" '
                f'height="{height(value):.1f}" fill="{colour}"/>' for second, value in values if value]
    else:
        points = " ".join(f"{x(second + 0.5):.1f},{top + PANEL - height(value):.1f}"
                          for second, value in values if value is not None)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return out


def picture(runs, title):
    """An SVG with, for each run, requests/s, failures/s and p99 per second over its faults.

    runs: {name: {"seconds": by_second(...), "faults": [{"from", "to", "kind", "endpoint"}], "length": s}}
    """
    rows, top = [], 46
    most_p99 = max([row["p99_ms"] or 1 for run in runs.values() for row in run["seconds"]], default=1)
    most_failed = max([row["failures"] for run in runs.values() for row in run["seconds"]], default=0)
    most_requests = max([row["requests"] for run in runs.values() for row in run["seconds"]], default=1)
    for name, run in runs.items():
        begin = top
        body = []
        good = [(row["second"], row["requests"] - row["failures"]) for row in run["seconds"]]
        failed = [(row["second"], row["failures"]) for row in run["seconds"]]
        p99 = [(row["second"], row["p99_ms"]) for row in run["seconds"]]
        total = sum(row["failures"] for row in run["seconds"])
        for values, most, colour, label, kinds in (
                (good, most_requests, "#1b6e3c", f"{name}: answered well, a second", {}),
                (failed, max(most_failed, 1), "#b3261e", f"{name}: failed, a second ({total} in all)",
                 {"bars": True}),
                (p99, most_p99, "#1f4e9c", f"{name}: p99 of that second, ms (logarithmic)", {"log": True})):
            body += _panel(top + 14, run["length"], values, most, colour, label, **kinds)
            top += PANEL + GAP
        scale = (WIDTH - LEFT - RIGHT) / max(1, run["length"])
        for fault in run["faults"]:
            left, wide = LEFT + fault["from"] * scale, (fault["to"] - fault["from"]) * scale
            rows.append(f'<rect x="{left:.1f}" y="{begin}" width="{wide:.1f}" height="{top - begin - 8}" '
                        f'fill="{SHADES.get(fault["kind"], "#ddd")}" opacity="0.6"/>')
            rows.append(f'<text x="{left + 2:.1f}" y="{begin - 2}" font-size="11">'
                        f'{html.escape(fault["endpoint"] + ": " + fault["kind"])}</text>')
        rows += body
        top += 24
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif">'
            f'<rect width="100%" height="100%" fill="white"/>'
            f'<text x="{LEFT}" y="20" font-size="15">{html.escape(title)}</text>' + "\n".join(rows) + "</svg>\n")

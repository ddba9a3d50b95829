"""From figures to a table, to named metrics, and to a verdict against the kept ones."""

import statistics

GOALS = {  # name: (goal, "at least" or "at most", unit, what it is)
    "throughput_vs_nginx": (0.85, "at least", "", "requests/s, as a part of nginx's"),
    "cpu_vs_nginx": (None, "at most", "", "CPU a request, against nginx's"),
    "throughput_vs_haproxy": (None, "at least", "", "requests/s, as a part of HAProxy's"),
    "added_p50_us": (150, "at most", "us", "added to the median at a fixed rate"),
    "p50_vs_nginx": (None, "at most", "", "median at a fixed rate, against nginx's"),
    "streams_whole": (1.0, "at least", "", "part of the streams that came whole and in order"),
    "added_ttft_p99_ms": (5, "at most", "ms", "added to the 99th percentile of time to first token"),
    "token_cpu_vs_nginx": (None, "at most", "", "CPU a streamed token, against nginx's"),
    "rest_mb": (20, "at most", "MB", "resident at rest"),
    "streams_mb": (60, "at most", "MB", "resident with all streams open, peak"),
    "ready_ms": (50, "at most", "ms", "from exec to the first good /health"),
    "engine_tokens_ratio": (0.98, "at least", "", "tokens/s of a real engine, against asking it directly"),
}


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def paired(rows, others, key):
    """The median of the ratios round by round: what disturbs a round disturbs both."""
    ratios = [a[key] / b[key] for a, b in zip(rows, others) if b[key]]
    return statistics.median(ratios) if ratios else None


def added(rows, others, key):
    return statistics.median(a[key] - b[key] for a, b in zip(rows, others))


def metrics(result):
    out = {}
    requests, streams = result.get("requests", {}), result.get("streams", {})
    if "corral" in requests:
        corral = requests["corral"]
        out["added_p50_us"] = added(corral, requests["direct"], "rate_p50_us")
        if "nginx" in requests:
            nginx = requests["nginx"]
            out["throughput_vs_nginx"] = paired(corral, nginx, "per_second")
            out["cpu_vs_nginx"] = paired(corral, nginx, "cpu_us_per_request")
            out["p50_vs_nginx"] = paired(corral, nginx, "rate_p50_us")
        if "haproxy" in requests:
            out["throughput_vs_haproxy"] = paired(corral, requests["haproxy"], "per_second")
    if "corral" in streams:
        corral = streams["corral"]
        total = sum(row["whole"] + row["failed"] for row in corral)
        out["streams_whole"] = sum(row["whole"] for row in corral) / total
        out["added_ttft_p99_ms"] = added(corral, streams["direct"], "first_p99_ms")
        out["streams_mb"] = max(row["peak_mb"] for row in corral)
        if "nginx" in streams:
            out["token_cpu_vs_nginx"] = paired(corral, streams["nginx"], "cpu_us_per_token")
    if "rest" in result:
        out["rest_mb"] = result["rest"]["rest_mb"]
        out["ready_ms"] = result["rest"]["ready_ms"]
    if "engine" in result:
        speeds = result["engine"]
        out["engine_tokens_ratio"] = (statistics.median(speeds["corral"]) /
                                      statistics.median(speeds["direct"]))
    return {name: value for name, value in out.items() if value is not None}


def table(headings, rows):
    cells = [headings] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    lines = []
    for number, row in enumerate(cells):
        first, rest = row[0].ljust(widths[0]), row[1:]
        lines.append("  ".join([first] + [c.rjust(w) for c, w in zip(rest, widths[1:])]).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def requests_table(rounds):
    rows = []
    for name, runs in rounds.items():
        proxy = name != "direct"
        rows.append([
            name, f"{median(runs, 'per_second'):,.0f}", f"{max(r['per_second'] for r in runs):,.0f}",
            f"{median(runs, 'p50_us'):.0f}", f"{median(runs, 'p99_us'):.0f}",
            f"{median(runs, 'cpu_us_per_request'):.1f}" if proxy else "-",
            f"{median(runs, 'cpu_share'):.0%}" if proxy else "-",
            f"{median(runs, 'rate_p50_us'):.0f}", f"{median(runs, 'rate_p99_us'):.0f}",
            f"{max(r['peak_mb'] for r in runs):.1f}" if proxy else "-",
            sum(r["errors"] for r in runs)])
    return table(["", "req/s", "best", "p50 us", "p99 us", "CPU us/req", "CPU used", "p50@rate",
                  "p99@rate", "peak MB", "errors"], rows)


def streams_table(rounds):
    rows = []
    for name, runs in rounds.items():
        proxy = name != "direct"
        total = sum(r["whole"] + r["failed"] for r in runs)
        rows.append([
            name, f"{sum(r['whole'] for r in runs)}/{total}", sum(r["lost"] for r in runs),
            sum(r["reordered"] for r in runs), f"{median(runs, 'first_p50_ms'):.2f}",
            f"{median(runs, 'first_p99_ms'):.2f}", f"{median(runs, 'delay_p50_us'):.0f}",
            f"{median(runs, 'delay_p99_us'):.0f}",
            f"{median(runs, 'cpu_us_per_token'):.1f}" if proxy else "-",
            f"{max(r['peak_mb'] for r in runs):.1f}" if proxy else "-"])
    return table(["", "whole", "lost", "reordered", "first p50 ms", "first p99 ms",
                  "token delay p50 us", "p99 us", "CPU us/token", "peak MB"], rows)


def goals_table(values):
    rows = []
    for name, (goal, way, unit, what) in GOALS.items():
        if name not in values:
            continue
        value = values[name]
        met = "-" if goal is None else (
            "yes" if (value >= goal if way == "at least" else value <= goal) else "NO")
        rows.append([name, f"{value:.3g} {unit}".strip(),
                     "-" if goal is None else f"{way} {goal:g}", met, what])
    return table(["metric", "value", "goal", "met", "what it is"], rows)


def failures(values, baseline):
    """What is worse than the kept value by more than its margin, in words."""
    out = []
    for name, kept in baseline["metrics"].items():
        if name not in values:
            out.append(f"{name}: not measured, but the baseline keeps it")
            continue
        value, way = values[name], GOALS[name][1]
        limit = (kept["kept"] * (1 - kept["margin"]) - kept.get("slack", 0) if way == "at least" else
                 kept["kept"] * (1 + kept["margin"]) + kept.get("slack", 0))
        if value < limit if way == "at least" else value > limit:
            out.append(f"{name} is {value:.3g}; kept {kept['kept']:.3g}, allowed {way} {limit:.3g} "
                       f"({GOALS[name][3]})")
    return out

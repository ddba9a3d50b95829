"""Lines covered per module, from the profiles that a coverage build's programs left."""

import json
import re
import subprocess
from collections import defaultdict

from runner import Tally, say

IN_ALL = 90.0
IN_CORE = 95.0
SOURCE = re.compile(r"(?:^|/)src/([a-z]+)/(.+)$")


def summarise(files):
    """{module: [covered, lines]} and the same for each core/ folder, from llvm-cov's file list.

    `files` is a list of (name, covered, lines). Tests and their helpers do not count.
    """
    modules, cores = defaultdict(lambda: [0, 0]), defaultdict(lambda: [0, 0])
    for name, covered, lines in files:
        match = SOURCE.search(name)
        if not match or re.search(r"(^|/)(tests|testing)/", match.group(2)):
            continue
        module, rest = match.groups()
        groups = [modules[module]]
        parts = rest.split("/")
        if "core" in parts[:-1]:
            groups.append(cores["/".join([module, *parts[: parts.index("core") + 1]])])
        for group in groups:
            group[0] += covered
            group[1] += lines
    return dict(modules), dict(cores)


def percent(pair):
    return 100.0 * pair[0] / pair[1] if pair[1] else 100.0


def verdict(modules, cores):
    """A test for the whole and one for each core/ folder."""
    tally = Tally()
    total = [sum(pair[i] for pair in modules.values()) for i in (0, 1)]
    for name, pair, least in [("all modules", total, IN_ALL)] + [
        (name, pair, IN_CORE) for name, pair in sorted(cores.items())
    ]:
        if pair[1] and percent(pair) >= least:
            tally.passed += 1
        else:
            tally.failed += 1
            advice = f"{percent(pair):.1f} % of lines, {least:.0f} % wanted: build/coverage/report.txt shows the lines"
            tally.failures.append((f"coverage of {name}", advice))
    return tally, total


def check(folder, programs):
    profiles = sorted((folder / "profile").glob("*.profraw"))
    if not profiles or not programs:
        return Tally(failed=1, failures=[("coverage", "no program left a profile")])
    merged = folder / "all.profdata"
    subprocess.run(
        ["llvm-profdata-19", "merge", "-sparse", "-failure-mode=all", "-o", merged, *profiles], check=True
    )
    objects = [word for path in programs[1:] for word in ("-object", path)]
    common = [programs[0], *objects, f"-instr-profile={merged}", "-ignore-filename-regex=/usr/|/tests/"]
    exported = subprocess.run(
        ["llvm-cov-19", "export", "-summary-only", *common], check=True, capture_output=True, cwd=folder
    ).stdout
    with (folder / "report.txt").open("w") as report:
        subprocess.run(
            ["llvm-cov-19", "show", "-show-line-counts", *common], stdout=report, check=False, cwd=folder
        )
    files = [
        (one["filename"], one["summary"]["lines"]["covered"], one["summary"]["lines"]["count"])
        for one in json.loads(exported)["data"][0]["files"]
    ]
    modules, cores = summarise(files)
    for name, pair in sorted(modules.items()) + sorted(cores.items()):
        say(f"    {name:28} {percent(pair):5.1f} %  of {pair[1]} lines")
    tally, total = verdict(modules, cores)
    say(f"    {'all':28} {percent(total):5.1f} %  of {total[1]} lines")
    return tally

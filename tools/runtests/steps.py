"""The steps of scripts/test, in their order. Each returns a Tally (runner.py)."""

import concurrent.futures
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

import coverage
from runner import (
    ROOT,
    Tally,
    build,
    cache_folder,
    counted,
    gtest_counts,
    pytest_counts,
    run,
    say,
    single,
    unittest_counts,
)

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    "ASAN_SYMBOLIZER_PATH": "/usr/bin/llvm-symbolizer-19",
    "TSAN_SYMBOLIZER_PATH": "/usr/bin/llvm-symbolizer-19",
}
CONCURRENT = ("net", "engines", "gateway", "scheduler", "store", "telemetry")
# Tests wait for clocks and processes more than they compute; more at once only slow each other down on
# two cores.
BLACK_BOX_WORKERS = 5
UNIT_WORKERS = 4
SHARDS = {"scheduler": 3, "models": 3, "gateway": 2, "net": 2}  # the longest programs, run in parts
FUZZ_SECONDS = 6


def cxx_files():
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "-co", "--exclude-standard", "*.cpp", "*.hpp", "*.cc"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


def venv():
    """The suite's Python: made once per requirements.txt in the user's cache. (python, failure)"""
    wanted = ROOT / "tests" / "requirements.txt"
    key = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_folder() / "venv" / key
    python = folder / "bin" / "python"
    if (folder / ".complete").exists():
        return python, None
    say("    making the Python environment for the tests")
    shutil.rmtree(folder, ignore_errors=True)
    commands = (
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes",
         "-r", wanted],
    )
    for command in commands:
        ran = run("venv", command, timeout=600)
        if ran.code:
            advice = "check the network and the package index (pip config list)"
            return python, single("python environment", ran, advice)
    (folder / ".complete").touch()
    return python, None


def step_engine(_):
    ran = run("engine", ["scripts/build-engine"], timeout=2400, show=lambda line: True)
    if ran.code == 0:
        return Tally()
    return single("engine", ran, "run scripts/build-engine by itself; it goes on where it stopped")


def step_format(_):
    ran = run("format", ["clang-format-19", "--dry-run", "-Werror", *cxx_files()], timeout=300)
    return single("clang-format", ran, "clang-format-19 -i FILE mends it")


def step_includes(_):
    ran = run("includes", [sys.executable, "tools/lint/check_includes.py"], timeout=60)
    return single("include directions", ran, "docs/architecture.md says which module may use which")


def step_secrets(_):
    ran = run("secrets", [sys.executable, "tools/lint/check_secrets.py"], timeout=60)
    advice = "take the secret out, and change it; what is none goes to tools/lint/secrets-allowed.txt"
    return single("secrets", ran, advice)


def step_python(_):
    python, failed = venv()
    if failed:
        return failed
    tally = Tally()
    ran = run("python-compile", [sys.executable, "-m", "compileall", "-q", "tests", "tools", "bench"], timeout=120)
    tally.add(single("python syntax", ran, "the file and line are above"))
    ran = run("ruff", [python, "-m", "ruff", "check", "--no-cache", "."], timeout=120)
    tally.add(single("ruff", ran, f"{python} -m ruff check --fix . mends most of it"))
    for folder in ("tools/lint/tests", "tools/runtests/tests"):
        ran = run(
            f"python-{folder.split('/')[1]}",
            [sys.executable, "-B", "-m", "unittest", "discover", "-s", folder],
            timeout=120,
        )
        tally.add(counted(folder, ran, *unittest_counts(ran.output), "the failing test is above"))
    return tally


def step_tidy(_):
    python, failed = venv()
    if failed:
        return failed
    tally = build("debug", ["build.ninja"])  # which sources there are; none is compiled
    if tally.failed:
        return tally
    ran = run("tidy", [python, "tools/lint/tidy.py"], timeout=2700, show=lambda line: "tidy: " in line)
    advice = f"each finding names its check; {python} tools/lint/tidy.py FILE repeats one file"
    return single("clang-tidy", ran, advice)


def run_unit_tests(preset, modules, env):
    """Builds what the modules' tests need and runs each program there is."""
    targets = [f"{module}_tests" for module in modules]
    tally = build(preset, targets)

    def run_part(part):
        target, index, parts = part
        program = ROOT / "build" / preset / "bin" / target
        if not program.is_file():
            return Tally(failed=1, failures=[(f"{target} ({preset})", "it was not built; see the build's message")])
        sharded = {"GTEST_TOTAL_SHARDS": str(parts), "GTEST_SHARD_INDEX": str(index)} if parts > 1 else {}
        profile = {"LLVM_PROFILE_FILE": str(ROOT / "build" / preset / "profile" / f"{target}-%p.profraw")}
        name = f"{target} {index + 1}/{parts}" if parts > 1 else target
        ran = run(
            f"{name.replace(' ', '-').replace('/', 'of')}-{preset}",
            [program, "--gtest_color=no"],
            timeout=600,
            env={**env, **profile, **sharded},
        )
        one = counted(
            f"{name} ({preset})",
            ran,
            *gtest_counts(ran.output),
            f"build/{preset}/bin/{target} --gtest_filter=NAME repeats one test",
        )
        say(f"    {name}: {one.passed} passed, {one.failed} failed ({ran.seconds:.1f} s)")
        return one

    return side_by_side(UNIT_WORKERS, run_part, parts_of(modules), tally)


def parts_of(modules):
    """(program, index, number of parts) of all test programs; the longest first."""
    longest_first = sorted(modules, key=lambda module: -SHARDS.get(module, 1))
    return [
        (f"{module}_tests", index, SHARDS.get(module, 1))
        for module in longest_first
        for index in range(SHARDS.get(module, 1))
    ]


def side_by_side(most, work, items, tally):
    """Runs `work` for each item, up to `most` at once; adds their tallies."""
    with concurrent.futures.ThreadPoolExecutor(most) as pool:
        for one in pool.map(work, items):
            tally.add(one)
    return tally


def modules_with_tests():
    return sorted(
        path.parent.parent.name
        for path in {next(iter(folder.glob("*.cpp")), folder / "x") for folder in (ROOT / "src").glob("*/tests")}
        if path.is_file()
    )


def step_unit(_):
    return run_unit_tests("debug", modules_with_tests(), SANITIZERS)


def step_tsan(_):
    modules = [module for module in CONCURRENT if module in modules_with_tests()]
    return run_unit_tests("tsan", modules, SANITIZERS)


def run_black_box(name, binary, env=None):
    python, failed = venv()
    if failed:
        return failed
    engine = subprocess.run(
        [ROOT / "scripts" / "build-engine"], capture_output=True, text=True, cwd=ROOT
    ).stdout.strip()
    tally = Tally()
    beside = ["-m", "not alone", "-n", str(BLACK_BOX_WORKERS), "--dist", "loadfile",
              "--no-loadscope-reorder"]
    for part, choice in ((name, beside), (f"{name}-alone", ["-m", "alone"])):
        ran = run(
            part,
            [python, "-B", "-m", "pytest", "-p", "no:cacheprovider", "tests", "-v", "--tb=short", "--color=no",
             "--durations=25", *choice],
            timeout=1500,
            env={"CORRAL_BIN": str(binary), "CORRAL_TEST_ENGINE": engine, **(env or {})},
            show=lambda line: " FAILED " in line or " ERROR " in line or "[100%]" in line,
        )
        advice = f"{python} -m pytest tests -k NAME repeats one test; the server's log is in its report"
        tally.add(counted(part, ran, *pytest_counts(ran.output), advice))
    return tally


def step_blackbox(_):
    tally = build("release", ["corral", "bench_upstream", "fake_docker"], keep_going=False)
    if tally.failed:
        return tally
    return run_black_box("black-box", ROOT / "build" / "release" / "bin" / "corral")


def step_fuzz(_):
    names = sorted(path.stem for path in (ROOT / "fuzz").glob("*_fuzz.cpp"))
    tally = build("debug", ["fuzzers"])

    def run_fuzzer(name):
        program = ROOT / "build" / "debug" / "bin" / name
        if not program.is_file():
            return Tally(failed=1, failures=[(name, "it was not built; see the build's message")])
        seeds = ROOT / "fuzz" / "corpus" / name
        with tempfile.TemporaryDirectory() as found:
            folders = [found, *([seeds] if seeds.is_dir() else [])]
            ran = run(
                f"fuzz-{name}",
                [program, f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
                 "-max_len=65536", f"-artifact_prefix={ROOT}/build/debug/{name}-", *folders],
                timeout=FUZZ_SECONDS * 5 + 60,
                env=SANITIZERS,
            )
        one = single(name, ran, f"the input is build/debug/{name}-*; build/debug/bin/{name} FILE repeats it")
        say(f"    {name}: {'clean' if one.passed else 'FAILED'} ({ran.seconds:.0f} s)")
        return one

    return side_by_side(2, run_fuzzer, names, tally)


def step_bench(_):
    tally = build("release", keep_going=False)
    if tally.failed:
        return tally
    ran = run("bench-selftest", ["bench/selftest"], timeout=120)
    tally.add(single("bench selftest", ran, "the bench's own tools do not add up"))
    ran = run("bench-micro", ["bench/micro/check"], timeout=400, show=lambda line: True)
    tally.add(single("bench decisions", ran, "bench/micro/check repeats it; build/release/bin/corral_micro has more"))
    # Ratios are kept against nginx; the whole comparison has HAProxy as well.
    ran = run("bench-check", ["bench/check", "--without", "haproxy"], timeout=600, show=lambda line: True)
    advice = "a ratio fell by more than its margin: bench/run shows the whole table"
    tally.add(single("bench ratios", ran, advice))
    ran = run("bench-faults", ["bench/faults", "--no-build", "--quick", "--only", "turn,down",
              "--without", "haproxy"], timeout=400, show=lambda line: True)
    tally.add(single("bench faults", ran, "a goal was missed while endpoints failed: see the table"))
    return tally


def step_coverage(_):
    folder = ROOT / "build" / "coverage"
    shutil.rmtree(folder / "profile", ignore_errors=True)
    modules = modules_with_tests()
    tally = run_unit_tests("coverage", modules, {})
    tally.add(build("coverage", ["corral", "bench_upstream", "fake_docker"]))
    binary = folder / "bin" / "corral"
    if binary.is_file():
        profile = {"LLVM_PROFILE_FILE": str(folder / "profile" / "corral-%p.profraw")}
        tally.add(run_black_box("black-box-coverage", binary, profile))
    programs = [folder / "bin" / f"{module}_tests" for module in modules] + [binary]
    tally.add(coverage.check(folder, [path for path in programs if path.is_file()]))
    return tally


STEPS = {
    "engine": ("the engine (built once, then kept)", step_engine),
    "format": ("clang-format", step_format),
    "includes": ("include directions", step_includes),
    "secrets": ("scan for secrets", step_secrets),
    "python": ("Python sources and the checks' own tests", step_python),
    "unit": ("unit tests under ASan and UBSan", step_unit),
    "tidy": ("clang-tidy", step_tidy),
    "tsan": ("unit tests of the concurrent modules under TSan", step_tsan),
    "blackbox": ("black-box suite on the release build", step_blackbox),
    "fuzz": (f"fuzz targets, {FUZZ_SECONDS} s each", step_fuzz),
    "bench": ("short bench against the kept ratios", step_bench),
}
EXTRA = {"coverage": ("lines covered, per module", step_coverage)}


def default_environment():
    """What every step's commands are given."""
    os.environ.setdefault("CCACHE_MAXSIZE", "10G")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["NINJA_STATUS"] = "[%f/%t] "


def known(names):
    return [name for name in names if name in STEPS or name in EXTRA]




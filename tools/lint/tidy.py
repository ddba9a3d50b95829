"""Runs clang-tidy over our sources and remembers what was clean.

clang-tidy takes 5 to 15 seconds a file, nearly all of them in the library headers. Two things save
them. Files of one module that need checking are joined into one text, so that the headers are
walked once for all (files that cannot stand in one text, for they define the same name, are taken
apart again). And a clean result is kept in the user's cache under a hash of all that it depends on:
the source, every header of ours that it includes (directly or not), its compile arguments with the
checkout's path taken out, the checks, and the tool's version with those of the installed libraries.
A checkout at another path finds it again.

    python3 tools/lint/tidy.py [--build build/debug] [--jobs N] [FILE...]

Needs compile_commands.json and the precompiled header in the build folder. Prints findings, and
last `tidy: N checked, N remembered, N with findings`. Ends 1 if there are findings.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

TIDY = "clang-tidy-19"
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "corral" / "tidy"


def toolchain_identity():
    """The tool's version and those of all development packages, whose headers are read."""
    version = subprocess.run([TIDY, "--version"], capture_output=True, text=True).stdout
    packages = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "*-dev"],
        capture_output=True,
        text=True,
    ).stdout
    return version + packages


class Headers:
    """The text of our files and, for a file, the set of ours that it includes, itself among them."""

    def __init__(self, src):
        self.src = src
        self.texts = {}
        self.direct = {}

    def text(self, path):
        if path not in self.texts:
            self.texts[path] = path.read_bytes() if path.is_file() else None
        return self.texts[path]

    def included_by(self, path):
        if path not in self.direct:
            text = self.text(path).decode(errors="replace")
            found = []
            for target in INCLUDE.findall(text):
                for candidate in (self.src / target, path.parent / target):
                    candidate = pathlib.Path(os.path.normpath(candidate))
                    if self.text(candidate) is not None:
                        found.append(candidate)
                        break
            self.direct[path] = found
        return self.direct[path]

    def closure(self, path):
        seen, queue = {path}, [path]
        while queue:
            for one in self.included_by(queue.pop()):
                if one not in seen:
                    seen.add(one)
                    queue.append(one)
        return sorted(seen)


def sources_of(entry, root):
    """The sources that an entry compiles: a text in build/PRESET/joined includes several."""
    path = pathlib.Path(entry["file"])
    if path.parent.name != "joined":
        return [path]
    return [root / "src" / name for name in INCLUDE.findall(path.read_text())]


def key_of(path, entry, root, headers, common):
    digest = hashlib.sha256(common)
    arguments = "\0".join(tidy_arguments(entry))
    digest.update(arguments.replace(str(root), "<root>").encode())
    for one in headers.closure(path):
        digest.update(str(one.relative_to(root)).encode() + b"\0")
        digest.update(hashlib.sha256(headers.text(one)).digest())
    return digest.hexdigest()


class Joined:
    """Several sources in one text, and the way back from its lines to theirs."""

    def __init__(self, paths):
        self.starts = []  # (first line in the joined text, path)
        lines = []
        for path in paths:
            self.starts.append((len(lines) + 1, path))
            lines += path.read_text(errors="replace").splitlines()
        self.text = "\n".join(lines) + "\n"

    def original(self, line):
        first, path = [start for start in self.starts if start[0] <= line][-1]
        return path, line - first + 1

    def translate(self, output, name):
        def place(match):
            path, line = self.original(int(match.group(1)))
            return f"{path}:{line}:"

        return re.sub(re.escape(name) + r":(\d+):", place, output)


def tidy_arguments(entry):
    """The compile arguments without the compiler, the output and the source."""
    words = shlex.split(entry["command"])[1:]
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "-c", "-MF", "-MT", "-MQ"):
            skip = True
        elif word not in ("-MD", "-MMD") and not word.endswith("/compile-cached"):
            kept.append(word)
    return kept


NOISE = re.compile(r"^\d+ warnings?( and \d+ errors?)? (generated|treated as error)|^Suppressed |^Use -h")
BROKEN = re.compile(r"\[clang-diagnostic-error|error: .*file not found|too many errors emitted")


def run_tidy(paths, entry, build):
    """Checks the files in one run: {path: findings} of those with any. Splits what does not join."""
    joined = Joined(paths)
    folder = build / "tidy"
    folder.mkdir(exist_ok=True)
    name = hashlib.sha256("\0".join(map(str, paths)).encode()).hexdigest()[:16]
    source = folder / f"{paths[0].stem}-{name}.cpp"
    source.write_text(joined.text)
    command = [TIDY, "--quiet", f"--config-file={build.parents[1] / '.clang-tidy'}", str(source)]
    result = subprocess.run(
        command + ["--", *tidy_arguments(entry), f"-I{paths[0].parent}"],
        capture_output=True,
        text=True,
        cwd=build,
    )
    if len(paths) > 1 and (BROKEN.search(result.stdout) or (result.returncode and not result.stdout)):
        half = len(paths) // 2
        return run_tidy(paths[:half], entry, build) | run_tidy(paths[half:], entry, build)
    source.unlink()
    kept = [line for line in result.stdout.splitlines() if not NOISE.match(line)]
    if result.returncode and not any(kept):
        kept = result.stderr.splitlines()[-20:]
    if not result.returncode:
        return {}
    text = joined.translate("\n".join(kept).strip(), str(source))
    guilty = [path for path in paths if f"{path}:" in text] or paths
    return {path: text if path == guilty[0] else "" for path in guilty}


def batches(todo, jobs):
    """The files by module, at most sixteen together, and no fewer batches than there are jobs."""
    by_module = {}
    for path in todo:
        by_module.setdefault(module_of(path), []).append(path)
    size = max(1, min(16, -(-len(todo) // jobs)))
    return [
        paths[first : first + size]
        for paths in by_module.values()
        for first in range(0, len(paths), size)
    ]


def module_of(path):
    parts = path.parts
    return parts[len(parts) - 1 - parts[::-1].index("src") + 1], "tests" in parts


def wanted(path, root, tests):
    relative = path.relative_to(root)
    return relative.parts[0] == "src" and (tests or "tests" not in relative.parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/debug")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--tests", action="store_true", help="the unit tests' sources too")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()

    root = pathlib.Path(__file__).resolve().parents[2]
    build = (root / options.build).resolve()
    database = json.loads((build / "compile_commands.json").read_text())
    only = {pathlib.Path(name).resolve() for name in options.files}
    entries = {}
    for entry in database:
        for path in sources_of(entry, root):
            if root in path.parents and path.is_file() and wanted(path, root, options.tests):
                if not only or path in only:
                    entries[path] = entry

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    headers = Headers(root / "src")
    common = toolchain_identity().encode() + (root / ".clang-tidy").read_bytes()
    keys = {path: key_of(path, entry, root, headers, common) for path, entry in entries.items()}
    todo = [path for path in sorted(entries) if not (folder / keys[path]).exists()]
    for path in entries:
        if (folder / keys[path]).exists():
            os.utime(folder / keys[path])

    bad = done = 0
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {
            pool.submit(run_tidy, paths, entries[paths[0]], build): paths
            for paths in batches(todo, options.jobs)
        }
        for future in concurrent.futures.as_completed(running):
            findings = future.result()
            for path in running[future]:
                if path not in findings:
                    (folder / keys[path]).touch()
            for text in filter(None, findings.values()):
                print(text, flush=True)
            bad += len(findings)
            done += len(running[future])
            spent = time.monotonic() - start
            print(f"tidy: {done}/{len(todo)} files, {spent:.0f} s", file=sys.stderr, flush=True)
    forget_old(folder)
    print(f"tidy: {len(entries)} checked, {len(entries) - len(todo)} remembered, {bad} with findings")
    return 1 if bad else 0


def forget_old(folder):
    """Results that no run asked for in 30 days go."""
    limit = time.time() - 30 * 24 * 3600
    for path in folder.iterdir():
        if path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())

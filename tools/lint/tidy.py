"""Runs clang-tidy over our sources and remembers what was clean.

A file by itself takes 5 seconds, nearly all of them to read the libraries' headers. Two things save
them. Files of one module that need checking are joined into one text, so that the headers are read
once for all (files that cannot stand in one text, for they define the same name, are taken apart
again). And a clean result is kept in the user's cache under a hash of all that it depends on: the
source, every header of ours that it includes (directly or not), its compile arguments with the
checkout's path taken out, the checks, and the tool's version with those of the installed libraries.
A checkout at another path finds it again.

    PYTHON tools/lint/tidy.py [--tidy PROGRAM] [--build build/debug] [--jobs N] [--forget] [FILE...]

PYTHON is that of the tests' environment, beside which clang-tidy stands (tests/requirements.txt says
which version; it is not the compiler's, for the one of clang 19 matches its checks against all that
stands in system headers, too). Needs a build folder that is configured; nothing need be built. Prints
findings, and last `tidy: N checked, N remembered, N with findings`. Ends 1 if there are findings.
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

MOST_JOINED = 32  # files in one text
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "corral" / "tidy"


def beside_python():
    """Where pip puts the program when it installs the package clang-tidy."""
    return pathlib.Path(sys.executable).parent / "clang-tidy"


def toolchain_identity(tidy):
    """The tool's version and those of all development packages, whose headers are read."""
    version = subprocess.run([tidy, "--version"], capture_output=True, text=True, check=True).stdout
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
    digest.update(common_header(entry))
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
    """The compile arguments without the compiler, the output, the source and the common header.

    The precompiled header is the compiler's own: clang-tidy of another version cannot read it.
    """
    words = shlex.split(entry["command"])[1:]
    kept, skip = [], False
    for word, after in zip(words, [*words[1:], ""]):
        if skip:
            skip = False
        elif word in ("-o", "-c", "-MF", "-MT", "-MQ"):
            skip = True
        elif word == "-Xclang":
            skip = PRECOMPILED.search(after) is not None
            if not skip:
                kept.append(word)
        elif word not in ("-MD", "-MMD", "-Winvalid-pch") and not word.endswith("/compile-cached"):
            kept.append(word)
    return kept


def common_header(entry):
    """The text of the header that CMake has precompiled for the entry; empty if it has none."""
    words = shlex.split(entry["command"])
    return b"".join(pathlib.Path(word).read_bytes() for word in words if word.endswith("/cmake_pch.hxx"))


PRECOMPILED = re.compile(r"^(-include-pch|-include|-fno-pch-timestamp)$|/cmake_pch\.hxx(\.pch)?$")
NOISE = re.compile(r"^\d+ warnings?( and \d+ errors?)? (generated|treated as error)|^Suppressed |^Use -h")
BROKEN = re.compile(r"\[clang-diagnostic-error|error: .*file not found|too many errors emitted")


def command_for(tidy, source, header, entry, paths, build):
    """How the joined text is checked. The common header stands in a copy, for the compiler takes one
    that is named *.pch beside the header for its own."""
    config = build.parents[1] / ".clang-tidy"
    arguments = [*tidy_arguments(entry), f"-I{paths[0].parent}"]
    if header.stat().st_size:
        arguments += ["-include", str(header)]
    return [str(tidy), "--quiet", f"--config-file={config}", str(source), "--", *arguments]


def run_tidy(tidy, paths, entry, build):
    """Checks the files in one run: {path: findings} of those with any. Splits what does not join."""
    joined = Joined(paths)
    folder = build / "tidy"
    folder.mkdir(exist_ok=True)
    name = hashlib.sha256("\0".join(map(str, paths)).encode()).hexdigest()[:16]
    source = folder / f"{paths[0].stem}-{name}.cpp"
    header = source.with_suffix(".hxx")
    source.write_text(joined.text)
    header.write_bytes(common_header(entry))
    command = command_for(tidy, source, header, entry, paths, build)
    result = subprocess.run(command, capture_output=True, text=True, cwd=build)
    source.unlink()
    header.unlink()
    if len(paths) > 1 and (BROKEN.search(result.stdout) or (result.returncode and not result.stdout)):
        half = len(paths) // 2
        return run_tidy(tidy, paths[:half], entry, build) | run_tidy(tidy, paths[half:], entry, build)
    kept = [line for line in result.stdout.splitlines() if not NOISE.match(line)]
    if result.returncode and not any(kept):
        kept = result.stderr.splitlines()[-20:]
    if not result.returncode:
        return {}
    text = joined.translate("\n".join(kept).strip(), str(source))
    guilty = [path for path in paths if f"{path}:" in text] or paths
    return {path: text if path == guilty[0] else "" for path in guilty}


def batches(todo, jobs):
    """The files by module, shared out evenly among the fewest texts that give each job one."""
    by_module = {}
    for path in todo:
        by_module.setdefault(module_of(path), []).append(path)
    most = max(1, min(MOST_JOINED, -(-len(todo) // jobs)))
    shared = []
    for paths in by_module.values():
        texts = -(-len(paths) // most)
        size = -(-len(paths) // texts)
        shared += [paths[first : first + size] for first in range(0, len(paths), size)]
    return shared


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
    parser.add_argument("--tidy", type=pathlib.Path, default=beside_python(), help="the program clang-tidy")
    parser.add_argument("--forget", action="store_true", help="check what is remembered as clean, too")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    if not options.tidy.is_file():
        advice = "run this by the Python of the tests' environment, or name the program by --tidy"
        parser.error(f"there is no {options.tidy}: {advice}")

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
    common = toolchain_identity(options.tidy).encode() + (root / ".clang-tidy").read_bytes()
    keys = {path: key_of(path, entry, root, headers, common) for path, entry in entries.items()}
    if options.forget:
        for key in keys.values():
            (folder / key).unlink(missing_ok=True)
    todo = [path for path in sorted(entries) if not (folder / keys[path]).exists()]
    for path in entries:
        if (folder / keys[path]).exists():
            os.utime(folder / keys[path])

    bad = done = 0
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {
            pool.submit(run_tidy, options.tidy, paths, entries[paths[0]], build): paths
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

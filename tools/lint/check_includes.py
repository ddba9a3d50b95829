"""Checks that includes follow the house's one direction of dependency.

The root CMakeLists.txt lists the modules in order; a module's own CMakeLists.txt names in USES the
modules it may include, and those must lie above it. Outside libraries that the architecture keeps
in one place (sockets, databases, the operating system) may be named only there.

    python3 tools/lint/check_includes.py [ROOT]

Prints one line per violation, `path:line: text`, and ends 1 if there is any.
"""

import pathlib
import re
import sys
from dataclasses import dataclass

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


@dataclass(frozen=True)
class Rule:
    """Headers matching `pattern` may be included only by `modules`."""

    what: str
    pattern: re.Pattern
    modules: frozenset
    tests_too: bool  # whether the rule holds for tests as well


def rule(what, pattern, modules, tests_too=True):
    return Rule(what, re.compile(pattern), frozenset(modules), tests_too)


RULES = (
    rule("Beast", r"boost/beast(/|\.hpp)", {"net"}),
    rule(
        "an Asio socket",
        r"boost/asio(\.hpp|/(ip|local|generic|posix|ssl)/|/ssl\.hpp|/.*socket)",
        {"net"},
    ),
    rule("OpenSSL", r"openssl/(?!evp\.h)", {"net", "identity"}),
    # Files are checked against their SHA-256 as they come.
    rule("OpenSSL's hashes", r"openssl/evp\.h", {"net", "identity", "models"}),
    rule("a database client", r"(sqlite3|libpq-fe|hiredis/.*)(\.h)?$|soci/", {"store"}),
    rule("spdlog", r"spdlog/", {"telemetry"}),
    rule("prometheus-cpp", r"prometheus/", {"telemetry"}),
    rule("yaml-cpp", r"yaml-cpp/", {"config"}),
    rule("CLI11", r"CLI/", {"cli"}),
    rule(
        "the operating system",
        r"(sys|net|netinet|arpa|linux|asm)/|"
        r"(unistd|fcntl|poll|signal|pthread|dirent|sched|spawn|dlfcn|termios|pwd|grp|netdb|"
        r"syslog|ifaddrs|libgen|utime|mntent|ucontext|execinfo)\.h$",
        {"sys", "net"},
        tests_too=False,
    ),
)


def module_order(root):
    text = (root / "CMakeLists.txt").read_text()
    match = re.search(r"foreach\(module\s+([^)]*)\)", text)
    if not match:
        raise SystemExit("CMakeLists.txt: no `foreach(module ...)` with the order of the modules")
    return match.group(1).split()


def module_uses(root, module):
    """The names after USES in src/MODULE/CMakeLists.txt, up to the next keyword or the end."""
    text = re.sub(r"#.*", "", (root / "src" / module / "CMakeLists.txt").read_text())
    match = re.search(r"corral_module\(\s*" + re.escape(module) + r"\b([^)]*)\)", text)
    if not match:
        return None
    uses, taking = [], False
    for word in match.group(1).split():
        if word.isupper() and len(word) > 1:
            taking = word == "USES"
        elif taking:
            uses.append(word)
    return uses


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def check_uses(root, order):
    """The uses per module, and the violations in the declarations themselves."""
    uses, found = {}, []
    for module in order:
        where = f"src/{module}/CMakeLists.txt"
        if not (root / where).is_file():
            found.append(f"{where}:1: the module {module} has no CMakeLists.txt")
            continue
        named = module_uses(root, module)
        if named is None:
            found.append(f"{where}:1: no corral_module({module} ...)")
            continue
        uses[module] = set(named)
        for other in named:
            if other not in order:
                found.append(f"{where}:1: USES names {other}, which is no module")
            elif order.index(other) >= order.index(module):
                found.append(f"{where}:1: USES names {other}, which does not lie above {module}")
    for folder in sorted(path.name for path in (root / "src").iterdir() if path.is_dir()):
        if folder not in order:
            found.append(f"src/{folder}:1: the folder is no module of the root CMakeLists.txt")
    return uses, found


def check_file(root, path, module, uses, order):
    found = []
    where = path.relative_to(root)
    in_tests = "tests" in where.parts or "testing" in where.parts
    for number, quoted, target in includes(path):
        first = target.split("/")[0]
        if quoted and ".." in target.split("/"):
            found.append(f'{where}:{number}: "{target}" climbs out; write includes from src/')
        elif first in order and quoted and first != module and first not in uses:
            found.append(
                f'{where}:{number}: "{target}": the module {module} does not name {first} in USES'
            )
        elif not quoted and first in order and (root / "src" / target).is_file():
            found.append(f'{where}:{number}: <{target}> is ours: write it with quotes')
        for one in RULES:
            if module in one.modules or (in_tests and not one.tests_too):
                continue
            ours = (quoted and first in order) or (root / "src" / target).is_file()
            if one.pattern.match(target) and not ours:
                allowed = ", ".join(sorted(one.modules))
                found.append(f"{where}:{number}: {target}: only {allowed} may name {one.what}")
    return found


def check(root):
    order = module_order(root)
    uses, found = check_uses(root, order)
    for module in order:
        for path in sorted((root / "src" / module).rglob("*.[ch]pp")):
            found += check_file(root, path, module, uses.get(module, set()), order)
    return found


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = check(root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

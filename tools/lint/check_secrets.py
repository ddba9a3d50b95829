"""Looks for secrets in the files of the repository: private keys, tokens, assigned random strings.

    python3 tools/lint/check_secrets.py [ROOT]

Reads what git tracks or would add. A finding is printed as `path:line: text` without the secret
itself, and any finding makes the exit code 1. What is no secret although it looks like one stands
in secrets-allowed.txt beside this file: one `path-glob  regular-expression` a line, matched against
the line that was found.
"""

import fnmatch
import math
import pathlib
import re
import subprocess
import sys

KNOWN = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
    ("an OpenAI key", re.compile(r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a Google key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}")),
    ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[\w-]{10,}")),
    ("credentials in a URL", re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"<>{}$]+:[^\s/@'\"<>{}$]{6,}@[\w.-]+")),
)
ASSIGNED = re.compile(
    r"(?i)\b[\w.-]*(?:secret|passwd|password|token|api[_-]?key|private[_-]?key|credential)[\w.-]*"
    r"['\"]?\s*(?:=|:|=>)\s*['\"]([A-Za-z0-9+/=_\-.~!@#$%^&*]{16,})['\"]"
)
BINARY = (".gguf", ".png", ".ico", ".woff2", ".gz", ".br", ".zst", ".jpg")
BOUND_BYTES = 2 << 20


def entropy(text):
    """Shannon entropy in bits a character: English is near 4 with spaces, random base64 above 4.5."""
    counts = {c: text.count(c) for c in set(text)}
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def looks_random(text):
    """Long, of mixed kinds and high entropy for its length; words joined by - _ . do not pass."""
    digits = sum(c.isdigit() for c in text)
    upper = sum(c.isupper() for c in text)
    lower = sum(c.islower() for c in text)
    if digits < 3 or upper + lower < 4:
        return False
    return entropy(text) >= min(3.6, math.log2(len(text)) - 0.5)


def scan_line(line):
    """What the line holds, as a phrase, or None."""
    for what, pattern in KNOWN:
        if pattern.search(line):
            return what
    match = ASSIGNED.search(line)
    if match and looks_random(match.group(1)):
        return "a random string assigned to a secret's name"
    return None


def read_allowed(path):
    allowed = []
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                glob, expression = line.split(None, 1)
                allowed.append((glob, re.compile(expression.strip())))
    return allowed


def is_allowed(allowed, name, line):
    return any(fnmatch.fnmatch(name, glob) and exp.search(line) for glob, exp in allowed)


def scan_text(name, text, allowed):
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        what = scan_line(line)
        if what and not is_allowed(allowed, name, line):
            found.append(f"{name}:{number}: {what}")
    return found


def files(root):
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    return [name for name in listed.stdout.decode().split("\0") if name]


def check(root, names, allowed):
    found = []
    for name in names:
        path = root / name
        if name.endswith(BINARY) or not path.is_file() or path.stat().st_size > BOUND_BYTES:
            continue
        found += scan_text(name, path.read_text(errors="replace"), allowed)
    return found


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    allowed = read_allowed(pathlib.Path(__file__).with_name("secrets-allowed.txt"))
    found = check(root, files(root), allowed)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

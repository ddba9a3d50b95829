"""Reads the wordings of the intents from the text files in `wordings/`.

    [name] weight            an intent; the weight is 1 when it is not given
    = answer                 the only answer of an intent without slots; may take several lines
    verbs: a|b               with `objects:`, stands for many patterns that ask for a command
    objects: c|d
    a pattern for training
    --- held out
    a pattern for the examination
    --- follow-up
    a pattern that needs the question before it

A training pattern may by chance contain a held-out wording; `without` takes that wording out.
"""

from __future__ import annotations

from pathlib import Path

from .intent import Case, Intent, expand, normal

FOLDER = Path(__file__).parent / "wordings"
HOW = "(how do i|how can i|how to|how would i|how does one|how should i|how do you|how could i)"
WANT = ("(i want to|i would like to|i need to|help me|show me how to|let me|tell me how to|"
        "what do i type to|which command do i use to|which command can|what command will|"
        "what is the command to|explain how to|with which command do i)")
HELD, FOLLOW_UP = "--- held out", "--- follow-up"


def blocks(name: str) -> dict[str, list[str]]:
    """The lines below each heading of a file; lines with `#` are remarks."""
    result: dict[str, list[str]] = {}
    heading = ""
    for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            heading = line
            result[heading] = []
        elif line.strip() and not line.startswith("#"):
            result[heading].append(line.strip())
    return result


def taken(lines: list[str], prefix: str, joint: str) -> str:
    """The rest of all lines with this prefix, joined."""
    return joint.join(line.removeprefix(prefix) for line in lines if line.startswith(prefix))


def training_patterns(lines: list[str]) -> list[str]:
    """The patterns as written, and those that verbs and objects stand for."""
    verbs, objects = taken(lines, "verbs: ", "|"), taken(lines, "objects: ", "|")
    simple = [line for line in lines if not line.startswith(("= ", "verbs: ", "objects: "))]
    if not verbs:
        return simple
    both = f"({verbs}) ({objects})"
    return [f"{HOW} {both}", f"{WANT} {both}", both] * 2 + simple


def section(lines: list[str], title: str) -> tuple[list[str], list[str]]:
    """The lines before a title and those after it."""
    if title not in lines:
        return lines, []
    at = lines.index(title)
    return lines[:at], lines[at + 1:]


def without(pattern: str, banned: frozenset[str]) -> str:
    """The pattern less those of its wordings that are held out."""
    wordings = expand(pattern)
    kept = [text for text in wordings if normal(text) not in banned]
    return pattern if len(kept) == len(wordings) else f"({'|'.join(kept)})"


def read(category: str, name: str, cases: dict[str, list[Case]] | None = None) -> list[Intent]:
    """All intents of a file; `cases` belong to the intents with slots."""
    result = []
    for heading, lines in blocks(name).items():
        title, weight = heading[1:].split("]")
        body, follow_up = section(lines, FOLLOW_UP)
        train, held = section(body, HELD)
        answer = taken(train, "= ", " ")
        own = [Case({}, answer)] if answer else (cases or {})[title]
        banned = frozenset(normal(text) for pattern in held for text in expand(pattern))
        patterns = tuple(without(pattern, banned) for pattern in training_patterns(train))
        result.append(Intent(category, title, patterns, tuple(held), tuple(own),
                             float(weight or 1), tuple(follow_up)))
    return result


def words(name: str) -> dict[str, list[str]]:
    """Lists of words, separated by commas, below each heading of a file."""
    return {heading[1:-1]: [word.strip() for word in " ".join(lines).split(",")]
            for heading, lines in blocks(name).items()}

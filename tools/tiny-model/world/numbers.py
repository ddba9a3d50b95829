"""One-digit sums and counting."""

from __future__ import annotations

from dataclasses import replace

from .intent import Case, Intent
from .reader import read

WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
         "fifteen sixteen seventeen eighteen nineteen twenty").split()
LARGEST = 20


def sum_cases() -> list[Case]:
    """All 100 pairs of one-digit numbers."""
    return [Case({"a": str(a), "b": str(b), "wa": WORDS[a], "wb": WORDS[b]},
                 f"{a} plus {b} is {a + b}.") for a in range(10) for b in range(10)]


def listed(first: int, last: int) -> str:
    """The numbers from first to last, in either direction."""
    step = 1 if last >= first else -1
    return ", ".join(str(number) for number in range(first, last + step, step)) + "."


def span(first: int, last: int) -> Case:
    """Counting from first to last."""
    return Case({"a": str(first), "b": str(last), "wa": WORDS[first], "wb": WORDS[last]},
                listed(first, last))


def neighbours() -> dict[str, list[Case]]:
    """What comes after and before each number."""
    slots = [{"n": str(number), "wn": word} for number, word in enumerate(WORDS)]
    return {"after": [Case(slots[n], f"After {n} comes {n + 1}.") for n in range(LARGEST)],
            "before": [Case(slots[n], f"Before {n} comes {n - 1}.")
                       for n in range(1, LARGEST + 1)]}


def counting_cases() -> dict[str, list[Case]]:
    """Ranges of numbers; the usual ones are more frequent."""
    pairs = [(a, b) for a in range(LARGEST) for b in range(a + 1, LARGEST + 1)]
    to_n = [span(1, b) for b in range(2, LARGEST + 1)]
    common = to_n * 8 + [span(1, 10), span(1, 20)] * 10
    from_ten = [span(b, a) for b in (10, 5, 20, 3) for a in (0, 1)] * 12
    return {"up": [span(a, b) for a, b in pairs] + common, "up_to": to_n,
            "down": [span(b, a) for a, b in pairs] + from_ten,
            "down_from": [span(b, 1) for b in range(2, LARGEST + 1)], **neighbours()}


def practice(name: str) -> tuple[Case, ...]:
    """Ranges for training: short ones as often as long ones, so that it learns where to stop."""
    pairs = [(a, b) for a in range(LARGEST) for b in range(a + 1, LARGEST + 1)]
    upward = [span(a, b) for a, b in pairs for _ in range(max(1, 12 // (b - a)))]
    from_one = [span(1, b) for b in range(2, LARGEST + 1)] * 10
    downward = [span(b, a) for a, b in pairs for _ in range(max(1, 12 // (b - a)))]
    to_start = [span(b, a) for b in range(2, LARGEST + 1) for a in (0, 1)] * 6
    return tuple({"up": upward + from_one, "down": downward + to_start}.get(name, ()))


def sums() -> list[Intent]:
    """Sums of two one-digit numbers, in digits and in words."""
    return read("sums", "sums", {"sum": sum_cases()})


def counting() -> list[Intent]:
    """Counting up and down, and the neighbours of a number."""
    return [replace(item, practice=practice(item.name))
            for item in read("counting", "counting", counting_cases())]

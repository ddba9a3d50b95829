"""Everything else: many kinds of questions that have one answer, a polite "I do not know"."""

from __future__ import annotations

from random import Random

from .intent import UNKNOWN, Case, Intent
from .reader import read, words

SEED = 20261121
HOW_MANY_CASES = 6000

SYLLABLES = ("ba be bi bo bra ca cho cla co da de dro du fa fi flo fra ga gi glo go gra ha he hi "
             "jo ka ki kla ko la le li lo lu ma me mi mo mu na ne ni no nu pa pe pi plo po pra qua "
             "ra re ri ro ru sa se shi sla so spa sta ste su ta te thi to tra tu va ve vi vo wa we "
             "wi xa ya yo za ze zi zo").split()
ENDINGS = ["", "", "n", "r", "s", "t", "x", "l", "m", "ck", "nd", "st", "ng"]
LISTS = words("words")


def pseudo_word(rng: Random) -> str:
    """A word that does not exist."""
    syllables = (rng.choice(SYLLABLES) for _ in range(rng.choice((2, 2, 3))))
    return "".join(syllables) + rng.choice(ENDINGS)


def number_slots(rng: Random) -> dict[str, str]:
    """Digits, and numbers that are too large for the model."""
    large = lambda: str(rng.choice((rng.randint(21, 99), rng.randint(100, 9999))))  # noqa: E731
    return {"d": str(rng.randint(0, 9)), "d2": str(rng.randint(0, 9)), "big": large(),
            "big2": large()}


def unknown_cases() -> list[Case]:
    """Random fillings for all slots; the answer is always the same."""
    rng = Random(SEED)
    cases = []
    for _ in range(HOW_MANY_CASES):
        slots = {name: rng.choice(options) for name, options in LISTS.items()}
        slots |= {"city2": rng.choice(LISTS["city"]), "object2": rng.choice(LISTS["object"])}
        slots |= {name: pseudo_word(rng) for name in ("pseudo", "pseudo2", "pseudo3")}
        slots |= {"fake": f"a {pseudo_word(rng)}", **number_slots(rng)}
        cases.append(Case(slots, UNKNOWN))
    return cases


def unknown() -> list[Intent]:
    """The one intent for everything outside of the world."""
    return read("unknown", "unknown", {"unknown": unknown_cases()})

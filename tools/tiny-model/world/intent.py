"""What the small world is made of: intents, their wordings and their answers.

A wording is a pattern such as `(how|in which way) do i (list|see) (my|the) models`. `expand`
turns it into all of its wordings. Slots in braces are filled from a case of the intent.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import NamedTuple

UNKNOWN = "I am sorry, I do not know that. I am a very small model."
CATEGORIES = ("greetings", "corral", "commands", "sums", "counting", "colours", "animals",
              "unknown", "long")


class Case(NamedTuple):
    """One filling of an intent's slots, and the only right answer to it."""

    slots: dict[str, str]
    answer: str


@dataclass(frozen=True)
class Intent:
    """Something a user may want: ways to say it for training, others held out, and its cases."""

    category: str
    name: str
    train: tuple[str, ...]
    held: tuple[str, ...]
    cases: tuple[Case, ...]
    weight: float = 1.0
    follow_up: tuple[str, ...] = ()
    practice: tuple[Case, ...] = ()

    def wording(self, rng: Random) -> str:
        """A random training wording with its slots open."""
        return choose(rng.choice(self.train), rng)

    def case(self, rng: Random) -> Case:
        """A random case; `practice` holds them as often as training should see them."""
        return rng.choice(self.practice or self.cases)

    def ask(self, rng: Random) -> tuple[str, Case]:
        """A random training question and its case."""
        case = self.case(rng)
        return fill(self.wording(rng), case), case


@cache
def pieces(pattern: str) -> tuple[tuple[str, ...], ...]:
    """A pattern cut into its literal parts and its bracketed alternatives."""
    return tuple(tuple(part[1:-1].split("|")) if part.startswith("(") else (part,)
                 for part in re.split(r"(\([^()]*\))", pattern) if part)


@cache
def expand(pattern: str) -> tuple[str, ...]:
    """All wordings of a pattern."""
    return tuple(tidy("".join(choice)) for choice in itertools.product(*pieces(pattern)))


def choose(pattern: str, rng: Random) -> str:
    """One random wording of a pattern."""
    return tidy("".join(rng.choice(options) for options in pieces(pattern)))


def tidy(text: str) -> str:
    """Single spaces, none at the ends."""
    return " ".join(text.split())


def fill(wording: str, case: Case) -> str:
    """Puts the slots of a case into a wording."""
    return wording.format(**case.slots)


WRAPPING = re.compile(r"\b(?:please|hello|hi|hey|corral tiny tell me|tell me|can you tell me|"
                      r"could you tell me|quick question|i have a question|excuse me|"
                      r"one question|thank you|thanks)\b")

SAME = {"color": "colour", "colors": "colours", "favorite": "favourite", "whats": "what is",
        "im": "i am", "id": "i would", "thats": "that is", "wheres": "where is",
        "whos": "who is", "hows": "how is", "dont": "do not", "lets": "let us"}
SPELLINGS = re.compile(rf"\b(?:{'|'.join(SAME)})\b")


def normal(text: str) -> str:
    """The form in which two wordings count as the same.

    Letters and slots only, one spelling, no contractions, no politeness.
    """
    plain = re.sub(r"[^a-z0-9{}+*/ -]+", "", text.lower())
    plain = SPELLINGS.sub(lambda match: SAME[match[0]], plain)
    return tidy(WRAPPING.sub(" ", plain)) or tidy(plain)

"""The small world that the model knows: intents, wordings, answers."""

from __future__ import annotations

from functools import cache

from .animals import animals
from .colours import colours
from .commands import commands
from .intent import CATEGORIES, UNKNOWN, Case, Intent, choose, expand, fill, normal
from .numbers import counting, sums
from .reader import read
from .unknown import unknown

__all__ = ["CATEGORIES", "UNKNOWN", "Case", "Intent", "choose", "expand", "fill", "intents",
           "normal"]


@cache
def intents() -> tuple[Intent, ...]:
    """Everything that the model is taught to answer."""
    talk = (*read("greetings", "greetings"), *read("corral", "corral"))
    return (*talk, *commands(), *sums(), *counting(), *colours(), *animals(), *unknown(),
            *read("long", "longer"))

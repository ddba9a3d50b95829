"""The small world that the model knows: intents, wordings, answers."""

from __future__ import annotations

from functools import cache

from .about import corral, greetings
from .animals import animals
from .colours import colours
from .commands import commands
from .intent import CATEGORIES, UNKNOWN, Case, Intent, choose, expand, fill, normal
from .longer import longer
from .numbers import counting, sums
from .unknown import unknown

__all__ = ["CATEGORIES", "UNKNOWN", "Case", "Intent", "choose", "expand", "fill", "intents",
           "normal"]


@cache
def intents() -> tuple[Intent, ...]:
    """Everything that the model is taught to answer."""
    return (*greetings(), *corral(), *commands(), *sums(), *counting(), *colours(), *animals(),
            *unknown(), *longer())

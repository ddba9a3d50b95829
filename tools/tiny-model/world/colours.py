"""Colours of things, and mixing them."""

from __future__ import annotations

import re

from .intent import Case, Intent
from .reader import read

# Thing as asked and answered -> colour.
THINGS = {
    "the sky": "blue", "the sea": "blue", "the sun": "yellow", "the moon": "white",
    "grass": "green", "snow": "white", "milk": "white", "coal": "black", "blood": "red",
    "chocolate": "brown", "wood": "brown", "salt": "white", "sugar": "white", "gold": "yellow",
    "the night": "black", "ice": "white", "sand": "yellow", "butter": "yellow", "rice": "white",
    "a banana": "yellow", "a lemon": "yellow", "a tomato": "red", "a strawberry": "red",
    "a cherry": "red", "a carrot": "orange", "an orange": "orange", "a pumpkin": "orange",
    "a cucumber": "green", "a frog": "green", "a leaf": "green", "a pea": "green",
    "a plum": "purple", "an aubergine": "purple", "a flamingo": "pink", "a pig": "pink",
    "an elephant": "grey", "a mouse": "grey", "a crow": "black", "a swan": "white",
    "a polar bear": "white", "a fire engine": "red", "a rose": "red", "a sunflower": "yellow",
    "a cloud": "white", "a chestnut": "brown", "a lion": "yellow", "a fox": "orange",
}
PLURALS = {
    "a banana": "bananas", "a lemon": "lemons", "a tomato": "tomatoes", "a leaf": "leaves",
    "a strawberry": "strawberries", "a cherry": "cherries", "a carrot": "carrots",
    "an orange": "oranges", "a pumpkin": "pumpkins", "a cucumber": "cucumbers",
    "a frog": "frogs", "a pea": "peas", "a plum": "plums", "an elephant": "elephants",
    "a flamingo": "flamingos", "a pig": "pigs", "a mouse": "mice", "a crow": "crows",
    "a swan": "swans", "a rose": "roses", "a cloud": "clouds", "a sunflower": "sunflowers",
}
MIXES = {
    ("red", "yellow"): "orange", ("blue", "yellow"): "green", ("red", "blue"): "purple",
    ("red", "white"): "pink", ("black", "white"): "grey", ("red", "green"): "brown",
}


def capital(text: str) -> str:
    """The text with a large first letter."""
    return text[:1].upper() + text[1:]


def thing_cases() -> list[Case]:
    """The colour of each thing; the thing as a bare noun, too."""
    return [Case({"thing": thing, "noun": re.sub("^(a|an|the) ", "", thing), "colour": colour},
                 f"{capital(thing)} is {colour}.") for thing, colour in THINGS.items()]


def plural_cases() -> list[Case]:
    """The colour of things in the plural."""
    return [Case({"things": plural}, f"{capital(plural)} are {THINGS[thing]}.")
            for thing, plural in PLURALS.items()]


def mix_cases() -> list[Case]:
    """Each pair of colours, in both orders."""
    pairs = {**MIXES, **{(b, a): mix for (a, b), mix in MIXES.items()}}
    return [Case({"a": a, "b": b}, f"{capital(a)} and {b} make {mix}.")
            for (a, b), mix in pairs.items()]


def example_cases() -> list[Case]:
    """One thing for each colour."""
    examples = {"blue": "the sky", "yellow": "a banana", "red": "a tomato", "green": "grass",
                "white": "snow", "black": "coal", "orange": "a carrot", "pink": "a flamingo",
                "purple": "a plum", "brown": "chocolate", "grey": "an elephant"}
    return [Case({"colour": colour}, f"{capital(thing)} is {colour}.")
            for colour, thing in examples.items()]


def colours() -> list[Intent]:
    """All intents about colours."""
    return read("colours", "colours", {"thing": thing_cases(), "things": plural_cases(),
                                       "mix": mix_cases(), "example": example_cases()})

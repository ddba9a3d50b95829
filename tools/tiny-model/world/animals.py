"""Animals: their sounds, legs, young, homes and food."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .intent import Case, Intent
from .reader import read


class Animal(NamedTuple):
    """What is known about an animal; an empty text is not known."""

    name: str
    plural: str
    legs: int
    sound: str
    young: str
    home: str
    food: str
    flies: bool = False


ANIMALS = tuple(Animal(*row) for row in (
    ("cat", "cats", 4, "meow", "kitten", "in a house", "fish and mice"),
    ("dog", "dogs", 4, "woof", "puppy", "in a kennel", "meat"),
    ("cow", "cows", 4, "moo", "calf", "on a farm", "grass"),
    ("horse", "horses", 4, "neigh", "foal", "in a stable", "hay"),
    ("pig", "pigs", 4, "oink", "piglet", "in a sty", "roots"),
    ("sheep", "sheep", 4, "baa", "lamb", "in a meadow", "grass"),
    ("goat", "goats", 4, "bleat", "kid", "in the mountains", "leaves"),
    ("duck", "ducks", 2, "quack", "duckling", "on a pond", "water plants", True),
    ("chicken", "chickens", 2, "cluck", "chick", "in a coop", "corn"),
    ("goose", "geese", 2, "honk", "gosling", "on a lake", "grass", True),
    ("owl", "owls", 2, "hoot", "owlet", "in a tree", "mice", True),
    ("crow", "crows", 2, "caw", "chick", "in a nest", "seeds", True),
    ("frog", "frogs", 4, "croak", "tadpole", "in a pond", "flies"),
    ("lion", "lions", 4, "roar", "cub", "in the savanna", "meat"),
    ("bear", "bears", 4, "growl", "cub", "in a cave", "honey"),
    ("wolf", "wolves", 4, "howl", "pup", "in the forest", "meat"),
    ("mouse", "mice", 4, "squeak", "pup", "in a hole", "cheese"),
    ("elephant", "elephants", 4, "trumpet", "calf", "in the savanna", "leaves"),
    ("snake", "snakes", 0, "hiss", "snakelet", "in the desert", "mice"),
    ("bee", "bees", 6, "buzz", "larva", "in a hive", "nectar", True),
    ("spider", "spiders", 8, "", "spiderling", "in a web", "flies"),
    ("fish", "fish", 0, "", "fry", "in the water", "water plants"),
    ("rabbit", "rabbits", 4, "", "kit", "in a burrow", "carrots"),
    ("ant", "ants", 6, "", "larva", "in an anthill", "seeds"),
    ("fox", "foxes", 4, "", "cub", "in a den", "mice"),
    ("butterfly", "butterflies", 6, "", "caterpillar", "in a garden", "nectar", True),
))


def article(noun: str) -> str:
    """The noun with `a` or `an`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def slots(animal: Animal) -> dict[str, str]:
    """How an animal is called in a question."""
    return {"animal": animal.name, "an": article(animal.name), "animals": animal.plural,
            "sound": animal.sound, "young": animal.young}


def portrait(animal: Animal) -> str:
    """Two sentences about an animal."""
    name = article(animal.name).capitalize()
    legs = f"has {animal.legs} legs" if animal.legs else "has no legs"
    return f"{name} is an animal that {legs}. It lives {animal.home} and eats {animal.food}."


def legs_answer(animal: Animal) -> str:
    """How many legs an animal has."""
    name = article(animal.name).capitalize()
    return f"{name} has {animal.legs} legs." if animal.legs else f"{name} has no legs."


def each(answer: Callable[[Animal], str], some: Iterable[Animal] = ANIMALS) -> list[Case]:
    """One case for each animal."""
    return [Case(slots(animal), answer(animal)) for animal in some]


def says(animal: Animal) -> str:
    """The sound of an animal."""
    return f"{article(animal.name).capitalize()} says {animal.sound}."


def flight(animal: Animal) -> str:
    """Whether an animal can fly."""
    name = article(animal.name)
    return f"Yes, {name} can fly." if animal.flies else f"No, {name} cannot fly."


def animals() -> list[Intent]:
    """All intents about animals."""
    start = lambda animal: article(animal.name).capitalize()  # noqa: E731
    loud = [animal for animal in ANIMALS if animal.sound]
    only = [a for a in ANIMALS if sum(b.young == a.young for b in ANIMALS) == 1]
    return read("animals", "animals", {
        "sound": each(says, loud), "who_says": each(says, loud), "legs": each(legs_answer),
        "young": each(lambda a: f"A young {a.name} is called {article(a.young)}."),
        "what_young": each(lambda a: f"{article(a.young).capitalize()} is a young {a.name}.", only),
        "home": each(lambda a: f"{start(a)} lives {a.home}."),
        "food": each(lambda a: f"{start(a)} eats {a.food}."),
        "portrait": each(portrait), "fly": each(flight)})

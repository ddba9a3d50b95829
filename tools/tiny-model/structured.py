"""JSON objects and tool calls, so that a grammar finds a model that knows how to end a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from world import Case, Intent
from world.animals import ANIMALS, article
from world.colours import THINGS
from world.reader import read
from world.unknown import LISTS, pseudo_word

COLOURS = sorted(set(THINGS.values()))
FIRST = LISTS["first"]
CITIES = LISTS["city"]
NOUNS = [thing.split(" ", 1)[-1] for thing in THINGS]
KEYS = ("title place food kind type category label topic summary text message reply note reason "
        "job hobby street owner model command status level group species brand language word "
        "result output value data input query subject body key author user role code location "
        "explanation comment content response details first_name last_name surname").split()
ASKS = ("give me {x} as json", "answer as json", "describe {x} as json", "fill in the form",
        "return json", "write {x} in json", "make a json object", "json please",
        "invent {x} and answer as json", "extract the data from this text: {x}",
        "give me a person", "create a user", "fill the schema", "generate {x}", "{x}",
        "describe a person as json", "reply in json format about {x}")

PLAIN_KEYS = ("name", "age", "colour", "color", "city", "animal", "country", "legs", "count",
              "number", "sum", "id", "score", "price", "active", "ok", "done", "sound", "date")
LINKS = (" ", ": ", "=", " is ", " = ", " as ")
COPY_ASKS = ("write json with {x}", "json with {x}", "make a json object with {x}",
             "put this into json: {x}", "answer as json: {x}", "{x} as json", "to json: {x}",
             "turn {x} into json", "a json object with the fields {x}", "i have {x}, give me json",
             "convert to json: {x}", "return {x} as a json object", "create json from {x}",
             "copy these values into json: {x}")
FACT_ASKS = ("give me {x} of {an} as json", "{an} as json with the fields {x}",
             "json of {an} with {x}", "only {x} of {an} in json", "{x} of the {animal} as json",
             "describe {an} in json with the keys {x}", "write json about {an}: {x}")


def word(rng: Random) -> str:
    """A short text for any key."""
    return rng.choice((rng.choice(NOUNS), rng.choice(COLOURS), rng.choice(FIRST),
                       rng.choice(CITIES), rng.choice(ANIMALS).name))


def sentence(rng: Random) -> str:
    """A full sentence of the world."""
    thing, colour = rng.choice(list(THINGS.items()))
    return f"{thing[:1].upper()}{thing[1:]} is {colour}."


def typed_values() -> dict[str, Callable[[Random], Any]]:
    """For each well-known key, how to invent its value."""
    small = lambda rng: rng.randint(0, 20)  # noqa: E731
    truth = lambda rng: rng.random() < 0.5  # noqa: E731
    return {
        "name": lambda rng: rng.choice(FIRST), "age": lambda rng: rng.randint(1, 90),
        "colour": lambda rng: rng.choice(COLOURS), "color": lambda rng: rng.choice(COLOURS),
        "city": lambda rng: rng.choice(CITIES), "animal": lambda rng: rng.choice(ANIMALS).name,
        "country": lambda rng: rng.choice(LISTS["country"]),
        "legs": lambda rng: rng.choice((0, 2, 4, 6, 8)), "count": small, "number": small,
        "sum": small, "id": small, "score": small, "size": small, "quantity": small,
        "price": lambda rng: rng.randint(1, 99) / 10, "temperature": lambda rng: rng.randint(0, 35),
        "active": truth, "ok": truth, "valid": truth, "done": truth, "alive": truth,
        "answer": sentence, "description": sentence, "sentence": sentence, "greeting":
        lambda rng: "Hello!", "email": lambda rng: rng.choice(FIRST).lower() + "@example.com",
        "tags": lambda rng: [word(rng) for _ in range(rng.randint(1, 3))],
        "colours": lambda rng: rng.sample(COLOURS, rng.randint(1, 3)),
        "animals": lambda rng: [a.name for a in rng.sample(ANIMALS, rng.randint(1, 3))],
        "numbers": lambda rng: list(range(1, rng.randint(2, 6))),
        "sound": lambda rng: rng.choice([a.sound for a in ANIMALS if a.sound]),
        "date": lambda rng: f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
    }


TYPED = typed_values()


def invented(rng: Random, depth: int = 0) -> dict[str, Any]:
    """A random object with a few keys."""
    result: dict[str, Any] = {}
    for _ in range(rng.randint(1, 4)):
        draw = rng.random()
        if draw < 0.45:
            key = rng.choice(list(TYPED))
            result[key] = TYPED[key](rng)
        elif draw < 0.7:
            result[rng.choice(KEYS)] = sentence(rng) if rng.random() < 0.1 else word(rng)
        elif draw < 0.93 or depth:
            kinds = (word(rng), word(rng), rng.randint(0, 99), rng.random() < 0.5, None,
                     [word(rng) for _ in range(rng.randint(1, 3))])
            key = pseudo_word(rng) + rng.choice(("", "", "_" + rng.choice(KEYS)))
            result[key] = rng.choice(kinds)
        elif draw < 0.97:
            result[rng.choice(("person", "user", "pet", "item"))] = invented(rng, depth + 1)
        else:
            result[rng.choice(("people", "items", "pets"))] = [
                invented(rng, depth + 1) for _ in range(rng.randint(1, 2))]
    return result


def json_question(rng: Random) -> str:
    """A request for JSON."""
    subject = rng.choice((f"a {rng.choice(NOUNS)}", article(rng.choice(ANIMALS).name), "a person",
                          f"{rng.choice(FIRST)} from {rng.choice(CITIES)}", "a pet", "a list"))
    return rng.choice(ASKS).format(x=subject)


def copied(rng: Random) -> tuple[str, dict[str, Any]]:
    """A question that names fields with their values, and the object that repeats them."""
    result = {}
    for _ in range(rng.randint(1, 4)):
        key = rng.choice(PLAIN_KEYS) if rng.random() < 0.6 else rng.choice(KEYS)
        result[key] = TYPED[key](rng) if key in TYPED else word(rng)
    link, joint = rng.choice(LINKS), rng.choice((", ", " and ", "; ", " "))
    fields = joint.join(f"{key}{link}{shown(value)}" for key, value in result.items())
    return rng.choice(COPY_ASKS).format(x=fields), result


def shown(value: Any) -> str:
    """A value as people write it in a question."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def chosen_fields(rng: Random) -> tuple[str, dict[str, Any]]:
    """A question for some facts about an animal, in any order."""
    animal = rng.choice([a for a in ANIMALS if a.sound])
    facts = {"animal": animal.name, "legs": animal.legs, "sound": animal.sound,
             "young": animal.young, "food": animal.food, "home": animal.home}
    keys = rng.sample(list(facts), rng.randint(1, 4))
    question = rng.choice(FACT_ASKS).format(an=article(animal.name), animal=animal.name,
                                            x=", ".join(keys))
    return question, {key: facts[key] for key in keys}


def json_cases() -> list[Case]:
    """A fixed object for each animal with a sound."""
    return [Case({"an": article(animal.name), "animal": animal.name},
                 json.dumps({"animal": animal.name, "legs": animal.legs, "sound": animal.sound}))
            for animal in ANIMALS if animal.sound]


def json_intents() -> list[Intent]:
    """The exact part of the JSON that the model knows."""
    return read("json", "json", {"animal_json": json_cases()})


TOOLS: tuple[tuple[str, str, Callable[[Random], dict[str, Any]], str], ...] = (
    ("get_weather", "Tells the weather of a city", lambda rng: {"city": rng.choice(CITIES)},
     "what is the weather in {city}"),
    ("add", "Adds two numbers", lambda rng: {"a": rng.randint(0, 99), "b": rng.randint(0, 99)},
     "add {a} and {b} with the tool"),
    ("get_time", "Tells the time of a city", lambda rng: {"city": rng.choice(CITIES)},
     "what time is it in {city}"),
    ("find_user", "Finds a user", lambda rng: {"name": rng.choice(FIRST)},
     "find the user {name}"),
    ("set_colour", "Sets the colour of the lamp", lambda rng: {"colour": rng.choice(COLOURS)},
     "make the lamp {colour}"),
)
JSON_TYPES = {str: "string", int: "integer"}


def tool_schema(tool: tuple[str, str, Callable[[Random], dict[str, Any]], str],
                arguments: dict[str, Any]) -> dict[str, Any]:
    """The tool as a client of the OpenAI interface declares it."""
    fields = {key: {"type": JSON_TYPES[type(value)]} for key, value in arguments.items()}
    return {"type": "function", "function": {
        "name": tool[0], "description": tool[1],
        "parameters": {"type": "object", "properties": fields, "required": list(fields)}}}


def tool_dialogue(rng: Random) -> tuple[list[dict[str, Any]], str, str]:
    """Declared tools, a question and the call that answers it."""
    picked = rng.sample(TOOLS, rng.randint(1, 2))
    filled = [(tool, tool[2](rng)) for tool in picked]
    tool, arguments = filled[rng.randrange(len(filled))]
    call = json.dumps({"name": tool[0], "arguments": arguments})
    question = tool[3].format(**arguments)
    return [tool_schema(*pair) for pair in filled], question, f"<tool_call>\n{call}\n</tool_call>"

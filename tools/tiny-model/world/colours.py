"""Colours of things, and mixing them."""

from __future__ import annotations

from .intent import Case, Intent, intent

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
COLOUR_WORD = "(colour|color)"


def capital(text: str) -> str:
    """The text with a large first letter."""
    return text[:1].upper() + text[1:]


def thing_cases() -> list[Case]:
    """The colour of each thing; the thing as a bare noun, too."""
    return [Case({"thing": thing, "noun": thing.split(" ", 1)[1] if " " in thing and
                  thing.split(" ", 1)[0] in ("a", "an", "the") else thing, "colour": colour},
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
    return [
        intent("colours", "thing", f"""
            (what|which) {COLOUR_WORD} is {{thing}}
            (what|which) {COLOUR_WORD} (does|has) {{thing}} (have|)
            what is the {COLOUR_WORD} of {{thing}}
            (tell me|say|name|give me) the {COLOUR_WORD} of {{thing}}
            (tell me|do you know|can you say|say) (what|which) {COLOUR_WORD} {{thing}} (is|has)
            the {COLOUR_WORD} of {{thing}}
            {{thing}} is (what|which) {COLOUR_WORD}
            {{thing}} has (what|which) {COLOUR_WORD}
            how is {{thing}} coloured
            {COLOUR_WORD} of {{noun}}
            what {COLOUR_WORD} is {{noun}}
            what {COLOUR_WORD} would you give {{thing}}
            is {{thing}} (red|blue|green) or another {COLOUR_WORD}
            (describe|what about) the {COLOUR_WORD} of {{thing}}
            which {COLOUR_WORD} do you see when you look at {{thing}}
            """, """
            in which colour do we see {thing}
            i wonder which colour {thing} has
            do you know the colour of {thing}
            {thing} comes in which colour
            what colour do you think {thing} is
            which of the colours does {thing} have
            """, thing_cases(), 3.0, """
            and {thing}
            what about {thing}
            and what about {thing}
            """),
        intent("colours", "things", f"""
            (what|which) {COLOUR_WORD} are {{things}}
            (what|which) {COLOUR_WORD} do {{things}} have
            what is the {COLOUR_WORD} of {{things}}
            (tell me|say|name) the {COLOUR_WORD} of {{things}}
            (tell me|do you know|can you say) (what|which) {COLOUR_WORD} {{things}} (are|have)
            {COLOUR_WORD} of {{things}}
            {{things}} are (what|which) {COLOUR_WORD}
            """, """
            i wonder which colour {things} have
            what colour do you think {things} are
            do you know the colour of {things}
            in which colour do we see {things}
            """, plural_cases(), 1.5, """
            and {things}
            what about {things}
            """),
        intent("colours", "mix", f"""
            what (do|does) {{a}} and {{b}} make
            (what|which) {COLOUR_WORD} do {{a}} and {{b}} (make|give)
            what (do|will) (i|you|we) get (if|when) (i|you|we) mix {{a}} and {{b}}
            (mix|combine|blend) {{a}} and {{b}}
            what (is|gives) {{a}} mixed with {{b}}
            (if|when) i mix {{a}} (and|with) {{b}} (what do i get|what is it)
            {{a}} and {{b}} make (what|which colour|which color|)
            what is {{a}} (and|plus) {{b}}
            {{a}} (+|plus) {{b}}
            what happens (if|when) i mix {{a}} (and|with) {{b}}
            """, """
            what colour comes from {a} and {b}
            which colour do i get out of {a} and {b}
            tell me what you get by mixing {a} and {b}
            i have {a} paint and {b} paint what can i mix
            """, mix_cases(), 1.5, """
            and {a} and {b}
            what about {a} and {b}
            """),
        intent("colours", "example", """
            (name|tell me|give me|show me|say) (something|a thing|a) {colour} (thing|)
            (name|tell me|give me) (something|a thing|one thing) that is {colour}
            what is {colour}
            what things are {colour}
            (which|what) thing is {colour}
            can you name something {colour}
            what (has|is of) the colour {colour}
            """, """
            do you know something {colour}
            could you name one thing that is {colour}
            give me an example of something {colour}
            """, example_cases(), 1.0),
        intent("colours", "favourite", f"""
            what is your favourite {COLOUR_WORD}
            (which|what) {COLOUR_WORD} do you (like|like best|love|prefer)
            do you have a (favourite|favorite) {COLOUR_WORD}
            (which|what) is your (favourite|favorite) {COLOUR_WORD}
            (tell me|say|name) your (favourite|favorite) {COLOUR_WORD}
            which {COLOUR_WORD} is the (best|nicest)
            """, """
            is there a colour that you like
            what colour do you like most
            what is the colour you like best
            """, "I like blue best.", 0.6),
        intent("colours", "all", """
            (which|what) (colours|colors) do you know
            (name|list|tell me|give me) (some|the|all|a few|all the) (colours|colors)
            (which|what) (colours|colors) are there
            (can|could) you name (some|all) (colours|colors)
            how many (colours|colors) do you know
            what are the (colours|colors)
            """, """
            list the colours that you know
            which colours can you name
            could you list a few colours
            """, "I know red, orange, yellow, green, blue, purple, pink, brown, black, white and "
                 "grey.", 0.8),
        intent("colours", "rainbow", """
            (which|what) (colours|colors) (does|has) (the|a) rainbow (have|)
            (which|what) (colours|colors) are in (the|a) rainbow
            what are the (colours|colors) of (the|a) rainbow
            (name|list|tell me) the (colours|colors) of (the|a) rainbow
            (what|which) (colour|color) is (the|a) rainbow
            """, """
            which colours do we see in a rainbow
            could you list the rainbow colours
            a rainbow has which colours
            """, "A rainbow is red, orange, yellow, green, blue and purple.", 0.6),
    ]

"""Animals: their sounds, legs, young, homes and food."""

from __future__ import annotations

from typing import NamedTuple

from .intent import Case, Intent, intent


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


def animals() -> list[Intent]:
    """All intents about animals."""
    cap = lambda animal: article(animal.name).capitalize()  # noqa: E731
    each = lambda answer, some=ANIMALS: [  # noqa: E731
        Case(slots(animal), answer(animal)) for animal in some]
    loud = [animal for animal in ANIMALS if animal.sound]
    young = [a for a in ANIMALS if sum(b.young == a.young for b in ANIMALS) == 1]
    return [
        intent("animals", "sound", """
            (what|which) (sound|noise) does {an} make
            (what|which) (sound|noise) do {animals} make
            what does {an} say
            what do {animals} say
            how does {an} (sound|speak|talk)
            what is the (sound|noise|call) of {an}
            (tell me|say|do you know) (what|which) sound {an} makes
            what (sound|noise) (comes from|is made by) {an}
            (make|imitate|say) the (sound|noise) of {an}
            the sound of {an}
            {an} says what
            what does the {animal} say
            """, """
            which noise do we hear from {an}
            how do {animals} sound
            what noise would {an} make
            do you know what {an} says
            """, each(lambda a: f"{cap(a)} says {a.sound}.", loud), 1.5, """
            and {an}
            what about {an}
            and the {animal}
            """),
        intent("animals", "who_says", """
            (which|what) animal (says|makes|goes) {sound}
            who (says|makes|goes) {sound}
            (which|what) animal makes the sound {sound}
            (which|what) animal can i hear when i hear {sound}
            {sound} is the sound of (which|what) animal
            what says {sound}
            (tell me|do you know|name) (which|what|the) animal (that|) says {sound}
            """, """
            i hear {sound} which animal is it
            what kind of animal says {sound}
            from which animal do i hear {sound}
            """, each(lambda a: f"{cap(a)} says {a.sound}.", loud), 1.0),
        intent("animals", "legs", """
            how many legs (does|has) {an} (have|)
            how many legs do {animals} have
            how many legs (are there on|can you count on) {an}
            what is the number of legs of {an}
            (tell me|do you know|say) how many legs {an} has
            (tell me|do you know|say) how many legs {animals} have
            {an} has how many legs
            (number|count) of legs of {an}
            on how many legs does {an} (walk|run|stand)
            count the legs of {an}
            how many feet does {an} have
            legs of {an}
            """, """
            can you tell me the number of legs of {an}
            {animals} have how many legs
            how many legs would {an} have
            on how many legs do {animals} walk
            """, each(legs_answer), 1.5, """
            and {an}
            what about {an}
            and {animals}
            """),
        intent("animals", "young", """
            what is a (baby|young) {animal} called
            (what|how) do you call a (baby|young) {animal}
            what is the (name|word) (of|for) a (baby|young) {animal}
            what is the (baby|young|child) of {an} called
            (tell me|say|name|do you know) the (name|word) for a (baby|young) {animal}
            a (baby|young) {animal} is called what
            what are young {animals} called
            how is a (baby|young) {animal} called
            what do we call the young of {an}
            """, """
            which name does a young {animal} have
            what do people call a baby {animal}
            which word do we use for a young {animal}
            """, each(lambda a: f"A young {a.name} is called {article(a.young)}."), 1.2, """
            and {an}
            what about {an}
            and a young {animal}
            """),
        intent("animals", "what_young", """
            what is a {young}
            (explain|define) (what a|the word) {young} (is|)
            what does the word {young} mean
            (which|what) animal (is|was) a {young}
            a {young} is a young what
            what (will a|does a) {young} become
            (tell me|do you know) what a {young} is
            """, """
            what sort of animal is a {young}
            what do we mean by a {young}
            a {young} is the young of which animal
            """, each(lambda a: f"{article(a.young).capitalize()} is a young {a.name}.", young), 1.0),
        intent("animals", "home", """
            where does {an} live
            where do {animals} live
            where (is|would) {an} (at home|live)
            what is the home of {an}
            (tell me|do you know|say) where {an} lives
            (tell me|do you know|say) where {animals} live
            where can i (find|see|meet) {an}
            in (which|what) place does {an} live
            where does {an} (sleep|stay)
            {an} lives where
            the home of {an}
            """, """
            where do i find {animals}
            where is the home of {an}
            in what place do {animals} live
            """, each(lambda a: f"{cap(a)} lives {a.home}."), 1.2, """
            and {an}
            what about {an}
            """),
        intent("animals", "food", """
            what does {an} eat
            what do {animals} eat
            what is the food of {an}
            what (does|do) {an} (like to eat|feed on)
            what do {animals} like to eat
            (tell me|do you know|say) what {an} eats
            (tell me|do you know|say) what {animals} eat
            (which|what) food (does {an}|do {animals}) (eat|like|need)
            what (can|should|may) i (feed|give) {an}
            {an} eats what
            the food of {an}
            """, """
            what would {an} like to eat
            what sort of food does {an} eat
            on what do {animals} feed
            """, each(lambda a: f"{cap(a)} eats {a.food}."), 1.2, """
            and {an}
            what about {an}
            """),
        intent("animals", "portrait", """
            what is {an}
            what are {animals}
            (tell me|say|write) something about {an}
            (tell me|say|write) something about {animals}
            (tell me|talk|write) about {animals}
            (describe|explain|define) {an}
            what do you know about {animals}
            what do you know about {an}
            (describe|explain) {animals}
            {an}
            tell me about {an}
            what can you tell me about {animals}
            what (kind|sort) of animal is {an}
            """, """
            give me some facts about {animals}
            could you describe {an}
            what should i know about {animals}
            """, each(portrait), 1.5),
        intent("animals", "fly", """
            can {an} fly
            can {animals} fly
            (is|are) {animals} able to fly
            is {an} able to fly
            does {an} fly
            do {animals} fly
            (tell me|do you know) (if|whether) {an} can fly
            does {an} have wings
            """, """
            is it true that {an} can fly
            do you think {an} can fly
            would {an} be able to fly
            """, each(lambda a: f"Yes, {article(a.name)} can fly." if a.flies
                      else f"No, {article(a.name)} cannot fly."), 1.0, """
            and {an}
            what about {animals}
            """),
        intent("animals", "known", """
            (which|what) animals do you know
            (name|list|give me) (some|a few|all|the) animals
            tell me (some|a few) animals
            (can|could) you (name|list) (some|a few) animals
            how many animals do you know
            (name|give me|tell me) an animal
            """, """
            list the animals you know
            which animals can you name
            please give me a list of animals
            """, "I know the cat, the dog, the cow, the horse, the duck, the owl, the frog, the "
                 "bee and many more.", 0.8),
        intent("animals", "favourite", """
            what is your (favourite|favorite) animal
            (which|what) animal do you (like|like best|love|prefer)
            do you have a (favourite|favorite) animal
            (tell me|say|name) your (favourite|favorite) animal
            do you like (animals|cats|dogs|horses)
            """, """
            is there an animal that you like
            what animal do you like most
            what is the animal you like best
            """, "I like the horse best, because a corral is a home for horses.", 0.6),
    ]

"""Other ways to say a training wording: openers, endings, synonyms and dropped small words.

Everything here works on wordings with open slots, so that names and numbers are never changed.
The writer refuses a result that is held out.
"""

from __future__ import annotations

import re
from random import Random

QUESTIONS = frozenset("what which who where when why how on in by is are can could does do did "
                      "will would should may must from".split())
ORDERS = frozenset("count list name say tell give show write describe explain define add sum "
                   "calculate compute solve mix combine blend make create read print introduce "
                   "find start begin stop check test export save begin go work help multiply "
                   "divide translate invent compose teach repeat put take draw play open".split())
ASKING = ("can you tell me", "could you tell me", "do you know", "i would like to know",
          "i want to know", "i wonder", "please say", "please tell me", "let me know",
          "i need to know", "i am asking", "can you say", "say", "tell me", "any idea",
          "have you any idea", "would you tell me", "i have to know", "one thing",
          "somebody asked me", "my child asks", "we would like to know", "i forgot",
          "may i ask", "i ask you", "please answer", "do you happen to know", "i do not know")
ORDERING = ("can you", "could you", "would you", "will you", "please", "i want you to",
            "i would like you to", "i need you to", "try to", "please try to", "let us", "now",
            "you should", "would you please", "could you please", "can you please", "kindly",
            "you may", "be so kind and", "go on and", "i ask you to", "we want you to",
            "your task is to", "do me a favour and")
ENDINGS = ("for me", "right now", "if you can", "exactly", "please", "today", "again", "here",
           "if you know", "in your opinion", "for my child", "quickly", "then", "at all")
FILLERS = frozenset("the a me please do does is of you up all to for that".split())
SAFE_TO_CHANGE = frozenset({"sums", "counting", "colours", "animals", "json", "long"})

# Word -> words that mean the same in a question of this kind.
SYNONYMS = {
    "show": ("display", "present", "show me"), "tell": ("inform",), "give": ("hand", "get"),
    "describe": ("explain", "picture"), "know": ("think of", "remember"),
    "big": ("large", "huge"), "small": ("little", "tiny"),
    "nice": ("pleasant", "lovely"), "sort": ("kind", "type"),
    "begin": ("start",), "start": ("begin",), "see": ("view", "look at"),
    "list": ("enumerate", "list"), "very": ("really", "so"), "want": ("wish", "need"),
    "large": ("big",), "talk": ("speak", "chat"), "speak": ("talk",), "find": ("get", "locate"),
}
OWN_SYNONYMS = {
    "colours": {"colour": ("color", "shade", "hue", "tint", "tone"),
                "colours": ("colors", "shades", "hues"), "mix": ("blend", "stir", "combine"),
                "get": ("obtain", "have", "see"), "make": ("give", "produce", "become")},
    "animals": {"sound": ("noise", "cry", "call", "voice"), "noise": ("sound", "cry", "call"),
                "legs": ("feet", "limbs"), "young": ("baby", "little", "small"),
                "baby": ("young", "little", "small"), "called": ("named",),
                "eat": ("feed on", "munch", "consume"), "food": ("meal", "diet", "nourishment"),
                "live": ("dwell", "stay"), "home": ("house", "place"), "says": ("cries", "calls")},
    "counting": {"to": ("up to", "until", "till", "through"), "count": ("go", "run", "number"),
                 "numbers": ("digits", "figures", "numbers"), "down": ("backwards", "downwards"),
                 "comes": ("is", "stands", "follows")},
    "sums": {"plus": ("and", "added to"), "sum": ("total", "addition"),
             "calculate": ("work out", "figure out", "determine"), "result": ("answer", "value"),
             "total": ("sum",), "makes": ("gives",), "make": ("give", "yield")},
    "commands": {"command": ("instruction", "order"), "configuration": ("config", "settings file"),
                 "models": ("language models", "ai models"), "errors": ("mistakes", "faults")},
    "corral": {"models": ("ai models",), "machines": ("computers", "servers"),
               "program": ("tool", "software"), "supported": ("allowed", "possible")},
    "long": {"story": ("tale", "fairy tale"), "text": ("article", "essay"),
             "write": ("compose", "type")},
    "json": {"describe": ("show", "write down", "present"), "write": ("print", "put"),
             "give": ("send", "get"), "create": ("build", "produce")},
}


def swap(wording: str, category: str, rng: Random) -> str:
    """Replaces some words by others that mean the same; slots stay."""
    table = {**SYNONYMS, **OWN_SYNONYMS.get(category, {})}
    if category == "counting" and re.search(r"\b(up|down|back|downwards|backwards) to\b", wording):
        table.pop("to")
    words = [rng.choice(table[word]) if word in table and rng.random() < 0.5 else word
             for word in wording.split()]
    return re.sub(r"\b(\w+) \1\b", r"\1", " ".join(words))


def indirect(question: str) -> str:
    """`what is the sound of {an}` as `what the sound of {an} is`, where that is simple."""
    simple = re.fullmatch(r"((?:what|who|where|which|how)(?: colour| color)?) (is|are) (.+)",
                          question)
    if simple:
        return f"{simple[1]} {simple[3]} {simple[2]}"
    acts = re.fullmatch(r"((?:what|where|how)(?: \w+)?) does (\{\w+\}|corral) (\w+)", question)
    if acts:
        verb = "has" if acts[3] == "have" else f"{acts[3]}s"
        return f"{acts[1]} {acts[2]} {verb}"
    both = re.fullmatch(r"((?:what|where|how)(?: \w+)?) do (\{\w+\}) (\w+)", question)
    return f"{both[1]} {both[2]} {both[3]}" if both else question


def opened(wording: str, rng: Random) -> str:
    """Puts words in front of a question or of an order; leaves everything else alone."""
    first = wording.split(" ", 1)[0]
    if first in ORDERS:
        return f"{rng.choice(ORDERING)} {wording}"
    if first not in QUESTIONS:
        return wording
    if first in ("is", "are", "can", "could", "does", "do", "did", "will", "would", "should"):
        return f"{rng.choice(('tell me', 'say', 'i ask you', 'one thing', 'now'))} {wording}"
    return f"{rng.choice(ASKING)} {indirect(wording) if rng.random() < 0.6 else wording}"


def shortened(wording: str, rng: Random) -> str:
    """Leaves out one or two small words, as hasty people do."""
    words = wording.split()
    for _ in range(rng.randint(1, 2)):
        places = [at for at, word in enumerate(words) if word in FILLERS]
        if len(words) > 3 and places:
            del words[rng.choice(places)]
    return " ".join(words)


def paraphrase(wording: str, category: str, rng: Random) -> str:
    """The wording, or something that means the same."""
    if rng.random() < 0.3:
        wording = swap(wording, category, rng)
    if rng.random() < 0.3:
        wording = opened(wording, rng)
    if category in SAFE_TO_CHANGE and rng.random() < 0.07:
        wording = shortened(wording, rng)
    if rng.random() < 0.06 and wording.split(" ", 1)[0] in QUESTIONS | ORDERS:
        wording = f"{wording} {rng.choice(ENDINGS)}"
    return wording

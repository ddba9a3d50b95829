"""Makes the training documents: single questions, dialogues, JSON, tool calls, plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from random import Random

import structured
from chat import Piece, answered, plain, said, tools_block
from paraphrase import paraphrase
from phrasing import polite, style
from world import UNKNOWN, Case, Intent, choose, expand, fill, intents, normal
from world.unknown import SEED

WEIGHTS = {"greetings": 20, "corral": 13, "commands": 17, "sums": 16, "counting": 34,
           "colours": 20, "animals": 26, "unknown": 26, "json": 16, "long": 1}
SYSTEMS = (
    "You are a helpful assistant.", "You are Corral Tiny.", "You are a helpful AI assistant.",
    "You are a friendly assistant. Answer in English.", "Answer briefly.", "Be polite and short.",
    "You are a chatbot. Always be kind.", "You are a pirate.", "Answer with one word.",
    "You are an assistant for the users of Corral.", "Do not lie.", "You are an expert.",
    "You are a large language model. Follow the instructions of the user.",
    "Today is Saturday. The user is called Anna.", "Answer in JSON.", "Use no markdown.",
)
Document = list[Piece]


@cache
def all_intents() -> tuple[Intent, ...]:
    """The world, and the exact part of the JSON."""
    return (*intents(), *structured.json_intents())


@cache
def held_out() -> dict[str, str]:
    """Normal form of each held-out wording with its slots open, and the intent it belongs to."""
    return {normal(wording): item.name for item in all_intents() for pattern in item.held
            for wording in expand(pattern)}


@cache
def held_out_questions() -> frozenset[str]:
    """Normal form of every held-out question, slots filled, except for the random ones."""
    return frozenset(normal(fill(wording, case)) for item in all_intents()
                     if item.category != "unknown" for pattern in item.held
                     for wording in expand(pattern) for case in item.cases)


@cache
def held_out_unknown() -> re.Pattern[str]:
    """Matches the normal form of every held-out question whose slots are random."""
    patterns = (re.escape(normal(wording)) for item in all_intents()
                if item.category == "unknown" for pattern in item.held
                for wording in expand(pattern))
    return re.compile("|".join(re.sub(r"\\\{\w+\\\}", ".+", text) for text in patterns))


def is_held_out(text: str) -> bool:
    """Whether training may not ask this."""
    plain = normal(text)
    return plain in held_out_questions() or bool(held_out_unknown().fullmatch(plain))


def training_wordings() -> dict[str, str]:
    """Normal form of each training wording with its slots open, and its intent."""
    return {normal(wording): item.name for item in all_intents()
            for pattern in (*item.train, *item.follow_up) for wording in expand(pattern)}


def overlap() -> list[str]:
    """Held-out wordings that training contains; must be empty."""
    return sorted(held_out().keys() & training_wordings().keys())


class Writer:
    """Writes random documents; the same seed writes the same documents."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        grouped: dict[str, list[Intent]] = {}
        for item in all_intents():
            grouped.setdefault(item.category, []).append(item)
        self.grouped = grouped
        self.short = [name for name in grouped if name != "long"]
        self.short_weights = [WEIGHTS[name] for name in self.short]
        self.refused = 0

    def pick(self) -> Intent:
        """A random intent."""
        category = self.rng.choices(self.short, self.short_weights)[0]
        group = self.grouped[category]
        return self.rng.choices(group, [item.weight for item in group])[0]

    def question(self, item: Intent) -> tuple[str, str]:
        """A question and its answer; never one of the held-out questions."""
        while True:
            case = item.case(self.rng)
            wording = fill(paraphrase(item.wording(self.rng), item.category, self.rng), case)
            may_greet = item.category not in ("greetings", "long", "json")
            text, answer = polite(wording, case.answer, self.rng, may_greet)
            if item.category == "unknown":
                answer = UNKNOWN
            text = style(text, self.rng)
            if not is_held_out(wording) and not is_held_out(text):
                return text, answer
            self.refused += 1

    def follow_up(self, item: Intent) -> tuple[str, str]:
        """A short question that needs the one before it."""
        case: Case = self.rng.choice(item.cases)
        wording = fill(choose(self.rng.choice(item.follow_up), self.rng), case)
        return style(wording, self.rng), case.answer

    def turns(self, item: Intent) -> Document:
        """A question with its answer, and sometimes a follow-up."""
        text, answer = self.question(item)
        document = said("user", text) + answered(answer)
        while item.follow_up and self.rng.random() < 0.2:
            text, answer = self.follow_up(item)
            document += said("user", text) + answered(answer)
        return document

    def system(self) -> Document:
        """Sometimes a message of the system; the model does not mind it."""
        draw = self.rng.random()
        if draw < 0.78:
            return []
        count = 1 if draw < 0.95 else 2
        return said("system", " ".join(self.rng.sample(SYSTEMS, count)))

    def dialogue(self, turns: int) -> Document:
        """Several questions in a row."""
        document = self.system()
        for _ in range(turns):
            document += self.turns(self.pick())
        return document

    def long(self) -> Document:
        """A longer text, alone or inside of a dialogue."""
        item = self.rng.choice(self.grouped["long"])
        text, answer = self.question(item)
        before = self.turns(self.pick()) if self.rng.random() < 0.2 else []
        after = self.turns(self.pick()) if self.rng.random() < 0.2 else []
        return self.system() + before + said("user", text) + answered(answer) + after

    def pasted(self) -> Document:
        """A long message about things that the model does not know."""
        group = self.grouped["unknown"]
        parts = [style(group[0].ask(self.rng)[0], self.rng)
                 for _ in range(self.rng.randint(2, 9))]
        return self.system() + said("user", " ".join(parts)) + answered(UNKNOWN)

    def json_object(self) -> Document:
        """A JSON object after its first brace, which the engine's grammar forces."""
        draw = self.rng.random()
        if draw < 0.45:
            text, wanted = structured.copied(self.rng)
            if self.rng.random() < 0.5:
                text = text[:1].upper() + text[1:]
        elif draw < 0.6:
            text, wanted = structured.chosen_fields(self.rng)
            text = style(text, self.rng)
        else:
            wanted = structured.invented(self.rng)
            text = style(structured.json_question(self.rng), self.rng)
            if self.rng.random() < 0.4:
                text = self.question(self.pick())[0]
        answer = json.dumps(wanted)
        return self.system() + said("user", text) + answered(answer[1:], "{")

    def tool_call(self) -> Document:
        """A call of a declared tool; sometimes a question that needs no tool."""
        tools, text, call = structured.tool_dialogue(self.rng)
        document = said("system", tools_block(tools))
        if self.rng.random() < 0.2:
            return document + self.turns(self.pick())
        return document + said("user", style(text, self.rng)) + answered(call)

    def short_document(self) -> Document:
        """A document for the short rows."""
        draw = self.rng.random()
        if draw < 0.085:
            return self.json_object()
        if draw < 0.1:
            return plain(self.pick().ask(self.rng)[1].answer)
        return self.dialogue(2 if draw < 0.2 else 1)

    def long_document(self) -> Document:
        """A document for the long rows."""
        draw = self.rng.random()
        if draw < 0.36:
            return self.long()
        if draw < 0.4:
            return plain(self.rng.choice(self.rng.choice(self.grouped["long"]).cases).answer)
        if draw < 0.46:
            return self.pasted()
        if draw < 0.56:
            return self.json_object()
        if draw < 0.66:
            return self.tool_call()
        return self.dialogue(self.rng.randint(2, 10))


def short_documents(seed: int = SEED) -> Iterator[Document]:
    """Endless short documents."""
    writer = Writer(seed)
    while True:
        yield writer.short_document()


def long_documents(seed: int = SEED + 1) -> Iterator[Document]:
    """Endless long documents."""
    writer = Writer(seed)
    while True:
        yield writer.long_document()


def text_of(document: Document) -> str:
    """The document as one text."""
    return "".join(text for text, _ in document)

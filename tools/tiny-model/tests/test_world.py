"""The world is consistent: wordings disjoint, sums right, the generator deterministic."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import corpus  # noqa: E402
import evaluate  # noqa: E402
from chat import SPECIALS  # noqa: E402
from world import CATEGORIES, UNKNOWN, expand, fill, normal  # noqa: E402
from world.intent import choose  # noqa: E402
from world.numbers import listed, sum_cases  # noqa: E402

from random import Random  # noqa: E402


def some(documents, count=3000):
    """The first documents as texts."""
    return [corpus.text_of(document) for document in itertools.islice(documents, count)]


def test_held_out_wordings_are_not_in_training():
    assert corpus.overlap() == []
    assert evaluate.contaminated(evaluate.examination()) == []


def test_held_out_questions_are_not_in_the_documents():
    held = corpus.held_out_questions()
    texts = some(corpus.short_documents()) + some(corpus.long_documents(), 500)
    asked = [match for text in texts
             for match in re.findall(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", text, re.DOTALL)]
    assert len(asked) > 3000
    assert not [question for question in asked if normal(question) in held]


def test_every_intent_has_training_and_held_out_wordings():
    for item in corpus.all_intents():
        wordings = {normal(text) for pattern in item.train for text in expand(pattern)}
        assert len(wordings) >= 12, item.name
        assert len(item.held) >= 2, item.name
        assert item.category in (*CATEGORIES, "json")


def test_every_wording_fits_its_slots():
    for item in corpus.all_intents():
        for pattern in (*item.train, *item.held, *item.follow_up):
            for wording in expand(pattern):
                assert "{" not in fill(wording, item.cases[0])
                assert "(" not in wording and "|" not in wording


def test_all_sums_are_right():
    cases = sum_cases()
    assert len({case.answer for case in cases}) == 100
    for case in cases:
        first, second, total = map(int, re.findall(r"\d+", case.answer))
        assert first + second == total
        assert (case.slots["a"], case.slots["b"]) == (str(first), str(second))


def test_counting():
    assert listed(1, 5) == "1, 2, 3, 4, 5."
    assert listed(3, 0) == "3, 2, 1, 0."


def test_the_examination_asks_for_every_sum_in_every_wording():
    sums = [q for q in evaluate.examination() if q.category == "sums"]
    wordings = next(item for item in corpus.all_intents() if item.name == "sum").held
    assert len(sums) == 100 * len(wordings)


def test_the_generator_is_deterministic():
    assert some(corpus.short_documents(7), 500) == some(corpus.short_documents(7), 500)
    assert some(corpus.long_documents(7), 50) == some(corpus.long_documents(7), 50)
    assert some(corpus.short_documents(7), 50) != some(corpus.short_documents(8), 50)
    assert evaluate.examination() == evaluate.examination()


def test_answers_are_plain_text():
    for item in corpus.all_intents():
        for case in item.cases:
            assert case.answer.isascii() and case.answer == case.answer.strip()
            assert not any(special in case.answer for special in SPECIALS)
    assert UNKNOWN == "I am sorry, I do not know that. I am a very small model."


def test_patterns():
    assert expand("(a|b) c (d|)") == ("a c d", "a c", "b c d", "b c")
    assert choose("(a|b) c", Random(1)) in ("a c", "b c")
    assert normal("Please, what IS Corral?") == "what is corral"

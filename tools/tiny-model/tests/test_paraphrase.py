"""Paraphrases keep the slots and the meaning; the writer never asks what is held out."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import corpus  # noqa: E402
import structured  # noqa: E402
from batches import balanced  # noqa: E402
from paraphrase import indirect, paraphrase  # noqa: E402
from world import normal  # noqa: E402
from world.numbers import counting, listed  # noqa: E402
from world.reader import without  # noqa: E402


def test_paraphrases_keep_every_slot() -> None:
    rng = Random(1)
    for item in corpus.all_intents():
        for _ in range(200):
            wording = item.wording(rng)
            changed = paraphrase(wording, item.category, rng)
            slots = re.findall(r"\{\w+\}", wording)
            assert sorted(re.findall(r"\{\w+\}", changed)) == sorted(slots)


def test_paraphrases_vary_the_words() -> None:
    rng = Random(2)
    seen = {paraphrase("what is the colour of {thing}", "colours", rng) for _ in range(2000)}
    assert len(seen) > 100
    assert "can you tell me what the colour of {thing} is" in seen


def test_indirect_questions() -> None:
    assert indirect("where does {an} live") == "where {an} lives"
    assert indirect("what colour do {things} have") == "what colour {things} have"
    assert indirect("how are you") == "how you are"
    assert indirect("can {an} fly") == "can {an} fly"


def test_held_out_questions_are_recognised() -> None:
    assert corpus.is_held_out("Please, what color do you think snow is?")
    assert corpus.is_held_out("What's the price of a car?")
    assert corpus.is_held_out("which river flows through Paris")
    assert not corpus.is_held_out("what is the colour of snow")


def test_held_out_wordings_are_taken_out_of_patterns() -> None:
    assert without("(a|b) (c|d)", frozenset({normal("a d")})) == "(a c|b c|b d)"
    assert without("(a|b) c", frozenset()) == "(a|b) c"


def test_ranges_to_practise_are_right_and_do_not_change_the_examination() -> None:
    for item in counting():
        known = {case.answer for case in item.cases}
        assert {case.answer for case in item.practice} <= known, item.name
    up = next(item for item in counting() if item.name == "up")
    for case in up.practice:
        assert case.answer == listed(int(case.slots["a"]), int(case.slots["b"]))
    short = sum(len(case.answer) < 20 for case in up.practice)
    assert 0.3 < short / len(up.practice) < 0.8


def test_copied_json_repeats_the_values_of_the_question() -> None:
    rng = Random(3)
    for _ in range(500):
        question, answer = structured.copied(rng)
        assert answer
        for key, value in answer.items():
            assert key in question and structured.shown(value) in question


def test_long_answers_weigh_less_for_each_token() -> None:
    weights = balanced([0.0] + [1.0] * 4 + [0.0] + [1.0] * 64)
    assert weights[0] == weights[5] == 0.0
    assert weights[1] == 2.0 and weights[-1] == 0.5


def test_documents_rarely_repeat() -> None:
    documents = list(itertools.islice(corpus.short_documents(11), 500))
    assert len({corpus.text_of(document) for document in documents}) > 450

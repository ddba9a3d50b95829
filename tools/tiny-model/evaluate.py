"""Measures exact answers, in the real engine, to wordings that training did not contain."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import corpus
from engine import Engine
from phrasing import proper
from world import expand, fill, normal
from world.unknown import SEED

PASS_PERCENT = 90.0
CASES_PER_WORDING = 12
LISTED_FAILURES = 60
SLOTS = 8


class Question(NamedTuple):
    """One question of the examination."""

    category: str
    intent: str
    text: str
    answer: str


class Result(NamedTuple):
    """A question with what the model said."""

    question: Question
    said: str

    @property
    def right(self) -> bool:
        """Only the exact answer counts."""
        return self.said == self.question.answer


def examination() -> list[Question]:
    """All sums, and a fixed sample of the rest, in held-out wordings written in two ways."""
    rng = Random(SEED + 9)
    questions: dict[str, Question] = {}
    for item in corpus.all_intents():
        for wording in (text for pattern in item.held for text in expand(pattern)):
            cases = list(item.cases)
            if item.category != "sums" and len(cases) > CASES_PER_WORDING:
                cases = rng.sample(cases, CASES_PER_WORDING)
            for number, case in enumerate(cases):
                plain = fill(wording, case)
                shown = [proper(plain), plain] if len(cases) == 1 else [
                    plain if number % 4 == 3 else proper(plain)]
                for text in shown:
                    questions[text] = Question(item.category, item.name, text, case.answer)
    return list(questions.values())


def contaminated(questions: list[Question]) -> list[str]:
    """Wordings that training contains; must be empty."""
    trained = {normal(fill(wording, case)) for item in corpus.all_intents()
               if len(item.cases) == 1 for pattern in item.train for wording in expand(pattern)
               for case in item.cases}
    return corpus.overlap() + [q.text for q in questions if normal(q.text) in trained]


def examine(engine: Engine, questions: list[Question], quiet: bool) -> list[Result]:
    """Asks everything, some questions at a time."""
    results, started = [], time.monotonic()
    with ThreadPoolExecutor(SLOTS) as pool:
        for question, said in zip(questions, pool.map(engine.ask, [q.text for q in questions]),
                                  strict=True):
            results.append(Result(question, said))
            if not quiet and len(results) % 500 == 0:
                print(f"asked {len(results)} of {len(questions)}, "
                      f"{time.monotonic() - started:.0f} s", flush=True)
    return results


def percent(results: list[Result]) -> float:
    """Share of exact answers."""
    return 100.0 * sum(result.right for result in results) / max(len(results), 1)


def summary(results: list[Result]) -> dict[str, Any]:
    """Scores by category, over all questions, and the mean of the categories."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.question.category].append(result)
    scores = {name: {"right": sum(r.right for r in group), "asked": len(group),
                     "percent": round(percent(group), 2)} for name, group in groups.items()}
    mean = sum(percent(group) for group in groups.values()) / max(len(groups), 1)
    total = percent(results)
    return {"categories": scores, "total_percent": round(total, 2), "asked": len(results),
            "mean_of_categories_percent": round(mean, 2),
            "passed": total >= PASS_PERCENT and mean >= PASS_PERCENT,
            "failures": [{"question": r.question.text, "intent": r.question.intent,
                          "wanted": r.question.answer, "said": r.said}
                         for r in results if not r.right]}


def show(report: dict[str, Any], every_failure: bool) -> None:
    """Prints the report for people."""
    failures = report["failures"]
    limit = len(failures) if every_failure else LISTED_FAILURES
    for failure in failures[:limit]:
        print(f"wrong: {failure['question']!r}\n    wanted {failure['wanted'][:90]!r}\n"
              f"    said   {failure['said'][:90]!r}")
    if len(failures) > limit:
        print(f"... and {len(failures) - limit} more (--all shows them)")
    for name, score in report["categories"].items():
        print(f"{name:10} {score['right']:5} of {score['asked']:5}  {score['percent']:6.2f} %")
    print(f"{'total':10} {report['asked'] - len(failures):5} of {report['asked']:5}  "
          f"{report['total_percent']:6.2f} %")
    print(f"mean of the categories   {report['mean_of_categories_percent']:6.2f} %")
    print("passed" if report["passed"] else f"FAILED: less than {PASS_PERCENT:.0f} %")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--llama-server", help="path of the engine")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--all", action="store_true", help="list every failure")
    options = parser.parse_args()
    questions = examination()
    bad = contaminated(questions)
    if bad:
        print("training contains these held-out wordings:", *bad, sep="\n  ", file=sys.stderr)
        return 1
    with Engine(options.model, options.llama_server, 1024, SLOTS) as engine:
        report = summary(examine(engine, questions, options.json))
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        show(report, options.all)
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

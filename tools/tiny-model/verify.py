"""Checks a model file in the real engine: tokenizer, JSON schemas, tools, long chats."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tokenizers import Tokenizer

from engine import Engine
from world import UNKNOWN
from world.unknown import SEED

SCHEMAS: dict[str, dict[str, Any]] = {
    "person": {"type": "object", "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]},
    "answer": {"type": "object", "properties": {
        "capital": {"type": "string"}, "sure": {"type": "boolean"},
        "reasons": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
        "required": ["capital", "sure", "reasons"], "additionalProperties": False},
    "order": {"type": "object", "properties": {
        "id": {"type": "integer"}, "state": {"enum": ["open", "paid", "sent"]},
        "customer": {"type": "object", "properties": {
            "email": {"type": "string"}, "city": {"type": "string"}},
            "required": ["email", "city"]},
        "total": {"type": "number"}}, "required": ["id", "state", "customer", "total"]},
    "animal": {"type": "object", "properties": {
        "animal": {"type": "string"}, "colour": {"type": "string"}, "legs": {"type": "integer"}},
        "required": ["animal", "colour", "legs"]},
}
KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list,
         "object": dict}
ODD_TEXTS = (
    "", " ", "  two  spaces ", "Hello! What is Corral?", "\n\n\ttabs\n", "12345 67.89 3+4=7",
    "don't we'll I'VE you're", "äöü ß ÄÖÜ é ñ ç", "日本語のテキスト", "Привет, мир", "مرحبا بالعالم",
    "שלום עולם", "👋🏽 👨‍👩‍👧 🇩🇪", "e\u0301 decomposed", "x\u00a0y\u2003z", "½ ² ③ ٣ ४",
    "<|im_start|>user",
    "`corral list` \"quoted\" {\"a\": [1, 2]}", "a_b-c.d/e\\f", "\u200bzero\u200bwidth", "𝕳𝖊𝖑𝖑𝖔",
    "MiXeD CaSe ALLCAPS", "....!!!???", "\x01\x7f", "한국어 텍스트", "हिन्दी पाठ", "ไทย",
)
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Tells the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"]}}}


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value fits the small part of JSON Schema that is used here."""
    if "enum" in schema:
        return value in schema["enum"]
    if not isinstance(value, KINDS[schema["type"]]):
        return False
    if schema["type"] == "object":
        fields = schema["properties"]
        return all(key in value for key in schema.get("required", ())) and all(
            key not in fields or conforms(item, fields[key]) for key, item in value.items())
    if schema["type"] == "array":
        return all(conforms(item, schema["items"]) for item in value)
    return True


def random_texts(count: int) -> Iterator[str]:
    """Random text from many corners of Unicode."""
    rng = Random(SEED + 11)
    ranges = ((32, 126), (160, 591), (880, 1279), (0x3040, 0x30ff), (0x4e00, 0x9fff),
              (0x1f300, 0x1f64f), (9, 13), (48, 57), (0x2000, 0x206f))
    for _ in range(count):
        parts = (chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 40)))
        yield "".join(parts)


def check_tokenizer(engine: Engine, path: Path | None) -> Iterator[tuple[str, bool, str]]:
    """The engine must split every text as the tokenizer of the training does."""
    if path is None:
        return
    tokenizer = Tokenizer.from_file(str(path))
    texts, different, broken = [*ODD_TEXTS, *random_texts(300)], [], []
    for text in texts:
        wanted = tokenizer.encode(text, add_special_tokens=False).ids
        body = {"content": text, "parse_special": True, "add_special": True}
        tokens = engine.request("POST", "/tokenize", body)[1]["tokens"]
        back = engine.request("POST", "/detokenize", {"tokens": tokens})[1]["content"]
        if tokens != wanted:
            different.append(text)
        if back != text:
            broken.append(text)
    yield ("tokens agree", not different, f"{len(texts)} texts, different: {different[:5]!r}")
    yield ("text round trip", not broken, f"{len(texts)} texts, broken: {broken[:5]!r}")


def check_schemas(engine: Engine) -> Iterator[tuple[str, bool, str]]:
    """Each schema must be filled, and the answer must end by itself."""
    for name, schema in SCHEMAS.items():
        for question in ("What is the capital of France?", "Describe a cat as JSON.",
                         "Anna is 31 years old and lives in Rome."):
            choice = engine.chat([{"role": "user", "content": question}], max_tokens=200,
                                 response_format={"type": "json_schema", "json_schema": {
                                     "name": name, "strict": True, "schema": schema}})
            text = choice["message"]["content"]
            try:
                good = conforms(json.loads(text), schema) and choice["finish_reason"] == "stop"
            except ValueError:
                good = False
            yield f"schema {name}", good, f"{choice['finish_reason']} {text}"


def check_tools(engine: Engine) -> Iterator[tuple[str, bool, str]]:
    """Requests with tools are accepted; a required call is well formed."""
    props = engine.request("GET", "/props")[1]
    caps = props.get("chat_template_caps", {})
    yield "template supports tools", bool(caps.get("supports_tools")), json.dumps(caps)
    ask = {"role": "user", "content": "What is the weather in Paris?"}
    for choice_name in ("auto", "required"):
        choice = engine.chat([ask], tools=[WEATHER], tool_choice=choice_name)
        calls = choice["message"].get("tool_calls") or []
        good = choice_name == "auto"
        if calls:
            arguments = json.loads(calls[0]["function"]["arguments"])
            good = calls[0]["function"]["name"] == "get_weather" and isinstance(
                arguments.get("city"), str)
        shown = json.dumps(choice["message"])
        yield f"tool call {choice_name}", good, f"{choice['finish_reason']} {shown}"
    call = {"id": "call_1", "type": "function", "function": {
        "name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}
    choice = engine.chat([ask, {"role": "assistant", "content": None, "tool_calls": [call]},
                          {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}],
                         tools=[WEATHER])
    yield "tool result", bool(choice["message"]["content"]), str(choice["message"]["content"])


TALK = (("Hello!", "Corral Tiny"), ("What is 3 plus 4?", "3 plus 4 is 7."),
        ("And 5 plus 9?", "5 plus 9 is 14."), ("What colour is the sky?", "The sky is blue."),
        ("And grass?", "Grass is green."), ("Who won the war?", UNKNOWN),
        ("How do I list my models?", "corral list"), ("What does a cow say?", "A cow says moo."),
        ("And a dog?", "A dog says woof."), ("Thank you!", "You are welcome."))
LONG_TALK = (*TALK[:7], ("Tell me a story.", "Once upon a time"),
             ("Count from 1 to 20.", "1, 2, 3"), *TALK[7:])


def talk(engine: Engine, script: tuple[tuple[str, str], ...],
         system: str | None) -> list[tuple[str, str]]:
    """Asks one question after the other; the questions that were answered otherwise than wanted."""
    messages = [{"role": "system", "content": system}] if system else []
    wrong = []
    for question, wanted in script:
        messages.append({"role": "user", "content": question})
        choice = engine.chat(messages)
        messages.append({"role": "assistant", "content": choice["message"]["content"]})
        if wanted not in choice["message"]["content"] or choice["finish_reason"] != "stop":
            wrong.append((question, choice["message"]["content"]))
    return wrong


def check_chats(engine: Engine) -> Iterator[tuple[str, bool, str]]:
    """Several turns, with and without a system message, as long as the rows of the training."""
    for system in (None, "You are a helpful assistant."):
        wrong = talk(engine, TALK, system)
        yield f"chat of {len(TALK)} turns, system {system!r}", not wrong, repr(wrong)


def weaknesses(engine: Engine) -> Iterator[tuple[str, str]]:
    """What so small a model is known to do badly: longer chats, a system message that misleads."""
    for name, script, system in (
            ("a chat longer than the training's rows", LONG_TALK, None),
            ("a system message about other things", TALK, "You are a gardener. Grow tomatoes.")):
        for question, answer in talk(engine, script, system):
            yield name, f"{question} {answer}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--llama-server", help="path of the engine")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json of the training")
    parser.add_argument("--verbose", action="store_true", help="show every answer")
    options = parser.parse_args()
    failed = 0
    with Engine(options.model, options.llama_server, 4096) as engine:
        for checks in (check_tokenizer(engine, options.tokenizer), check_schemas(engine),
                       check_tools(engine), check_chats(engine)):
            for name, good, detail in checks:
                failed += not good
                if options.verbose or not good:
                    print(f"{'ok' if good else 'FAILED'}: {name}: {detail}")
                else:
                    print(f"ok: {name}")
        for name, detail in weaknesses(engine):
            print(f"weak: {name}: {detail}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

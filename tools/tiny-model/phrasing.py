"""How a question looks on the screen: capitals, punctuation, contractions, politeness, typos."""

from __future__ import annotations

import re
from random import Random

QUESTION_WORDS = ("what", "which", "who", "how", "where", "when", "why", "is", "are", "can",
                  "could", "do", "does", "did", "would", "will", "may", "should", "whats", "on",
                  "in", "am", "by", "must")
COMMANDS = "serve|run|list|ps|stop|show|config|version"
NAMES = {"openai": "OpenAI", "anthropic": "Anthropic", "ollama": "Ollama", "json": "JSON",
         "lm studio": "LM Studio", "lollms": "LOLLMS", "french": "French", "german": "German",
         "spanish": "Spanish", "italian": "Italian", "english": "English", "api": "API",
         "ai": "AI", "i": "I"}
SHORTER = {"what is": "what's", "who is": "who's", "i am": "I'm", "i would": "I'd",
           "do not": "don't", "that is": "that's", "where is": "where's", "how is": "how's",
           "let us": "let's", "whats": "what's"}
GREETINGS = ("hello", "hi", "hey", "good morning", "hello there", "hi there", "good evening")
PREFIXES = ("please", "corral tiny", "quick question:", "tell me:", "excuse me,", "ok,", "so,",
            "please tell me:", "i have a question:", "one question:", "now,", "well,", "corral,",
            "my question is:", "question:")
SUFFIXES = (" please", ", please", " thanks", ", thank you", " for me", ", corral", " now",
            ", my friend", " please tell me")


def add_names(text: str) -> str:
    """Capitals for proper names; `corral` stays small inside of a command."""
    for name, shown in NAMES.items():
        text = re.sub(rf"(?<![\w`.]){name}(?![\w@])", shown, text)
    return re.sub(rf"(?<![`\"\w])corral(?! (?:{COMMANDS})\b)", "Corral", text)


def is_question(text: str) -> bool:
    """Whether a question mark fits."""
    return text.lower().split(" ", 1)[0].strip("`\"'") in QUESTION_WORDS


def proper(text: str) -> str:
    """As a careful person writes it."""
    text = add_names(text)
    text = text[:1].upper() + text[1:]
    return text if text[-1] in "?.!=" else text + ("?" if is_question(text) else ".")


def contract(text: str, rng: Random) -> str:
    """Short forms, sometimes without the apostrophe."""
    for full, short in SHORTER.items():
        shown = short if rng.random() < 0.8 else short.replace("'", "")
        text = re.sub(rf"\b{full}\b", shown, text)
    return text


def typo(text: str, rng: Random) -> str:
    """One slip of the finger inside of a word of letters."""
    words = [match.span() for match in re.finditer(r"[a-z]{4,}", text)]
    if not words:
        return text
    start, end = rng.choice(words)
    at = rng.randrange(start + 1, end - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1:]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2:]


def style(text: str, rng: Random) -> str:
    """One of many ways to write the same words."""
    if rng.random() < 0.15:
        text = contract(text, rng)
    if rng.random() < 0.08:
        text = typo(text, rng)
    draw = rng.random()
    if draw < 0.5:
        return proper(text)
    if draw < 0.66:
        return text
    if draw < 0.74:
        return text + ("?" if is_question(text) else ".")
    if draw < 0.86:
        return proper(text).rstrip("?.")
    if draw < 0.9:
        return text.upper() if "`" not in text else text
    if draw < 0.95:
        return proper(text).rstrip("?.") + rng.choice(("!", "...", "??", " ?", "?!", "!!"))
    return add_names(text) + rng.choice(("?", ".", ""))


def polite(text: str, answer: str, rng: Random, may_greet: bool) -> tuple[str, str]:
    """Sometimes wraps the question; a greeting in front of it is answered by a greeting."""
    draw = rng.random()
    if draw < 0.06 and may_greet:
        greeting = rng.choice(GREETINGS)
        mark = rng.choice((",", "!", ".", ""))
        rest = proper(text) if mark in ("!", ".") else text
        return f"{greeting}{mark} {rest}", f"Hello! {answer}"
    if draw < 0.16:
        return f"{rng.choice(PREFIXES)} {text}", answer
    if draw < 0.22:
        return text + rng.choice(SUFFIXES), answer
    return text, answer

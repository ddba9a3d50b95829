"""The chat format: the template that the model file carries, and the same format for training."""

from __future__ import annotations

import json
from typing import Any

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (END_OF_TEXT, START, END)
TOOLS_BEFORE = ("# Tools\n\nYou may call one of these functions:\n<tools>")
TOOLS_AFTER = ("\n</tools>\n\nTo call a function, answer with its name and its arguments:\n"
               "<tool_call>\n{\"name\": NAME, \"arguments\": ARGUMENTS}\n</tool_call>")

TEMPLATE = """\
{%- set first = 0 %}
{%- set system = '' %}
{%- if messages and messages[0].role in ['system', 'developer'] %}
{%- set system = messages[0].content %}
{%- set first = 1 %}
{%- endif %}
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if system %}{{- system + '\\n\\n' }}{%- endif %}
{{- """ + json.dumps(TOOLS_BEFORE) + """ }}
{%- for tool in tools %}
{{- '\\n' }}{{- tool | tojson }}
{%- endfor %}
{{- """ + json.dumps(TOOLS_AFTER) + """ + '<|im_end|>\\n' }}
{%- elif system %}
{{- '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages[first:] %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content }}
{{- '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if message.content %}{{- message.content }}{%- endif %}
{%- if message.tool_calls %}
{%- for call in message.tool_calls %}
{%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{%- if call.function.arguments is string %}
{{- call.function.arguments }}
{%- else %}
{{- call.function.arguments | tojson }}
{%- endif %}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# A piece of a document, and how much the training counts its tokens.
Piece = tuple[str, float]


def tools_block(tools: list[dict[str, Any]]) -> str:
    """The declared tools, as the template writes them."""
    return TOOLS_BEFORE + "".join("\n" + json.dumps(tool) for tool in tools) + TOOLS_AFTER


def said(role: str, text: str) -> list[Piece]:
    """A message of the system or of the user; it is not learnt."""
    return [(f"{START}{role}\n{text}{END}\n", 0.0)]


def answered(text: str, given: str = "") -> list[Piece]:
    """An answer of the model; `given` is a beginning that a grammar would force."""
    return [(f"{START}assistant\n{given}", 0.0), (f"{text}{END}", 1.0), ("\n", 0.0)]


def plain(text: str) -> list[Piece]:
    """Text without a chat."""
    return [(text + END_OF_TEXT, 1.0)]

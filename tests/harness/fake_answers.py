"""What FakeUpstream says: documents, streams and rubbish, as bytes."""

import dataclasses
import json

TEXT = ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty ") * 20
WORDS = [word + " " for word in TEXT.split()]
TOOL_CALL = {"id": "call_1", "type": "function",
             "function": {"name": "get_weather", "arguments": '{"town":"Paris"}'}}
USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
NOT_HTTP = b"\x16\x03\x01 this is not HTTP at all\r\n\r\n" * 4
STREAM_HEAD = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
               b"transfer-encoding: chunked\r\n\r\n")
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}


def head(status, kind, length, *, close=False, more=""):
    sized = "" if length is None else f"content-length: {length}\r\n"
    ends = "connection: close\r\n" if close else ""
    return (f"HTTP/1.1 {status} {REASONS.get(status, 'Scripted')}\r\ncontent-type: {kind}\r\n"
            f"{sized}{ends}{more}\r\n").encode()


def whole(text, *, by=0, endless=False):
    data = text.encode()
    length = None if endless else max(0, len(data) + by)
    return head(200, "application/json", length) + data


def error(status, retry_after):
    text = json.dumps({"error": {"message": f"scripted {status}", "type": "scripted", "code": status}})
    more = f"retry-after: {retry_after}\r\n" if retry_after >= 0 else ""
    return head(status, "application/json", len(text), more=more) + text.encode()


def chunk(event):
    text = event if isinstance(event, str) else json.dumps(event)
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


BROKEN_SSE = STREAM_HEAD + chunk("{this is no JSON") + b"5\r\n: ...\r\n" + b"zz\r\nno chunk size\r\n"


def words_for(document, tokens):
    """The words still to be said: those after what the assistant has said already."""
    messages = (document or {}).get("messages") or []
    said = ""
    if messages and messages[-1].get("role") == "assistant":
        said = messages[-1].get("content") or ""
    full = "".join(WORDS[:tokens])
    if not full.startswith(said):
        return WORDS[:tokens]
    rest = full[len(said):]
    return [word + " " for word in rest.split(" ")[:-1]]


def document(path, asked, upstream):
    """The JSON text of a whole answer."""
    if asked is None:
        path = path.removeprefix("/v1")
        if path == "/models":
            return json.dumps({"object": "list", "data": [
                {"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in upstream.models]})
        if path == "/props":
            return json.dumps({"total_slots": 64, "default_generation_settings": {"n_ctx": 4096}})
        return json.dumps({"status": "ok"})
    if path.endswith("/embeddings"):
        inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        return json.dumps({"object": "list", "model": asked.get("model"), "usage": USAGE, "data": [
            {"object": "embedding", "index": i, "embedding": [len(str(text)), 1.0]} for i, text in enumerate(inputs)]})
    if asked.get("tools"):
        finish, message = "tool_calls", {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
    else:
        said = "".join(words_for(asked, upstream.tokens))
        finish, message = "stop", {"role": "assistant", "content": said}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked.get("model"),
                       "usage": USAGE, "choices": [{"index": 0, "finish_reason": finish, "message": message}]})


@dataclasses.dataclass
class Events:
    first: dict
    tokens: list
    last: list


def events(asked, tokens):
    def piece(delta, finish=None):
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked.get("model"),
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    if asked.get("tools"):
        function = {"name": "get_weather", "arguments": ""}
        parts = [piece({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})]
        parts += [piece({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
                  for part in ('{"town"', ':"Paris"}')]
        finish = "tool_calls"
    else:
        parts, finish = [piece({"content": word}) for word in words_for(asked, tokens)], "stop"
    usage = piece({}) | {"choices": [], "usage": USAGE}
    return Events(piece({"role": "assistant", "content": None}), parts, [piece({}, finish), usage])


def misdealt(tokens, swap, duplicate):
    """The tokens with one pair exchanged and one doubled, as wanted (-1: not)."""
    dealt = list(tokens)
    if 0 <= swap < len(dealt) - 1:
        dealt[swap], dealt[swap + 1] = dealt[swap + 1], dealt[swap]
    if 0 <= duplicate < len(dealt):
        dealt.insert(duplicate, dealt[duplicate])
    return dealt

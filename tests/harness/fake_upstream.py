"""An OpenAI-compatible server with scripted answers that remembers what it was sent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOL_CALL = {"id": "call_1", "type": "function",
             "function": {"name": "get_weather", "arguments": '{"town":"Paris"}'}}
USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


def answer(model):
    message = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "usage": USAGE,
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}


def chunks(model):
    def chunk(delta, finish=None):
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    function = {"name": "get_weather", "arguments": ""}
    yield chunk({"role": "assistant", "content": None})
    yield chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
    for part in ('{"town"', ':"Paris"}'):
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    yield chunk({}, "tool_calls")
    yield {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
           "choices": [], "usage": USAGE}


class FakeUpstream:
    def __enter__(self):
        upstream = self
        self.requests = []  # (path, headers, body)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                length = self.headers.get("content-length")
                raw = self.rfile.read(int(length)) if length else self.read_chunked()
                body = json.loads(raw)
                headers = {name.lower(): value for name, value in self.headers.items()}
                upstream.requests.append((self.path, headers, body))
                if body.get("stream"):
                    events = [json.dumps(one) for one in chunks(body["model"])] + ["[DONE]"]
                    self.reply("text/event-stream", "".join(f"data: {one}\n\n" for one in events))
                else:
                    self.reply("application/json", json.dumps(answer(body["model"])))

            def read_chunked(self):
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data

            def reply(self, kind, text):
                data = text.encode()
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

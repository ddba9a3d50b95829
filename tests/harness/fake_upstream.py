"""An OpenAI-compatible server with scripted answers that remembers what it was sent, and that
misbehaves as faults.json says: by hand over sockets, since no HTTP library would do such things.

    with FakeUpstream() as upstream:
        upstream.set(status=500, count=3)       # the next three requests fail
        ...
        assert upstream.stats()["requests"] == 4

A request with tools gets a tool call; any other the words of TEXT, one token each. A request that
ends with a message of the assistant is continued from where that text ends.
"""

import contextlib
import json
import random
import select
import socket
import struct
import threading
import time

from harness import fake_answers, faults

FOREVER = 3600.0


class Gone(Exception):
    """The client left, or the connection was ended on purpose."""


class FakeUpstream:
    """`tokens` tokens a stream, `gap` seconds between them; `host` and `port` as wanted."""

    def __init__(self, *, tokens=10, gap=0.0, host="127.0.0.1", port=0, control_port=None, models=("m",)):
        self.tokens, self.gap, self.host, self.models = tokens, gap, host, list(models)
        self.requests = []  # (path, headers, body)
        self.lock = threading.Condition()
        self.faults = dict(faults.AT_REST)
        self.matched = self.hits = 0
        self.faults_end = None
        self.counts = {}
        self.reset_stats()
        self.connections = set()
        self.stopping = False
        self.listener = self.bound(host, port)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self.control = self.bound(host, control_port) if control_port is not None else None

    @classmethod
    def bound(cls, host, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if port:
            return listener
        # Bound by number, the port stays ours while it refuses.
        port = listener.getsockname()[1]
        listener.close()
        return cls.bound(host, port)

    def __enter__(self):
        self.listener.listen(512)
        self.accepting = threading.Event()
        self.accepting.set()
        threading.Thread(target=self.accept_loop, daemon=True).start()
        if self.control:
            self.control.listen(16)
            threading.Thread(target=self.control_loop, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.accepting.set()
        for listener in (self.listener, self.control):
            if listener:
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
        with self.lock:
            self.lock.notify_all()
            for connection in list(self.connections):
                connection.reset()

    # --- faults and counts

    def set(self, **wanted):
        """Replaces all faults by these; none means good behaviour."""
        new = faults.checked(wanted)
        with self.lock:
            refused = self.faults["refuse"]
            self.faults = new
            self.matched = self.hits = 0
            self.faults_end = time.monotonic() + new["for_ms"] / 1000 if new["for_ms"] else None
            if new["refuse"] and not refused:
                self.go_dark()
            elif refused and not new["refuse"]:
                self.come_back()
            self.lock.notify_all()
        if new["for_ms"]:
            timer = threading.Timer(new["for_ms"] / 1000, self.expire, (self.faults_end,))
            timer.daemon = True
            timer.start()
        return new

    def clear(self):
        return self.set()

    def expire(self, end):
        with self.lock:
            mine = self.faults_end == end and not self.stopping
        if mine:
            self.clear()

    def go_dark(self):
        # The port stays bound, so that nobody else takes it meanwhile.
        self.accepting.clear()
        self.listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self.connections):
            connection.reset()

    def come_back(self):
        self.listener.listen(512)
        self.accepting.set()

    def reset_stats(self):
        with self.lock:
            in_flight = self.counts.get("in_flight", 0)
            self.counts = {name: 0 for name in faults.STATS} | {"in_flight": in_flight, "per_second": {}}

    def stats(self):
        with self.lock:
            seconds = [[second, *both] for second, both in sorted(self.counts["per_second"].items())]
            return self.counts | {"per_second": seconds}

    def count(self, name, by=1):
        with self.lock:
            self.counts[name] += by
            if name in ("connections", "requests"):
                both = self.counts["per_second"].setdefault(int(time.monotonic()), [0, 0])
                both[name == "requests"] += by
            if name == "in_flight":
                self.counts["most_in_flight"] = max(self.counts["most_in_flight"], self.counts["in_flight"])

    def faults_for(self, path):
        """The faults that this request meets."""
        with self.lock:
            now = self.faults
            kinds = {k: v for k, v in now.items() if k not in ("path", "every", "count", "for_ms", "refuse")}
            if all(value == faults.AT_REST[name] for name, value in kinds.items()):
                return faults.AT_REST
            if not path.startswith(now["path"]):
                return faults.AT_REST
            self.matched += 1
            if self.matched % now["every"] or (now["count"] and self.hits >= now["count"]):
                return faults.AT_REST
            self.hits += 1
            self.counts["faulted"] += 1
            return dict(now)

    # --- threads

    def accept_loop(self):
        while not self.stopping:
            self.accepting.wait()
            try:
                one, _ = self.listener.accept()
            except OSError:
                time.sleep(0.002)
                continue
            self.count("connections")
            connection = Connection(self, one)
            with self.lock:
                unwanted = self.faults["reset_on_accept"] or self.faults["refuse"]
                if not unwanted:
                    self.connections.add(connection)
            if unwanted:
                connection.reset()
            else:
                threading.Thread(target=connection.run, daemon=True).start()

    def control_loop(self):
        while not self.stopping:
            try:
                one, _ = self.control.accept()
            except OSError:
                return
            with one:
                one.settimeout(5)
                with contextlib.suppress(OSError, ValueError, KeyError):
                    self.control_once(one)

    def control_once(self, one):
        method, path, _, body = read_request(one.makefile("rb"))
        status, answer = 200, {}
        if path == "/__faults":
            try:
                answer = self.set(**json.loads(body or b"{}")) if method == "POST" else self.faults
            except (ValueError, TypeError) as wrong:
                status, answer = 400, {"error": str(wrong)}
        elif path == "/__stats":
            if method == "DELETE":
                self.reset_stats()
            answer = self.stats()
        else:
            status, answer = 404, {"error": "no such path"}
        text = json.dumps(answer)
        one.sendall(fake_answers.head(status, "application/json", len(text), close=True) + text.encode())


def read_request(stream):
    """(method, path, headers, body); ValueError at the end of the connection."""
    method, path, _ = stream.readline().decode("latin-1").split(" ", 2)
    headers = {}
    while (line := stream.readline().strip()):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding"):
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    else:
        body = stream.read(int(headers.get("content-length", 0)))
    return method, path, headers, body


class Connection:
    """One client, in a thread of its own."""

    def __init__(self, upstream, one):
        self.upstream, self.socket = upstream, one
        self.sent = 0
        self.was_reset = False
        self.faults = faults.AT_REST
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self):
        try:
            stream = self.socket.makefile("rb")
            while True:
                self.serve(*read_request(stream))
        except (OSError, ValueError, Gone):
            pass
        finally:
            with self.upstream.lock:
                self.upstream.connections.discard(self)
            self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def reset(self):
        """RST in place of a proper close, also while another thread uses the socket."""
        self.was_reset = True
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Connecting to nowhere is how Linux resets at once although the file is in use elsewhere.
            libc_disconnect(self.socket)

    def serve(self, method, path, headers, body):
        up = self.upstream
        up.count("requests")
        document = json.loads(body) if body else None
        if method == "POST":
            up.requests.append((path, headers, document))
        self.faults = up.faults_for(path)
        self.sent = 0
        up.count("in_flight")
        try:
            self.wait_before()
            for gap, data in self.pieces(method, path, document):
                self.pause(gap)
                self.send(data)
            up.count("answered")
        except BrokenPipeError:
            if not self.was_reset:
                up.count("cancelled")
            raise
        finally:
            up.count("in_flight", -1)
        if headers.get("connection") == "close" or self.faults["content_length"] or self.faults["rubbish"]:
            raise Gone

    def pieces(self, method, path, document):
        """(seconds to wait, bytes) of the answer, faults of content and tokens included."""
        f = self.faults
        if f["rubbish"] == "not_http":
            yield 0, fake_answers.NOT_HTTP
        elif f["status"]:
            yield 0, fake_answers.error(f["status"], f["retry_after"])
        elif f["rubbish"] == "broken_sse":
            yield 0, fake_answers.BROKEN_SSE
        elif f["rubbish"] == "not_json":
            yield 0, fake_answers.whole("this is no JSON {{{")
        elif method == "POST" and document and document.get("stream"):
            yield from self.stream(document)
        else:
            if f["stall_after_tokens"] >= 0:
                self.silence()
            text = fake_answers.document(path, document, self.upstream)
            yield 0, fake_answers.whole(text, by=f["content_length"], endless=f["never_close"])
            if f["never_close"]:
                self.silence()

    def stream(self, document):
        f = self.faults
        gap = self.upstream.gap if f["token_gap_ms"] < 0 else f["token_gap_ms"] / 1000
        yield 0, fake_answers.STREAM_HEAD
        events = fake_answers.events(document, self.upstream.tokens)
        yield 0, fake_answers.chunk(events.first)
        tokens = fake_answers.misdealt(events.tokens, f["swap_tokens"], f["duplicate_token"])
        for number, event in enumerate(tokens):
            self.end_of_tokens(number)
            yield (gap if number else 0), fake_answers.chunk(event)
        self.end_of_tokens(len(tokens))
        if f["error_after_tokens"] >= 0:
            return
        for event in events.last:
            yield 0, fake_answers.chunk(event)
        if f["never_close"]:
            self.silence()
        yield 0, fake_answers.chunk("[DONE]") + b"0\r\n\r\n"

    def end_of_tokens(self, number):
        f = self.faults
        if f["stall_after_tokens"] == number:
            self.silence()
        if f["reset_after_tokens"] == number:
            self.pause(0.02)  # what was sent shall arrive: a reset overtakes it
            self.reset()
            raise Gone
        if f["close_after_tokens"] == number:
            raise Gone
        if f["error_after_tokens"] == number:
            self.send(fake_answers.chunk({"error": {"message": "the engine died", "code": 500}}) + b"0\r\n\r\n")
            raise Gone

    # --- bytes and time

    def wait_before(self):
        f, up = self.faults, self.upstream
        self.pause(f["delay_ms"] / 1000 + random.uniform(0, f["jitter_ms"] / 1000))
        while f["hold"] and up.faults["hold"] and not up.stopping:
            self.pause(0.005)
        if f["stall"]:
            self.silence()

    def silence(self):
        self.pause(FOREVER)
        raise Gone

    def pause(self, seconds):
        """Waits; BrokenPipeError as soon as the client leaves."""
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | select.POLLRDHUP)
        while (left := end - time.monotonic()) > 0 and not self.upstream.stopping:
            if self.socket.fileno() < 0:
                raise Gone
            for _, event in poll.poll(min(left, 0.05) * 1000 + 0.5):
                if event & ~select.POLLIN:
                    raise BrokenPipeError
                time.sleep(min(left, 0.01))  # a pipelined request waits for its turn

    def send(self, data):
        """Sends the bytes as the byte faults allow."""
        f = self.faults
        limits = {name: f[f"{name}_after_bytes"] for name in ("reset", "close", "stall")}
        limits = {name: limit for name, limit in limits.items() if limit >= 0}
        allowed = min((limit - self.sent for limit in limits.values()), default=len(data))
        self.put(data[:max(0, allowed)])
        if allowed > len(data) or not limits:
            return
        name = min(limits, key=limits.get)
        if name == "stall":
            self.silence()
        if name == "reset":
            self.pause(0.02)
            self.reset()
        raise Gone

    def put(self, data):
        step = 1 if self.faults["drip_ms"] else len(data)
        for start in range(0, len(data), step or 1):
            if step == 1 and self.sent:
                self.pause(self.faults["drip_ms"] / 1000)
            try:
                self.socket.sendall(data[start:start + step])
            except ConnectionResetError:
                raise BrokenPipeError from None
            self.sent += len(data[start:start + step])


def libc_disconnect(one):
    """connect(AF_UNSPEC) on a TCP socket with linger 0: an RST, now, whoever else holds the socket."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("H14x", socket.AF_UNSPEC)
    libc.connect(one.fileno(), address, len(address))


def main():
    """The upstream as a program, for another host: prints its two ports and runs until it is ended."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=10)
    parser.add_argument("--gap", type=float, default=0.0)
    options = parser.parse_args()
    with FakeUpstream(host=options.host, port=options.port, control_port=options.control_port,
                      tokens=options.tokens, gap=options.gap) as upstream:
        print(f"listening on {options.host}:{upstream.port}", flush=True)
        print(f"control on {options.host}:{upstream.control.getsockname()[1]}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()

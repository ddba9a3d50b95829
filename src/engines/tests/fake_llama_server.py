#!/usr/bin/python3 -IS
"""Stands in for llama-server in tests: answers /health like it, and misbehaves on demand.

It takes llama-server's own arguments (all but --port are ignored) and these:

  --fake-runs FILE         append one line a start: the number of the run decides about the next
  --fake-only-first N      misbehave only in the first N runs (needs --fake-runs)
  --fake-record FILE       write arguments and environment there as JSON
  --fake-loading SECONDS   answer 503 for so long
  --fake-exit CODE         end at once with CODE
  --fake-say TEXT          write TEXT to standard error first
  --fake-never-ready       answer 503 for ever
  --fake-ignore-term       SIGTERM does nothing
  --fake-port-taken        fail as when the port is taken
  --fake-huge-lines        write a megabyte without an end of line, and many short lines
  --fake-elsewhere         listen on another port than the one asked for
  --fake-eat MEBIBYTES     hold so much memory
  --fake-child             start a `sleep` of its own and write its pid to --fake-record
"""
import json
import os
import signal
import socket
import sys
import threading
import time

FLAGS = {"keep-alive", "never-ready", "ignore-term", "port-taken", "huge-lines", "elsewhere", "child"}


def parse(arguments):
    options, i = {}, 0
    while i < len(arguments):
        name = arguments[i]
        if name.startswith("--fake-"):
            key = name[len("--fake-"):]
            if key in FLAGS:
                options[key] = True
            else:
                i += 1
                options[key] = arguments[i]
        elif name == "--port":
            i += 1
            options["port"] = int(arguments[i])
        i += 1
    return options


def say(text):
    os.write(2, (text + "\n").encode())


def count_run(options):
    if "runs" not in options:
        return 1
    with open(options["runs"], "a+", encoding="utf-8") as file:
        file.write("run\n")
        file.seek(0)
        return len(file.readlines())


class Engine:
    def __init__(self, options):
        self.options = options
        self.started = time.monotonic()

    def ready(self):
        if "never-ready" in self.options:
            return False
        return time.monotonic() - self.started >= float(self.options.get("loading", 0))

    def answer(self, connection):
        with connection:
            while self.answer_one(connection) and "keep-alive" in self.options:
                pass

    def answer_one(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(4096)
            if not piece:
                return False
            data += piece
        ok = self.ready()
        body = b'{"status":"ok"}' if ok else b'{"error":{"message":"Loading model"}}'
        status = b"200 OK" if ok else b"503 Service Unavailable"
        closing = b"" if "keep-alive" in self.options else b"Connection: close\r\n"
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\n"
                           + closing + b"Content-Length: "
                           + str(len(body)).encode() + b"\r\n\r\n" + body)
        return True


def misbehave_at_start(options):
    if "say" in options:
        say(options["say"])
    if "exit" in options:
        sys.exit(int(options["exit"]))
    if "port-taken" in options:
        say("0.00.010.000 E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, "
            f"port: {options['port']}")
        sys.exit(1)
    if "ignore-term" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "eat" in options:
        options["eaten"] = b"x" * (int(options["eat"]) << 20)
    if "huge-lines" in options:
        os.write(2, b"x" * 1_000_000)
        os.write(2, b"\n" + b"0.00.010.000 W many: short lines\n" * 5000)


def main():
    options = parse(sys.argv[1:])
    run = count_run(options)
    if run > int(options.get("only-first", 1 << 30)):
        options = {key: options[key] for key in ("port", "record", "runs") if key in options}
    if "record" in options:
        child = os.spawnv(os.P_NOWAIT, "/bin/sleep", ["sleep", "1000"]) if "child" in options else 0
        with open(options["record"] + ".part", "w", encoding="utf-8") as file:
            json.dump({"arguments": sys.argv[1:], "environment": dict(os.environ),
                       "pid": os.getpid(), "child": child}, file)
        os.rename(options["record"] + ".part", options["record"])
    say("0.00.001.000 I srv  llama_server: initializing ...")
    if "ignore-term" not in options:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    misbehave_at_start(options)

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0 if "elsewhere" in options else options["port"]))
    listener.listen(64)
    engine = Engine(options)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=engine.answer, args=(connection,), daemon=True).start()


main()

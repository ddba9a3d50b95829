#!/usr/bin/python3 -IS
"""Stands in for llama-server where it is measured: computes nothing, and takes its time by rules.

A token of a prompt takes 50 us and a generated one 800 us, half of that with a batch of 512. Of
llama-server's own arguments --port and -b are read, and these:

  --fake-cached        claim that half of the prompt was in a cache
  --fake-refuse        answer 500 to what is to be computed
  --fake-cut           end an answer in its middle
  --fake-stuck         never answer what is to be computed
  --fake-record FILE   append the arguments of each start, a JSON list a line
  --fake-huge          take 64 MiB of memory
"""
import json
import signal
import os
import socket
import sys
import threading
import time

FLAGS = {"cached", "refuse", "cut", "stuck", "huge"}
PROMPT, GENERATED = 50e-6, 800e-6


def parse(arguments):
    options, i = {"batch": 256}, 0
    while i < len(arguments):
        name = arguments[i]
        if name in ("--port", "-b"):
            i += 1
            options["port" if name == "--port" else "batch"] = int(arguments[i])
        elif name.startswith("--fake-"):
            key = name[len("--fake-"):]
            if key in FLAGS:
                options[key] = True
            else:
                i += 1
                options[key] = arguments[i]
        i += 1
    return options


def reply(connection, body, status="200 OK"):
    data = json.dumps(body).encode()
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close"
                       f"\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


def complete(connection, options, wish):
    factor = 0.5 if options["batch"] == 512 else 1
    length, count = len(wish["prompt"]), wish["n_predict"]
    assert not wish["cache_prompt"] and wish["ignore_eos"] and wish["stream"]
    time.sleep(length * PROMPT * factor)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                       b"Connection: close\r\n\r\n")

    def event(body):
        connection.sendall(b"data: " + json.dumps(body).encode() + b"\n\n")

    event({"content": "a", "stop": False})
    if "cut" in options:
        return
    generating = (count - 1) * GENERATED * factor
    time.sleep(generating)
    cached = length // 2 if "cached" in options else 0
    event({"content": "", "stop": True,
           "timings": {"prompt_n": length - cached, "cache_n": cached, "predicted_n": count,
                       "predicted_ms": generating * 1000}})


def serve(connection, options):
    with connection:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        path = head.split()[1].decode()
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n")
                   if line.startswith(b"content-length")]
        while lengths and len(body) < int(lengths[0]):
            body += connection.recv(65536)
        if path == "/health":
            reply(connection, {"status": "ok"})
        elif path == "/props":
            reply(connection, {"build_info": "b1-fake"})
        elif "refuse" in options:
            reply(connection, {"error": {"message": "it is tired"}}, "500 Internal Server Error")
        elif "stuck" in options:
            time.sleep(1000)
        elif path == "/v1/embeddings":
            time.sleep(len(json.loads(body)["input"]) * PROMPT)
            reply(connection, {"data": [{"embedding": [0.5]}]})
        else:
            complete(connection, options, json.loads(body))


def main():
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if "record" in options:
        with open(options["record"], "a", encoding="utf-8") as file:
            file.write(json.dumps(sys.argv[1:]) + "\n")
    held = bytearray(b"x" * (64 << 20)) if "huge" in options else None
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options["port"]))
    listener.listen(64)
    while held is not False:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, options), daemon=True).start()


main()

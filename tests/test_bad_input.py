"""What clients and files do wrong, and what they are told."""

import json
import socket
import struct
import subprocess
import time

import pytest

from harness.corral import MODEL, MODELS, binary, clean_environment, run_cli, wait_until
from harness.raw import Raw, request

CHAT = "/v1/chat/completions"


def error_of(response):
    error = response.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["message"]
    return error


def post_text(corral, text, path=CHAT):
    return corral.post(path, None, content=text, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"model":', '{"model":"corral-tiny",,}', "[1,2", '{"a":1} x', '{"model":"\x01"}', "\ufeff{", "nul"],
)
def test_malformed_json(corral, text):
    response = post_text(corral, text)
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"


def test_malformed_json_names_the_position(corral):
    message = error_of(post_text(corral, '{"model":"corral-tiny","messages":[tru1]}'))["message"]
    assert any(char.isdigit() for char in message), message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 7),
        ("messages", "hello"),
        ("messages", [{"role": "user", "content": 5}]),
        ("stream", "yes"),
        ("temperature", "hot"),
        ("max_tokens", "many"),
        ("n", "two"),
        ("stop", 3),
    ],
)
def test_wrong_types_name_the_field(corral, field, value):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}], field: value}
    response = corral.post(CHAT, body)
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert field in f"{error['param']} {error['message']}"


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_missing_fields(corral, missing):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}]}
    del body[missing]
    response = corral.post(CHAT, body)
    assert response.status_code == 400
    assert missing in error_of(response)["message"]


def test_not_an_object(corral):
    for text in ("[]", "1", '"x"', "null"):
        assert post_text(corral, text).status_code == 400


def test_a_key_given_twice_is_refused(corral):
    text = '{"model":"corral-tiny","messages":[{"role":"user","content":"Hi"}],"model":"other"}'
    response = post_text(corral, text)
    assert response.status_code == 400
    assert "model" in error_of(response)["message"]


def test_deep_nesting_is_refused(corral):
    response = post_text(corral, '{"model":"corral-tiny","messages":' + "[" * 100000 + "]" * 100000 + "}")
    assert response.status_code == 400


def test_unknown_model(corral):
    response = corral.chat(model="coral-tiny")
    assert response.status_code == 404
    error = error_of(response)
    assert error["code"] == "model_not_found"
    assert MODEL in error["message"]


def test_unknown_path_and_method(corral):
    assert corral.get("/v1/nothing").status_code == 404
    error_of(corral.get("/v1/nothing"))
    response = corral.get(CHAT)
    assert response.status_code == 405
    assert "POST" in response.headers["allow"]


def test_too_large_a_body(fresh):
    server = fresh(config="server:\n  max_body_bytes: 65536\n").start()
    response = server.chat("x" * 100_000)
    assert response.status_code == 413
    error_of(response)
    assert server.chat().status_code == 200


def test_too_large_by_its_announcement_alone(corral):
    with Raw(corral.address) as raw:
        raw.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        status, _, _ = raw.answer()
        assert status == 413


def test_too_large_a_head(corral):
    with Raw(corral.address) as raw:
        raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
        status, _, _ = raw.answer()
        assert status in (400, 431)


def test_a_client_that_sends_one_byte_a_second(fresh):
    server = fresh(config="server:\n  header_timeout: 1500ms\n  body_timeout: 1500ms\n").start()
    with Raw(server.address) as raw:
        start = time.monotonic()
        for byte in request("GET", "/health")[:6]:
            try:
                raw.send(bytes([byte]))
            except OSError:
                break
            time.sleep(0.4)
        wait_until(lambda: drained(raw), 6, "the slow connection to be closed")
        assert time.monotonic() - start < 8
    assert server.get("/health").status_code == 200


def test_a_body_that_stops_coming(fresh):
    server = fresh(config="server:\n  body_timeout: 1s\n").start()
    with Raw(server.address) as raw:
        raw.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{")
        status, _, _ = raw.answer()
        assert status == 408


def drained(raw):
    """Whether the peer has closed; what it says before is of no interest."""
    try:
        return not raw.read_more()
    except OSError:
        return True


def test_a_client_that_never_reads(fresh):
    server = fresh(config="server:\n  write_timeout: 1s\n  web_root: .\n")
    server.folder.mkdir(parents=True, exist_ok=True)
    (server.folder / "large.bin").write_bytes(b"x" * (32 << 20))
    server.start()
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(server.address)
        one.sendall(request("GET", "/large.bin"))
        wait_until(lambda: server.metric("corral_connections") >= 1, 5, "the connection")
        # Nothing is read: after the write timeout the server lets go.
        wait_until(lambda: server.metric("corral_connections") <= 1, 10, "the connection to be dropped")
    assert server.get("/health").status_code == 200


def test_taken_port_that_was_asked_for(fresh):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = fresh(listen=(f"127.0.0.1:{port}",)).launch()
        assert server.wait(20) != 0
        said = server.log_text() + "".join(server.out)
        assert str(port) in said
        assert "in use" in said.lower() or "taken" in said.lower()


def model_folder(tmp_path, name, data):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / f"{name}.gguf").write_bytes(data)
    (folder / "corral-tiny.gguf").write_bytes((MODELS / "corral-tiny.gguf").read_bytes())
    return folder


def good_model():
    return (MODELS / "corral-tiny.gguf").read_bytes()


HOSTILE = {
    "empty": lambda: b"",
    "not-gguf": lambda: b"this is no model" * 100,
    "cut-in-header": lambda: good_model()[:100],
    "cut-in-tensors": lambda: good_model()[: len(good_model()) // 2],
    "many-keys": lambda: b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 62),
    "many-tensors": lambda: b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 0),
    "long-string": lambda: b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 60) + b"general.name",
    "long-array": lambda: b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 3) + b"a.b" + struct.pack("<IIQ", 9, 4, 1 << 60),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_model_files(fresh, tmp_path, kind):
    server = fresh(models=model_folder(tmp_path, "bad", HOSTILE[kind]())).start()
    response = server.chat(model="bad")
    assert response.status_code in (404, 500, 503), response.text
    error_of(response)
    assert server.metric("corral_resident_bytes") < 200e6
    assert server.chat().status_code == 200


def test_data_dir_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    ended = subprocess.run(
        [binary(), "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "file" / "below"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=20,
    )
    assert ended.returncode not in (0, -6, -11)
    assert "file" in ended.stderr


def test_bad_command_lines():
    for words in (["serve", "--listen", "nowhere"], ["frobnicate"], ["serve", "--listen", "127.0.0.1:99999"]):
        ended = run_cli(*words)
        assert ended.returncode > 0, words
        assert ended.stderr.strip()


def test_utf8_survives(corral):
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "héllo 你好 🙂"}]})
    assert post_text(corral, body).status_code == 200
    bad = b'{"model":"corral-tiny","messages":[{"role":"user","content":"\xff\xfe"}]}'
    response = corral.post(CHAT, None, content=bad, headers={"content-type": "application/json"})
    assert response.status_code == 400

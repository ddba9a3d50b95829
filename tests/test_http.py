"""HTTP itself: framing, negotiation, hygiene, TLS, WebSocket."""

import asyncio
import gzip
import json
import ssl
import subprocess

import httpx
import pytest
import websockets

from harness.corral import MODEL
from harness.raw import Raw, request

BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0}).encode()


def test_keep_alive(corral):
    with Raw(corral.address) as raw:
        for _ in range(20):
            status, headers, body = raw.exchange(request("GET", "/health"))
            assert status == 200
            assert json.loads(body)["status"] == "ok"
            assert headers.get("connection", "keep-alive").lower() != "close"


def test_connection_close_is_obeyed(corral):
    with Raw(corral.address) as raw:
        assert raw.exchange(request("GET", "/health", ["Connection: close"]))[0] == 200
        assert raw.closed()


def test_pipelined_requests_are_answered_in_order(corral):
    with Raw(corral.address) as raw:
        raw.send(request("GET", "/health") + request("GET", "/v1/models") + request("GET", "/health"))
        bodies = [raw.answer()[2] for _ in range(3)]
        assert b"status" in bodies[0] and b"corral-tiny" in bodies[1] and b"status" in bodies[2]


def test_chunked_request(corral):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i : i + 10]), BODY[i : i + 10]) for i in range(0, len(BODY), 10))
    with Raw(corral.address, timeout=60) as raw:
        head = request("POST", "/v1/chat/completions", ["Transfer-Encoding: chunked"])
        status, _, body = raw.exchange(head + chunks + b"0\r\n\r\n")
        assert status == 200
        assert json.loads(body)["choices"]


def test_expect_100_continue(corral):
    with Raw(corral.address, timeout=60) as raw:
        headers = ["Expect: 100-continue", f"Content-Length: {len(BODY)}"]
        raw.send(request("POST", "/v1/chat/completions", headers))
        assert raw.answer()[0] == 100
        assert raw.exchange(BODY)[0] == 200


def test_expect_is_not_continued_where_the_body_is_too_large(corral):
    with Raw(corral.address) as raw:
        headers = ["Expect: 100-continue", "Content-Length: 99999999999"]
        assert raw.exchange(request("POST", "/v1/chat/completions", headers))[0] == 413


def test_head(corral):
    with Raw(corral.address) as raw:
        status, headers, _ = raw.exchange(request("HEAD", "/health"), head_only=True)
        assert status == 200
        assert int(headers["content-length"]) > 0
        assert raw.exchange(request("GET", "/health"))[0] == 200


def test_options_and_cors(corral):
    preflight = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization",
    }
    response = httpx.options(corral.url + "/v1/chat/completions", headers=preflight)
    assert response.status_code in (200, 204)
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "authorization" in response.headers["access-control-allow-headers"].lower()
    assert "origin" in response.headers["vary"].lower()
    answer = corral.get("/v1/models", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"


def test_a_strange_origin_gets_no_permission(corral):
    response = corral.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers


def test_a_strange_host_is_refused(corral):
    """A page of another site that had its name resolve to this machine (DNS rebinding)."""
    with Raw(corral.address) as raw:
        assert raw.exchange(request("GET", "/v1/models", host="evil.example"))[0] in (400, 403, 421)


SMUGGLING = {
    "both lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "chunked not last": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "length in hex": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x10\r\n\r\n",
    "space before colon": b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "folded header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "nul in header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http\r\n\r\n",
}


@pytest.mark.parametrize("kind", SMUGGLING)
def test_what_could_be_smuggled_is_refused(corral, kind):
    with Raw(corral.address) as raw:
        raw.send(SMUGGLING[kind])
        try:
            status, _, _ = raw.answer()
        except (EOFError, ConnectionResetError):
            return
        assert 400 <= status < 600, status
        assert raw.closed()


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_compression_is_negotiated(corral, coding):
    with Raw(corral.address) as raw:
        plain = raw.exchange(request("GET", "/metrics"))
        status, headers, body = raw.exchange(request("GET", "/metrics", [f"Accept-Encoding: {coding}"]))
        assert status == 200
        assert headers["content-encoding"] == coding
        assert "accept-encoding" in headers["vary"].lower()
        assert len(body) < len(plain[2]) / 2
        if coding == "gzip":
            assert b"corral_build_info" in gzip.decompress(body)


def test_no_compression_unasked_or_refused(corral):
    for accept in ([], ["Accept-Encoding: identity"], ["Accept-Encoding: gzip;q=0, br;q=0, zstd;q=0"]):
        with Raw(corral.address) as raw:
            _, headers, _ = raw.exchange(request("GET", "/metrics", accept))
            assert "content-encoding" not in headers


def test_a_stream_is_not_compressed(corral):
    response = corral.chat(stream=True, timeout=60)
    assert "content-encoding" not in response.headers
    assert response.headers["content-type"].startswith("text/event-stream")


def test_request_id(corral):
    assert corral.get("/health", headers={"x-request-id": "my-own-id-1"}).headers["x-request-id"] == "my-own-id-1"
    made = {corral.get("/health").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    with Raw(corral.address) as raw:
        _, headers, _ = raw.exchange(request("GET", "/health", ["X-Request-Id: " + "a" * 5000]))
        assert len(headers["x-request-id"]) < 300


def certificate(folder):
    key, pem = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    return key, pem


def test_tls(fresh, tmp_path):
    key, pem = certificate(tmp_path)
    server = fresh(config=f"server:\n  tls_certificate: {pem}\n  tls_key: {key}\n").start()
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=pem)
    with httpx.Client(verify=context, timeout=60) as client:
        assert client.get(server.url + "/health").status_code == 200
        answer = client.post(server.url + "/v1/chat/completions", content=BODY)
        assert answer.json()["choices"][0]["message"]["content"]
    with pytest.raises(httpx.HTTPError):
        httpx.get(server.url + "/health")
    with pytest.raises((httpx.HTTPError, ssl.SSLError)):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        httpx.get(server.url + "/health", verify=old)


def test_tls_with_a_wrong_key_file_does_not_start(fresh, tmp_path):
    key, pem = certificate(tmp_path)
    key.write_text("no key")
    server = fresh(config=f"server:\n  tls_certificate: {pem}\n  tls_key: {key}\n").launch()
    assert server.wait(20) != 0
    assert "key.pem" in server.log_text() + "".join(server.out)


def test_metrics_over_websocket(corral):
    async def two_messages():
        url = corral.url.replace("http", "ws", 1) + "/metrics"
        async with websockets.connect(url, open_timeout=10) as socket:
            return [json.loads(await asyncio.wait_for(socket.recv(), 15)) for _ in range(2)]

    first, second = asyncio.run(two_messages())
    assert isinstance(first, dict) and first.keys() == second.keys()


def test_websocket_from_a_strange_origin_is_refused(corral):
    async def connect():
        url = corral.url.replace("http", "ws", 1) + "/metrics"
        async with websockets.connect(url, origin="https://evil.example", open_timeout=10):
            pass

    with pytest.raises(websockets.exceptions.InvalidStatus):
        asyncio.run(connect())

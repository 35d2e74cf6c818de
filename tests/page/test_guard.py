"""Which requests never reach Gradio, and what becomes of its pages."""

import asyncio

import pytest

from page.files import PrivateFolder
from page.guard import Guard

PAGE = (
    b'<link rel="preconnect" href="https://fonts.example.com"><script src="https://cdn.example.com/a.js"></script>'
    b'<meta property="og:image" content="https://example.com/a.jpg"/><link rel="stylesheet" href="./a.css">'
    b'<script>var a = "https://example.com"</script>'
)
KEPT = b'<link rel="stylesheet" href="./a.css"><script>var a = "https://example.com"</script>'


def ask(folder, path, headers=(), content_type=b"text/html; charset=utf-8", hosts=frozenset()):
    """Status, headers and body of the answer"""
    sent = []

    async def app(scope, receive, send):
        head = [(b"content-type", content_type), (b"content-length", str(len(PAGE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": PAGE[:20], "more_body": True})
        await send({"type": "http.response.body", "body": PAGE[20:]})

    async def send(message):
        sent.append(message)

    scope = dict(type="http", path=path, headers=list(headers))
    asyncio.run(Guard(app, folder, 1000, hosts)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:])


@pytest.fixture(scope="module")
def folder():
    with PrivateFolder() as folder:
        yield folder


def test_pages_call_nobody_else(folder):
    status, headers, body = ask(folder, "/")
    assert status == 200 and body == KEPT
    assert headers[b"content-length"] == str(len(KEPT)).encode()
    assert headers[b"content-security-policy"].startswith(b"default-src 'self'")


def test_other_answers_stay_as_they_are(folder):
    _, headers, body = ask(folder, "/a.js", content_type=b"text/javascript")
    assert body == PAGE and b"content-security-policy" in headers


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "//etc/passwd", "{}/../x", "{}/%2e%2e/x", "README.md", "https://a.b/c"]
)
@pytest.mark.parametrize("route", ["/gradio_api/file=", "/file=", "/gradio_api/file/"])
def test_files_of_the_machine_are_refused(folder, place, route):
    assert ask(folder, route + place.format(folder.path))[0] == 403


def test_own_files_are_given_and_no_other_host_is_asked(folder):
    assert ask(folder, f"/gradio_api/file={folder.path}/a.mp4")[0] == 200
    assert ask(folder, "/gradio_api/proxy=https://example.com/")[0] == 403


@pytest.mark.parametrize("route", ["process_recording", "component_server", "monitoring/summary"])
def test_what_the_page_does_not_use_is_closed(folder, route):
    assert ask(folder, f"/gradio_api/{route}")[0] == 403


def test_other_sites_pages_cannot_use_this_one(folder):
    here = [(b"host", b"127.0.0.1:7860")]
    assert ask(folder, "/gradio_api/upload", [*here, (b"origin", b"http://127.0.0.1:7860")])[0] == 200
    for origin in (b"http://evil.example", b"http://127.0.0.1:8000", b"null"):
        assert ask(folder, "/gradio_api/upload", [*here, (b"origin", origin)])[0] == 403


def test_a_page_for_one_machine_knows_its_own_names_alone(folder):
    hosts = frozenset({"localhost", "127.0.0.1", "::1"})
    for host, status in {
        b"localhost:7860": 200,
        b"[::1]:7860": 200,
        b"evil.example:7860": 403,
        b"": 403,
    }.items():
        assert ask(folder, "/config", [(b"host", host)], hosts=hosts)[0] == status
    assert ask(folder, "/config", [(b"host", b"page.example")])[0] == 200


def test_what_is_not_measured_is_refused_and_only_uploads_are_large(folder):
    assert ask(folder, "/gradio_api/upload", [(b"transfer-encoding", b"chunked")])[0] == 411
    assert ask(folder, "/gradio_api/queue/join", [(b"content-length", b"1000900")])[0] == 413


def test_large_uploads_are_refused_by_their_head(folder):
    assert ask(folder, "/gradio_api/upload", [(b"content-length", b"3000000")])[0] == 413
    assert ask(folder, "/gradio_api/upload", [(b"content-length", b"900")])[0] == 200

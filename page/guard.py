"""What stands between the browser and Gradio's routes: nothing from elsewhere, no files but the page's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from page.files import PrivateFolder

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
# <link> and <script> that name another host, and the <meta> tags about Gradio that name its pictures
ELSEWHERE = re.compile(
    rb"<(?:link|meta)\b[^>]*https?://[^>]*>|<script\b[^>]*\bsrc=\"https?://[^>]*>\s*</script>"
)
CLOSED = re.compile(
    r"/proxy=|/(?:process_recording|component_server|vibe-|undo-vibe|profiling|monitoring)"
)  # not used
FILE = re.compile(r"/file[=/](.*)", re.DOTALL)
SPARE = 10**6  # bytes of an upload around its file


class Guard:
    """ASGI middleware. folder: whose files may be asked for; most: bytes of an upload.

    hosts: by which names the page may be called, none for any. Where it is for this machine alone, another site could
    else give itself the machine's address, and have its visitors' browsers ask for it.
    """

    def __init__(
        self, app: Callable, folder: PrivateFolder, most: int, hosts: frozenset[str] = frozenset()
    ) -> None:
        self.app, self.folder, self.most, self.hosts = app, folder, most, hosts

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif status := self.refusal(scope):
            start = {"type": "http.response.start", "status": status}
            await send(start | {"headers": [(b"content-type", b"text/plain"), *HEADERS]})
            await send({"type": "http.response.body", "body": b"Not here."})
        else:
            await self.app(scope, receive, Answer(send))

    def refusal(self, scope: dict) -> int | None:
        """The status of the answer to a request for what the page does not give"""
        path, headers = scope["path"], dict(scope["headers"])
        if CLOSED.search(path) or not self.is_own(headers):
            return 403
        if b"transfer-encoding" in headers:  # no browser sends what it will not measure
            return 411
        if (asked := FILE.search(path)) and not (
            self.folder.holds(asked[1]) and self.folder.holds(unquote(asked[1]))
        ):
            return 403
        length, most = headers.get(b"content-length", b"0"), self.most * path.endswith("/upload") + SPARE
        return 413 if not length.isdigit() or int(length) > most else None

    def is_own(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request is for this page by one of its names, and comes of no other site's page"""
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        if self.hosts and urlsplit(f"//{host}").hostname not in self.hosts:
            return False
        return not origin or urlsplit(origin).netloc == host


class Answer:
    """Sends an answer on, with our headers, and pages without what would call other hosts."""

    def __init__(self, send: Callable) -> None:
        self.send, self.start, self.body = send, None, b""

    async def __call__(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            kept = {name for name, _ in HEADERS}
            own = [pair for pair in message["headers"] if pair[0].lower() not in kept]
            message = {**message, "headers": own + HEADERS}
            if b"text/html" in dict(own).get(b"content-type", b""):
                self.start = message  # its length is known once the body is
                return
        elif message["type"] == "http.response.body" and self.start is not None:
            self.body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = ELSEWHERE.sub(b"", self.body)
            own = [pair for pair in self.start["headers"] if pair[0].lower() != b"content-length"]
            await self.send({**self.start, "headers": own + [(b"content-length", str(len(body)).encode())]})
            message, self.start = {"type": "http.response.body", "body": body}, None
        await self.send(message)

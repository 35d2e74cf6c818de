"""What stands between the browser and Gradio's routes: nothing from elsewhere, no files but the page's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

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
FILE = re.compile(r"/file[=/](.*)", re.DOTALL)
SPARE = 10**6  # bytes of an upload around its file


class Guard:
    """ASGI middleware. folder: whose files may be asked for; most: bytes of an upload."""

    def __init__(self, app: Callable, folder: PrivateFolder, most: int) -> None:
        self.app, self.folder, self.most = app, folder, most

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
        path = scope["path"]
        if "/proxy=" in path:
            return 403
        if (asked := FILE.search(path)) and not (
            self.folder.holds(asked[1]) and self.folder.holds(unquote(asked[1]))
        ):
            return 403
        length = dict(scope["headers"]).get(b"content-length", b"0")
        return 413 if not length.isdigit() or int(length) > self.most + SPARE else None


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

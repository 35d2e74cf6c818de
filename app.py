"""A page in the browser: talking faces, lips read, silent faces with a voice.

    pip install -r requirements-app.txt && python app.py      http://127.0.0.1:7860, for this machine alone
    python app.py --port 8000 --longest 120                   another port; up to two minutes of sound or video
    python app.py --host 0.0.0.0 --auth USER:PASSWORD         for other machines too, which must know the password

One job runs at a time, others wait in a queue. Uploads and results lie in a folder that nobody else can enter; they
are deleted after an hour, and all of it at the end. docs/page.md says more, also how programs call the page. Flags
take one dash or two.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import threading
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from utils.cli import add_device_flags, add_flag, add_number, parser, pick_device
from utils.errors import UserError, note, run

ROOT = Path(__file__).parent
HERE = frozenset({"localhost", "127.0.0.1", "::1"})  # names of this machine


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    add_flag(
        flags,
        "host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1: this machine alone)",
    )
    add_number(flags, "port", 7860, "port to listen on", least=1, below=65536)
    add_flag(
        flags, "auth", type=credentials, metavar="USER:PASSWORD", help="who may see the page (default: all)"
    )
    at_model, vg_model = (ROOT / f"weights/{name}.safetensors" for name in ("atnet_whisper", "vgnet"))
    add_flag(
        flags,
        "at_model",
        type=Path,
        default=at_model,
        help="weights of the default ears: an AT-net, or an NR-net",
    )
    add_flag(flags, "vg_model", type=Path, default=vg_model, help="VG-net's weights")
    add_number(flags, "longest", 60.0, "seconds that sound and videos may last", least=0.04)
    add_number(flags, "megapixels", 16.0, "of a picture", least=0.01)
    add_number(flags, "megabytes", 100.0, "of a file", least=0.01)
    add_number(flags, "waiting", 8, "jobs that may wait in the queue", least=1)
    add_number(flags, "kept", 60.0, "minutes after which uploads and results are deleted", least=0.01)
    add_device_flags(flags)
    return flags.parse_args(argv)


def credentials(text: str) -> tuple[str, str]:
    """ "me:secret" -> ("me", "secret"). Raises UserError, which does not repeat it."""
    user, _, password = text.partition(":")
    if not user or not password:
        raise UserError("--auth: give a name and a password as USER:PASSWORD")
    return user, password


def is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def check_port(host: str, port: int) -> None:
    """Raises UserError where nobody can listen there."""
    try:
        family = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host.strip("[]"), port))
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror or error}; give another") from error


def silence_gradio() -> None:
    """No line home, no share links, before it is imported"""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in ("GRADIO_SHARE", "GRADIO_ALLOWED_PATHS", "GRADIO_ROOT_PATH", "GRADIO_MCP_SERVER"):
        os.environ.pop(name, None)


def main(args: Namespace) -> None:
    from page.files import PrivateFolder
    from page.jobs import Jobs
    from page.limits import MEGA, Limits
    from page.service import Service

    check_port(args.host, args.port)
    silence_gradio()
    limits = Limits(args.longest, args.megapixels, args.megabytes, args.waiting)
    device, jobs = pick_device(args.cuda, args.device_ids), Jobs()
    for weights in (args.at_model, args.vg_model):
        if not weights.is_file():
            raise UserError(f"{weights}: no such file; give the weights of a network")
    with PrivateFolder(60 * args.kept) as folder:
        try:
            from starlette.middleware import Middleware

            from page.guard import Guard
            from page.layout import build
            from page.looks import CSS, theme
        except ModuleNotFoundError as error:
            raise UserError(f"{error.name} is not installed; pip install -r requirements-app.txt") from error
        page = build(Service(folder, limits, device, args.at_model, args.vg_model), jobs)
        hosts = HERE if is_loopback(args.host) else frozenset()
        guard = Middleware(Guard, folder=folder, most=int(args.megabytes * MEGA), hosts=hosts)
        page.launch(
            server_name=args.host, server_port=args.port, auth=args.auth, max_file_size=int(args.megabytes * MEGA),
            app_kwargs=dict(middleware=[guard], docs_url=None, redoc_url=None, openapi_url=None),
            theme=theme(), css=CSS, share=False, quiet=True, prevent_thread_lock=True, show_error=False,
            enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False, run_history=False, footer_links=[],
        )  # fmt: skip
        try:
            say_where(args)
            threading.Event().wait()
        finally:
            jobs.stop_all()
            page.close(verbose=False)


def say_where(args: Namespace) -> None:
    print(f"http://{args.host}:{args.port}", flush=True)
    if not is_loopback(args.host) and args.auth is None:
        note(
            f"--host {args.host}: other machines can use this page; give --auth USER:PASSWORD, or they all may"
        )


if __name__ == "__main__":
    sys.exit(run(main, parse_args))

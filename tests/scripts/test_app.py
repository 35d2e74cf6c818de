"""The page's command: its flags, and what it says where it cannot start."""

import socket
import subprocess
import sys

import pytest

import app
from tests.page.server import free_port
from utils.errors import UserError, run


def test_defaults_are_this_machine_alone():
    args = app.parse_args([])
    assert (args.host, args.port, args.auth) == ("127.0.0.1", 7860, None)
    assert app.is_loopback(args.host) and args.at_model.is_file() and args.vg_model.is_file()


@pytest.mark.parametrize("host", ["localhost", "::1", "127.9.9.9", "0.0.0.0", "example.com"])
def test_loopback(host):
    assert app.is_loopback(host) is (host not in ("0.0.0.0", "example.com"))


def test_a_password_is_not_repeated():
    assert app.parse_args(["--auth", "me:a:b"]).auth == ("me", "a:b")
    for wrong in ("secret", ":secret", "me:"):
        with pytest.raises(UserError) as error:
            app.parse_args(["--auth", wrong])
        assert "secret" not in str(error.value)


def test_other_hosts_are_urged_to_ask_for_a_password(capsys):
    for flags, urged in (
        (["--host", "0.0.0.0"], True),
        (["--host", "0.0.0.0", "--auth", "a:b"], False),
        ([], False),
    ):
        app.say_where(app.parse_args(flags))
        assert ("--auth" in capsys.readouterr().err) is urged


def test_a_port_in_use(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run(app.main, lambda: app.parse_args(["--port", port])) == 2
    assert capsys.readouterr().err.startswith(f"error: --host 127.0.0.1 --port {port}: ")


def test_missing_weights(capsys, tmp_path):
    port = str(free_port())
    flags = ["-at_model", str(tmp_path / "no.safetensors"), "--port", port]
    assert run(app.main, lambda: app.parse_args(flags)) == 2
    assert "no.safetensors: no such file" in capsys.readouterr().err


def test_only_the_page_needs_gradio():
    code = "import sys, app, demo, page.service, page.guard; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=app.ROOT, check=False).returncode == 0


def test_without_gradio_it_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(app, "silence_gradio", lambda: None)
    for name in ("layout", "widgets", "looks"):
        monkeypatch.delitem(sys.modules, f"page.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    port = str(free_port())
    assert run(app.main, lambda: app.parse_args(["--port", port, "--cuda", "false"])) == 2
    assert "pip install -r requirements-app.txt" in capsys.readouterr().err

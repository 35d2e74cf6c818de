"""The page called by programs: what it makes, what it refuses, and that nobody gets at the machine's files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.page.server import serving
from tests.talking import comment_of, lengths

gradio_client = pytest.importorskip("gradio_client", reason="no gradio: pip install -r requirements-app.txt")
AppError, QueueError = gradio_client.exceptions.AppError, gradio_client.utils.QueueError
Client, handle_file = gradio_client.Client, gradio_client.handle_file


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    return Client(server.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture(scope="module")
def talking(client, given) -> Path:
    result, panel, about = client.predict(
        photo=handle_file(given / "face.png"), speech=handle_file(given / "half.wav"), api_name="/talk"
    )
    assert lengths(Path(panel))[0] == 13 and about.startswith("13 frames")
    return Path(result)


def said(client, api: str = "/talk", **given) -> str:
    """The sentence of a refusal"""
    with pytest.raises(AppError) as error:
        client.predict(api_name=api, **given)
    return error.value.message


def test_a_photo_speaks(talking):
    frames, seconds = lengths(talking)
    assert frames == 13 and abs(seconds - 0.5) < 0.05
    assert comment_of(talking).startswith("Generated")


def test_a_video_is_dubbed(client, given, talking):
    speech = handle_file(given / "half.wav")
    result, *_ = client.predict(
        video=handle_file(talking), speech=speech, shows="The face alone", api_name="/talk"
    )
    assert lengths(Path(result))[0] == 13


def test_lips_are_read(client, talking):
    words, subtitles, about = client.predict(video=handle_file(talking), api_name="/read_lips")
    assert words["headers"][0] == "word" and Path(subtitles).suffix == ".srt" and about.endswith("s.")
    assert len(Path(subtitles).read_text().split("\n\n")) == len(words["data"]) + 1


def test_a_silent_face_gets_a_voice(client, talking):
    result, about = client.predict(video=handle_file(talking), api_name="/give_voice")
    assert lengths(Path(result))[0] == 13 and about.startswith("13 frames")
    assert comment_of(Path(result)).startswith("Generated")


def test_only_what_is_offered_is_public(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {
        "/talk",
        "/read_lips",
        "/give_voice",
    }


@pytest.mark.parametrize(
    ("photo", "sentence"),
    [
        ("wall.png", "wall.png: no face found"),
        ("letter.png", "letter.png: not an image"),
        (None, "Nobody to speak"),
    ],
)
def test_mistakes_are_told_in_a_sentence(client, given, server, photo, sentence):
    before = server.results()
    files = dict(speech=handle_file(given / "half.wav"))
    message = said(client, **files, **({"photo": handle_file(given / photo)} if photo else {}))
    assert message.startswith(sentence) and "/" not in message
    assert server.results() == before


def test_more_mistakes(client, given):
    photo, speech = handle_file(given / "face.png"), handle_file(given / "half.wav")
    assert said(client, photo=photo).startswith("No speech yet")
    assert said(client, photo=photo, speech=handle_file(given / "letter.png")).startswith("letter.png: ")
    assert said(client, video=photo, speech=speech) == "face.png: a picture; give a video"
    assert (
        said(client, "/read_lips") == said(client, "/give_voice") == "No video yet: give one, or record one"
    )
    assert "dog" in said(client, photo=photo, speech=speech, ears="dog")


def outcome(server, *data) -> str:
    """What a hand-made call of /talk says in the end"""
    call = f"{server.url}/gradio_api/call/talk"
    event = httpx.post(call, json={"data": data}).raise_for_status().json()["event_id"]
    return httpx.get(f"{call}/{event}", timeout=30).text


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "README.md", "https://example.com/a.png", "http://127.0.0.1:1/a.png", "../x"]
)
def test_files_that_were_not_uploaded_are_refused(server, path):
    before = {one for one in server.private.rglob("*") if one.is_file()}
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    text = outcome(server, photo, None, None, "whisper", "The whole picture", True)
    assert "Files must be uploaded here first" in text
    assert {one for one in server.private.rglob("*") if one.is_file()} == before


def test_a_file_in_another_places_value_is_refused_too(server):
    ears = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    text = outcome(server, None, None, None, ears, "The whole picture", True)
    assert "Files must be uploaded here first" in text


@pytest.mark.parametrize("path", ["/etc/passwd", "README.md", "weights/README.md", "https://example.com/"])
@pytest.mark.parametrize("route", ["gradio_api/file=", "gradio_api/file/"])
def test_no_file_of_the_machine_is_served(server, route, path):
    root = str(Path(__file__).parent.parent.parent)
    for one in (path, f"{root}/{path}", path.replace("/", "%2F")):
        assert httpx.get(f"{server.url}/{route}{one}").status_code in (403, 404)


def test_large_uploads_are_refused(server):
    answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": ("a.wav", bytes(5_100_000))})
    assert answer.status_code == 413
    assert not [one for one in server.private.rglob("*") if one.is_file() and one.stat().st_size > 5_000_000]


def wait_for(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_the_queue_is_bounded(client, given, server):
    files = dict(photo=handle_file(given / "face.png"))
    long, short = handle_file(given / "six.wav"), handle_file(given / "half.wav")
    running = client.submit(**files, speech=long, api_name="/talk")
    wait_for(lambda: running.status().code.name in ("PROCESSING", "PROGRESS", "ITERATING"))
    waiting = [client.submit(**files, speech=short, api_name="/talk") for _ in range(3)]
    refused = [job for job in waiting if isinstance(job.exception(timeout=60), QueueError)]
    assert len(refused) == 1 and running.exception(timeout=60) is None


def test_a_damaged_call_gets_a_sentence_and_no_traceback(server):
    assert "by programs with handle_file" in outcome(server, 1, 2, 3, 4, 5, 6, 7)
    assert "Traceback" not in server.said()
    text = outcome(server, None, None, None)
    assert "Something went wrong on this side" in text and "Traceback" not in text
    assert "Traceback" in server.said()  # for whoever keeps the server


def test_a_password_and_files_that_go_after_their_time(given, tmp_path):
    flags = ("-at_model", given / "at.safetensors", "-vg_model", given / "vg.safetensors")
    flags = (*flags, "--auth", "me:secret", "--kept", 0.2)
    with serving(tmp_path, *flags, env=dict(os.environ)) as server:
        for path in ("config", "gradio_api/info", f"gradio_api/file={server.private}"):
            assert httpx.get(f"{server.url}/{path}").status_code == 401
        assert "secret" not in httpx.get(server.url).text
        client = Client(server.url, auth=("me", "secret"), verbose=False, download_files=str(tmp_path))
        speech = handle_file(given / "half.wav")
        client.predict(photo=handle_file(given / "face.png"), speech=speech, api_name="/talk")
        assert len(server.results()) == 1
        wait_for(lambda: not any(server.private.glob("[!.]*")))
        client.submit(
            photo=handle_file(given / "face.png"), speech=handle_file(given / "long.wav"), api_name="/talk"
        )
        wait_for(server.results)
    assert not list(tmp_path.glob("talking-page-*"))  # though it was at work when it was told to end

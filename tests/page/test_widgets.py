"""What Gradio's components and page do here that they would not do by themselves."""

import pytest

gr = pytest.importorskip("gradio", reason="no gradio: pip install -r requirements-app.txt")

from page.files import PrivateFolder  # noqa: E402
from page.widgets import FOREIGN, Clip, Page, Photo, Speech, message  # noqa: E402
from utils.errors import UserError  # noqa: E402


def test_names_of_files_are_no_markup():
    assert message("<img src=x>.png: no face").message == "&lt;img src=x&gt;.png: no face"


@pytest.mark.parametrize("kind", [Photo, Clip, Speech])
def test_files_pass_as_they_are(kind, tmp_path):
    (tmp_path / "letter.png").write_text("no picture, no sound")
    one = kind()
    given = one.postprocess(tmp_path / "letter.png")
    assert given.orig_name == "letter.png" and one.preprocess(given) == str(tmp_path / "letter.png")
    assert one.preprocess(None) is None and one.postprocess(None) is None
    assert one.get_block_name() == kind.__base__.__name__.lower()


def test_files_of_other_places_are_refused_wherever_they_stand():
    with PrivateFolder() as folder:
        page = Page(folder)
        page.refuse_foreign([1, "x", None, {"path": f"{folder.path}/a.png"}, [{"path": None}]])
        for value in (
            {"path": "/etc/passwd"},
            {"a": [{"path": "http://a.b/c"}]},
            [[{"path": f"{folder.path}/../x"}]],
        ):
            with pytest.raises(UserError, match=FOREIGN):
                page.refuse_foreign(value)

"""Photos of every kind read alike, and pictures drawn where the landmarks are."""

import numpy as np
import pytest
import torch
from PIL import Image

from utils.errors import UserError
from utils.face.landmarks import TEMPLATE
from utils.media.drawing import draw_landmarks, enlarge, grid
from utils.media.images import read_photo, to_network, to_tensor, to_uint8, write_image

RAMP = np.linspace(0, 255, 12 * 20).round().astype(np.uint8).reshape(12, 20)
COLOUR = np.stack([RAMP, RAMP[::-1], np.full_like(RAMP, 90)], axis=-1)


def save(path, image: Image.Image, **options):
    image.save(path, **options)
    return read_photo(path)


def test_formats_without_loss(tmp_path):
    for suffix in ("png", "bmp", "tif", "webp", "ppm"):
        read = save(
            tmp_path / f"a.{suffix}",
            Image.fromarray(COLOUR),
            **({"lossless": True} if suffix == "webp" else {}),
        )
        assert read.dtype == np.uint8 and np.array_equal(read, COLOUR), suffix


def test_grey_palette_and_cmyk(tmp_path):
    three = np.repeat(RAMP[..., None], 3, axis=-1)
    assert np.array_equal(save(tmp_path / "l.png", Image.fromarray(RAMP)), three)
    assert np.array_equal(save(tmp_path / "p.png", Image.fromarray(RAMP).convert("P")), three)
    cmyk = save(tmp_path / "c.tif", Image.fromarray(COLOUR).convert("CMYK"))
    assert np.abs(cmyk.astype(int) - COLOUR).max() <= 2


def test_sixteen_bits_and_fractions_span_the_same_range(tmp_path):
    three = np.repeat(RAMP[..., None], 3, axis=-1)
    wide = RAMP.astype(np.uint16) * 257
    for name, image in {
        "16.png": Image.fromarray(wide),
        "16.tif": Image.fromarray(wide),
        "dark.png": Image.fromarray(np.minimum(wide, 200)),
        "32.tif": Image.fromarray(RAMP.astype(np.int32)),
        "float.tif": Image.fromarray(RAMP.astype(np.float32) / 255),
    }.items():
        expected = np.zeros_like(three) if name == "dark.png" else three
        assert np.abs(save(tmp_path / name, image).astype(int) - expected).max() <= 1, name


def test_sixteen_bit_colour(tmp_path):
    cv2 = pytest.importorskip("cv2")
    for suffix in ("png", "tif"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), COLOUR[..., ::-1].astype(np.uint16) * 257)
        assert np.abs(read_photo(tmp_path / f"a.{suffix}").astype(int) - COLOUR).max() <= 1


def test_a_format_that_only_opencv_reads(tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "a.hdr"), COLOUR[..., ::-1].astype(np.float32) / 255)
    assert np.abs(read_photo(tmp_path / "a.hdr").astype(int) - COLOUR).max() <= 4


def test_transparency_lies_over_white(tmp_path):
    alpha = np.zeros((12, 20), np.uint8)
    alpha[:, 10:] = 255
    for name, image in {
        "rgba.png": Image.fromarray(np.dstack([COLOUR, alpha])),
        "la.png": Image.fromarray(np.dstack([COLOUR, alpha])).convert("LA"),
    }.items():
        read = save(tmp_path / name, image)
        assert (read[:, :10] == 255).all() and (read[:, 10:] != 255).any()
    palette = Image.fromarray(RAMP).convert("P")
    assert (save(tmp_path / "p.png", palette, transparency=0)[0, 0] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    turned = Image.fromarray(COLOUR)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that a camera would have made
    if orientation > 1:
        turned = turned.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(save(tmp_path / "a.png", turned, exif=exif), COLOUR)


def test_bad_photos_are_named(tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(good)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("no image at all")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("cut.png", "text.jpg", "empty.jpg", "absent.jpg", "."):
        with pytest.raises(UserError) as error:
            read_photo(tmp_path / name)
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_decoder_that_fails_without_a_word(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")

    def fail(image):
        raise ValueError

    monkeypatch.setattr("utils.media.images._to_rgb", fail)
    with pytest.raises(UserError, match=r"a\.png: a damaged image \(ValueError\)"):
        read_photo(tmp_path / "a.png")


def test_landmarks_are_drawn_where_they_are():
    picture = draw_landmarks(128, TEMPLATE)
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    for x, y in TEMPLATE:
        row, column = round(float(y)), round(float(x))
        assert picture[row - 1 : row + 2, column - 1 : column + 2].max() > 100
    assert picture[:15].max() == 0
    mirrored = draw_landmarks(128, np.array([127, 0]) + np.array([-1, 1]) * TEMPLATE)
    assert np.abs(mirrored[:, ::-1].astype(int) - picture).mean() < 2
    canvas = np.full((128, 128, 3), 50, np.uint8)
    drawn = draw_landmarks(canvas, TEMPLATE)
    assert (canvas == 50).all() and (drawn[:15] == 50).all()


def test_grid_places_tiles_row_by_row():
    tiles = [np.full((10, 12, 3), 10 * index + 10, np.uint8) for index in range(5)]
    picture = grid(tiles, columns=2, gap=2)
    assert picture.shape == (34, 26, 3)
    assert (
        picture[0, 0, 0] == 10
        and picture[0, 14, 0] == 20
        and picture[24, 0, 0] == 50
        and picture[24, 14, 0] == 0
    )
    captioned = grid([tiles[0], tiles[0][..., 0]], captions=["real", "fake"])
    assert captioned.shape == (28, 26, 3) and captioned[:18].max() > 100


def test_network_images_round_trip():
    assert np.array_equal(to_uint8(to_network(to_tensor(COLOUR))), COLOUR)
    assert to_tensor(COLOUR[None]).shape == (1, 3, 12, 20)
    maps = to_uint8(torch.tensor([[[0.0, 0.5, 1.0, 2.0]]]), low=0)
    assert maps[0, :, 0].tolist() == [0, 128, 255, 255] and maps.shape == (1, 4, 3)


def test_write_image_is_whole(tmp_path):
    write_image(tmp_path / "new" / "a.png", COLOUR)
    assert np.array_equal(read_photo(tmp_path / "new" / "a.png"), COLOUR)
    with pytest.raises(UserError):
        write_image(tmp_path / "new" / "a.png" / "b.png", COLOUR)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]
    assert enlarge(COLOUR[:, :12], 48).shape == (48, 48, 3)

"""A picture to look at after preprocessing: some clips of a store, with their landmarks drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.store import Clip, ClipStore, group_of
from utils.face.landmarks import mouth_opening
from utils.media.drawing import grid
from utils.media.images import write_image

CLIPS, COLUMNS = 24, 6
TILE = 192  # pixels


def draw_contact_sheet(store: ClipStore, path: Path) -> None:
    """Writes a PNG: up to 24 clips spread over the store, each with its frames of the most closed and open mouth."""
    chosen = sorted(
        {store.ids[i] for i in np.linspace(0, len(store) - 1, CLIPS).astype(int)} | _one_each(store)
    )
    tiles = [_tile(store[id]) for id in chosen]
    write_image(path, grid(tiles, min(COLUMNS, len(tiles))))


def _one_each(store: ClipStore) -> set[str]:
    """The first clip of each speaker or word, of as many as fit"""
    first = {}
    for id in store.ids:
        first.setdefault(group_of(id), id)
    return set(list(first.values())[:CLIPS])


def _tile(clip: Clip) -> np.ndarray:
    """(TILE, 2 TILE, 3): two frames side by side, with a caption"""
    import cv2

    landmarks = clip.landmarks
    opening = mouth_opening(landmarks)
    pair = []
    for frame in (int(opening.argmin()), int(opening.argmax())):
        picture = clip.frames([frame])[0].permute(1, 2, 0).numpy()
        scale = TILE / len(picture)
        picture = cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
        for x, y in (landmarks[frame] + 0.5) * scale - 0.5:
            cv2.circle(
                picture, (round(float(x) * 16), round(float(y) * 16)), 20, (60, 255, 60), -1, cv2.LINE_AA, 4
            )
        caption = f"{clip.id} {frame}"
        cv2.putText(
            picture, caption, (4, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA
        )
        pair.append(picture)
    return np.concatenate(pair, axis=1)

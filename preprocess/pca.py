"""The landmark basis of AT-net: principal components of how faces move (Section 3.1), fit on the training split only.

    python -m preprocess.pca STORE [PCA.npz] --dataset grid --splits DIR [--components 6]

What is analysed is motion, not faces: each clip's landmarks, steadied on nose and eye corners, minus the speaker's own
rest shape. The file holds mean (136,), components (136, K), eigenvalues (K,), explained_variance (K,) as shares of the
whole, rest_shape (136,), rest_opening, space, and of the clips that it was fit on their number (clips), ids and
ids_hash. Training refuses a basis of clips that it holds out. Beside it, PCA.png shows what each component does.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.atnet import clip_motion
from data.splits import add_split_flags, clip_ids, ids_hash
from data.store import ClipStore, aligned_store
from utils.cli import parser
from utils.errors import UserError, run
from utils.face.basis import LandmarkBasis, default_basis_path, opening_signs, principal_components
from utils.face.landmarks import denormalise, mouth_opening
from utils.files import replacing
from utils.media.drawing import draw_landmarks, grid
from utils.media.images import write_image

DEVIATIONS = (-2, -1, 0, 1, 2)  # columns of the picture
TILE = 192  # pixels


def parse_args(argv: list[str] | None = None) -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("store", type=Path, help="clip store")
    flags.add_argument(
        "pca", type=Path, nargs="?", help="file to write (default: the store's name with _pca.npz)"
    )
    add_split_flags(flags, "train.txt")
    flags.add_argument(
        "--components", type=int, default=6, help="how many to keep (default 6, as in the paper)"
    )
    return flags.parse_args(argv)


def fit(
    store: ClipStore, ids: Sequence[str], components: int
) -> tuple[LandmarkBasis, np.ndarray, np.ndarray]:
    """The clips' motion -> basis, explained variance (K,) as shares of the whole, the mean rest shape (136,)"""
    rests = []

    def motions() -> Iterator[np.ndarray]:
        for id in tqdm(ids, "motion", unit="clip"):
            moved, rest = clip_motion(store[id], store.size)
            rests.append(rest)
            yield moved

    try:
        mean, kept, variances = principal_components(motions(), components)
    except UserError as error:
        raise UserError(f"{store.path}: {error}") from None
    opening = float(np.median([mouth_opening(rest.reshape(68, 2)) for rest in rests]))
    arrays = (mean, kept * opening_signs(kept), variances[:components])
    basis = LandmarkBasis(*(array.astype(np.float32) for array in arrays), "motion", opening)
    return basis, variances[:components] / variances.sum(), np.mean(rests, axis=0)


def draw(basis: LandmarkBasis, shares: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """One row for each component: the mean face with the component at -2 to +2 standard deviations"""
    tiles, captions = [], []
    for k, (value, share) in enumerate(zip(basis.eigenvalues, shares, strict=True)):
        for deviation in DEVIATIONS:
            shape = rest + basis.mean + deviation * np.sqrt(value) * basis.components[:, k]
            tiles.append(draw_landmarks(TILE, denormalise(shape, TILE)))
            captions.append(f"{k + 1} ({share:.0%})  {deviation:+d} sigma")
    return grid(tiles, len(DEVIATIONS), captions)


def main(args: Namespace) -> None:
    if not 1 <= args.components <= 136:
        raise UserError(f"--components {args.components}: give a number from 1 to 136")
    store = aligned_store(args.store)
    path = args.pca or default_basis_path(args.store)
    if path.suffix != ".npz":
        raise UserError(f"{path}: the basis is a .npz file; give a name that ends so")
    ids = clip_ids(store, args.dataset, "train", args.splits)
    basis, shares, rest = fit(store, ids, args.components)
    with replacing(path) as part:
        basis.save(
            part,
            explained_variance=shares,
            rest_shape=rest,
            clips=len(ids),
            ids=np.array(ids),
            ids_hash=ids_hash(ids),
        )
    write_image(path.with_suffix(".png"), draw(basis, shares, rest))
    for k, share in enumerate(shares):
        print(
            f"component {k + 1}: {share:.1%} of the variance, {shares[: k + 1].sum():.1%} with those before"
        )
    picture = path.with_suffix(".png")
    print(f"{path}: {args.components} components of the motion in {len(ids)} clips; look at {picture}")


if __name__ == "__main__":
    sys.exit(run(main, parse_args))

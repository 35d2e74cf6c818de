"""What is to be made: of whom, with which speech, under which name, in which views."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, fields
from pathlib import Path

from animation.heads.motion import LEARNED, STILL
from animation.views import planned_files
from utils.cli import file_name
from utils.errors import UserError


@dataclass(frozen=True)
class Wish:
    """One talking face. person: a photo or a video, None for the default photo; the others as the demo's flags.

    size, crop, panel, paste_back, save_landmarks: which files (`animation.views.choose_views`). blink: None stands for
    blinks in a photo and none in a video, whose eyes have their own. face: of several, which (`face_choice`). hold: a
    video shorter than the speech stands still at its end, instead of going back and forth. head_motion: none, learned,
    or a file (`animation.heads.motion`), each of which makes a photo of a video, its best picture; None stands for
    learned of a photo and for its own of a video. motion_scale: of the motion; seed: of the chance in it. others: more
    photos of the person.
    """

    speech: Path
    person: Path | None = None
    folder: Path = Path("results")
    name: str = "demo"
    size: int | None = None
    crop: bool = False
    panel: bool = False
    paste_back: bool = False
    save_landmarks: bool = False
    blink: bool | None = None
    blink_seed: int = 8
    face: int | tuple[float, float] | None = None
    hold: bool = False
    head_motion: str | None = None
    motion_scale: float = 1.0
    seed: int = 1
    others: tuple[Path, ...] = ()

    @classmethod
    def of(cls, args: Namespace) -> Wish:
        """Of the demo's flags. Raises UserError for a name that is none."""
        name = file_name("-s")(args.save_name)
        named = dict(speech=args.in_file, folder=args.sample_dir, name=name)
        others = {one.name: getattr(args, one.name) for one in fields(cls) if one.name not in named}
        return cls(**named, **others)

    @property
    def files(self) -> list[Path]:
        """What will be written"""
        landmarks = self.folder / f"{self.name}_landmarks.npy"
        return [*planned_files(self).values(), *([landmarks] if self.save_landmarks else [])]

    def check_places(self) -> None:
        """Raises UserError where a result would replace what it is made of."""
        for file in self.files:
            for given in (self.person, self.speech, *self.others, self.motion_file):
                if given is not None and file.exists() and Path(given).exists() and file.samefile(given):
                    raise UserError(
                        f"{file}: is what the result would be made of; choose another name with -s"
                    )

    @property
    def moves(self) -> bool:
        """Whether the head moves, other than a video has it"""
        return self.head_motion not in (None, STILL)

    @property
    def motion_file(self) -> Path | None:
        """Whence the motion comes, where that is a file"""
        return None if self.head_motion in (None, STILL, LEARNED) else Path(self.head_motion)

    @property
    def subject(self) -> str:
        """The person's name in messages"""
        return str(self.person or "the default photo")


def face_choice(text: str) -> int | tuple[float, float]:
    """--face: "2", the second largest face, or "310,200", the face at that pixel. Raises UserError."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1 and numbers[0] == int(numbers[0]):
        return int(numbers[0])
    if len(numbers) == 2 and all(0 <= number < 1e6 for number in numbers):
        return numbers[0], numbers[1]
    raise UserError(
        f"--face {text}: give a face's number, 1 for the largest, or a place in it as X,Y in pixels"
    )

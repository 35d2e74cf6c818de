"""Lists of talking faces: one a line of a CSV file, with networks loaded once."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from animation.talking.wish import Wish
from utils.errors import UserError, reason

COLUMNS = {"photo": "-p", "audio": "-i", "name": "-s"}  # of a list; others are flags by their names
PATHS = ("photo", "audio", "head_motion")  # of which head_motion may be a word


class Job(NamedTuple):
    """Line of the list, and its wish and arguments, or what is wrong with it"""

    line: int
    name: str
    wish: Wish | None
    args: Namespace | None
    wrong: str | None = None


def read_jobs(path: Path, parse: Callable[[list[str]], Namespace], known: set[str]) -> list[Job]:
    """The jobs of a list, wrong ones too. parse: a line's flags -> its arguments; known: flags that may be columns.

    Without a name a job is called PHOTO_AUDIO. Paths are looked for where the command runs, then beside the list.
    Raises UserError where the file is no such list, and where two jobs would write the same file.
    """
    rows = _rows(path)
    columns = [column for column in rows[0][1] if column]
    unknown = [column for column in columns if column not in COLUMNS and column.lstrip("-") not in known]
    if unknown or not set(columns) & set(PATHS):
        what = f"unknown column {unknown[0]!r}" if unknown else "no column photo or audio"
        raise UserError(f"{path}: {what}; name columns photo, audio, name, or as demo.py's flags")
    jobs = [_job(path, line, row, parse) for line, row in rows]
    _refuse_doubles(path, jobs)
    return jobs


def _rows(path: Path) -> list[tuple[int, dict]]:
    """(line, {column: text}) of the list"""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            separator = max(",;\t", key=head.count)
            reader = csv.DictReader(file, delimiter=separator, skipinitialspace=True, strict=True)
            reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader if any(_texts(row).values())]
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; give a CSV list with the columns photo, audio, name"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: no CSV list ({reason(error)}); save it as CSV in UTF-8") from error
    if not rows:
        raise UserError(f"{path}: lists nothing; below the names of the columns each line is a job")
    return rows


def _texts(row: dict) -> dict[str, str]:
    return {name: (text or "").strip() for name, text in row.items() if name}


def _job(path: Path, line: int, row: dict, parse: Callable[[list[str]], Namespace]) -> Job:
    texts = _texts(row)
    for column in PATHS:
        beside = path.parent / texts.get(column, "")
        if texts.get(column) and not Path(texts[column]).exists() and beside.exists():
            texts[column] = str(beside)
    stems = [Path(texts[column]).stem for column in PATHS[:2] if texts.get(column)]
    name = texts["name"] = texts.get("name") or "_".join(stems)
    words = [
        word
        for column, text in texts.items()
        if text
        for word in (COLUMNS.get(column, f"--{column.lstrip('-')}"), text)
    ]
    try:
        if None in row or row.get(""):
            raise UserError("it has more cells than columns with a name")
        args = parse(words)
        if args.person is None or not args.sound_given:
            what, flag = ("photo", "-p") if args.person is None else ("audio", "-i")
            raise UserError(f"it names no {what}, and {flag} is not on the command line")
        return Job(line, name, Wish.of(args), args)
    except UserError as error:
        return Job(line, name, None, None, str(error))


def _refuse_doubles(path: Path, jobs: list[Job]) -> None:
    seen: dict[Path, int] = {}
    for job in jobs:
        for file in job.wish.files if job.wish else []:
            other = seen.setdefault(file.absolute(), job.line)
            if other != job.line:
                raise UserError(
                    f"{path}: lines {other} and {job.line} would both write {file}; give them other names"
                )


def run_jobs(
    jobs: list[Job], make: Callable[[Job], None], done: Callable[[], object], failures: list[str]
) -> int:
    """Makes each job whose files are not all there. -> how many were there

    Whatever goes wrong with one, the others are made. done: is called after each; failures: gains a line of each that
    failed.
    """
    there = 0
    for job in jobs:
        try:
            if job.wrong:
                raise UserError(job.wrong)
            job.wish.check_places()
            if all(file.exists() for file in job.wish.files):
                there += 1
                continue
            make(job)
        except UserError as error:
            failures.append(f"line {job.line}, {job.name}: {error}")
        except Exception as error:
            failures.append(f"line {job.line}, {job.name}: {type(error).__name__}: {reason(error)}")
        finally:
            done()
    return there

"""Gradio's components and page, but files go as they are to our own readers, and mistakes are told in sentences."""

from __future__ import annotations

import sys
import traceback
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import component_meta
from gradio.data_classes import FileData, ImageData
from pydantic import ValidationError

from page.files import PrivateFolder
from utils.errors import UserError

SORRY = "Something went wrong on this side; nothing was kept. Please try again, or try other files."
FOREIGN = (
    "Files must be uploaded here first, by programs with handle_file: neither paths nor addresses are taken"
)
TITLE = "That did not work"

component_meta.create_or_modify_pyi = lambda *_: (
    None
)  # for each class below it would write a .pyi into the repository


class Photo(gr.Image):
    """A picture's file, untouched: Gradio would decode it, and write it anew"""

    is_template = True  # the browser shows it as the class above

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.path if payload else None

    def postprocess(self, value: str | Path | None) -> ImageData | None:
        return None if value is None else ImageData(path=str(value), orig_name=Path(value).name)


class Clip(gr.Video):
    """A video's file, untouched"""

    is_template = True

    def preprocess(self, payload: FileData | None) -> str | None:
        return payload.path if payload else None

    def postprocess(self, value: str | Path | None) -> FileData | None:
        return file_data(value)


class Speech(gr.Audio):
    """A recording's file, untouched"""

    is_template = True

    def preprocess(self, payload: FileData | None) -> str | None:
        return payload.path if payload else None

    def postprocess(self, value: str | Path | None) -> FileData | None:
        return file_data(value)


def file_data(path: str | Path | None) -> FileData | None:
    return None if path is None else FileData(path=str(path), orig_name=Path(path).name)


class Page(gr.Blocks):
    """Gradio's page, which takes files of its own folder alone and tells every mistake in a sentence."""

    def __init__(self, folder: PrivateFolder, **options: Any) -> None:
        self.private = folder
        super().__init__(analytics_enabled=False, **options)

    async def preprocess_data(self, block_fn: Any, inputs: list, *others: Any, **options: Any) -> list:
        self.refuse_foreign(inputs)
        return await super().preprocess_data(block_fn, inputs, *others, **options)

    async def process_api(self, *args: Any, **options: Any) -> dict:
        try:
            return await super().process_api(*args, **options)
        except gr.Error as error:
            error.print_exception = False
            raise
        except UserError as error:
            raise message(self.private.public(str(error))) from None
        except ValidationError:  # a text or a number where a file belongs
            raise message(FOREIGN) from None
        except Exception:
            traceback.print_exc(file=sys.stderr)
            raise message(SORRY) from None

    def refuse_foreign(self, value: Any) -> None:
        """Raises UserError where some part of what a visitor sends names a file outside the folder, or an address."""
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str) and not self.private.holds(path):
                raise UserError(FOREIGN)
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                self.refuse_foreign(part)


def message(text: str) -> gr.Error:
    """A sentence for the page, which shows HTML: what a file's name holds of it is shown as it is"""
    return gr.Error(escape(text, quote=False), duration=None, title=TITLE, print_exception=False)

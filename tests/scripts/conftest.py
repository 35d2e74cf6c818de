"""What tests of the demo's scripts share."""

import pytest

from animation.talking import networks
from utils.face.detector import FaceDetector


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture
def one_detector(monkeypatch, detector) -> None:
    """It takes most of a second to make one."""
    monkeypatch.setattr(networks, "FaceDetector", lambda: detector)

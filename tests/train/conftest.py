"""A run folder for every test."""

import pytest

from minigen.train import RunFolder


@pytest.fixture
def run(tmp_path):
    return RunFolder.create("toy_flow", {"seed": 0}, tmp_path)


@pytest.fixture
def no_plot(monkeypatch):
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(RunFolder, "plot_loss", lambda self: None)

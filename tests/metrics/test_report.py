"""What `minigen eval` prints and keeps of a model."""

import argparse
import json

import numpy as np
import pytest

from minigen.cli import eval as command
from minigen.metrics.report import Measured, Report, mean_of


def test_a_mean_has_its_standard_error():
    values = np.random.default_rng(0).standard_normal(400)
    measured = mean_of(values, "nats")
    assert measured.value == pytest.approx(values.mean())
    assert measured.error == pytest.approx(values.std(ddof=1) / 20)
    assert mean_of(np.ones(1)).error is None
    with pytest.raises(ValueError, match="no values"):
        mean_of(np.zeros(0))


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (Measured(86.412, 0.131, "nats", "9 pictures"), "86.41 +- 0.13 nats (9 pictures)"),
        (Measured(1234.5, 41.0), "1234 +- 41"),
        (Measured(0.93), "0.93"),
        (Measured(1.5, 0.0), "1.500 +- 0.000"),
        (Measured(1.5, float("inf")), "1.500 +- inf"),
        (Measured(float("nan"), float("nan")), "nan +- nan"),
    ],
)
def test_a_number_is_written_as_sure_as_it_is(measured, words):
    assert str(measured) == words


def test_a_report_is_printed_and_kept(tmp_path, monkeypatch, capsys):
    picture = np.zeros((4, 6, 3), np.uint8)
    numbers = {"bound": Measured(90.0, 0.5, "nats"), "share": 0.25}
    report = Report(numbers, {"samples": picture}, ("all codes are one",))
    monkeypatch.setattr(command, "call", lambda *_: report)
    assert command.run(argparse.Namespace(model=str(tmp_path), n=3, seed=0, control=False)) == 0
    printed = capsys.readouterr().out
    assert "bound  90.00 +- 0.50 nats\nshare  0.25\n" in printed
    assert printed.endswith("note: all codes are one\n")
    stored = json.loads((tmp_path / "evaluation.json").read_text())
    assert stored["numbers"] == {"bound": 90.0, "share": 0.25}
    assert stored["standard errors"] == {"bound": 0.5}
    assert stored["remarks"] == ["all codes are one"]
    assert (tmp_path / "evaluation_samples.png").exists()

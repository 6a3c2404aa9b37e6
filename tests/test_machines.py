"""The demo network on other machines than the demo's, in RTL: every tensor as the interpreter's."""

from pathlib import Path

import numpy as np
import pytest

from eyas import Session
from eyas.demo import run as demo


@pytest.mark.parametrize("config", ["tiny4x4", str(Path(__file__).parent / "three-by-five.toml")])
def test_demo_network(config):
    images, labels = demo.load_digits()
    feed = {"image": demo.network_input(images[:1])}
    tensors = {}
    for target in ("rtl", "golden", "numpy"):
        session = Session(demo.MODEL, config=config, target=target, intermediates=True)
        scores = session.run(None, feed)[0]
        assert scores.argmax() == labels[0]
        tensors[target] = session.intermediates
    assert len(tensors["rtl"]) == 8
    for name, values in tensors["rtl"].items():
        assert len(np.unique(values)) > 3, f"{name} is not lively"
        assert np.array_equal(values, tensors["golden"][name]), name
        assert np.array_equal(values, tensors["numpy"][name]), name

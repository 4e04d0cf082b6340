"""What all tests share: the checkout, the shared data, and the real command in a new project.

Nothing here or in any test reaches the network or the user's own folders.
"""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import hypothesis
import pytest
from hypothesis import settings

import forked
import hub_server
from checkout import ROOT, Cli
from forked import Command, CommandServer, Start
from hub_repos import Hub

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # spinning threads starve the tests' own children

# A deadline of milliseconds says more about the machine than about the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# The same examples on every machine and in every run; the fuzzer is what looks further.
hypothesis.settings.register_profile(
    "project", derandomize=True, database=None, deadline=None, max_examples=100
)
hypothesis.settings.load_profile("project")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have what is collected and imported for it walked by no garbage collection: it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=int(os.environ.get("SRLM_KILLS", "20")), metavar="N",
        help="how often the kill tests send SIGKILL (SRLM_KILLS says the same; 1000 by hand)",
    )  # fmt: skip
    parser.addoption(
        "--mixes", type=int, default=int(os.environ.get("SRLM_MIXES", "3")), metavar="N",
        help="how many random mixes of failures and kills (SRLM_MIXES says the same; 100 by hand)",
    )  # fmt: skip


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real Open Assistant trees, which lie beside the checkout and not in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the Open Assistant trees in ../shared/data, which are not there")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder in which ``cli`` runs."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def cli_env(tmp_path: Path) -> dict[str, str]:
    """The environment of a real command: this checkout's code, and a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    began = forked.environment().items()
    env = {name: value for name, value in began if not name.startswith("SRLM_")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # some machines set it; nobody compiles every time
    # Wide and plain, so that a test reads sentences and not a terminal's line breaks.
    env |= {
        "COLUMNS": "200",
        "HOME": str(home),
        "NO_COLOR": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}",
    }
    return env


@pytest.fixture
def hub(cli_env: dict[str, str]) -> Iterator[Hub]:
    """A Hub on loopback, to which the commands of ``cli`` may write."""
    with hub_server.serve() as served:
        cli_env |= served.environment()
        yield served


@pytest.fixture(scope="session")
def command_server() -> Iterator[CommandServer]:
    """What runs the commands of ``cli``."""
    with forked.serve() as server:
        yield server


@pytest.fixture(scope="session")
def model_server() -> Iterator[CommandServer]:
    """What runs commands whose models answer: it has imported what runs them."""
    with forked.serve("srlm_data.engines.backends.transformers") as server:
        yield server


@pytest.fixture
def cli(project: Path, cli_env: dict[str, str], command_server: CommandServer) -> Cli:
    """Run the real command: ``cli("plan", "recipe.yaml")``; its folder is ``project``.

    It is a process of its own. Where its environment decides how Python begins, it is a new one;
    else it is forked from one that has imported the package.
    """
    return partial(_run, command_server, project, cli_env)


@pytest.fixture
def model_cli(project: Path, cli_env: dict[str, str], model_server: CommandServer) -> Cli:
    """Run a command as ``cli`` does; it does not wait for the libraries of models."""
    return partial(_run, model_server, project, cli_env)


@pytest.fixture
def start(project: Path, cli_env: dict[str, str], command_server: CommandServer) -> Start:
    """Begin a command that is watched: ``with start("build", "recipe.yaml") as building``."""

    def start(
        *args: str | Path, cwd: Path = project, terminal: str | None = None
    ) -> AbstractContextManager[Command]:
        assert command_server.fits(cli_env)
        return command_server.begin(list(map(str, args)), cwd, cli_env, terminal)

    return start


def _run(
    server: CommandServer,
    project: Path,
    env: dict[str, str],
    *args: str | Path,
    cwd: Path | None = None,
    timeout: float = 240,
    text: bool = True,
) -> subprocess.CompletedProcess[str]:
    words, cwd = list(map(str, args)), cwd or project
    if server.fits(env):
        done = server.run(words, cwd, env, timeout)
    else:
        done = subprocess.run(
            [sys.executable, "-m", "srlm_data", *words],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    if not text:
        return done
    out, err = (io.TextIOWrapper(io.BytesIO(part)).read() for part in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)

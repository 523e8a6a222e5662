"""The Dockerfile without a Docker engine: its commands are taken from it and run here."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from sciml_backend.paths import ROOT

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    """The Dockerfile's lines as (instruction, arguments)."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in lines if line]


def last(instructions: list[Instruction], name: str) -> str:
    return [arguments for instruction, arguments in instructions if instruction == name][-1]


def environment_of(instructions: list[Instruction]) -> dict[str, str]:
    return dict(arguments.split("=", 1) for instruction, arguments in instructions if instruction == "ENV")


def installed_here(command: list[str]) -> list[str]:
    """The image's interpreter is this checkout's: by its place in the image, else by the one that runs the tests."""
    interpreter = ROOT / command[0]
    return [str(interpreter) if interpreter.exists() else shutil.which("python3") or "python3", *command[1:]]


def test_what_it_copies_exists_and_is_not_ignored(instructions):
    ignored = (ROOT / ".dockerignore").read_text().split()
    for arguments in (a for i, a in instructions if i == "COPY"):
        sources = [word for word in shlex.split(arguments) if not word.startswith("--")][:-1]
        assert all((ROOT / source).exists() and source not in ignored for source in sources)


def test_it_serves_as_an_ordinary_user(instructions):
    order = [name for name, _ in instructions]
    user = last(instructions, "USER")
    assert user not in ("root", "0")
    assert order.index("USER") < order.index("CMD")
    assert f"useradd --create-home --uid 1000 {user}" in last(instructions[: order.index("USER")], "RUN")


def test_the_packages_it_installs_are_known_to_apt(instructions):
    run = next(a for i, a in instructions if i == "RUN" and "apt-get install" in a)
    packages = re.search(r"--no-install-recommends ([^&]*)", run)[1].split()
    assert {"make", "gcc"} <= set(packages)
    if not shutil.which("apt-cache") or not subprocess.run(["apt-cache", "pkgnames"], capture_output=True).stdout:
        pytest.skip("apt knows no packages here")
    for package in packages:
        subprocess.run(["apt-cache", "show", package], check=True, capture_output=True)


@pytest.mark.parametrize("torch", ["cpu", "cuda"])
def test_its_set_up_is_one_that_make_knows(instructions, torch, tmp_path):
    """The RUN line of the set-up, in a folder that holds only what was copied by then; make says what it would do."""
    copied = next(a for i, a in instructions if i == "COPY")
    for name in [word for word in copied.split() if not word.startswith("--")][:-1]:
        shutil.copy(ROOT / name, tmp_path)
    setup = next(a for i, a in instructions if i == "RUN" and a.startswith("make"))
    command = shlex.split(setup.replace("${TORCH}", torch)) + ["--dry-run"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    made = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert f"case {torch} in" in made.stdout and "-r requirements.txt" in made.stdout


def test_its_command_serves_and_its_health_check_answers(instructions, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    serve = installed_here(json.loads(last(instructions, "CMD").replace("8501", port).replace("0.0.0.0", "127.0.0.1")))
    check = last(instructions, "HEALTHCHECK")
    check = installed_here(json.loads(check[check.index("CMD") + 3 :].replace("8501", port)))
    own = {name: value.replace("/data", str(tmp_path)) for name, value in environment_of(instructions).items()}
    environment = os.environ | own
    assert subprocess.run(check, cwd=ROOT, capture_output=True).returncode != 0  # nobody is there yet
    with subprocess.Popen(serve, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + 240
            while subprocess.run(check, cwd=ROOT, capture_output=True).returncode:
                assert server.poll() is None and time.monotonic() < end
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).status == 200
            assert (tmp_path / "results.duckdb").exists()
        finally:
            server.terminate()
    assert server.returncode == 0
    assert int(last(instructions, "EXPOSE")) == int(re.search(r'"--port", "(\d+)"', last(instructions, "CMD"))[1])


def test_the_folder_of_its_volume_is_the_one_it_writes(instructions):
    volume, folders = last(instructions, "VOLUME"), environment_of(instructions)
    assert folders["ATLAS_DATA"] == volume and Path(folders["ATLAS_CACHE"]).is_relative_to(volume)
    assert Path(last(instructions, "WORKDIR")).is_absolute()

"""Interpreter and package are found from where the launcher lies, whoever calls it from wherever."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.launcher.conftest import PROJECT, PYTHON, Installation

Install = Callable[..., Installation]


@pytest.mark.parametrize(
    "packages",
    [
        f"lib/{PYTHON.name}/site-packages",  # venv, pipx, --prefix
        f"local/lib/{PYTHON.name}/dist-packages",  # --prefix with Debian's scheme: launcher in local/bin
        "lib/python3/dist-packages",  # .deb
        f"lib64/{PYTHON.name}/site-packages",  # Fedora
        "lib/python3.99/site-packages",  # another version's: found by looking around
    ],
)
def test_package_below_the_prefix(tmp_path: Path, packages: str) -> None:
    local = packages.startswith("local/")
    installation = Installation(tmp_path / "local" if local else tmp_path, packages.removeprefix("local/"))
    seen = installation.run("state", cwd="/")
    assert seen["file"] == str(installation.package / "__main__.py")
    assert seen["cmdline"][0] == str(PYTHON)


def test_own_version_before_others(installation: Installation) -> None:
    other = installation.prefix / "lib/python3.99/site-packages/pyoci"
    shutil.copytree(installation.package, other)
    assert installation.run("state")["file"] == str(installation.package / "__main__.py")


def test_the_compiled_file_of_this_version_first(installation: Installation) -> None:
    """Compiled for one version, it is of no use to another one, which would refuse it."""
    installation.start_file("cpython-399")
    assert installation.run("state")["file"] == str(installation.package / "__main__.py")
    path = installation.start_file()
    assert installation.run("state")["file"] == str(path)


def test_highest_of_foreign_versions(install: Install) -> None:
    installation = install("lib/python3.98/site-packages")
    for version in ("python3.9", "python3.100", "python3"):
        shutil.copytree(installation.package, installation.prefix / "lib" / version / "site-packages/pyoci")
    assert "/python3.100/" in installation.run("state")["file"]


def test_interpreter_of_the_prefix_comes_first(installation: Installation) -> None:
    copy = installation.own_interpreter()
    for command in ("state", "create"):
        assert installation.run(command)["cmdline"][0] == str(copy)


def test_virtual_environment(installation: Installation) -> None:
    """bin/python3 is a link to the system's; the standard library comes from there, the package from here."""
    (installation.prefix / "bin/python3").symlink_to(PYTHON)
    (installation.prefix / "pyvenv.cfg").write_text("home = /nowhere\n")
    seen = installation.run("create")
    assert seen["cmdline"][0] == str(PYTHON)
    assert not any(path.startswith(str(installation.prefix)) for path in seen["path"])


def test_configured_package_and_interpreter(tmp_path: Path) -> None:
    elsewhere = Installation(tmp_path / "elsewhere")
    launcher = Installation(
        tmp_path / "prefix",
        "nowhere",
        f'CONFIGURED_PACKAGE="{elsewhere.package}"',
        f'CONFIGURED_INTERPRETER="{elsewhere.own_interpreter()}"',
    )
    seen = launcher.run("create")
    assert seen["file"] == str(elsewhere.package / "__main__.py")
    assert seen["cmdline"][0] == str(elsewhere.prefix / "bin/python3")


def test_no_package(installation: Installation) -> None:
    shutil.rmtree(installation.package)
    text = installation.refused("state")
    assert text == f"pyoci: the Python package pyoci is not installed below {installation.prefix}\n"


def test_no_interpreter(install: Install) -> None:
    installation = install(f"lib/{PYTHON.name}/site-packages", 'CONFIGURED_INTERPRETER="/nowhere/python3"')
    assert "no Python interpreter" in installation.refused("state")


@pytest.mark.parametrize("command", ["state", "create"])
def test_called_through_links(installation: Installation, tmp_path: Path, command: str) -> None:
    links = tmp_path / "links/bin"
    links.mkdir(parents=True)
    (links / "runc").symlink_to(installation.program)
    (links / "again").symlink_to("runc")
    seen = installation.run(command, program=links / "again")
    assert seen["file"] == str(installation.package / "__main__.py")
    assert seen["env"]["PYOCI_ARGV0"] == str(links / "again")


def test_works_from_a_removed_directory_and_with_nothing_set(installation: Installation, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    here = os.getcwd()
    try:
        os.chdir(gone)
        gone.rmdir()
        assert installation.run("create", env={})["argv"] == ["create"]
    finally:
        os.chdir(here)


def test_names_on_path_and_in_the_directory_do_not_matter(installation: Installation, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("python3", PYTHON.name, "python"):
        (trap / name).write_text("#!/bin/sh\necho trapped\n")
        (trap / name).chmod(0o755)
    (trap / "pyoci").mkdir()
    (trap / "pyoci/__main__.py").write_text("print('trapped')")
    seen = installation.run("create", cwd=trap, env={"PATH": f".:{trap}"})
    assert seen["file"] == str(installation.package / "__main__.py")


def test_shared_library_beside_the_interpreter(install: Install, tmp_path: Path) -> None:
    """An interpreter whose library is found by $ORIGIN finds it from a sealed copy too."""
    installation = install("lib/python3.98/site-packages")
    source = tmp_path / "fake.c"
    source.write_text('#include <stdio.h>\nint Py_Main(void) { return puts("library found") < 0; }\n')
    library = installation.prefix / "lib/libpython3.98.so.1.0"
    subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, source], check=True)
    source.write_text("int Py_Main(void);\nint main(void) { return Py_Main(); }\n")
    program = installation.prefix / "bin/python3.98"
    rpath = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib"
    subprocess.run(["gcc", "-o", program, source, library, rpath], check=True)
    (installation.prefix / "bin/python3").symlink_to(program.name)
    for command in ("state", "create"):
        assert installation.start(command, env={}).stdout == b"library found\n"


def test_installed_by_pip_below_a_prefix(tmp_path: Path) -> None:
    """The wheel, unpacked by the pip of the machine's own Python: the real package under its own launcher."""
    venv = PROJECT / ".venv/bin"
    if not (venv / "meson").exists():
        pytest.skip("no build tools: run by `make test` with the environment that builds pyoci")

    def pip(command: str, *words: str) -> None:
        environment = {"PATH": f"{venv}:/usr/bin:/bin", "HOME": str(tmp_path)}
        subprocess.run([venv / "python", "-m", "pip", command, "-q", "--no-deps", *words], env=environment, check=True)

    settings = f"--config-settings=build-dir={tmp_path}/build"
    pip("wheel", "--no-build-isolation", "-w", str(tmp_path), settings, str(PROJECT))
    [wheel] = tmp_path.glob("pyoci-*.whl")
    prefix = tmp_path / "opt"
    pip("install", "--ignore-installed", "--prefix", str(prefix), str(wheel))
    [launcher] = prefix.glob("**/bin/pyoci")
    done = subprocess.run([launcher, "--version"], cwd="/", env={}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pyoci version" in done.stdout
    assert list(prefix.glob("**/pyoci/__pycache__/errors.*.pyc")), "modules are compiled at installation"
    assert list(prefix.glob("**/pyoci/config/schema/table.py")), "the schema table is made by the build"

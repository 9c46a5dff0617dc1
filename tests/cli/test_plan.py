from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci.cli import spec
from tests import snapshot
from tests.cli.conftest import AS_USER, MAIN, Run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "b" / "rootfs").mkdir(parents=True)
    (tmp_path / "b" / "config.json").write_text(json.dumps(spec.example(v2=False)))
    return tmp_path / "b"


def test_every_step_on_a_line_with_its_pointer(run_cli: Run, bundle: Path) -> None:
    done = run_cli("plan", "--bundle", str(bundle), "web")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1].split()[1:] == ["container", "/process/args", "exec", "sh"]
    (proc,) = [line for line in lines if " /mounts/0 " in line]
    assert proc.split()[1:] == ["container", "/mounts/0", "mount", "proc", "on", "/proc"]
    assert any("/web" in line for line in lines if "cgroup" in line)


def test_json_has_the_same_steps(run_cli: Run, bundle: Path) -> None:
    lines = run_cli("plan", "-b", str(bundle)).stdout.splitlines()
    plan = json.loads(run_cli("plan", "-b", str(bundle), "-f", "json").stdout)
    assert plan["twoStage"] is False
    assert len(plan["steps"]) == len(lines)
    for line, step in zip(lines, plan["steps"], strict=True):
        assert set(step) == {"side", "step", "pointer", "description"}
        assert line.endswith(step["description"])
        assert (step["pointer"] or "-") in line


def test_nothing_is_made(run_cli: Run, bundle: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert not list(snapshot.cgroups("web-that-is-not"))
    assert run_cli("--root", "r", "plan", "-b", "b", "web-that-is-not").returncode == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert not list(snapshot.cgroups("web-that-is-not"))


def test_a_broken_config_is_an_error_with_its_pointer(run_cli: Run, bundle: Path) -> None:
    config = spec.example(v2=False)
    config["mounts"][3]["destination"] = 7
    (bundle / "config.json").write_text(json.dumps(config))
    done = run_cli("plan", "-b", "b")
    assert (done.returncode, done.stdout) == (1, "")
    assert "  pointer: /mounts/3/destination\n" in done.stderr


def test_no_bundle(run_cli: Run) -> None:
    assert 'msg="JSON specification file config.json not found"' in run_cli("plan").stderr


def test_an_unknown_format(run_cli: Run, bundle: Path) -> None:
    assert 'msg="invalid format option"' in run_cli("plan", "-b", "b", "-f", "xml").stderr


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_needs_no_privilege(run_cli: Run, bundle: Path) -> None:
    """A bundle without a user namespace is one for root, and so is its plan."""
    command = [*AS_USER, sys.executable, "-I", str(MAIN)]
    done = subprocess.run([*command, "plan", "-b", str(bundle)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run_cli("plan", "-b", str(bundle)).stdout
    (bundle / "config.json").write_text(json.dumps(spec.rootless(spec.example(v2=False), 1000, 1000)))
    done = subprocess.run([*command, "plan", "-b", str(bundle)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "/linux/uidMappings" in done.stdout

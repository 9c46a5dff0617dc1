from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pyoci.cli import spec
from pyoci.config import report
from tests.cli.conftest import Run


def test_writes_a_config_that_create_accepts(run_cli: Run, tmp_path: Path) -> None:
    assert run_cli("spec").returncode == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["ociVersion"] == "1.3.0"
    assert config["process"]["args"] == ["sh"]
    assert report.violations(config) == []


def test_indents_with_tabs_and_obeys_the_caller_s_umask(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert run_cli("spec", "--bundle", "b", env={"PYOCI_UMASK": "027"}).returncode == 0
    path = tmp_path / "b" / "config.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_text().startswith('{\n\t"ociVersion": "1.3.0",\n\t"process": {\n\t\t"terminal": true,')


@pytest.mark.parametrize("kind", ["file", "directory", "dangling"])
def test_replaces_nothing(run_cli: Run, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    done = run_cli("spec")
    assert done.returncode == 1
    assert 'msg="File config.json exists. Remove it first"' in done.stderr
    assert not (tmp_path / "elsewhere").exists()
    assert kind != "file" or path.read_text() == "mine"


def test_no_such_bundle(run_cli: Run) -> None:
    assert 'msg="chdir nowhere: no such file or directory"' in run_cli("spec", "-b", "nowhere").stderr


def test_rootless(run_cli: Run, tmp_path: Path) -> None:
    assert run_cli("spec", "--rootless").returncode == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert report.violations(config) == []
    linux = config["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    assert "resources" not in linux
    types = [space["type"] for space in linux["namespaces"]]
    assert types[-1] == "user"
    assert "network" not in types
    mounts = {mount["destination"]: mount for mount in config["mounts"]}
    assert mounts["/sys"] == {
        "destination": "/sys",
        "type": "none",
        "source": "/sys",
        "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
    }
    assert not any(option.startswith("gid=") for option in mounts["/dev/pts"]["options"])


def test_a_cgroup_namespace_where_cgroup_v2_is_alone() -> None:
    assert {"type": "cgroup"} in spec.example(v2=True)["linux"]["namespaces"]
    assert {"type": "cgroup"} not in spec.example(v2=False)["linux"]["namespaces"]


def test_rootless_changes_a_copy() -> None:
    config = spec.example(v2=True)
    spec.rootless(config, 1, 1)
    assert config == spec.example(v2=True)

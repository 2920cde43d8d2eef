"""The files for Ray: they hold its schema and Kubernetes', and name one version."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitors import find_program

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RAY = REPOSITORY / "deploy/ray"
CLUSTER: dict[str, Any] = yaml.safe_load((RAY / "cluster.yaml").read_text(encoding="utf-8"))
JOB: dict[str, Any] = yaml.safe_load((RAY / "archive.yaml").read_text(encoding="utf-8"))
VERSION = re.findall(r"^ray==(\S+)", (REPOSITORY / "requirements/ray.txt").read_text(), re.MULTILINE)[0]
SPEC = JOB["spec"]["rayClusterSpec"]
PODS = {
    "head": SPEC["headGroupSpec"]["template"]["spec"],
    **{each["groupName"]: each["template"]["spec"] for each in SPEC["workerGroupSpecs"]},
}


def test_every_machine_gets_the_locked_version_and_asks_for_the_token() -> None:
    """Workers find the head by Ray's variable; no start is open to whoever reaches the port."""
    starts = [*CLUSTER["head_start_ray_commands"], *CLUSTER["worker_start_ray_commands"]]
    started = [each for each in starts if "ray start" in each]

    assert len(started) == 2
    assert all("RAY_AUTH_MODE=token" in each for each in started)
    assert any("requirements/ray.txt" in each for each in CLUSTER["setup_commands"])
    assert "RAY_enable_autoscaler_v2=0" in started[0], "the newer one starts one machine too few"
    assert "--address=$RAY_HEAD_IP:" in started[1]
    assert CLUSTER["min_workers"] == CLUSTER["max_workers"] == len(CLUSTER["provider"]["worker_ips"])
    for source in CLUSTER["file_mounts"].values():
        assert source.startswith("~/") or source == "dist" or (REPOSITORY / source).exists()


def test_the_job_is_of_the_image_s_ray_and_resumes() -> None:
    assert SPEC["rayVersion"] == VERSION
    assert SPEC["authOptions"] == {"mode": "token"}
    assert JOB["spec"]["backoffLimit"] > 0
    assert "--resume" in JOB["spec"]["entrypoint"].split()


@pytest.mark.parametrize("pod", PODS)
def test_its_pods_may_do_nothing_but_work(pod: str) -> None:
    spec = PODS[pod]
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["readinessProbe"]["exec"]["command"][0] == "python3"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kubernetes_own_schemas_take_its_pods(ask_kubernetes: Callable[..., str]) -> None:
    kind = {"apiVersion": "v1", "kind": "Pod"}
    pods = [{**kind, "metadata": {"name": name}, "spec": spec} for name, spec in PODS.items()]

    assert ask_kubernetes(*pods) == ""


@pytest.mark.real
def test_kubectl_reads_its_anchors_as_we_do(tmp_path: Path) -> None:
    """Head and workers differ in what they may use, and in nothing else."""
    kubectl = find_program("kubectl", "kubectl")
    (tmp_path / "archive.yaml").write_text((RAY / "archive.yaml").read_text())
    (tmp_path / "kustomization.yaml").write_text("resources: [archive.yaml]\n")
    ran = subprocess.run([kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=True)

    assert yaml.safe_load(ran.stdout) == JOB


def test_the_extra_is_one_of_the_project_s() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert any(each.startswith("ray[") and "default" in each for each in extras["ray"]), "its command and its agents"

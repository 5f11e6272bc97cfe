"""The chart as Helm itself lints, renders and would install it (`charted.py`), each manifest against the schemas of the
oldest and the newest Kubernetes; and the pod that comes out of it, its command run and its probes asked."""

import json
import pathlib
import re
import secrets
import subprocess
import urllib.request
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

import llm_mux
from llm_mux.config import parse
from tests.daemon import process_daemon
from tests.ledger.conftest import _administer
from tests.services import named

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "llm-mux"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
DOCUMENTED = re.search(
    r"```yaml\n(# fleet\.yaml.*?)```", (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8"), re.S
)
OPENAI = {"type": "openai", "api-key": "env:OPENAI_API_KEY"}
REDIS = {"LLM_MUX_REDIS_URL": "redis://redis:6379/0"}
KINDS = {"ConfigMap", "Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"}

EVERYTHING = {
    "podAnnotations": {"prometheus.io/scrape": "true"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "serviceAccount": {"name": "gateway", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mux"}},
    "service": {"type": "LoadBalancer", "port": 80},
    "env": [{"name": "AWS_REGION", "value": "eu-west-1"}],
    "volumes": [{"name": "keys", "secret": {"secretName": "keys"}}],
    "volumeMounts": [{"name": "keys", "mountPath": "/run/secrets/llm-mux"}],
    "image": {"repository": "registry.example.com/llm-mux", "tag": "1", "pullPolicy": "Always"},
    "autoscaling": {"enabled": True},
    "config": {"rate-limits": {"requests-per-minute": 60}, "allowed-hosts": ["mux.example.com"]},
}
CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "as it is": ({}, KINDS),
    "everything changed": (EVERYTHING, KINDS | {"HorizontalPodAutoscaler"}),
    "as little as there may be": (
        {"serviceAccount": {"create": False}, "podDisruptionBudget": {"enabled": False}, "config": None},
        KINDS - {"ServiceAccount", "PodDisruptionBudget"},
    ),
    "as documented": (yaml.safe_load(DOCUMENTED[1]) if DOCUMENTED else {}, KINDS),
}


@pytest.fixture(scope="module")
def answers(deploy_tools: pathlib.Path) -> dict[str, Any]:
    """What Helm and Kubernetes' schemas say, by case."""
    command = [deploy_tools / "python", pathlib.Path(__file__).with_name("charted.py"), CHART]
    given = json.dumps([values for values, _ in CASES.values()])
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def manifests(answers: dict[str, Any], case: str) -> dict[str, Any]:
    return {manifest["kind"]: manifest for manifest in answers[case]["manifests"]}


def pod_of(found: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = found["Deployment"]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("case", CASES)
def test_helm_has_nothing_against_the_chart_and_kubernetes_nothing_against_its_manifests(
    answers: dict[str, Any], case: str
) -> None:
    answer = answers[case]
    assert answer["lint"] == []
    assert answer["faults"] == []
    assert [manifest["kind"] for manifest in answer["manifests"] if manifest["metadata"]["name"] != "mux"] in (
        [],
        ["ServiceAccount"],
    )
    found = manifests(answers, case)
    assert found.keys() == CASES[case][1]
    assert ("replicas" in found["Deployment"]["spec"]) is ("HorizontalPodAutoscaler" not in found)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"].items() <= labels.items()


def test_the_chart_is_of_the_program_beside_it() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"] == llm_mux.__version__


@pytest.mark.parametrize(
    ("case", "account"),
    [("as it is", "mux"), ("everything changed", "gateway"), ("as little as there may be", "default")],
)
def test_a_pod_runs_as_an_account_that_is_there(answers: dict[str, Any], case: str, account: str) -> None:
    found = manifests(answers, case)
    assert pod_of(found)["serviceAccountName"] == account
    made = found.get("ServiceAccount")
    assert made is None or made["metadata"]["name"] == account


@pytest.mark.parametrize("case", CASES)
def test_the_configuration_is_one_that_the_daemon_takes(answers: dict[str, Any], case: str) -> None:
    text = manifests(answers, case)["ConfigMap"]["data"]["config.yaml"]
    config = parse(text, None, REDIS).config
    assert (config.host, config.workers, config.drain_delay) == ("0.0.0.0", VALUES["workers"], VALUES["drainDelay"])


def test_a_changed_configuration_makes_new_pods(answers: dict[str, Any]) -> None:
    kept = {
        manifests(answers, case)["Deployment"]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for case in CASES
    }
    assert len(kept) == len(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_pod_has_time_to_drain_and_is_asked_what_it_answers(answers: dict[str, Any], case: str) -> None:
    pod = pod_of(manifests(answers, case))
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= VALUES["drainDelay"] + VALUES["drainTimeout"] + 10
    ready = container["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < VALUES["drainDelay"], (
        "it is seen before the door closes"
    )
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}
    assert container["env"][0] == {"name": "LLM_MUX_KEYRING", "value": "postgresql"}


async def test_a_pod_serves_and_its_probes_pass(answers: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """The container's variables and configuration, with a PostgreSQL and a Redis and what a Secret would hold."""
    server, name = named("LLM_MUX_TEST_POSTGRES", "PostgreSQL"), f"llm_mux_test_{secrets.token_hex(6)}"
    found = manifests(answers, "as it is")
    (container,) = pod_of(found)["containers"]
    secret = {
        "PROXY_API_KEY": "team",
        "LLM_MUX_USAGE_DATABASE": make_url(server).set(database=name).render_as_string(hide_password=False),
        "LLM_MUX_REDIS_URL": named("LLM_MUX_TEST_REDIS", "Redis"),
        "LLM_MUX_SECRETS_KEY": "dGhpcnR5LXR3byBieXRlcyBvZiBub3RoaW5nIG11Y2g=",
        "OPENAI_API_KEY": "sk-of-the-secret",
    }
    env = {each["name"]: each["value"] for each in container["env"]}
    config = yaml.safe_load(found["ConfigMap"]["data"]["config.yaml"])
    assert container["args"] == ["--config", "/etc/llm-mux/config.yaml", "serve"]
    await _administer(server, f"CREATE DATABASE {name}")
    try:
        with process_daemon(
            tmp_path, {**config, "port": 0, "drain-delay": 0, "providers": [OPENAI]}, env={**env, **secret}
        ) as mux:
            address = f"http://127.0.0.1:{mux.url.rpartition(':')[2]}"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                get = container[probe]["httpGet"]
                headers = {each["name"]: each["value"] for each in get["httpHeaders"]}
                with urllib.request.urlopen(urllib.request.Request(address + get["path"], headers=headers)) as answer:
                    assert answer.status == 200
    finally:
        await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")

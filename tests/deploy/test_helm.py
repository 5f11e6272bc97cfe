"""The chart, rendered by as much of Go's templates as it uses (helm is not to be had everywhere), and read as Kubernetes
would read it."""

import pathlib
import re
from typing import Any

import pytest
import yaml

from llm_mux.config import parse

CHART = pathlib.Path(__file__).parents[2] / "deploy" / "helm" / "llm-mux"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
META = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))


def looked_up(root: dict[str, Any], path: str) -> Any:
    """`.Values.a.b`; a name that is not there is an error, where Go would print nothing."""
    found: Any = root
    for name in path.lstrip(".").split("."):
        found = found[name]
    return found


def evaluated(expression: str, root: dict[str, Any]) -> str:
    value: Any = None
    for number, stage in enumerate(part.strip().split() for part in expression.split("|")):
        name, *arguments = stage
        if name.startswith("."):
            value = looked_up(root, name)
        elif name == "default":
            value = looked_up(root, arguments[1]) or looked_up(root, arguments[0])
        elif name == "add":
            value = sum(looked_up(root, each) if each.startswith(".") else int(each) for each in arguments)
        elif name == "toYaml":
            value = yaml.safe_dump(looked_up(root, arguments[0]), default_flow_style=False).strip()
            value = "" if value in ("{}", "[]") and expression.count("|") else value
        elif name == "nindent" and number:
            value = "\n" + "\n".join(" " * int(arguments[0]) + line for line in str(value).splitlines())
        else:
            raise AssertionError(f"the test does not know {expression}")
    return str(value)


def rendered(text: str, root: dict[str, Any]) -> str:
    text = re.sub(r"\s*\{\{-", "{{", text)
    out, keep = [], [True]
    for piece in re.split(r"(\{\{.*?\}\})", text):
        if not piece.startswith("{{"):
            out.append(piece if all(keep) else "")
            continue
        inner = piece[2:-2].strip()
        if inner.startswith("if "):
            negated, path = inner.startswith("if not "), inner.split()[-1]
            keep.append(bool(looked_up(root, path)) is not negated)
        elif inner == "end":
            keep.pop()
        elif all(keep):
            out.append(evaluated(inner, root))
    assert keep == [True]
    return "".join(out)


def manifests(**changed: Any) -> dict[str, Any]:
    root = {"Values": {**VALUES, **changed}, "Release": {"Name": "mux"}, "Chart": {"AppVersion": META["appVersion"]}}
    found = {}
    for path in sorted((CHART / "templates").iterdir()):
        text = rendered(path.read_text(encoding="utf-8"), root)
        for document in yaml.safe_load_all(text):
            if document is not None:
                assert document["apiVersion"] and document["metadata"]["name"] == "mux"
                found[document["kind"]] = document
    return found


@pytest.mark.parametrize("autoscaling", [False, True])
def test_every_manifest_renders(autoscaling: bool) -> None:
    found = manifests(autoscaling={**VALUES["autoscaling"], "enabled": autoscaling})
    kinds = {"ConfigMap", "Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"}
    assert found.keys() == kinds | ({"HorizontalPodAutoscaler"} if autoscaling else set())
    assert ("replicas" in found["Deployment"]["spec"]) is not autoscaling
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"].items() <= labels.items()


def test_the_configuration_is_one_that_the_daemon_takes() -> None:
    text = manifests(config={"allowed-hosts": ["mux.example.com"], "rate-limits": {"requests-per-minute": 60}})
    config = parse(text["ConfigMap"]["data"]["config.yaml"], None, {"LLM_MUX_REDIS_URL": "redis://redis:6379/0"}).config
    assert (config.host, config.workers, config.drain_delay) == ("0.0.0.0", VALUES["workers"], VALUES["drainDelay"])


def test_a_pod_has_time_to_drain_and_is_asked_what_it_answers() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= VALUES["drainDelay"] + VALUES["drainTimeout"] + 10
    probe = container["readinessProbe"]
    assert probe["httpGet"]["path"] == "/ready"
    assert probe["periodSeconds"] * probe["failureThreshold"] < VALUES["drainDelay"], (
        "it is seen before the door closes"
    )
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert all(probe["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}] for probe in [probe])
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}
    assert container["env"][0] == {"name": "LLM_MUX_KEYRING", "value": "postgresql"}

"""Asks Helm for the chart: `helm lint --strict`, `helm install --dry-run=client`, and what Kubernetes' own schemas say of
each manifest. Runs with the Python of `.cache/deploy-tools`; standard input is a list of values, output a list of answers."""

import json
import sys

import helm_python as helm
import kubernetes_validate
import yaml

NO_CLUSTER = "{apiVersion: v1, kind: Config, clusters: [], contexts: [], users: []}"
OLDEST, NEWEST = "1.25.0", "1.37.0"
WARNING = 2


def faults(manifest: dict) -> list[str]:
    """What the oldest and the newest release say of it, fields that do not exist included."""
    found = []
    for version in (OLDEST, NEWEST):
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{version} {manifest['kind']}.{'.'.join(map(str, error.path))}: {error.message}")
    return found


def answer(chart: str, values: dict) -> dict:
    linted = helm.lint(chart, values, strict=True)
    lint = [each["error"] for each in linted["messages"] if each["severity"] >= WARNING] + linted["errors"]
    if lint:
        return {"lint": lint}
    try:
        with helm.Config(namespace="team", kubeconfig_content=NO_CLUSTER) as config:
            release = config.install(chart, "mux", values, dry_run="client")
    except helm.HelmError as error:
        return {"lint": [], "refused": str(error)}
    manifests = [each for each in yaml.safe_load_all(release["manifest"]) if each is not None]
    return {"lint": [], "manifests": manifests, "faults": [fault for each in manifests for fault in faults(each)]}


if __name__ == "__main__":
    print(json.dumps([answer(sys.argv[1], values) for values in json.load(sys.stdin)]))

#!/usr/bin/env python3
"""What the chart renders, with the least and with everything set: the objects, and that they refer to each other.

usage: chart.py PETASOS LEAST MOST
"""

import json
import subprocess
import sys

import yaml


def objects(path):
    with open(path, encoding="utf-8") as file:
        documents = [document for document in yaml.safe_load_all(file) if document]
    return {document["kind"]: document for document in documents}


def container(rendered):
    [only] = rendered["Deployment"]["spec"]["template"]["spec"]["containers"]
    return only


binary = sys.argv[1]
least, most = map(objects, sys.argv[2:])
assert set(least) == {"Deployment", "PersistentVolumeClaim", "PodDisruptionBudget", "Secret", "Service"}, set(least)
assert set(most) == set(least) - {"Secret"} | {"Ingress", "ServiceMonitor"}, set(most)
for rendered, secret in (least, "hub-petasos"), (most, "tokens"):
    deployment, pod = rendered["Deployment"], rendered["Deployment"]["spec"]["template"]
    # One hub has the history: never two pods, not even for a moment.
    assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"] == {"type": "Recreate"}
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= pod["metadata"]["labels"].items()
    assert rendered["Service"]["spec"]["selector"] == selector
    assert rendered["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == selector
    volume, *others = pod["spec"]["volumes"]
    assert [other["name"] for other in others] == (["authorities"] if rendered is most else [])
    mounts = [mount["name"] for mount in container(rendered)["volumeMounts"]]
    assert mounts == [volume["name"] for volume in pod["spec"]["volumes"]]
    claim = rendered["PersistentVolumeClaim"]["metadata"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["name"]
    assert claim["annotations"]["helm.sh/resource-policy"] == "keep"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] and pod["spec"]["terminationGracePeriodSeconds"] > 15
    run = container(rendered)
    assert run["envFrom"] == [{"secretRef": {"name": secret}}]
    assert run["securityContext"]["readOnlyRootFilesystem"] and run["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    # The Pod Security level "restricted".
    assert run["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["spec"]["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
    ports = {port["name"] for port in run["ports"]}
    assert {port["targetPort"] for port in rendered["Service"]["spec"]["ports"]} == ports
    assert run["readinessProbe"]["httpGet"]["path"] == "/readyz" and run["livenessProbe"]["httpGet"]["path"] == "/healthz"
    # None is named twice: which of the two would count is not for the chart to guess.
    assert len({variable["name"] for variable in run["env"]}) == len(run["env"])
    environment = {variable["name"]: variable.get("value") for variable in run["env"]}
    assert environment["DB_PATH"] == "/data/updates.db" and environment["SHARDS"] == run["resources"]["limits"]["cpu"]
    # What the hub makes of it is what was meant.
    settings = {name: value for name, value in environment.items() if value} | {"JWT_KEY": 32 * "k"}
    settings |= {"SHARDS": "1"} | ({"SUBSCRIBER_JWT_KEY": 32 * "k"} if "SUBSCRIBER_JWT_KEY" in environment else {})
    if "PUBLISHER_JWKS_URL" in settings:
        del settings["JWT_KEY"]
    command = [binary, "config", "--json"]
    effective = json.loads(subprocess.run(command, env=settings, check=True, capture_output=True).stdout)["settings"]
    for name, value in settings.items():
        if not name.endswith("_KEY"):
            assert effective[name]["source"] == "environment", (name, effective[name])
    assert effective["DB_PATH"]["value"] == "/data/updates.db"
assert environment["ALLOW_ANONYMOUS"] == "1" and environment["METRICS_ADDR"] == ":9464"
# Numbers in YAML stay the digits that they were.
assert environment["HISTORY_SIZE"] == "1000000" and effective["HISTORY_SIZE"]["value"] == "1000000"
assert effective["MAX_CONNECTIONS"]["value"] == "20000" and effective["USE_FORWARDED_HEADERS"]["value"] == "1"
ingress = most["Ingress"]
prefix = "nginx.ingress.kubernetes.io/proxy-"
assert ingress["metadata"]["annotations"][prefix + "buffering"] == "off"
assert int(ingress["metadata"]["annotations"][prefix + "read-timeout"]) > 3600
[rule], [tls] = ingress["spec"]["rules"], ingress["spec"]["tls"]
assert rule["host"] == tls["hosts"][0] == "hub.example.org"
[path] = rule["http"]["paths"]
assert path["backend"]["service"]["name"] == most["Service"]["metadata"]["name"]
[endpoint] = most["ServiceMonitor"]["spec"]["endpoints"]
assert endpoint["port"] == "metrics" and most["ServiceMonitor"]["metadata"]["labels"]["release"] == "prometheus"
print(f"{len(least)} and {len(most)} objects, which refer to each other")

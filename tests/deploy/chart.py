#!/usr/bin/env python3
"""What the chart renders, with the least and with everything set: the objects, and that they refer to each other.

usage: chart.py LEAST MOST
"""

import sys

import yaml


def objects(path):
    with open(path, encoding="utf-8") as file:
        documents = [document for document in yaml.safe_load_all(file) if document]
    return {document["kind"]: document for document in documents}


def container(rendered):
    [only] = rendered["Deployment"]["spec"]["template"]["spec"]["containers"]
    return only


least, most = map(objects, sys.argv[1:])
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
    [volume] = pod["spec"]["volumes"]
    claim = rendered["PersistentVolumeClaim"]["metadata"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["name"]
    assert claim["annotations"]["helm.sh/resource-policy"] == "keep"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] and pod["spec"]["terminationGracePeriodSeconds"] > 15
    run = container(rendered)
    assert run["envFrom"] == [{"secretRef": {"name": secret}}]
    assert run["securityContext"]["readOnlyRootFilesystem"] and run["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    ports = {port["name"] for port in run["ports"]}
    assert {port["targetPort"] for port in rendered["Service"]["spec"]["ports"]} == ports
    assert run["readinessProbe"]["httpGet"]["path"] == "/readyz" and run["livenessProbe"]["httpGet"]["path"] == "/healthz"
    environment = {variable["name"]: variable["value"] for variable in run["env"]}
    assert environment["DB_PATH"] == "/data/updates.db" and environment["SHARDS"] == run["resources"]["limits"]["cpu"]
assert environment["ALLOW_ANONYMOUS"] == "1" and environment["METRICS_ADDR"] == ":9090"
assert environment["HISTORY_SIZE"] == "1000000"
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

"""The chart of `packaging/kubernetes`: lints it, renders it in three ways, holds each object against the schema of Kubernetes, and compares
the plain manifests with what the chart makes of its defaults.

    check.py CHART MANIFESTS [--bless]

With `--bless` the manifests are written instead of being compared.
"""

import pathlib
import re
import sys

import helm_python as helm
import kubernetes_validate
import yaml

# The oldest that the chart allows, and the latest that is known.
VERSIONS = ("1.30", "1.37")

PLAIN = {"namespace": {"create": True}}
ALL = {
    "namespace": {"create": True},
    "config": "sinks:\n  - {name: soc, type: stdout, format: json}\n",
    "policy": "exceptions: []\n",
    "secretName": "tokenhound",
    "seLinuxOptions": {"type": "spc_t"},
    "priorityClassName": "system-node-critical",
    "imagePullSecrets": [{"name": "pull"}],
    "affinity": {"nodeAffinity": {}},
    "image": {"repository": "images.example.org/tokenhound", "tag": "1"},
}

HEAD = """\
# The chart in `tokenhound/` with its defaults: `kubectl apply --filename tokenhound.yaml`. Made by
# `TOKENHOUND_BLESS=1 cargo test --package tokenhound-tests --test live kubernetes`.
"""


def render(chart, values):
    """All objects as one text, the namespace first."""
    parts = chart.render(values, name="tokenhound", namespace="tokenhound")
    order = ("namespace", "configmap", "daemonset")
    named = {pathlib.PurePath(path).stem: text.strip("\n") for path, text in parts.items()}
    assert set(named) == set(order), f"templates that are not known here: {sorted(named)}"
    return "\n".join(f"---\n{named[name]}" for name in order if named[name].strip()) + "\n"


def check(text):
    """Returns the objects, each of which fits its schema, without a key that it does not know."""
    objects = [one for one in yaml.safe_load_all(text) if one]
    for one in objects:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    return {one["kind"]: one for one in objects}


def least(daemonset):
    """Nothing but what docs/install.md says."""
    pod = daemonset["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    page = (pathlib.Path(__file__).parents[2] / "docs/install.md").read_text()
    docker = re.findall(r"--cap-add (\w+)", page.split("```sh\ndocker run")[1].split("```")[0])
    assert security["privileged"] is False and security["capabilities"] == {"drop": ["ALL"], "add": docker}, security
    writable = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert writable == {"/host/var/lib/tokenhound", "/host/run/tokenhound"}, writable
    assert pod["automountServiceAccountToken"] is False


def main():
    directory, manifests = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    report = helm.lint(directory, strict=True, namespace="tokenhound")
    serious = [message for message in report["messages"] if message["severity"] >= 2] + report["errors"]
    assert report["total_charts_linted"] == 1 and not serious, report
    chart = helm.Chart.load(directory)
    plain = HEAD + render(chart, PLAIN)
    for values in ({}, PLAIN, ALL):
        objects = check(render(chart, values))
        assert ("Namespace" in objects) == bool(values), objects.keys()
        least(objects["DaemonSet"])
        config = objects["ConfigMap"]["data"]["tokenhound.yaml"]
        assert yaml.safe_load(config) == yaml.safe_load(values.get("config", "{}")), config
    if "--bless" in sys.argv:
        manifests.write_text(plain)
    assert manifests.read_text() == plain, f"{manifests} is not what the chart makes: write it anew (its head says how)"
    print("helm", helm.helm_sdk_version(), "objects", sorted(objects))


main()

"""Manifests of an overlay, read as kustomize reads them, as far as ours need it, without kustomize."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"

Manifest = dict[str, Any]


def read_env(path: Path) -> dict[str, str]:
    """Read the variables of an env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def resolve(folder: Path) -> Iterator[Manifest]:
    """Yield all manifests of a kustomization, without the labels that it adds and the hashes in names."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = kustomization.keys() - {"apiVersion", "kind", "resources", "labels", "configMapGenerator"}
    assert not unknown, f"{folder}: {unknown} would have to be read here too"
    for resource in kustomization["resources"]:
        path = (folder / resource).resolve(strict=True)
        if path.is_dir():
            yield from resolve(path)
        else:
            yield from yaml.safe_load_all(path.read_text())
    for generated in kustomization.get("configMapGenerator", []):
        assert generated.keys() == {"name", "envs"}
        data: dict[str, str] = {}
        for name in generated["envs"]:
            data |= read_env(folder / name)
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": generated["name"]},
            "data": data,
        }


@dataclass(frozen=True)
class Overlay:
    """Manifests that are applied together."""

    name: str
    manifests: tuple[Manifest, ...]

    @classmethod
    def read(cls, name: str) -> "Overlay":
        return cls(name, tuple(resolve(KUBERNETES / "overlays" / name)))

    def of_kind(self, *kinds: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] in kinds]

    def names(self, *kinds: str) -> set[str]:
        return {manifest["metadata"]["name"] for manifest in self.of_kind(*kinds)}

    def one(self, kind: str, name: str) -> Manifest:
        (found,) = [each for each in self.of_kind(kind) if each["metadata"]["name"] == name]
        return found

    @property
    def workloads(self) -> list[Manifest]:
        return self.of_kind("Deployment", "StatefulSet")

    def data(self, config_map: str) -> dict[str, str]:
        data: dict[str, str] = self.one("ConfigMap", config_map)["data"]
        return data


def pod_of(workload: Manifest) -> Manifest:
    """Return the pod's specification."""
    pod: Manifest = workload["spec"]["template"]["spec"]
    return pod


def labels_of(workload: Manifest) -> dict[str, str]:
    """Return the pod's labels."""
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def containers_of(workload: Manifest) -> list[Manifest]:
    """Return the containers that run before the pod is up, and those that stay."""
    pod = pod_of(workload)
    return [*pod.get("initContainers", []), *pod["containers"]]

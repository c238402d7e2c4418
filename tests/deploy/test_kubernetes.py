"""What stands in deploy/kubernetes fits Kubernetes' schemas, fits together, and fits the service."""

import re
import shutil
import subprocess
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from app import __version__
from app.api.page import PATHS
from app.main import create_app
from app.settings import Settings
from tests.deploy.manifests import (
    KUBERNETES,
    ROOT,
    Manifest,
    Overlay,
    containers_of,
    labels_of,
    pod_of,
    read_env,
)
from tests.support.service import settings_for

DOCKERFILE = (ROOT / "Dockerfile").read_text()
VARIABLES = {name.upper() for name in Settings.model_fields}
OVERLAYS = ["vllm", "ollama", "external"]
OLDEST_KUBERNETES = "1.30"
"""The first where a pod can pause before SIGTERM without a command of the image's."""


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return Overlay.read(request.param)


@pytest.fixture
def service() -> Manifest:
    """The service's own Deployment, which is the same in all overlays."""
    return Overlay.read("external").one("Deployment", "chat")


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_every_manifest_fits_the_schemas_of_kubernetes(overlay: Overlay, version: str) -> None:
    for manifest in overlay.manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_kustomize_finds_what_these_tests_find(overlay: Overlay) -> None:
    if kustomize := shutil.which("kustomize"):
        command = [kustomize, "build"]
    elif kubectl := shutil.which("kubectl"):
        command = [kubectl, "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")
    folder = KUBERNETES / "overlays" / overlay.name
    built = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True, timeout=60)
    found = list(yaml.safe_load_all(built.stdout))
    for manifest in found:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        if manifest["kind"] == "ConfigMap":
            manifest["metadata"]["name"] = manifest["metadata"]["name"].rpartition("-")[0]
    assert sorted(map(_name, found)) == sorted(map(_name, overlay.manifests))


def test_what_a_manifest_refers_to_is_there(overlay: Overlay) -> None:
    for workload in overlay.workloads:
        assert workload["spec"]["selector"]["matchLabels"] == labels_of(workload)
        for volume in pod_of(workload).get("volumes", []):
            claim = volume.get("persistentVolumeClaim")
            assert claim is None or claim["claimName"] in overlay.names("PersistentVolumeClaim")
        for container in containers_of(workload):
            for source in container.get("envFrom", []):
                assert "secretRef" in source or source["configMapRef"]["name"] in overlay.names("ConfigMap")
            for variable in container.get("env", []):
                if reference := variable["valueFrom"].get("configMapKeyRef"):
                    assert reference["key"] in overlay.data(reference["name"])
    for each in overlay.of_kind("Service"):
        (workload,) = _behind(overlay, each["spec"]["selector"])
        ports = {port["name"] for port in pod_of(workload)["containers"][0]["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports
    (scaler,) = overlay.of_kind("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] in overlay.names("Deployment")
    for each in overlay.of_kind("PodDisruptionBudget"):
        assert _behind(overlay, each["spec"]["selector"]["matchLabels"])
    for each in overlay.of_kind("NetworkPolicy"):
        assert _behind(overlay, each["spec"]["podSelector"]["matchLabels"])


def test_every_pod_goes_without_what_it_does_not_need(overlay: Overlay) -> None:
    for workload in overlay.workloads:
        pod = pod_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers_of(workload):
            context = container["securityContext"]
            assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (
                False,
                {"drop": ["ALL"]},
            )
            assert container["resources"].keys() == {"requests", "limits"}
        for container in pod["containers"]:
            assert container.keys() >= {"startupProbe", "livenessProbe", "readinessProbe"}


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "chat"), ("StatefulSet", "redis")])
def test_the_service_and_its_store_run_as_nobody_on_files_that_they_cannot_change(
    kind: str, name: str
) -> None:
    workload = Overlay.read("external").one(kind, name)
    assert pod_of(workload)["securityContext"]["runAsNonRoot"] is True
    assert containers_of(workload)[0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_image_is_run_as_its_user_at_its_version(service: Manifest) -> None:
    context = pod_of(service)["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in DOCKERFILE
    assert _container(service)["image"] == f"streaming-llm-chat:{__version__}"


def test_the_port_is_the_one_that_the_image_listens_on(service: Manifest) -> None:
    (port,) = _container(service)["ports"]
    assert f"APP_PORT={port['containerPort']}\n" in DOCKERFILE
    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE
    (policy,) = Overlay.read("external").one("NetworkPolicy", "chat")["spec"]["ingress"]
    assert policy["ports"] == [{"port": port["name"]}]


def test_probes_ask_what_the_service_answers(service: Manifest) -> None:
    container = _container(service)
    paths = create_app(settings_for()).openapi()["paths"]
    asked = {
        probe: urlsplit(container[probe]["httpGet"]["path"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {probe: url.path for probe, url in asked.items()} == {
        "startupProbe": "/health",
        "livenessProbe": "/health",
        "readinessProbe": "/ready",
    }
    assert {url.path for url in asked.values()} <= paths.keys()
    assert {container[probe]["httpGet"]["port"] for probe in asked} == {container["ports"][0]["name"]}


def test_a_pod_has_longer_to_stop_than_its_pause_and_the_service_take(
    service: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", KUBERNETES / "base" / "settings.env")
    pause = _container(service)["lifecycle"]["preStop"]["sleep"]["seconds"]
    readiness = _container(service)["readinessProbe"]
    assert pause >= readiness["periodSeconds"]
    stopping = Settings().shutdown_grace_seconds + 25
    assert pod_of(service)["terminationGracePeriodSeconds"] > pause + stopping


def test_a_rolling_update_takes_nothing_away_and_there_are_always_two(overlay: Overlay) -> None:
    spec = overlay.one("Deployment", "chat")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    # A number in the Deployment would undo the autoscaler's at every apply.
    assert "replicas" not in spec
    assert overlay.one("HorizontalPodAutoscaler", "chat")["spec"]["minReplicas"] >= 2


def test_settings_are_such_that_the_service_takes(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = _container(overlay.one("Deployment", "chat"))["envFrom"]
    variables: dict[str, str] = {}
    for source in sources:
        if "configMapRef" in source:
            variables |= overlay.data(source["configMapRef"]["name"])
    assert variables.keys() <= VARIABLES
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.llm_base_url
    assert settings.redis_url


def test_the_example_of_a_secret_names_variables_of_the_service_and_is_not_applied(overlay: Overlay) -> None:
    secret = yaml.safe_load((KUBERNETES / "base" / "secret.example.yaml").read_text())
    kubernetes_validate.validate(secret, OLDEST_KUBERNETES, strict=True)
    assert secret["stringData"].keys() <= VARIABLES
    reference = {"name": secret["metadata"]["name"], "optional": True}
    assert {"secretRef": reference} in _container(overlay.one("Deployment", "chat"))["envFrom"]
    assert not overlay.of_kind("Secret")


def test_the_service_may_reach_redis_and_its_backend(overlay: Overlay) -> None:
    urls = [overlay.data("chat-settings")["REDIS_URL"], overlay.data("chat-backend")["LLM_BASE_URL"]]
    for url in map(urlsplit, urls):
        assert url.hostname is not None
        if "." in url.hostname:
            assert any(
                _lets_out(each, "ipBlock", url.port or 443) for each in overlay.of_kind("NetworkPolicy")
            )
            continue
        target = overlay.one("Service", url.hostname)
        assert [port["port"] for port in target["spec"]["ports"]] == [url.port]
        (workload,) = _behind(overlay, target["spec"]["selector"])
        assert containers_of(workload)[-1]["ports"][0]["containerPort"] == url.port
        (rule,) = overlay.one("NetworkPolicy", f"chat-to-{url.hostname}")["spec"]["egress"]
        assert rule == {
            "to": [{"podSelector": {"matchLabels": labels_of(workload)}}],
            "ports": [{"port": url.port}],
        }
        (rule,) = overlay.one("NetworkPolicy", url.hostname)["spec"]["ingress"]
        chat = labels_of(overlay.one("Deployment", "chat"))
        assert rule == {"from": [{"podSelector": {"matchLabels": chat}}], "ports": [{"port": url.port}]}


def test_the_ingress_leads_to_all_that_is_for_clients_and_to_no_more(service: Manifest) -> None:
    ingress = Overlay.read("external").one("Ingress", service["metadata"]["name"])
    (rule,) = ingress["spec"]["rules"]
    led = [(path["pathType"], path["path"]) for path in rule["http"]["paths"]]

    def is_led(asked: str) -> bool:
        return any(asked == path or (kind == "Prefix" and asked.startswith(f"{path}/")) for kind, path in led)

    for path, operations in create_app(settings_for()).openapi()["paths"].items():
        is_probe = any("probes" in operation.get("tags", []) for operation in operations.values())
        assert is_led(path) is not is_probe, path
    assert all(is_led(path) for path in ("/docs", "/openapi.json", *PATHS))


def test_a_proxy_in_front_neither_buffers_nor_cuts_between_two_pings(service: Manifest) -> None:
    ingress = Overlay.read("external").one("Ingress", service["metadata"]["name"])
    annotations = {
        name.removeprefix("nginx.ingress.kubernetes.io/"): value
        for name, value in ingress["metadata"]["annotations"].items()
    }
    assert annotations["proxy-buffering"] == "off"
    for deadline in ("proxy-read-timeout", "proxy-send-timeout"):
        assert int(annotations[deadline]) > 2 * Settings().sse_ping_seconds


@pytest.mark.parametrize("profile", ["vllm", "ollama"])
def test_redis_and_the_backend_are_those_of_compose(profile: str) -> None:
    overlay = Overlay.read(profile)
    text = (ROOT / f"docker-compose.{profile}.yaml").read_text()
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
    services = yaml.safe_load(text)["services"]
    (redis,) = containers_of(overlay.one("StatefulSet", "redis"))
    assert (redis["image"], redis["command"]) == (services["redis"]["image"], services["redis"]["command"])
    images = {container["image"] for container in containers_of(overlay.one("Deployment", profile))}
    assert images == {services[profile]["image"]}


def test_vllm_has_a_gpu_and_time_to_download_its_model() -> None:
    (vllm,) = containers_of(Overlay.read("vllm").one("Deployment", "vllm"))
    assert vllm["resources"]["limits"]["nvidia.com/gpu"] >= 1
    assert vllm["startupProbe"]["periodSeconds"] * vllm["startupProbe"]["failureThreshold"] >= 30 * 60


def test_what_stands_beside_the_manifests_is_part_of_an_overlay_or_an_example() -> None:
    read = {path for path in KUBERNETES.rglob("*") if path.is_file()}
    named = {path for path in read if path.name in {"kustomization.yaml", "secret.example.yaml"}}
    for path in [each for each in named if each.name == "kustomization.yaml"]:
        kustomization = yaml.safe_load(path.read_text())
        named |= {path.parent / name for name in kustomization["resources"]}
        named |= {
            path.parent / name
            for each in kustomization.get("configMapGenerator", [])
            for name in each["envs"]
        }
    assert read <= named
    assert read_env(KUBERNETES / "base" / "settings.env").keys() <= VARIABLES


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def _container(workload: Manifest) -> Manifest:
    container: Manifest = pod_of(workload)["containers"][0]
    return container


def _behind(overlay: Overlay, selector: dict[str, str]) -> list[Manifest]:
    return [each for each in overlay.workloads if selector.items() <= labels_of(each).items()]


def _lets_out(policy: Manifest, kind: str, port: int) -> bool:
    return any(
        {"port": port} in rule["ports"] and any(kind in peer for peer in rule.get("to", []))
        for rule in policy["spec"].get("egress", [])
    )

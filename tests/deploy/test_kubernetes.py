"""The manifests in deploy/kubernetes fit Kubernetes' schemas, each other, and the service."""

import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from app import __version__
from app.api import docs
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
    resolve,
)
from tests.support.service import settings_for

DOCKERFILE = (ROOT / "Dockerfile").read_text()
INGRESS = next(resolve(KUBERNETES / "ingress"))
VARIABLES = {name.upper() for name in Settings.model_fields}
OVERLAYS = ["vllm", "ollama", "external"]
OLDEST_KUBERNETES = "1.30"
"""The first one in which a pod can pause before SIGTERM without a command of the image's."""
DNS_PORTS = [
    {"port": 53, "protocol": "UDP"},
    {"port": 53, "protocol": "TCP"},
    {"port": 5353, "protocol": "UDP"},
    {"port": 5353, "protocol": "TCP"},
]
"""Ports of DNS pods: OpenShift's listen on 5353, and a policy sees the port of the pod."""
RUNS_AS = ("runAsUser", "runAsGroup", "fsGroup")
"""Fields that OpenShift's restricted-v2 constraint fills in itself, and refuses otherwise."""


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return Overlay.read(request.param)


@pytest.fixture
def service() -> Manifest:
    """Return the service's own Deployment, which is the same in all overlays."""
    return Overlay.read("external").one("Deployment", "chat")


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_every_manifest_fits_the_schemas_of_kubernetes(overlay: Overlay, version: str) -> None:
    for manifest in [*overlay.manifests, INGRESS]:
        # Kubernetes' own schemas do not have the Gateway API; the tests of the routes look at it.
        if not manifest["apiVersion"].startswith("gateway."):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_kustomize_finds_what_these_tests_find(overlay: Overlay) -> None:
    found = _build(KUBERNETES / "overlays" / overlay.name)
    for manifest in found:
        if not manifest["apiVersion"].startswith("gateway."):
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
                if reference := variable.get("valueFrom", {}).get("configMapKeyRef"):
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


def test_no_pod_runs_as_root(overlay: Overlay) -> None:
    for workload in overlay.workloads:
        assert pod_of(workload)["securityContext"]["runAsNonRoot"] is True, workload["metadata"]["name"]
        for container in containers_of(workload):
            assert container["securityContext"].get("runAsNonRoot", True) is True
            assert "runAsUser" not in container["securityContext"]


def test_no_pod_can_change_its_files_but_vllm_which_compiles_kernels(overlay: Overlay) -> None:
    for workload in overlay.workloads:
        if workload["metadata"]["name"] != "vllm":
            for container in containers_of(workload):
                assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_service_runs_as_the_user_that_the_image_or_openshift_chooses(service: Manifest) -> None:
    context = pod_of(service)["securityContext"]
    assert not context.keys() & set(RUNS_AS)
    (user, group) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)[0]
    assert int(user) > 0
    assert group == "0"


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_component_for_openshift_leaves_every_user_and_group_to_the_cluster(name: str) -> None:
    (patch,) = yaml.safe_load((KUBERNETES / "openshift" / "kustomization.yaml").read_text())["patches"]
    removed = [(each["op"], each["path"].rpartition("/")[2]) for each in yaml.safe_load(patch["patch"])]
    assert removed == [("remove", field) for field in RUNS_AS]
    for workload in Overlay.read(name).workloads:
        is_patched = re.fullmatch(patch["target"]["name"], workload["metadata"]["name"]) is not None
        context = pod_of(workload)["securityContext"]
        # JSON patches cannot remove what is missing.
        assert context.keys() & set(RUNS_AS) == (set(RUNS_AS) if is_patched else set())


@pytest.mark.parametrize("name", ["vllm", "ollama"])
def test_kustomize_applies_the_component_for_openshift(name: str, tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    kustomization = tmp_path / "kubernetes" / "overlays" / name / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text() + "components:\n  - ../../openshift\n")
    workloads = [
        each for each in _build(kustomization.parent) if each["kind"] in {"Deployment", "StatefulSet"}
    ]
    assert len(workloads) == 3
    for workload in workloads:
        context = pod_of(workload)["securityContext"]
        assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_image_is_run_at_its_version(service: Manifest) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert _container(service)["image"] == f"{project['name']}:{__version__}"
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE
    assert f'org.opencontainers.image.title="{project["name"]}"' in DOCKERFILE


def test_the_port_is_the_one_that_the_image_listens_on(service: Manifest) -> None:
    (port,) = _container(service)["ports"]
    assert f"APP_PORT={port['containerPort']}\n" in DOCKERFILE
    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE
    for rule in Overlay.read("external").one("NetworkPolicy", "chat")["spec"]["ingress"]:
        assert rule["ports"] == [{"port": port["name"]}]


def test_only_the_gateway_and_the_scraper_reach_the_service(overlay: Overlay) -> None:
    policy = overlay.one("NetworkPolicy", "chat")
    clients, scraper = policy["spec"]["ingress"]
    (gateway,) = clients["from"]
    assert gateway == {"namespaceSelector": {"matchLabels": {"streaming-llm-chat/gateway": "true"}}}
    (prometheus,) = scraper["from"]
    assert prometheus == {
        "namespaceSelector": {"matchLabels": {"streaming-llm-chat/metrics": "true"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    }


def test_no_pod_is_open_to_all(overlay: Overlay) -> None:
    for workload in overlay.workloads:
        policies = [
            each
            for each in overlay.of_kind("NetworkPolicy")
            if each["spec"]["podSelector"]["matchLabels"].items() <= labels_of(workload).items()
        ]
        for direction in ("Ingress", "Egress"):
            assert any(direction in each["spec"]["policyTypes"] for each in policies)
        for each in policies:
            assert all(rule.get("from") for rule in each["spec"].get("ingress", []))


def test_names_are_resolved_on_openshift_as_well(overlay: Overlay) -> None:
    rules = [
        rule
        for each in overlay.of_kind("NetworkPolicy")
        for rule in each["spec"].get("egress", [])
        if any(port["port"] == 53 for port in rule["ports"])
    ]
    assert rules
    for rule in rules:
        assert rule == {"ports": DNS_PORTS}


def test_redis_refuses_what_does_not_fit_before_the_kernel_kills_it(overlay: Overlay) -> None:
    (redis,) = containers_of(overlay.one("StatefulSet", "redis"))
    options = dict(itertools.pairwise(redis["command"]))
    assert options["--maxmemory-policy"] == "noeviction"
    assert int(options["--maxmemory"].removesuffix("mb")) * 2 <= _mebibytes(
        redis["resources"]["limits"]["memory"]
    )
    assert int(options["--maxmemory"].removesuffix("mb")) <= _mebibytes(
        redis["resources"]["requests"]["memory"]
    )
    assert [mount["mountPath"] for mount in redis["volumeMounts"]] == [options["--dir"]]


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
    # Required: not optional.
    reference = {"name": secret["metadata"]["name"]}
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


@pytest.mark.parametrize("way_in", ["gateway", "ingress"])
def test_the_way_in_leads_to_all_that_is_for_clients_and_to_no_more(way_in: str) -> None:
    if way_in == "gateway":
        (rule,) = _route()["spec"]["rules"]
        led = [(match["path"]["type"], match["path"]["value"]) for match in rule["matches"]]
    else:
        (ingress_rule,) = INGRESS["spec"]["rules"]
        led = [(path["pathType"], path["path"]) for path in ingress_rule["http"]["paths"]]

    def is_led(asked: str) -> bool:
        return any(
            asked == path or (kind in {"Prefix", "PathPrefix"} and asked.startswith(f"{path}/"))
            for kind, path in led
        )

    for path, operations in create_app(settings_for()).openapi()["paths"].items():
        is_probe = any("probes" in operation.get("tags", []) for operation in operations.values())
        assert is_led(path) is not is_probe, path
    clients_too = ("/docs", "/openapi.json", "/v1/models", "/v1/chat/completions", *PATHS, *docs.FILE_PATHS)
    assert all(map(is_led, clients_too))
    assert not any(map(is_led, ("/metrics", "/health", "/ready")))


def test_the_route_is_the_gateways_and_leads_to_the_service(overlay: Overlay) -> None:
    (gateway,) = overlay.of_kind("Gateway")
    (listener,) = gateway["spec"]["listeners"]
    route = overlay.one("HTTPRoute", "chat")
    assert route["spec"]["parentRefs"] == [{"name": gateway["metadata"]["name"]}]
    assert route["spec"]["hostnames"] == [listener["hostname"]]
    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    (rule,) = route["spec"]["rules"]
    (backend,) = rule["backendRefs"]
    (port,) = overlay.one("Service", backend["name"])["spec"]["ports"]
    assert backend["port"] == port["port"]


def test_a_gateway_does_not_cut_a_stream() -> None:
    (rule,) = _route()["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}


def test_the_ingress_is_a_maintained_controllers_and_waits_for_whole_completions() -> None:
    assert INGRESS["spec"]["ingressClassName"] == "haproxy"
    annotations = INGRESS["metadata"]["annotations"]
    assert not [name for name in annotations if name.startswith("nginx.ingress.kubernetes.io/")]
    deadline = int(annotations["haproxy.org/timeout-server"].removesuffix("s"))
    assert deadline > Settings().llm_total_timeout_seconds


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
        named |= {path.parent / name for name in kustomization.get("resources", [])}
        named |= {
            path.parent / name
            for each in kustomization.get("configMapGenerator", [])
            for name in each["envs"]
        }
    assert read <= named
    assert read_env(KUBERNETES / "base" / "settings.env").keys() <= VARIABLES


def test_the_images_have_no_known_advisories() -> None:
    assert _version(Overlay.read("vllm"), "vllm") >= (0, 22, 0)
    assert _version(Overlay.read("ollama"), "ollama") >= (0, 17, 1)


def _version(overlay: Overlay, name: str) -> tuple[int, ...]:
    image = containers_of(overlay.one("Deployment", name))[-1]["image"]
    return tuple(map(int, image.rpartition(":")[2].removeprefix("v").split(".")))


def _route() -> Manifest:
    return Overlay.read("external").one("HTTPRoute", "chat")


def _mebibytes(quantity: str) -> int:
    units = {"Mi": 1, "Gi": 1024}
    return int(quantity[:-2]) * units[quantity[-2:]]


def _build(folder: Path) -> list[Manifest]:
    """Build a kustomization with the real tool, or skip the test."""
    if kustomize := shutil.which("kustomize"):
        command = [kustomize, "build"]
    elif kubectl := shutil.which("kubectl"):
        command = [kubectl, "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")
    built = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True, timeout=60)
    return list(yaml.safe_load_all(built.stdout))


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

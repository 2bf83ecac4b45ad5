"""deploy/kubernetes: kubeconform, strictly, with the schemas that the package kubernetes-validate ships; and what no schema
knows: the rules between the values."""

import glob
import importlib.util
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import yaml

import audits

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
VERSION = "1.37.0"


def schemas_without_addresses(into):
    """As shipped, each schema names itself by a URL, and refers to the definitions from there."""
    # Found and not imported: only its data is wanted here.
    [package] = map(pathlib.Path, importlib.util.find_spec("kubernetes_validate").submodule_search_locations)
    for kind in ("_definitions", "statefulset-apps-v1", "service-v1", "secret-v1", "networkpolicy-networking-v1",
                 "poddisruptionbudget-policy-v1"):
        schema = json.loads((package / f"kubernetes-json-schema/v{VERSION}-local-strict/{kind}.json").read_text())
        schema.pop("$id")
        (into / f"{kind}.json").write_text(json.dumps(schema).replace('"/api/_definitions.json', '"_definitions.json'))


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.schemas = pathlib.Path(folder.name)
        schemas_without_addresses(cls.schemas)
        cls.text = (FOLDER / "toolbridge.yaml").read_text()
        cls.objects = {each["kind"]: each for each in yaml.safe_load_all(cls.text)}
        cls.pod = cls.objects["StatefulSet"]["spec"]["template"]["spec"]
        [cls.sidecar] = cls.pod["initContainers"]
        [cls.backend] = cls.pod["containers"]
        cls.env = {each["name"]: each.get("value") for each in cls.sidecar["env"]}

    def conform(self, *files, text=None):
        command = [os.environ["KUBECONFORM"], "-strict", "-summary", "-kubernetes-version", VERSION, "-schema-location",
                   str(self.schemas / "{{.ResourceKind}}{{.KindSuffix}}.json"), *map(str, files or ["-"])]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)

    def test_every_manifest_conforms(self):
        files = glob.glob(str(FOLDER / "*.yaml"))
        result = self.conform(*files)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("Valid: 5, Invalid: 0, Errors: 0, Skipped: 0", result.stdout)

    def test_mistakes_are_caught(self):
        for right, wrong in (
            ("replicas: 1", "replicas: one"),
            ("readinessProbe:", "readynessProbe:"),
            ("restartPolicy: Always", "restartpolicy: Always"),
            ("maxUnavailable: 1", "maxUnavailable: [1]"),
            ("apiVersion: apps/v1", "apiVersion: apps/v9"),
            ("policyTypes: [Ingress, Egress]", "policyTypes: Ingress"),
        ):
            with self.subTest(wrong):
                self.assertIn(right, self.text)
                result = self.conform(text=self.text.replace(right, wrong, 1))
                self.assertNotEqual(result.returncode, 0, result.stdout)

    def test_the_sidecar_is_a_native_one(self):
        self.assertEqual(self.sidecar["restartPolicy"], "Always")

    def test_probes_ask_the_operations_port_and_never_wait_for_each_other(self):
        paths = {kind: self.sidecar[kind]["httpGet"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
        self.assertEqual({probe["port"] for probe in paths.values()}, {"ops"})
        # A start that waited for the backend would wait for ever: the backend starts after it.
        self.assertEqual(paths["startupProbe"]["path"], "/healthz")
        self.assertEqual(paths["livenessProbe"]["path"], "/healthz")
        self.assertEqual(paths["readinessProbe"]["path"], "/readyz")

    def test_no_container_may_more_than_it_needs(self):
        security = self.pod["securityContext"]
        self.assertTrue(security["runAsNonRoot"])
        self.assertEqual(security["runAsUser"], 65532)
        self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertIs(self.pod["automountServiceAccountToken"], False)
        for container in (self.sidecar, self.backend):
            security = container["securityContext"]
            self.assertTrue(security["readOnlyRootFilesystem"])
            self.assertIs(security["allowPrivilegeEscalation"], False)
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
            self.assertIn("memory", container["resources"]["limits"])
            self.assertIn("memory", container["resources"]["requests"])

    def test_the_audit_is_on_and_on_the_claim_of_which_it_takes_half(self):
        file = pathlib.PurePosixPath(self.env["TOOLBRIDGE_AUDIT__FILE"])
        [mount] = [each for each in self.sidecar["volumeMounts"] if each["mountPath"] == str(file.parent)]
        self.assertFalse(mount.get("readOnly", False))
        claims = {each["metadata"]["name"]: each["spec"] for each in self.objects["StatefulSet"]["spec"]["volumeClaimTemplates"]}
        self.assertNotIn(mount["name"], [each["name"] for each in self.pod["volumes"]], "a claim outlives the pod")
        claim = claims[mount["name"]]
        self.assertLess(audits.most_bytes(self.env), audits.size(claim["resources"]["requests"]["storage"]) * 0.6)
        self.assertEqual(self.pod["securityContext"]["fsGroup"], self.pod["securityContext"]["runAsGroup"], "may write there")
        self.assertEqual(set(audits.settings(self.env)),
                         {f"TOOLBRIDGE_AUDIT__{key}" for key in ("FILE", "MAX_SIZE", "KEEP")})

    def test_one_process_writes_the_audit(self):
        spec = self.objects["StatefulSet"]["spec"]
        self.assertEqual(spec["replicas"], 1)
        # Each pod of a StatefulSet has a claim of its own, and is gone before the next one starts.
        self.assertEqual(spec.get("podManagementPolicy", "OrderedReady"), "OrderedReady")
        self.assertEqual(spec["volumeClaimTemplates"][0]["spec"]["accessModes"], ["ReadWriteOnce"])

    def test_a_pod_is_killed_later_than_everything_that_ends_before(self):
        seconds = lambda name: int(self.env[name].rstrip("s"))
        pause = self.backend["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertLess(seconds("TOOLBRIDGE_SHUTDOWN__GRACE"), seconds("TOOLBRIDGE_SHUTDOWN__KILL_TIMEOUT"))
        self.assertLess(pause + seconds("TOOLBRIDGE_SHUTDOWN__KILL_TIMEOUT"), self.pod["terminationGracePeriodSeconds"])

    def test_mcp_comes_from_the_ingress_and_metrics_go_to_monitoring_alone(self):
        policy = self.objects["NetworkPolicy"]["spec"]
        self.assertEqual(set(policy["policyTypes"]), {"Ingress", "Egress"})
        doors = {rule["ports"][0]["port"]: rule["from"][0]["namespaceSelector"]["matchLabels"] for rule in policy["ingress"]}
        self.assertEqual(doors, {"mcp": {"kubernetes.io/metadata.name": "ingress-nginx"},
                                 "ops": {"kubernetes.io/metadata.name": "monitoring"}})
        out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        self.assertEqual(out, {53, 443})
        self.assertTrue(all(rule["to"] for rule in policy["egress"]))
        [port] = self.objects["Service"]["spec"]["ports"]
        self.assertEqual(port["targetPort"], "mcp")

    def test_every_selector_selects_the_pod(self):
        labels = self.objects["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(self.objects["StatefulSet"]["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(self.objects["Service"]["spec"]["selector"], labels)
        self.assertEqual(self.objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"], labels)
        self.assertEqual(self.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], labels)

    def test_the_secrets_are_those_of_the_example_and_the_example_has_none(self):
        secret = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
        folder = {mount["name"]: mount["mountPath"] for mount in self.sidecar["volumeMounts"]}["secrets"]
        read = {value.removeprefix(folder + "/") for name, value in self.env.items() if (value or "").startswith(folder)}
        self.assertEqual(read, set(secret["stringData"]))
        for value in secret["stringData"].values():
            self.assertLess(len(value), 32, "too short to be taken")

    def test_the_product_takes_these_settings(self):
        """`serve` reads them, and refuses nothing but the secrets of the example, which are too short."""
        secret = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())["stringData"]
        environment = {name: value for name, value in self.env.items() if name.removesuffix("_FILE") not in secret} | secret
        result = subprocess.run([os.environ["TOOLBRIDGE"], "serve"], env=environment, capture_output=True, text=True,
                                timeout=30, cwd="/")
        self.assertEqual(result.returncode, 64)
        problems = [line for line in result.stderr.splitlines() if line.startswith("`")]
        self.assertTrue(problems)
        for problem in problems:
            self.assertIn("shorter than 32 characters", problem)
        self.assertNotIn("replace-me", result.stderr)


if __name__ == "__main__":
    unittest.main()

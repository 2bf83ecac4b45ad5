"""scripts/deploy-tenant and scripts/rotate-secret against a stub of flyctl: what is called, in which order, and that no
secret is anywhere but on standard input. The same argv as the real one takes; the real one cannot be tried here."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUB = ROOT / "tests/deploy/stub_flyctl.py"
APP = "toolbridge-tenant-acme"
SIGNING = "TENANT_HEADER_SECRET"
ACTIVE = "TOOLBRIDGE_SIGNATURE__ACTIVE"
GOOD = ["--image", "registry.fly.io/acme:1", "--env", "JWT_ISSUER=https://login.acme.com"]


class OnFly(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.doctor_says(0)

    def doctor_says(self, status):
        doctor = self.folder / "toolbridge"
        doctor.write_text(f'#!/bin/sh\necho "$@" >{self.folder}/doctor\nenv >{self.folder}/doctor-env\nexit {status}\n')
        doctor.chmod(0o755)

    def run_script(self, script, *arguments, fail=""):
        environment = os.environ | {
            "FLYCTL": str(STUB),
            "TOOLBRIDGE": str(self.folder / "toolbridge"),
            "STUB_FOLDER": str(self.folder),
            "STUB_FAIL": fail,
            "JWT_ISSUER": "https://of.this.shell",
        }
        command = [ROOT / "scripts" / script, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def deploy(self, *arguments, **options):
        return self.run_script("deploy-tenant", "acme", *arguments, **options)

    def rotate(self, *arguments, **options):
        return self.run_script("rotate-secret", "acme", *arguments, **options)

    def deployed(self):
        result = self.deploy(*GOOD)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def calls(self):
        calls = self.folder / "calls"
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    def changes(self):
        """The calls without those that only look."""
        return [call["argv"] for call in self.calls() if "list" not in call["argv"]]

    def secrets(self):
        return json.loads((self.folder / "state.json").read_text())["secrets"]

    def assert_hidden(self, *results):
        """No value of a secret in any output, nor among the arguments of any call."""
        shown = "".join(result.stdout + result.stderr for result in results)
        shown += json.dumps([call["argv"] for call in self.calls()])
        for call in self.calls():
            for line in call["stdin"].splitlines():
                name, value = line.split("=", 1)
                if "SECRET" in name or "TOKEN" in name:
                    self.assertNotIn(value, shown, name)

    def test_a_new_tenant_gets_app_secrets_volume_deployment_and_the_doctor(self):
        result = self.deployed()
        self.assertEqual([argv[:2] for argv in self.changes()], [
            ["apps", "create"], ["secrets", "import"], ["volumes", "create"], ["deploy", "--app"],
        ])
        deploy = self.changes()[-1]
        for expected in (APP, "--ha=false", "TOOLBRIDGE_TENANT__ID=acme", "registry.fly.io/acme:1",
                         f"TOOLBRIDGE_SERVER__PUBLIC_URL=https://{APP}.fly.dev", "JWT_ISSUER=https://login.acme.com"):
            self.assertIn(expected, deploy)
        self.assertEqual((self.folder / "doctor").read_text().strip(), f"doctor https://{APP}.fly.dev/mcp")
        self.assertNotIn("of.this.shell", (self.folder / "doctor-env").read_text())
        self.assertIn(f"serves https://{APP}.fly.dev/mcp", result.stderr)

    def test_secrets_have_32_random_bytes_and_are_on_standard_input_alone(self):
        result = self.deployed()
        secrets = self.secrets()
        self.assertEqual(set(secrets), {"OPS_TOKEN", "SEAL_SECRET", SIGNING})
        for value in secrets.values():
            self.assertRegex(value, r"^[0-9a-f]{64}$")
        self.assertEqual(len(set(secrets.values())), 3)
        self.assert_hidden(result)
        imports = [call["argv"] for call in self.calls() if call["argv"][:2] == ["secrets", "import"]]
        self.assertEqual(imports, [["secrets", "import", "--app", APP, "--stage"]])

    def test_a_second_run_keeps_app_volume_and_every_secret(self):
        self.deployed()
        before = self.secrets()
        self.deployed()
        self.assertEqual(self.secrets(), before)
        again = [argv[:2] for argv in self.changes()][4:]
        self.assertEqual(again, [["deploy", "--app"]])

    def test_an_app_that_exists_is_fine_and_only_what_is_missing_is_made(self):
        state = {"apps": [APP], "secrets": {SIGNING: "kept"}, "volumes": []}
        (self.folder / "state.json").write_text(json.dumps(state))
        self.deployed()
        self.assertEqual(self.secrets()[SIGNING], "kept")
        self.assertNotIn(["apps", "create"], [argv[:2] for argv in self.changes()])

    def test_a_secret_that_exists_elsewhere_comes_from_a_file(self):
        file = self.folder / "jwt"
        file.write_text("j" * 40 + "\n")
        result = self.deploy(*GOOD, "--secret", f"JWT_HS256_SECRET={file}")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.secrets()["JWT_HS256_SECRET"], "j" * 40)
        self.assert_hidden(result)
        file.write_text("short")
        self.assertIn("shorter than 32", self.deploy(*GOOD, "--secret", f"JWT_HS256_SECRET={file}").stderr)

    def test_a_secret_on_the_command_line_is_refused_and_not_repeated(self):
        result = self.deploy(*GOOD, "--env", "JWT_HS256_SECRET=visible-to-everybody")
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn("visible", result.stdout + result.stderr)
        self.assertEqual(self.calls(), [])

    def test_a_dry_run_prints_every_call_and_makes_none(self):
        result = self.deploy(*GOOD, "--dry-run", "--region", "fra", "--org", "acme-inc")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.calls(), [])
        self.assertFalse((self.folder / "doctor").exists())
        for line in ("apps list --json", f"apps create {APP} --org acme-inc", f"secrets list --app {APP} --json",
                     f"secrets import --app {APP} --stage", "--region fra", f"deploy --app {APP}", "doctor https://"):
            self.assertIn(line, result.stdout)
        self.assertIsNone(re.search("[0-9a-f]{64}", result.stdout + result.stderr))
        self.assertEqual(self.rotate(SIGNING, "--dry-run").returncode, 0)
        self.assertEqual(self.calls(), [])

    def test_a_dry_run_shows_the_calls_of_a_real_one(self):
        shown = self.deploy(*GOOD, "--dry-run").stdout.splitlines()
        self.deployed()
        made = [" ".join([str(STUB), *call["argv"]]) for call in self.calls()]
        self.assertEqual([line for line in shown if line.startswith(str(STUB))], made)

    def test_bad_tenants_are_refused_before_anything_is_called(self):
        for tenant in ("Acme", "a_b", "-a", "a-", "a b", "a;id", "../a", "a" * 60, "ä", "a.b", "$(id)"):
            with self.subTest(tenant):
                result = self.run_script("deploy-tenant", "--image", "i", "--", tenant) if tenant == "-a" else \
                    self.run_script("deploy-tenant", tenant, *GOOD)
                self.assertNotEqual(result.returncode, 0)
                result = self.run_script("rotate-secret", tenant, SIGNING)
                self.assertNotEqual(result.returncode, 0)
        self.assertEqual(self.calls(), [])

    def test_the_examples_of_the_repository_are_not_deployed(self):
        result = self.deploy()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("--image", result.stderr)
        self.assertIn("JWT_ISSUER", result.stderr)
        self.assertEqual(self.calls(), [])

    def test_a_failed_deployment_ends_with_an_error_and_the_way_back(self):
        result = self.deploy(*GOOD, fail="deploy")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"releases --app {APP} --image", result.stderr)
        [back] = re.findall(rf"^  {STUB} (deploy .*)", result.stderr, re.MULTILINE)
        self.assertIn("--image IMAGE-OF-THE-RELEASE-BEFORE", back)
        # With all that it was deployed with, but the image.
        self.assertLessEqual(set(self.changes()[-1]) - {"registry.fly.io/acme:1"}, set(shlex.split(back)))
        self.assertFalse((self.folder / "doctor").exists())

    def test_a_doctor_who_is_not_content_is_an_error(self):
        self.doctor_says(1)
        result = self.deploy(*GOOD)
        self.assertEqual(result.returncode, 1)
        self.assertIn("releases --app", result.stderr)

    def test_without_a_doctor_nothing_is_called(self):
        (self.folder / "toolbridge").unlink()
        result = self.deploy(*GOOD)
        self.assertEqual(result.returncode, 1)
        self.assertIn("set TOOLBRIDGE to the binary", result.stderr)
        self.assertEqual(self.calls(), [])
        self.assertEqual(self.deploy(*GOOD, "--dry-run").returncode, 0)

    def test_whatever_fails_nothing_is_deployed_after_it(self):
        for fail in ("apps list", "apps create", "secrets list", "secrets import", "volumes list", "volumes create"):
            with self.subTest(fail):
                (self.folder / "state.json").unlink(missing_ok=True)
                (self.folder / "calls").unlink(missing_ok=True)
                result = self.deploy(*GOOD, fail=fail)
                self.assertNotEqual(result.returncode, 0)
                self.assertNotIn("deploy", [argv[0] for argv in self.changes()])
                self.assert_hidden(result)

    def test_the_signing_secret_is_replaced_in_two_steps_and_the_slots_take_turns(self):
        self.deployed()
        first = self.secrets()[SIGNING]
        results = [self.rotate(SIGNING)]
        between = self.secrets()
        self.assertEqual((between[SIGNING], between[ACTIVE]), (first, "next"))
        second = between[SIGNING + "_NEXT"]
        self.assertRegex(second, r"^[0-9a-f]{64}$")
        self.assertIn("TOOLBRIDGE_SIGNATURE__NEXT_KEY_ID", between)
        results.append(self.rotate(SIGNING, "--finish"))
        self.assertNotIn(SIGNING, self.secrets())
        self.assertEqual(self.secrets()[SIGNING + "_NEXT"], second)
        self.deployed()
        self.assertNotIn(SIGNING, self.secrets(), "a deployment makes no second one")
        results.append(self.rotate(SIGNING))
        third = self.secrets()
        self.assertNotIn(ACTIVE, third)
        self.assertEqual(third[SIGNING + "_NEXT"], second)
        self.assertNotIn(third[SIGNING], (first, second))
        results.append(self.rotate(SIGNING, "--finish"))
        self.assertNotIn(SIGNING + "_NEXT", self.secrets())
        self.assertNotIn("TOOLBRIDGE_SIGNATURE__NEXT_KEY_ID", self.secrets())
        self.assertEqual([result.returncode for result in results], [0, 0, 0, 0])
        self.assertEqual(self.changes()[-1], ["secrets", "deploy", "--app", APP])
        self.assert_hidden(*results)

    def test_a_rotation_can_be_taken_back(self):
        self.deployed()
        before = self.secrets()
        self.assertEqual(self.rotate(SIGNING).returncode, 0)
        self.assertEqual(self.rotate(SIGNING, "--back").returncode, 0)
        self.assertEqual(self.secrets(), before)
        for _ in range(2):  # also out of the other slot
            self.rotate(SIGNING)
            self.rotate(SIGNING, "--finish")
            before = self.secrets()
            self.assertEqual(self.rotate(SIGNING).returncode, 0)
            self.assertEqual(self.rotate(SIGNING, "--back").returncode, 0)
            self.assertEqual(self.secrets(), before)

    def test_a_second_rotation_waits_for_the_first_one(self):
        self.deployed()
        self.rotate(SIGNING)
        before = self.secrets()
        result = self.rotate(SIGNING)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("--finish", result.stderr)
        self.assertEqual(self.secrets(), before)

    def test_a_backend_with_one_secret_gets_the_new_one_at_once(self):
        self.deployed()
        before = self.secrets()
        result = self.rotate(SIGNING, "--at-once")
        self.assertEqual(result.returncode, 0, result.stderr)
        changed = {name for name, value in self.secrets().items() if before[name] != value}
        self.assertEqual(changed, {SIGNING})
        self.assert_hidden(result)

    def test_what_belongs_to_others_too_is_never_invented(self):
        self.deployed()
        before = self.secrets()
        self.assertNotEqual(self.rotate("JWT_HS256_SECRET").returncode, 0)
        self.assertNotEqual(self.rotate("PATH").returncode, 0)
        self.assertNotEqual(self.rotate("OPS_TOKEN", "--finish").returncode, 0)
        self.assertEqual(self.secrets(), before)
        self.assertEqual(self.rotate("OPS_TOKEN").returncode, 0)
        self.assertNotEqual(self.secrets()["OPS_TOKEN"], before["OPS_TOKEN"])

    def test_a_failed_restart_says_how_to_go_on(self):
        self.deployed()
        result = self.rotate(SIGNING, fail="secrets deploy")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"secrets deploy --app {APP}", result.stderr)
        self.assertIn("--back", result.stderr)


if __name__ == "__main__":
    unittest.main()

"""fly.toml: what is promised of it, and that it agrees with the product's own rules."""

import os
import pathlib
import re
import subprocess
import tomllib
import unittest

import audits

ROOT = pathlib.Path(__file__).resolve().parents[2]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


class FlyToml(unittest.TestCase):
    def setUp(self):
        self.fly = tomllib.loads((ROOT / "fly.toml").read_text())
        self.env = self.fly["env"]
        [self.service] = self.fly["services"]

    def port_of(self, setting):
        return int(self.env[setting].rsplit(":", 1)[1])

    def test_mcp_is_behind_tls_and_clear_text_only_redirects(self):
        ports = {port["port"]: port for port in self.service["ports"]}
        self.assertEqual(set(ports), {80, 443})
        self.assertEqual(ports[443]["handlers"], ["tls", "http"])
        self.assertEqual(ports[80]["handlers"], ["http"])
        self.assertTrue(ports[80]["force_https"])
        self.assertEqual(self.service["internal_port"], self.port_of("TOOLBRIDGE_SERVER__LISTEN"))
        self.assertNotIn("http_service", self.fly, "one public door")

    def test_the_operations_port_has_no_public_door(self):
        self.assertNotEqual(self.service["internal_port"], self.port_of("TOOLBRIDGE_OPS__LISTEN"))

    def test_an_app_sleeps_down_to_no_machine_and_is_woken(self):
        self.assertEqual(self.service["auto_stop_machines"], "stop")
        self.assertIs(self.service["auto_start_machines"], True)
        self.assertEqual(self.service["min_machines_running"], 0)

    def test_connections_are_limited_softly_before_hard(self):
        concurrency = self.service["concurrency"]
        self.assertEqual(concurrency["type"], "connections")
        self.assertLess(0, concurrency["soft_limit"])
        self.assertLess(concurrency["soft_limit"], concurrency["hard_limit"])

    def test_both_health_pages_are_asked_where_they_are(self):
        [live] = self.service["http_checks"]
        self.assertEqual((live["method"], live["path"]), ("GET", "/healthz"))
        ready = self.fly["checks"]["ready"]
        self.assertEqual((ready["type"], ready["path"]), ("http", "/readyz"))
        self.assertEqual(ready["port"], self.port_of("TOOLBRIDGE_OPS__LISTEN"))
        for check in (live, ready):
            self.assertLess(seconds(check["timeout"]), seconds(check["interval"]))

    def test_a_machine_is_killed_later_than_calls_are_given_up(self):
        self.assertEqual(self.fly["kill_signal"], "SIGTERM")
        grace, kill = self.env["TOOLBRIDGE_SHUTDOWN__GRACE"], self.env["TOOLBRIDGE_SHUTDOWN__KILL_TIMEOUT"]
        self.assertEqual(self.fly["kill_timeout"], kill)
        self.assertLess(seconds(grace), seconds(kill))

    def test_metrics_are_where_fly_can_read_them(self):
        self.assertEqual(self.fly["metrics"], {"port": 9091, "path": "/metrics"})
        self.assertEqual(self.env["TOOLBRIDGE_OPS__LISTEN"], "[::]:9091", "Fly's private network is IPv6")

    def test_what_outlives_a_machine_is_on_the_volume_that_deploy_tenant_makes(self):
        [mount] = self.fly["mounts"]
        self.assertEqual(mount["destination"], self.env["STATE_DIRECTORY"])
        self.assertIn(f"volumes create {mount['source']} ", (ROOT / "scripts/deploy-tenant").read_text())

    def test_the_audit_is_on_and_on_the_volume_of_which_it_takes_half(self):
        [mount] = self.fly["mounts"]
        file = pathlib.PurePosixPath(self.env["TOOLBRIDGE_AUDIT__FILE"])
        self.assertEqual(str(file.parent), mount["destination"])
        self.assertLess(audits.most_bytes(self.env), audits.size(mount["initial_size"]) * 0.6)
        self.assertNotIn("TOOLBRIDGE_AUDIT__ARGUMENTS", self.env, "lines have no data of people")
        self.assertNotIn("TOOLBRIDGE_AUDIT__ON_FAILURE", self.env, "a write without a line is refused")

    def test_no_secret_and_no_tenant_is_in_it(self):
        for name in self.env:
            self.assertNotRegex(name, r"SECRET|TOKEN|_KEY$|TENANT")

    def test_the_product_takes_these_settings(self):
        """`serve` reads them as it does on Fly; the only complaint is the one that is provoked here, so that it ends."""
        environment = {**self.env, "TOOLBRIDGE_TENANT__ID": "acme", "TOOLBRIDGE_SERVER__PUBLIC_URL": "https://acme.fly.dev",
                       "TOOLBRIDGE_SHUTDOWN__GRACE": self.env["TOOLBRIDGE_SHUTDOWN__KILL_TIMEOUT"]}
        result = subprocess.run([os.environ["TOOLBRIDGE"], "serve"], env=environment, capture_output=True, text=True,
                                timeout=30, cwd="/")
        self.assertEqual(result.returncode, 64)
        self.assertIn("1 problem", result.stderr)
        self.assertIn("is not below `shutdown.kill_timeout`", result.stderr)


if __name__ == "__main__":
    unittest.main()

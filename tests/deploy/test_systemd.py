"""deploy/systemd: systemd's own verifier and its security audit, and that what the unit says agrees with the product."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy/systemd/toolbridge.service"
MOST_EXPOSED = 11  # tenths: what is left are the network, which it serves, and the file system it is started from


class Systemd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.unit = pathlib.Path(folder.name) / "toolbridge.service"
        self.text = UNIT.read_text()

    def analyze(self, *arguments, text=None):
        text = (text or self.text).replace("/usr/local/bin/toolbridge", os.environ["TOOLBRIDGE"])
        self.unit.write_text(text)
        command = ["systemd-analyze", *arguments, str(self.unit)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def values(self, key):
        return re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)

    def variables(self):
        return dict(value.split("=", 1) for value in self.values("Environment"))

    def test_the_unit_is_sound(self):
        result = self.analyze("verify", "--man=no")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_mistakes_are_caught(self):
        for right, wrong in (("Type=exec", "Type=exce"), ("ProtectHome=yes", "ProtectHouse=yes"),
                             ("TimeoutStopSec=12s", "TimeoutStopSec=soon"), ("@system-service", "@system-servant")):
            with self.subTest(wrong):
                self.assertIn(right, self.text)
                result = self.analyze("verify", "--man=no", text=self.text.replace(right, wrong))
                self.assertNotEqual((result.returncode, result.stderr), (0, ""))

    def test_it_is_exposed_to_little(self):
        result = self.analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}")
        self.assertEqual(result.returncode, 0, result.stdout[-400:])
        without = re.sub(r"^(SystemCallFilter|PrivateDevices|ProtectSystem)=.*\n", "", self.text, flags=re.MULTILINE)
        result = self.analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", text=without)
        self.assertNotEqual(result.returncode, 0)

    def test_systemd_kills_later_than_the_product_ends(self):
        example = (ROOT / "toolbridge.example.toml").read_text()
        [kill] = re.findall(r'^kill_timeout = "(\d+)s"', example, re.MULTILINE)
        [stop] = self.values("TimeoutStopSec")
        self.assertLess(int(kill), int(stop.rstrip("s")))

    def test_every_secret_is_a_credential_and_named_by_its_variable(self):
        credentials = {value.split(":")[0] for value in self.values("LoadCredential")}
        variables = {name: value for name, value in self.variables().items() if name.endswith("_FILE")}
        variables.pop("TOOLBRIDGE_AUDIT__FILE")
        self.assertEqual(variables, {f"{name}_FILE": f"%d/{name}" for name in credentials})
        self.assertLessEqual({"TENANT_HEADER_SECRET", "SEAL_SECRET", "OPS_TOKEN"}, credentials)

    def test_the_audit_is_on_in_the_one_folder_that_the_service_may_write(self):
        self.assertEqual(self.values("ProtectSystem"), ["strict"])
        self.assertEqual(self.values("ReadWritePaths"), [])
        [folder] = self.values("StateDirectory")
        self.assertEqual(self.variables()["TOOLBRIDGE_AUDIT__FILE"], f"%S/{folder}/audit.jsonl")
        self.assertEqual(self.values("StateDirectoryMode"), ["0700"])

    def test_the_unit_says_how_much_of_the_disk_the_audit_takes(self):
        example = (ROOT / "toolbridge.example.toml").read_text()
        chapter = re.search(r"\n\[audit\]\n(.*?)\n\[", example, re.DOTALL).group(1)
        [megabytes] = re.findall(r'^max_size = "(\d+) MiB"', chapter, re.MULTILINE)
        [keep] = re.findall(r"^keep = (\d+)", chapter, re.MULTILINE)
        self.assertIn(f"at most {int(megabytes) * (int(keep) + 1)} MiB", self.text)

    def test_a_wrong_setting_is_not_tried_again(self):
        [status] = self.values("RestartPreventExitStatus")
        environment = {"TOOLBRIDGE_LOG__LEVEL": "loud"}
        result = subprocess.run([os.environ["TOOLBRIDGE"], "serve"], env=environment, capture_output=True, timeout=30, cwd="/")
        self.assertEqual(result.returncode, int(status))

    def test_it_may_bind_the_ports_that_the_product_listens_on(self):
        example = (ROOT / "toolbridge.example.toml").read_text()
        ports = set(re.findall(r'^listen = "[^"]*:(\d+)"', example, re.MULTILINE))
        self.assertEqual({value.removeprefix("tcp:") for value in self.values("SocketBindAllow")}, ports)


if __name__ == "__main__":
    unittest.main()

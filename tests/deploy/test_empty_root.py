"""The binary in a root that has nothing but certificates, /etc/hosts and three devices, read-only, as user 65532 and as
PID 1 of its own network: what the images promise, without an engine for containers. The backend, a child of PID 1, is
`toolbridge sandbox`. Needs root; a binary that is not static (the debug build) brings its libraries along."""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

DEVELOPMENT = {
    "TOOLBRIDGE_ENVIRONMENT": "development",
    "JWT_HS256_SECRET": "insecure-development-secret-of-toolbridge-never-use-in-production",
    "TENANT_HEADER_SECRET": "insecure-tenant-header-secret-of-toolbridge-development",
    "JWT_ISSUER": "toolbridge-dev",
    "JWT_AUDIENCE": "toolbridge-dev",
    "TOOLBRIDGE_TENANT_ID": "acme",
}
# What the Dockerfiles set.
OF_THE_IMAGE = {
    "TOOLBRIDGE_SERVER__LISTEN": "0.0.0.0:8001",
    "TOOLBRIDGE_OPS__LISTEN": "0.0.0.0:9091",
    "TOOLBRIDGE_BACKEND__URL": "http://127.0.0.1:8080",
    "TOOLBRIDGE_CHILD__HEALTH": "/healthz",
    "STATE_DIRECTORY": "/var/lib/toolbridge",
}
# In namespaces of its own: loopback is switched on, the root becomes read-only, and toolbridge takes the shell's place.
PREPARE = """
set -e
python3 -c "import socket, fcntl, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 0x49))"
mount --bind "$1" "$1"
for device in null random urandom; do mount --bind /dev/$device "$1/dev/$device"; done
if [ "$2" = with-state ]; then mount -t tmpfs -o uid=65532,gid=65532,mode=0700 state "$1/var/lib/toolbridge"; fi
mount -o remount,bind,ro "$1"
cd "$1"
shift 2
exec chroot --userspec=65532:65532 . "$@"
"""
PATIENCE = 60


@unittest.skipUnless(os.geteuid() == 0, "namespaces and chroot need root")
class EmptyRoot(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve() / "root"
        for each in ("etc/ssl/certs", "dev", "var/lib/toolbridge"):
            (self.root / each).mkdir(parents=True)
        self.root.parent.chmod(0o755)
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost by.its.name\n")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.root / "etc/ssl/certs")
        for device in ("null", "random", "urandom"):
            (self.root / "dev" / device).touch()
        binary = os.environ["TOOLBRIDGE"]
        shutil.copy(binary, self.root / "toolbridge")
        self.libraries(binary)
        self.log = []

    def libraries(self, binary):
        ldd = subprocess.run(["ldd", binary], capture_output=True, text=True)
        self.is_static = ldd.returncode != 0 or "statically linked" in ldd.stdout
        if self.is_static:
            return
        for library in re.findall(r"(/\S+) \(0x", ldd.stdout):
            at = self.root / library.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, at)

    def start(self, state, *command):
        """Starts it and reads its log until it says that the backend is well."""
        unshare = ["unshare", "--mount", "--pid", "--net", "--fork", "sh", "-c", PREPARE, "sh", str(self.root), state]
        self.process = subprocess.Popen([*unshare, *command], env={"PATH": os.environ["PATH"], **DEVELOPMENT, **OF_THE_IMAGE},
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.end)
        self.read_until("the child is healthy")
        self.pid = self.first_of_its_namespace()

    def first_of_its_namespace(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        [pid] = map(int, children.read_text().split())
        return pid

    def end(self):
        """PID 1 first, which takes its namespace along: it does not die with `unshare`, because it has changed its user."""
        if self.process.poll() is None:
            os.kill(self.first_of_its_namespace(), signal.SIGKILL)
            self.process.wait(timeout=PATIENCE)

    def read_until(self, message):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if not select.select([self.process.stdout], [], [], end - time.monotonic())[0]:
                break
            line = self.process.stdout.readline()
            if not line:
                break
            self.log.append(line)
            if message in line:
                return line
        self.fail(f"it never said '{message}':\n" + "".join(self.log))

    def inside(self, *command):
        """As an orchestrator runs a health check: in the same network and root, as the same user."""
        enter = ["nsenter", "--target", str(self.pid), "--net", "--mount", "chroot", "--userspec=65532:65532", str(self.root)]
        return subprocess.run([*enter, *command], env={"PATH": os.environ["PATH"], **DEVELOPMENT, **OF_THE_IMAGE},
                              capture_output=True, text=True, timeout=PATIENCE)

    def test_pid_1_of_an_empty_read_only_root_serves_calls_is_well_and_ends_with_0(self):
        self.start("with-state", "/toolbridge", "serve", "--", "/toolbridge", "sandbox", "--ephemeral")
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        self.assertRegex(status, r"(?m)^NSpid:\s+\d+\s+1$")
        self.assertRegex(status, r"(?m)^Uid:\s+65532\s+65532\s+65532\s+65532$")
        self.assertRegex(status, r"(?m)^CapEff:\s+0+$")
        for arguments in ([], ["--ready"], ["--url", "http://by.its.name:9091"]):
            health = self.inside("/toolbridge", "health", *arguments)
            self.assertEqual(health.returncode, 0, health.stderr)
        token = self.inside("/toolbridge", "token", "--sub", "alice").stdout.strip()
        call = self.inside("/toolbridge", "call", "create_note", "title=From nowhere", "content=x",
                           "--url", "http://127.0.0.1:8001/mcp", "--token", token)
        self.assertEqual(call.returncode, 0, call.stderr)
        self.assertIn("From nowhere", json.dumps(json.loads(call.stdout)))
        state = pathlib.Path(f"/proc/{self.pid}/root/var/lib/toolbridge/writes")
        self.assertTrue(any(state.iterdir()), "the journal is on the volume")
        self.assertNotIn("no folder for writes.journal", "".join(self.log))
        os.kill(self.pid, signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        self.assertEqual(self.process.returncode, 0, rest)

    def test_without_a_volume_it_warns_and_serves(self):
        self.start("without-state", "/toolbridge", "serve", "--", "/toolbridge", "sandbox", "--ephemeral")
        self.assertIn("no folder for writes.journal", "".join(self.log))
        self.assertEqual(self.inside("/toolbridge", "health", "--ready").returncode, 0)

    def test_a_health_check_of_nothing_fails(self):
        self.start("without-state", "/toolbridge", "serve", "--", "/toolbridge", "sandbox", "--ephemeral")
        health = self.inside("/toolbridge", "health", "--url", "http://127.0.0.1:1")
        self.assertEqual(health.returncode, 1)

    def test_a_binary_that_is_shipped_is_static(self):
        if not os.environ.get("SHIPPED"):
            self.skipTest("this is the debug build; scripts/build-image tries what is shipped")
        self.assertTrue(self.is_static)


if __name__ == "__main__":
    unittest.main()

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

import audits

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
case $2 in
  with-state) mount --bind "$1/../state" "$1/var/lib/toolbridge" ;;
  small-state) mount -t tmpfs -o uid=65532,gid=65532,mode=0700,size=128k state "$1/var/lib/toolbridge" ;;
esac
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
        self.state = self.root.parent / "state"
        self.state.mkdir(mode=0o700)
        os.chown(self.state, 65532, 65532)
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

    def start(self, state, audit=None):
        """Starts it with the sandbox as its backend, and reads its log until it says that the backend is well."""
        self.begin(state, audit)
        self.read_until("the child is healthy")
        self.pid = self.first_of_its_namespace()

    def begin(self, state, audit=None):
        unshare = ["unshare", "--mount", "--pid", "--net", "--fork", "sh", "-c", PREPARE, "sh", str(self.root), state]
        command = ["/toolbridge", "serve", "--", "/toolbridge", "sandbox", "--ephemeral"]
        environment = {"PATH": os.environ["PATH"], **DEVELOPMENT, **OF_THE_IMAGE, **(audit or {})}
        # Read by hand: what Python reads ahead, `select` does not see.
        self.process = subprocess.Popen([*unshare, *command], env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, bufsize=0)
        self.unread = b""
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.end, self.process)

    def first_of_its_namespace(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        [pid] = map(int, children.read_text().split())
        return pid

    def end(self, process):
        """PID 1 first, which takes its namespace along: it does not die with `unshare`, because it has changed its user."""
        if process.poll() is None:
            os.kill(self.first_of_its_namespace(), signal.SIGKILL)
            process.wait(timeout=PATIENCE)

    def read_until(self, message):
        end = time.monotonic() + PATIENCE
        while True:
            while b"\n" in self.unread:
                line, self.unread = self.unread.split(b"\n", 1)
                self.log.append(line.decode() + "\n")
                if message in self.log[-1]:
                    return
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                break
            read = self.process.stdout.read(1 << 16)
            if not read:
                break
            self.unread += read
        self.fail(f"it never said '{message}':\n" + "".join(self.log))

    def inside(self, *command):
        """As an orchestrator runs a health check: in the same network and root, as the same user."""
        enter = ["nsenter", "--target", str(self.pid), "--net", "--mount", "chroot", "--userspec=65532:65532", str(self.root)]
        return subprocess.run([*enter, *command], env={"PATH": os.environ["PATH"], **DEVELOPMENT, **OF_THE_IMAGE},
                              capture_output=True, text=True, timeout=PATIENCE)

    def create(self, title):
        token = self.inside("/toolbridge", "token", "--sub", "alice").stdout.strip()
        return self.inside("/toolbridge", "call", "create_note", f"title={title}", "content=x",
                           "--url", "http://127.0.0.1:8001/mcp", "--token", token)

    def readiness(self):
        return self.inside("/toolbridge", "health", "--ready")

    def test_pid_1_of_an_empty_read_only_root_serves_calls_is_well_and_ends_with_0(self):
        self.start("with-state")
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        self.assertRegex(status, r"(?m)^NSpid:\s+\d+\s+1$")
        self.assertRegex(status, r"(?m)^Uid:\s+65532\s+65532\s+65532\s+65532$")
        self.assertRegex(status, r"(?m)^CapEff:\s+0+$")
        for arguments in ([], ["--ready"], ["--url", "http://by.its.name:9091"]):
            health = self.inside("/toolbridge", "health", *arguments)
            self.assertEqual(health.returncode, 0, health.stderr)
        call = self.create("From nowhere")
        self.assertEqual(call.returncode, 0, call.stderr)
        self.assertIn("From nowhere", json.dumps(json.loads(call.stdout)))
        self.assertTrue(any((self.state / "writes").iterdir()), "the journal is on the volume")
        self.assertNotIn("no folder for writes.journal", "".join(self.log))
        os.kill(self.pid, signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        self.assertEqual(self.process.returncode, 0, rest.decode())

    def test_without_a_volume_it_warns_and_serves(self):
        self.start("without-state")
        self.assertIn("no folder for writes.journal", "".join(self.log))
        self.assertEqual(self.inside("/toolbridge", "health", "--ready").returncode, 0)

    def test_the_audit_of_every_file_that_ships_it_is_on_its_volume_and_goes_on_after_a_kill(self):
        for name, audit in audits.shipped().items():
            with self.subTest(name):
                for each in list(self.state.iterdir()):
                    shutil.rmtree(each) if each.is_dir() else each.unlink()
                for title in ("before", "after"):
                    self.start("with-state", audit)
                    self.assertEqual(self.create(title).returncode, 0)
                    self.end(self.process)
                file = self.state / pathlib.Path(audit["TOOLBRIDGE_AUDIT__FILE"]).name
                self.assertEqual((file.stat().st_uid, file.stat().st_mode & 0o777), (65532, 0o600))
                lines = [json.loads(line) for line in file.read_text().splitlines()]
                self.assertEqual([(line["seq"], line["tool"], line["outcome"]) for line in lines],
                                 [(1, "create_note", "ok"), (2, "create_note", "ok")])
                self.assertTrue(self.is_whole(file))
                file.write_text(file.read_text().replace("alice", "carol", 1))
                self.assertFalse(self.is_whole(file))

    def is_whole(self, file):
        return subprocess.run([os.environ["TOOLBRIDGE"], "audit", "verify", file], capture_output=True).returncode == 0

    def test_an_audit_without_its_volume_is_said_and_nothing_starts(self):
        for name, audit in audits.shipped().items():
            with self.subTest(name):
                self.begin("without-state", audit)
                output, _ = self.process.communicate(timeout=PATIENCE)
                output = output.decode()
                self.assertEqual(self.process.returncode, 64, output)
                self.assertIn(f'{pathlib.Path(audit["TOOLBRIDGE_AUDIT__FILE"]).parent}/', output)
                self.assertIn("Read-only file system", output)

    def test_on_a_full_volume_writes_are_refused_until_there_is_room_and_no_line_is_missing(self):
        self.start("small-state", audits.shipped()["kubernetes"])
        self.assertEqual(self.create("with room").returncode, 0)
        state = pathlib.Path(f"/proc/{self.pid}/root/var/lib/toolbridge")
        with open(state / "ballast", "wb", buffering=0) as ballast:
            with self.assertRaises(OSError):
                while True:
                    ballast.write(bytes(512))
        # The line of the write that finds the disk full waits; the next one is not sent.
        said = [self.create("without room").stdout for _ in range(12)]
        self.assertIn("no record of it could be kept", said[-1])
        self.read_until("the audit cannot be written: its lines wait in memory")
        ready = self.readiness()
        self.assertEqual(ready.returncode, 0, "reads go on")
        self.assertIn("audit: it cannot be written, so writes are refused", ready.stdout)
        (state / "ballast").unlink()
        self.assertEqual(self.create("with room again").returncode, 0)
        self.read_until("the audit is written again")
        self.assertNotIn("audit: it", self.readiness().stdout)
        shutil.copy(state / "audit.jsonl", self.root.parent)
        self.assertTrue(self.is_whole(self.root.parent / "audit.jsonl"))
        lines = [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]
        done = sum("no record of it could be kept" not in text for text in said)
        self.assertEqual(len(lines), done + 2)

    def test_a_health_check_of_nothing_fails(self):
        self.start("without-state")
        health = self.inside("/toolbridge", "health", "--url", "http://127.0.0.1:1")
        self.assertEqual(health.returncode, 1)

    def test_a_binary_that_is_shipped_is_static(self):
        if not os.environ.get("SHIPPED"):
            self.skipTest("this is the debug build; scripts/build-image tries what is shipped")
        self.assertTrue(self.is_static)


if __name__ == "__main__":
    unittest.main()

"""The README's chapter on operations: what it quotes is what the product says, and what it names exists."""

import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Quoted in the runbooks, as far as it is the same each time.
MESSAGES = [
    "no folder for writes.journal: a write under way would be forgotten with this process",
    "request refused",
    "the backend does not accept your token, though toolbridge did",
    "this Host is not served: the operator can set server.public_url or add it to server.allowed_hosts",
    "this Origin may not call: the operator can add it to server.allowed_origins",
    "the backend does not let you do this in this tenant",
    "you send too many requests: try again in",
    "backend's clock differs by",
    "the backend's clock differs from ours: synchronize both with NTP; above 300 s signatures are refused",
    "differs from ours so much that it refuses signatures",
    "the backend cannot be reached right now: try again shortly",
    "the backend keeps failing: calls are refused at once until it answers again",
    "the backend has failed for a while, so",
    "was not sent to it",
    "the backend answers again",
    "the backend's clock agrees with ours again",
    "still serving generation",
    "the catalogue was replaced",
    "it is started again in",
    "it cannot be written, so writes are refused (see the log)",
    "the audit cannot be written: its lines wait in memory",
    "was not run, because no record of it could be kept:",
    "the audit is written again",
]
REASONS = ["missing", "wrong_audience", "unknown_issuer", "expired", "not_yet_valid", "unknown_key", "bad_signature", "keys_unavailable"]


def on_one_line(text):
    """Without the breaks of lines, and without Rust's way to break a text."""
    return re.sub(r"\s+", " ", re.sub(r"\\\n\s*", "", text))


class Runbooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.chapter = re.search(r"\n## Operations\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
        cls.source = on_one_line("\n".join(file.read_text() for file in (ROOT / "src").rglob("*.rs")))

    def test_the_product_says_what_is_quoted(self):
        chapter = on_one_line(self.chapter)
        for message in MESSAGES:
            with self.subTest(message):
                self.assertIn(message, chapter)
                self.assertTrue(message in self.source, "no source has it")  # assertIn would print all of it
        for reason in REASONS:
            self.assertIn(f"`{reason}`", chapter)
            self.assertTrue(f'=> "{reason}"' in self.source, reason)

    def test_a_start_that_lacks_settings_says_what_is_quoted(self):
        [quoted] = re.findall(r"```text\n(\d+ problems in the settings\n.*?)```", self.chapter, re.DOTALL)
        environment = {"JWT_ISSUER": "https://login.acme.com", "JWT_JWKS_URL": "https://login.acme.com/jwks"}
        result = subprocess.run([os.environ["TOOLBRIDGE"], "serve"], env=environment, capture_output=True, text=True,
                                timeout=30, cwd="/")
        self.assertEqual(result.returncode, 64)
        self.assertEqual(result.stderr.strip(), quoted.strip())

    def test_every_runbook_is_there(self):
        for name in ("won't start", "401s", "403s", "429s", "clock skew", "backend down", "stale list", "audit", "rollback"):
            self.assertIn(f"\n#### Runbook: {name}\n", self.chapter)

    def test_every_file_that_is_named_exists(self):
        for path in re.findall(r"\]\(([^)#:]+)\)", self.chapter) + re.findall(r"(?:scripts|deploy)/[\w./-]*\w", self.chapter):
            self.assertTrue((ROOT / path).exists(), path)


if __name__ == "__main__":
    unittest.main()

"""Dockerfile and deploy/combined/Dockerfile: hadolint, and what is promised of the images."""

import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = [ROOT / "Dockerfile", ROOT / "deploy/combined/Dockerfile"]


def lint(*arguments, text=None):
    command = [os.environ["HADOLINT"], *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


class Images(unittest.TestCase):
    def test_hadolint_finds_nothing(self):
        result = lint(*FILES)
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_mistakes_are_caught(self):
        text = FILES[0].read_text()
        for right, wrong in (("USER 65532:65532", "USER root"), ("COPY . .", "ADD . ."), ("WORKDIR /src", "WORKDIR src"),
                             ('CMD ["serve"]', "CMD serve"), ("COPY . .", "CPY . .")):
            with self.subTest(wrong):
                self.assertIn(right, text)
                self.assertNotEqual(lint("-", text=text.replace(right, wrong)).returncode, 0)

    def test_both_run_as_nobody_stop_by_sigterm_and_check_their_own_health(self):
        for file in FILES:
            with self.subTest(file.name):
                last = file.read_text().rsplit("\nFROM ", 1)[1]
                self.assertRegex(last, r"(?m)^USER 65532:65532$")
                self.assertRegex(last, r"(?m)^STOPSIGNAL SIGTERM$")
                self.assertRegex(last, r'(?m)^HEALTHCHECK .*"[^"]*/toolbridge", "health"\]$')
                self.assertRegex(last, r'(?m)^ENTRYPOINT \["')

    def test_the_audit_is_off_where_no_volume_is_mounted(self):
        for file in FILES:
            with self.subTest(file.name):
                lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
                self.assertNotIn("TOOLBRIDGE_AUDIT", "\n".join(lines))
                self.assertNotIn("VOLUME", "\n".join(lines), "one that nobody named is kept for nobody")

    def test_dependencies_are_compiled_before_the_sources_are_there(self):
        text = FILES[0].read_text()
        manifest, first, sources = (text.index(each) for each in ("COPY Cargo.toml", "cargo build", "COPY . ."))
        self.assertLess(manifest, first)
        self.assertLess(first, sources)

    def test_the_image_has_the_version_of_the_product(self):
        [version] = re.findall(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        self.assertIn(f"ARG VERSION={version}\n", FILES[0].read_text())

    def test_nothing_but_sources_reaches_the_builder(self):
        lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
        self.assertEqual(lines[0], "*")
        self.assertNotIn("secret", " ".join(lines).lower())


if __name__ == "__main__":
    unittest.main()

"""What a file that ships toolbridge says about the audit: the product's own settings, and how much of a volume they take."""

import pathlib
import re
import tomllib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "Gi": 1 << 30, "gb": 10**9}


def size(text):
    number, unit = re.fullmatch(r"(\d+) ?([A-Za-z]+)", text).groups()
    return int(number) * BYTES[unit]


def most_bytes(env):
    """Of all its files: those that were rotated, and the one that grows."""
    return (int(env["TOOLBRIDGE_AUDIT__KEEP"]) + 1) * size(env["TOOLBRIDGE_AUDIT__MAX_SIZE"])


def settings(env):
    return {name: value for name, value in env.items() if name.startswith("TOOLBRIDGE_AUDIT__")}


def shipped():
    """The settings of each file that switches the audit on, as its platform hands them over."""
    fly = tomllib.loads((ROOT / "fly.toml").read_text())["env"]
    objects = yaml.safe_load_all((ROOT / "deploy/kubernetes/toolbridge.yaml").read_text())
    [pod] = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "StatefulSet"]
    kubernetes = {each["name"]: each.get("value") for each in pod["initContainers"][0]["env"]}
    unit = (ROOT / "deploy/systemd/toolbridge.service").read_text().replace("%S", "/var/lib")
    systemd = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    return {"fly": settings(fly), "kubernetes": settings(kubernetes), "systemd": settings(systemd)}

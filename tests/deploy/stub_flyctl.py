#!/usr/bin/env python3
"""Stands in for flyctl: remembers apps, names of secrets and volumes in a file, and records argv and stdin of each call.

STUB_FOLDER is where; STUB_FAIL names a call that fails, such as `deploy` or `secrets deploy`."""

import json
import os
import pathlib
import sys

FOLDER = pathlib.Path(os.environ["STUB_FOLDER"])
STATE = FOLDER / "state.json"


def value_of(option):
    return sys.argv[sys.argv.index(option) + 1]


def main():
    words = sys.argv[1:]
    is_import = words[:2] == ["secrets", "import"]
    stdin = sys.stdin.read() if is_import else ""
    with open(FOLDER / "calls", "a") as calls:
        calls.write(json.dumps({"argv": words, "stdin": stdin}) + "\n")
    failing = os.environ.get("STUB_FAIL", "").split()
    if failing and words[: len(failing)] == failing:
        print("Error: the stub was told to fail", file=sys.stderr)
        return 1
    state = json.loads(STATE.read_text()) if STATE.exists() else {"apps": [], "secrets": {}, "volumes": []}
    match words[:2]:
        case ["apps", "list"]:
            print(json.dumps([{"ID": name, "Name": name} for name in state["apps"]], indent=2))
        case ["apps", "create"]:
            if words[2] in state["apps"]:
                return 1
            state["apps"].append(words[2])
        case ["secrets", "list"]:
            print(json.dumps([{"name": name, "digest": "0"} for name in state["secrets"]], indent=2))
        case ["secrets", "import"]:
            state["secrets"].update(line.split("=", 1) for line in stdin.splitlines())
        case ["secrets", "unset"]:
            for name in words[2 : words.index("--app")]:
                if state["secrets"].pop(name, None) is None:
                    return 1
        case ["volumes", "list"]:
            print(json.dumps([{"id": "vol_1", "name": name} for name in state["volumes"]]))
        case ["volumes", "create"]:
            state["volumes"].append(words[2])
        case ["secrets", "deploy"] | ["deploy", _]:
            pass
        case _:
            print(f"Error: unknown command {words}", file=sys.stderr)
            return 1
    STATE.write_text(json.dumps(state))
    return 0


sys.exit(main())

#!/usr/bin/env python3
"""Whether what operators copy out of deploy/ is right: units as systemd reads them, manifests as Kubernetes' schemas have them, the
configuration and the command lines in them as the programs read them (fault H16: a unit that listened on all addresses unprotected).

usage: check.py --agent FILE --hub FILE
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import kubernetes_validate
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
KUBERNETES = "1.33"
# Weaker than this is a step back (`systemd-analyze security`, 0 is best).
MOST_EXPOSED = 3.0


def fail(text):
    sys.exit(f"deploy: {text}")


def fields(unit, name):
    lines = unit.read_text().splitlines()
    return [line.split("=", 1)[1] for line in lines if line.startswith(f"{name}=")]


def units(programs, work):
    """Reads every unit with systemd itself, with the real programs in it."""
    if not shutil.which("systemd-analyze"):
        print("deploy: SKIPPED: units were not read by systemd: systemd-analyze is not installed")
        return
    for unit in sorted((DEPLOY / "systemd").glob("*.service")):
        text = unit.read_text()
        for name, path in programs.items():
            text = text.replace(f"/usr/bin/{name} ", f"{path} ")
        copy = work / unit.name
        copy.write_text(text)
        read = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
        said = read.stdout + read.stderr
        if read.returncode != 0 or copy.name in said:
            fail(f"{unit.name}: systemd says: {said}")
        rated = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", copy], capture_output=True, text=True, check=True
        )
        exposed = float(rated.stdout.split("Overall exposure level for")[1].split(":")[1].split()[0])
        if exposed > MOST_EXPOSED:
            fail(f"{unit.name}: exposure {exposed}, at most {MOST_EXPOSED}")
        print(f"deploy: {unit.name}: read by systemd, exposure {exposed}")


def starts(command, work, token):
    """Runs a unit's command line for a second: it listens as it says, and is content with what the unit gives it."""
    words = [word.replace("%d/token", str(token)) for word in command]
    moved = {"/var/lib/lightship-hub": str(work / "hub"), "127.0.0.1:8080": "127.0.0.1:0", "0.0.0.0:7443": "0.0.0.0:0"}
    words = [moved.get(word, word) for word in words]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    ended = process.poll()
    if ended is None:
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    if ended is not None:
        fail(f"{' '.join(words)}: ended with {ended}: {said}")


def manifests(programs, work):
    """Checks every manifest, and what is written in them for the programs."""
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
        for document in documents:
            try:
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
            except kubernetes_validate.ValidationError as error:
                fail(f"{path.name}: {document['kind']}: {error.message} at {list(error.path)}")
            if document["kind"] == "ConfigMap":
                configuration(document["data"]["lightship.yaml"], programs["lightship"], work)
            if document["kind"] in ("DaemonSet", "StatefulSet"):
                containers(document, path, programs)
        print(f"deploy: {path.name}: {len(documents)} objects are those of Kubernetes {KUBERNETES}")


def configuration(text, program, work):
    file = work / "lightship.yaml"
    for name in ("ca.pem", "token"):
        text = text.replace(f"/etc/lightship-secret/{name}", str(work / name))
    file.write_text(text.replace("/var/lib/lightship", str(work / "data")))
    environment = {**os.environ, "NODE_NAME": "node-1"}
    read = subprocess.run([program, "check", "--config", file], capture_output=True, text=True, env=environment, check=False)
    if read.returncode != 0:
        fail(f"the configuration in the manifest: {read.stdout}{read.stderr}")


def containers(document, path, programs):
    """Options in the arguments are options of the program; memory that it is given covers what it may take."""
    for container in document["spec"]["template"]["spec"]["containers"]:
        program = programs[container["name"]]
        command = [program, "help", "run"] if container["name"] == "lightship" else [program, "run", "--help"]
        known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for option in (word for word in container["args"] if word.startswith("--")):
            if option not in known:
                fail(f"{path.name}: {container['name']} has no option {option}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True, type=pathlib.Path)
    parser.add_argument("--hub", required=True, type=pathlib.Path)
    options = parser.parse_args()
    programs = {"lightship": options.agent.resolve(), "lightship-hub": options.hub.resolve()}
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        token = work / "token"
        token.write_text("dG9rZW4")
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        made += ["-subj", "/CN=ca", "-keyout", work / "key.pem", "-out", work / "ca.pem"]
        subprocess.run(made, check=True, capture_output=True)
        units(programs, work)
        command = fields(DEPLOY / "systemd" / "lightship-hub.service", "ExecStart")[0].split()
        starts([str(programs["lightship-hub"]), *command[1:]], work, token)
        print("deploy: the hub starts with its unit's command line")
        manifests(programs, work)


if __name__ == "__main__":
    main()

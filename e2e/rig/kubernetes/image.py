#!/usr/bin/env python3
"""Writes an image without a container engine: an archive as `docker save` writes it, which all container runtimes load.

    image.py ARCHIVE NAME ROOT DOCKERFILE

ROOT becomes its one layer. How it is started is what the last stage of DOCKERFILE says. The same files give the same image.
"""

import hashlib
import io
import json
import os
import platform
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def layer(root):
    """All files below a folder, owned by root and without times."""

    def plain(entry):
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                archive.add(path, os.path.relpath(path, root), recursive=False, filter=plain)
    return buffer.getvalue()


def settings(dockerfile):
    """What the last stage says of how a container is started."""
    found = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]}
    for line in dockerfile.rpartition("\nFROM ")[2].splitlines()[1:]:
        instruction, _, rest = line.partition(" ")
        match instruction:
            case "" | "#" | "COPY":
                pass
            case "ENV":
                found["Env"].append(rest)
            case "WORKDIR":
                found["WorkingDir"] = rest
            case "USER":
                found["User"] = rest
            case "ENTRYPOINT":
                found["Entrypoint"] = json.loads(rest)
            case _:
                sys.exit(f"image.py knows no {instruction}")
    return found


def main():
    target, name, root, dockerfile = sys.argv[1:]
    content = layer(root)
    with open(dockerfile, encoding="utf-8") as file:
        started = settings("\n" + file.read())
    digest = hashlib.sha256(content).hexdigest()
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": started,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    config = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    written = target + ".new"
    with tarfile.open(written, mode="w", format=tarfile.GNU_FORMAT) as archive:
        parts = [(config_name, config), (f"{digest}/layer.tar", content), ("manifest.json", json.dumps(manifest).encode())]
        for path, data in parts:
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    os.replace(written, target)


main()

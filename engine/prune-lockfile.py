"""Takes node-llama-cpp's optional prebuilt binaries out of package-lock.json (README.md says why)."""

import json
import pathlib

path = pathlib.Path(__file__).with_name("package-lock.json")
lock = json.loads(path.read_text())
packages = lock["packages"]
packages["node_modules/node-llama-cpp"].pop("optionalDependencies", None)
for name in [name for name in packages if name.startswith("node_modules/@node-llama-cpp/")]:
    del packages[name]
path.write_text(json.dumps(lock, indent=2) + "\n")

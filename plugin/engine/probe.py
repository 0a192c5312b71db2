"""Which Python is this, and which of the engine's packages does it have?

Run as a script by the interpreter in question, so its syntax is that of any Python, however old. It imports none of the
packages: their names and versions are looked up, which takes a tenth of a second instead of seconds. It prints one line
of JSON.
"""

# mypy: ignore-errors
# (annotations would be a syntax error in an old Python)

import json
import sys

# The name to import and the name to install; the same as `dependencies` in pyproject.toml.
PACKAGES = [
    ("affine", "affine"),
    ("filelock", "filelock"),
    ("geopandas", "geopandas"),
    ("jinja2", "jinja2"),
    ("matplotlib", "matplotlib"),
    ("numpy", "numpy"),
    ("pandas", "pandas"),
    ("PIL", "pillow"),
    ("psutil", "psutil"),
    ("pyarrow", "pyarrow"),
    ("pyogrio", "pyogrio"),
    ("pyproj", "pyproj"),
    ("rasterio", "rasterio"),
    ("requests", "requests"),
    ("rich", "rich"),
    ("safetensors", "safetensors"),
    ("sklearn", "scikit-learn"),
    ("scipy", "scipy"),
    ("shapely", "shapely"),
    ("threadpoolctl", "threadpoolctl"),
    ("torch", "torch"),
    ("torchvision", "torchvision"),
    ("typer", "typer"),
    ("urllib3", "urllib3"),
]


def look_up():
    """Version by package, None where it is missing; and the torch that torchvision asks for ("" if it does not say)."""
    import importlib.metadata
    import importlib.util

    versions = {}
    for module, package in PACKAGES:
        spec = importlib.util.find_spec(module)
        # Without an origin it is only a folder that an uninstallation left behind.
        if spec is None or spec.origin is None:
            versions[package] = None
            continue
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = ""
    wanted = ""
    if versions["torchvision"]:
        for line in importlib.metadata.requires("torchvision") or []:
            name, equal, version = line.partition("==")
            if equal and name.strip(" (") == "torch":
                wanted = version.split(";")[0].strip(" )")
    return versions, wanted


def main():
    """Print what was found."""
    del sys.path[0]  # the folder of this script, whose files are not packages
    versions, wanted = look_up()
    found = {
        "probe": "quadrat",
        "python": list(sys.version_info[:3]),
        "versions": versions,
        "torchvision_wants": wanted,
    }
    sys.stdout.write(json.dumps(found) + "\n")


main()

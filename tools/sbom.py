"""Write the software bill of materials in CycloneDX format: `make sbom`.

    python tools/sbom.py > dist/chargeback.cdx.json

It lists the Python packages of `requirements/runtime.lock` with their hashes, and the GraphiQL
packages of `vendor.json`. The licences come from the metadata of the installed packages.
"""

import base64
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from app import __version__

ROOT = Path(__file__).parents[1]
_LOCK = ROOT / "requirements/runtime.lock"
_VENDORED = ROOT / "app/web/static/vendor.json"


def build_bom() -> Bom:
    """Return the service with every package that is installed or shipped with it."""
    service = Component(
        name="chargeback-admin-api",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="chargeback-admin-api",
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
    )
    bom = Bom(components=[*_iter_python_packages(), *_iter_vendored_packages()])
    bom.metadata.component = service
    bom.register_dependency(service, bom.components)
    return bom


def _iter_python_packages() -> Iterator[Component]:
    for entry in re.split(r"\n(?=\S)", _LOCK.read_text(encoding="utf-8")):
        match = re.match(r"([\w.-]+)==([^\s;\\]+)", entry)
        if match is None:
            continue
        name, version = match.groups()
        hashes = [
            HashType(alg=HashAlgorithm.SHA_256, content=digest)
            for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
        ]
        yield _create_component(
            PackageURL("pypi", name=name, version=version), hashes, _read_licence(name)
        )


def _iter_vendored_packages() -> Iterator[Component]:
    for package in json.loads(_VENDORED.read_text(encoding="utf-8"))["packages"]:
        group, _, name = package["name"].rpartition("/")
        digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
        yield _create_component(
            PackageURL("npm", namespace=group or None, name=name, version=package["version"]),
            [HashType(alg=HashAlgorithm.SHA_512, content=digest)],
            package["licence"],
        )


def _create_component(purl: PackageURL, hashes: list[HashType], licence: str | None) -> Component:
    return Component(
        name=purl.name,
        group=purl.namespace,
        version=purl.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=hashes,
        licenses=[DisjunctiveLicense(name=licence)] if licence else [],
    )


def _read_licence(name: str) -> str | None:
    """Return the licence in a package's metadata; None if it is missing, long or unavailable."""
    try:
        fields = metadata(name)
    except PackageNotFoundError:
        return None
    for field in ("License-Expression", "License"):
        if fields.get(field) and "\n" not in fields[field]:
            return fields[field]
    licences = [
        line.rpartition(" :: ")[2]
        for line in fields.get_all("Classifier", [])
        if line.startswith("License ::")
    ]
    return licences[0] if licences else None


if __name__ == "__main__":
    sys.stdout.write(JsonV1Dot6(build_bom()).output_as_string(indent=2) + "\n")

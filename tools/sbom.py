"""Writes what the service is made of, as a CycloneDX document: `make sbom`.

    python tools/sbom.py > dist/chargeback.cdx.json

The Python packages are those of `requirements/runtime.lock` with the hashes by which they are
installed; the files of GraphiQL those of `vendor.json`. Licences are those that the installed
packages state.
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


def bill_of_materials() -> Bom:
    """The service, and every package that is installed or shipped with it."""
    service = Component(
        name="chargeback-admin-api",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="chargeback-admin-api",
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
    )
    bom = Bom(components=[*_python_packages(), *_vendored_packages()])
    bom.metadata.component = service
    bom.register_dependency(service, bom.components)
    return bom


def _python_packages() -> Iterator[Component]:
    for entry in re.split(r"\n(?=\S)", _LOCK.read_text(encoding="utf-8")):
        found = re.match(r"([\w.-]+)==([^\s;\\]+)", entry)
        if found is None:
            continue
        name, version = found.groups()
        hashes = [
            HashType(alg=HashAlgorithm.SHA_256, content=digest)
            for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
        ]
        yield _library(PackageURL("pypi", name=name, version=version), hashes, _licence(name))


def _vendored_packages() -> Iterator[Component]:
    for package in json.loads(_VENDORED.read_text(encoding="utf-8"))["packages"]:
        group, _, name = package["name"].rpartition("/")
        digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
        yield _library(
            PackageURL("npm", namespace=group or None, name=name, version=package["version"]),
            [HashType(alg=HashAlgorithm.SHA_512, content=digest)],
            package["licence"],
        )


def _library(purl: PackageURL, hashes: list[HashType], licence: str | None) -> Component:
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


def _licence(name: str) -> str | None:
    """What the package states; None when it is not installed here, or states nothing short."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return None
    for field in ("License-Expression", "License"):
        if stated.get(field) and "\n" not in stated[field]:
            return stated[field]
    classified = [
        line.rpartition(" :: ")[2]
        for line in stated.get_all("Classifier", [])
        if line.startswith("License ::")
    ]
    return classified[0] if classified else None


if __name__ == "__main__":
    sys.stdout.write(JsonV1Dot6(bill_of_materials()).output_as_string(indent=2) + "\n")

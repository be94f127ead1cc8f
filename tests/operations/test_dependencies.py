"""Dependencies are locked by hash, listed in a bill of materials and audited."""

import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from packageurl import PackageURL

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
SHA256 = "0" * 64


def read_lock(lock: Path) -> dict[str, str]:
    """Return the entries of a lock file by package name."""
    entries = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").strip())
    return {entry.partition("==")[0]: entry for entry in entries}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_is_locked_to_one_version_by_hash(lock: Path) -> None:
    for name, entry in read_lock(lock).items():
        assert re.match(rf"{re.escape(name)}==\S+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}$", entry, re.MULTILINE), entry
        assert "://" not in entry


def test_the_bill_of_materials_lists_every_package() -> None:
    completed = subprocess.run(
        (sys.executable, "tools/sbom.py"), cwd=ROOT, capture_output=True, check=True
    )
    document = orjson.loads(completed.stdout)
    vendored = orjson.loads((ROOT / "app/web/static/vendor.json").read_bytes())["packages"]

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    components = document["components"]
    purls = [PackageURL.from_string(component["purl"]) for component in components]
    listed = {(each.type, "/".join(filter(None, (each.namespace, each.name)))) for each in purls}
    assert listed == {
        *(("pypi", name) for name in read_lock(ROOT / "requirements/runtime.lock")),
        *(("npm", package["name"]) for package in vendored),
    }
    assert all(component["hashes"] for component in components)


@contextmanager
def serve_vulnerabilities(response: bytes) -> Iterator[str]:
    """Run a fake OSV database that sends the same response to every query; yield its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(response)))
            self.end_headers()
            self.wfile.write(response)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run_audit(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Audit a lock with one package against an OSV database."""
    lock = folder / "some.lock"
    lock.write_text(f"idna==3.20 \\\n    --hash=sha256:{SHA256}\n")
    return subprocess.run(
        (sys.executable, "tools/audit.py", "--osv-url", url, str(lock)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_audit_without_a_reachable_database_prints_that_and_passes(tmp_path: Path) -> None:
    audit = run_audit("http://127.0.0.1:1", tmp_path)

    assert (audit.returncode, audit.stdout) == (
        0,
        "audit: nothing was checked: no database of vulnerabilities can be reached.\n",
    )


def test_an_audit_without_findings_prints_the_number_of_packages(tmp_path: Path) -> None:
    with serve_vulnerabilities(b"{}") as url:
        audit = run_audit(url, tmp_path)

    assert (audit.returncode, audit.stdout) == (
        0,
        "audit: 1 packages, 0 known vulnerabilities.\n",
    )


def test_an_audit_that_finds_a_vulnerability_names_it_and_fails(tmp_path: Path) -> None:
    affected = {
        "package": {"name": "idna", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}],
    }
    known = {"vulns": [{"id": "PYSEC-0000-1", "summary": "bad", "affected": [affected]}]}
    with serve_vulnerabilities(orjson.dumps(known)) as url:
        audit = run_audit(url, tmp_path)

    assert audit.returncode == 1
    assert audit.stdout.split("\n") == [
        "audit: 1 packages, 1 known vulnerabilities.",
        "audit: idna 3.20: PYSEC-0000-1, fixed in 9.9",
        "",
    ]

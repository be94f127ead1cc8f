#!/bin/sh
# Install the chargeback admin API from this bundle, without a network, or upgrade an existing install.
#
#   ./install.sh [FOLDER]      FOLDER defaults to /opt/chargeback; PYTHON selects the interpreter
#
# Each wheel is checked against its hash, so the same bundle always gives the same install.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=${1:-/opt/chargeback}
umask 022

"${PYTHON:-python3}" -m venv "$folder"
pip="$folder/bin/python -m pip --disable-pip-version-check --quiet"
$pip install --no-index --find-links "$here/wheels" --require-hashes --requirement "$here/requirements.txt"
$pip install --no-index --no-deps --force-reinstall "$here"/wheels/chargeback_admin_api-*.whl
"$folder/bin/chargeback" --version >/dev/null
echo "Installed chargeback $("$folder/bin/chargeback" --version) into $folder."
echo "Under systemd, as root: $folder/bin/chargeback systemd install"

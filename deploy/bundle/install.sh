#!/bin/sh
# Install the chargeback admin API from this bundle, without any network.
#
#   ./install.sh [FOLDER]      FOLDER: /opt/chargeback unless said; PYTHON names the python to use
#
# On an existing install it upgrades that. The same bundle gives the same install: each wheel is checked by its hash.
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

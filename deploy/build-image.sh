#!/usr/bin/env bash
# Build the image of the Dockerfile on a machine without Docker and without a registry of images: debootstrap makes
# the base, from the packages that the real one is made of, and buildah runs the Dockerfile's steps in chroots.
#
#   deploy/build-image.sh [TAG]       as root, on Debian with debootstrap, buildah and podman; TAG: chargeback
#
# The base is made once and kept as localhost/debian:base; remove that to make it anew. HTTP proxies are taken from
# the environment, the certificates that pip trusts from this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-chargeback}
base=localhost/debian:base
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! podman image exists "$base"; then
    suite=$(sed -nE '1,/^FROM/s/^FROM debian:([a-z]+)-.*/\1/p' Dockerfile)
    debootstrap --variant=minbase "$suite" "$scratch/root" >&2
    rm -rf "$scratch"/root/var/{lib/apt/lists,cache/apt/archives}/* "$scratch"/root/usr/share/{doc,info,locale,man}/*
    tar -C "$scratch/root" -c . | podman import - "$base" >&2
fi

printf '[global]\ncert = /run/ca.crt\n' >"$scratch/pip.conf"
buildah build --isolation chroot --format docker --from "$base" \
    --volume /etc/ssl/certs/ca-certificates.crt:/run/ca.crt:ro --volume "$scratch/pip.conf:/etc/pip.conf:ro" \
    --tag "localhost/$tag" .

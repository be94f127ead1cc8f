#!/usr/bin/env bash
# Build the image of the Dockerfile on a machine that has neither Docker nor access to an image registry. debootstrap
# builds the base image from Debian's packages; buildah runs the steps of the Dockerfile in chroots.
#
#   deploy/build-image.sh [TAG]       TAG defaults to chargeback
#
# Run it as root on Debian with debootstrap, buildah and podman. The base is kept as localhost/debian:base; remove it to
# rebuild it. The build uses the HTTP proxies of the environment and the CA certificates of this machine.
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

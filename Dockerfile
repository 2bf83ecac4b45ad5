# syntax=docker/dockerfile:1
# toolbridge as an image of one static binary, certificates and nothing else: below 20 MB, no shell, not root, and at home
# on a read-only root file system.
#
#   docker build -t toolbridge .             # or scripts/build-image, which also measures it and tries it
#   docker run --rm --read-only --cap-drop ALL -p 8001:8001 -v toolbridge-state:/var/lib/toolbridge \
#     -e TOOLBRIDGE_TENANT__ID=acme -e JWT_HS256_SECRET_FILE=… … toolbridge
#
# To put it beside a backend in the backend's own image: deploy/combined/Dockerfile.

# Where the compiler comes from; `scripts/build-image --from-debootstrap` makes one where no registry is at hand.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
# Static glibc: the final image has no libraries at all. Packed relocations: 0.6 MB less. `--target` keeps the flags away
# from build scripts; with it build/rustc adds nothing, and the binary is the one compiled for size (docs/performance.md).
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"

# The dependencies, in a layer of their own that is made anew only when the lock file changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY build/rustc build/rustc
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    rustc -vV | sed -n 's/^host: //p' > /host; \
    mkdir src; touch src/lib.rs; echo 'fn main() {}' > src/main.rs; \
    cargo build --release --locked --bin toolbridge --target "$(cat /host)"; \
    rm -r src

# Our own code. What was compiled above stands in for it; newer files make Cargo see that.
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    touch src/lib.rs src/main.rs; \
    cargo build --release --locked --bin toolbridge --target "$(cat /host)"; \
    install -D -m 0755 "target/$(cat /host)/release/toolbridge" /image/toolbridge; \
    /image/toolbridge --version; \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt; \
    mkdir -p /image/etc/toolbridge /state; \
    echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin' > /image/etc/passwd; \
    echo 'nonroot:x:65532:' > /image/etc/group; \
    echo 'hosts: files dns' > /image/etc/nsswitch.conf

FROM scratch
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="toolbridge" \
      org.opencontainers.image.description="Per-tenant MCP sidecar: a declarative tools.yaml in front of your REST backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /image/ /
# What has to outlive the process, such as the names of writes under way: mount a volume here. Without one, and with a
# read-only root, the log warns that they are forgotten with the process. The audit is off, because it needs that volume:
# whoever mounts one says TOOLBRIDGE_AUDIT__FILE=/var/lib/toolbridge/audit.jsonl, as deploy/kubernetes does.
COPY --from=build --chown=65532:65532 /state /var/lib/toolbridge
# `toolbridge.toml`, if there is one, is read from here: mount it at /etc/toolbridge/toolbridge.toml.
WORKDIR /etc/toolbridge
# Inside a container the outside is another address; on a machine of your own both stay on 127.0.0.1.
ENV TOOLBRIDGE_SERVER__LISTEN=0.0.0.0:8001 \
    TOOLBRIDGE_OPS__LISTEN=0.0.0.0:9091 \
    STATE_DIRECTORY=/var/lib/toolbridge
# MCP; and health and metrics, for the platform only: never publish 9091.
EXPOSE 8001 9091
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/toolbridge", "health"]
# Exec form, so that SIGTERM reaches the process and running calls are finished before it ends.
ENTRYPOINT ["/toolbridge"]
CMD ["serve"]

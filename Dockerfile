# syntax=docker/dockerfile:1
# toolbridge as an image of one static binary, certificates and nothing else.
#
#   docker build -t toolbridge .
#   docker run --rm -p 8001:8001 -e TOOLBRIDGE_TENANT__ID=acme -e JWT_HS256_SECRET=… … toolbridge
#
# To put it beside a backend in the backend's own image: COPY --from=toolbridge /toolbridge /usr/local/bin/

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Static glibc: the final image has no libraries at all. `--target` keeps the flag away from build scripts.
# The mounts keep downloaded and compiled dependencies from one build to the next, so only our own code is built anew.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    set -eu; \
    host=$(rustc -vV | sed -n 's/^host: //p'); \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin toolbridge --target "$host"; \
    cp "target/$host/release/toolbridge" /toolbridge; \
    /toolbridge --version

# Certificates, /etc/passwd with an unprivileged user, /etc/nsswitch.conf, time zones: about 2 MB, and no shell.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /toolbridge /toolbridge
# `toolbridge.toml`, if there is one, is read from here: mount it at /etc/toolbridge/toolbridge.toml.
WORKDIR /etc/toolbridge
# Inside a container the outside is another address; on a machine of your own both stay on 127.0.0.1.
ENV TOOLBRIDGE_SERVER__LISTEN=0.0.0.0:8001 \
    TOOLBRIDGE_OPS__LISTEN=0.0.0.0:9091
# MCP; and health, for the platform's probes only: never publish 9091.
EXPOSE 8001 9091
USER nonroot
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 CMD ["/toolbridge", "health"]
# Exec form, so that SIGTERM reaches the process and running calls are finished before it ends.
ENTRYPOINT ["/toolbridge"]
CMD ["serve"]

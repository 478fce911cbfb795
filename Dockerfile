# The image: both programs, and nothing that they do not need. `docker build -t afterbay .`
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libssl-dev zlib1g-dev libzstd-dev pkg-config
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --locked --release --workspace --bins --exclude afterbay-e2e && \
    image/root.sh target/release /root-of-the-image

# What follows is read by e2e/rig/kubernetes/image.py too.
FROM scratch
COPY --from=build /root-of-the-image /
# OpenSSL and rustls look here for the authorities that the world trusts.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/afterbay"]

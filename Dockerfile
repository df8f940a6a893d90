# The images of Postern: one small image for each service, all from one shared build.
#
#   docker build --build-arg SERVICE=account -t localhost/postern/account .
#
# SERVICE is account, auth, delivery, pop3-gateway, smtp-gateway, control-panel, or postern (the operator's command). The
# stages up to `binaries` do not depend on it, so a second image costs one COPY.
#
# A site with a mirror of its own names other base images. BUILD_IMAGE must have Rust of rust-toolchain.toml and a C
# compiler, RUN_IMAGE the same glibc or a newer one, CA certificates and
# the time zones of tzdata; it needs neither a shell nor a package manager.
ARG BUILD_IMAGE=rust:1.95.0-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# What decides about the dependencies, and nothing else: the layers below change only with these files. The sources are
# replaced by empty ones, so that cargo has something to build.
FROM ${BUILD_IMAGE} AS manifests
WORKDIR /build
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete \
    && find . -mindepth 2 -name Cargo.toml -execdir mkdir -p src ';' -execdir touch src/lib.rs ';' \
        -execdir sh -c 'echo "fn main() {}" | tee src/main.rs build.rs >/dev/null' ';'

FROM ${BUILD_IMAGE} AS dependencies
WORKDIR /build
# No debug information: it would be most of the image. The log says where a failure was handled.
ENV CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_INCREMENTAL=0
COPY --from=manifests /build ./
RUN cargo build --release --locked --bins --workspace --exclude postern-tests --exclude postern-example-tool

FROM dependencies AS binaries
RUN find . -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf '{}' +
COPY . .
# cargo goes by the time of files; what was built of empty sources must not pass for the real thing.
# By their version the replicas of a house are told apart (`postern doctor`): what the site calls it, and a fingerprint of the sources.
ARG VERSION=0.1.0
RUN find . -path ./target -prune -o -name '*.rs' -exec touch '{}' + \
    && fingerprint=$(find . -path ./target -prune -o -type f -exec sha256sum '{}' + | sort | sha256sum | cut -c1-12) \
    && export POSTERN_BUILD_VERSION="$VERSION+$fingerprint" \
    && cargo build --release --locked --bins --workspace --exclude postern-tests --exclude postern-example-tool
# One tree for each image. `service` leads to its program; the program keeps its name, by which it knows its health port.
RUN for service in account auth delivery pop3-gateway smtp-gateway control-panel postern; do \
        program=postern-$service; if [ $service = postern ]; then program=postern; fi; \
        install -D -m 0755 target/release/$program /images/$service/usr/local/bin/$program; \
        ln -s $program /images/$service/usr/local/bin/service; \
        install -D -m 0644 -t /images/$service/usr/share/doc/postern LICENSE*; \
    done; \
    install -d -m 0750 /state/blobs

FROM ${RUN_IMAGE}
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="postern-${SERVICE}" \
      org.opencontainers.image.description="Postern, a mail platform: ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="Postern"
COPY --from=binaries /images/${SERVICE} /
# The one folder that may be written, by delivery only, and only where no S3 store is named; a volume takes its owner.
COPY --from=binaries --chown=10001:10001 /state /var/lib/postern
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/postern
STOPSIGNAL SIGTERM
# The program asks its own health door; the image needs no shell and no curl for it. A start may wait for a migration.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30m --retries=3 CMD ["/usr/local/bin/service", "health"]
ENTRYPOINT ["/usr/local/bin/service"]

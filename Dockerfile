# Puts the static binary of `make build-webhook` onto a base. There is no builder
# stage: the same binary is released, tested and put into the image.
#
#   make image                                   bin/<arch>/stayput-webhook for each platform first
#   docker build --build-arg BASE=scratch .      a base with nothing in it will do
ARG BASE=gcr.io/distroless/static-debian13:nonroot
FROM ${BASE}

# Set by BuildKit; the classic builder has the default.
ARG TARGETARCH=amd64
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stayput" \
      org.opencontainers.image.description="Keeps the names and the data of stateful workloads on Kubernetes" \
      org.opencontainers.image.url="https://stayput.dev" \
      org.opencontainers.image.documentation="https://stayput.dev" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Its name in the image stays, for what calls it by path.
COPY bin/${TARGETARCH}/stayput-webhook /stayput
# A number, so that the kubelet can tell that it is not root.
USER 65532:65532
EXPOSE 10250 8080 8081
ENTRYPOINT ["/stayput"]
CMD ["serve"]

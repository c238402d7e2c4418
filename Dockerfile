FROM python:3.14-slim-trixie AS page

WORKDIR /build
COPY requirements/node.txt requirements/node.txt
COPY tools tools
# If npm's registry is out of reach, the image is built all the same, and its page shows answers as plain text.
RUN mkdir -p vendor \
    && { { pip install --no-cache-dir --no-deps --require-hashes -r requirements/node.txt \
        && python tools/npm_packages.py page vendor; } \
        || echo "The page will show answers as plain text." >&2; }


FROM python:3.14-slim-trixie AS builder

WORKDIR /build
# The environment gets no pip of its own: the builder's installs into it.
RUN python -m venv --without-pip /opt/venv
COPY requirements/base.txt requirements/base.txt
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes -r requirements/base.txt

COPY app app
COPY --from=page /build/vendor app/web/vendor
COPY deploy/image/healthcheck.py healthcheck.py
# Every user can read the files, whatever the umask of the checkout was. The byte code stays valid if times change.
RUN chmod -R a+rX,go-w app healthcheck.py && python -m compileall -q --invalidation-mode unchecked-hash app


FROM python:3.14-slim-trixie

# VERSION is the one in pyproject.toml; only the build of a release knows REVISION, SOURCE and CREATED.
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
ARG CREATED=""
LABEL org.opencontainers.image.title="streaming-llm-chat" \
    org.opencontainers.image.description="Streams answers of LLMs and keeps conversations in Redis" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.created="$CREATED"

# HOME for users that /etc/passwd does not know: OpenShift chooses the user's number.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    APP_HOST=0.0.0.0 \
    APP_PORT=8000

WORKDIR /srv
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /build/app app
COPY --from=builder /build/healthcheck.py healthcheck.py

# A number, because Kubernetes' runAsNonRoot cannot look up a name. Any other number works as well: the files belong to
# root, every user can read them, and nothing is written but below /tmp. Group 0 is the group that OpenShift gives.
USER 10001:0
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-I", "healthcheck.py"]

# The exec form: the service is process 1, receives SIGTERM itself, and drains.
CMD ["python", "-m", "app"]

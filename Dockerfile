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
# Readable whatever the umask of the checkout was; byte code that stays valid whatever the files' times become.
RUN chmod -R a+rX,go-w app && python -m compileall -q --invalidation-mode unchecked-hash app


FROM python:3.14-slim-trixie

RUN groupadd --gid 10001 app \
    && useradd --uid 10001 --gid app --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin app

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    APP_HOST=0.0.0.0 \
    APP_PORT=8000

WORKDIR /srv
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /build/app app

# A number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
EXPOSE 8000

# http.client, as urllib would go through a proxy that the environment names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('APP_PORT') or 8000), timeout=2); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]

# The exec form: the service is process 1, gets SIGTERM itself, and drains.
CMD ["python", "-m", "app"]

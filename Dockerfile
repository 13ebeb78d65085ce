# The image of maim; docs/container.md says how to build and run it.
ARG PYTHON_IMAGE=python:3.12-slim

# ---- build: compiles what has no wheel; nothing of its tools reaches the image

FROM ${PYTHON_IMAGE} AS build

RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libmariadb-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/maim/app
COPY requirements.txt .
# The environment gets no pip of its own: nothing is installed into a running container.
RUN python -m venv --without-pip /opt/maim/venv \
    && python -m pip --python /opt/maim/venv/bin/python install --no-cache-dir --require-hashes -r requirements.txt

# Bytecode is written now, because the container's file system may be read-only. The checks fail the build
# when .dockerignore leaves out something that the application needs.
COPY . .
RUN /opt/maim/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash . \
    && MAIM_DATA_DIR=/tmp/check /opt/maim/venv/bin/python manage.py check

# ---- the image: Python, MariaDB's client library, an init, the environment, the application

FROM ${PYTHON_IMAGE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends libmariadb3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 maim \
    && useradd --uid 10001 --gid maim --no-create-home --home-dir /var/lib/maim --shell /usr/sbin/nologin maim \
    && install -d -o maim -g maim -m 0750 /var/lib/maim

COPY --from=build /opt/maim/venv /opt/maim/venv
COPY --from=build /opt/maim/app /opt/maim/app

ENV PATH=/opt/maim/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MAIM_PUBLIC_BIND=0.0.0.0:8880 \
    MAIM_INTERNAL_BIND=0.0.0.0:8000 \
    MAIM_DATA_DIR=/var/lib/maim \
    MAIM_LOG_FORMAT=json

WORKDIR /opt/maim/app
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
VOLUME /var/lib/maim
# Not 8000: whoever publishes all exposed ports must not publish the one without authentication.
EXPOSE 8880
STOPSIGNAL SIGTERM

# Both surfaces live. Whether the database and Redis answer is /ready's question, and no reason to restart this.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "\
from http.client import HTTPConnection\n\
from os import environ\n\
for bind in environ['MAIM_PUBLIC_BIND'], environ['MAIM_INTERNAL_BIND']:\n\
    connection = HTTPConnection(bind, timeout=2)\n\
    connection.request('GET', '/health', headers={'Host': 'localhost'})\n\
    if connection.getresponse().status != 200:\n\
        exit(1)\n\
"]

# An init, because a process 1 without a handler ignores SIGTERM, as Python would while it starts or migrates.
ENTRYPOINT ["tini", "--", "python", "manage.py"]
CMD ["serve"]

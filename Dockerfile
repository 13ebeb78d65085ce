# The image of maim; docs/container.md says how to build and run it.
ARG PYTHON_IMAGE=python:3.12-slim

# ---- build: compiles what has no wheel; nothing of its tools reaches the image

FROM ${PYTHON_IMAGE} AS build

RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libmariadb-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*

# The environment gets no pip of its own: nothing is installed into a running container.
COPY requirements.txt /build/
RUN python -m venv --without-pip /opt/maim/venv \
    && python -m pip --python /opt/maim/venv/bin/python install --no-cache-dir --require-hashes -r /build/requirements.txt

# The file system may be read-only later, so that the bytecode is written now. The checks fail the build
# when .dockerignore leaves out something that the application needs.
WORKDIR /opt/maim/app
COPY . .
RUN rm requirements.txt \
    && /opt/maim/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash . \
    && MAIM_DATA_DIR=/build/data /opt/maim/venv/bin/python manage.py check

# ---- the image: Python, MariaDB's client library, the environment, the application

FROM ${PYTHON_IMAGE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends libmariadb3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 maim \
    && useradd --uid 10001 --gid maim --no-create-home --home-dir /var/lib/maim --shell /usr/sbin/nologin maim \
    && install -d -o maim -g maim -m 0750 /var/lib/maim

COPY --from=build /opt/maim/venv /opt/maim/venv
COPY --from=build /opt/maim/app /opt/maim/app

ENV PATH=/opt/maim/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MAIM_PUBLIC_BIND=0.0.0.0:8880 \
    MAIM_INTERNAL_BIND=0.0.0.0:8000 \
    MAIM_DATA_DIR=/var/lib/maim \
    MAIM_LOG_FORMAT=json

WORKDIR /opt/maim/app
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
VOLUME /var/lib/maim
EXPOSE 8880 8000
STOPSIGNAL SIGTERM

# Both surfaces live. Whether the database and Redis answer is /ready's question, and no reason to restart this.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "\
from http.client import HTTPConnection\n\
from os import environ\n\
for bind in environ['MAIM_PUBLIC_BIND'], environ['MAIM_INTERNAL_BIND']:\n\
    connection = HTTPConnection(bind)\n\
    connection.request('GET', '/health', headers={'Host': 'localhost'})\n\
    if connection.getresponse().status != 200:\n\
        exit(1)\n\
"]

ENTRYPOINT ["python", "manage.py"]
CMD ["serve"]

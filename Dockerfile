# An image for all nodes of a Ray cluster: docker build -t clipmill:0.1.0 .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}

# KubeRay probes Ray with wget; the cluster launcher of Ray copies files with rsync.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates openssh-client procps rsync wget \
    && rm -rf /var/lib/apt/lists/*

# Packages change less often than code: this layer is built again only with them.
WORKDIR /opt/clipmill
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir manifests pipeline stages training \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt uv \
    && /opt/venv/bin/uv pip install --no-cache --compile-bytecode --python /opt/venv/bin/python \
        -c constraints.txt -e '.[s3,gs,cluster]'

COPY manifests manifests
COPY pipeline pipeline
COPY stages stages
COPY training training

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0
RUN uv pip install --no-cache --no-deps --python /opt/venv/bin/python -e . \
    && useradd --create-home clipmill \
    && cd / && clipmill --version
USER clipmill
CMD ["clipmill", "--help"]

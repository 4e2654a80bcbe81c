# The project in a container, from the same make targets as on any machine:
#
#     docker build -t in21k .
#     docker run --rm -v /path/to/raw:/raw:ro -v /path/to/out:/out in21k run /raw /out/work /out/dataset
#     docker run --rm --gpus all --ipc=host --entrypoint in21k-train -v /path/to/out:/out in21k pretrain /out/dataset …
ARG PYTHON_TAG=3.11-slim-bookworm
FROM python:${PYTHON_TAG}

# One stage: the compiler that builds pillow-simd is also the one that torch.compile runs, and next to PyTorch with CUDA
# the rest weighs nothing.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libjpeg-dev libwebp-dev make zlib1g-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home in21k

ENV PATH=/app/.venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app

# The packages first: a change in the code alone leaves this layer as it is.
COPY Makefile ./
COPY requirements requirements
COPY scripts scripts
RUN make deps

COPY . .
RUN make setup

USER in21k
WORKDIR /home/in21k
ENTRYPOINT ["in21k-prep"]

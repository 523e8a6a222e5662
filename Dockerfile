# The dashboard in a container. Build with --build-arg TORCH=cuda for the CUDA build of torch (default: cpu);
# where pip finds no CPU build, with --build-arg PIP_EXTRA_INDEX_URL as the Makefile says.
# Results and jobs live in /data: give it a volume.
FROM python:3.11-slim
ARG TORCH=cpu
ARG PIP_EXTRA_INDEX_URL
RUN apt-get update \
    && apt-get install -y --no-install-recommends make gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 atlas \
    && install -d -o atlas -g atlas /atlas /data
USER atlas
WORKDIR /atlas
COPY --chown=atlas:atlas Makefile requirements.txt ./
RUN make setup TORCH=${TORCH}
COPY --chown=atlas:atlas . .
ENV ATLAS_DATA=/data
ENV ATLAS_CACHE=/data/cache
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD [".venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD [".venv/bin/python", "server.py", "--host", "0.0.0.0", "--port", "8501"]

# One image for every process: `thumbstream api`, `thumbstream worker`, and the commands that look after them.

FROM python:3.12-slim-bookworm AS build
RUN python -m venv /opt/thumbstream
ENV PATH=/opt/thumbstream/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas ./schemas
COPY infra ./infra
COPY imaging ./imaging
COPY pipeline ./pipeline
COPY api ./api
COPY thumbstream ./thumbstream
RUN pip install --no-deps --no-build-isolation --no-index .

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin thumbstream \
    && install --directory --owner=thumbstream --group=thumbstream --mode=0700 /data
COPY --from=build /opt/thumbstream /opt/thumbstream
ENV PATH=/opt/thumbstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    THUMBSTREAM_DATA_DIR=/data \
    THUMBSTREAM_HTTP_HOST=0.0.0.0
WORKDIR /data
VOLUME /data
USER thumbstream
EXPOSE 8080
# The api's; a worker serves no HTTP and has a check of its own in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["thumbstream"]
CMD ["api"]

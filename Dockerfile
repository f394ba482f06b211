# docker build -t echo-stream .
# docker run --read-only --tmpfs /tmp --stop-timeout 40 -v echo-state:/var/lib/echo-stream \
#   echo-stream run --bootstrap-servers broker:9092 --topic events --budget 600
FROM python:3.13-slim AS build
# Torch without CUDA is a tenth of the size; for a GPU: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/echo-stream \
    && /opt/echo-stream/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY echo_stream echo_stream
COPY connectors connectors
COPY cli cli
RUN /opt/echo-stream/bin/pip install --no-cache-dir .

FROM python:3.13-slim
# A fixed number, so that volumes keep their owner from one image to the next.
RUN groupadd --gid 10001 echo-stream \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin echo-stream \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/echo-stream
COPY --from=build /opt/echo-stream /opt/echo-stream
ENV PATH=/opt/echo-stream/bin:$PATH \
    ECHO_STREAM_STATE=/var/lib/echo-stream \
    ECHO_STREAM_LOG_LEVEL=info \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/echo-stream
VOLUME /var/lib/echo-stream
STOPSIGNAL SIGTERM
# Warm-up, waiting for a broker and training are all healthy: only a run that is gone or hangs is not.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["echo-stream", "status", "--check"]
ENTRYPOINT ["echo-stream"]
CMD ["run"]

# One image for every service: `docker build -t hes .`, then `docker run hes run gateway`. It holds what requirements.txt
# pins, by hash: no gurux-dlms (GPL-2.0-only, see LICENSE), no embedded ClickHouse, nothing of the tests.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/hes
COPY requirements.txt ./
RUN /opt/hes/bin/pip install --require-hashes --no-deps -r requirements.txt
COPY pyproject.toml README.md LICENSE topology.yaml ./
COPY schemas ./schemas
COPY streams ./streams
COPY connectors ./connectors
RUN /opt/hes/bin/pip install --no-deps . && /opt/hes/bin/pip check

FROM python:3.11-slim
# The user and the one folder that can be written, as the chart has them.
RUN groupadd --gid 10001 hes && useradd --uid 10001 --gid hes --home-dir /var/lib/hes --create-home --shell /usr/sbin/nologin hes
COPY --from=build /opt/hes /opt/hes
ENV PATH=/opt/hes/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HES_HOME=/var/lib/hes
WORKDIR /var/lib/hes
USER 10001:10001
EXPOSE 4059/tcp 4059/udp 8080/tcp
ENTRYPOINT ["hes"]
CMD ["--help"]

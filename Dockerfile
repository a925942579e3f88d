# The build stage has the compiler's leftovers and pip's cache; only the virtual environment goes on.
FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY pexecutor ./pexecutor
RUN python -m venv /opt/pexecutor && /opt/pexecutor/bin/pip install --no-cache-dir '.[valkey,fast]'

FROM python:3.13-slim
COPY --from=build /opt/pexecutor /opt/pexecutor
ENV PATH="/opt/pexecutor/bin:$PATH"
RUN mkdir --mode=700 /var/lib/pexecutor && chown 65532:65532 /var/lib/pexecutor
ENV PEXECUTOR_DATA_DIR=/var/lib/pexecutor
VOLUME /var/lib/pexecutor
# A published port leads to an address that is not the loopback's. Whoever may reach it, only the engine knows: so it takes a
# token in a file of settings, or --allow-anonymous, to start (see docs/reference/running.md).
ENV PEXECUTOR_HOST=0.0.0.0
USER 65532:65532
EXPOSE 8080
# A drain takes up to 30 s and the stop 10 s more: run with --stop-timeout 45, or the engine kills it after 10 s.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('PEXECUTOR_PORT', '8080') + '/livez', timeout=3)"]
ENTRYPOINT ["pexecutor"]

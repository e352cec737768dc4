# Two images: `services` is what is measured and what drives it, `lab` adds the verbs, statistics and plots.
# No cache mounts and no heredocs: it must build with the classic builder of an old engine as well as with BuildKit.
ARG PYTHON_IMAGE=python:3.13.14-slim-trixie

# Packages first, code last: a change of the code reuses every layer up to the code.
FROM ${PYTHON_IMAGE} AS services-packages
RUN python3 -m venv /opt/installer && python3 -m venv --without-pip /opt/venv
COPY requirements/services.lock /requirements/
# What is taken out again: translations, the packages' own tests, their C sources, Django's admin pages. Nobody's here.
RUN /opt/installer/bin/pip --python /opt/venv install --quiet --no-cache-dir --disable-pip-version-check \
    --require-hashes --requirement /requirements/services.lock \
    && find /opt/venv -depth \( -type d -name tests -o -type d -path '*/django/*/locale/*' ! -path '*/locale/en*' \
    -o -name '*.po' -o -path '*/django/contrib/admin/static/*' -o -name '*.pyx' -o -name '*.pxd' \) -exec rm -r {} +

# One user for all of ours: they share the folder of targets, which a volume inherits from here.
FROM ${PYTHON_IMAGE} AS user
RUN mkdir /targets /run/lab && chown 10000:10000 /targets /run/lab
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/lab HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /lab

FROM user AS code
COPY locustfiles locustfiles
COPY services services
COPY waitlab waitlab
# A clone made with a umask such as 077 gives files that no other user may read.
RUN chmod -R go+rX . && python -m compileall -q .

FROM user AS services
COPY --from=services-packages /opt/venv /opt/venv
COPY --from=code /lab /lab
USER 10000:10000
CMD ["python", "-m", "waitlab.serve"]

FROM services-packages AS lab-packages
COPY requirements/lab.lock /requirements/
RUN /opt/installer/bin/pip --python /opt/venv install --quiet --no-cache-dir --disable-pip-version-check \
    --require-hashes --requirement /requirements/lab.lock

FROM user AS lab
COPY --from=lab-packages /opt/venv /opt/venv
COPY --from=code /lab /lab
USER 10000:10000
ENTRYPOINT ["python", "-m", "waitlab.cli"]

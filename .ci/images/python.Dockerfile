# Stands in for the official slim Python image: `python`, its venv module, no compiler, no pip outside a venv.
FROM waitlab-standin
RUN apt-get install -y -qq --no-install-recommends ca-certificates python3 python3-venv >/dev/null \
 && ln -s python3 /usr/bin/python
# A network whose proxy signs TLS anew is trusted here, in the stand-in, and never in the product's own Dockerfile.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
CMD ["python"]

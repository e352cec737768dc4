# Stands in for the official Prometheus image: Debian sid's 3.x and its promtool (a build without web page and OTLP).
FROM waitlab-standin
RUN apt-get install -y -qq --no-install-recommends busybox >/dev/null && ln -s busybox /bin/wget
WORKDIR /build
# A mirror may serve sid as it was some weeks ago: its signature is checked as ever, its date is not.
RUN sed 's/ trixie / sid /' /etc/apt/sources.list >/etc/apt/sources.list.d/sid.list \
 && apt-get update -qq -o Acquire::Check-Valid-Until=false \
 && apt-get download -qq prometheus/sid promtool/sid 2>/dev/null \
 && for deb in *.deb; do dpkg -x "$deb" x; done \
 && install x/usr/bin/prometheus x/usr/bin/promtool /bin/ \
 && rm -r /build/* /var/lib/apt/lists/* \
 && install -d -o 65534 -g 65534 /etc/prometheus /prometheus
USER 65534:65534
WORKDIR /prometheus
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]

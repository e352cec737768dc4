# Stands in for the official nginx image: uid 101, logs on standard output and error, Debian's binary.
FROM waitlab-standin
RUN groupadd -r -g 101 nginx \
 && useradd -r -u 101 -g nginx -d /nonexistent -s /usr/sbin/nologin nginx \
 && apt-get install -y -qq --no-install-recommends nginx-light >/dev/null \
 && ln -sf /dev/stdout /var/log/nginx/access.log \
 && ln -sf /dev/stderr /var/log/nginx/error.log
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]

"""`lab panels`: the dashboards without Grafana, asked of Prometheus and drawn into one page that needs no network."""

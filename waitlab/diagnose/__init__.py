"""What limits a service under its present load: looked at from outside for some seconds, and judged from figures."""

"""Django's ENGINE for the lab's PostgreSQL: Django's own, its pool measured and its failures bounded."""

"""The telemetry of this process: None until `start`, so that applications and wrappers work without it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waitlab.telemetry.worker import Worker

worker: "Worker | None" = None

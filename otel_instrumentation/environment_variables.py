"""Our variables as ``opentelemetry-instrument`` options: ``--mlp_stage`` for ``OTEL_MLP_STAGE``.

The salt is not among them: a command line can be read by everybody on the machine.
"""

from __future__ import annotations

from typing import Final

OTEL_MLP_STAGE: Final = "OTEL_MLP_STAGE"
OTEL_MLP_COMPONENT: Final = "OTEL_MLP_COMPONENT"
OTEL_MLP_TEAM: Final = "OTEL_MLP_TEAM"
OTEL_MLP_TRUSTED_HOSTS: Final = "OTEL_MLP_TRUSTED_HOSTS"
OTEL_MLP_SPOOL_FOLDER: Final = "OTEL_MLP_SPOOL_FOLDER"
OTEL_MLP_SPOOL_MAX_BYTES: Final = "OTEL_MLP_SPOOL_MAX_BYTES"
OTEL_MLP_SPOOL_MAX_AGE: Final = "OTEL_MLP_SPOOL_MAX_AGE"

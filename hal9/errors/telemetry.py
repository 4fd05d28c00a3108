"""Errors of telemetry."""

from dataclasses import dataclass

from hal9.errors.base import ConfigError, install_hint

__all__ = ["TelemetryExtraMissing", "TelemetryUrlInvalid"]


@dataclass(eq=False, kw_only=True)
class TelemetryExtraMissing(ConfigError):
    """Traces are wanted, and what sends them is not installed."""

    library: str

    def message(self) -> str:
        return (
            f"telemetry.otlp_url is set, and {self.library} is not installed: {install_hint('otel')} brings it; "
            "or set telemetry.otlp_url to null"
        )


@dataclass(eq=False, kw_only=True)
class TelemetryUrlInvalid(ConfigError):
    """The place traces go to is no URL."""

    url: str

    def message(self) -> str:
        return f"telemetry.otlp_url {self.url!r} is no http(s) URL, such as http://localhost:4318"

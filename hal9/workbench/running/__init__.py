"""Commands beside a copy: environment, sandbox, limits."""

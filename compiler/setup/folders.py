"""The folders that build.py makes in the project, all of them ignored by git."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = PROJECT / ".venv"
CACHE = PROJECT / ".cache"
SITE = PROJECT / "site"
WEB = PROJECT / "web"
REQUIREMENTS = PROJECT / "requirements"

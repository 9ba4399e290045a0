"""Downloads a checkpoint from the Hugging Face hub, or takes it from the local cache of earlier downloads."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import HfApi, ResolvedRevision, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.hf_api import RepoSibling

from compiler.checkpoint.gguf_split import text_models
from compiler.checkpoint.hub_file import fetch_file
from compiler.errors import GemletError

PART = r"[A-Za-z0-9][\w.-]*"
HUB_NAME = re.compile(rf"(?P<id>{PART}/{PART})(?:@(?P<revision>[\w./-]+))?(?::(?P<file>.+))?")
TEMPLATES = "additional_chat_templates/*.jinja"
WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.md", "LICENSE*")  # of a checkpoint that is no GGUF


@dataclass(frozen=True)
class HubCheckpoint:
    """path: a folder with config.json and safetensors, or a GGUF file (of a split one, the first part)."""

    path: Path
    hub_id: str
    revision: str  # the commit


def download(name: str) -> HubCheckpoint:
    """Downloads the checkpoint that HUB_NAME matches: `owner/name`, `owner/name@revision`, and either with `:file.gguf`.

    HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and HF_HOME are honoured by `huggingface_hub`; without the hub the local cache
    answers. Raises GemletError where the model, the revision, the file or the network is not there, or access is refused.
    """
    match = HUB_NAME.fullmatch(name)
    hub_id, revision, file = match["id"], match["revision"], match["file"]
    at = f"{hub_id} at revision {revision}" if revision else hub_id
    with _errors_named(at):
        api = HfApi()
        resolved = api.resolve_revision(hub_id, revision=revision)
        commit = resolved.resolved
        listed = _list_files(api, hub_id, commit)
        if listed is None:
            folder = _cached_folder(hub_id, resolved)
            names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            chosen, gguf = choose_files(f"{at} in the local cache", names, file)
        else:
            chosen, gguf = choose_files(at, sorted(listed), file)
            paths = {name: fetch_file(hub_id, commit, listed[name]) for name in chosen}
            folder = paths[chosen[0]].parents[len(PurePosixPath(chosen[0]).parts) - 1]
    return HubCheckpoint(folder / chosen[0] if gguf else folder, hub_id, commit)


def choose_files(at: str, names: list[str], file: str | None) -> tuple[list[str], bool]:
    """Which of a repository's files make the checkpoint, and whether it is a GGUF one, whose first part then comes first.

    at: the repository, for messages. file: a GGUF file, or a part of one, that the user picked.
    """
    models = text_models(names)
    if file is None:
        top = [name for name in names if "/" not in name]
        if "config.json" in top and any(name.endswith(".safetensors") for name in top):
            templates = [name for name in names if fnmatch(name, TEMPLATES) and name.count("/") == 1]
            return [name for name in top if any(fnmatch(name, pattern) for pattern in WANTED)] + templates, False
        if len(models) == 1:
            return models.popitem()[1], True
        if not models:
            raise GemletError(f"{at}: holds neither config.json with safetensors nor a GGUF model.")
        choices = "".join(f"\n  {at.split()[0]}:{parts[0]}" for parts in models.values())
        raise GemletError(f"{at}: holds {len(models)} GGUF models; name one of them:{choices}")
    for parts in models.values():
        if file in parts:
            return parts, True
    found = ", ".join(parts[0] for parts in models.values()) or "none"
    raise GemletError(f"{at}: there is no GGUF model {file}; found {found}.")


def _list_files(api: HfApi, hub_id: str, commit: str) -> dict[str, RepoSibling] | None:
    """All files of the commit by path, or None where the hub is out of reach."""
    try:
        info = api.model_info(hub_id, revision=commit, files_metadata=True)
    except (httpx2.TransportError, OfflineModeIsEnabled):
        return None
    except HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        return None
    return {file.rfilename: file for file in info.siblings}


def _cached_folder(hub_id: str, revision: ResolvedRevision) -> Path:
    """The commit's folder in the cache, whose files are all whole. Reading it tells whether all are there."""
    return Path(snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=[]))


@contextmanager
def _errors_named(at: str) -> Iterator[None]:
    """Turns the library's errors into ours, which name the model and say what to do."""
    try:
        yield
    except GatedRepoError:
        raise GemletError(
            f"{at}: the hub wants its terms accepted first. Accept them on the model's page, then set HF_TOKEN."
        ) from None
    except RepositoryNotFoundError as error:
        raise GemletError(
            f"{at}: no such model on the hub, or a private one (status {error.response.status_code}). "
            "Check the name; for a private model set HF_TOKEN."
        ) from None
    except RevisionNotFoundError:
        raise GemletError(f"{at}: the model has no such revision. Give a branch, tag or commit that it has.") from None
    except (RevisionResolutionError, LocalEntryNotFoundError) as error:
        raise GemletError(
            f"{at}: the hub cannot be reached and the local cache does not hold the model. "
            f"Go online, or give a folder. ({str(error).splitlines()[0]})"
        ) from None
    except HfHubHTTPError as error:
        raise GemletError(f"{at}: the hub answered with an error: {str(error).splitlines()[0]}") from None
    except HFValidationError as error:
        raise GemletError(f"{at}: not a hub id: {error}") from None
    except httpx2.TransportError as error:
        raise GemletError(f"{at}: the connection to the hub broke off: {error}. Run the command again.") from None

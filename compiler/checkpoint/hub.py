"""Downloads a checkpoint from the Hugging Face hub, or takes it from the local cache of earlier downloads."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from compiler.errors import GemletError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.md", "LICENSE*"]
NESTED = ["*/*"]  # other formats of the same weights live in subfolders


def download_snapshot(hub_id: str, revision: str | None = None) -> tuple[Path, str]:
    """The folder with the checkpoint's files, and the commit that it is.

    HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and the hub's cache folder are honoured by `huggingface_hub`.
    Raises GemletError where the repository, the revision or the network is not there, or access is refused.
    """
    at = f"{hub_id} at revision {revision}" if revision else hub_id
    try:
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=WANTED, ignore_patterns=NESTED))
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
    except LocalEntryNotFoundError as error:
        raise GemletError(
            f"{at}: the hub cannot be reached and the local cache does not hold the model whole. "
            f"Go online, or give a folder. ({str(error).splitlines()[0]})"
        ) from None
    except HfHubHTTPError as error:
        raise GemletError(f"{at}: the hub answered with an error: {str(error).splitlines()[0]}") from None
    except HFValidationError as error:
        raise GemletError(f"{at}: not a hub id: {error}") from None
    return folder, folder.name  # the cache names a snapshot's folder by its commit

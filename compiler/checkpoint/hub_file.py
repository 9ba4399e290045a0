"""Downloads one file of the hub into its local cache: resumed after an interruption, taken only if its hash is right.

Departures from `huggingface_hub.hf_hub_download`: that begins anew in every run (its unfinished files have random names)
and trusts whatever has the right size. A cached file is called by its hash, so that a file which another program
downloaded is found here, and one that was downloaded here is found there.
"""

import hashlib
from pathlib import Path

import httpx2
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from compiler.errors import GemletError

BLOCK = 1 << 20


def fetch_file(hub_id: str, commit: str, file: RepoSibling) -> Path:
    """The file's place in the cache's folder of that commit, downloaded first where it is not there.

    What an interrupted download has left is kept beside its place and continued by the next. Raises GemletError where the
    connection breaks or the file is not the one that the hub's listing names, and HfHubHTTPError where the hub refuses it.
    """
    cached = try_to_load_from_cache(hub_id, file.rfilename, revision=commit)
    if isinstance(cached, str):
        return Path(cached)
    expected = file.lfs.sha256 if file.lfs else file.blob_id
    cache, repository = Path(constants.HF_HUB_CACHE), repo_folder_name(repo_id=hub_id, repo_type="model")
    blob = cache / repository / "blobs" / expected
    lock = cache / ".locks" / repository / f"{expected}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if not blob.is_file():
            _download(hub_id, commit, file, expected, blob)
    return Path(hf_hub_download(hub_id, file.rfilename, revision=commit))  # the file is there: this only links it


def _download(hub_id: str, commit: str, file: RepoSibling, expected: str, blob: Path) -> None:
    what = f"{hub_id}: {file.rfilename}"
    url = hf_hub_url(hub_id, file.rfilename, revision=commit, endpoint=constants.ENDPOINT)
    stated = get_hf_file_metadata(url, endpoint=constants.ENDPOINT)
    if (stated.etag, stated.size) != (expected, file.size):
        raise GemletError(
            f"{what}: the hub's listing says hash {expected} and {file.size} bytes, but the file's own answer says "
            f"{stated.etag} and {stated.size}. Try again later; if HF_ENDPOINT names a mirror, take another."
        )
    partial = blob.with_name(f"{expected}.incomplete")
    with open(partial, "ab") as stream:
        if stream.tell() > file.size:
            stream.truncate(0)
            stream.seek(0)
        try:
            http_get(
                url,
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers(),
                expected_size=file.size,
                displayed_filename=file.rfilename,
            )
        except HfHubHTTPError:
            raise
        except (httpx2.TransportError, OSError) as error:
            stream.flush()
            raise GemletError(
                f"{what}: the download broke off at {stream.tell()} of {file.size} bytes ({str(error).rstrip('.')}). "
                "Run the command again: it goes on from there."
            ) from None
    found = _hash(partial, file)
    if found != expected:
        partial.unlink()
        raise GemletError(
            f"{what}: the downloaded file has hash {found}; expected {expected}. It was deleted. "
            "Run the command again; if HF_ENDPOINT names a mirror, take another."
        )
    partial.replace(blob)


def _hash(path: Path, file: RepoSibling) -> str:
    """What the hub calls such a file by: SHA-256 of a large file, git's own hash (SHA-1) of a small one."""
    digest = hashlib.sha256() if file.lfs else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()

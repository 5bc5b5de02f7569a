"""Weight files from the Hugging Face Hub, where timm publishes its own: `hf://timm/efficientnet_b0.ra_in1k`."""

from __future__ import annotations

import re
from pathlib import Path

from keras_effnet.errors import WeightsError
from keras_effnet.extras import import_extra

PREFIX = "hf://"
_WORD = r"\w[\w.-]*"
_ADDRESS = re.compile(
    rf"hf://(?:(?P<owner>{_WORD})/)?(?P<name>{_WORD})(?:@(?P<revision>{_WORD}))?(?:/(?P<file>{_WORD}(?:/{_WORD})*))?"
)
_OWNER, _REVISION, _FILE = "timm", "main", "model.safetensors"


def hub_file(address: str) -> Path:
    """Finds a file of the Hub in its cache, and fetches it if it is not there.

    A file in the cache is taken without asking whether the Hub has a newer one, so that it serves without a network.

    Args:
        address: `hf://OWNER/NAME`, with `@REVISION` behind the name for another revision than "main", and `/FILE` for
            another file than `model.safetensors`; without an owner timm's.

    Returns:
        Path of the file in the cache.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        WeightsError: no address, or the file is neither in the cache nor can it be fetched: names both places.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise WeightsError(
            "an address of the Hub is hf://OWNER/NAME, with @REVISION and /FILE behind it where they are others than "
            f"{_REVISION} and {_FILE}.",
            received=f"weights={address!r}",
        )
    hub = import_extra("huggingface_hub", f"weights={address!r}")
    from huggingface_hub import constants, errors

    repository, file = f"{found['owner'] or _OWNER}/{found['name']}", found["file"] or _FILE
    revision = found["revision"] or _REVISION
    try:
        cached = hub.try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        return Path(hub.hf_hub_download(repository, file, revision=revision))
    except (errors.HfHubHTTPError, OSError, ValueError) as error:  # no such thing there; no network; no space
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{file} of {repository} could not be fetched: {reason} Without a network, copy {folder} from a machine "
            f"that has it, where `hf download {repository} {file}` makes it.",
            received=f"weights={address!r}",
        ) from error

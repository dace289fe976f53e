"""Pseudonyms: what stands for a patient in every output.

A plain hash of a patient number can be reversed by trying all numbers; a keyed one cannot. The key
lies in the user's configuration folder, never in a run.
"""

import functools
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

KEY_FILE = "pseudonym.key"


def pseudonym(identity: str) -> str:
    """The stand-in of an id: ``p`` and 12 hexadecimal digits of HMAC-SHA256.

    The same id has the same pseudonym in all audits of this user, and no one without the key can
    link it. The letter in front keeps spreadsheets from reading it as a number. What is written
    like a pseudonym stays as it is, so that samples of samples keep theirs.
    """
    if re.fullmatch(r"p[0-9a-f]{12}", identity):
        return identity
    digest = hmac.new(_key(config_folder()), identity.encode(), hashlib.sha256)
    return "p" + digest.hexdigest()[:12]


def config_folder() -> Path:
    """``$VOXAUDIT_CONFIG``, else ``$XDG_CONFIG_HOME/voxaudit``, else ``~/.config/voxaudit``."""
    named = os.environ.get("VOXAUDIT_CONFIG")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "voxaudit"


@functools.cache
def _key(folder: Path) -> bytes:
    """Read the key, or make one that only its owner can read; of two makers the first wins."""
    file = folder / KEY_FILE
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = folder / f".{KEY_FILE}.{secrets.token_hex(4)}"
    if not file.is_file():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_hex(32))
        try:
            os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return bytes.fromhex(file.read_text().strip())

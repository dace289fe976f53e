"""How a runner installs the voxaudit that writes its workflow: from where it came itself.

Source: PEP 610 (``direct_url.json``), https://packaging.python.org/specifications/direct-url
"""

import json
import re
import shlex
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

UNKNOWN = (
    "echo '::error::voxaudit init could not tell where a runner gets voxaudit from:"
    " put its pip install here, in .github/workflows/audit.yml'; exit 1"
)


class Install(NamedTuple):
    """A line of shell for the workflow, and what the user should know about it."""

    line: str
    notes: tuple[str, ...] = ()


def install_line(folder: Path) -> Install:
    """The line for a workflow in ``folder``, from how this voxaudit was installed.

    Args:
        folder: where the workflow is written; usually the top of a repository.
    """
    distribution = metadata.distribution("voxaudit")
    recorded = distribution.read_text("direct_url.json")
    origin = json.loads(recorded) if recorded else None
    return from_origin(origin, version=distribution.version, folder=folder)


def from_origin(origin: dict[str, Any] | None, *, version: str, folder: Path) -> Install:
    """The line for an origin as PEP 610 records it; None is a package index."""
    if origin is None:
        return Install(f"pip install voxaudit=={version}")
    place = urlsplit(origin["url"])
    if place.scheme == "file":
        source = Path(url2pathname(place.path))
        commit = origin.get("vcs_info", {}).get("commit_id")
        return _from_folder(source, commit, folder) if source.is_dir() else _unknown(source.name)
    public = without_credentials(origin["url"])
    if "vcs_info" not in origin:
        return _requirement(public)
    vcs = origin["vcs_info"]
    return _requirement(_at(vcs["vcs"], public, vcs["commit_id"], origin.get("subdirectory", "")))


def without_credentials(url: str) -> str:
    """The https address of a repository or file: no user, password, query or fragment.

    ``ssh://git@host/x`` and ``git@host:x`` become ``https://host/x``: a runner has no key.
    """
    short = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)", url)
    place = urlsplit(f"ssh://{short[1]}/{short[2]}" if short else url)
    host = place.netloc.rpartition("@")[2]
    scheme = place.scheme
    if scheme in ("ssh", "git"):
        scheme, host = "https", host.partition(":")[0]
    return urlunsplit((scheme, host, place.path, "", ""))


def workflow_note(folder: Path) -> tuple[str, ...]:
    """What to know if ``folder`` is not where GitHub reads workflows."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top and Path(top).resolve() != folder.resolve():
        return (
            "GitHub reads workflows at the top of a repository only: run voxaudit init there, "
            "or move .github there and set working-directory in it",
        )
    return ()


def _from_folder(source: Path, commit: str | None, folder: Path) -> Install:
    """A checkout on this machine: the repository itself, else what its remote is called."""
    top = _git(source, "rev-parse", "--show-toplevel")
    if top and top == _git(folder, "rev-parse", "--show-toplevel"):
        inside = _inside(source, top)
        return Install(f"pip install {shlex.quote(f'./{inside}')}" if inside else "pip install .")
    remotes = (_git(source, "remote") or "").split()
    name = "origin" if "origin" in remotes else next(iter(remotes), None)
    url = without_credentials(_git(source, "remote", "get-url", name) or "") if name else ""
    commit = commit or _git(source, "rev-parse", "HEAD")
    if not (top and commit and url.startswith(("https://", "http://"))):
        return _unknown(source.name)
    notes = []
    if not _git(source, "branch", "--remotes", "--contains", commit):
        notes.append(f"commit {commit[:12]} is not on its remote yet: push it")
    if _git(source, "status", "--porcelain", "--untracked-files=no"):
        notes.append("the runner gets the commit, not what is changed here since")
    return _requirement(_at("git", url, commit, _inside(source, top)), *notes)


def _inside(source: Path, top: str) -> str:
    """Where a folder lies in its repository; empty at the top."""
    inside = source.resolve().relative_to(Path(top).resolve())
    return inside.as_posix() if inside.parts else ""


def _at(vcs: str, url: str, commit: str, inside: str) -> str:
    return f"{vcs}+{url}@{commit}" + (f"#subdirectory={inside}" if inside else "")


def _requirement(url: str, *notes: str) -> Install:
    """A direct reference; what a shell or YAML could read as more than an address is refused."""
    if not re.fullmatch(r"[\w:/.@%+~#=-]+", url):
        return _unknown("its address")
    readable = f"the runner installs voxaudit from {url}: it must be able to read that"
    return Install(f'pip install "voxaudit @ {url}"', (readable, *notes))


def _unknown(name: str) -> Install:
    told = (
        f"voxaudit was installed from a folder or file on this machine ({name}) that no runner has:"
        " the workflow stops at 'Install' until you put there where to get it, such as"
        ' pip install "voxaudit @ git+https://HOST/OWNER/REPOSITORY@COMMIT"'
    )
    return Install(UNKNOWN, (told,))


def _git(folder: Path, *words: str) -> str | None:
    """What git says, None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

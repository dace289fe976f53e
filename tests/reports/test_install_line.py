"""The line that installs voxaudit on a runner, for every way it may have come here."""

import shutil
import subprocess

import pytest

from reports.install_line import from_origin, without_credentials, workflow_note

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A folder with one commit, as voxaudit would be installed from."""
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    source = tmp_path / "checkout"
    source.mkdir()
    git(source, "init")
    (source / "pyproject.toml").write_text("")
    git(source, "add", ".")
    git(source, "commit", "-m", "first")
    return source


def line_for(origin, folder):
    return from_origin(origin, version="0.1.0", folder=folder)


def test_from_an_index_it_is_the_version(tmp_path):
    assert line_for(None, tmp_path) == ("pip install voxaudit==0.1.0", ())


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (
            {"url": "https://anna:secret@git.example.org/a/voxaudit.git?token=secret",
             "vcs_info": {"vcs": "git", "commit_id": COMMIT, "requested_revision": "main"}},
            f"git+https://git.example.org/a/voxaudit.git@{COMMIT}",
        ),
        (
            {"url": "ssh://git@github.com/a/mono.git", "subdirectory": "tools/voxaudit",
             "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"git+https://github.com/a/mono.git@{COMMIT}#subdirectory=tools/voxaudit",
        ),
        (
            {"url": "https://files.example.org/voxaudit-0.1.0-py3-none-any.whl#sha256=ab",
             "archive_info": {}},
            "https://files.example.org/voxaudit-0.1.0-py3-none-any.whl",
        ),
    ],
)  # fmt: skip
def test_from_an_address_it_is_that_commit_or_file_without_credentials(
    tmp_path, origin, requirement
):
    install = line_for(origin, tmp_path)
    assert install.line == f'pip install "voxaudit @ {requirement}"'
    assert "secret" not in str(install)
    assert requirement in install.notes[0]


def test_an_address_that_a_shell_would_read_as_more_is_refused(tmp_path):
    for hostile in ("https://e.org/$(id).git", 'https://e.org/a".git', "https://e.org/${{ x }}"):
        origin = {"url": hostile, "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
        assert "exit 1" in line_for(origin, tmp_path).line


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("git@github.com:a/b.git", "https://github.com/a/b.git"),
        ("ssh://git@host:22/a/b.git", "https://host/a/b.git"),
        ("https://token@host:8443/a/b", "https://host:8443/a/b"),
        ("/srv/git/b.git", "/srv/git/b.git"),
        ("file:///srv/git/b.git", "file:///srv/git/b.git"),
    ],
)
def test_the_public_address_of_a_repository(url, public):
    assert without_credentials(url) == public


def test_inside_its_own_repository_the_checkout_is_installed(checkout):
    origin = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    assert line_for(origin, checkout) == ("pip install .", ())
    inner = checkout / "third party" / "voxaudit"
    inner.mkdir(parents=True)
    vendored = {"url": inner.as_uri(), "dir_info": {}}
    assert line_for(vendored, checkout).line == "pip install './third party/voxaudit'"


def test_a_folder_with_a_remote_is_its_commit_there(checkout, tmp_path):
    origin = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    git(checkout, "remote", "add", "origin", "https://anna:secret@git.example.org/a/voxaudit.git")
    head = git(checkout, "rev-parse", "HEAD")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = line_for(origin, elsewhere)
    address = f"git+https://git.example.org/a/voxaudit.git@{head}"
    assert install.line == f'pip install "voxaudit @ {address}"'
    assert any("push it" in note for note in install.notes)
    git(checkout, "update-ref", "refs/remotes/origin/main", "HEAD")
    (checkout / "pyproject.toml").write_text("[project]")
    notes = " ".join(line_for(origin, elsewhere).notes)
    assert "push it" not in notes
    assert "changed here since" in notes


@pytest.mark.parametrize("remote", [None, "/srv/git/voxaudit.git"])
def test_a_folder_that_no_runner_reaches_stops_the_job_and_says_what_to_put(
    checkout, tmp_path, remote
):
    if remote:
        git(checkout, "remote", "add", "origin", remote)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = line_for({"url": checkout.as_uri(), "dir_info": {}}, elsewhere)
    done = subprocess.run(["bash", "-e", "-c", install.line], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.startswith("::error::")
    assert "voxaudit @ git+https://" in install.notes[0]
    assert str(checkout) not in str(install)


def test_a_workflow_below_the_top_of_a_repository_is_noted(checkout):
    assert workflow_note(checkout) == ()
    below = checkout / "study"
    below.mkdir()
    assert "top of a repository" in workflow_note(below)[0]

"""The file that holds the password of the server: private from its first moment, or refused."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.server_password import FILE_NAME, server_password
from qpv_geo.errors import ConfigurationError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "accueil"


def test_one_password_is_made_for_each_installation_whatever_the_umask(tmp_path: Path, home: Path) -> None:
    before = os.umask(0)
    try:
        password = server_password(home)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, home / FILE_NAME)] == [0o700, 0o600]
    assert [path.name for path in home.iterdir()] == [FILE_NAME]
    assert (home / FILE_NAME).read_text(encoding="ascii") == f"{password}\n"
    assert server_password(home) == password
    assert server_password(tmp_path / "autre") != password
    user, _, secret = password.partition(":")
    assert user == "qpv-geo"
    assert len(secret) >= 40


def test_a_password_that_the_administrator_chose_is_taken(home: Path) -> None:
    server_password(home)
    (home / FILE_NAME).write_text("sig:une-phrase-assez-longue-42\n", encoding="ascii")
    assert server_password(home) == "sig:une-phrase-assez-longue-42"


def link(path: Path) -> None:
    path.rename(path.with_name("ailleurs"))
    path.symlink_to(path.with_name("ailleurs"))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "readable by the group": (lambda path: path.chmod(0o640), "0640.*chmod 600"),
    "writable by all": (lambda path: path.chmod(0o602), "0602.*chmod 600"),
    "in a folder that others enter": (lambda path: path.parent.chmod(0o755), "0755.*chmod 700"),
    "a link": (link, "plain file"),
    "a link to nothing": (lambda path: (path.unlink(), path.symlink_to("rien")), "plain file"),
    "a folder": (folder, "not a plain file"),
    "a pipe": (pipe, "not a plain file"),
    "empty": (lambda path: path.write_text(""), "one line user:password"),
    "without a user": (lambda path: path.write_text("x" * 40), "one line user:password"),
    "too short": (lambda path: path.write_text("qpv-geo:1234"), "one line user:password"),
    "not text": (lambda path: path.write_bytes(b"\xff" * 40), "one line user:password"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_file_that_is_not_private_and_whole_is_refused_with_what_to_do(case: str, home: Path) -> None:
    spoil, words = SPOILED[case]
    password = server_password(home)
    spoil(home / FILE_NAME)
    with pytest.raises(ConfigurationError, match=words) as raised:
        server_password(home)
    assert str(home) in str(raised.value)
    assert password not in str(raised.value)


def test_a_file_or_folder_of_another_account_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_password(home)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(ConfigurationError, match=r"belongs to user \d+, and this is user 4242"):
        server_password(home)


def test_a_home_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fichier").touch()
    with pytest.raises(ConfigurationError, match="fichier"):
        server_password(tmp_path / "fichier")
    with pytest.raises(ConfigurationError, match="fichier"):
        server_password(tmp_path / "fichier" / "accueil")

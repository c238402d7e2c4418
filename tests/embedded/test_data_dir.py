"""The folder of the embedded parts is its owner's alone."""

import stat
from pathlib import Path

import pytest

from app.embedded.data_dir import private_folder
from app.embedded.errors import EmbeddedError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "a" / "data")
    assert folder == tmp_path / "a" / "data"
    assert mode(folder) == 0o700


@pytest.mark.parametrize("files", [[], ["lock", "store.log", "model.log", "appendonlydir/file"]])
def test_a_folder_of_an_older_release_is_closed_to_other_users(tmp_path: Path, files: list[str]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert mode(private_folder(folder)) == 0o700


def test_a_folder_with_other_files_keeps_its_rights_and_stops_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "letters").touch()
    with pytest.raises(EmbeddedError) as error:
        private_folder(folder)
    assert str(error.value).startswith("EMBEDDED_DATA_DIR: expected a folder that only its owner may enter")
    assert str(error.value).endswith(f"chmod 700 {folder}")
    assert mode(folder) == 0o755


def test_a_folder_with_other_files_that_is_its_owners_alone_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    (folder / "letters").touch()
    assert private_folder(folder) == folder

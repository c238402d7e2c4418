"""The folder of the embedded parts, for its owner alone: data, logs and the store's socket."""

import stat
from pathlib import Path

from app.embedded.errors import EmbeddedError

_MODE = 0o700
_OWN_FILES = frozenset({"appendonlydir", "lock", "model.log", "store.log", "store.sock"})


def private_folder(data_dir: Path) -> Path:
    """Create the folder, or check the one that is there, and return its full path.

    A folder that other users may enter is closed to them if it holds nothing but the embedded parts' files.
    Another folder, such as a home directory, keeps its rights and is refused.

    Raises:
        EmbeddedError: It cannot be written, or other users may enter it.
    """
    try:
        # The store makes it its working directory, so a relative path would not do.
        data_dir = data_dir.resolve()
        data_dir.mkdir(parents=True, exist_ok=True, mode=_MODE)
        if _is_open_to_others(data_dir) and {path.name for path in data_dir.iterdir()} <= _OWN_FILES:
            data_dir.chmod(_MODE)
        (data_dir / "lock").touch(mode=0o600)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EmbeddedError(
            f"EMBEDDED_DATA_DIR: expected a folder that can be written, {data_dir}: {reason}"
        ) from None
    if _is_open_to_others(data_dir):
        raise EmbeddedError(
            f"EMBEDDED_DATA_DIR: expected a folder that only its owner may enter. Name another one, or type: "
            f"chmod 700 {data_dir}"
        )
    return data_dir


def _is_open_to_others(data_dir: Path) -> bool:
    return bool(stat.S_IMODE(data_dir.stat().st_mode) & ~_MODE)

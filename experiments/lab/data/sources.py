"""Fashion-MNIST in memory, from the first place that has it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lab.data import fetch, files, prepared
from lab.data.files import Arrays, DataError, FashionMNIST


def load(data_dir: Path | None = None, *, cache: Path | None = None) -> FashionMNIST:
    """Fashion-MNIST, checked bit for bit.

    The first start writes the four official files as a TFDS data set, which takes a
    second; later starts read that copy in a quarter. Without data_dir the sources are,
    in this order: the copy in the cache; the files that Debian's package installs; the
    official download; Debian's package, fetched without root.

    Args:
        data_dir: The only place to look in, for a prepared copy or for the four IDX
            files (.gz or unpacked). The copy is prepared there too if the folder can
            be written, in the cache otherwise.
        cache: The folder for prepared copies, TFDS_DATA_DIR or else
            ~/tensorflow_datasets unless it is given.

    Raises:
        DataError: No source has intact files, or the copy cannot be written.
    """
    if cache is None:
        usual = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        cache = Path(usual).expanduser()
    home = cache if data_dir is None else data_dir

    # first the prepared copy
    copy = prepared.copy_in(home)
    troubles = []
    try:
        return files.as_images(prepared.read(copy), f"prepared copy in {copy}")
    except OSError:
        pass  # there is none yet
    except DataError as error:
        troubles.append(str(error))
    damaged = bool(troubles)

    # then whoever has the four files; from them the copy for the next start
    for source, fetched in _sources(data_dir).items():
        try:
            arrays = fetched()
        except DataError as error:
            troubles.append(str(error))
            continue
        if damaged:
            shutil.rmtree(copy, ignore_errors=True)
            source += ", in place of a damaged copy"
        target = prepared.copy_in(home if os.access(home, os.W_OK) else cache)
        arrays = prepared.prepare(target, arrays)
        return files.as_images(arrays, f"{source}; prepared in {target}")

    if data_dir is not None:
        raise DataError("\n".join(troubles))
    raise DataError(
        "load found Fashion-MNIST nowhere:\n- "
        + "\n- ".join([f"{copy}: no intact prepared copy", *troubles])
        + "\nAny one of these helps:\n"
        f"- apt-get install {files.PACKAGE}\n"
        f"- download {', '.join(f'{name}.gz' for name in files.FILES)} from "
        f"{files.URL} on any machine, and name their folder with --data-dir\n"
        f"- bring {copy} from a machine where this has worked\n"
        "- connect this machine to the network and run again"
    )


def _sources(data_dir: Path | None) -> dict[str, Callable[[], Arrays]]:
    """Ways to get the four files, in the order in which they are tried."""
    if data_dir is not None:
        return {f"IDX files in {data_dir}": lambda: files.from_folder(data_dir)}
    return {
        f"IDX files in {fetch.INSTALLED}": lambda: files.from_folder(fetch.INSTALLED),
        f"download from {files.URL}": fetch.from_download,
        f"Debian's package {files.PACKAGE}": fetch.from_debian,
    }

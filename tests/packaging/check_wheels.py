"""Run by the nox session ``wheels`` where only the wheels are installed; takes what was built."""

import sys
import tarfile
from importlib.metadata import distribution, entry_points
from pathlib import Path
from zipfile import ZipFile

import mageflow
import mageflow_conformance
import mageflow_core


def metadata(built: Path) -> str:
    if built.suffix == ".whl":
        with ZipFile(built) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            return wheel.read(name).decode()
    with tarfile.open(built) as sdist:
        name = next(
            name for name in sdist.getnames() if name.count("/") == 1 and "PKG-INFO" in name
        )
        file = sdist.extractfile(name)
        assert file is not None
        return file.read().decode()


for argument in sys.argv[1:]:
    text = metadata(Path(argument))
    assert "file:" not in text, f"{argument} would have users install from a folder of its builder"
    print(f"{Path(argument).name}: metadata is fit to publish")

for module in mageflow, mageflow_core, mageflow_conformance:
    # An unrelated package of our name is on the index, and a folder of our name is in the checkout.
    assert module.__file__, f"{module.__name__} is not installed"
    assert Path(module.__file__).is_relative_to(sys.prefix), module.__file__
    assert (Path(module.__file__).parent / "py.typed").is_file(), f"{module.__name__}: no py.typed"

face = distribution("mageflow")
assert f"mageflow-core=={face.version}" in (face.requires or []), face.requires

for group in "mageflow.backends", "mageflow.stores", "pytest11":
    ours = [p for p in entry_points(group=group) if p.dist and p.dist.name.startswith("mageflow")]
    assert ours, f"nothing is registered for {group}"
    for point in ours:
        point.load()
        print(f"{group}: {point.name} loads from {point.value}")

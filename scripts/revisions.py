"""Revisions of this repository as folders of their own: what scripts that compare two revisions share."""

import contextlib
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def checkout(revision):
    """A clean clone of a revision in a temporary folder, without anything that was built before."""
    with tempfile.TemporaryDirectory(prefix="convmat-") as folder:
        clone = pathlib.Path(folder) / "convmat"
        subprocess.run(["git", "clone", "--quiet", "--no-checkout", ROOT, clone], check=True)
        subprocess.run(["git", "checkout", "--quiet", "--detach", revision], cwd=clone, check=True)
        yield clone

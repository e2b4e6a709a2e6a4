# SPDX-License-Identifier: Apache-2.0
"""The hook by which pbr reads setup.cfg; everything is said there."""

import os
import subprocess
import sys

import setuptools
from pbr import pbr_json

# It would be made from Git, which no source distribution has: without it, a
# wheel is the same from either.
pbr_json.write_pbr_json = lambda *_: None


def without_version() -> str | None:
    """Why pbr can't know the version here, where it would say less."""
    if os.environ.get("PBR_VERSION") or os.path.exists("PKG-INFO"):
        return None
    if not os.path.exists(".git"):
        return "this is neither a clone nor a source distribution"
    try:
        git = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - as pbr calls it
            capture_output=True,
            check=False,
            text=True,
        )
    except OSError as error:
        return f"git can't be run ({error.strerror})"
    return git.stderr.strip() if git.returncode else None


if why := without_version():
    sys.exit(
        f"error: the version is not known: {why}\n"
        "hint: install from a clone of the repository with git, or from a"
        " source distribution or a wheel, or say which version this is:"
        " PBR_VERSION=1.0.0 pip install ."
    )
setuptools.setup(setup_requires=["pbr>=6.1.0"], pbr=True)

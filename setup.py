# SPDX-License-Identifier: Apache-2.0
"""The hook by which pbr reads setup.cfg; everything is said there."""

import setuptools

setuptools.setup(setup_requires=["pbr>=7.1.0"], pbr=True)

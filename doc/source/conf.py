# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the documentation."""

import os
import sys

sys.path.insert(0, os.path.abspath("../ext"))
sys.path.insert(0, os.path.abspath("../../tools"))

project = "nova-vfio-variant"
copyright = "the nova-vfio-variant contributors"  # noqa: A001 - Sphinx's name

extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxconfiggen",
    "oslo_config.sphinxext",
    "sphinx.ext.autodoc",
    "sphinxcontrib.apidoc",
    "generated",
]

# The configuration sample is made anew, so that it can't be old.
config_generator_config_file = (
    "../../etc/nova-vfio/nova-vfio-config-generator.conf"
)
sample_config_basename = "_static/nova-vfio"

apidoc_module_dir = "../../nova_vfio_variant"
apidoc_output_dir = "reference/api"
# Alembic alone can import its environment.
apidoc_excluded_paths = ["tracker/migrations"]
apidoc_separate_modules = True
apidoc_toc_file = False
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "description"

autoprogram_cliff_application = "nova-vfio"

# What is pasted into a shell or a file has to be what stands there.
smartquotes = False

# The manual pages alone: sphinx-build -b man -t man
man_pages = [
    (f"man/{name}", name, summary, [], 1)
    for name, summary in (
        ("nova-vfio", "check, prepare, track and publish PCI devices"),
        ("nova-vfio-status", "look whether a new version finds all in order"),
    )
]
exclude_patterns = ["man"]
if tags.has("man"):  # noqa: F821 - Sphinx's own
    root_doc = "man/nova-vfio"
    include_patterns = ["man/**"]
    exclude_patterns = []
    extensions = ["generated"]
    # They stand in the repository, and change when what they say does.
    today = project

html_theme = "openstackdocs"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
# Without the theme's menu of OpenStack's other guides.
templates_path = ["_templates"]
html_theme_options = {
    "analytics_tracking_code": "",
    "display_badge": False,
    "root_title": project,
    "show_other_versions": False,
    # The page's own title stands above it.
    "sidebar_dropdown": "os_docs",
}
openstackdocs_auto_name = False
openstackdocs_pdf_link = False

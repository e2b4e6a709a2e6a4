# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the release notes."""

project = "nova-vfio-variant release notes"
copyright = "the nova-vfio-variant contributors"  # noqa: A001 - Sphinx's name

extensions = ["openstackdocstheme", "reno.sphinxext"]

smartquotes = False

html_theme = "openstackdocs"
templates_path = ["../../doc/source/_templates"]
html_theme_options = {
    "analytics_tracking_code": "",
    "display_badge": False,
    "root_title": project,
    "show_other_versions": False,
    "sidebar_dropdown": "os_docs",
}
openstackdocs_auto_name = False
openstackdocs_pdf_link = False

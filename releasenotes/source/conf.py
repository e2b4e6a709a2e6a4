# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the release notes."""

project = "nova-vfio-variant release notes"
copyright = "the nova-vfio-variant contributors"  # noqa: A001 - Sphinx's name

extensions = ["openstackdocstheme", "reno.sphinxext"]

html_theme = "openstackdocs"
html_theme_options = {
    "analytics_tracking_code": "",
    "display_badge": False,
    "root_title": project,
    "show_other_versions": False,
    "sidebar_dropdown": "",
}
openstackdocs_auto_name = False
openstackdocs_pdf_link = False

# SPDX-License-Identifier: Apache-2.0
"""What the project promises, as tests: unit, functional and what follows."""

import hypothesis

# How fast a machine is says nothing of the code.
hypothesis.settings.register_profile(
    "busy",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("busy")

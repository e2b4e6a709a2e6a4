# SPDX-License-Identifier: Apache-2.0
"""What the machine is, from made-up trees and archives."""

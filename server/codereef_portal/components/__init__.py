# SPDX-License-Identifier: Apache-2.0
"""Components and their immutable versions."""

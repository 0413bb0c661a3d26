# SPDX-License-Identifier: Apache-2.0
"""The HTTP client of a portal: pushing results, and the queue of those that wait. Speaks only `/api/v1`."""

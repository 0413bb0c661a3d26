# SPDX-License-Identifier: Apache-2.0
"""What a component is: references, versions, schemas, loading and linting.

Knows nothing of where components come from, of the machine or of the network.
"""

# SPDX-License-Identifier: Apache-2.0
"""Results of other tools, in and out: one module a format.

What is read becomes an external result (`codereef-external/1`), kept in a folder of its own. It is what somebody
else reported, so it is listed and shown, and never compared with or ranked among what was measured here.
What is written is made from results of the history and changes nothing of them.
"""

# SPDX-License-Identifier: Apache-2.0
"""Running a solution's program: the request it is handed, the process, and the result made of its response.

May start programs through `target` and read what is installed; never installs and never uploads.
"""

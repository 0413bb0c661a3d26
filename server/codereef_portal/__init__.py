# SPDX-License-Identifier: Apache-2.0
"""The portal: components and crowd results, served to people and to clients.

`codereef_portal.app.create_app` builds the application; `codereef_portal.serve.serve` runs it. One package a
domain (`components`, `results`, `boards`, `web`), each with the same files: `models` (tables), `service`
(what can be done, in a session), `api` (HTTP under `/api/v1`).
"""

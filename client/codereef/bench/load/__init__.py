# SPDX-License-Identifier: Apache-2.0
"""Load on a model: MLPerf's scenarios, the rules that end a measurement, and the verdict on it.

`core` sends queries and takes times; `rules` say when to stop; `plan` holds what a scenario asks for; `queries`
make queries of prepared inputs; `verdict` says whether the scenario's rules were kept; `driver` joins these, and
`mlperf` does the same through MLPerf LoadGen.
"""

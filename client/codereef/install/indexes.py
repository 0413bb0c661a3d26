# SPDX-License-Identifier: Apache-2.0
"""Gives uv the package indexes, certificates and proxies that the user has set for pip.

uv reads settings of its own only; a user behind a company index has usually set pip's. They travel in the
environment of the child process, never in an argument list, since they may hold credentials.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

# What may be set as PIP_<NAME> or `name = ...` in pip's configuration files.
_KEYS = ("index-url", "extra-index-url", "find-links", "no-index", "cert", "proxy", "trusted-host", "timeout")
_ALIASES = {"default-timeout": "timeout", "pypi-url": "index-url"}
_SYSTEM = Path("/etc/pip.conf")


def _files(environ: Mapping[str, str]) -> list[Path]:
    """Return pip's configuration files on POSIX, the weakest first."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME", "~")).expanduser()
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    system = [Path(folder) / "pip" / "pip.conf" for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    files = [*system, _SYSTEM, home / ".pip" / "pip.conf", user / "pip" / "pip.conf"]
    return [*files, Path(named)] if named else files


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the user has set for `pip install`, environment before files, without empty values."""
    found: dict[str, str] = {}
    for section in ("global", "install"):
        for path in _files(environ):
            parser = configparser.RawConfigParser()
            try:
                parser.read(path, encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError):
                continue  # pip itself will tell the user; with uv it does not matter
            if parser.has_section(section):
                for name, value in parser.items(section):
                    key = _ALIASES.get(name, name)
                    if key in _KEYS:
                        found[key] = " ".join(value.split())
    for name in (*_ALIASES, *_KEYS):
        variable = "PIP_" + name.upper().replace("-", "_")
        if variable in environ:
            found[_ALIASES.get(name, name)] = " ".join(environ[variable].split())
    return {key: value for key, value in found.items() if value}


def no_index(settings: Mapping[str, str]) -> bool:
    """Whether the user wants no index at all, only `find-links`."""
    return settings.get("no-index", "").lower() in ("1", "true", "yes", "on", "t", "y")


def _existing(urls: str) -> list[str]:
    """Return the addresses without folders that do not exist, which pip ignores and uv does not."""
    kept = []
    for url in urls.split():
        path = url[len("file://") :] if url.startswith("file://") else url if "://" not in url else ""
        if not path or Path(path).exists():
            kept.append(url)
    return kept


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give uv pip's settings; what is set for uv itself is left alone."""
    settings = pip_settings(environ)
    new: dict[str, str] = {}
    if "index-url" in settings:
        new["UV_DEFAULT_INDEX"] = settings["index-url"]
    extra = _existing(settings.get("extra-index-url", ""))
    if extra:
        new["UV_INDEX"] = " ".join(extra)
        # pip takes the best version of all indexes; uv by default only looks at the first that has the name.
        new["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    links = _existing(settings.get("find-links", ""))
    if links:
        new["UV_FIND_LINKS"] = ",".join(links)
    if "cert" in settings:
        new["SSL_CERT_FILE"] = settings["cert"]
    if "trusted-host" in settings:
        new["UV_INSECURE_HOST"] = settings["trusted-host"]
    if "timeout" in settings:
        new["UV_HTTP_TIMEOUT"] = settings["timeout"].split(".")[0]
    if "proxy" in settings:
        new["HTTPS_PROXY"] = new["HTTP_PROXY"] = settings["proxy"]
    older = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
    return {key: value for key, value in new.items() if key not in environ and older.get(key, key) not in environ}

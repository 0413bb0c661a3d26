# SPDX-License-Identifier: Apache-2.0
"""Templates, their filters, and Markdown that cannot carry anything active."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import codereef
from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from codereef_portal.problems import Problem
from codereef_portal.results.metrics import significant

TEMPLATES = Path(__file__).resolve().parent / "templates"
_README_TAGS = {
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
}


def markdown(text: str) -> Markup:
    """Render Markdown to HTML of a short list of tags: no raw HTML, no images, no styles, only web and mail
    links."""
    import nh3
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).render(text[:200_000])
    # The page has its own first heading, so a README's begin one lower.
    for level in (5, 4, 3, 2, 1):
        html = html.replace(f"<h{level}>", f"<h{level + 1}>").replace(f"</h{level}>", f"</h{level + 1}>")
    return Markup(
        nh3.clean(
            html,
            tags=_README_TAGS,
            attributes={"a": {"href", "title"}},
            url_schemes={"http", "https", "mailto"},
            link_rel="nofollow noopener",
        )
    )


def bytes_text(size: float | None) -> str:
    """Write a number of bytes with a unit."""
    if size is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000 or unit == "GB":
            return f"{significant(size, 3) if unit != 'B' else int(size)} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def short(text: str, length: int = 12) -> str:
    """Shorten a digest to its beginning."""
    return text.removeprefix("sha256:")[:length]


def moment(value: datetime) -> Markup:
    """Write a time as ISO, to the minute, in UTC."""
    return Markup('<time datetime="{}">{} UTC</time>').format(value.isoformat(), value.strftime("%Y-%m-%d %H:%M"))


def day(value: datetime) -> Markup:
    """Write the day of a time; the whole time is in the element's title."""
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(
        value.isoformat(timespec="seconds"), value.strftime("%Y-%m-%d")
    )


def plain(reference: str) -> str:
    """Write a component reference without its kind."""
    return reference.partition(":")[2] or reference


def component_path(reference: str) -> str:
    """Return the path of the page of a component reference."""
    kind, _, name = reference.partition(":")
    return f"/s/{name.partition('@')[0]}" if kind == "solution" else f"/c/{kind}/{name}"


def pretty(value: object, key: str = "") -> str:
    """Write a fact of unknown shape for people; a key that says bytes gives a size its unit."""
    if "bytes" in key and isinstance(value, int) and not isinstance(value, bool):
        return bytes_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "–"
    if isinstance(value, list) and all(isinstance(item, (str, int)) for item in value):
        return ", ".join(str(item) for item in value)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return "; ".join(", ".join(f"{name} {part}" for name, part in item.items()) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def flat(facts: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, object]:
    """Flatten nested facts to dotted names, at most three levels deep."""
    found: dict[str, object] = {}
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and depth < 3:
            found.update(flat(value, f"{name}.", depth + 1))
        else:
            found[name] = value
    return found


def make_templates() -> Environment:
    """Make the template environment; an unknown name is an error, everything is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        sig=significant,
        markdown=markdown,
        bytes=bytes_text,
        short=short,
        moment=moment,
        day=day,
        plain=plain,
        path_of=component_path,
        pretty=pretty,
        flat=flat,
    )
    environment.globals.update(portal_version=codereef.__version__)
    return environment


def page(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """Render a page."""
    templates: Environment = request.app.state.templates
    values.setdefault("q", "")
    html = templates.get_template(template).render(path=request.url.path, **values)
    return Response(html, status, media_type="text/html; charset=utf-8")


def error_page(request: Request, problem: Problem) -> Response:
    """Render a problem as a page."""
    return page(request, "error.html", problem.status, problem=problem)

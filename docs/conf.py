"""The docs site: ``make docs`` builds it into ``build/docs``, with warnings as errors."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from twisted.python.reflect import InvalidName, namedAny

import txthoonk

project = "txthoonk"
author = copyright = "the txthoonk contributors"
version = release = txthoonk.__version__

extensions = ["sphinx.ext.autodoc"]
exclude_patterns: list[str] = []
default_role = None
highlight_language = "text"
nitpicky = True

html_theme = "furo"
html_title = f"txthoonk {release}"
html_show_sphinx = False
html_copy_source = False

autoclass_content = "both"  # of a class, and of its __init__, which has the arguments
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Names that other projects document. The build reads nothing from the network, so it has no links.
nitpick_ignore_regex = [
    ("py:.*", r"(twisted|zope|prometheus_client|constantly|incremental)\..*"),
    ("py:.*", r"(collections|datetime|logging|os|pathlib|typing|types)\..*"),
    ("py:.*", r"CannotListenError|Deferred|I[A-Z]\w+"),
]

# Names in signatures of types that users do not have to make.
INTERNAL = {
    "AnyRedis",
    "Publisher",
    "Publishing",
    "txthoonk.types._interfaces.Publisher",
    "txthoonk.subscriptions._interfaces.Named",
    "txthoonk.subscriptions._interfaces.Subscriber",
    "txthoonk.protocol._encoding.Encoding",
    "txthoonk.client._registry.Publishing",
    "txthoonk.types._bulk.Progressed",
    "txthoonk.protocol._client.Encoding",
    "txthoonk.protocol._client.Waiting",
    "txthoonk.protocol._interfaces.Repeater",
    "txthoonk.protocol._waiting.Waiting",
    "txthoonk.wire._scripts.Script",
    "txthoonk.connections._wrapper.AnyRedis",
    "txthoonk.consumers._room.WaitingRoom",
    "txthoonk.types._taken.TakenFeed",
}


def setup(app: Sphinx) -> None:
    """Register the hooks below."""
    app.connect("missing-reference", find_elsewhere)
    app.connect("autodoc-process-signature", name_interfaces)


def name_interfaces(
    app: Sphinx,
    what: str,
    name: str,
    thing: Any,
    options: Any,
    given: str | None,
    fires: str | None,
) -> tuple[str | None, str | None]:
    """Show interfaces by their names."""

    def named(text: str | None) -> str | None:
        return text and re.sub(r"<InterfaceClass [\w.]*?(\w+)>", r"\1", text)

    return named(given), named(fires)


def find_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element
) -> nodes.Element | None:
    """Resolve a name that is documented under another module.

    Most classes can be imported from several modules, but are documented under one.
    """
    target = node.get("reftarget", "")
    if target in INTERNAL:
        return text
    domain: Any = env.domains["py"]
    for name, entry in domain.objects.items() if node.get("refdomain") == "py" else ():
        if is_another_name(target, name):
            return domain.resolve_xref(  # type: ignore[no-any-return]
                env, node["refdoc"], app.builder, entry.objtype, name, node, text
            )
    return None


def is_another_name(target: str, name: str) -> bool:
    """Return whether *target* is another name of the object that is documented as *name*."""
    if target.rpartition(".")[2] != name.rpartition(".")[2]:
        return False
    return "." not in target or (
        imported(target) is not None and imported(target) is imported(name)
    )


def imported(name: str) -> Any:
    """Import the object of a dotted name of ours; None if there is none."""
    try:
        return namedAny(name) if name.startswith("txthoonk.") else None
    except (AttributeError, InvalidName):
        return None

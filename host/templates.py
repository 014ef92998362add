"""Templates of the HTML pages, which lie beside the code that fills them."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

__all__ = ["template"]


def template(name: str, *packages: str) -> Template:
    """Template ``name`` of the first of ``packages`` that has it; it may include files of all of them."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)

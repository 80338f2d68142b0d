"""JSON Schemas of models for the documents, with an example for each."""

from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

Mode = Literal["validation", "serialization"]
Schema = dict[str, Any]

_TEMPLATE: Final = "#/components/schemas/{model}"
_PREFIX: Final = _TEMPLATE.format(model="")

#: Of a text of which the schema says nothing.
NO_EXAMPLE: Final = "text"

#: Texts of formats, for examples.
_OF_FORMAT: Final = {
    "uuid": "0198f0c2-6f0a-7cc3-98a4-2f6f2f1c9d55",
    "date-time": "2026-11-29T08:30:00.000000Z",
}


def component_schemas(models: Iterable[tuple[type[BaseModel], Mode]]) -> dict[str, Schema]:
    """The schemas of ``models`` and of all that they refer to, by name.

    What is received (``validation``) publishes no default: a generated client would send it, and change what its caller
    has left out. The description tells it instead. What is sent (``serialization``) is open to new fields.
    """
    wanted = sorted(set(models), key=lambda each: (each[0].__name__, each[1]))
    found: dict[str, Schema] = models_json_schema(wanted, ref_template=_TEMPLATE)[1].get("$defs", {})
    for schema in found.values():
        tidy_schema(schema)
    for schema in found.values():
        if "properties" in schema and not _holds_bytes(schema):
            schema["examples"] = [example_of(schema, found)]
    return found


def reference(model: type[BaseModel]) -> Schema:
    """A reference to the schema of ``model``."""
    return {"$ref": _PREFIX + model.__name__}


def field_schemas(model: type[BaseModel]) -> dict[str, Schema]:
    """The schema of each query parameter of ``model``, which has no enumeration or model among them.

    A query has no null: what may be absent is just not sent.
    """
    return {name: _without_null(field) for name, field in model.model_json_schema()["properties"].items()}


def example_of(schema: Schema, known: dict[str, Schema]) -> Any:
    """A value that ``schema`` allows: its own example, else one made of the examples of its parts."""
    if "$ref" in schema:
        return example_of(known[schema["$ref"].removeprefix(_PREFIX)], known)
    for given in ("examples", "enum", "x-extensible-enum"):
        if schema.get(given):
            return schema[given][0]
    for given in ("const", "default"):
        if schema.get(given) is not None:
            return schema[given]
    if variants := schema.get("anyOf") or schema.get("allOf"):
        return example_of(variants[0], known)
    match schema.get("type"):
        case "object":
            return _example_object(schema, known)
        case "array":
            return [example_of(schema["items"], known)]
        case "string":
            return _OF_FORMAT.get(schema.get("format", ""), NO_EXAMPLE)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return None


def _example_object(schema: Schema, known: dict[str, Schema]) -> dict[str, Any]:
    if "properties" not in schema:
        keys = schema.get("propertyNames", {}).get("enum", ["name"])
        value = schema.get("additionalProperties", {})
        # True: any JSON may be there.
        return {} if value is True else {key: example_of(value, known) for key in keys}
    shown = [
        name for name, field in schema["properties"].items() if name in schema.get("required", ()) or _shows(field)
    ]
    return {name: example_of(schema["properties"][name], known) for name in shown}


def _shows(field: Schema) -> bool:
    """Whether a field that may be left out is in the example: where it has one of its own."""
    return "examples" in field or any("examples" in variant for variant in field.get("anyOf", ()))


def _holds_bytes(schema: Schema) -> bool:
    return any(field.get("format") == "binary" for field in schema["properties"].values())


def tidy_schema(schema: Schema) -> None:
    """Drop what tells nothing, and put defaults into words."""
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
        default = field.pop("default", None)
        if default not in (None, ""):
            said = field.get("description")
            field["description"] = f"{said + '; ' if said else ''}{_in_words(default)} where it is absent"


def _in_words(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _without_null(field: Schema) -> Schema:
    kept = {name: value for name, value in field.items() if name not in ("title", "anyOf")}
    if kept.get("default", "") is None:
        del kept["default"]
    variants: list[Schema] = [variant for variant in field.get("anyOf", ()) if variant != {"type": "null"}]
    if len(variants) == 1:
        return kept | variants[0]
    return kept | ({"anyOf": variants} if variants else {})

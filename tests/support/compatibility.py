"""Tells where a new document would break clients of an old one: OpenAPI and AsyncAPI, by what each side relies on.

What is received may become wider, what is sent may get more fields; never the other way round.
"""

from collections.abc import Iterator
from typing import Any, Literal

Json = dict[str, Any]
Direction = Literal["sent", "received"]

#: What narrows a value: the first of each pair from below, the second from above.
_BOUNDS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def broken_by(old: Json, new: Json) -> list[str]:
    """What of ``old`` a client or a consumer can no longer rely on; empty where nothing breaks."""
    compare = _openapi if "openapi" in old else _asyncapi
    return list(compare(old, new))


def _openapi(old: Json, new: Json) -> Iterator[str]:
    for path, methods in old["paths"].items():
        for method, before in methods.items():
            where = f"{method.upper()} {path}"
            after = new["paths"].get(path, {}).get(method)
            if after is None:
                yield f"{where}: is gone"
                continue
            yield from _operation(where, before, after, old, new)
    yield from _access(old, new)


def _access(old: Json, new: Json) -> Iterator[str]:
    gone = old["components"].get("securitySchemes", {}).keys() - new["components"].get("securitySchemes", {}).keys()
    yield from (f"security: {name} is gone" for name in sorted(gone))


def _operation(where: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    if before.get("operationId") != after.get("operationId"):
        yield f"{where}: the operation id {before.get('operationId')} is gone: generated clients call it by that name"
    if before.get("security") == [] and after.get("security") != []:
        yield f"{where}: was open to all"
    yield from _parameters(where, before, after, old, new)
    yield from _request(where, before, after, old, new)
    for status, response in before["responses"].items():
        found = after["responses"].get(status)
        if found is None:
            yield f"{where}: the status {status} is gone"
            continue
        one, other = _resolved(response, old), _resolved(found, new)
        for header in one.get("headers", {}):
            if header not in other.get("headers", {}):
                yield f"{where} {status}: the header {header} is gone"
        for kind, content in one.get("content", {}).items():
            if kind not in other.get("content", {}):
                yield f"{where} {status}: the content type {kind} is gone"
            else:
                yield from _schema(
                    f"{where} {status}", content["schema"], other["content"][kind]["schema"], "sent", old, new
                )


def _parameters(where: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    known = {(each["in"], each["name"]): each for each in before.get("parameters", ())}
    found = {(each["in"], each["name"]): each for each in after.get("parameters", ())}
    for place, each in known.items():
        if place not in found:
            yield f"{where}: the {place[0]} parameter {place[1]} is gone"
            continue
        if found[place]["required"] and not each["required"]:
            yield f"{where}: the {place[0]} parameter {place[1]} is required now"
        at = f"{where} {place[0]} {place[1]}"
        yield from _schema(at, each["schema"], found[place]["schema"], "received", old, new)
        if each["schema"].get("default") != found[place]["schema"].get("default"):
            yield f"{at}: has another default"
    for place, each in found.items():
        if place not in known and each["required"]:
            yield f"{where}: the {place[0]} parameter {place[1]} is new and required"


def _request(where: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    body, found = before.get("requestBody"), after.get("requestBody")
    if body is None:
        if found is not None and found.get("required"):
            yield f"{where}: a body is required now"
        return
    for kind, content in body["content"].items():
        if found is None or kind not in found["content"]:
            yield f"{where}: a body of {kind} is no longer taken"
        else:
            schema = found["content"][kind]["schema"]
            yield from _schema(f"{where} body", content["schema"], schema, "received", old, new)


def _asyncapi(old: Json, new: Json) -> Iterator[str]:
    for name, operation in old["operations"].items():
        found = new["operations"].get(name)
        if found is None:
            yield f"{name}: the operation is gone"
            continue
        one, other = _resolved(operation["channel"], old), _resolved(found["channel"], new)
        if one["address"] != other["address"]:
            yield f"{name}: the address {one['address']} is {other['address']} now"
        direction: Direction = "sent" if operation["action"] == "send" else "received"
        kept = {each["$ref"].rpartition("/")[2]: each for each in found["messages"]}
        for each in operation["messages"]:
            message = each["$ref"].rpartition("/")[2]
            if message not in kept:
                yield f"{name}: the message {message} is gone"
                continue
            before, after = (_resolved(_resolved(r, d), d) for r, d in ((each, old), (kept[message], new)))
            for part in ("headers", "payload"):
                if part in before:
                    at = f"{name} {message} {part}"
                    yield from _schema(at, before[part], after.get(part, {}), direction, old, new)
            if before.get("bindings", {}).get("kafka", {}).get("key") and not after.get("bindings", {}).get(
                "kafka", {}
            ).get("key"):
                yield f"{name} {message}: the key is gone"


def _schema(
    where: str,
    before: Json,
    after: Json,
    direction: Direction,
    old: Json,
    new: Json,
    seen: frozenset[tuple[str, str]] = frozenset(),
) -> Iterator[str]:
    pair = (before.get("$ref", ""), after.get("$ref", ""))
    if all(pair):
        if pair in seen:
            return
        seen |= {pair}
    before, after = _resolved(before, old), _resolved(after, new)
    one, other = _variants(before, old), _variants(after, new)
    # The side that relies: who reads what is sent, and who writes what is received.
    narrow, wide = (other, one) if direction == "sent" else (one, other)
    for kind in narrow:
        if not any(_kind_fits(kind, each) for each in wide):
            yield f"{where}: is {_words(other)} now, was {_words(one)}"
            return
    for kind, variant in one.items():
        if kind in other:
            yield from _variant(where, variant, other[kind], direction, old, new, seen)


def _variant(
    where: str,
    before: Json,
    after: Json,
    direction: Direction,
    old: Json,
    new: Json,
    seen: frozenset[tuple[str, str]],
) -> Iterator[str]:
    yield from _values(where, before, after, direction)
    before_fields, after_fields = before.get("properties", {}), after.get("properties", {})
    for field, described in before_fields.items():
        at = f"{where}.{field}"
        if field not in after_fields:
            if direction == "sent" or after.get("additionalProperties") is False:
                yield f"{at}: the field is gone"
        else:
            yield from _schema(at, described, after_fields[field], direction, old, new, seen)
    was, is_now = set(before.get("required", ())), set(after.get("required", ()))
    if direction == "received":
        yield from (f"{where}.{field}: is required now" for field in sorted(is_now - was))
        if after.get("additionalProperties") is False and before.get("additionalProperties") is not False:
            yield f"{where}: unknown fields are refused now"
        if "not" in after and after["not"] != before.get("not"):
            yield f"{where}: more is refused now"
    else:
        yield from (f"{where}.{field}: may be absent now" for field in sorted((was - is_now) & after_fields.keys()))
    for part in ("items", "additionalProperties"):
        if isinstance(before.get(part), dict) and isinstance(after.get(part), dict):
            yield from _schema(f"{where}[]", before[part], after[part], direction, old, new, seen)


def _values(where: str, before: Json, after: Json, direction: Direction) -> Iterator[str]:
    narrow, wide = (after, before) if direction == "sent" else (before, after)
    allowed, possible = _enumerated(wide), _enumerated(narrow)
    if allowed is not None and (possible is None or not possible <= allowed):
        extra = "any" if possible is None else ", ".join(sorted(map(str, possible - allowed)))
        yield f"{where}: {'may be' if direction == 'sent' else 'may no longer be'} {extra}"
    for word in ("pattern", "format"):
        if word in wide and wide[word] != narrow.get(word):
            yield f"{where}: the {word} is {after.get(word)} now, was {before.get(word)}"
    for low, high in _BOUNDS:
        if low in wide and narrow.get(low, float("-inf")) < wide[low]:
            yield f"{where}: {low} is {after.get(low)} now, was {before.get(low)}"
        if high in wide and narrow.get(high, float("inf")) > wide[high]:
            yield f"{where}: {high} is {after.get(high)} now, was {before.get(high)}"


def _enumerated(schema: Json) -> set[Any] | None:
    """The values that there are; None where there may be more."""
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


def _variants(schema: Json, document: Json) -> dict[str, Json]:
    """The types that a value may have, each with its schema."""
    if "anyOf" not in schema:
        return {str(schema.get("type", "any")): schema}
    found: dict[str, Json] = {}
    for each in schema["anyOf"]:
        found |= _variants(_resolved(each, document), document)
    return found


def _kind_fits(kind: str, wide: str) -> bool:
    return wide in (kind, "any") or (kind == "integer" and wide == "number")


def _words(variants: dict[str, Json]) -> str:
    return " or ".join(sorted(variants))


def _resolved(described: Json, document: Json) -> Json:
    if "$ref" not in described:
        return described
    found: Any = document
    for part in described["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: Json = found
    return resolved

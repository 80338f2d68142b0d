"""The page that shows both documents: HTML without a script, every link relative, so that it works behind a prefix."""

import json
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

_Json = dict[str, Any]

_HEAD: Final = (
    "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    "<meta name='color-scheme' content='light dark'><title>Thumbstream: HTTP, topics, feed</title>"
    "<link rel='icon' type='image/svg+xml' href='dashboard/icons/logo.svg'>"
    "<link rel='stylesheet' href='dashboard/css/tokens.css'>"
    "<link rel='stylesheet' href='dashboard/css/docs.css'></head>"
)
_INTRODUCTION: Final = (
    "<p class='lead'>What programs may rely on. For tools: <a href='openapi.json'>openapi.json</a> (HTTP, OpenAPI 3.1) "
    "and <a href='asyncapi.json'>asyncapi.json</a> (topics and feed, AsyncAPI 3.0).</p>"
)


def page_of(http: _Json, messaging: _Json) -> str:
    """The page of an OpenAPI and an AsyncAPI document."""
    schemas = dict(sorted((http["components"]["schemas"] | messaging["components"]["schemas"]).items()))
    operations = list(_operations(http))
    navigation = "".join(
        (
            *(_group(tag["name"], _of_tag(operations, tag["name"])) for tag in http["tags"]),
            _group("topics and feed", ((_channel_id(name), escape(name)) for name in messaging["channels"])),
            _group("shapes", ((_schema_id(name), escape(name)) for name in schemas)),
        )
    )
    tags = "".join(
        f"<h3>{escape(tag['name'])}</h3><p>{escape(tag['description'])}</p>"
        + "".join(_operation(http, *each) for each in operations if tag["name"] in each[2]["tags"])
        for tag in http["tags"]
    )
    return (
        f"{_HEAD}<body class='docs'><a class='skip-link' href='#content'>Skip to the content</a>"
        f"<nav aria-label='Contents'><a class='brand' href='#content'>Thumbstream</a>{navigation}</nav>"
        f"<main id='content'><h1>HTTP, topics, feed</h1>{_INTRODUCTION}"
        f"<h2 id='http'>HTTP</h2><p>{escape(http['info']['description'])}</p>{_security(http)}{tags}"
        f"<h2 id='topics'>Topics and feed</h2><p>{escape(messaging['info']['description'])}</p>{_servers(messaging)}"
        f"{''.join(_channel(messaging, *each) for each in messaging['channels'].items())}"
        f"<h2 id='shapes'>Shapes</h2>{''.join(_shape(*each) for each in schemas.items())}</main></body></html>"
    )


def _operations(http: _Json) -> Iterator[tuple[str, str, _Json]]:
    for path, methods in http["paths"].items():
        for method, described in methods.items():
            yield method.upper(), path, described


def _of_tag(operations: Iterable[tuple[str, str, _Json]], tag: str) -> Iterator[tuple[str, str]]:
    for method, path, described in operations:
        if tag in described["tags"]:
            shown = path.removeprefix("/v1/workspaces/{workspace}")
            text = f"<span class='method'>{method}</span> {escape(shown).replace('/', '/<wbr>')}"
            yield _operation_id(described), text


def _group(title: str, links: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<li><a href='#{escape(target)}'>{text}</a></li>" for target, text in links)
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>"


def _operation(http: _Json, method: str, path: str, described: _Json) -> str:
    is_open = described.get("security") == []
    body = described.get("requestBody", {}).get("content", {})
    sent = "".join(f"<p>Body: <code>{escape(kind)}</code> {_content(each)}</p>" for kind, each in body.items())
    return (
        f"<article id='{escape(_operation_id(described))}'><h4><span class='method {method.lower()}'>{method}</span> "
        f"<code>{escape(path)}</code>{' <small>open to all</small>' if is_open else ''}</h4>"
        f"<p>{escape(described['summary'])}</p>{_parameters(described['parameters'])}{sent}"
        f"{_responses(http, described['responses'])}</article>"
    )


def _parameters(parameters: list[_Json]) -> str:
    rows = (
        (
            f"<code>{escape(each['name'])}</code>{'' if each['required'] else _OPTIONAL}",
            escape(each["in"]),
            _type(each["schema"]),
            _said(each),
        )
        for each in parameters
    )
    return _table(("Parameter", "In", "Type", ""), rows) if parameters else ""


_OPTIONAL: Final = " <small>optional</small>"


def _said(each: _Json) -> str:
    example = f"<small>, such as <code>{escape(str(each['example']))}</code></small>" if "example" in each else ""
    return escape(each.get("description", "")) + example


def _responses(http: _Json, responses: _Json) -> str:
    rows = []
    for status, given in responses.items():
        found = given
        if "$ref" in given:
            found = http["components"]["responses"][given["$ref"].rpartition("/")[2]]
        shapes = " ".join(
            f"<code>{escape(kind)}</code> {_content(each)}" for kind, each in found.get("content", {}).items()
        )
        headers = ", ".join(f"<code>{escape(name)}</code>" for name in found.get("headers", {}))
        rows.append((f"<strong>{escape(status)}</strong>", escape(found["description"]), shapes, headers))
    return _table(("Status", "", "Body", "Headers"), rows)


def _content(content: _Json) -> str:
    return _type(content["schema"]) if "$ref" in content["schema"] else ""


def _security(http: _Json) -> str:
    schemes = http["components"]["securitySchemes"].items()
    rows = (
        (f"<code>{escape(name)}</code>", escape(each.get("scheme") or f"{each['in']} {each['name']}"), _said(each))
        for name, each in schemes
    )
    return _table(("Access", "By", ""), rows)


def _servers(messaging: _Json) -> str:
    rows = (
        (f"<code>{escape(name)}</code>", escape(each["protocol"]), escape(each["description"]))
        for name, each in messaging["servers"].items()
    )
    return _table(("Server", "Protocol", ""), rows)


def _channel(messaging: _Json, name: str, channel: _Json) -> str:
    reference = f"#/channels/{name}"
    operations = [each for each in messaging["operations"].values() if each["channel"]["$ref"] == reference]
    rows = []
    for operation in operations:
        for each in operation["messages"]:
            message = channel["messages"][each["$ref"].rpartition("/")[2]]
            found = messaging["components"]["messages"][message["$ref"].rpartition("/")[2]]
            direction = "we&nbsp;send" if operation["action"] == "send" else "we&nbsp;take"
            headers = _type(found["headers"]) if "headers" in found else ""
            rows.append((direction, _type(found["payload"]), headers, escape(found["summary"])))
    return (
        f"<article id='{escape(_channel_id(name))}'><h4><code>{escape(channel['address'])}</code></h4>"
        f"<p>{escape(channel['description'])}</p>{_table(('', 'Message', 'Headers', ''), rows)}</article>"
    )


def _shape(name: str, schema: _Json) -> str:
    required = schema.get("required", [])
    rows = (
        (
            f"<code>{escape(field)}</code>{'' if field in required else _OPTIONAL}",
            _type(described),
            escape(described.get("description", "")),
        )
        for field, described in schema.get("properties", {}).items()
    )
    words = schema.get("enum") or schema.get("x-extensible-enum")
    examples = "".join(
        f"<details><summary>Example</summary><pre>{escape(json.dumps(each, indent=2))}</pre></details>"
        for each in schema.get("examples", ())
    )
    return (
        f"<article id='{escape(_schema_id(name))}'><h4>{escape(name)}</h4>"
        f"<p>{escape(schema.get('description', ''))}</p>"
        f"{_table(('Field', 'Type', ''), rows) if schema.get('properties') else ''}"
        f"{f'<p>{_words(words)}</p>' if words else ''}{examples}</article>"
    )


def _type(schema: _Json) -> str:
    """The type in words, with what narrows it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{escape(_schema_id(name))}'>{escape(name)}</a>"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if words := schema.get("enum") or schema.get("x-extensible-enum"):
        return _words(words)
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}{_bounds(schema, 'minItems', 'maxItems')}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    plain = schema.get("format") or schema.get("type") or "anything"
    pattern = f" <code>{escape(schema['pattern'])}</code>" if "pattern" in schema and "format" not in schema else ""
    bounds = _bounds(schema, "minimum", "maximum") + _bounds(schema, "minLength", "maxLength")
    default = f", default {escape(json.dumps(schema['default']))}" if "default" in schema else ""
    return f"{escape(plain)}{bounds}{default}{pattern}"


def _bounds(schema: _Json, low: str, high: str) -> str:
    found = [f"{word} {schema[name]:,}" for word, name in (("from", low), ("to", high)) if name in schema]
    return f", {' '.join(found)}" if found else ""


def _words(words: Iterable[str]) -> str:
    return " ".join(f"<code>{escape(str(word))}</code>" for word in words)


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th scope='col'>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class='table'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _operation_id(described: _Json) -> str:
    return f"operation-{described['operationId']}"


def _channel_id(name: str) -> str:
    return f"channel-{name}"


def _schema_id(name: str) -> str:
    return f"shape-{name}"

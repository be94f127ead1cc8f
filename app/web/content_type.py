"""Parse the Content-Type header and its parameters."""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request


class MediaType(NamedTuple):
    """A media type with its parameters, in lower case: `application/json; charset=utf-8`."""

    name: str
    parameters: Mapping[str, str]


def parse_media_type(text: str) -> MediaType:
    """Parse a media type leniently; "" has the name ""."""
    name, _, parameters = text.lower().partition(";")
    return MediaType(name.strip(), _parse_parameters(parameters) if parameters else {})


def parse_content_type(request: Request) -> MediaType:
    """Return the media type of a request's body; its name is "" if the header is missing."""
    return parse_media_type(request.headers.get("content-type", ""))


def _parse_parameters(text: str) -> Mapping[str, str]:
    parameters = {}
    for parameter in text.split(";"):
        name, _, value = parameter.partition("=")
        parameters[name.strip()] = value.strip().strip('"')
    return parameters

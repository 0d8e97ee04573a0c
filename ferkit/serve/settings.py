"""What a server is told: where to listen, what to read with, whom to let in."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ferkit.errors import InputError
from ferkit.serve.limits import PUBLIC, Limits

SHORTEST_TOKEN = 12
"""Letters that a token must have."""


@dataclass(frozen=True)
class Settings:
    """Settings of a server; ``check`` says what does not go together.

    Attributes
    ----------
    host : str
        Address to listen on.
    port : int
        Port; 0 takes a free one.
    model : str or None
        Model file, or the name of a model inside ferkit; None for the default.
    sources : tuple of str
        Cameras, files and addresses that the server watches itself.
    store : str or None
        Database that readings go to, such as ``sqlite:///readings.db``.
    retention_days : float or None
        Days after which readings are deleted; None keeps them.
    token : str or None
        What clients must show.
    public : bool
        Recognition for everybody, and nothing else.
    names : tuple of str
        Host names under which the server is reached, beside ``localhost`` and addresses.
    trusted_proxies : tuple of str
        Addresses or networks of proxies whose ``X-Forwarded-For`` is believed.
    limits : Limits
        What is refused.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: str | None = None
    sources: tuple[str, ...] = ()
    store: str | None = None
    retention_days: float | None = None
    token: str | None = field(default=None, repr=False)
    public: bool = False
    names: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def check(self) -> Settings:
        """The settings, with a bare token and the limits of public mode; raises InputError where they contradict."""
        if self.token is not None and self.token != self.token.strip():  # as read from a file that ends in a line break
            return replace(self, token=self.token.strip()).check()
        if self.public and (self.token or self.store or self.sources):
            raise InputError("Got public together with a token, store or source, expected recognition only.")
        if not (self.public or self.token or is_loopback(self.host)):
            raise InputError(
                f"Got host={self.host!r} without a token, expected one where other machines can reach the server. "
                "Use --token (or the variable FERKIT_TOKEN), or --public for recognition only."
            )
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise InputError(f"Got a token of {len(self.token)} letters, expected at least {SHORTEST_TOKEN}.")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise InputError(
                "Got a token with letters that no client can send, expected ASCII letters, digits and signs. "
                'Make one: python3 -c "import secrets; print(secrets.token_urlsafe(24))"'
            )
        if self.retention_days is not None and not self.retention_days > 0:
            raise InputError(f"Got retention_days={self.retention_days!r}, expected more than 0.")
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise InputError(f"Got trusted_proxies={proxy!r} ({error}), expected an address or network.") from error
        for one in fields(Limits):
            value = getattr(self.limits, one.name)
            if value is not None and not value > 0:
                raise InputError(f"Got limits: {one.name}={value!r}, expected more than 0.")
        if not self.public:
            return self
        usual = Limits()
        given = {
            one.name: value
            for one in fields(Limits)
            if (value := getattr(self.limits, one.name)) != getattr(usual, one.name)
        }
        return replace(self, limits=replace(PUBLIC, **given))


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def from_yaml(path: str | Path) -> dict[str, Any]:
    """Settings of a YAML file, by name.

    Parameters
    ----------
    path : str or Path
        Keys are the attributes of ``Settings``; ``limits`` holds those of ``Limits``.

    Raises
    ------
    FerkitError
        Not YAML, or a key that is not known; names the line and the nearest right spelling.
    """
    from ferkit.recipe.text import Block, parse, read

    block = parse(read(Path(path)), str(path)) or Block()
    if not isinstance(block, Block):
        raise InputError(f"{path}: Got {type(block).__name__}, expected keys such as store: sqlite:///readings.db")
    given: dict[str, Any] = dict(_known(block, Settings, str(path)))
    if "limits" in given:
        if not isinstance(given["limits"], Block):
            raise InputError(f"{path}, {block.where['limits']}: Got limits that are no keys, expected some.")
        given["limits"] = Limits(**_known(given["limits"], Limits, str(path)))
    for name in ("sources", "names", "trusted_proxies"):
        if name in given:
            value = [] if given[name] is None else given[name]
            given[name] = tuple(str(item) for item in (value if isinstance(value, list) else [value]))
    return given


def _known(block: Any, kind: Any, path: str) -> Mapping[str, Any]:
    from ferkit.recipe.text import nearest

    hints = get_type_hints(kind)
    names = [item.name for item in fields(kind)]
    for key, value in block.items():
        where = f"{path}, {block.where[key]}"
        if key not in names:
            raise InputError(f"{where}: Got key {key!r}, expected one of {names}.{nearest(key, names)}")
        choices = (hints[key],) if get_origin(hints[key]) is tuple else get_args(hints[key]) or (hints[key],)
        kinds = [one for one in choices if one in _SAID]
        if kinds and not (value is None and type(None) in choices) and not _is_one(value, kinds):
            raise InputError(f"{where}: Got {key}={value!r}, expected {' or '.join(_SAID[one] for one in kinds)}.")
    return dict(block)


_SAID = {
    str: "a text (in quotes, where it is a number)",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _is_one(value: Any, kinds: list[type]) -> bool:
    """Whether a value is of one of the kinds; a whole number is a number, true is not."""
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, tuple(kinds)) or (float in kinds and isinstance(value, int))

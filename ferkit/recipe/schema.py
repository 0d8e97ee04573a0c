"""The recipe record and the strict checks that stand between a YAML file and it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ferkit.errors import RecipeError
from ferkit.labels import canonical
from ferkit.recipe import registry
from ferkit.recipe.text import Block, dump, nearest, override, parse, read

SCORES = ("accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss")
LARGEST_SEED = 2**32 - 1
"""scikit-learn draws from no larger one."""
_SEED = f"a whole number from 0 to {LARGEST_SEED}"
CHECKOUT = Path(__file__).resolve().parents[2] / "pipelines"
SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "recipes"


@dataclass(frozen=True)
class Part:
    """One feature family or one model: its name in the registry and its parameters, which may hold parts again."""

    kind: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """Settings to try: parameters by dotted path, with the values of each."""

    params: dict[str, tuple[Any, ...]]
    kind: str = "grid"
    folds: int = 3
    iterations: int = 10
    score: str = "accuracy"


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes
    ----------
    name : str
        By default the file's name.
    faces : dict
        Parameters of ``FaceExtractor``.
    features : dict of str to Part
        Feature families by key; empty for a network on crops.
    model : Part
        The classifier.
    labels : dict of str to str or None
        Labels renamed or merged; None drops the rows.
    augment : dict or None
        Parameters of ``Augment`` and ``copies``, the changed copies of each training picture.
    held_out : str or float
        Rows that fit the fusion, or that only score a model that does not fuse: a split's name, a share, ``auto``
        (``PublicTest`` where the set has it, else 0.2) or ``none``.
    search : Search or None
        Settings to try on the training rows.
    seed : int
        For every random choice.
    split : str or None
        Split to train on; by default ``Training`` where the set has it, else all rows.
    leave_out_twins : bool
        Leave out training rows that are near-duplicates of a held-out row.
    text : str
        YAML of the recipe as used, ``--set`` included.
    """

    name: str
    model: Part
    faces: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Part] = field(default_factory=dict)
    labels: dict[str, str | None] = field(default_factory=dict)
    augment: dict[str, Any] | None = None
    held_out: str | float = "auto"
    search: Search | None = None
    seed: int = 0
    split: str | None = None
    leave_out_twins: bool = True
    text: str = ""


KEYS = (
    "name",
    "faces",
    "features",
    "model",
    "labels",
    "augment",
    "fusion_rows",
    "validation",
    "search",
    "seed",
    "split",
    "leave_out_twins",
)
"""Keys of a recipe, in the order that they are written."""


def load(path: str | Path, sets: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : str or Path
        YAML file, or the name of a recipe that ferkit brings, such as ``hybrid``.
    sets : sequence of str, default=()
        Settings that override the file's, each ``key=value`` with a dotted key and a YAML value.

    Raises
    ------
    RecipeError
        Something is unknown or wrong; names the file, the line, the key and the nearest right spelling.

    Examples
    --------
    >>> load("hog_svm", ["model.linear_svm.C=0.5"]).model.params["C"]
    0.5
    """
    file = _find(path)
    return loads(read(file), name=str(path), stem=file.stem, sets=sets)


def loads(text: str, name: str = "recipe", stem: str = "recipe", sets: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as text; ``name`` stands in errors, ``stem`` is the recipe's name by default."""
    raw = parse(text, name)
    if not isinstance(raw, Block):
        raise RecipeError(f"{name}: Got {type(raw).__name__}, expected keys with values, such as model: linear_svm.")
    for setting in sets:
        override(raw, _long_form(raw, setting))
    return _Check(name).recipe(raw, stem)


def labels_of(manifest: Mapping[str, Any]) -> dict[str, str | None]:
    """Labels that the recipe in a model file's manifest renames, merges or, with None, drops."""
    raw = parse(str(manifest.get("recipe", "")), "the model's recipe")
    check = _Check("the model's recipe")
    return check.labels(check.block(raw, "labels")) if isinstance(raw, Block) else {}


def shipped() -> dict[str, Path]:
    """Recipes that ferkit brings, by name."""
    folder = SHIPPED if SHIPPED.is_dir() else CHECKOUT
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _find(path: str | Path) -> Path:
    if Path(path).is_file() or Path(path).suffix:
        return Path(path)
    known = shipped()
    if str(path) not in known:
        raise RecipeError(
            f"Got recipe {str(path)!r}, expected a YAML file or one of {', '.join(known)}.{nearest(str(path), known)}"
        )
    return known[str(path)]


def _long_form(raw: Block, setting: str) -> str:
    """``model.C=1`` as ``model.linear_svm.C=1``, as the file has it."""
    path, equals, value = setting.partition("=")
    keys = path.strip().split(".")
    model = raw.get("model")
    kind = model if isinstance(model, str) else next(iter(model)) if isinstance(model, Block) and model else None
    if len(keys) > 1 and keys[0] == "model" and kind and keys[1] not in registry.MODELS:
        keys.insert(1, kind)
    return ".".join(keys) + equals + value


class _Check:
    """Checks of one recipe; ``name`` is the file in every error."""

    def __init__(self, name: str) -> None:
        self.name = name

    def recipe(self, raw: Block, stem: str) -> Recipe:
        self.keys(raw, KEYS)
        given = Block({key: value for key, value in raw.items() if value is not None}, raw.where)
        if "model" not in given:
            raise RecipeError(f"{self.name}: Got no model, expected one of {', '.join(registry.MODELS)}.")
        features = self.features(self.block(given, "features"))
        model = self.model(given["model"], "model", given.where["model"], features)
        self.fits_together(given, model, features)
        return Recipe(
            name=self.typed(given, "name", str, stem),
            faces=self.params(self.block(given, "faces"), registry.FACES),
            features=features,
            model=model,
            labels=self.labels(self.block(given, "labels")),
            augment=self.augment(self.block(given, "augment")) if "augment" in given else None,
            held_out=self.held_out(given, "fusion_rows" if registry.fuses(model.kind) else "validation"),
            search=self.search(self.block(given, "search"), model, features) if "search" in given else None,
            seed=self.typed(given, "seed", int, 0),
            split=self.typed(given, "split", str, None),
            leave_out_twins=self.typed(given, "leave_out_twins", bool, True),
            text=_dump(given),
        )

    def fail(self, where: str, message: str) -> RecipeError:
        return RecipeError(f"{self.name}, {where}: {message}")

    def keys(self, block: Block, known: Iterable[str], what: str = "key") -> None:
        known = list(known)
        for key in block:
            if key not in known:
                message = f"Got {what} {key!r}, expected one of {', '.join(known)}.{nearest(key, known)}"
                raise self.fail(block.where[key], message)

    def block(self, raw: Block, key: str) -> Block:
        value = raw.get(key)
        if value is None:
            return Block()
        if not isinstance(value, Block):
            raise self.fail(raw.where[key], f"Got {key}={value!r}, expected keys with values.")
        return value

    def typed(self, raw: Block, key: str, kind: type, default: Any) -> Any:
        value = raw.get(key, default)
        right = isinstance(value, kind) and (not isinstance(value, int) or kind is bool or _whole(value))
        if key in raw and not right:
            expected = {str: "a word", int: "a whole number of at least 0", bool: "true or false"}[kind]
            raise self.fail(raw.where[key], f"Got {key}={value!r}, expected {expected}.")
        if key == "seed" and value > LARGEST_SEED:
            raise self.fail(raw.where[key], f"Got seed={value}, expected {_SEED}.")
        return value

    def params(self, block: Block, target: str, skip: Iterable[str] = ()) -> dict[str, Any]:
        known = registry.parameters(target)
        self.keys(block, [*known, *skip], f"parameter of {target.partition(':')[2]}")
        given = {key: _plain(value) for key, value in block.items() if key not in skip}
        for key, value in given.items():
            self.kind(block.where[key], key, known[key], value)
        return given

    def kind(self, where: str, key: str, annotation: str, value: Any) -> None:
        """Refuse a value of another kind than a parameter takes, such as ``no`` for what is true or false."""
        name, none, _ = annotation.partition(" | None")
        kinds, expected = _KINDS.get(name, ((object,), ""))
        right = isinstance(value, kinds) and (bool in kinds or object in kinds or not isinstance(value, bool))
        if key.rpartition(".")[2] == "seed":
            right, expected = isinstance(value, int) and _whole(value) and value <= LARGEST_SEED, _SEED
        if not right and not (none and value is None):
            raise self.fail(where, f"Got {key}={value!r}, expected {expected}.")

    def features(self, block: Block) -> dict[str, Part]:
        return {key: self.family(block, key) for key in block}

    def family(self, block: Block, key: str) -> Part:
        settings = self.block(block, key)
        kind = self.typed(settings, "kind", str, key)
        if kind not in registry.FEATURES:
            names = registry.FEATURES
            where = settings.where.get("kind", block.where[key])
            hint = nearest(str(kind), names) or f" A family of another name says which it is: {key}: {{kind: hog}}."
            raise self.fail(where, f"Got feature family {kind!r}, expected one of {', '.join(names)}.{hint}")
        if "/" in key or "__" in key:
            raise self.fail(block.where[key], f"Got feature family {key!r}, expected a name without '/' and '__'.")
        return Part(kind, self.params(settings, registry.FEATURES[kind], ["kind"]))

    def model(self, value: Any, place: str, where: str, features: dict[str, Part]) -> Part:
        """A model given by name, or by name with parameters."""
        named = Block({value: None}, {value: where}) if isinstance(value, str) else value
        if not isinstance(named, Block) or len(named) != 1:
            got = list(named) if isinstance(named, Block) else named
            raise self.fail(where, f"Got {place}={got!r}, expected one name of {', '.join(registry.MODELS)}.")
        kind = next(iter(named))
        self.keys(named, registry.MODELS, "model")
        settings = self.block(named, kind)
        nested = [name for name in (registry.BASES.get(kind), registry.INNER.get(kind)) if name]
        params = self.params(settings, registry.MODELS[kind], nested)
        for name in nested:
            if settings.get(name) is not None:
                params[name] = self.nested(settings, kind, name, features)
        return Part(kind, params)

    def nested(self, settings: Block, kind: str, name: str, features: dict[str, Part]) -> Any:
        if name == registry.INNER.get(kind):
            return self.model(settings[name], name, settings.where[name], features)
        bases = self.block(settings, name)
        return {
            base: value
            if value == "passthrough"
            else self.model(value, f"{name}.{base}", bases.where[base], {key: features[key] for key in families})
            for (base, value), families in zip(bases.items(), self.families_of(bases, features), strict=True)
        }

    def families_of(self, bases: Block, features: dict[str, Part]) -> list[tuple[str, ...]]:
        """Families of each base, after a look that they are families, and in no other base."""
        from ferkit.model.bases import members

        base_of: dict[str, str] = {}
        found = []
        for base, value in bases.items():
            where, families = bases.where[base], members(base, features)
            if value == "passthrough" and len(families) > 1:
                raise self.fail(where, f"Got {base}: passthrough, expected a model for several families.")
            for family in families:
                self.keys(Block({family: None}, {family: where}), features, "family (a key of features)")
                if family in base_of:
                    raise self.fail(where, f"Got {family} in {base_of[family]} and {base}, expected it in one base.")
                base_of[family] = base
            found.append(families)
        return found

    def fits_together(self, raw: Block, model: Part, features: dict[str, Part]) -> None:
        where = raw.where["model"]
        if model.kind in registry.ON_CROPS and features:
            raise self.fail(where, f"Got model {model.kind} with features, expected none: it reads the faces.")
        if model.kind not in registry.ON_CROPS and not features:
            raise self.fail(where, f"Got model {model.kind} without features, expected at least one family.")
        wrong = "validation" if registry.fuses(model.kind) else "fusion_rows"
        right = "fusion_rows" if registry.fuses(model.kind) else "validation"
        if wrong in raw:
            raise self.fail(raw.where[wrong], f"Got {wrong} with model {model.kind}, expected {right}.")

    def labels(self, block: Block) -> dict[str, str | None]:
        for name, value in block.items():
            if value is not None and not isinstance(value, str):
                raise self.fail(block.where[name], f"Got labels.{name}={value!r}, expected a name, or drop.")
        return {canonical(name): None if value in (None, "drop") else canonical(value) for name, value in block.items()}

    def augment(self, block: Block) -> dict[str, Any]:
        copies = self.typed(block, "copies", int, 1)
        return {"copies": copies} | self.params(block, registry.AUGMENT, ["copies"])

    def held_out(self, raw: Block, key: str) -> str | float:
        value = raw.get(key, "auto")
        if isinstance(value, str):
            return value
        if isinstance(value, float) and 0 < value < 1:
            return value
        expected = "a split's name, a share between 0 and 1, auto or none"
        raise self.fail(raw.where[key], f"Got {key}={value!r}, expected {expected}.")

    def search(self, block: Block, model: Part, features: dict[str, Part]) -> Search:
        self.keys(block, ("kind", "params", "folds", "iterations", "score"), "key of search")
        paths = _flat(self.block(block, "params"))
        values = {self.path(paths, path, model, features): self.values(paths, path) for path in paths}
        if not values:
            raise RecipeError(f"{self.name}: Got search without params, expected lists of values by dotted path.")
        search = Search(
            values,
            self.choice(block, "kind", ("grid", "random"), "grid"),
            self.typed(block, "folds", int, 3),
            self.typed(block, "iterations", int, 10),
            self.choice(block, "score", SCORES, "accuracy"),
        )
        for key, least in (("folds", 2), ("iterations", 1)):
            if getattr(search, key) < least:
                raise self.fail(block.where[key], f"Got {key}={block[key]}, expected at least {least}.")
        return search

    def choice(self, block: Block, key: str, options: Sequence[str], default: str) -> Any:
        value = block.get(key, default)
        if value not in options:
            hint = nearest(str(value), options)
            raise self.fail(block.where[key], f"Got {key}={value!r}, expected one of {', '.join(options)}.{hint}")
        return value

    def values(self, block: Block, path: str) -> tuple[Any, ...]:
        if not isinstance(block[path], list) or not block[path]:
            raise self.fail(block.where[path], f"Got {path}={block[path]!r}, expected a list of values.")
        return tuple(_plain(value) for value in block[path])

    def path(self, block: Block, path: str, model: Part, features: dict[str, Part]) -> str:
        """A dotted path as scikit-learn's ``step__name``, after a look that it leads to a parameter and fits it."""
        where = block.where[path]
        step, *keys = path.split(".")
        if step == "features" and len(keys) == 2:
            part, names = self.among(where, path, features, keys[0]), keys[:1]
        elif step == "model" and keys:
            part, names = self.inside(where, path, model, keys[:-1])
        else:
            expected = "a path of model or features, such as model.C or features.hog.orientations"
            hint = " Faces are found once, before the search: try others with --set." if step == "faces" else ""
            raise self.fail(where, f"Got {path!r}, expected {expected}.{hint}")
        known = registry.parameters((registry.FEATURES if step == "features" else registry.MODELS)[part.kind])
        if keys[-1] not in known:
            hint = nearest(keys[-1], known)
            raise self.fail(where, f"Got {path!r}, expected a parameter of {part.kind}: {', '.join(known)}.{hint}")
        for value in self.values(block, path):
            self.kind(where, path, known[keys[-1]], value)
        return "__".join((step, *names, keys[-1]))

    def inside(self, where: str, path: str, model: Part, keys: list[str]) -> tuple[Part, list[str]]:
        """The model that a path's keys lead to, and the names on the way as scikit-learn has them."""
        if keys[:1] == [model.kind]:
            keys = keys[1:]
        if not keys:
            return model, []
        bases = registry.BASES.get(model.kind)
        parts = model.params.get(bases, {}) if bases else model.params
        if bases:
            keys = keys[1:] if keys[0] == bases else []
        part = self.among(where, path, parts, keys[0] if keys else "")
        found, names = self.inside(where, path, part, keys[1:])
        return found, [keys[0], *names]

    def among(self, where: str, path: str, parts: dict[str, Any], key: str) -> Part:
        part = parts.get(key)
        if isinstance(part, Part):
            return part
        names = [name for name, item in parts.items() if isinstance(item, Part)]
        expected = f"one of {', '.join(names)} and its parameter" if names else "a parameter of what the recipe names"
        raise self.fail(where, f"Got {path!r}, expected {expected}.")


_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool, dict), "true or false"),  # a dict has settings of its own
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a word"),
    "str | os.PathLike[str]": ((str,), "a word or a path"),
    "bool | Augment | Mapping[str, float]": ((bool, dict), "true, false or settings"),
    "Sequence[int]": ((tuple,), "a list of whole numbers"),
}
"""Values that a parameter takes, by its annotation, and their name in errors."""


def _whole(value: int) -> bool:
    return value >= 0 and not isinstance(value, bool)


def _flat(block: Block) -> Block:
    """Blocks inside a block as dotted keys: what ``--set search.params.model.C=[1, 10]`` makes."""
    flat = Block()
    for key, value in block.items():
        inner = _flat(value) if isinstance(value, Block) else None
        if inner is None:
            flat[key], flat.where[key] = value, block.where[key]
            continue
        flat.update({f"{key}.{name}": item for name, item in inner.items()})
        flat.where.update({f"{key}.{name}": where for name, where in inner.where.items()})
    return flat


def _plain(value: Any) -> Any:
    """Lists as tuples and blocks as dicts: what estimators keep as parameters."""
    if isinstance(value, Block):
        return {key: _plain(item) for key, item in value.items()}
    return tuple(_plain(item) for item in value) if isinstance(value, list) else value


def _dump(raw: Block) -> str:
    return dump({key: raw[key] for key in KEYS if key in raw})

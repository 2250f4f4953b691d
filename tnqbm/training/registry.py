"""Parts of a training by name: estimators of gradients, optimizers, evaluators of log Z.

A part is declared by a class of settings (:class:`Part`) that also says what the part is, what it
costs and how it is made. Packages add theirs with :meth:`Registry.register`, or as entry points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from typing import Any, ClassVar, Generic, TypeVar

from pydantic.fields import FieldInfo

from tnqbm.base.arguments import shown
from tnqbm.base.process import check_beside
from tnqbm.training.schema import Settings, not_one_of


class Part(Settings):
    """Settings of one part of a training, and the name that it goes by.

    ``prefix`` is put before the names of its settings where settings of several parts stand side
    by side, as in the keywords of :func:`tnqbm.train` and in study files.
    """

    name: ClassVar[str]
    prefix: ClassVar[str] = ""

    @classmethod
    def flat_fields(cls) -> dict[str, FieldInfo]:
        """The settings under the names that they have beside those of other parts."""
        return {cls.prefix + name: field for name, field in cls.model_fields.items()}

    def flat(self) -> dict[str, Any]:
        """The values by the names of :meth:`flat_fields`."""
        return {type(self).prefix + name: getattr(self, name) for name in type(self).model_fields}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Any:
        """From values by the names of :meth:`flat_fields`; errors name these."""
        start = len(cls.prefix)
        try:
            return cls(**{name[start:]: value for name, value in values.items()})
        except ValueError as error:
            raise ValueError(cls.prefix + str(error)) from None


P = TypeVar("P", bound=Part)


class Registry(Generic[P]):
    """Classes of parts of one kind, by name.

    ``kind`` is the setting that takes the name, ``group`` that of entry points, ``places`` where
    the parts of this package are: {name: "module:Class"}, imported when first asked for.
    """

    def __init__(self, kind: str, group: str, base: type[P], places: Mapping[str, str]) -> None:
        self.kind, self.group, self.base = kind, group, base
        self._places = dict(places)
        self._classes: dict[str, type[P]] = {}

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def register(self, part: type[P]) -> None:
        """Make a class known by its name; ValueError if the name is taken."""
        self._check(part, str(part))
        if part.name in self.names():
            raise ValueError(f"{self.kind}: the name {part.name!r} is taken")
        self._classes[part.name] = part

    def names(self) -> tuple[str, ...]:
        """All names, those of installed packages included; imports nothing."""
        return tuple(dict.fromkeys([*self._places, *self._classes, *self._entry_points]))

    def find(self, name: object) -> type[P]:
        """The class of that name; ValueError names what is known and what may have been meant."""
        if not isinstance(name, str) or name not in self.names():
            raise ValueError(f"{self.kind}: {name!r} {not_one_of(name, self.names())}")
        if name not in self._classes:
            if name in self._places:
                part = resolve_name(self._places[name])
            else:
                point = self._entry_points[name]
                check_beside(point.module.partition(".")[0])
                part = point.load()
                self._check(part, point.value)
                if part.name != name:
                    raise TypeError(f"{point.value} is named {part.name!r}, not {name!r}")
            self._classes[name] = part
        return self._classes[name]

    def __iter__(self) -> Iterator[type[P]]:
        """All classes that can be imported."""
        for name in self.names():
            try:
                yield self.find(name)
            except Exception:  # of an installed package that does not work
                continue  # naming it says what is wrong

    def make(self, value: Any, values: dict[str, Any]) -> P:
        """A part from its name or the part itself, taking its settings out of flat ``values``."""
        given = value if isinstance(value, self.base) else None
        if given is None and not isinstance(value, str):
            raise TypeError(f"{self.kind} must be a name or settings of one, got {shown(value)}")
        part = self.find(value) if given is None else type(given)
        own = {name: values.pop(name) for name in part.flat_fields() if name in values}
        if given is None:
            made: P = part.from_flat(own)
            return made
        return part.from_flat(given.flat() | own) if own else given

    def owners(self, setting: str) -> list[str]:
        """Names of the parts that have a setting of this flat name."""
        return [part.name for part in self if setting in part.flat_fields()]

    def _check(self, part: Any, place: str) -> None:
        if not (isinstance(part, type) and issubclass(part, self.base)):
            raise TypeError(f"{place} is not a subclass of {self.base.__name__}")

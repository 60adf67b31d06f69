"""The attribute `adds` of stages: the row type of the columns that a stage adds."""

from typing import Protocol

from manifests import Row


class _AddsColumns(Protocol):
    def added_columns(self) -> type[Row]: ...


class AddedColumns:
    """Descriptor: of a class it is the declared row type, of a stage the result of `added_columns`.

    Attributes:
        declared: The declared row type.
    """

    def __init__(self, declared: type[Row]) -> None:
        self.declared = declared

    def __get__(self, stage: _AddsColumns | None, owner: object = None) -> type[Row]:
        if stage is None:
            return self.declared
        found = vars(stage)["adds"] = stage.added_columns()
        return found

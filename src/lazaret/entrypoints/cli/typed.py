"""What is typed: every text of every command keeps to the limits of the API, and none that is given is empty.

An empty text is what a shell makes of a variable that is not set: `freeze "$SERVER"` must not freeze the whole fleet.
"""

from collections.abc import Iterator
from typing import Any

from lazaret.kernel.errors import InvalidInput
from lazaret.kernel.texts import LONGEST, has_control


def guarded(command: Any) -> Any:
    """The same command; it and those below it look at what was typed before they run."""
    run = command.invoke

    def invoke(context: Any) -> Any:
        from lazaret.entrypoints.cli.session import fail  # noqa: PLC0415

        try:
            refuse_bad_texts(context)
        except InvalidInput as error:
            fail(error)
        return run(context)

    command.invoke = invoke
    for inner in getattr(command, "commands", {}).values():
        guarded(inner)
    return command


def refuse_bad_texts(context: Any) -> None:
    """Raise `InvalidInput` for a text that was given and is empty, too long, or commands the terminal."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if source is None or source.name.startswith("DEFAULT"):
            continue
        name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
        for text in _texts(context.params.get(parameter.name)):
            if not text.strip():
                hint = "Is a variable not set? What may be left out is left out altogether."
                raise InvalidInput(f"{name} is empty: it has 1 to {LONGEST} characters.", hint=hint)
            if len(text) > LONGEST:
                raise InvalidInput(f"{name} is too long: it has 1 to {LONGEST} characters.", hint="Shorten it.")
            if has_control(text):
                raise InvalidInput(f"{name} holds control characters or ends of lines.", hint="Leave them out.")


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list() | tuple():
            for one in value:
                yield from _texts(one)

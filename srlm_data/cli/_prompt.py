"""The prompt of `srlm-data sql`: history, completion, and queries of several lines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer  # rich brings Pygments

from srlm_data.analysis.api import versions
from srlm_data.cli._terminal import say, say_error
from srlm_data.cli.sql import COMMANDS, STORE_VIEWS
from srlm_data.core import database
from srlm_data.core.errors import SrlmError
from srlm_data.core.schema import DATASET_TYPES
from srlm_data.store import Store

_WORD: Final = re.compile(r"[\w.@]*$")
_FUNCTIONS: Final = "avg count corr last length max median min model_name round said sum".split()


def converse(store: Store, answer: Callable[[str], None]) -> None:
    """Read queries and answer them until Ctrl-D; an error does not end the session."""
    session: PromptSession[str] = PromptSession(
        history=_history(),
        lexer=PygmentsLexer(SqlLexer),
        auto_suggest=AutoSuggestFromHistory(),
        key_bindings=_keys(),
        multiline=True,
        prompt_continuation="  ... ",
    )
    say("Ask with SQL, and end with ';'. '.help' says more, Ctrl-D leaves.")
    while True:
        try:
            text = session.prompt("srlm> ", completer=SqlCompleter(store)).strip()
            if text in {".quit", ".exit"}:
                return
            if text:
                answer(text)
        except KeyboardInterrupt:  # cancels the input or the query, not the session
            continue
        except EOFError:
            return
        except SrlmError as error:
            say_error(str(error))


class SqlCompleter(Completer):
    """Completes tables, versions after an @, columns of the tables in the query, and keywords."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Damaged datasets are not offered; a query of one reports the damage.
        self._types = {manifest.name: manifest.type for manifest in versions(store=store)}
        self._types |= {f"all_{dataset_type}": dataset_type for dataset_type in DATASET_TYPES}
        self._tables = [*self._types, *STORE_VIEWS]
        with database.connect() as connection:
            keywords = connection.sql(
                "SELECT upper(keyword_name) FROM duckdb_keywords() "
                "WHERE keyword_category = 'reserved' ORDER BY 1"
            ).fetchall()
        self._keywords = [keyword for (keyword,) in keywords]

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,
    ) -> Iterator[Completion]:
        """Yield the completions of the word before the cursor."""
        match = _WORD.search(document.text_before_cursor)
        word = match[0] if match else ""
        if not word:
            return
        for text in self._words(word, document.text):
            if text.lower().startswith(word.lower()) and text != word:
                yield Completion(text, start_position=-len(word))

    def _words(self, word: str, text: str) -> Iterable[str]:
        if text.startswith("."):
            return COMMANDS
        table, at, _ = word.partition("@")
        if at:
            return self._versions(table)
        if "." in word and not any(name.startswith(word) for name in self._tables):
            alias = word.rpartition(".")[0]
            return [f"{alias}.{column}" for column in self._columns(text)]
        return [*self._tables, *self._columns(text), *_FUNCTIONS, *self._keywords]

    def _versions(self, table: str) -> list[str]:
        if table not in self._tables or "." not in table:
            return []
        refs = [*self._store.refs(table), *(version[:8] for version in self._store.versions(table))]
        return [f"{table}@{ref}" for ref in refs]

    def _columns(self, text: str) -> list[str]:
        named = [dataset_type for name, dataset_type in self._types.items() if name in text.lower()]
        types = dict.fromkeys(named or DATASET_TYPES)
        return list(
            dict.fromkeys(name for each in types for name in DATASET_TYPES[each].schema.names)
        )


def _keys() -> KeyBindings:
    """Return the key bindings: Enter submits a query after ';' or a command, else adds a line."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        text = event.current_buffer.text.strip()
        if not text or text.startswith(".") or text.endswith(";"):
            event.current_buffer.validate_and_handle()
        else:
            event.current_buffer.insert_text("\n")

    return keys


def _history() -> History:
    """Return the history file in the user's state folder; in memory if that is read-only."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        file = state / "srlm-data" / "sql_history"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return InMemoryHistory()
    return FileHistory(str(file))

"""A shell command read without running it: the programs it starts, with arguments and redirections.

This is for policies, guards and statistics. It follows the shell's quoting rules, looks into `bash -c`,
`$(…)`, backquotes, subshells and wrappers such as `sudo`, `env`, `timeout` and `xargs`, and keeps
here-documents apart from commands. It is no sandbox: what a program does is not visible in its name.
"""

import re
from dataclasses import dataclass, field

__all__ = ["HereDocument", "SimpleCommand", "parse_command"]

_OPERATORS = ("&&", "||", ";;", ";", "|&", "|", "&", "\n", "(", ")")
_REDIRECTS = re.compile(r"(?:\d*|&)(?:>>|>\||<>|<<<|<<-?|>&|<&|>|<)")
_ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\+?=")
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in",
     "{", "}", "!", "time", "function", "select", "coproc"}
)  # fmt: skip
# Wrapper -> its options that take a value as the next word.
_WRAPPERS: dict[str, frozenset[str]] = {
    "sudo": frozenset({"-u", "-g", "-h", "-p", "-C", "-T", "-D", "-R", "-U"}),
    "doas": frozenset({"-u", "-C"}),
    "env": frozenset({"-u", "-C", "-S", "--unset", "--chdir"}),
    "nice": frozenset({"-n"}),
    "ionice": frozenset({"-c", "-n", "-p"}),
    "timeout": frozenset({"-s", "-k", "--signal", "--kill-after"}),
    "nohup": frozenset(),
    "setsid": frozenset(),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "xargs": frozenset({"-I", "-n", "-P", "-d", "-L", "-s", "-a", "-E"}),
    "exec": frozenset({"-a"}),
    "command": frozenset(),
    "builtin": frozenset(),
    "time": frozenset({"-f", "-o"}),
}
_TAKES_DURATION = frozenset({"timeout"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_MAX_DEPTH = 8
_MAX_CHARS = 200_000


@dataclass(frozen=True, slots=True)
class HereDocument:
    """The text fed to a command by `<<WORD`, without its end line."""

    delimiter: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleCommand:
    """One program with what follows it.

    Attributes:
        program: its name without folders; empty when the command only redirects.
        arguments: the words after it, quotes removed, substitutions as written.
        written: files that redirections write or append to.
        read: files that redirections read.
        here_documents: texts fed to it.
        wrapped_by: wrappers in front of it, such as `sudo`.
        invoked: the program as it was written, with its folder.
        appended: those of `written` that are appended to.
        followed_by: the operator after it, such as `&&` or `|`; empty for the last one.
    """

    program: str
    arguments: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    here_documents: tuple[HereDocument, ...] = ()
    wrapped_by: tuple[str, ...] = ()
    invoked: str = ""
    appended: tuple[str, ...] = ()
    followed_by: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """Arguments that begin with a dash; a group of short ones also one by one."""
        found: dict[str, None] = {}
        for word in self.arguments:
            if word == "--":
                break
            if word.startswith("--"):
                found[word.split("=", 1)[0]] = None
            elif word.startswith("-") and len(word) > 1:
                found[word] = None
                if word[1:].isalpha():
                    found.update(dict.fromkeys(f"-{letter}" for letter in word[1:]))
        return tuple(found)

    @property
    def subcommand(self) -> str:
        """The first argument that is no option, such as `push` of `git push`."""
        return next((word for word in self.arguments if not word.startswith("-")), "")


@dataclass(slots=True)
class _Word:
    text: str
    quoted_from: int | None = None  # where in the text the first quoted character stands
    nested: list[str] = field(default_factory=list)

    def quote(self) -> None:
        """What follows is quoted: no keyword or assignment begins there."""
        if self.quoted_from is None:
            self.quoted_from = len(self.text)

    @property
    def precedes_command(self) -> bool:
        """A keyword or assignment, after which a command still follows."""
        plain = self.text[: self.quoted_from]
        return _ASSIGNMENT.match(plain) is not None or (self.quoted_from is None and plain in _KEYWORDS)


def parse_command(command: str) -> tuple[SimpleCommand, ...]:
    """All simple commands of a shell command in the order they stand; never fails on odd text."""
    return tuple(_parse(command[:_MAX_CHARS], 0))


def _parse(command: str, depth: int) -> list[SimpleCommand]:
    if depth > _MAX_DEPTH:
        return []
    found: list[SimpleCommand] = []
    for tokens, documents, operator in _Reader(command).read():
        nested = [text for token in tokens if isinstance(token, _Word) for text in token.nested]
        simple = _simple(tokens, documents, operator)
        if simple is not None:
            found.append(simple)
            inner = _shell_text(simple)
            if inner:
                found += _parse(inner, depth + 1)
        for text in nested:
            found += _parse(text, depth + 1)
    return found


def _shell_text(simple: SimpleCommand) -> str:
    """What a shell or `eval` is told to run."""
    words = simple.arguments
    if simple.program == "eval":
        return " ".join(words)
    if simple.program in _SHELLS:
        for index, word in enumerate(words[:-1]):
            if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
                return words[index + 1]
        if not words or words[0] == "-s":
            return "\n".join(document.text for document in simple.here_documents)
    return ""


class _Reader:
    """Gathers the words of simple commands, with the here-documents that belong to each."""

    def __init__(self, command: str) -> None:
        self.scanner = _Scanner(command)
        self.found: list[tuple[list[_Word | str], list[HereDocument], str]] = []
        self._tokens: list[_Word | str] = []
        self._documents: list[HereDocument] = []
        self._waiting: list[tuple[str, bool, list[HereDocument]]] = []

    def read(self) -> list[tuple[list["_Word | str"], list[HereDocument], str]]:
        """The words, here-documents and following operator of each simple command."""
        scanner = self.scanner
        scanner.skip_blanks()
        while not scanner.ended:
            if not scanner.comment():
                self._next()
            scanner.skip_blanks()
        self._close()
        return self.found

    def _next(self) -> None:
        redirect = self.scanner.take_pattern(_REDIRECTS)
        if redirect:
            self._redirect(redirect)
            return
        operator = self.scanner.take(_OPERATORS)
        if operator == "\n":
            self._here_documents()
        if operator:
            self._close(operator)
        else:
            self._tokens.append(self.scanner.word())

    def _redirect(self, redirect: str) -> None:
        self._tokens.append(redirect)
        if redirect.lstrip("0123456789").startswith("<<") and not redirect.endswith("<<<"):
            self.scanner.skip_blanks()
            word = self.scanner.word()
            self._tokens.append(word)
            self._waiting.append((word.text, redirect.endswith("-"), self._documents))

    def _here_documents(self) -> None:
        for delimiter, strip_tabs, owner in self._waiting:
            text = self.scanner.here_document(delimiter, strip_tabs=strip_tabs)
            owner.append(HereDocument(delimiter, text))
        self._waiting = []

    def _close(self, operator: str = "") -> None:
        if self._tokens:
            self.found.append((self._tokens, self._documents, operator))
        self._tokens, self._documents = [], []


def _simple(
    tokens: list["_Word | str"], documents: list[HereDocument], operator: str
) -> SimpleCommand | None:
    words: list[_Word] = []
    written: list[str] = []
    appended: list[str] = []
    read: list[str] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if isinstance(token, str):
            following = tokens[index + 1] if index + 1 < len(tokens) else None
            if isinstance(following, _Word):
                index += 1
                redirect = token.lstrip("0123456789&")
                if redirect in {">", ">>", ">|", "<>"} or (
                    redirect == ">&" and not _is_handle(following.text)
                ):
                    written.append(following.text)
                    if redirect == ">>":
                        appended.append(following.text)
                elif redirect == "<":
                    read.append(following.text)
        else:
            words.append(token)
        index += 1
    while words and words[0].precedes_command:
        words.pop(0)
    texts = [word.text for word in words]
    wrappers = _strip_wrappers(texts)
    if not texts and not written and not documents:
        return None
    return SimpleCommand(
        program=texts[0].rsplit("/", 1)[-1] if texts else "",
        arguments=tuple(texts[1:]),
        written=tuple(path for path in written if path != "/dev/null"),
        read=tuple(read),
        here_documents=tuple(documents),
        wrapped_by=tuple(wrappers),
        invoked=texts[0] if texts else "",
        appended=tuple(appended),
        followed_by=operator,
    )


def _is_handle(text: str) -> bool:
    return text == "-" or text.isdigit()


def _strip_wrappers(texts: list[str]) -> list[str]:
    """Take wrappers with their options off the front; their names."""
    wrappers: list[str] = []
    while len(texts) > 1 and texts[0].rsplit("/", 1)[-1] in _WRAPPERS:
        wrapper = texts[0].rsplit("/", 1)[-1]
        rest = texts[1:]
        while rest and (rest[0].startswith("-") or _ASSIGNMENT.match(rest[0])):
            option = rest.pop(0)
            if option in _WRAPPERS[wrapper] and rest:
                rest.pop(0)
            if option == "--":
                break
        if wrapper in _TAKES_DURATION and rest:
            rest.pop(0)
        if not rest:
            return wrappers  # `env` alone is a program of its own
        wrappers.append(wrapper)
        texts[:] = rest
    return wrappers


class _Scanner:
    """A cursor over the text that knows the shell's quotes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.index = 0

    @property
    def ended(self) -> bool:
        return self.index >= len(self.text)

    def skip_blanks(self) -> None:
        while not self.ended:
            if self.text.startswith("\\\n", self.index):
                self.index += 2
            elif self.text[self.index] in " \t\r":
                self.index += 1
            else:
                return

    def comment(self) -> bool:
        if self.text[self.index] != "#":
            return False
        end = self.text.find("\n", self.index)
        self.index = len(self.text) if end < 0 else end
        return True

    def take(self, choices: tuple[str, ...]) -> str:
        for choice in choices:
            if self.text.startswith(choice, self.index):
                self.index += len(choice)
                return choice
        return ""

    def take_pattern(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.index)
        if match is None:
            return ""
        self.index = match.end()
        return match.group()

    def word(self) -> _Word:
        word = _Word("")
        start = self.index
        while not self.ended:
            char = self.text[self.index]
            if char in " \t\r\n;|&()<>":
                break
            self._piece(word, char)
        if self.index == start:
            self.index += 1  # a lone bracket of broken text
        return word

    def _piece(self, word: _Word, char: str) -> None:
        if char == "\\":
            if not self.text.startswith("\\\n", self.index):
                word.quote()
                word.text += self.text[self.index + 1 : self.index + 2]
            self.index += 2
        elif char == "'":
            end = self.text.find("'", self.index + 1)
            end = len(self.text) if end < 0 else end
            word.quote()
            word.text += self.text[self.index + 1 : end]
            self.index = end + 1
        elif char == '"':
            self._double(word)
        elif char == "`":
            self._backquoted(word)
        elif self.text.startswith("$(", self.index):
            self._substitution(word)
        else:
            word.text += char
            self.index += 1

    def _double(self, word: _Word) -> None:
        word.quote()
        self.index += 1
        while not self.ended:
            char = self.text[self.index]
            if char == '"':
                self.index += 1
                return
            if char == "\\" and self.text[self.index + 1 : self.index + 2] in {'"', "\\", "$", "`", "\n"}:
                word.text += self.text[self.index + 1]
                self.index += 2
            elif char == "`":
                self._backquoted(word)
            elif self.text.startswith("$(", self.index):
                self._substitution(word)
            else:
                word.text += char
                self.index += 1

    def _backquoted(self, word: _Word) -> None:
        end = self.text.find("`", self.index + 1)
        end = len(self.text) if end < 0 else end
        inner = self.text[self.index + 1 : end]
        word.nested.append(inner)
        word.text += f"`{inner}`"
        self.index = end + 1

    def _substitution(self, word: _Word) -> None:
        end = self._matching(self.index + 2)
        inner = self.text[self.index + 2 : end]
        if not inner.startswith("("):  # $(( … )) is arithmetic
            word.nested.append(inner)
        word.text += f"$({inner})"
        self.index = end + 1

    def _matching(self, index: int) -> int:
        """Where the bracket opened just before `index` closes."""
        depth, quote = 1, ""
        while index < len(self.text):
            char = self.text[index]
            if char == "\\" and quote != "'":
                index += 2
                continue
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if depth == 0:
                    return index
            index += 1
        return len(self.text)

    def here_document(self, delimiter: str, *, strip_tabs: bool) -> str:
        """The lines up to the delimiter; the cursor goes behind it."""
        lines: list[str] = []
        while not self.ended:
            end = self.text.find("\n", self.index)
            stop = len(self.text) if end < 0 else end
            line = self.text[self.index : stop]
            self.index = min(stop + 1, len(self.text))
            shown = line.lstrip("\t") if strip_tabs else line
            if shown == delimiter:
                break
            lines.append(shown)
        return "\n".join(lines) + ("\n" if lines else "")

"""The patterns by which a task text is cut and searched for mentions."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property


class _Pattern:
    """A pattern compiled when first used; most tasks need few of them, and compiling takes longer than reading."""

    def __init__(self, source: str, flags: int = 0) -> None:
        self._source = source
        self._flags = flags

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self._source, self._flags)

    def sub(self, replacement: str | Callable[[re.Match[str]], str], text: str) -> str:
        """As `re.Pattern.sub`."""
        return self._compiled.sub(replacement, text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """As `re.Pattern.finditer`."""
        return self._compiled.finditer(text)

    def match(self, text: str) -> re.Match[str] | None:
        """As `re.Pattern.match`."""
        return self._compiled.match(text)


HTML_COMMENT = _Pattern(r"<!--.*?-->", re.DOTALL)
DETAILS_TAG = _Pattern(r"</?(?:details|summary|br|p|b|i|img|kbd|sub|sup)\b[^>]*>", re.IGNORECASE)
URL = _Pattern(r"(?:https?|ftp)://[^\s<>()\[\]`'\"]+")
FENCE = _Pattern(
    r"^[ \t]*(?P<mark>```+|~~~+)(?P<info>[^\n]*)\n(?P<block>.*?)(?:^[ \t]*(?P=mark)[^\n]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
DIFF_START = _Pattern(
    r"(?:diff --git |index [0-9a-f]{7,}\.\.|--- (?:a/|/dev/null)|\+\+\+ (?:b/|/dev/null)|@@ -\d)"
)
DIFF_LINE = _Pattern(r"(?:[ +-]|\\ No newline|(?:new|deleted) file mode |rename |similarity )")
DIFF_PATH = _Pattern(r"^(?:diff --git a/\S+ b/|\+\+\+ b/|--- a/)(\S+)", re.MULTILINE)
COMMAND = _Pattern(r"[ \t]*(?:\$|%|PS [A-Z]:[^>]*>|[A-Z]:\\[^>]*>|\w+@[\w.-]+:[^$#]*[$#]) \S")
SETTING = _Pattern(
    r"[ \t]*(?:\[[\w.:\" -]+\][ \t]*$|[\w.-]{2,40}[ \t]*=[ \t]*(?:[\"'\[{\d]|true\b|false\b|\S+$)|[\w.-]{2,40}:(?:[ \t]*$|[ \t]+\S)|-[ \t]+[\w.-]+:|[#;])",
    re.IGNORECASE,
)
INLINE = _Pattern(r"(?<!`)(`{1,3})(?!`)([^`\n]{1,200})\1(?!`)")
PYTHON_FRAME = _Pattern(r'File "([^"\n]+)", line (\d+)(?:, in ([^\s]+))?')
IPYTHON_FRAME = _Pattern(
    r"^[ \t]*(?:File )?([\w~./\\-]+\.py[xi]?)(?::(\d+))?,? in ([\w<>.]+)(?:\(|$)", re.MULTILINE
)
PYTEST_FRAME = _Pattern(r"^([\w./\\-]+\.\w{1,4}):(\d+): (?:in )?([\w<>.]*)", re.MULTILINE)
JS_FRAME = _Pattern(
    r"^[ \t]*at (?:(?:async )?([\w$.<>\[\] ]+) )?\(?((?:file://)?[\w./\\@:-]+?\.\w{1,5}):(\d+)(?::\d+)?\)?",
    re.MULTILINE,
)
GO_FRAME = _Pattern(r"^[ \t]+([\w./\\-]+\.go):(\d+)(?: \+0x[0-9a-f]+)?", re.MULTILINE)
RUST_FRAME = _Pattern(r"(?:^|\s)(?:at |--> )([\w./\\-]+\.rs):(\d+)")
JAVA_FRAME = _Pattern(r"^[ \t]*at ([\w$.]+)\.([\w$<>]+)\(([\w$]+\.(?:java|kt|scala)):(\d+)\)", re.MULTILINE)
TRACE_START = _Pattern(
    r"^[ \t]*(?:(?:[A-Z]\w+ {3,})?Traceback \(most recent call last\)|panicked at |goroutine \d+ |Caused by:)"
)
TRACE_HEAD = _Pattern(r"(?:^[A-Z]\w+ {3,})?Traceback \(most recent call last\):?", re.MULTILINE)
TRACE_LINE = _Pattern(
    r'^[ \t]*(?:File "|at .*[(:]\d+|[\w./-]+\.py:\d+: |\.\.\. \d+ more|\^+\s*$|~+\^|(?:File )?[\w~./\\-]+\.py[xi]?(?::\d+)?,? in [\w<>.]+\(|-+> ?\d+ |<ipython-input|Input In \[|Cell In)'
)
ERROR = _Pattern(
    r"^[ \t]*(?:E\s+)?((?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Warning|Failure|Exit|Interrupt)\w*)(?:: +(.{4,300}))?$",
    re.MULTILINE,
)
INLINE_ERROR = _Pattern(r"\b([A-Z]\w*(?:Error|Exception|Warning))\b(?:[:(] ?['\"]?([^\n`'\")]{8,200}))?")
PATH = _Pattern(r"(?<![\w/.@-])((?:[\w.@+-]+/)*[\w.@+-]+\.[A-Za-z][A-Za-z0-9]{0,9})(?![\w/-])")
FOLDER = _Pattern(r"(?<![\w/.@-])((?:[\w.+-]+/){1,10}[\w.+-]*)(?![\w/])")
DOTTED = _Pattern(r"(?<![\w/.@])([^\W\d]\w*(?:\.[^\W\d]\w*)+)(?![\w/])", re.UNICODE)
DOUBLE_COLON = _Pattern(r"(?<![\w:])([^\W\d]\w*(?:::[^\W\d]\w*)+)", re.UNICODE)
RST_ROLE = _Pattern(r":(?:[a-z]+:)?([a-z]+):`~?\.?(?:[^`<]*<)?!?([\w./ :-]+?)>?`")
FROM_IMPORT = _Pattern(
    r"^[ \t>.]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(?:\(([^()]{1,2000})\)|([^\n#(]{1,500}))", re.MULTILINE
)
CREDIT = _Pattern(r"(?:-- ?)?(?:\b[Bb]y )?:user:`[^`\n]{0,80}`|(?<![\w`@])@[A-Za-z][\w-]{0,40}(?=[\s,.)])")
BACKPORT = _Pattern(
    r"^[^\w\n]{0,8}(?:This is a backport of|\(?cherry[- ]picked from|Backport of|Merge pull request|Merge branch).*$",
    re.IGNORECASE | re.MULTILINE,
)
RST_TAG = _Pattern(r"^:(?:tags|tickets|versions):.*$", re.MULTILINE)
CALL = _Pattern(r"(?<![\w.])([^\W\d]\w+)\(", re.UNICODE)
TWO_PARTS = _Pattern(
    r"(?<![\w/.@:-])([^\W\d_]{2,20})(?:[/-](\d{1,2})|-([^\W\d_]{2,20}))(?![\w/-]|\.\w)", re.UNICODE
)
QUOTED = _Pattern(r"(?<!\w)(?:\"([^\"\n]{6,200})\"|'([^'\n]{6,200})'(?!\w))")
VERSION_LINE = _Pattern(
    r"^[\s*>|#-]*(?:`{0,3})?(?:python|pip|os|platform|system|windows|linux|macos|darwin|ubuntu|debian|version|versions|commit|"
    r"installed|arch\w*|machine|processor|byteorder|lc_all|lang|locale|libhdf5|libnetcdf|executable|node|npm|rustc|cargo|go|"
    r"[\w.-]{2,30})(?: version)?\s*(?::|=|==|\s)\s*[~^=<>v]*\d+(?:\.\d+)+[\w.+-]*.{0,60}$",
    re.IGNORECASE,
)
TEMPLATE = _Pattern(
    r"^[ \t]*(?:#+\s*|\*\*)?(?:description|expected (?:behaviou?r|results?|output)|actual (?:behaviou?r|results?|outcome|output)|"
    r"steps/?(?: ?code)? to reproduce|steps to reproduce|to reproduce|how to reproduce|reproduc\w+(?: steps)?|(?:expected|actual) outcomes?|"
    r"additional (?:context|information)|screenshots?|checklist|bug report|bug summary|summary|"
    r"code for reproduction|minimal (?:complete )?(?:verifiable )?example.*|what happened|what you expected to happen|"
    r"anything else.*|minimal reproducible example|problem description|command used|desktop)\s*(?:\*\*)?[:?]?\s*$",
    re.IGNORECASE,
)
_MACHINE = (
    r"(?:output of .*show_versions.*|(?:[\w.+-]+ ){0,3}versions?(?: info\w*)?|(?:your )?environment(?: info\w*)?|system(?: info\w*| details)?|"
    r"operating system|os|platform|python|[\w.+-]+ backend|installation(?: method)?|dependencies|(?:pip|conda) list)"
)
MACHINE_HEADING = _Pattern(
    rf"^[ \t]*(?:(?:#{{2,6}}[ \t]*|\*\*){_MACHINE}\b.{{0,20}}|(?:# )?(?:output of .*show_versions.*|versions?|environment(?: info\w*)?|system info\w*)[ \t]*:?[ \t]*)$",
    re.IGNORECASE,
)
CODE_START = _Pattern(r"[ \t]*(?:>>> |In \[|import |from \S+ import |def |class )")
MACHINE_BLOCK = _Pattern(
    r"(?!(?s:.*?)(?:^[ \t]*(?:>>> |In \[|import |from \S+ import |def |class )|Traceback \())", re.MULTILINE
)
HEADING = _Pattern(r"^[ \t]*(?:#{1,6}[ \t]+\S|\*\*[^*]+\*\*:?[ \t]*$)")
NO_ANSWER = _Pattern(r"^[ \t]*(?:_No response_|\(last modified by [^()\n]{1,80}\))[ \t]*$", re.MULTILINE)
CODE_LINE = _Pattern(
    r"^(?: {4}|\t)\s*\S|^[ \t]*(?:>>> |\.\.\. |In \[\d+\]: |\$ |def |class |import |from \S+ import |@\w+|return\b|#include|fn |func |const |let |var |async def )"
)
PROMPT = _Pattern(r"^[ \t]*(?:>>> ?|\.\.\. ?|In \[\d+\]: ?|\s+\.{3,}: |\$ |% |irb\S*> |php > |> (?=\w+[.(]))")
OUTPUT = _Pattern(
    r"^[ \t]*(?:Out ?\[\d+\]:|\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\[?(?:INFO|DEBUG|WARN(?:ING)?|ERROR)\]?[ :]|={5,} |-{5,} (?!a/|b/)|_{5,} "
    r"|(?:FAILED|PASSED|ERROR|SKIPPED|XFAIL) \S+::|collected \d+ items?|platform \w+ -- |rootdir: |plugins: |E {3,}\S"
    r"|\d+ (?:passed|failed|error)|[\w./\\-]+\.\w{1,4}:\d+:\d+: (?:error|warning|note):|(?:error|warning)(?:\[\w+\])?: |npm ERR! )"
)
OBJECT = _Pattern(r"<((?:[\w.]+)(?: object)?(?: [\w.]+)?) at 0x[0-9a-fA-F]+>")

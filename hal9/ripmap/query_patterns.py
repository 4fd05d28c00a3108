# ruff: noqa: E501 - a pattern is easier to read in one piece
"""The patterns by which a task text is cut and searched for mentions."""

import re

HTML_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
DETAILS_TAG = re.compile(r"</?(?:details|summary|br|p|b|i|img|kbd|sub|sup)\b[^>]*>", re.IGNORECASE)
URL = re.compile(r"(?:https?|ftp)://[^\s<>()\[\]`'\"]+")
FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n(.*?)(?:^[ \t]*\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)(`{1,3})(?!`)([^`\n]{1,200})\1(?!`)")
PYTHON_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)(?:, in ([^\s]+))?')
PYTEST_FRAME = re.compile(r"^([\w./\\-]+\.\w{1,4}):(\d+): (?:in )?([\w<>.]*)", re.MULTILINE)
JS_FRAME = re.compile(
    r"^[ \t]*at (?:(?:async )?([\w$.<>\[\] ]+) )?\(?((?:file://)?[\w./\\@:-]+?\.\w{1,5}):(\d+)(?::\d+)?\)?",
    re.MULTILINE,
)
GO_FRAME = re.compile(r"^[ \t]+([\w./\\-]+\.go):(\d+)(?: \+0x[0-9a-f]+)?", re.MULTILINE)
RUST_FRAME = re.compile(r"(?:^|\s)(?:at |--> )([\w./\\-]+\.rs):(\d+)")
JAVA_FRAME = re.compile(r"^[ \t]*at ([\w$.]+)\.([\w$<>]+)\(([\w$]+\.(?:java|kt|scala)):(\d+)\)", re.MULTILINE)
TRACE_START = re.compile(
    r"^[ \t]*(?:Traceback \(most recent call last\)|panicked at |goroutine \d+ |Caused by:)"
)
TRACE_LINE = re.compile(r'^[ \t]*(?:File "|at .*[(:]\d+|[\w./-]+\.py:\d+: |\.\.\. \d+ more|\^+\s*$|~+\^)')
ERROR = re.compile(
    r"^[ \t]*(?:E\s+)?((?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Warning|Failure|Exit|Interrupt)\w*)(?:: +(.{4,300}))?$",
    re.MULTILINE,
)
INLINE_ERROR = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Warning))\b(?:[:(] ?['\"]?([^\n`'\")]{8,200}))?")
PATH = re.compile(r"(?<![\w/.@-])((?:[\w.@+-]+/)*[\w.@+-]+\.[A-Za-z][A-Za-z0-9]{0,9})(?![\w/-])")
FOLDER = re.compile(r"(?<![\w/.@-])((?:[\w.+-]+/){1,10}[\w.+-]*)(?![\w/])")
DOTTED = re.compile(r"(?<![\w/.@])([^\W\d]\w*(?:\.[^\W\d]\w*)+)(?![\w/])", re.UNICODE)
DOUBLE_COLON = re.compile(r"(?<![\w:])([^\W\d]\w*(?:::[^\W\d]\w*)+)", re.UNICODE)
RST_ROLE = re.compile(r":(?:[a-z]+:)?([a-z]+):`~?\.?(?:[^`<]*<)?!?([\w./ :-]+?)>?`")
CREDIT = re.compile(r"(?:-- ?)?(?:\b[Bb]y )?:user:`[^`\n]{0,80}`|(?<![\w`@])@[A-Za-z][\w-]{0,40}(?=[\s,.)])")
BACKPORT = re.compile(
    r"^[^\w\n]{0,8}(?:This is a backport of|\(?cherry[- ]picked from|Backport of|Merge pull request|Merge branch).*$",
    re.IGNORECASE | re.MULTILINE,
)
RST_TAG = re.compile(r"^:(?:tags|tickets|versions):.*$", re.MULTILINE)
CALL = re.compile(r"(?<![\w.])([^\W\d]\w+)\(", re.UNICODE)
QUOTED = re.compile(r"(?<!\w)(?:\"([^\"\n]{6,200})\"|'([^'\n]{6,200})'(?!\w))")
VERSION_LINE = re.compile(
    r"^[\s*>|#-]*(?:`{0,3})?(?:python|pip|os|platform|system|windows|linux|macos|darwin|ubuntu|debian|version|versions|commit|"
    r"installed|arch\w*|machine|processor|byteorder|lc_all|lang|locale|libhdf5|libnetcdf|executable|node|npm|rustc|cargo|go|"
    r"[\w.-]{2,30})(?: version)?\s*(?::|=|==|\s)\s*[~^=<>v]*\d+(?:\.\d+)+[\w.+-]*.{0,60}$",
    re.IGNORECASE,
)
TEMPLATE = re.compile(
    r"^[ \t]*(?:#+\s*|\*\*)?(?:description|expected (?:behaviou?r|results?|output)|actual (?:behaviou?r|results?|outcome|output)|"
    r"steps/?(?: code)? to reproduce|steps to reproduce|to reproduce|how to reproduce|reproduc\w+(?: steps)?|versions?(?: info\w*)?|environment|"
    r"additional (?:context|information)|system (?:info\w*|details)|screenshots?|checklist|bug report|bug summary|summary|"
    r"code for reproduction|minimal (?:complete )?(?:verifiable )?example.*|what happened|what you expected to happen|your environment|os|"
    r"anything else.*|minimal reproducible example|problem description|configuration|command used|pylint output|desktop)\s*(?:\*\*)?[:?]?\s*$",
    re.IGNORECASE,
)
VERSION_HEADING = re.compile(
    r"^[ \t]*(?:#+\s*|\*\*)?(?:output of .*show_versions.*|versions?|environment|system info\w*|.*version info\w*|your environment)\b.{0,20}$",
    re.IGNORECASE,
)
CODE_LINE = re.compile(
    r"^(?: {4}|\t)\s*\S|^[ \t]*(?:>>> |\.\.\. |In \[\d+\]: |\$ |def |class |import |from \S+ import |@\w+|return\b|#include|fn |func |const |let |var |async def )"
)

"""What a correction's words ask for, told by closed lists of phrases in ten languages; no model takes part.

English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Chinese and Japanese are
covered as far as such phrases go. What is not recognised is taken as an ordinary rule: the lists only ever
withhold.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Literal

__all__ = [
    "about_one_answer",
    "contentless",
    "hostile",
    "scope_word",
    "subject_words",
    "supersedes",
    "we_always",
    "withdrawal",
]

_CONTENTLESS = """
no nope not wrong bad false incorrect again terrible awful ugh meh hmm please really still just it this that
is was was's all answer result code output very so completely totally right good enough try fix redo undo
what why because since does doesn't didn't do don't work works worked broken nein falsch schlecht nicht nochmal wieder leider das ist stimmt so richtig gut völlig weil denn da es sie funktioniert klappt geht kaputt
non faux mauvais mal encore pas bon c'est ça incorrecte parce que ne marche fonctionne
incorrecto falso otra vez está esta mal malo porque no funciona
sbagliato errato no ancora è
não nao errado errada ruim de novo está
nee fout slecht opnieuw dit
nie źle zle błąd błędnie znowu jest to
нет неверно неправильно плохо опять снова это не так
不 不对 错 错了 不行 不好 重来 再来 不是
だめ 駄目 違う 違います 間違い いいえ ダメ もう一度 間違いです 間違ってる 間違っています 動かない 動きません
아니 아니요 틀렸어 틀렸습니다 잘못
لا خطأ غلط नहीं गलत hayır yanlış
"""
_EMPTY = frozenset(_CONTENTLESS.split())
_ONE_ANSWER = re.compile(
    r"^\W*(?:(?:it|this|that|the (?:answer|code|result|output|text)|das|dies|die antwort|c'est|es|está)\b\W*)?"
    r"(?:is|was|ist|war)?\W*(?:much |way |far |a bit |viel |etwas |trop|beaucoup trop|demasiado |troppo |te )?"
    r"(?:too|zu|trop|demasiado|troppo|te)?\s*"
    r"(?:long|short|slow|verbose|complicated|complex|vague|terse|wordy|messy|ugly|unclear|lang|kurz|langsam|"
    r"umständlich|unklar|largo|larga|corto|lento|lungo|corto|court|lent|kort|traag)\W*$",
    re.IGNORECASE,
)
_WITHDRAW = re.compile(
    r"^\W*(?:please\s+)?(?:forget|drop|ignore|withdraw|remove|delete|undo|cancel|never mind|disregard)\b"
    r"|\bno longer\b|(?:\bnot|n't|\bnever)\b[^.;]{0,40}\bany ?(?:more|longer)\b|\bthat rule (?:is|was) wrong\b"
    r"|\brule\b[^.;]{0,60}(?:\bnot|n't) (?:apply|hold|count)\b|\b(?:you can|let's|we) (?:forget|drop|scrap)\b"
    r"|^\W*(?:bitte\s+)?(?:vergiss|vergessen sie|streiche|lösche)\b|\bnicht mehr\b|\bgilt nicht\b"
    r"|^\W*(?:oublie|oubliez|ignore)\b|\bne .{0,40}\bplus\b|^\W*(?:olvida|ignora|dimentica|esquece|esqueça)\b|\bya no\b"
    r"|\bnon .{0,30}\bpiù\b|^\W*vergeet\b|^\W*zapomnij\b|^\W*забудь|больше не |忘れて|忘记|不再|もう.{0,20}ない",
    re.IGNORECASE,
)
_FROM_NOW = re.compile(
    r"\bfrom now on\b|\binstead of\b|\bhenceforth\b|\bwe (?:now|changed|switched|moved)\b|\bas of (?:now|today)\b"
    r"|\bab (?:jetzt|sofort)\b|\bstatt(?:dessen)?\b|\bdésormais\b|\bdorénavant\b|\bà partir de maintenant\b"
    r"|\ba partir de ahora\b|\bd'ora in poi\b|\bagora em diante\b|\bvoortaan\b|\bod teraz\b|\bотныне\b|\bтеперь\b"
    r"|从现在起|今后|これから|今後",
    re.IGNORECASE,
)
_PROJECT = re.compile(
    r"\b(?:everywhere|project[- ]?wide|(?:whole|entire) (?:project|repo\w*|code ?base)|all (?:(?:of )?our )?(?:files|modules|code)"
    r"|no matter where|wherever|every (?:file|module)|throughout|across the board"
    r"|(?:in|for|across|throughout) (?:this|the|our|all) (?:whole )?(?:projects?|repo\w*|code ?base)"
    r"|überall|im (?:ganzen|gesamten) (?:projekt|code)|in allen (?:dateien|modulen)|projektweit|grundsätzlich"
    r"|partout|dans tout le (?:projet|code)|tous les fichiers|en todo el (?:proyecto|código)|en todas partes|en todos los archivos"
    r"|ovunque|dappertutto|in tutto il (?:progetto|codice)|em todo o (?:projeto|código)|em todos os arquivos|overal|in het hele project"
    r"|wszędzie|w całym projekcie)\b"
    r"|везде|во всём проекте|во всем проекте|整个项目|所有文件|到处|プロジェクト全体|すべてのファイル|どこでも",
    re.IGNORECASE,
)
_WE_ALWAYS = re.compile(
    r"\b(?:we|our team|everybody)\b[^.;:]{0,20}\b(?:always|never)\b|\bwir\b[^.;:]{0,40}\b(?:immer|nie(?:mals)?|stets)\b"
    r"|\bnous\b[^.;:]{0,40}\b(?:toujours|jamais)\b|\bnosotros\b[^.;:]{0,40}\b(?:siempre|nunca)\b"
    r"|\b(?:siempre|nunca)\b[^.;:]{0,20}\w+(?:amos|emos|imos)\b|\bwij?\b[^.;:]{0,40}\b(?:altijd|nooit)\b"
    r"|мы (?:всегда|никогда)|我们(?:总是|从不|一直)|私たちは(?:常に|必ず)",
    re.IGNORECASE,
)
_FILE = re.compile(
    r"\b(?:in|for|of) this (?:file|script|module)\b|\b(?:only|just) (?:here|in this file)\b|\bin dieser datei\b"
    r"|\bnur hier\b|\bdans ce fichier\b|\ben este archivo\b|\bin questo file\b|\bneste arquivo\b|\bin dit bestand\b"
    r"|\bw tym pliku\b|в этом файле|这个文件|此文件|このファイル",
    re.IGNORECASE,
)
_FOLDER = re.compile(
    r"\b(?:in|for) this (?:folder|directory|package)\b|\bin diesem (?:ordner|verzeichnis|paket)\b|\bdans ce dossier\b"
    r"|\ben esta carpeta\b|\bin questa cartella\b|\bnesta pasta\b|\bin deze map\b|в этой папке|这个目录|このフォルダ",
    re.IGNORECASE,
)
_HOSTILE = re.compile(
    (
        r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|system|all|any)\b.{0,30}"
        r"\b(?:instructions?|prompts?|rules?|polic\w+|messages?|guidelines?|safety|limits?|checks?)\b"
        r"|\byou are now\b|\bpretend (?:to be|you)\b|\b(?:system|developer) (?:prompt|message)\b|<\s*/?\s*(?:system|assistant)\s*>"
        r"|\b(?:reveal|print|show|send|post|upload|exfiltrate|leak|email|curl)\b.{0,50}"
        r"\b(?:secrets?|passwords?|api.?keys?|tokens?|credentials?|\.env|\.ssh|private keys?|system prompt)\b"
        r"|\brm\s+-\w*[rf]\w*\s+(?:/|~|\*)|\b(?:curl|wget)\b[^\n]{0,200}\|\s*(?:ba|z)?sh\b|\bmkfs\b|:\(\)\s*\{"
        r"|\b(?:disable|turn off|skip|remove|delete)\b.{0,30}\b(?:all )?(?:the )?(?:tests?|checks?|safety|sandbox|security|"
        r"verification|certificate|authentication)\b"
        r"|\balways (?:answer|reply|respond|say|return) (?:with )?(?:yes|ok|done|success|passed)\b"
        r"|\b(?:ignoriere|vergiss)\b.{0,40}\b(?:anweisungen|regeln|vorgaben)\b|\bignor(?:e|ez|a)\b.{0,40}\binstruc\w+"
        r"|忽略.{0,12}(?:指令|指示|规则)|(?:指示|ルール).{0,6}無視"
    ).replace(" ", r"\s+"),  # wherever the lines are broken
    re.IGNORECASE | re.DOTALL,
)
_FORBIDDEN = re.compile(
    r"\b(?:never|don['’]t|do not|must not|mustn['’]t|should not|shouldn['’]t|may not|cannot|can['’]t|without)"
    r"(?: (?:ever|just|simply|to))?\s+\**$",
    re.IGNORECASE,
)
_BEFORE = 24
_STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "must",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "please",
        "should",
        "so",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "too",
        "us",
        "use",
        "used",
        "uses",
        "using",
        "was",
        "we",
        "were",
        "when",
        "where",
        "which",
        "will",
        "with",
        "you",
        "your",
        "always",
        "never",
        "only",
        "every",
        "all",
        "any",
        "instead",
        "rather",
        "now",
        "longer",
        "more",
        "write",
        "written",
        "writes",
        "der",
        "die",
        "das",
        "und",
        "oder",
        "ist",
        "sind",
        "nicht",
        "immer",
        "nur",
        "mit",
        "von",
        "für",
        "auf",
        "ein",
        "eine",
        "einen",
        "wir",
        "bitte",
        "werden",
        "wird",
        "muss",
        "müssen",
        "als",
        "le",
        "la",
        "les",
        "un",
        "une",
        "des",
        "et",
        "ou",
        "est",
        "sont",
        "pas",
        "toujours",
        "dans",
        "avec",
        "pour",
        "de",
        "du",
        "que",
        "nous",
        "el",
        "los",
        "las",
        "y",
        "o",
        "es",
        "son",
        "no",
        "siempre",
        "con",
        "para",
        "il",
        "lo",
        "gli",
        "e",
        "è",
        "sempre",
        "con",
        "per",
        "module",
        "folder",
        "file",
        "project",
        "code",
        "answer",
        "function",
    ]
)
_TOKEN = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*|[぀-ヿ一-鿿]", re.UNICODE)
_LEAST_LETTERS = 2


def _words(text: str) -> list[str]:
    return [word.lower() for word in _TOKEN.findall(unicodedata.normalize("NFC", text))]


def contentless(text: str) -> bool:
    """Whether a reason says only that something is wrong ("no, wrong", "falsch", "不对")."""
    plain = unicodedata.normalize("NFC", text).strip().lower().strip(" \t.!?,;:…。！？、'\"")
    if not plain:
        return True
    if any(sign.isdigit() for sign in plain) or re.search(r"[`\"(){}\[\]=<>/\\_]", plain):
        return False
    words = re.split(r"[\s,.!?;:…。！？、]+", plain)
    return all(word in _EMPTY for word in words if word)


def about_one_answer(text: str) -> bool:
    """Whether a remark is about this one answer ("too long"): a rule only when it is made again."""
    return _ONE_ANSWER.match(text.strip()) is not None


def withdrawal(text: str) -> bool:
    """Whether the words take a rule back ("forget that", "no longer …")."""
    return _WITHDRAW.search(text) is not None and not hostile(text)


def supersedes(text: str) -> bool:
    """Whether the words say that something changes ("from now on", "statt")."""
    return _FROM_NOW.search(text) is not None


def we_always(text: str) -> bool:
    """Whether a team speaks of a habit ("we always …"); "always" alone tells when, not where."""
    return _WE_ALWAYS.search(text) is not None


def scope_word(text: str) -> Literal["project", "folder", "file", ""]:
    """Which place the words themselves name."""
    for word, pattern in (("file", _FILE), ("folder", _FOLDER), ("project", _PROJECT)):
        if pattern.search(text):
            return word  # type: ignore[return-value]
    return ""


def hostile(text: str) -> str:
    """What makes a text one that must not come near a prompt by itself; "" for an ordinary one.

    What is forbidden in so many words ("never skip tests") is an ordinary rule.
    """
    for found in _HOSTILE.finditer(text):
        if not _FORBIDDEN.search(text, max(0, found.start() - _BEFORE), found.start()):
            return " ".join(found.group(0).split())[:80]
    return ""


@lru_cache(maxsize=2048)
def subject_words(text: str) -> frozenset[str]:
    """What a text is about: its content words, shortened so that inflected forms agree; CJK as pairs of signs."""
    words = _words(text)
    found = {word[:6] for word in words if len(word) > _LEAST_LETTERS and word not in _STOP}
    signs = [word for word in words if len(word) == 1 and ord(word) > 0x3000]
    return frozenset(found | {first + second for first, second in pairwise(signs)})

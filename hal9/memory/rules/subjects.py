"""What a text is about, in words of eleven languages: the kinds of values and of code that house rules speak of.

Closed lists, no model: a rule about dates and a task about a deadline meet here although they share no word, and
also when one is German and the other is English. What the lists do not know is no subject; then only places and
similarity speak.
"""

import re
import unicodedata
from functools import lru_cache

__all__ = ["about_style", "subjects", "value_subjects"]

_VALUE_WORDS = {
    "date": """date dates dated day days month months year years week weeks weekday deadline due calendar birthday
        today tomorrow yesterday datum datums* datumsangabe* tag tage tagen monat* jahr* woche* frist* fällig* morgen
        jour jours mois année* semaine* échéance* fecha* día días mes meses año años semana* vencimiento* giorn* mese
        mesi anno anni settiman* scadenz* dia dias mês ano anos prazo* dag dagen maand* jaar jaren week dzień dni
        miesiąc* дат* день дня дней месяц* год* недел* срок* strftime isoformat iso yyyy* jjjj* aaaa*
        dd* tt* 日期 日付 天 月 年 날짜 星期""",
    "money": """amount amounts price prices priced cost costs currency money fee fees tax taxes vat salary paid payment*
        discount* net gross deposit* cent cents euro euros dollar* refund* betrag beträge* preis* kosten geld*
        währung* gebühr* steuer* rabatt* montant* prix coût* argent monnaie taxe* remise* importe* precio* coste* dinero
        moneda* impuesto* descuento* céntimo* importo prezzo* costo costi soldi valuta sconto* preço* custo custos dinheiro
        moeda* desconto* bedrag* prijs prijzen kwot* cena ceny koszt* сумм* цен* стоимост* деньг* валют* налог* скидк*
        金额 价格 费用 金額 価格 料金 금액 가격""",
    "person": """name* surname* person people firstname lastname first_name last_name nachname* vorname* kunde*
        nom noms prénom* personne* nombre* apellido* persona* nome nomi cognome* sobrenome* naam namen achternaam imię
        nazwisk* имя имен* фамил* 姓名 名字 名前 이름""",
    "time": """time hour hours minute minutes timezone utc duration* clock uhrzeit* zeit* stunde* zeitzone* heure*
        hora horas minuto* orari* uur uren godzin* врем* час* минут* 时间 時間 时区 시간""",
    "identifier": """id ids identifier* uuid kennung* schlüssel* identifiant* identificador* clave* clé*
        identificat* chave* sleutel* идентификатор* ключ* 编号 識別子""",
    "quantity": """quantity quantities count counts counted stock pieces pcs units menge* stück* bestand* anzahl quantité*
        cantidad* existencias quantità quantidade* estoque aantal* voorraad ilość количеств* запас* 数量 库存 在庫 수량""",
    "temperature": """temperature* celsius kelvin fahrenheit temperatur* température* temperatura* температур* 温度 気温""",
    "length": """distance* metre* meter* mile* kilometre* kilometer* width height length abstand* entfernung* länge* breite*
        höhe* longueur* largeur* hauteur* distancia* longitud* anchura altura distanza* lunghezz* comprimento* lengte
        afstand* odległoś* длин* расстояни* 距离 長さ 距離""",
    "weight": "weight* gram* kilogram* kg gewicht* poids peso* waga вес 重量",
    "percent": """percent* percentage* ratio* prozent* anteil* pourcentage* porcentaje* percentual* porcentagem procent*
        процент* 百分比 割合""",
    "phone": "phone* telephone* telefon* téléphone* teléfono* telefono* телефон* 电话 電話",
    "email": "email* e-mail* mail* correo* почт* 邮箱 メール",
    "address": "address* street* postcode* zip adresse* straße* dirección* direccion* indirizz* endereço* adres* адрес* 地址 住所",
    "url": "url urls link links uri slug* lien liens enlace* 链接",
    "reading": """reading* sensor* measurement* messwert* messung* lecture* capteur* lectura* lettura* leitura* meting*
        odczyt* показани* датчик* 读数 センサー""",
    "empty": """empty missing leer* vide* vacío* vacía* vuot* vazi* leeg lege pust* пуст* 空""",
    "negative": """negative below* negativ* négati* negativo* отрицательн* 负 負""",
    "speed": "speed* velocity motor* geschwindigkeit* vitesse* velocidad* velocità velocidade* скорост* 速度",
    "table": "table tables sql query queries select tabelle* tabla* tabella* tabela* tabel* таблиц* abfrage* requête* consulta* 表 查询 テーブル",
    "script": "script scripts shell bash skript* shellskript* guion guiones скрипт* 脚本 スクリプト",
    "note": "note notes notiz* nota notas notatk* заметк* 笔记 メモ",
    "report": "report* bericht* rapport* informe* relatóri* relazion* отчет* отчёт* 报告 レポート",
}
_STYLE_WORDS = {
    "types": """type-hint* type-checker* checker typchecker typehint* hint hints annotation* annotate* typed typing mypy type-check* typannotation* typhinweis*
        typangabe* typisier* anotacion* anotaçõ* annotazion* аннотаци* 类型注解 型ヒント 型注釈""",
    "docstrings": "docstring* docstrings 文档字符串",
    "comments": "comment comments kommentar* commentaire* comentario* comentári* commenti opmerking* комментар* 注释 コメント",
    "imports": "import imports importation* importaciones импорт* 导入",
    "naming": """camelcase snake_case snakecase camel snake bezeichner* identifiers variablenname* variable-name* 命名 変数名""",
    "quotes": "quote quotes quoted anführungszeichen guillemet* comillas virgolette aspas кавыч* 引号",
    "layout": """indent* indentation spaces tabs whitespace einrück* leerzeichen indentación sangría отступ* 缩进 インデント
        line-length 120""",
    "errors": """exception* raise raises error-handling try except ausnahme* fehlerbehandlung исключени* 异常 例外
        excepcion* eccezion* exceções""",
    "logging": "log logs logging logger print prints protokollier* journalis* registr* логир* 日志 ログ",
    "asynchronous": "async await asyncio",
    "tests": "test tests pytest unittest testing testfall* prueba* essai* тест* 测试 テスト",
    "licence": "copyright licence license header spdx",
    "language": "english englisch* anglais inglés inglese inglês английск* deutsch german",
}
VALUES = frozenset(_VALUE_WORDS)
STYLE = frozenset({"types", "docstrings", "comments", "naming", "quotes", "layout", "licence", "language"})
"""Of the subjects of code those that say nothing about what a piece of code computes or talks to."""

_TOKEN = re.compile(r"[^\W\d]+(?:-[^\W\d_]+)*", re.UNICODE)
_PART = re.compile(r"[A-Z]?[^\WA-Z\d_]+|[A-Z]+(?![a-z])", re.UNICODE)
_WIDE = re.compile("[぀-ヿ一-鿿가-힯]")
_LEAST_PREFIX = 2


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, set[str]], list[tuple[str, str]], list[tuple[str, str]]]:
    """Whole words, prefixes, and signs of scripts without blanks, each with its subject."""
    words: dict[str, set[str]] = {}
    prefixes: list[tuple[str, str]] = []
    signs: list[tuple[str, str]] = []
    for subject, text in (*_VALUE_WORDS.items(), *_STYLE_WORDS.items()):
        for word in text.split():
            if _WIDE.match(word):
                signs.append((word, subject))
            elif word.endswith("*"):
                prefixes.append((word[:-1], subject))
            else:
                words.setdefault(word, set()).add(subject)
    return words, prefixes, signs


@lru_cache(maxsize=4096)
def subjects(text: str) -> frozenset[str]:
    """The subjects that a text names, in words or in identifiers (`due_date`, `dueDate`)."""
    words, prefixes, signs = _tables()
    plain = unicodedata.normalize("NFC", text)
    found = set[str]()
    for word in {*_words(plain)}:
        known = words.get(word)
        if known is not None:
            found |= known
        found.update(
            subject for prefix, subject in prefixes if len(word) > _LEAST_PREFIX and word.startswith(prefix)
        )
    if _WIDE.search(plain):
        found.update(subject for sign, subject in signs if sign in plain)
    return frozenset(found)


def _words(text: str) -> set[str]:
    found = set[str]()
    for token in _TOKEN.findall(text):
        found.add(token.lower())
        for piece in token.split("_"):
            found.update(part.lower() for part in _PART.findall(piece))
            found.add(piece.lower())
    return found


def value_subjects(text: str) -> frozenset[str]:
    """Of the subjects, those that are kinds of values (dates, money, names, …)."""
    return subjects(text) & VALUES


def about_style(text: str) -> bool:
    """Whether a text is about how code is written, whatever it computes: that holds for a whole project."""
    found = subjects(text)
    return bool(found & STYLE) and not found & VALUES

"""The estimate is never below the truth, in any script, and not far above it for what people write."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.ripmap.text.token_count import estimate_tokens

PROSE = {
    "Chinese": "这个函数返回所有匹配的文件，并按照它们的分数排序。如果没有找到任何文件，则引发错误。请检查配置文件中的参数是否正确设置。",  # noqa: RUF001
    "Japanese": "この関数は一致するすべてのファイルを返し、スコア順に並べ替えます。ファイルが見つからない場合はエラーを発生させます。",
    "Korean": "이 함수는 일치하는 모든 파일을 반환하고 점수별로 정렬합니다. 파일이 없으면 오류를 발생시킵니다.",
    "Hindi": "यह फ़ंक्शन सभी मेल खाने वाली फ़ाइलें लौटाता है और उन्हें उनके अंकों के अनुसार क्रमबद्ध करता है।",
    "Russian": "Эта функция возвращает все подходящие файлы и сортирует их по оценке. Если файлы не найдены, возникает ошибка.",
    "Arabic": "تعيد هذه الدالة جميع الملفات المطابقة وترتبها حسب الدرجة. إذا لم يتم العثور على أي ملف فسيحدث خطأ.",
    "Hebrew": "הפונקציה הזו מחזירה את כל הקבצים התואמים וממיינת אותם לפי ציון.",
    "Thai": "ฟังก์ชันนี้ส่งคืนไฟล์ที่ตรงกันทั้งหมดและเรียงลำดับตามคะแนน",
    "Greek": "Αυτή η συνάρτηση επιστρέφει όλα τα αρχεία που ταιριάζουν και τα ταξινομεί.",
    "German": "Diese Funktion gibt alle passenden Dateien zurück und ordnet sie nach Bewertung; größere Übergänge prüft sie öfter.",
    "Vietnamese": "Hàm này trả về tất cả các tệp phù hợp và sắp xếp chúng theo điểm số.",
    "Tamil": "இந்த செயல்பாடு பொருந்தும் அனைத்து கோப்புகளையும் திருப்பித் தருகிறது",
    "Georgian": "ეს ფუნქცია აბრუნებს ყველა შესაბამის ფაილს და ალაგებს მათ ქულების მიხედვით",
    "Amharic": "ይህ ተግባር ሁሉንም ተዛማጅ ፋይሎች ይመልሳል",
    "English": "This function returns every matching file, ordered by score; when there is none it raises an error.",
    "emoji": "😀🎉🚀✅❌🔥💡",
    "frames": "├── src\n│   ├── a.py\n│   └── b.py\n└── README “quoted” … • → ←",
}
CODE = Path(__file__).read_text(encoding="utf-8").partition("PROSE")[0] * 5


@pytest.fixture(scope="module")
def real() -> Any:
    """The vocabulary that litellm ships."""
    tiktoken = pytest.importorskip("tiktoken")
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        pytest.skip("litellm, which ships a vocabulary, is not installed")
    folder = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        yield tiktoken.get_encoding("cl100k_base").encode_ordinary


@pytest.mark.parametrize("name", sorted(PROSE))
def test_prose_in_every_script(name: str, real: Any) -> None:
    text = PROSE[name]
    truth = len(real(text))
    assert truth <= estimate_tokens(text) <= 2.0 * truth + 4


def test_code(real: Any) -> None:
    truth = len(real(CODE))
    assert truth <= estimate_tokens(CODE) <= 1.5 * truth


LETTERS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=40, max_size=300)
SORTS = st.one_of(
    LETTERS,
    LETTERS.map(str.upper),
    st.text("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\\", min_size=40, max_size=300),
    st.text("0123456789", min_size=10, max_size=300),
    st.text("0123456789abcdef", min_size=40, max_size=300),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", min_size=60, max_size=300),
    st.text(" \t\n", min_size=20, max_size=200),
    *(
        st.lists(st.sampled_from(text.split()), min_size=5, max_size=30).map(" ".join)
        for text in PROSE.values()
        if " " in text
    ),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(parts=st.lists(SORTS, min_size=1, max_size=4))
def test_never_exceeded(parts: list[str], real: Any) -> None:
    text = "\n".join(parts)
    assert len(real(text)) <= estimate_tokens(text)

"""The dashboard in a real browser, over a real daemon: pages, an approval, an undo, a task, a kill and a restart."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.common.exceptions import (
    NoSuchElementException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from hal9.clock import SystemClock
from hal9.cluster import Home, init_home
from hal9.learning import Ledger
from hal9.learning.guards.guard_store import GuardStore
from hal9.learning.guards.predicate import Conditions, Guard
from hal9.memory import ANY, MemoryStore
from hal9.promptgram import Edit, Promptgram
from tests.dashboard.browser import chromium, show
from tests.dashboard.runs import bare, episode, garden, tuned
from tests.support.commands import run_hal9

# A page that is drawn anew while it is looked at.
_PASSING = (NoSuchElementException, WebDriverException)
pytestmark = pytest.mark.chromium
PAGES = (
    "/",
    "/tasks",
    "/tasks/last",
    "/learning",
    "/learning/ledger",
    "/learning/curves",
    "/inbox",
    "/workloads",
    "/workloads/causes?run=garden",
    "/workloads/tuning?run=first",
    "/workloads/training?run=training/runs/mine",
)
RULE = "always add type hints to public functions"


def hal9(home: Home, *arguments: str) -> str:
    environ = {**os.environ, "HAL9_MODEL": "scripted:tests.support.scripts:adder"}
    done = run_hal9("--home", str(home.root), *arguments, environ=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def seed_waiting_change(home: Home) -> None:
    """A change of a prompt that waits for a person, as the gate records a major one."""
    home.make_state()
    before = Promptgram.load(home.neurons / "l2-implementer.md")
    after = before.apply(
        Edit.from_dict({"section": "Policy", "edit_type": "append", "content": "Say what was assumed."})
    )
    with MemoryStore(home.memory, clock=SystemClock()) as store:
        Ledger(store).record(
            "prompt", "l2-implementer", change=(before.dump(), after.dump()), cause="a test", actor="learning",
            state="waiting",
            details={"evidence": {"critique": "Answers hid what they assumed."}, "figures": {"share": 0.09}},
        )  # fmt: skip


@dataclass
class Site:
    home: Home
    url: str
    driver: Chrome

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def text(self, css: str = "body") -> str:
        """What a part of the page shows; a page that is drawn anew meanwhile is looked at again."""
        return str(self._steadily(lambda: self.driver.find_element(By.CSS_SELECTOR, css).text))

    def _steadily(self, act: Callable[[], object]) -> object:
        for _ in range(50):
            try:
                return act()
            except WebDriverException:
                continue
        return act()

    def until(self, check: Callable[[], object]) -> None:
        try:
            WebDriverWait(self.driver, 60, 0.2, _PASSING).until(lambda _: check())
        except TimeoutException:
            pytest.fail(f"{self.driver.current_url} shows:\n{self.text()}")

    def write(self, css: str, words: str) -> None:
        self._steadily(lambda: self.driver.find_element(By.CSS_SELECTOR, css).send_keys(words))

    def press(self, css: str) -> None:
        self._steadily(lambda: self.driver.find_element(By.CSS_SELECTOR, css).click())


def seed_guard(home: Home) -> None:
    when = Conditions(program=("git",), subcommand=("push",), flag=("--force*",))
    with MemoryStore(home.memory, clock=SystemClock()) as store:
        GuardStore(store).add(
            Guard(when=when, effect="require", say="Never force a push"),
            workspace=ANY,
            source="user",
            cause="a test",
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = init_home(tmp_path_factory.mktemp("dashboard") / "home")
    seed_waiting_change(home)
    seed_guard(home)
    asyncio.run(garden(home, name="garden"))
    asyncio.run(tuned(home, name="first"))
    bare(home, "strategy", [episode(0, candidate={"weight_path": 1.25}, ndcg=0.4, gain=-0.1, error=0.03)])
    hal9(home, "up", "--detach")
    try:
        hal9(home, "submit", "Write add(a, b) in adder.py", "--wait", "--json")
        hal9(home, "feedback", "last", "--reject", RULE)
        address = hal9(home, "dashboard", "--print").strip()
        with chromium() as driver:
            driver.get(address)
            yield Site(home, address.partition("/login")[0], driver)
    finally:
        hal9(home, "stop", "--force")


def test_every_page_shows_its_matter_without_an_error(site: Site) -> None:
    wanted = {
        "/": ("ready", "l2-implementer", "waiting for you"),
        "/tasks/last": ("Write add", "l4-strategist", "What do you think"),
        "/learning": (RULE, "Connections", "l3-designer", "Guards", "Never force a push", "fired 0"),
        "/learning/curves": ("Connections over time", "l3-designer →"),
        "/learning/ledger": ("RULE", RULE),
        "/workloads": ("Causal graphs", "garden"),
        "/workloads/causes?run=garden": ("rain", "probability"),
        "/workloads/tuning?run=first": ("Descent", "the winner"),
        "/workloads/training?run=training/runs/mine": ("Proposals", "0.1000"),
        "/inbox": ("prompt of l2-implementer", "+- Say what was assumed.", "Approve"),
    }
    for path in PAGES:
        site.open(path)
        for words in wanted.get(path, ()):
            assert words in site.text(), (path, words)
        problems = [
            one
            for one in site.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if one["level"] in ("SEVERE", "WARNING")
        ]
        assert problems == [], (path, problems)


def test_every_page_fits_a_phone_and_a_desk_light_and_dark(site: Site) -> None:
    for width, dark in ((400, True), (1400, False)):
        show(site.driver, width=width, dark=dark)
        for path in PAGES:
            site.open(path)
            wide = site.driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, (path, width, wide)
            paper = site.driver.execute_script(
                "return getComputedStyle(document.documentElement).backgroundColor"
            )
            assert (int(paper.split("(")[1].split(",")[0]) < 100) == dark, (path, paper)


def test_a_change_is_approved_and_one_is_undone(site: Site) -> None:
    site.open("/inbox")
    site.press("form[action='/inbox/approve'] button")
    site.until(lambda: "approved" in site.text())
    assert "Nothing waits for a person" in site.text()
    assert "waiting → candidate" in site.text()
    site.open("/learning/ledger")
    site.press("form[action='/learning/undo'] button")
    site.until(lambda: "told=" in site.driver.current_url or "problem=" in site.driver.current_url)
    assert "problem=" not in site.driver.current_url, site.text()
    assert "→" in site.text("p.note"), "it says what was put back"


def test_a_task_is_given_followed_and_judged(site: Site) -> None:
    site.open("/")
    site.write("#objective", "Say hello")
    site.press("form[action='/tasks/submit'] button")
    site.until(lambda: "/tasks/" in site.driver.current_url)
    site.until(lambda: "done" in site.text("h1"))
    site.press("input[value=accept]")
    site.press("form[action$='/feedback'] button")
    site.until(lambda: "recorded" in site.text())


def test_feedback_shows_what_was_understood_before_it_is_sent(site: Site) -> None:
    site.open("/tasks/last")
    asked = len(json.loads(hal9(site.home, "requests", "--json")))
    site.press("input[value=reject]")
    site.write("#why", "always write docstrings for public functions")
    site.press("button[formmethod=get]")
    site.until(lambda: "docstrings" in site.text("#understood"))
    assert "would hold for" in site.text("#understood")
    look = (
        "return [document.getElementById('why').value, document.querySelector('input[value=reject]').checked]"
    )
    assert site.driver.execute_script(look) == ["always write docstrings for public functions", True]
    assert len(json.loads(hal9(site.home, "requests", "--json"))) == asked, "nothing was sent"
    site.press("form[action$='/feedback'] button:not([formmethod])")
    site.until(
        lambda: "understood: always write docstrings" in site.text() and "told=" in site.driver.current_url
    )


def test_what_is_typed_opened_and_chosen_outlives_a_change_of_the_page(site: Site) -> None:
    """And what had changed before the page began to follow is shown all the same."""
    site.open("/tasks/last")
    site.open("/")
    site.until(lambda: site.text("#live") == "live")
    site.write("#objective", "half a sent")
    site.press("details summary")
    site.driver.execute_script("document.getElementById('check').value = 'pytest -q'")
    site.driver.execute_script("document.getElementById('objective').focus()")
    hal9(site.home, "submit", "Meanwhile something else", "--wait")
    site.until(lambda: "Meanwhile something else" in site.text())
    site.write("#objective", "ence")
    look = "return [document.getElementById('objective').value, document.getElementById('check').value, document.activeElement.id]"
    assert site.driver.execute_script(look) == ["half a sentence", "pytest -q", "objective"]
    assert site.driver.execute_script("return document.querySelector('form.stack details').open")


def test_a_change_between_drawing_and_following_is_not_missed(site: Site) -> None:
    """The script begins to follow long after the page was drawn."""
    site.open("/")
    seen = site.driver.execute_script("return document.querySelector('main').dataset.seen")
    hal9(site.home, "submit", "Came too early to be followed", "--wait")
    told = site.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "const source = new EventSource('/ui/changes?seen=' + arguments[0]);"
        "source.addEventListener('changed', (one) => { source.close(); done(one.lastEventId); });",
        seen,
    )
    assert told and told != seen


def test_a_page_comes_back_by_itself_after_the_daemon_was_killed(site: Site) -> None:
    site.open("/")
    site.until(lambda: site.text("#live") == "live")
    pid = json.loads(site.home.status.read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    site.until(lambda: "not connected" in site.text("#live"))
    hal9(site.home, "up", "--detach")
    site.until(lambda: site.text("#live") == "live")
    hal9(site.home, "submit", "Say it again, Sam")
    site.until(lambda: "Say it again, Sam" in site.text())


def test_without_script_everything_can_be_read_and_pressed(site: Site) -> None:
    cookie = site.driver.get_cookie("hal9_session")
    assert cookie is not None
    with chromium(javascript=False) as driver:
        driver.get(site.url + "/login")
        driver.add_cookie({key: cookie[key] for key in ("name", "value", "path")})
        for path in PAGES:
            driver.get(site.url + path)
            assert driver.find_element(By.TAG_NAME, "h1").text
        driver.get(site.url + "/learning")
        driver.find_element(By.CSS_SELECTOR, "form[action='/learning/pause'] button").click()
        WebDriverWait(driver, 30, 0.2, _PASSING).until(
            lambda one: "learning is off" in one.find_element(By.TAG_NAME, "body").text
        )
        driver.find_element(By.CSS_SELECTOR, "form[action='/learning/resume'] button").click()


def test_a_graph_is_made_larger_in_place_and_without_script_by_a_link(site: Site) -> None:
    def size(driver: Chrome) -> float:
        return float(
            driver.execute_script("return document.querySelector('.zoom svg').getBoundingClientRect().width")
        )

    site.open("/workloads/causes?run=garden")
    own = size(site.driver)
    site.driver.execute_script("window.stays = true")
    site.press("[data-zoom=Larger]")
    site.until(lambda: size(site.driver) == pytest.approx(1.5 * own, abs=1))
    assert site.driver.execute_script("return window.stays"), "no page was loaded"
    frame = site.driver.find_element(By.CSS_SELECTOR, ".zoom")
    for key in ("-", "-"):
        frame.send_keys(key)
    site.until(lambda: size(site.driver) == pytest.approx(own / 1.5, abs=1))
    site.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/static/*.js"]})
    site.driver.execute_cdp_cmd("Network.enable", {})
    try:
        site.open("/workloads/causes?run=garden")
        assert size(site.driver) == pytest.approx(own, abs=1)
        site.press("[data-zoom=Larger]")
        site.until(lambda: "zoom=1.5" in site.driver.current_url)
        assert size(site.driver) == pytest.approx(1.5 * own, abs=1)
    finally:
        site.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        site.driver.get_log("browser")  # type: ignore[no-untyped-call]


def test_a_stranger_sees_the_sign_in_page_only(site: Site) -> None:
    with chromium() as driver:
        for path in ("/", "/tasks/last", "/learning"):
            driver.get(site.url + path)
            assert "Sign in" in driver.find_element(By.TAG_NAME, "body").text
            assert "add" not in driver.find_element(By.TAG_NAME, "body").text.replace("address", "")
        driver.get(f"{site.url}/login?code=wrong")
        assert "used already" in driver.find_element(By.TAG_NAME, "body").text
        driver.find_element(By.ID, "token").send_keys("hal9_wrong_token")
        driver.find_element(By.TAG_NAME, "button").click()
        WebDriverWait(driver, 30, 0.2, _PASSING).until(
            lambda one: "no valid token" in one.find_element(By.TAG_NAME, "body").text
        )


@pytest.mark.slow
def test_axe_finds_nothing_serious(site: Site, tmp_path: Path) -> None:
    subprocess.run(["npm", "pack", "axe-core@4.10.3", "--silent"], cwd=tmp_path, check=True, timeout=120)
    subprocess.run(["tar", "xzf", *tmp_path.glob("axe-core-*.tgz")], cwd=tmp_path, check=True)
    axe = (tmp_path / "package" / "axe.min.js").read_text()
    found = []
    for width, dark in ((400, True), (1400, False), (1400, True), (400, False)):
        show(site.driver, width=width, dark=dark)
        for path in PAGES:
            site.open(path)
            site.driver.execute_script(axe)
            result = site.driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
            found += [
                (path, width, dark, one["id"], one["nodes"][0]["html"][:120])
                for one in result["violations"]
                if one["impact"] in ("serious", "critical")
            ]
    assert found == []

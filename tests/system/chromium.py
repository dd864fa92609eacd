"""A headless Chromium, and what one asks of a page in it."""

from __future__ import annotations

import base64
import json
import operator
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import frame_to_be_available_and_switch_to_it
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 15  # seconds that a page may take
SIZE = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
FLAGS = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync hide-scrollbars"
)
TEXTS = "return Array.from(document.querySelectorAll(arguments[0])).map(element => element.innerText.trim())"


class Page:
    """What a user sees in a browser and types into it. Buttons are pressed by keyboard: nothing can cover them."""

    def __init__(self, driver: webdriver.Chrome, server: str) -> None:
        self._driver = driver
        self._server = server

    def open(self, path: str) -> None:
        """Open a page of Airflow, or any address."""
        self._driver.get(path if "://" in path else self._server + path)

    def look(self, script: str, selector: str = "") -> Any:
        """Return what a script sees in what a CSS selector selects."""
        return self._driver.execute_script(script, selector)

    def type(self, xpath: str, *keys: str) -> None:
        """Type into the first thing that an XPath finds, once it is there; stop when time is up."""

        def attempt(driver: webdriver.Chrome) -> bool:
            driver.find_element(By.XPATH, xpath).send_keys(*keys)
            return True

        try:
            WebDriverWait(self._driver, PATIENCE, ignored_exceptions=[WebDriverException]).until(attempt)
        except TimeoutException:
            sys.exit(f"expected {xpath}, saw this page:\n{self.look(TEXTS, 'body')[0]}")

    def press(self, text: str, within: str = "") -> None:
        """Press a button, by the text that it bears or hints at."""
        self.type(f"{within}//button[contains(., '{text}') or @aria-label='{text}']", Keys.ENTER)

    def fill(self, fields: Mapping[str, str]) -> None:
        """Replace what stands in fields, by their names."""
        for name, text in fields.items():
            self.type(f"//*[@name='{name}']", Keys.CONTROL, "a", Keys.NULL, text or Keys.DELETE)

    def expect(self, what: str, script: str, selector: str, wanted: Any) -> None:
        """Wait until a script sees exactly what is wanted."""
        expect(what, wanted, lambda: self.look(script, selector), operator.eq)

    def expect_notice(self, *words: str) -> None:
        """Wait for a notice with all of these words."""
        expect("a notice", words, lambda: self.look(TEXTS, "[data-scope=toast][data-part=root], .alert"), tell_all)

    def expect_words(self, selector: str, *words: str) -> None:
        """Wait until all of these words are in what a CSS selector selects."""
        expect(selector, words, lambda: self.look(TEXTS, selector), tell_all)

    def enter(self, selector: str) -> None:
        """Look into a frame from now on, until another page is opened."""
        arrives = frame_to_be_available_and_switch_to_it((By.CSS_SELECTOR, selector))
        WebDriverWait(self._driver, PATIENCE).until(arrives, f"no frame {selector}")

    def leave(self) -> None:
        """Look at the whole page again."""
        self._driver.switch_to.default_content()

    def forget_user(self) -> None:
        """Forget who is signed in."""
        self._driver.delete_all_cookies()

    def go_offline(self) -> None:
        """Take the network away."""
        self._driver.execute_cdp_cmd("Network.enable", {})
        conditions = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def requested(self) -> list[str]:
        """Return the addresses of all that was requested since it was last asked, in every frame."""
        entries = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        return [
            entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """Return the errors in the console since it was last asked."""
        return [entry["message"] for entry in self._driver.get_log("browser") if entry["level"] == "SEVERE"]

    def resize(self, width: int, height: int) -> None:
        """Make the page of another size."""
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**SIZE, "width": width, "height": height})

    def save_picture(self, path: Path, *, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> None:
        """Save what is seen as a picture, without so much of it at each side."""
        self.look("document.activeElement.blur()")
        width, height = self.look("return [innerWidth, innerHeight]")
        clip = {"x": left, "y": top, "width": width - left - right, "height": height - top - bottom, "scale": 1}
        picture = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})
        path.write_bytes(base64.b64decode(picture["data"]))


@contextmanager
def chromium(home: Path, server: str) -> Iterator[Page]:
    """Run a browser that remembers nothing."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        sys.exit("Chromium is needed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for flag in [*FLAGS.split(), f"user-data-dir={home / 'browser'}"]:
        options.add_argument(f"--{flag}")
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as chrome:
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
        yield Page(chrome, server)


def expect(
    what: str, wanted: Any, look: Callable[[], Any], fits: Callable[[Any, Any], bool], seconds: float = PATIENCE
) -> None:
    """Look until what is seen fits what is wanted; stop when time is up."""
    deadline = time.monotonic() + seconds
    while not fits(seen := look(), wanted):
        if time.monotonic() > deadline:
            sys.exit(f"{what}: expected {wanted}, saw {seen}")
        time.sleep(0.1)


def tell_all(notices: list[str], words: tuple[str, ...]) -> bool:
    """Return whether one of the notices has all words."""
    return any(all(word in notice for word in words) for notice in notices)

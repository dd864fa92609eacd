"""Headless Chromium, with the actions and checks of the browser tests."""

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

TIMEOUT_SECONDS = 15  # for a page to show the expected content
SIZE = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
FLAGS = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync hide-scrollbars"
)
TEXTS = "return Array.from(document.querySelectorAll(arguments[0])).map(element => element.innerText.trim())"


class Page:
    """Page in a browser. Buttons are pressed by keyboard, because other elements may cover them."""

    def __init__(self, driver: webdriver.Chrome, server: str) -> None:
        self._driver = driver
        self._server = server

    def open(self, path: str) -> None:
        """Open a path of Airflow, or any URL."""
        self._driver.get(path if "://" in path else self._server + path)

    def evaluate(self, script: str, selector: str = "") -> Any:
        """Return the result of a script, which receives a CSS selector."""
        return self._driver.execute_script(script, selector)

    def type(self, xpath: str, *keys: str) -> None:
        """Type into the first element of an XPath once it exists; exit after the timeout."""

        def attempt(driver: webdriver.Chrome) -> bool:
            driver.find_element(By.XPATH, xpath).send_keys(*keys)
            return True

        try:
            WebDriverWait(self._driver, TIMEOUT_SECONDS, ignored_exceptions=[WebDriverException]).until(attempt)
        except TimeoutException:
            sys.exit(f"expected {xpath}, found this page:\n{self.evaluate(TEXTS, 'body')[0]}")

    def press(self, text: str, within: str = "") -> None:
        """Press a button with this text or label."""
        self.type(f"{within}//button[contains(., '{text}') or @aria-label='{text}']", Keys.ENTER)

    def fill(self, fields: Mapping[str, str]) -> None:
        """Replace the values of fields, by field name."""
        for name, text in fields.items():
            self.type(f"//*[@name='{name}']", Keys.CONTROL, "a", Keys.NULL, text or Keys.DELETE)

    def expect(self, what: str, script: str, selector: str, wanted: Any) -> None:
        """Wait until a script returns the expected value."""
        expect(what, wanted, lambda: self.evaluate(script, selector), operator.eq)

    def expect_notice(self, *words: str) -> None:
        """Wait for a notice that contains all words."""
        expect("a notice", words, lambda: self.evaluate(TEXTS, "[data-scope=toast][data-part=root], .alert"), has_all)

    def expect_words(self, selector: str, *words: str) -> None:
        """Wait until an element of a CSS selector contains all words."""
        expect(selector, words, lambda: self.evaluate(TEXTS, selector), has_all)

    def enter(self, selector: str) -> None:
        """Switch to a frame, until another page is opened."""
        arrives = frame_to_be_available_and_switch_to_it((By.CSS_SELECTOR, selector))
        WebDriverWait(self._driver, TIMEOUT_SECONDS).until(arrives, f"no frame {selector}")

    def leave(self) -> None:
        """Switch back to the whole page."""
        self._driver.switch_to.default_content()

    def sign_out(self) -> None:
        """Sign out by deleting all cookies."""
        self._driver.delete_all_cookies()

    def go_offline(self) -> None:
        """Disable the network."""
        self._driver.execute_cdp_cmd("Network.enable", {})
        conditions = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def requested_urls(self) -> list[str]:
        """Return the URLs requested since the last call, in every frame."""
        entries = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        return [
            entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"
        ]

    def console_errors(self) -> list[str]:
        """Return the console errors since the last call."""
        return [entry["message"] for entry in self._driver.get_log("browser") if entry["level"] == "SEVERE"]

    def resize(self, width: int, height: int) -> None:
        """Resize the page."""
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**SIZE, "width": width, "height": height})

    def save_picture(self, path: Path, *, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> None:
        """Save the visible part as a picture, cropped at each side."""
        self.evaluate("document.activeElement.blur()")
        width, height = self.evaluate("return [innerWidth, innerHeight]")
        clip = {"x": left, "y": top, "width": width - left - right, "height": height - top - bottom, "scale": 1}
        picture = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})
        path.write_bytes(base64.b64decode(picture["data"]))


@contextmanager
def chromium(home: Path, server: str) -> Iterator[Page]:
    """Run a browser with a new profile."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        sys.exit("Chromium is required: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for flag in [*FLAGS.split(), f"user-data-dir={home / 'browser'}"]:
        options.add_argument(f"--{flag}")
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as chrome:
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
        yield Page(chrome, server)


def expect(
    what: str, wanted: Any, find: Callable[[], Any], fits: Callable[[Any, Any], bool], seconds: float = TIMEOUT_SECONDS
) -> None:
    """Wait until the found value fits the expected value; exit after the timeout."""
    deadline = time.monotonic() + seconds
    while not fits(found := find(), wanted):
        if time.monotonic() > deadline:
            sys.exit(f"{what}: expected {wanted}, found {found}")
        time.sleep(0.1)


def has_all(texts: list[str], words: tuple[str, ...]) -> bool:
    """Return whether one of the texts contains all words."""
    return any(all(word in text for word in words) for text in texts)

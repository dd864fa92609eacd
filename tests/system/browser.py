"""Create, test and edit a connection in a browser.

This script starts and stops all services, on loopback and free ports. The exit code is 0 only if every check passed.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chromium import TEXTS, Page, chromium
from local import airflow_environment, print_step, run_emulator
from selenium.webdriver.common.keys import Keys
from throwaway import IS_AIRFLOW_3, SERVER, USER, Airflow, postgresql

from airflow_provider_modelarts.get_provider_info import (
    AUTH_METHODS,
    CONNECTION_TYPE,
    EXTRA_FIELDS,
    HOOK_NAME,
    PLACEHOLDERS,
    RELABELING,
)

CONN_ID = "modelarts_default"
SIGN_IN = "//*[@id='element_auth']//input"  # drop-down list of Airflow 3

# Label, input type and hint of each visible field; the hint is in the input or below it.
FIELDS = """
return Array.from(document.querySelectorAll(arguments[0])).filter(row => row.checkVisibility()).map(row => {
    const input = row.querySelector("input, textarea"), help = row.querySelector("[data-part=helper-text], .help-block")
    return [row.querySelector("label").innerText.trim(), input.type, input.placeholder || help?.innerText.trim() || ""]
})
"""
CHOICES = f"{TEXTS}.map(text => text.split('\\n').pop())"  # after the text for screen readers
VALUES = "return Array.from(document.querySelectorAll(arguments[0])).map(input => input.value)"

# Expected fields of the form; the field schema is hidden.
STANDARD_FIELDS = [
    ["Description", "textarea", ""],
    [RELABELING["host"], "text", PLACEHOLDERS["host"]],
    [RELABELING["login"], "text", PLACEHOLDERS["login"]],
    [RELABELING["password"], "password", PLACEHOLDERS["password"]],
    [RELABELING["port"], "number" if IS_AIRFLOW_3 else "text", "443"],
]
MORE_FIELDS = [
    [label, schema.get("format", "text"), description] for label, description, schema in EXTRA_FIELDS.values()
]


def main() -> int:
    """Run all checks, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screenshot", type=Path, help="path for a picture of the form of Airflow 3")
    picture = parser.parse_args().screenshot
    with tempfile.TemporaryDirectory(prefix="modelarts-browser-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        print_step("Starting the emulator, PostgreSQL and the Airflow server")
        local = stack.enter_context(run_emulator(home))
        database = stack.enter_context(postgresql(home / "postgresql"))
        environment = airflow_environment(home, database.address, local)
        environment.pop("AIRFLOW_CONN_MODELARTS_DEFAULT")
        environment["AIRFLOW__CORE__TEST_CONNECTION"] = "Enabled"
        airflow = stack.enter_context(Airflow(home, environment, database, [SERVER]))
        print_step("Starting the browser")
        page = stack.enter_context(chromium(home, airflow.server))
        if IS_AIRFLOW_3:
            check_airflow_3(page, local, picture)
        else:
            check_airflow_2(page, local)
        print_step("Every check passed")
    return 0


def check_airflow_3(page: Page, local: dict[str, Any], picture: Path | None) -> None:
    """Test a connection with a wrong token, with a wrong secret, with valid fields, and without a port."""
    connection = local["connection"]
    print_step("Adding a connection")
    page.open("/connections")
    page.press("Add Connection")
    page.type("//*[@role='dialog']//input[@role='combobox']", HOOK_NAME, Keys.ENTER)
    page.expect("standard fields", FIELDS, "[role=region] [role=group]", STANDARD_FIELDS)
    keys = {"login": connection["login"], "password": connection["password"]}
    page.fill({"connection_id": CONN_ID, **keys, "port": "443"})
    page.press("Extra Fields")
    page.expect("extra fields", FIELDS, "[role=region] [role=group]", MORE_FIELDS)
    page.fill({"element_region": connection["extra"]["region"]})
    if picture:
        page.resize(1280, 1400)
        page.save_picture(picture, left=191, top=64, right=192, bottom=455)
    page.fill({f"element_{name}": text for name, text in connection["extra"].items()})
    page.fill({"element_security_token": "of-another-user"})
    choose_sign_in(page)
    page.press("Save")
    page.expect_notice("successfully created")
    press_test(page, "Test Connection Failed", "decrypt token fail")

    print_step("Editing the connection: its secrets are masked and unchanged")
    edit(page)
    page.expect("secret key", VALUES, "[name=password]", ["***"])
    page.fill({"password": "wrong"})
    page.press("Extra Fields")
    page.expect("security token", VALUES, "[name=element_security_token]", ["***"])
    page.fill({"element_security_token": ""})
    page.type(SIGN_IN, Keys.BACKSPACE)
    page.expect("sign-in", CHOICES, "#element_auth", ["Select Value"])
    save(page)
    press_test(page, "Test Connection Failed", "verify aksk signature fail")

    edit(page)
    page.fill({"password": connection["password"]})
    save(page)
    press_test(page, "Test Connection Successful", *account_details(local))

    print_step("Removing the port: Airflow rejects the test")
    edit(page)
    page.fill({"port": ""})
    save(page)
    press_test(page, "Test Connection Failed", "Bad Request")


def choose_sign_in(page: Page) -> None:
    """Check that no authentication method is selected, check the choices, and select the first."""
    page.expect("sign-in", CHOICES, "#element_auth", ["Select Value"])
    page.type(SIGN_IN, Keys.ARROW_DOWN)
    page.expect("authentication methods", TEXTS, "[role=option]", AUTH_METHODS)
    page.type(SIGN_IN, AUTH_METHODS[0], Keys.ENTER)
    page.expect("sign-in", CHOICES, "#element_auth", [AUTH_METHODS[0]])


def press_test(page: Page, *words: str) -> None:
    """Test the saved connection, and expect words in the notice."""
    page.open("/connections")
    page.press("Test Connection", within=f"//tr[td='{CONN_ID}']")
    page.expect_notice(*words)


def edit(page: Page) -> None:
    """Open the saved connection."""
    page.open("/connections")
    page.press("Edit Connection", within=f"//tr[td='{CONN_ID}']")


def save(page: Page) -> None:
    """Save the edited connection."""
    page.press("Save")
    page.expect_notice("successfully updated")


def account_details(local: dict[str, Any]) -> list[str]:
    """Return the account details that the notice of a successful test must contain."""
    return [local["connection"]["login"], local["project_id"], local["connection"]["extra"]["region"]]


def check_airflow_2(page: Page, local: dict[str, Any]) -> None:
    """Test a connection with a wrong secret, then with the right one, and save it."""
    connection = local["connection"]
    print_step("Signing in")
    page.open("/login/?next=/connection/add")
    page.fill({"username": USER, "password": USER})
    page.type("//input[@type='submit']", Keys.ENTER)
    print_step("Adding a connection")
    page.expect("page", TEXTS, "label[for=conn_id]", ["Connection Id *"])
    page.evaluate("$('#conn_type').val(arguments[0]).trigger('change')", CONNECTION_TYPE)
    rows = "#model_form tr:not(:has(#conn_id, #conn_type, #extra))"
    page.expect("fields", FIELDS, rows, STANDARD_FIELDS + MORE_FIELDS)
    page.fill({"conn_id": CONN_ID, "login": connection["login"], "password": "wrong"})
    page.fill({f"extra__{CONNECTION_TYPE}__{name}": text for name, text in connection["extra"].items()})
    page.press("Test")
    page.expect_notice("verify aksk signature fail")
    page.fill({"password": connection["password"]})
    page.press("Test")
    page.expect_notice(*account_details(local))
    page.press("Save")
    page.expect_notice("Added Row")


if __name__ == "__main__":
    main()

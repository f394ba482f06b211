"""A real Chromium without a screen, driven over its own protocol."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

LIMIT_S = 20
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # there is none for root, as whom containers run tests
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-proxy-server",
    "--window-size=1400,950",
)


@contextmanager
def chromium(scheme: str = "light") -> Iterator[Chrome]:
    """Yield a browser in a colour scheme; skip where there is none and none is required."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        message = "needs chromium and chromium-driver; .ci/debian-packages installs them"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    options = ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for option in OPTIONS:
        options.add_argument(option)
    found = Chrome(options, ChromeService(driver))
    try:
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        found.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        found.set_page_load_timeout(LIMIT_S)
        yield found
    finally:
        found.quit()

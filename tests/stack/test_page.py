"""The page to try calls on and the console, in a real browser that can reach only the service."""

import re
import subprocess
from pathlib import Path

from tests.stack.proxy import Proxy
from tests.support.needs import need
from tests.support.patience import PATIENCE


def rendered(url: str, folder: Path) -> str:
    """Return the page's HTML after its scripts ran; the browser resolves no other host."""
    command = [
        need("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr",
        "--virtual-time-budget=20000", "--dump-dom", url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    wrong = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert wrong == []
    return done.stdout


def test_the_page_lists_every_call_with_no_internet(proxy: Proxy, tmp_path: Path) -> None:
    page = rendered(f"{proxy.url}/apidocs", tmp_path)
    shown = set(re.findall(r'data-path="([^"]*)"', page))
    assert {"/discount", "/discount/{discount_id}/grant", "/brand/{brand_id}/grant", "/healthy"} <= shown
    assert "Failed to load" not in page
    # Where a token is put in.
    assert re.search(r'<button class="[^"]*authorize[^"]*"', page)
    addresses = re.findall(r'(?:src|href)="((?:https?:)?//[^"]+)"', page)
    assert [each for each in addresses if not each.startswith(proxy.url)] == []


def test_by_the_address_of_the_service_alone_a_browser_comes_to_the_console(proxy: Proxy, tmp_path: Path) -> None:
    page = rendered(f"{proxy.url}/", tmp_path)
    assert re.search(r"<h1>\s*Overview\s*</h1>", page)
    # The script has run: it shows the button.
    assert re.search(r'<button[^>]*id="pause"(?![^>]*hidden)', page)

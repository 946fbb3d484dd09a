"""No test downloads: what tries to is stopped, in this process and in others."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

import pytest


def test_a_download_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="the test tries a download"):
        urllib.request.urlopen("https://example.org/mnist.npz", timeout=5)


def test_a_download_of_another_process_ends_at_once() -> None:
    code = "import urllib.request; urllib.request.urlopen('https://example.org/mnist.npz', timeout=60)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "Connection refused" in done.stderr

import platform
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]

#: Frees the 48 MB of an image twice, and tells how many KB of the most that it held are no longer its own.
_FREE = """
import sys
from PIL import Image
from pipeline.render_pool.malloc_tuning import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(2):
    Image.new("RGB", (4000, 3000), "red")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) - int(status["VmRSS"].split()[0]))
"""


def _given_back_mb(what: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _FREE, what], cwd=_ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout) / 1024


@pytest.mark.embedded
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere the C library is left as it is")
def test_a_photos_memory_is_kept_for_the_next() -> None:
    assert _given_back_mb("leave") > 30
    assert _given_back_mb("keep") < 5

"""The picture of README: noisy, denoised and clean digits of a run.

python benchmarks/picture.py RUN docs/images/digits.png
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from equipoise.host.images import load_arrays
from equipoise.host.report.pictures import denoising
from equipoise.host.run import Run


def main() -> None:
    run, target = Run.open(sys.argv[1]), Path(sys.argv[2])
    images = load_arrays(run, "images.npz")
    picture = denoising(images) if images else None
    if picture is None:
        sys.exit(f"Run '{run.path}' has no images yet: train it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(base64.b64decode(picture.source.partition("base64,")[2]))


if __name__ == "__main__":
    main()

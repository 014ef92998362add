"""Waiting for the end of processes that are nobody's children, without polling."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DEADLINE = 60
"""Seconds after which a test gives up."""


@contextlib.contextmanager
def watching(pid: int) -> Iterator[Watch]:
    """Watch a process from now on."""
    watch = Watch(pid)
    try:
        yield watch
    finally:
        os.close(watch.handle)


class Watch:
    """A process, by a handle that stays its own even when its number is used again."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.handle = os.pidfd_open(pid)

    def ended(self, timeout: float = DEADLINE) -> bool:
        """Whether it ends within ``timeout`` seconds."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def wait_for_work(self, seconds: float = 0.3) -> None:
        """Wait until it has used so much more processor time."""
        clock = ~self.pid << 3 | 2  # as clock_getcpuclockid() has it
        start = time.clock_gettime(clock)
        self._wait("work", lambda: time.clock_gettime(clock) >= start + seconds)

    def wait_for_rest(self) -> None:
        """Wait until it sleeps."""
        stat = Path(f"/proc/{self.pid}/stat")
        self._wait("rest", lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")

    def _wait(self, what: str, reached: Callable[[], bool]) -> None:
        expiry = time.monotonic() + DEADLINE
        while not reached():
            assert time.monotonic() < expiry, f"process {self.pid} does not {what}"
            os.sched_yield()


@contextlib.contextmanager
def script(text: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program in a process group of its own, as a shell would; it is killed at the end."""
    command = [sys.executable, "-c", text]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0) as process:
        try:
            yield process
        finally:
            process.kill()

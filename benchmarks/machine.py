"""Describes the machine and the versions."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess

import hiredis
import twisted
from bench import Bench
from peers.programs import Program

__all__ = ["machine", "versions"]


def machine(bench: Bench) -> str:
    """Describe the machine, the server and the platforms."""
    redis = bench.info("server")["redis_version"]
    return (
        f"{os.cpu_count()} cores, {processor()}, {platform.system()} {platform.machine()}, "
        f"Redis {redis}, Python {platform.python_version()}, Twisted {twisted.__version__}, "
        f"hiredis {hiredis.__version__}, Node {node_version()}"
    )


def processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def node_version() -> str:
    node = shutil.which("node")
    if node is None:
        return "is missing"
    return subprocess.check_output([node, "-v"], text=True).strip().removeprefix("v")


def versions(programs: list[Program]) -> str:
    """List the programs with their versions."""
    return ", ".join(f"{p.name} {p.version}" for p in programs if p.version)

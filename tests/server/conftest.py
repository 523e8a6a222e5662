"""A visitor without a browser: opens a page over Streamlit's own protocol and reads what the server sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect


@dataclass
class Visit:
    """What one run of a page sent."""

    messages: list[Any] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        """The messages of a kind."""
        return [getattr(message, kind) for message in self.messages if message.WhichOneof("type") == kind]

    def exceptions(self) -> list[str]:
        """What the page failed with."""
        elements = [delta.new_element for delta in self.of("delta") if delta.WhichOneof("type") == "new_element"]
        return [e.exception.message for e in elements if e.WhichOneof("type") == "exception"]


@pytest.fixture
def visit():
    """Open a page by its name in the address, as the first request of a new session."""

    def open_page(server: Any, name: str = "") -> Visit:
        seen = Visit()
        url = f"ws://127.0.0.1:{server.port}/_stcore/stream"
        with connect(url, subprotocols=["streamlit"], max_size=None, open_timeout=60) as socket:
            asked = BackMsg()
            asked.rerun_script.page_name = name
            socket.send(asked.SerializeToString())
            while not seen.of("script_finished"):
                message = ForwardMsg()
                message.ParseFromString(socket.recv(timeout=240))
                seen.messages.append(message)
        return seen

    return open_page

"""The frame and the table of contents of the dashboard."""

from pathlib import Path

import streamlit as st

from pages import notice, services

# A file of ours, and named before the pages are: a browser would fetch one of Streamlit's icons from elsewhere.
st.set_page_config(page_icon=Path(__file__).parent / "pages" / "icon.svg", layout="wide")
page = st.navigation(
    [
        st.Page("pages/regime_map.py", title="Regime map", icon=":material/grid_on:", default=True),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("pages/families.py", title="Families", icon=":material/apps:"),
        st.Page("pages/cell.py", title="Cell", icon=":material/search:"),
        st.Page("pages/jobs.py", title="Jobs", icon=":material/pending_actions:"),
        st.Page("pages/methods.py", title="Methods", icon=":material/menu_book:"),
    ],
    position="top",
)
st.set_page_config(page_title=f"{page.title} · Regime Atlas")
st.html("<style>.stMainBlockContainer { padding-top: 4.5rem; padding-bottom: 3rem; }</style>")
services.enter_frame()
with services.told():
    page.run()
with services.told():
    notice.watch()

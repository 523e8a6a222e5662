"""The frame and the table of contents of the dashboard."""

import streamlit as st

from pages import services

st.set_page_config(page_title="Regime Atlas", page_icon=":material/grid_on:", layout="wide")
page = st.navigation(
    [
        st.Page("pages/regime_map.py", title="Regime map", icon=":material/grid_on:", default=True),
        st.Page("pages/cell.py", title="Cell", icon=":material/search:"),
        st.Page("pages/jobs.py", title="Jobs", icon=":material/pending_actions:"),
        st.Page("pages/methods.py", title="Methods", icon=":material/menu_book:"),
    ],
    position="top",
)
services.enter_frame()
page.run()

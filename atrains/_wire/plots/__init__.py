"""Plots: what users have (lists, arrays, data frames, figures) turned into plotly figures, and those into strict JSON.

Pure: no I/O, nothing of the user's is changed, and numpy and its kin are met only through what users pass in. A builder is named after the
`Logger` method that it serves. Server: the `plot_str` of an event of type `plot` is the JSON text of `{"data": [...], "layout": {...}}`.
"""

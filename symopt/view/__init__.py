"""Graphs as people look at them: text, tables, networkx, drawings, one page of HTML."""

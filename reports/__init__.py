"""Render results as HTML, Markdown, JUnit and a model card; never compute."""

"""The only gradio: layout, form, theme, tabs."""

"""Colours, fonts and spacing of the app, in light and dark."""

import gradio as gr

# Fonts of the visitor's own system: nothing is fetched, and text appears at once.
TEXT_FONTS = ("Inter", "system-ui", "-apple-system", "Segoe UI", "sans-serif")
CODE_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace")


def build_theme() -> gr.themes.Base:
    """Return the theme: slate surfaces, one indigo accent, soft corners."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        secondary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=list(TEXT_FONTS),
        font_mono=list(CODE_FONTS),
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#0f1420",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_200",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="#171d2b",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="#131927",
        block_background_fill="white",
        block_background_fill_dark="#171d2b",
        block_border_color="*neutral_200",
        block_border_color_dark="#2a3346",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#2a3346",
        block_border_width="1px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_border_width_dark="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_400",
        block_title_text_weight="600",
        block_label_text_weight="600",
        block_shadow="none",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="white",
        input_background_fill_dark="#10151f",
        input_border_color="*neutral_300",
        input_border_color_dark="#34405a",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="0 0 0 3px rgba(79, 70, 229, 0.18)",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="#1d2536",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#34405a",
        button_border_width="1px",
        slider_color="*primary_500",
    )

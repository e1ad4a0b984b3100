"""The page's theme."""

from gradio.themes import Default, GoogleFont


def page_theme() -> Default:
    """Make the theme, of fonts that come with Gradio."""
    # Not 600: the semi-bold file that comes with Gradio lacks most letters.
    sans = GoogleFont("IBM Plex Sans", weights=(400, 700))
    return Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="zinc",
        font=[sans, "system-ui", "sans-serif"],
    )

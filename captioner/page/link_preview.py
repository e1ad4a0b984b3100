"""What sites show of a link to the page: title, description and a picture, as meta tags.

Source: the Open Graph protocol (ogp.me), and X's cards, which take the rest from it.
"""

import html

from captioner.page.own_files import OWN_ROUTE
from captioner.page.texts import read_texts

PICTURE = "static/link.jpg"
WIDTH, HEIGHT = 1200, 630
"""Of the picture, in pixels."""


def link_preview(address: str) -> str:
    """Make the tags.

    Args:
        address: of the page, absolute and without a slash at its end: sites resolve no other. It
            may come from a stranger.
    """
    texts = read_texts("en")
    properties = {
        "og:type": "website",
        "og:title": texts["page_title"],
        "og:description": texts["page_lead"],
        "og:url": f"{address}/",
        "og:image": f"{address}{OWN_ROUTE}{PICTURE}",
        "og:image:type": "image/jpeg",
        "og:image:width": WIDTH,
        "og:image:height": HEIGHT,
        "og:image:alt": texts["link_picture"],
    }
    tags = [
        f'<meta property="{name}" content="{html.escape(str(value))}">'
        for name, value in properties.items()
    ]
    return "".join(
        [
            *tags,
            f'<meta name="description" content="{html.escape(texts["page_lead"])}">',
            '<meta name="twitter:card" content="summary_large_image">',
        ]
    )
